//! What this device sends: the end of each chain, the outbox, and what has had a status.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use sealwire_protocol::frames::Status;
use sealwire_protocol::ids::{MessageId, Username};

use super::{Profile, ProfileError, damaged};
use crate::chain::{Head, Link};

/// What is said in a message, before it is sealed.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// JSON for the other side's person.
    Content(Vec<u8>),
    /// Nothing, in the place of a message that was given up.
    EmptyControl,
}

/// A message in the outbox.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// To whom, which names the conversation.
    pub to: Username,
    /// Its place in the chain.
    pub link: Link,
    /// What it says.
    pub content: Content,
    /// The frame to send, once sealed; the same bytes until the first status.
    pub frame: Option<String>,
}

impl Content {
    /// What the payload's body is.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Content(body) => body,
            Self::EmptyControl => &[],
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Content(_) => 1,
            Self::EmptyControl => 2,
        }
    }
}

/// `counter`s fit: a device would have to send for longer than there were people.
fn integer(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

impl Profile {
    /// Puts messages into the outbox and gives them their places, in one transaction.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn enqueue(&mut self, messages: &[(Username, MessageId, Content)]) -> Result<Vec<Link>, ProfileError> {
        let transaction = self.database.transaction()?;
        let links = messages
            .iter()
            .map(|(to, id, content)| {
                let mut head = head(&transaction, to)?;
                let link = head.take(*id);
                store_head(&transaction, to, &head)?;
                insert(&transaction, to, &link, content)?;
                Ok(link)
            })
            .collect::<Result<_, ProfileError>>()?;
        transaction.commit()?;
        Ok(links)
    }

    /// The ids in the outbox in order: whether each is sealed, and whether it stands for one that was given up.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn outbox(&self) -> Result<Vec<(Username, MessageId, bool, bool)>, ProfileError> {
        let sql = "SELECT conversation, message_id, frame IS NOT NULL, replaced FROM outbox ORDER BY position";
        let mut rows = self.database.prepare(sql)?;
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        rows.query_map([], read)?
            .map(|row| {
                let (to, id, sealed, replaced) = row?;
                Ok((username(&to)?, message_id(id)?, sealed, replaced))
            })
            .collect()
    }

    /// A message in the outbox.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn outgoing(&self, id: &MessageId) -> Result<Option<Outgoing>, ProfileError> {
        let sql = "SELECT conversation, counter, previous, content_type, body, frame FROM outbox WHERE message_id = ?1";
        let read = |row: &Row<'_>| {
            let content = if row.get::<_, u8>(3)? == 1 { Content::Content(row.get(4)?) } else { Content::EmptyControl };
            let link = Link { counter: row.get(1)?, previous: row.get(2)?, message_id: *id };
            Ok((row.get::<_, String>(0)?, link, content, row.get(5)?))
        };
        let row = self.database.query_row(sql, [id.as_bytes().as_slice()], read).optional()?;
        row.map(|(to, link, content, frame)| Ok(Outgoing { to: username(&to)?, link, content, frame })).transpose()
    }

    /// Stores the bytes of sealed messages, before any of them is sent.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn store_sealed(&mut self, frames: &[(MessageId, String)]) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        for (id, frame) in frames {
            let sql = "UPDATE outbox SET frame = ?2 WHERE message_id = ?1";
            transaction.execute(sql, params![id.as_bytes().as_slice(), frame])?;
        }
        Ok(transaction.commit()?)
    }

    /// Messages had a status: they leave the outbox. Gives those of which it is to be believed: what has been delivered has
    /// not expired, whatever became of its copies for other devices.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn settle(&mut self, ids: &[MessageId], status: Status) -> Result<Vec<MessageId>, ProfileError> {
        let transaction = self.database.transaction()?;
        let mut settled = Vec::with_capacity(ids.len());
        for id in ids {
            let key = id.as_bytes().as_slice();
            if status == Status::Expired && is_delivered(&transaction, key)? {
                continue;
            }
            settled.push(*id);
            transaction.execute(
                "INSERT INTO sent SELECT message_id, conversation, counter, content_type, body, ?2 FROM outbox
                 WHERE message_id = ?1 ON CONFLICT DO UPDATE SET status = excluded.status",
                params![key, name(status)],
            )?;
            transaction.execute("DELETE FROM outbox WHERE message_id = ?1", [key])?;
            transaction.execute("UPDATE sent SET status = ?2 WHERE message_id = ?1", params![key, name(status)])?;
        }
        transaction.commit()?;
        Ok(settled)
    }

    /// A message is given up: an empty control takes its id and counter, yet to be sealed.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn replace(&mut self, id: &MessageId) -> Result<(), ProfileError> {
        let sql = "UPDATE outbox SET content_type = 2, body = x'', frame = NULL, replaced = 1 WHERE message_id = ?1";
        self.database.execute(sql, [id.as_bytes().as_slice()])?;
        Ok(())
    }

    /// A message leaves the outbox without a status. Its place in the chain is lost.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn drop_outgoing(&mut self, id: &MessageId) -> Result<(), ProfileError> {
        self.database.execute("DELETE FROM outbox WHERE message_id = ?1", [id.as_bytes().as_slice()])?;
        Ok(())
    }

    /// The last messages of a conversation, of which nothing ever left this device, are taken out, the last first;
    /// their places in the chain are given out again.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn withdraw(&mut self, ids: &[MessageId]) -> Result<(), ProfileError> {
        for id in ids {
            let Some(outgoing) = self.outgoing(id)? else { continue };
            let transaction = self.database.transaction()?;
            let mut head = head(&transaction, &outgoing.to)?;
            head.take_back(&outgoing.link);
            store_head(&transaction, &outgoing.to, &head)?;
            transaction.execute("DELETE FROM outbox WHERE message_id = ?1", [id.as_bytes().as_slice()])?;
            transaction.commit()?;
        }
        Ok(())
    }
}

fn head(transaction: &Transaction<'_>, to: &Username) -> Result<Head, ProfileError> {
    let sql = "SELECT counter, previous FROM heads WHERE conversation = ?1";
    let read = |row: &Row<'_>| Ok(Head { counter: row.get(0)?, previous: row.get(1)? });
    Ok(transaction.query_row(sql, [to.as_str()], read).optional()?.unwrap_or_default())
}

fn store_head(transaction: &Transaction<'_>, to: &Username, head: &Head) -> Result<(), ProfileError> {
    transaction.execute(
        "INSERT OR REPLACE INTO heads (conversation, counter, previous) VALUES (?1, ?2, ?3)",
        params![to.as_str(), integer(head.counter), head.previous.as_slice()],
    )?;
    Ok(())
}

fn insert(t: &Transaction<'_>, to: &Username, link: &Link, content: &Content) -> Result<(), ProfileError> {
    t.execute(
        "INSERT INTO outbox (message_id, conversation, counter, previous, content_type, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            link.message_id.as_bytes().as_slice(),
            to.as_str(),
            integer(link.counter),
            link.previous.as_slice(),
            content.kind(),
            content.body()
        ],
    )?;
    Ok(())
}

fn is_delivered(transaction: &Transaction<'_>, message_id: &[u8]) -> Result<bool, ProfileError> {
    let sql = "SELECT status FROM sent WHERE message_id = ?1";
    let status: Option<String> = transaction.query_row(sql, [message_id], |row| row.get(0)).optional()?;
    Ok(status.as_deref() == Some(name(Status::Delivered)))
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Delivered => "delivered",
        Status::Expired => "expired",
    }
}

pub(super) fn username(text: &str) -> Result<Username, ProfileError> {
    text.parse().map_err(|_| damaged("a username"))
}

pub(super) fn message_id(bytes: [u8; 16]) -> Result<MessageId, ProfileError> {
    MessageId::from_bytes(bytes).map_err(|_| damaged("a message id"))
}
