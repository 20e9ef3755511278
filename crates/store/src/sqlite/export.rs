//! Reading the whole database out as of one moment, beside the server that uses it.
//!
//! In WAL mode a transaction that reads sees one commit and keeps nobody from writing; while it lasts, the log grows by what is
//! written meanwhile. The lock on the directory is neither taken nor needed. Each step reads a few hundred rows behind the last
//! one, by the key of the table.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, Row};
use sealwire_protocol::{DeviceId, Username};

use super::{accounts, backups, connection, error, mailboxes, row};
use crate::dump::{BATCH_BYTES, BATCH_PIECES, Export, Piece, WholeAccount};
use crate::{Account, ManifestRecord, Notice, StoreError};

/// A database that is being read out.
pub(super) struct SqliteExport {
    connection: Connection,
    stage: Stage,
    after: After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Accounts,
    Missed,
    Notices,
    Mail,
    Done,
}

/// The last row that was read, in the table of the stage.
#[derive(Debug, Default)]
struct After {
    row: i64,
    device: Vec<u8>,
}

impl SqliteExport {
    /// Opens a database for reading; what it holds now is what will be read.
    pub(super) fn open(database: &Path) -> Result<Self, StoreError> {
        let connection = connection::open_snapshot(database)?;
        Ok(Self { connection, stage: Stage::Accounts, after: After::default() })
    }

    fn step(&mut self) -> rusqlite::Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        while pieces.is_empty() && self.stage != Stage::Done {
            pieces = self.read_on()?;
            if pieces.is_empty() {
                self.after = After::default();
                self.stage = match self.stage {
                    Stage::Accounts => Stage::Missed,
                    Stage::Missed => Stage::Notices,
                    Stage::Notices => Stage::Mail,
                    Stage::Mail | Stage::Done => Stage::Done,
                };
            }
        }
        Ok(pieces)
    }

    fn read_on(&mut self) -> rusqlite::Result<Vec<Piece>> {
        let (connection, after) = (&self.connection, &mut self.after);
        match self.stage {
            Stage::Accounts => {
                let select = "SELECT id, username, aik, created_at, deleted_at, shares_presence FROM accounts
                              WHERE id > ?1 ORDER BY id";
                let read = |found: &Row<'_>, pieces: &mut Vec<Piece>| account(connection, found, pieces);
                batch(connection, select, &mut after.row, read)
            }
            Stage::Missed => missed(connection, &mut after.device),
            Stage::Notices => {
                let select = "SELECT id, device, message, made_at FROM notices WHERE id > ?1 ORDER BY id";
                batch(connection, select, &mut after.row, |found, pieces| {
                    let notice = Notice { device: row::device(found, 1)?, message_id: row::message(found, 2)? };
                    pieces.push(Piece::Notice { notice, made_at: row::unsigned(found, 3)? });
                    Ok(())
                })
            }
            Stage::Mail => {
                let select =
                    "SELECT id, device, from_device, message, from_name, own, ord, accepted_at, header, content,
                                  wrap, shared
                              FROM mail WHERE id > ?1 ORDER BY id";
                batch(connection, select, &mut after.row, |found, pieces| {
                    pieces.push(Piece::Mail(mailboxes::mail(row::device(found, 1)?, found, 2)?));
                    Ok(())
                })
            }
            Stage::Done => Ok(Vec::new()),
        }
    }
}

#[async_trait]
impl Export for SqliteExport {
    async fn next(&mut self) -> Result<Vec<Piece>, StoreError> {
        self.step().map_err(error::running)
    }
}

/// Reads rows whose first column is a number above `after`, until there is enough for one batch.
fn batch(
    connection: &Connection,
    select: &str,
    after: &mut i64,
    mut read: impl FnMut(&Row<'_>, &mut Vec<Piece>) -> rusqlite::Result<()>,
) -> rusqlite::Result<Vec<Piece>> {
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([*after])?;
    let (mut pieces, mut size) = (Vec::new(), 0);
    while pieces.len() < BATCH_PIECES && size < BATCH_BYTES {
        let Some(found) = rows.next()? else { break };
        let before = pieces.len();
        read(found, &mut pieces)?;
        *after = found.get(0)?;
        size += pieces[before..].iter().map(Piece::size).sum::<usize>();
    }
    Ok(pieces)
}

/// An account with all that belongs to it.
fn account(connection: &Connection, found: &Row<'_>, pieces: &mut Vec<Piece>) -> rusqlite::Result<()> {
    let (id, username): (i64, Username) = (found.get(0)?, row::username(found, 1)?);
    let deleted_at = found.get::<_, Option<row::Unsigned>>(4)?.map(|row::Unsigned(at)| at);
    let links = links(connection, id)?;
    let manifest = links.last().cloned().ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    let account = Account {
        username: username.clone(),
        aik: row::bytes(found, 2)?,
        manifest,
        devices: accounts::devices(connection, id)?,
        shares_presence: found.get(5)?,
    };
    let whole =
        WholeAccount { account, created_at: row::unsigned(found, 3)?, deleted_at, removed: removed(connection, id)? };
    pieces.push(Piece::Account(Box::new(whole)));
    if deleted_at.is_none() {
        pieces.extend(links.into_iter().map(|link| Piece::Link { username: username.clone(), link }));
        let backups = backups::read(connection, &username)?;
        pieces.push(Piece::Backups { username, backups });
    }
    Ok(())
}

fn links(connection: &Connection, account: i64) -> rusqlite::Result<Vec<ManifestRecord>> {
    connection
        .prepare_cached("SELECT version, hash, document FROM manifests WHERE account = ?1 ORDER BY version")?
        .query_map([account], accounts::manifest)?
        .collect()
}

fn removed(connection: &Connection, account: i64) -> rusqlite::Result<Vec<DeviceId>> {
    connection
        .prepare_cached("SELECT id FROM devices WHERE account = ?1 AND removed_at IS NOT NULL ORDER BY id")?
        .query_map([account], |found| row::device(found, 0))?
        .collect()
}

fn missed(connection: &Connection, after: &mut Vec<u8>) -> rusqlite::Result<Vec<Piece>> {
    let mut statement =
        connection.prepare_cached("SELECT device, copies FROM missed WHERE device > ?1 ORDER BY device LIMIT ?2")?;
    let mut rows = statement.query((&after[..], row::ordered(BATCH_PIECES as u64)))?;
    let mut pieces = Vec::new();
    while let Some(found) = rows.next()? {
        pieces.push(Piece::Missed { device: row::device(found, 0)?, copies: row::unsigned(found, 1)? });
    }
    if let Some(Piece::Missed { device, .. }) = pieces.last() {
        *after = device.as_bytes().to_vec();
    }
    Ok(pieces)
}
