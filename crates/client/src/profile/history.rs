//! Conversations as a person reads them.
//!
//! The order on screen is (sort time, device, counter, id), where a message's sort time is its own time or, if that is later,
//! that of any message before it in its chain: clocks that jump do not tear a writer's words apart. All of it is in the
//! messages themselves, so every device that has the same messages shows the same order, whatever came first.

use rusqlite::{Connection, Params, Row, params};
use sealwire_protocol::ids::{MessageId, Username};

use super::account::device_id;
use super::outgoing::message_id;
use super::{Profile, ProfileError, damaged};
use crate::conversation::{Conversation, Entry, EntryState, Standing, text_of};

pub(super) const COLUMNS: &str =
    "position, peer, sender, own, from_device, message_id, body, timestamp, state, removed, counter, conversation";
const ORDER: &str = "sort_time, from_device, counter, message_id";
const NEWEST_FIRST: &str = "sort_time DESC, from_device DESC, counter DESC, message_id DESC";

impl Profile {
    /// All conversations, that with the newest message first; those without any, and not yet begun by a stranger, last.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn conversations(&self) -> Result<Vec<Conversation>, ProfileError> {
        let sql = "SELECT peer, max(sort_time), count(*) FILTER (WHERE NOT own AND NOT shown) FROM messages
                   WHERE is_content GROUP BY peer ORDER BY 2 DESC, 1";
        let mut statement = self.database.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let peer = self.vault.open_name(&row.get::<_, Vec<u8>>(0)?)?;
            let last = self.history(&peer, None, 1)?.pop();
            all.push(Conversation { contact: self.contact(&peer)?, unread: row.get(2)?, last, peer });
        }
        for contact in self.contacts()? {
            if contact.standing == Standing::Accepted && all.iter().all(|known| known.peer != contact.name) {
                all.push(Conversation { peer: contact.name.clone(), unread: 0, last: None, contact });
            }
        }
        Ok(all)
    }

    /// A page of a conversation, oldest first: the last `limit` messages, or those before the message at a position (the
    /// first of the page that follows).
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn history(&self, peer: &Username, before: Option<i64>, limit: usize) -> Result<Vec<Entry>, ProfileError> {
        let peer = self.vault.name(peer);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut page = match before {
            None => {
                let sql = format!(
                    "SELECT {COLUMNS} FROM messages WHERE peer = ?1 AND is_content ORDER BY {NEWEST_FIRST} LIMIT ?2"
                );
                self.entries(&sql, params![peer, limit])?
            }
            Some(before) => {
                let sql = format!(
                    "SELECT {COLUMNS} FROM messages WHERE peer = ?1 AND is_content
                     AND ({ORDER}) < (SELECT {ORDER} FROM messages WHERE position = ?3)
                     ORDER BY {NEWEST_FIRST} LIMIT ?2"
                );
                self.entries(&sql, params![peer, limit, before])?
            }
        };
        page.reverse();
        Ok(page)
    }

    fn entries(&self, sql: &str, params: impl Params) -> Result<Vec<Entry>, ProfileError> {
        let mut statement = self.database.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(self.read_entry(row)?.0);
        }
        Ok(entries)
    }

    /// An entry and its body.
    pub(super) fn read_entry(&self, row: &Row<'_>) -> Result<(Entry, zeroize::Zeroizing<Vec<u8>>), ProfileError> {
        let (sender, device, id) = (row.get::<_, Vec<u8>>(2)?, row.get(4)?, message_id(row.get(5)?)?);
        let body = self.vault.open("messages.body", &message_row(&sender, &device, &id), &row.get::<_, Vec<u8>>(6)?)?;
        let entry = Entry {
            position: row.get(0)?,
            peer: self.vault.open_name(&row.get::<_, Vec<u8>>(1)?)?,
            from: self.vault.open_name(&sender)?,
            own: row.get(3)?,
            from_device: device_id(device)?,
            message_id: id,
            text: text_of(&body),
            timestamp: row.get(7)?,
            state: EntryState::from_name(&row.get::<_, String>(8)?).ok_or_else(|| damaged("a message's state"))?,
            from_removed_device: row.get(9)?,
        };
        Ok((entry, body))
    }

    /// The message with this id that was written by oneself; else one by somebody else, if there is any.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn entry(&self, id: &MessageId) -> Result<Option<Entry>, ProfileError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE message_id = ?1 AND is_content ORDER BY own DESC, position LIMIT 1"
        );
        Ok(self.entries(&sql, [id.as_bytes().as_slice()])?.pop())
    }

    /// Messages in which a text stands, whatever the case of its letters, newest first; blocked people's are left out. Every
    /// message is opened for it: this takes a moment for a long history.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn search(&self, text: &str, limit: usize) -> Result<Vec<Entry>, ProfileError> {
        self.search_in(None, text, limit)
    }

    /// Like [`Self::search`], in one conversation where a peer is named, whatever was decided about them.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn search_in(&self, peer: Option<&Username>, text: &str, limit: usize) -> Result<Vec<Entry>, ProfileError> {
        let wanted = text.to_lowercase();
        let sql = format!(
            "SELECT {COLUMNS} FROM messages
             WHERE is_content AND CASE WHEN ?1 IS NULL
                 THEN peer NOT IN (SELECT username FROM contacts WHERE blocked) ELSE peer = ?1 END
             ORDER BY {NEWEST_FIRST}"
        );
        let mut statement = self.database.prepare_cached(&sql)?;
        let mut rows = statement.query([peer.map(|peer| self.vault.name(peer))])?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            let (entry, _) = self.read_entry(row)?;
            if entry.text.as_ref().is_some_and(|text| text.to_lowercase().contains(&wanted)) {
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// All of a conversation was shown, up to the message at a position.
    ///
    /// # Errors
    /// [`ProfileError::Database`].
    pub fn mark_shown_up_to(&mut self, peer: &Username, position: i64) -> Result<(), ProfileError> {
        let sql = format!(
            "UPDATE messages SET shown = 1 WHERE shown = 0 AND peer = ?1
             AND ({ORDER}) <= (SELECT {ORDER} FROM messages WHERE position = ?2)"
        );
        self.database.execute(&sql, params![self.vault.name(peer), position])?;
        Ok(())
    }
}

/// What a message's body is bound to.
pub(super) fn message_row(sender: &[u8], device: &[u8; 16], id: &MessageId) -> Vec<u8> {
    [sender, device, id.as_bytes()].concat()
}

/// Sets the sort time of a message whose time is new, and of those after it in its chain, as far as that changes anything.
pub(super) fn resort(database: &Connection, position: i64) -> Result<(), ProfileError> {
    let sql = "SELECT sender, from_device, conversation, counter FROM messages WHERE position = ?1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let (sender, device, conversation, counter): (Vec<u8>, [u8; 16], Vec<u8>, i64) =
        database.prepare_cached(sql)?.query_row([position], read)?;
    if counter == 0 {
        return Ok(());
    }
    let chain = params![sender, device.as_slice(), conversation, counter];
    let sql = "SELECT max(sort_time) FROM messages
               WHERE sender = ?1 AND from_device = ?2 AND conversation = ?3 AND counter =
               (SELECT max(counter) FROM messages
                WHERE sender = ?1 AND from_device = ?2 AND conversation = ?3 AND counter > 0 AND counter < ?4)";
    let before: Option<i64> = database.prepare_cached(sql)?.query_row(chain, |row| row.get(0))?;
    let sql = "SELECT position, counter, timestamp, sort_time FROM messages
               WHERE sender = ?1 AND from_device = ?2 AND conversation = ?3 AND counter >= ?4 ORDER BY counter";
    let mut statement = database.prepare_cached(sql)?;
    let mut rows = statement.query(chain)?;
    let mut floor = before.unwrap_or(i64::MIN);
    let (mut at, mut highest, mut settled) = (None, floor, false);
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let (this, counter, time, was): (i64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if at != Some(counter) {
            // All at the counter before are as they were, so all behind are too.
            if settled {
                break;
            }
            // The first is the one whose time is new: it says nothing of those behind.
            settled = at.is_some();
            (at, floor) = (Some(counter), highest);
        }
        let becomes = time.max(floor);
        highest = highest.max(becomes);
        if becomes != was {
            settled = false;
            changes.push((this, becomes));
        }
    }
    for (this, becomes) in changes {
        let sql = "UPDATE messages SET sort_time = ?2 WHERE position = ?1";
        database.prepare_cached(sql)?.execute(params![this, becomes])?;
    }
    Ok(())
}
