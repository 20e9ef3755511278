//! Backups in SQL.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use sealwire_protocol::Username;

use super::row;
use crate::BackupRecord;

/// Makes a backup the newest one. False for an unknown name: then nothing was changed.
pub(super) fn put(transaction: &Transaction<'_>, username: &Username, new: &BackupRecord) -> rusqlite::Result<bool> {
    let Some(account) = account(transaction, username)? else { return Ok(false) };
    if !refresh(transaction, account, new)? {
        replace(transaction, account, new)?;
    }
    Ok(true)
}

fn account(transaction: &Transaction<'_>, username: &Username) -> rusqlite::Result<Option<i64>> {
    transaction
        .prepare_cached("SELECT id FROM accounts WHERE username = ?1 AND deleted_at IS NULL")?
        .query_one([username.as_str()], |found| found.get(0))
        .optional()
}

/// Writes over the newest one if it has the same id.
fn refresh(transaction: &Transaction<'_>, account: i64, new: &BackupRecord) -> rusqlite::Result<bool> {
    let changed = transaction
        .prepare_cached(
            "UPDATE backups SET put_at = ?3, data = ?4 WHERE account = ?1 AND id = ?2 AND replaced_at IS NULL",
        )?
        .execute((account, new.id, row::ordered(new.at), &new.data[..]))?;
    Ok(changed > 0)
}

fn replace(transaction: &Transaction<'_>, account: i64, new: &BackupRecord) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("DELETE FROM backups WHERE account = ?1 AND replaced_at IS NOT NULL")?
        .execute([account])?;
    transaction
        .prepare_cached("UPDATE backups SET replaced_at = ?2 WHERE account = ?1")?
        .execute((account, row::ordered(new.at)))?;
    insert(transaction, account, new, None)
}

/// Adds a backup as it is.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    account: i64,
    new: &BackupRecord,
    replaced_at: Option<i64>,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO backups (account, id, put_at, replaced_at, data) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute((account, new.id, row::ordered(new.at), replaced_at, &new.data[..]))
        .map(drop)
}

/// Erases what another one took the place of before `before`; says how many.
pub(super) fn erase_replaced(transaction: &Transaction<'_>, before: u64, limit: usize) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached(
            "DELETE FROM backups WHERE rowid IN (SELECT rowid FROM backups WHERE replaced_at < ?1 LIMIT ?2)",
        )?
        .execute((row::ordered(before), row::ordered(limit as u64)))
}

/// The backups of an account, newest first.
pub(super) fn read(connection: &Connection, username: &Username) -> rusqlite::Result<Vec<BackupRecord>> {
    connection
        .prepare_cached(
            "SELECT backups.id, data, ifnull(replaced_at, put_at) FROM backups JOIN accounts ON account = accounts.id
             WHERE username = ?1 ORDER BY replaced_at IS NOT NULL",
        )?
        .query_map([username.as_str()], backup)?
        .collect()
}

fn backup(found: &Row<'_>) -> rusqlite::Result<BackupRecord> {
    Ok(BackupRecord { id: row::hash(found, 0)?, data: row::bytes(found, 1)?, at: row::unsigned(found, 2)? })
}
