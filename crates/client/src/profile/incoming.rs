//! What this device received: messages, replay marks, failures, and envelopes that wait for a decision.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use sealwire_protocol::frames::Delivered;
use sealwire_protocol::ids::{DeviceId, MessageId, Username};

use super::account::device_id;
use super::contacts::{decide, heard_of};
use super::history::{message_row, resort};
use super::outgoing::message_id;
use super::{Body, Incoming, Profile, ProfileError, Received, Taken, damaged, json};
use crate::chain::{Link, Neighbours};
use crate::vault::Vault;

impl Profile {
    /// Stores what was delivered, all in one transaction, in order; `done` are envelopes that had been deferred and
    /// are decided on now. Gives one [`Taken`] for each message that was opened. Of blocked people the replay mark and the
    /// place in the chain are stored, and nothing else.
    ///
    /// # Errors
    /// [`ProfileError::Database`]; nothing is stored then.
    pub fn take_in(&mut self, incoming: &[Incoming], done: &[i64]) -> Result<Vec<Taken>, ProfileError> {
        let me = self.own_name()?;
        let transaction = self.database.transaction()?;
        let mut taken = Vec::new();
        for one in incoming {
            match one {
                Incoming::Opened(received) => taken.push(insert(&transaction, &self.vault, me.as_ref(), received)?),
                Incoming::Failed { from, from_device, message_id, timestamp, reason } => {
                    transaction.execute(
                        "INSERT INTO failed (from_device, message_id, sender, timestamp, reason)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                        params![
                            from_device.as_bytes().as_slice(),
                            message_id.as_bytes().as_slice(),
                            self.vault.name(from),
                            i64::try_from(*timestamp).unwrap_or(i64::MAX),
                            self.vault.seal("failed.reason", message_id.as_bytes(), reason.as_bytes())
                        ],
                    )?;
                }
                Incoming::Deferred(frame) => {
                    let sender = self.vault.name(&frame.from);
                    let frame = self.vault.seal("deferred.frame", &sender, &json(frame));
                    let sql = "INSERT INTO deferred (sender, frame) VALUES (?1, ?2)";
                    transaction.execute(sql, params![sender, frame])?;
                }
            }
        }
        for position in done {
            transaction.execute("DELETE FROM deferred WHERE position = ?1", [position])?;
        }
        transaction.commit()?;
        Ok(taken)
    }

    /// Whether a message of this name and device has been opened before. A server can give one account's device id to
    /// another: without the name, that one's messages could pass for these.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn has_seen(&self, from: &Username, device: &DeviceId, id: &MessageId) -> Result<bool, ProfileError> {
        let sql = "SELECT 1 FROM seen WHERE sender = ?1 AND from_device = ?2 AND message_id = ?3";
        let mut statement = self.database.prepare_cached(sql)?;
        Ok(statement.exists(params![self.vault.name(from), device.as_bytes().as_slice(), id.as_bytes().as_slice()])?)
    }

    /// What is known around a place in the chain of a device in a conversation.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn neighbours(
        &self,
        from: &Username,
        device: &DeviceId,
        to: &Username,
        counter: u64,
    ) -> Result<Neighbours, ProfileError> {
        Ok(Neighbours {
            same: self.link_at((from, device, to), counter)?.map(|link| link.message_id),
            before: self.link_at((from, device, to), counter - 1)?,
            after: self.link_at((from, device, to), counter.saturating_add(1))?,
        })
    }

    fn link_at(
        &self,
        (from, device, to): (&Username, &DeviceId, &Username),
        counter: u64,
    ) -> Result<Option<Link>, ProfileError> {
        let sql = "SELECT previous, message_id FROM messages
                   WHERE sender = ?1 AND from_device = ?2 AND conversation = ?3 AND counter = ?4 AND NOT imported
                   ORDER BY position LIMIT 1";
        let Ok(counter_column) = i64::try_from(counter) else { return Ok(None) };
        let mut statement = self.database.prepare_cached(sql)?;
        let (sender, conversation) = (self.vault.name(from), self.vault.name(to));
        let key = params![sender, device.as_bytes().as_slice(), conversation, counter_column];
        let row = statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        row.map(|(previous, id)| Ok(Link { counter, previous, message_id: message_id(id)? })).transpose()
    }

    /// The counter after the highest that was shown of a device in a conversation.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn next_to_show(&self, from: &Username, device: &DeviceId, to: &Username) -> Result<Option<u64>, ProfileError> {
        let sql = "SELECT max(counter) FROM messages
                   WHERE sender = ?1 AND from_device = ?2 AND conversation = ?3 AND shown AND NOT imported";
        let key = params![self.vault.name(from), device.as_bytes().as_slice(), self.vault.name(to)];
        let highest: Option<u64> = self.database.query_row(sql, key, |row| row.get(0))?;
        Ok(highest.map(|highest| highest + 1))
    }

    /// The messages that were never shown, with their positions, oldest first.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn unshown(&self) -> Result<Vec<(i64, Received)>, ProfileError> {
        let sql = "SELECT position, sender, from_device, conversation, counter, previous, message_id, timestamp,
                          is_content, body, removed FROM messages WHERE shown = 0 ORDER BY position";
        let mut statement = self.database.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push((row.get(0)?, self.read_received(row)?));
        }
        Ok(all)
    }

    fn read_received(&self, row: &Row<'_>) -> Result<Received, ProfileError> {
        let (sender, device, id) = (row.get::<_, Vec<u8>>(1)?, row.get(2)?, message_id(row.get(6)?)?);
        let body = self.vault.open("messages.body", &message_row(&sender, &device, &id), &row.get::<_, Vec<u8>>(9)?)?;
        Ok(Received {
            from: self.vault.open_name(&sender)?,
            from_device: device_id(device)?,
            to: self.vault.open_name(&row.get::<_, Vec<u8>>(3)?)?,
            link: Link { counter: row.get(4)?, previous: row.get(5)?, message_id: id },
            timestamp: row.get(7)?,
            is_content: row.get(8)?,
            body: Body(body),
            from_removed_device: row.get(10)?,
        })
    }

    /// Messages were shown.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn mark_shown(&mut self, positions: &[i64]) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        for position in positions {
            transaction.execute("UPDATE messages SET shown = 1 WHERE position = ?1", [position])?;
        }
        Ok(transaction.commit()?)
    }

    /// The envelopes that wait for a decision, oldest first.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn deferred(&self) -> Result<Vec<(i64, Delivered)>, ProfileError> {
        let mut rows = self.database.prepare("SELECT position, sender, frame FROM deferred ORDER BY position")?;
        let read = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?)))?;
        read.map(|row| {
            let (position, sender, frame) = row?;
            let frame = self.vault.open("deferred.frame", &sender, &frame)?;
            Ok((position, serde_json::from_slice(&frame).map_err(|_| damaged("an envelope"))?))
        })
        .collect()
    }
}

fn insert(
    t: &Transaction<'_>,
    vault: &Vault,
    me: Option<&Username>,
    received: &Received,
) -> Result<Taken, ProfileError> {
    let (device, id) = (received.from_device.as_bytes(), &received.link.message_id);
    let (sender, conversation) = (vault.name(&received.from), vault.name(&received.to));
    let own = me == Some(&received.from);
    let peer = if own { &conversation } else { &sender };
    let silenced = if own {
        decide(t, peer, "accepted", true)?;
        false
    } else {
        heard_of(t, peer)?
    };
    let body: &[u8] = if silenced { &[] } else { &received.body.0 };
    t.execute(
        "INSERT INTO seen (sender, from_device, message_id) VALUES (?1, ?2, ?3)",
        params![sender, device.as_slice(), id.as_bytes().as_slice()],
    )?;
    // What a history file said of it is replaced by what has come itself.
    let position = t.query_row(
        "INSERT INTO messages (peer, sender, conversation, own, from_device, message_id, counter, previous, timestamp,
                               sort_time, is_content, body, state, removed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11, 'received', ?12)
         ON CONFLICT (sender, from_device, message_id) DO UPDATE
         SET counter = excluded.counter, previous = excluded.previous, timestamp = excluded.timestamp,
             is_content = excluded.is_content, body = excluded.body, state = excluded.state,
             removed = excluded.removed, imported = 0
         WHERE imported
         RETURNING position",
        params![
            peer,
            sender,
            conversation,
            own,
            device.as_slice(),
            id.as_bytes().as_slice(),
            received.link.counter,
            received.link.previous.as_slice(),
            received.timestamp,
            received.is_content && !silenced,
            vault.seal("messages.body", &message_row(&sender, device, id), body),
            received.from_removed_device
        ],
        |row| row.get(0),
    )?;
    resort(t, position)?;
    Ok(Taken { position, silenced })
}
