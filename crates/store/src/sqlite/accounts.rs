//! Accounts, manifests and devices in SQL.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use sealwire_protocol::{DeviceId, Username};

use super::{error, row};
use crate::{Account, Created, Device, ManifestRecord, NewAccount, WrapRecord};

/// Adds an account, or finds that its name or one of its devices is taken; then the transaction must be rolled back.
pub(super) fn create(transaction: &Transaction<'_>, new: &NewAccount) -> rusqlite::Result<Created> {
    let taken = |outcome: rusqlite::Result<()>| match outcome {
        Err(error) if error::is_of_one_row(&error) => Ok(true),
        Err(error) => Err(error),
        Ok(()) => Ok(false),
    };
    if taken(insert_account(transaction, new))? {
        return Ok(Created::NameTaken);
    }
    let device_taken = taken(insert_keys(transaction, new, transaction.last_insert_rowid()))?;
    Ok(if device_taken { Created::DeviceTaken } else { Created::Yes })
}

fn insert_account(transaction: &Transaction<'_>, new: &NewAccount) -> rusqlite::Result<()> {
    transaction.prepare_cached("INSERT INTO accounts (username, aik, created_at) VALUES (?1, ?2, ?3)")?.execute((
        new.username.as_str(),
        &new.aik[..],
        row::ordered(new.created_at),
    ))?;
    Ok(())
}

fn insert_keys(transaction: &Transaction<'_>, new: &NewAccount, account: i64) -> rusqlite::Result<()> {
    insert_manifest(transaction, account, &new.manifest)?;
    let (registering, wrap) = &new.wrap;
    for (device, dsk) in &new.devices {
        let last_seen = if device == registering { row::ordered(new.created_at) } else { 0 };
        insert_device(transaction, account, device, dsk, last_seen)?;
        if device == registering {
            insert_wrap(transaction, device, wrap)?;
        }
    }
    Ok(())
}

pub(super) fn insert_device(
    transaction: &Transaction<'_>,
    account: i64,
    device: &DeviceId,
    dsk: &Bytes,
    last_seen: i64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO devices (id, account, dsk, last_seen) VALUES (?1, ?2, ?3, ?4)")?
        .execute((device.as_bytes(), account, &dsk[..], last_seen))
        .map(drop)
}

pub(super) fn insert_manifest(
    transaction: &Transaction<'_>,
    account: i64,
    manifest: &ManifestRecord,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO manifests (account, version, hash, document) VALUES (?1, ?2, ?3, ?4)")?
        .execute((account, row::ordered(manifest.version), manifest.hash, &manifest.document[..]))
        .map(drop)
}

pub(super) fn insert_wrap(transaction: &Transaction<'_>, device: &DeviceId, wrap: &WrapRecord) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO wraps (device, seq, kid, document) VALUES (?1, ?2, ?3, ?4)")?
        .execute((device.as_bytes(), row::bits(wrap.seq), wrap.kid.as_bytes(), &wrap.document[..]))
        .map(drop)
}

/// Moves the time of a device forward; an unknown one is no error.
pub(super) fn seen(transaction: &Transaction<'_>, device: &DeviceId, at: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE devices SET last_seen = max(last_seen, ?2) WHERE id = ?1")?
        .execute((device.as_bytes(), row::ordered(at)))
        .map(drop)
}

/// Whether presence is shared; an unknown name is no error.
pub(super) fn share_presence(transaction: &Transaction<'_>, username: &Username, shared: bool) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE accounts SET shares_presence = ?2 WHERE username = ?1 AND deleted_at IS NULL")?
        .execute((username.as_str(), shared))
        .map(drop)
}

/// Reads an account as of one moment.
pub(super) fn read(connection: &mut Connection, username: &Username) -> rusqlite::Result<Option<Account>> {
    let transaction = connection.transaction()?;
    let Some((account, aik, shares_presence)) = find(&transaction, username)? else { return Ok(None) };
    let manifest = transaction
        .prepare_cached(
            "SELECT version, hash, document FROM manifests WHERE account = ?1 ORDER BY version DESC LIMIT 1",
        )?
        .query_row([account], manifest)?;
    let devices = devices(&transaction, account)?;
    Ok(Some(Account { username: username.clone(), aik, manifest, devices, shares_presence }))
}

fn find(transaction: &Transaction<'_>, username: &Username) -> rusqlite::Result<Option<(i64, Bytes, bool)>> {
    transaction
        .prepare_cached("SELECT id, aik, shares_presence FROM accounts WHERE username = ?1 AND deleted_at IS NULL")?
        .query_row([username.as_str()], |found| Ok((found.get(0)?, row::bytes(found, 1)?, found.get(2)?)))
        .optional()
}

pub(super) fn devices(connection: &Connection, account: i64) -> rusqlite::Result<Vec<Device>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, dsk, last_seen FROM devices WHERE account = ?1 AND removed_at IS NULL ORDER BY id",
    )?;
    let mut devices = statement.query_map([account], device)?.collect::<Result<Vec<_>, _>>()?;
    devices.iter_mut().try_for_each(|device| add_wraps(connection, device))?;
    Ok(devices)
}

fn device(found: &Row<'_>) -> rusqlite::Result<Device> {
    Ok(Device {
        id: row::device(found, 0)?,
        dsk: row::bytes(found, 1)?,
        wrap: None,
        replaced: Vec::new(),
        last_seen: row::unsigned(found, 2)?,
    })
}

/// The wrap key that has not been replaced is the newest one. `seq` rises with every key, and the numbers that look negative
/// here are the highest ones ([`row::bits`]).
fn add_wraps(connection: &Connection, device: &mut Device) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT replaced_at, kid, seq, document FROM wraps WHERE device = ?1 ORDER BY seq < 0 DESC, seq DESC",
    )?;
    let mut wraps = statement.query([device.id.as_bytes()])?;
    while let Some(found) = wraps.next()? {
        let kid = row::kid(found, 1)?;
        match found.get::<_, Option<row::Unsigned>>(0)? {
            Some(row::Unsigned(replaced_at)) => device.replaced.push((kid, replaced_at)),
            None => {
                device.wrap = Some(WrapRecord { seq: row::from_bits(found, 2)?, kid, document: row::bytes(found, 3)? });
            }
        }
    }
    Ok(())
}

/// Reads links of a manifest chain, oldest first.
pub(super) fn manifests(
    connection: &Connection,
    username: &Username,
    since: u64,
    limit: usize,
) -> rusqlite::Result<Vec<ManifestRecord>> {
    connection
        .prepare_cached(
            "SELECT version, hash, document FROM manifests
             WHERE account = (SELECT id FROM accounts WHERE username = ?1 AND deleted_at IS NULL) AND version > ?2
             ORDER BY version LIMIT ?3",
        )?
        .query_map((username.as_str(), row::ordered(since), row::ordered(limit as u64)), manifest)?
        .collect()
}

pub(super) fn manifest(found: &Row<'_>) -> rusqlite::Result<ManifestRecord> {
    Ok(ManifestRecord {
        version: row::unsigned(found, 0)?,
        hash: row::hash(found, 1)?,
        document: row::bytes(found, 2)?,
    })
}
