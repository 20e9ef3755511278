//! Mail in SQL.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use sealwire_protocol::{DeviceId, Username};

use super::{error, row};
use crate::counters::{Change, Count, Kind};
use crate::{Appended, Batch, Fingerprint, Front, Held, Mail, MailKey, Place, Removal};

/// What a batch has done, to become true with the commit.
pub(super) struct Executed {
    pub(super) appended: Vec<Appended>,
    pub(super) changes: Vec<Change>,
}

/// Executes a batch: appends, then removals.
pub(super) fn execute(transaction: &Transaction<'_>, batch: &Batch) -> rusqlite::Result<Executed> {
    let mut changes = Vec::with_capacity(batch.appends.len() + batch.removals.len());
    let mut appended = Vec::with_capacity(batch.appends.len());
    for mail in &batch.appends {
        let outcome = append(transaction, mail)?;
        if outcome == Appended::Stored {
            changes.push(added(mail));
        }
        appended.push(outcome);
    }
    for removal in &batch.removals {
        changes.extend(remove(transaction, removal)?);
    }
    for device in &batch.missed {
        miss(transaction, device)?;
    }
    Ok(Executed { appended, changes })
}

fn append(transaction: &Transaction<'_>, mail: &Mail) -> rusqlite::Result<Appended> {
    match insert(transaction, mail) {
        Ok(1) => Ok(Appended::Stored),
        Ok(_) => {
            move_forward(transaction, mail)?;
            held(transaction, mail).map(Appended::Repeat)
        }
        // SQLite has undone this statement only, so the other rows stand.
        Err(error) if error::is_of_one_row(&error) => {
            tracing::warn!(error = error::describe(&error), "one append of a batch failed");
            Ok(Appended::Failed)
        }
        Err(error) => Err(error),
    }
}

/// Answers 0 when the copy is held already.
pub(super) fn insert(transaction: &Transaction<'_>, mail: &Mail) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached(
            "INSERT INTO mail
                 (device, ord, message, from_device, from_name, own, size, accepted_at, header, content, wrap, shared)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (message, from_device, device) DO NOTHING",
        )?
        .execute((
            mail.device.as_bytes(),
            // Beyond MAX_ORDER there is no value, and the column refuses the row.
            i64::try_from(mail.order).ok(),
            mail.key.message_id.as_bytes(),
            mail.key.from_device.as_bytes(),
            mail.from.as_str(),
            mail.own,
            row::ordered(mail.size() as u64),
            row::bits(mail.accepted_at),
            row::bits(mail.fingerprint.header),
            row::bits(mail.fingerprint.content),
            &mail.wrap[..],
            &mail.shared[..],
        ))
}

/// A copy is held under the lowest order that it came with.
fn move_forward(transaction: &Transaction<'_>, mail: &Mail) -> rusqlite::Result<()> {
    let (key, order) = (mail.key, row::ordered(mail.order));
    transaction
        .prepare_cached(
            "UPDATE mail SET ord = ?4 WHERE from_device = ?1 AND message = ?2 AND device = ?3 AND ord > ?4",
        )?
        .execute((key.from_device.as_bytes(), key.message_id.as_bytes(), mail.device.as_bytes(), order))
        .map(drop)
}

fn held(transaction: &Transaction<'_>, mail: &Mail) -> rusqlite::Result<Fingerprint> {
    transaction
        .prepare_cached("SELECT header, content FROM mail WHERE from_device = ?1 AND message = ?2 AND device = ?3")?
        .query_row((mail.key.from_device.as_bytes(), mail.key.message_id.as_bytes(), mail.device.as_bytes()), |found| {
            fingerprint(found, 0)
        })
}

fn added(mail: &Mail) -> Change {
    Change { device: mail.device, from: mail.from.clone(), own: mail.own, size: mail.size() as u64, kind: Kind::Added }
}

fn remove(transaction: &Transaction<'_>, removal: &Removal) -> rusqlite::Result<Option<Change>> {
    let Removal { device, key } = *removal;
    transaction
        .prepare_cached(
            "DELETE FROM mail WHERE from_device = ?1 AND message = ?2 AND device = ?3
             RETURNING from_name, own, size",
        )?
        .query_one((key.from_device.as_bytes(), key.message_id.as_bytes(), device.as_bytes()), |found| {
            let from = row::username(found, 0)?;
            Ok(Change { device, from, own: found.get(1)?, size: row::unsigned(found, 2)?, kind: Kind::Removed })
        })
        .optional()
}

/// Counts a copy that a device has lost, unless the device was removed: nobody will ask.
pub(super) fn miss(transaction: &Transaction<'_>, device: &DeviceId) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO missed
             SELECT ?1, 1 WHERE NOT EXISTS (SELECT 1 FROM devices WHERE id = ?1 AND removed_at IS NOT NULL)
             ON CONFLICT (device) DO UPDATE SET copies = copies + 1",
        )?
        .execute([device.as_bytes()])
        .map(drop)
}

/// Reads the front of a mailbox. First the index alone, which passes over mail in flight without reading it; then the
/// rows that it names.
pub(super) fn front(
    connection: &mut Connection,
    device: &DeviceId,
    except: &HashSet<MailKey>,
    max_messages: usize,
    max_bytes: usize,
) -> rusqlite::Result<Front> {
    let transaction = connection.transaction()?;
    let (ids, more) = front_ids(&transaction, device, except, max_messages, max_bytes)?;
    let mut statement = transaction.prepare_cached(
        "SELECT from_device, message, from_name, own, ord, accepted_at, header, content, wrap, shared
         FROM mail WHERE id = ?1",
    )?;
    let mail =
        ids.iter().map(|id| statement.query_row([id], |found| mail(*device, found, 0))).collect::<Result<_, _>>()?;
    Ok(Front { mail, more })
}

/// The rows of the front, and whether there are more.
fn front_ids(
    transaction: &Transaction<'_>,
    device: &DeviceId,
    except: &HashSet<MailKey>,
    max_messages: usize,
    max_bytes: usize,
) -> rusqlite::Result<(Vec<i64>, bool)> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, from_device, message, size FROM mail WHERE device = ?1 ORDER BY ord, message, from_device",
    )?;
    let mut rows = statement.query([device.as_bytes()])?;
    let (mut ids, mut bytes) = (Vec::new(), 0);
    while let Some(found) = rows.next()? {
        if !except.is_empty() && except.contains(&key(found, 1)?) {
            continue;
        }
        if ids.len() >= max_messages || (bytes >= max_bytes as u64 && !ids.is_empty()) {
            return Ok((ids, true));
        }
        bytes += row::unsigned(found, 3)?;
        ids.push(found.get(0)?);
    }
    Ok((ids, false))
}

fn key(found: &Row<'_>, column: usize) -> rusqlite::Result<MailKey> {
    Ok(MailKey { from_device: row::device(found, column)?, message_id: row::message(found, column + 1)? })
}

/// A copy whose sending device stands in this column, and the rest behind it.
pub(super) fn mail(device: DeviceId, found: &Row<'_>, column: usize) -> rusqlite::Result<Mail> {
    Ok(Mail {
        device,
        key: key(found, column)?,
        from: row::username(found, column + 2)?,
        own: found.get(column + 3)?,
        order: row::unsigned(found, column + 4)?,
        accepted_at: row::from_bits(found, column + 5)?,
        fingerprint: fingerprint(found, column + 6)?,
        wrap: row::bytes(found, column + 8)?,
        shared: row::bytes(found, column + 9)?,
    })
}

fn fingerprint(found: &Row<'_>, column: usize) -> rusqlite::Result<Fingerprint> {
    Ok(Fingerprint { header: row::from_bits(found, column)?, content: row::from_bits(found, column + 1)? })
}

/// The copies of a message.
pub(super) fn find(connection: &Connection, key: &MailKey) -> rusqlite::Result<Vec<Held>> {
    connection
        .prepare_cached("SELECT device, header, content FROM mail WHERE from_device = ?1 AND message = ?2")?
        .query_map((key.from_device.as_bytes(), key.message_id.as_bytes()), |found| {
            Ok(Held { device: row::device(found, 0)?, fingerprint: fingerprint(found, 1)? })
        })?
        .collect()
}

/// Counts a mailbox through.
pub(super) fn count(connection: &Connection, device: &DeviceId) -> rusqlite::Result<Count> {
    let mut statement = connection.prepare_cached(
        "SELECT from_name, own, count(*), sum(size) FROM mail WHERE device = ?1 GROUP BY from_name, own",
    )?;
    let mut rows = statement.query([device.as_bytes()])?;
    let mut count = Count::default();
    while let Some(found) = rows.next()? {
        let from: Username = row::username(found, 0)?;
        let place = Place { messages: row::unsigned(found, 2)?, bytes: row::unsigned(found, 3)? };
        count.add(from, found.get(1)?, place);
    }
    Ok(count)
}

/// How many copies a device has lost.
pub(super) fn missed(connection: &Connection, device: &DeviceId) -> rusqlite::Result<u64> {
    let missed = connection
        .prepare_cached("SELECT copies FROM missed WHERE device = ?1")?
        .query_row([device.as_bytes()], |found| row::unsigned(found, 0))
        .optional()?;
    Ok(missed.unwrap_or(0))
}

/// Takes copies off, down to none.
pub(super) fn forget_missed(transaction: &Transaction<'_>, device: &DeviceId, count: u64) -> rusqlite::Result<()> {
    let count = row::ordered(count);
    transaction
        .prepare_cached("DELETE FROM missed WHERE device = ?1 AND copies <= ?2")?
        .execute((device.as_bytes(), count))?;
    transaction
        .prepare_cached("UPDATE missed SET copies = copies - ?2 WHERE device = ?1")?
        .execute((device.as_bytes(), count))
        .map(drop)
}

/// Which of these devices have mail.
pub(super) fn with_mail(connection: &Connection, mut devices: Vec<DeviceId>) -> rusqlite::Result<Vec<DeviceId>> {
    devices.sort_unstable();
    devices.dedup();
    let mut has_mail = connection.prepare_cached("SELECT 1 FROM mail WHERE device = ?1 LIMIT 1")?;
    let mut found = Vec::new();
    for device in devices {
        if has_mail.exists([device.as_bytes()])? {
            found.push(device);
        }
    }
    Ok(found)
}

/// The highest order, by hopping from mailbox to mailbox in the index of fronts: no index of its own to keep up for a
/// question that is asked once.
pub(super) fn highest_order(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "WITH RECURSIVE mailboxes (device) AS (
                 SELECT min(device) FROM mail
                 UNION ALL
                 SELECT (SELECT min(device) FROM mail WHERE device > mailboxes.device)
                 FROM mailboxes WHERE device IS NOT NULL
             )
             SELECT ifnull(max((SELECT max(ord) FROM mail WHERE mail.device = mailboxes.device)), 0) FROM mailboxes",
        )?
        .query_row([], |found| row::unsigned(found, 0))
}
