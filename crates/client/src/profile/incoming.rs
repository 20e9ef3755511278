//! What this device received: messages, replay marks, failures, and envelopes that wait for a decision.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use sealwire_protocol::frames::Delivered;
use sealwire_protocol::ids::{DeviceId, MessageId, Username};
use zeroize::Zeroizing;

use super::account::device_id;
use super::outgoing::{message_id, username};
use super::{Profile, ProfileError, damaged};
use crate::chain::{Link, Neighbours};

/// A message that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: Username,
    /// From which device.
    pub from_device: DeviceId,
    /// The conversation: to whom it was sent.
    pub to: Username,
    /// Its place in the chain of that device in that conversation.
    pub link: Link,
    /// When it was sealed, in milliseconds since 1970.
    pub timestamp: u64,
    /// Whether it is content for a person, not control between clients.
    pub is_content: bool,
    /// What it says. Not shown by `Debug`.
    pub body: Body,
    /// Whether the sending device has been removed since.
    pub from_removed_device: bool,
}

/// The content of a message; `Debug` shows its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// What becomes of a delivered envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// It was opened: message, replay mark and counter are stored.
    Opened(Box<Received>),
    /// It does not open, for good: stored as failed, without a replay mark.
    Failed {
        /// Whose it claims to be.
        from: Username,
        /// From which device, as claimed.
        from_device: DeviceId,
        /// Its id.
        message_id: MessageId,
        /// Its time, in milliseconds since 1970.
        timestamp: u64,
        /// What did not hold.
        reason: String,
    },
    /// Its sender or its time cannot be decided on yet: stored as it came.
    Deferred(Box<Delivered>),
}

impl Profile {
    /// Stores what was delivered, all in one transaction, in order; `done` are envelopes that had been deferred and
    /// are decided on now. Gives the positions of the messages that were opened.
    ///
    /// # Errors
    /// [`ProfileError::Database`]; nothing is stored then.
    pub fn take_in(&mut self, incoming: &[Incoming], done: &[i64]) -> Result<Vec<i64>, ProfileError> {
        let transaction = self.database.transaction()?;
        let mut positions = Vec::new();
        for one in incoming {
            match one {
                Incoming::Opened(received) => positions.push(insert(&transaction, received)?),
                Incoming::Failed { from, from_device, message_id, timestamp, reason } => {
                    transaction.execute(
                        "INSERT INTO failed (from_device, message_id, sender, timestamp, reason)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                        params![
                            from_device.as_bytes().as_slice(),
                            message_id.as_bytes().as_slice(),
                            from.as_str(),
                            i64::try_from(*timestamp).unwrap_or(i64::MAX),
                            reason
                        ],
                    )?;
                }
                Incoming::Deferred(frame) => {
                    let json = serde_json::to_string(frame).map_err(|_| damaged("an envelope"))?;
                    let sql = "INSERT INTO deferred (sender, frame) VALUES (?1, ?2)";
                    transaction.execute(sql, params![frame.from.as_str(), json])?;
                }
            }
        }
        for position in done {
            transaction.execute("DELETE FROM deferred WHERE position = ?1", [position])?;
        }
        transaction.commit()?;
        Ok(positions)
    }

    /// Whether a message of this name and device has been opened before. A server can give one account's device id to
    /// another: without the name, that one's messages could pass for these.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn has_seen(&self, from: &Username, device: &DeviceId, id: &MessageId) -> Result<bool, ProfileError> {
        let sql = "SELECT 1 FROM seen WHERE sender = ?1 AND from_device = ?2 AND message_id = ?3";
        let mut statement = self.database.prepare_cached(sql)?;
        Ok(statement.exists(params![from.as_str(), device.as_bytes().as_slice(), id.as_bytes().as_slice()])?)
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
        let sql = "SELECT previous, message_id FROM received
                   WHERE sender = ?1 AND from_device = ?2 AND conversation = ?3 AND counter = ?4 ORDER BY position LIMIT 1";
        let Ok(counter_column) = i64::try_from(counter) else { return Ok(None) };
        let mut statement = self.database.prepare_cached(sql)?;
        let key = params![from.as_str(), device.as_bytes().as_slice(), to.as_str(), counter_column];
        let row = statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        row.map(|(previous, id)| Ok(Link { counter, previous, message_id: message_id(id)? })).transpose()
    }

    /// The counter after the highest that was shown of a device in a conversation.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn next_to_show(&self, from: &Username, device: &DeviceId, to: &Username) -> Result<Option<u64>, ProfileError> {
        let sql = "SELECT max(counter) FROM received
                   WHERE sender = ?1 AND from_device = ?2 AND conversation = ?3 AND shown";
        let key = params![from.as_str(), device.as_bytes().as_slice(), to.as_str()];
        let highest: Option<u64> = self.database.query_row(sql, key, |row| row.get(0))?;
        Ok(highest.map(|highest| highest + 1))
    }

    /// The messages that were never shown, with their positions, oldest first.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn unshown(&self) -> Result<Vec<(i64, Received)>, ProfileError> {
        let sql = "SELECT position, sender, from_device, conversation, counter, previous, message_id, timestamp,
                          content_type, body, removed FROM received WHERE shown = 0 ORDER BY position";
        let mut statement = self.database.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push((row.get(0)?, read(row)?));
        }
        Ok(all)
    }

    /// Messages were shown.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn mark_shown(&mut self, positions: &[i64]) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        for position in positions {
            transaction.execute("UPDATE received SET shown = 1 WHERE position = ?1", [position])?;
        }
        Ok(transaction.commit()?)
    }

    /// The envelopes that wait for a decision, oldest first.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn deferred(&self) -> Result<Vec<(i64, Delivered)>, ProfileError> {
        let mut rows = self.database.prepare("SELECT position, frame FROM deferred ORDER BY position")?;
        let read = rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        read.map(|row| {
            let (position, frame) = row?;
            Ok((position, serde_json::from_str(&frame).map_err(|_| damaged("an envelope"))?))
        })
        .collect()
    }
}

fn insert(transaction: &Transaction<'_>, received: &Received) -> Result<i64, ProfileError> {
    let (device, id) = (received.from_device.as_bytes().as_slice(), received.link.message_id.as_bytes().as_slice());
    transaction.execute(
        "INSERT INTO seen (sender, from_device, message_id) VALUES (?1, ?2, ?3)",
        params![received.from.as_str(), device, id],
    )?;
    transaction.execute(
        "INSERT INTO received (from_device, message_id, sender, conversation, counter, previous, timestamp,
                               content_type, body, removed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            device,
            id,
            received.from.as_str(),
            received.to.as_str(),
            received.link.counter,
            received.link.previous.as_slice(),
            received.timestamp,
            if received.is_content { 1 } else { 2 },
            received.body.0.as_slice(),
            received.from_removed_device
        ],
    )?;
    Ok(transaction.last_insert_rowid())
}

fn read(row: &Row<'_>) -> Result<Received, ProfileError> {
    let link = Link { counter: row.get(4)?, previous: row.get(5)?, message_id: message_id(row.get(6)?)? };
    Ok(Received {
        from: username(&row.get::<_, String>(1)?)?,
        from_device: device_id(row.get(2)?)?,
        to: username(&row.get::<_, String>(3)?)?,
        link,
        timestamp: row.get(7)?,
        is_content: row.get::<_, u8>(8)? == 1,
        body: Body(Zeroizing::new(row.get(9)?)),
        from_removed_device: row.get(10)?,
    })
}
