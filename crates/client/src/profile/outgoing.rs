//! What this device sends: the end of each chain, the outbox, and what has had a status.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sealwire_protocol::frames::Status;
use sealwire_protocol::ids::{MessageId, Username};

use super::contacts::decide;
use super::history::{message_row, resort};
use super::{Account, Content, Outgoing, Profile, ProfileError, damaged};
use crate::chain::{Head, Link};
use crate::conversation::EntryState;
use crate::vault::Vault;

/// `counter`s fit: a device would have to send for longer than there were people.
fn integer(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

impl Profile {
    /// Puts messages into the outbox, written at this time, and gives them their places, in one transaction. Whoever is
    /// written to is accepted.
    ///
    /// # Errors
    /// [`ProfileError::Database`]; [`ProfileError::NoAccount`].
    pub fn enqueue(&mut self, messages: &[(Username, MessageId, Content)], at: u64) -> Result<Vec<Link>, ProfileError> {
        let account = self.account()?;
        let transaction = self.database.transaction()?;
        let links = messages
            .iter()
            .map(|(to, id, content)| {
                let conversation = self.vault.name(to);
                let mut head = head(&transaction, &conversation)?;
                let link = head.take(*id);
                store_head(&transaction, &conversation, &head)?;
                decide(&transaction, &conversation, "accepted", true)?;
                insert(&transaction, &self.vault, &account, (to, &link, content, at))?;
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
        let sql = "SELECT m.conversation, o.message_id, o.frame IS NOT NULL, o.replaced
                   FROM outbox o JOIN messages m ON m.position = o.message ORDER BY o.position";
        let mut rows = self.database.prepare(sql)?;
        let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        rows.query_map([], read)?
            .map(|row| {
                let (to, id, sealed, replaced) = row?;
                Ok((self.vault.open_name(&to)?, message_id(id)?, sealed, replaced))
            })
            .collect()
    }

    /// A message in the outbox.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn outgoing(&self, id: &MessageId) -> Result<Option<Outgoing>, ProfileError> {
        let sql = "SELECT m.conversation, m.counter, m.previous, m.is_content AND NOT o.replaced, m.body, o.frame,
                          m.sender, m.from_device
                   FROM outbox o JOIN messages m ON m.position = o.message WHERE o.message_id = ?1";
        let mut statement = self.database.prepare_cached(sql)?;
        let mut rows = statement.query([id.as_bytes().as_slice()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let content = if row.get(3)? {
            let aad = message_row(&row.get::<_, Vec<u8>>(6)?, &row.get(7)?, id);
            Content::Content(self.vault.open("messages.body", &aad, &row.get::<_, Vec<u8>>(4)?)?.to_vec())
        } else {
            Content::EmptyControl
        };
        let frame: Option<Vec<u8>> = row.get(5)?;
        let frame = frame.map(|frame| self.vault.open_text("outbox.frame", id.as_bytes(), &frame)).transpose()?;
        Ok(Some(Outgoing {
            to: self.vault.open_name(&row.get::<_, Vec<u8>>(0)?)?,
            link: Link { counter: row.get(1)?, previous: row.get(2)?, message_id: *id },
            content,
            frame: frame.map(|frame| frame.to_string()),
        }))
    }

    /// Stores the bytes of sealed messages, with the time that each carries, before any of them is sent.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn store_sealed(&mut self, frames: &[(MessageId, u64, String)]) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        for (id, timestamp, frame) in frames {
            let frame = self.vault.seal("outbox.frame", id.as_bytes(), frame.as_bytes());
            let sql = "UPDATE outbox SET frame = ?2 WHERE message_id = ?1 RETURNING message";
            let message = transaction.query_row(sql, params![id.as_bytes().as_slice(), frame], |row| row.get(0));
            let Some(message) = message.optional()? else { continue };
            let sql = "UPDATE messages SET timestamp = ?2 WHERE position = ?1";
            transaction.execute(sql, params![message, integer(*timestamp)])?;
            resort(&transaction, message)?;
        }
        Ok(transaction.commit()?)
    }

    /// Messages of this device had a status: they leave the outbox. Gives those of which it is to be believed: what has
    /// been delivered has not expired, whatever became of its copies for other devices, a server that says `queued` late
    /// says nothing new, and what this device never sent has no status. What was given up stays so.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn settle(&mut self, ids: &[MessageId], status: Status) -> Result<Vec<MessageId>, ProfileError> {
        let Some(device) = self.device()? else { return Ok(Vec::new()) };
        let transaction = self.database.transaction()?;
        let mut settled = Vec::with_capacity(ids.len());
        for id in ids {
            let key = id.as_bytes().as_slice();
            let sql = "SELECT position, state FROM messages
                       WHERE message_id = ?1 AND from_device = ?2 AND own AND NOT imported";
            let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
            let of = transaction.query_row(sql, params![key, device.as_bytes().as_slice()], read).optional()?;
            // A server can name what was never sent.
            let Some((position, state)) = of else { continue };
            let was = EntryState::from_name(&state);
            if was.is_some_and(|was| was.goes_back(status)) {
                continue;
            }
            settled.push(*id);
            transaction.execute("DELETE FROM outbox WHERE message_id = ?1", [key])?;
            if let Some(becomes) = was.and_then(|was| was.after(status)) {
                let sql = "UPDATE messages SET state = ?2 WHERE position = ?1";
                transaction.execute(sql, params![position, becomes.name()])?;
            }
        }
        transaction.commit()?;
        Ok(settled)
    }

    /// A message is given up: an empty control takes its id and counter, yet to be sealed. What was typed stays in the
    /// history, as failed.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn replace(&mut self, id: &MessageId) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        let id = id.as_bytes().as_slice();
        let sql =
            "UPDATE messages SET state = 'failed' WHERE position = (SELECT message FROM outbox WHERE message_id = ?1)";
        transaction.execute(sql, [id])?;
        transaction.execute("UPDATE outbox SET frame = NULL, replaced = 1 WHERE message_id = ?1", [id])?;
        Ok(transaction.commit()?)
    }

    /// A message leaves the outbox without a status, and stays in the history as failed. Its place in the chain is lost.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn drop_outgoing(&mut self, id: &MessageId) -> Result<(), ProfileError> {
        let transaction = self.database.transaction()?;
        leave_outbox(&transaction, id)?;
        Ok(transaction.commit()?)
    }

    /// The last messages of a conversation, of which nothing ever left this device, are taken out, the last first; their
    /// places in the chain are given out again, and they stay in the history as failed.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn withdraw(&mut self, ids: &[MessageId]) -> Result<(), ProfileError> {
        for id in ids {
            let Some(outgoing) = self.outgoing(id)? else { continue };
            let conversation = self.vault.name(&outgoing.to);
            let transaction = self.database.transaction()?;
            let mut head = head(&transaction, &conversation)?;
            head.take_back(&outgoing.link);
            store_head(&transaction, &conversation, &head)?;
            leave_outbox(&transaction, id)?;
            transaction.commit()?;
        }
        Ok(())
    }
}

fn head(transaction: &Transaction<'_>, conversation: &[u8]) -> Result<Head, ProfileError> {
    let sql = "SELECT counter, previous FROM heads WHERE conversation = ?1";
    let read = |row: &Row<'_>| Ok(Head { counter: row.get(0)?, previous: row.get(1)? });
    Ok(transaction.query_row(sql, [conversation], read).optional()?.unwrap_or_default())
}

fn store_head(transaction: &Transaction<'_>, conversation: &[u8], head: &Head) -> Result<(), ProfileError> {
    transaction.execute(
        "INSERT OR REPLACE INTO heads (conversation, counter, previous) VALUES (?1, ?2, ?3)",
        params![conversation, integer(head.counter), head.previous.as_slice()],
    )?;
    Ok(())
}

fn insert(
    t: &Transaction<'_>,
    vault: &Vault,
    account: &Account,
    (to, link, content, at): (&Username, &Link, &Content, u64),
) -> Result<(), ProfileError> {
    let (me, conversation) = (vault.name(&account.username), vault.name(to));
    let aad = message_row(&me, account.device.as_bytes(), &link.message_id);
    t.execute(
        "INSERT INTO messages (peer, sender, conversation, own, from_device, message_id, counter, previous, timestamp,
                               sort_time, is_content, body, state, shown)
         VALUES (?1, ?2, ?1, 1, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, 'waiting', 1)",
        params![
            conversation,
            me,
            account.device.as_bytes().as_slice(),
            link.message_id.as_bytes().as_slice(),
            integer(link.counter),
            link.previous.as_slice(),
            integer(at),
            content.is_content(),
            vault.seal("messages.body", &aad, content.body()),
        ],
    )?;
    let position = t.last_insert_rowid();
    let sql = "INSERT INTO outbox (message, message_id) VALUES (?1, ?2)";
    t.execute(sql, params![position, link.message_id.as_bytes().as_slice()])?;
    resort(t, position)
}

/// The message has no place in its chain any more.
fn leave_outbox(database: &Connection, id: &MessageId) -> Result<(), ProfileError> {
    let id = id.as_bytes().as_slice();
    database.execute(
        "UPDATE messages SET state = 'failed', counter = 0, previous = zeroblob(32)
         WHERE position = (SELECT message FROM outbox WHERE message_id = ?1)",
        [id],
    )?;
    database.execute("DELETE FROM outbox WHERE message_id = ?1", [id])?;
    Ok(())
}

pub(super) fn message_id(bytes: [u8; 16]) -> Result<MessageId, ProfileError> {
    MessageId::from_bytes(bytes).map_err(|_| damaged("a message id"))
}
