//! Filling a new database with what another store held.
//!
//! It is made under another name, complete and synced, and only then gets its own. Until then the directory is locked, and one
//! in which this ended half way is refused by a server ([`files`](super::files)) instead of taken for an empty one.

use std::path::PathBuf;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};

use super::accounts::{insert_device, insert_manifest, insert_wrap};
use super::export::SqliteExport;
use super::files::DataDir;
use super::{backups, connection, error, expiry, mailboxes, row};
use crate::dump::{Export, Import, Piece, WholeAccount};
use crate::{BackupRecord, Device, ManifestRecord, StoreError, WrapRecord};

/// A database that is being filled.
pub(super) struct SqliteImport {
    // Closed before the directory is free.
    connection: Option<Connection>,
    path: PathBuf,
    dir: DataDir,
}

impl SqliteImport {
    pub(super) fn open(dir: DataDir) -> Result<Self, StoreError> {
        let path = dir.start_restored_database()?;
        let connection = connection::create_unsynced(&path)?;
        Ok(Self { connection: Some(connection), path, dir })
    }
}

#[async_trait]
impl Import for SqliteImport {
    async fn put(&mut self, pieces: Vec<Piece>) -> Result<(), StoreError> {
        let Some(connection) = &mut self.connection else {
            return Err(StoreError::Unavailable("it was read back already, and takes nothing more".to_owned()));
        };
        put(connection, &pieces).map_err(error::running)
    }

    async fn read_back(&mut self) -> Result<Box<dyn Export>, StoreError> {
        if let Some(connection) = self.connection.take() {
            connection::close_checked(connection, &self.path)?;
        }
        self.dir.sync_restored_database()?;
        Ok(Box::new(SqliteExport::open(&self.path)?))
    }

    async fn release(mut self: Box<Self>) -> Result<(), StoreError> {
        if let Some(connection) = self.connection.take() {
            connection::close_checked(connection, &self.path)?;
        }
        self.dir.finish_restored_database()
    }
}

fn put(connection: &mut Connection, pieces: &[Piece]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    pieces.iter().try_for_each(|piece| insert(&transaction, piece))?;
    transaction.commit()
}

fn insert(transaction: &Transaction<'_>, piece: &Piece) -> rusqlite::Result<()> {
    match piece {
        Piece::Account(whole) => insert_account(transaction, whole),
        Piece::Link { username, link } => insert_manifest(transaction, row_of(transaction, username.as_str())?, link),
        Piece::Backups { username, backups } => {
            let account = row_of(transaction, username.as_str())?;
            let mut newest = true;
            backups
                .iter()
                .try_for_each(|backup| insert_backup(transaction, account, backup, std::mem::take(&mut newest)))
        }
        Piece::Missed { device, copies } => transaction
            .prepare_cached("INSERT INTO missed (device, copies) VALUES (?1, ?2)")?
            .execute((device.as_bytes(), row::ordered(*copies)))
            .map(drop),
        Piece::Notice { notice, made_at } => expiry::keep(transaction, notice, *made_at),
        Piece::Mail(mail) => mailboxes::insert(transaction, mail).map(drop),
    }
}

fn row_of(transaction: &Transaction<'_>, username: &str) -> rusqlite::Result<i64> {
    transaction
        .prepare_cached("SELECT id FROM accounts WHERE username = ?1")?
        .query_one([username], |found| found.get(0))
}

/// Its links come in pieces of their own, but for the last one of a deleted account.
fn insert_account(transaction: &Transaction<'_>, whole: &WholeAccount) -> rusqlite::Result<()> {
    let account = &whole.account;
    transaction
        .prepare_cached(
            "INSERT INTO accounts (username, aik, created_at, deleted_at, shares_presence) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            account.username.as_str(),
            &account.aik[..],
            row::ordered(whole.created_at),
            whole.deleted_at.map(row::ordered),
            account.shares_presence,
        ))?;
    let id = transaction.last_insert_rowid();
    if whole.deleted_at.is_some() {
        let last = ManifestRecord { document: bytes::Bytes::new(), ..account.manifest.clone() };
        insert_manifest(transaction, id, &last)?;
    }
    account.devices.iter().try_for_each(|device| insert_whole_device(transaction, id, device))?;
    let mut removed = transaction
        .prepare_cached("INSERT INTO devices (id, account, dsk, last_seen, removed_at) VALUES (?1, ?2, x'', 0, 0)")?;
    // When they were removed nobody asks.
    whole.removed.iter().try_for_each(|device| removed.execute((device.as_bytes(), id)).map(drop))
}

fn insert_whole_device(transaction: &Transaction<'_>, account: i64, device: &Device) -> rusqlite::Result<()> {
    insert_device(transaction, account, &device.id, &device.dsk, row::ordered(device.last_seen))?;
    let Some(newest) = &device.wrap else { return Ok(()) };
    insert_wrap(transaction, &device.id, newest)?;
    let mut replace = transaction.prepare_cached("UPDATE wraps SET replaced_at = ?3 WHERE device = ?1 AND seq = ?2")?;
    // Their own `seq` nobody asks for any more: any that falls will do, and there are as many below the newest one's, since it
    // has risen with each of them.
    for ((kid, at), back) in device.replaced.iter().zip(1..) {
        let seq = newest.seq.wrapping_sub(back);
        insert_wrap(transaction, &device.id, &WrapRecord { seq, kid: *kid, document: bytes::Bytes::new() })?;
        replace.execute((device.id.as_bytes(), row::bits(seq), row::ordered(*at)))?;
    }
    Ok(())
}

fn insert_backup(
    transaction: &Transaction<'_>,
    account: i64,
    backup: &BackupRecord,
    newest: bool,
) -> rusqlite::Result<()> {
    let replaced_at = (!newest).then(|| row::ordered(backup.at));
    backups::insert(transaction, account, backup, replaced_at)
}
