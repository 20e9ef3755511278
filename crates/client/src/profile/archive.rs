//! A history in a file: for the person, to keep, to search, to take to another machine. In plain, one JSON object a line.
//!
//! The first line says whose history it is, each other line is a message:
//!
//! ```json
//! {"sealwire":"history","version":1,"username":"alice"}
//! {"peer":"bob","from":"bob","to":"alice","fromDevice":"...","messageId":"...","counter":7,"timestamp":1790000000000,
//!  "state":"received","fromRemovedDevice":false,"content":{"kind":"text","text":"hello"}}
//! ```

use std::io::{BufRead, Read, Write};

use rusqlite::{Transaction, params};
use sealwire_protocol::ids::{DeviceId, MessageId, Username};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::contacts::{decide, heard_of};
use super::history::{COLUMNS, message_row, resort};
use super::{Profile, ProfileError, damaged, json};
use crate::conversation::EntryState;
use crate::vault::Vault;

const VERSION: u32 = 1;
/// The longest line that is read, in bytes: a message of the longest text, with every character escaped.
const LONGEST_LINE: u64 = 4 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Header {
    sealwire: String,
    version: u32,
    username: Username,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    peer: Username,
    from: Username,
    to: Username,
    from_device: DeviceId,
    message_id: MessageId,
    counter: u64,
    timestamp: u64,
    state: String,
    from_removed_device: bool,
    content: Box<RawValue>,
}

/// What a history file brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Messages that were not in this profile.
    pub added: u64,
    /// Messages that were.
    pub known: u64,
}

impl Profile {
    /// Writes all conversations, **in plain**. Gives the number of messages.
    ///
    /// # Errors
    /// [`ProfileError::Archive`] when it cannot be written; [`ProfileError::NoAccount`]; [`ProfileError::Database`].
    pub fn export(&self, to: &mut dyn Write) -> Result<u64, ProfileError> {
        let username = self.name()?;
        write_line(to, &Header { sealwire: "history".to_owned(), version: VERSION, username })?;
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE is_content ORDER BY peer, sort_time, from_device, counter, message_id"
        );
        let mut statement = self.database.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let (entry, body) = self.read_entry(row)?;
            // Whatever another client wrote: this file stays one of JSON.
            let content = serde_json::from_slice(&body).map_err(|_| ());
            let content = content.or_else(|()| RawValue::from_string("null".to_owned()));
            let line = Line {
                peer: entry.peer,
                from: entry.from,
                to: self.vault.open_name(&row.get::<_, Vec<u8>>(11)?)?,
                from_device: entry.from_device,
                message_id: entry.message_id,
                counter: row.get(10)?,
                timestamp: entry.timestamp,
                state: entry.state.name().to_owned(),
                from_removed_device: entry.from_removed_device,
                content: content.map_err(|_| damaged("a message"))?,
            };
            write_line(to, &line)?;
            count += 1;
        }
        to.flush().map_err(|error| unwritten(&error))?;
        Ok(count)
    }

    /// Takes over a history file of the same account, all of it or nothing. Messages that are here already stay as they
    /// are; the others count as shown. A file is the person's own word: it leaves no replay marks, and what it says of a
    /// message is replaced when that message itself arrives.
    ///
    /// # Errors
    /// [`ProfileError::Archive`] with the line that cannot be taken; [`ProfileError::NoAccount`];
    /// [`ProfileError::Database`].
    pub fn import(&mut self, from: &mut dyn BufRead) -> Result<Imported, ProfileError> {
        let me = self.name()?;
        check_header(&next_line(from, 1)?.unwrap_or_default(), &me)?;
        let transaction = self.database.transaction()?;
        let mut imported = Imported::default();
        let mut number = 1;
        loop {
            number += 1;
            let Some(text) = next_line(from, number)? else { break };
            let wrong = |reason: &str| ProfileError::Archive(format!("line {number}: {reason}; nothing was imported"));
            let line: Line = serde_json::from_slice(&text).map_err(|error| wrong(&error.to_string()))?;
            let peer = if line.from == me { &line.to } else { &line.from };
            if line.peer != *peer || (line.from != me && line.to != me) {
                return Err(wrong("the message is not between you and its peer"));
            }
            let fits = i64::try_from(line.counter).is_ok() && i64::try_from(line.timestamp).is_ok();
            let state =
                EntryState::from_name(&line.state).filter(|_| fits).ok_or_else(|| wrong("an impossible value"))?;
            match insert(&transaction, &self.vault, &me, &line, state)? {
                true => imported.added += 1,
                false => imported.known += 1,
            }
        }
        transaction.commit()?;
        Ok(imported)
    }
}

fn check_header(line: &[u8], me: &Username) -> Result<(), ProfileError> {
    let refused = |reason: String| Err(ProfileError::Archive(reason));
    match serde_json::from_slice::<Header>(line) {
        Ok(header) if header.sealwire == "history" && header.version > VERSION => {
            refused(format!("the file is of a later version ({}) than this program knows ({VERSION})", header.version))
        }
        Ok(header) if header.sealwire == "history" && header.username == *me => Ok(()),
        Ok(header) if header.sealwire == "history" => {
            refused(format!("this is the history of {}, and the profile is that of {me}", header.username))
        }
        _ => refused("this is no history file: its first line should be {\"sealwire\":\"history\",...}".to_owned()),
    }
}

fn insert(
    t: &Transaction<'_>,
    vault: &Vault,
    me: &Username,
    line: &Line,
    state: EntryState,
) -> Result<bool, ProfileError> {
    let (sender, conversation, peer) = (vault.name(&line.from), vault.name(&line.to), vault.name(&line.peer));
    let own = line.from == *me;
    // Whatever waited there will not be sent from here.
    let state = if state == EntryState::Waiting { EntryState::Failed } else { state };
    let (device, id) = (line.from_device.as_bytes(), &line.message_id);
    let body = vault.seal("messages.body", &message_row(&sender, device, id), line.content.get().as_bytes());
    let added = t.execute(
        "INSERT INTO messages (peer, sender, conversation, own, from_device, message_id, counter, previous, timestamp,
                               sort_time, is_content, body, state, removed, shown, imported)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, zeroblob(32), ?8, ?8, 1, ?9, ?10, ?11, 1, 1) ON CONFLICT DO NOTHING",
        params![
            peer,
            sender,
            conversation,
            own,
            device.as_slice(),
            id.as_bytes().as_slice(),
            line.counter,
            line.timestamp,
            body,
            state.name(),
            line.from_removed_device
        ],
    )?;
    if added == 0 {
        return Ok(false);
    }
    resort(t, t.last_insert_rowid())?;
    if own {
        decide(t, &peer, "accepted", true)?;
    } else {
        heard_of(t, &peer)?;
    }
    Ok(true)
}

fn write_line(to: &mut dyn Write, value: &impl Serialize) -> Result<(), ProfileError> {
    to.write_all(&json(value)).and_then(|()| to.write_all(b"\n")).map_err(|error| unwritten(&error))
}

fn unwritten(error: &std::io::Error) -> ProfileError {
    ProfileError::Archive(format!("the history cannot be written: {error}"))
}

fn next_line(from: &mut dyn BufRead, number: u64) -> Result<Option<Vec<u8>>, ProfileError> {
    let unread = |reason: &str| ProfileError::Archive(format!("line {number} cannot be read: {reason}"));
    let mut line = Vec::new();
    let read = from.take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(|error| unread(&error.to_string()))?;
    if read as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
        return Err(unread("it is longer than any message"));
    }
    Ok(Some(line).filter(|line| !line.is_empty()))
}
