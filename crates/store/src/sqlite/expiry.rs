//! Mail that nobody has fetched in time, and the notices of it, in SQL.

use std::collections::HashSet;

use rusqlite::{Connection, Row, Transaction};
use sealwire_protocol::{DeviceId, MessageId};

use super::{mailboxes, row};
use crate::counters::{Change, Kind};
use crate::{EXPIRY_REACH, MailKey, NOTICE_LIFE, News, Notice};

/// What a call has done, to become true with the commit.
pub(super) struct Sweep {
    pub(super) notices: Vec<Notice>,
    pub(super) changes: Vec<Change>,
    /// Whether there is anything to commit.
    pub(super) changed: bool,
}

/// A copy to take out.
struct Due {
    id: i64,
    key: MailKey,
    change: Change,
}

/// Takes out copies that were accepted before `before`, and drops notices that are too old.
pub(super) fn expire(transaction: &Transaction<'_>, before: u64, limit: usize) -> rusqlite::Result<Sweep> {
    let dropped = drop_old_notices(transaction, before, limit)?;
    let due = due(transaction, before, limit)?;
    let mut delete = transaction.prepare_cached("DELETE FROM mail WHERE id = ?1")?;
    for copy in &due {
        delete.execute([copy.id])?;
        mailboxes::miss(transaction, &copy.change.device)?;
    }
    let notices = notices_of(transaction, &due)?;
    notices.iter().try_for_each(|notice| keep(transaction, notice, before))?;
    let changed = dropped > 0 || !due.is_empty();
    Ok(Sweep { notices, changes: due.into_iter().map(|copy| copy.change).collect(), changed })
}

/// Reads the table from its front: its rows lie in the order of arrival, so there is no index of ages that every append
/// would have to keep up.
fn due(transaction: &Transaction<'_>, before: u64, limit: usize) -> rusqlite::Result<Vec<Due>> {
    let mut statement = transaction.prepare_cached(
        "SELECT id, device, message, from_device, from_name, own, size, accepted_at FROM mail ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let (mut due, mut passed) = (Vec::new(), 0);
    while due.len() < limit && passed < EXPIRY_REACH {
        let Some(found) = rows.next()? else { break };
        if row::from_bits(found, 7)? < before {
            due.push(copy(found)?);
        } else {
            passed += 1;
        }
    }
    Ok(due)
}

fn copy(found: &Row<'_>) -> rusqlite::Result<Due> {
    let change = Change {
        device: row::device(found, 1)?,
        from: row::username(found, 4)?,
        own: found.get(5)?,
        size: row::unsigned(found, 6)?,
        kind: Kind::Removed,
    };
    let key = MailKey { from_device: row::device(found, 3)?, message_id: row::message(found, 2)? };
    Ok(Due { id: found.get(0)?, key, change })
}

/// The messages whose last copy for the addressee was among these, each once, but for those that a removed device has sent.
fn notices_of(transaction: &Transaction<'_>, gone: &[Due]) -> rusqlite::Result<Vec<Notice>> {
    let mut wanted = transaction.prepare_cached(
        "SELECT NOT EXISTS (SELECT 1 FROM mail WHERE message = ?1 AND from_device = ?2 AND NOT own)
            AND NOT EXISTS (SELECT 1 FROM devices WHERE id = ?2 AND removed_at IS NOT NULL)",
    )?;
    let mut asked = HashSet::new();
    let mut notices = Vec::new();
    for Due { key, .. } in gone.iter().filter(|copy| !copy.change.own) {
        let ids = (key.message_id.as_bytes(), key.from_device.as_bytes());
        if asked.insert(*key) && wanted.query_one(ids, |found| found.get(0))? {
            notices.push(Notice { device: key.from_device, message_id: key.message_id });
        }
    }
    Ok(notices)
}

/// One that is there already moves to the end.
pub(super) fn keep(transaction: &Transaction<'_>, notice: &Notice, made_at: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO notices (device, message, made_at) VALUES (?1, ?2, ?3)")?
        .execute((notice.device.as_bytes(), notice.message_id.as_bytes(), row::ordered(made_at)))
        .map(drop)
}

fn drop_old_notices(transaction: &Transaction<'_>, before: u64, limit: usize) -> rusqlite::Result<usize> {
    transaction
        .prepare_cached(
            "DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE made_at < ?1 ORDER BY made_at LIMIT ?2)",
        )?
        .execute((row::ordered(before.saturating_sub(NOTICE_LIFE)), row::ordered(limit as u64)))
}

/// What a device is to be told, as of one moment.
pub(super) fn news(connection: &mut Connection, device: &DeviceId, limit: usize) -> rusqlite::Result<News> {
    let transaction = connection.transaction()?;
    let missed = mailboxes::missed(&transaction, device)?;
    Ok(News { missed, notices: notices(&transaction, device, limit)? })
}

/// The notices for a device, oldest first.
fn notices(connection: &Connection, device: &DeviceId, limit: usize) -> rusqlite::Result<Vec<MessageId>> {
    connection
        .prepare_cached("SELECT message FROM notices WHERE device = ?1 ORDER BY id LIMIT ?2")?
        .query_map((device.as_bytes(), row::ordered(limit as u64)), |found| row::message(found, 0))?
        .collect()
}

/// Drops notices; one that is not there is no error.
pub(super) fn forget(transaction: &Transaction<'_>, device: &DeviceId, messages: &[MessageId]) -> rusqlite::Result<()> {
    let mut delete = transaction.prepare_cached("DELETE FROM notices WHERE device = ?1 AND message = ?2")?;
    messages.iter().try_for_each(|message| delete.execute((device.as_bytes(), message.as_bytes())).map(drop))
}
