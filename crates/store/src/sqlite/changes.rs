//! What changes in an account after it was made, in SQL: its chain and devices, their wrap keys, its end.

use std::collections::{BTreeSet, HashSet};

use rusqlite::{OptionalExtension, Transaction};
use sealwire_protocol::{DeviceId, Kid, Username};

use super::accounts::{insert_device, insert_manifest, insert_wrap, seen};
use super::row;
use crate::accounts::REPLACED_WRAP_LIFE;
use crate::{Extended, ManifestChange, ManifestRecord, WrapPut, WrapRecord};

/// What is asked of an account before its chain grows.
struct Found {
    id: i64,
    deleted: bool,
    newest: (u64, [u8; 32]),
}

/// Adds a link, or finds why not; then nothing was changed.
pub(super) fn extend(transaction: &Transaction<'_>, change: &ManifestChange) -> rusqlite::Result<Extended> {
    let Some(account) = find(transaction, &change.username)? else { return Ok(Extended::Unknown) };
    if holds(transaction, account.id, &change.manifest)? {
        return Ok(Extended::Repeat);
    }
    if account.deleted {
        return Ok(Extended::Unknown);
    }
    let (version, hash) = account.newest;
    if version + 1 != change.manifest.version || hash != change.previous {
        return Ok(Extended::Conflict);
    }
    let before = listed(transaction, account.id)?;
    if has_taken_device(transaction, &before, change)? {
        return Ok(Extended::DeviceTaken);
    }
    apply(transaction, account.id, &before, change).map(|removed| Extended::Yes { removed })
}

fn find(transaction: &Transaction<'_>, username: &Username) -> rusqlite::Result<Option<Found>> {
    transaction
        .prepare_cached(
            "SELECT accounts.id, deleted_at IS NOT NULL, version, hash FROM accounts JOIN manifests ON account = accounts.id
             WHERE username = ?1 ORDER BY version DESC LIMIT 1",
        )?
        .query_row([username.as_str()], |found| {
            let newest = (row::unsigned(found, 2)?, row::hash(found, 3)?);
            Ok(Found { id: found.get(0)?, deleted: found.get(1)?, newest })
        })
        .optional()
}

fn holds(transaction: &Transaction<'_>, account: i64, link: &ManifestRecord) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM manifests WHERE account = ?1 AND version = ?2 AND hash = ?3)")?
        .query_one((account, row::ordered(link.version), link.hash), |found| found.get(0))
}

/// The devices of the newest link.
fn listed(transaction: &Transaction<'_>, account: i64) -> rusqlite::Result<BTreeSet<DeviceId>> {
    transaction
        .prepare_cached("SELECT id FROM devices WHERE account = ?1 AND removed_at IS NULL")?
        .query_map([account], |found| row::device(found, 0))?
        .collect()
}

fn has_taken_device(
    transaction: &Transaction<'_>,
    before: &BTreeSet<DeviceId>,
    change: &ManifestChange,
) -> rusqlite::Result<bool> {
    let mut known = transaction.prepare_cached("SELECT EXISTS (SELECT 1 FROM devices WHERE id = ?1)")?;
    let mut ids = HashSet::new();
    for (id, _) in &change.devices {
        let taken = !before.contains(id) && known.query_one([id.as_bytes()], |found| found.get(0))?;
        if taken || !ids.insert(*id) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn apply(
    transaction: &Transaction<'_>,
    account: i64,
    before: &BTreeSet<DeviceId>,
    change: &ManifestChange,
) -> rusqlite::Result<Vec<DeviceId>> {
    let after: BTreeSet<_> = change.devices.iter().map(|(id, _)| *id).collect();
    let removed: Vec<_> = before.difference(&after).copied().collect();
    removed.iter().try_for_each(|device| remove_device(transaction, device, change.at))?;
    if after.is_empty() {
        delete(transaction, account, change)?;
        return Ok(removed);
    }
    insert_manifest(transaction, account, &change.manifest)?;
    let new = change.devices.iter().filter(|(id, _)| !before.contains(id));
    new.into_iter().try_for_each(|(id, dsk)| insert_device(transaction, account, id, dsk, 0))?;
    Ok(removed)
}

fn remove_device(transaction: &Transaction<'_>, device: &DeviceId, at: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE devices SET removed_at = ?2, dsk = x'' WHERE id = ?1")?
        .execute((device.as_bytes(), row::ordered(at)))?;
    for statement in [
        "DELETE FROM wraps WHERE device = ?1",
        "DELETE FROM mail WHERE device = ?1",
        "DELETE FROM missed WHERE device = ?1",
        "DELETE FROM notices WHERE device = ?1",
    ] {
        transaction.prepare_cached(statement)?.execute([device.as_bytes()])?;
    }
    Ok(())
}

/// Leaves the name, and of the chain the version and hash of the last link.
fn delete(transaction: &Transaction<'_>, account: i64, change: &ManifestChange) -> rusqlite::Result<()> {
    for statement in ["DELETE FROM manifests WHERE account = ?1", "DELETE FROM backups WHERE account = ?1"] {
        transaction.prepare_cached(statement)?.execute([account])?;
    }
    transaction
        .prepare_cached("UPDATE accounts SET deleted_at = ?2, aik = x'', shares_presence = 0 WHERE id = ?1")?
        .execute((account, row::ordered(change.at)))?;
    let last = ManifestRecord { document: bytes::Bytes::new(), ..change.manifest.clone() };
    insert_manifest(transaction, account, &last)
}

/// Gives a device a wrap key, or finds why not; then nothing was changed.
pub(super) fn put_wrap(
    transaction: &Transaction<'_>,
    device: &DeviceId,
    wrap: &WrapRecord,
    at: u64,
) -> rusqlite::Result<WrapPut> {
    if !is_listed(transaction, device)? {
        return Ok(WrapPut::Unknown);
    }
    match newest_wrap(transaction, device)? {
        Some(newest) if newest == (wrap.seq, wrap.kid) => return Ok(WrapPut::Repeat),
        Some((seq, _)) if seq >= wrap.seq => return Ok(WrapPut::Old),
        _ => {}
    }
    transaction
        .prepare_cached("UPDATE wraps SET replaced_at = ?2 WHERE device = ?1 AND replaced_at IS NULL")?
        .execute((device.as_bytes(), row::ordered(at)))?;
    transaction
        .prepare_cached("DELETE FROM wraps WHERE device = ?1 AND replaced_at < ?2")?
        .execute((device.as_bytes(), row::ordered(at.saturating_sub(REPLACED_WRAP_LIFE))))?;
    insert_wrap(transaction, device, wrap)?;
    seen(transaction, device, at)?;
    Ok(WrapPut::Yes)
}

fn is_listed(transaction: &Transaction<'_>, device: &DeviceId) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM devices WHERE id = ?1 AND removed_at IS NULL)")?
        .query_one([device.as_bytes()], |found| found.get(0))
}

fn newest_wrap(transaction: &Transaction<'_>, device: &DeviceId) -> rusqlite::Result<Option<(u64, Kid)>> {
    transaction
        .prepare_cached("SELECT seq, kid FROM wraps WHERE device = ?1 AND replaced_at IS NULL")?
        .query_one([device.as_bytes()], |found| Ok((row::from_bits(found, 0)?, row::kid(found, 1)?)))
        .optional()
}
