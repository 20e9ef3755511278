//! The tables, and how an older file becomes one of this version.

use rusqlite::{Connection, Transaction};

use super::ProfileError;

/// What leads from each version to the next; version 0 is an empty file.
const STEPS: &[&str] = &[VERSION_1, VERSION_2];

/// "sealed" columns hold what `crate::vault` makes of a value; "name" and "kid" columns hold its fixed form, equal for equal
/// names. Everything else can be read by whoever reads the file: the module `profile` lists it.
const VERSION_1: &str = "
CREATE TABLE account (
    only_one   INTEGER PRIMARY KEY CHECK (only_one = 1),
    server     BLOB, -- sealed
    username   BLOB, -- name
    device     BLOB NOT NULL,
    registered INTEGER NOT NULL,
    deleted    INTEGER NOT NULL DEFAULT 0,
    manifest   BLOB, -- sealed
    wrap       BLOB  -- sealed
);
CREATE TABLE private_keys (
    kid         BLOB PRIMARY KEY, -- kid
    use         TEXT NOT NULL CHECK (use IN ('aik', 'dsk', 'dwk')),
    pkcs8       BLOB NOT NULL, -- sealed
    created     INTEGER NOT NULL,
    -- Of wrap keys: the certificate, whether the server has it, and since when it has a later one.
    seq         INTEGER NOT NULL DEFAULT 0,
    cert        BLOB, -- sealed
    accepted    INTEGER NOT NULL DEFAULT 0,
    replaced_at INTEGER
) WITHOUT ROWID;
CREATE TABLE people (
    username BLOB PRIMARY KEY, -- name
    aik      BLOB NOT NULL -- sealed
) WITHOUT ROWID;
CREATE TABLE manifests (
    username BLOB NOT NULL REFERENCES people ON DELETE CASCADE, -- name
    version  INTEGER NOT NULL,
    frame    BLOB NOT NULL, -- sealed
    PRIMARY KEY (username, version)
) WITHOUT ROWID;
CREATE TABLE certificates (
    username BLOB NOT NULL REFERENCES people ON DELETE CASCADE, -- name
    device   BLOB NOT NULL,
    frame    BLOB NOT NULL, -- sealed
    current  INTEGER NOT NULL,
    PRIMARY KEY (username, device)
) WITHOUT ROWID;
-- What the person decided of others.
CREATE TABLE contacts (
    username BLOB PRIMARY KEY, -- name
    verified INTEGER NOT NULL DEFAULT 0,
    blocked  INTEGER NOT NULL DEFAULT 0,
    muted    INTEGER NOT NULL DEFAULT 0,
    accepted INTEGER NOT NULL DEFAULT 0,
    changed  BLOB -- sealed: the keys that the server shows and that are not believed
) WITHOUT ROWID;
CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL -- sealed
) WITHOUT ROWID;
-- The next counter and previous of this device in each conversation.
CREATE TABLE heads (
    conversation BLOB PRIMARY KEY, -- name
    counter      INTEGER NOT NULL,
    previous     BLOB NOT NULL
) WITHOUT ROWID;
-- All that was said, by whomever. Counter 0: it has no place in a chain (any more).
CREATE TABLE messages (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    peer         BLOB NOT NULL, -- name
    sender       BLOB NOT NULL, -- name
    conversation BLOB NOT NULL, -- name
    own          INTEGER NOT NULL,
    from_device  BLOB NOT NULL,
    message_id   BLOB NOT NULL,
    counter      INTEGER NOT NULL,
    previous     BLOB NOT NULL,
    timestamp    INTEGER NOT NULL,
    sort_time    INTEGER NOT NULL,
    is_content   INTEGER NOT NULL,
    body         BLOB NOT NULL, -- sealed
    state        TEXT NOT NULL,
    removed      INTEGER NOT NULL DEFAULT 0,
    shown        INTEGER NOT NULL DEFAULT 0,
    imported     INTEGER NOT NULL DEFAULT 0,
    UNIQUE (sender, from_device, message_id)
);
CREATE INDEX messages_in_order ON messages (peer, sort_time, from_device, counter, message_id) WHERE is_content;
CREATE INDEX messages_in_chains ON messages (sender, from_device, conversation, counter);
CREATE INDEX messages_unshown ON messages (position) WHERE shown = 0;
CREATE INDEX messages_by_id ON messages (message_id);
-- What was said on this device and has had no status.
CREATE TABLE outbox (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    message    INTEGER NOT NULL UNIQUE REFERENCES messages,
    message_id BLOB NOT NULL UNIQUE,
    frame      BLOB, -- sealed
    replaced   INTEGER NOT NULL DEFAULT 0
);
-- Replay marks stay for ever, whatever becomes of the messages.
-- A device id is unique in its account only: the name belongs to the mark.
CREATE TABLE seen (
    sender      BLOB NOT NULL, -- name
    from_device BLOB NOT NULL,
    message_id  BLOB NOT NULL,
    PRIMARY KEY (sender, from_device, message_id)
) WITHOUT ROWID;
CREATE TABLE failed (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    from_device BLOB NOT NULL,
    message_id  BLOB NOT NULL,
    sender      BLOB NOT NULL, -- name
    timestamp   INTEGER NOT NULL,
    reason      BLOB NOT NULL -- sealed
);
-- Envelopes as they came, whose sender or time could not be decided on.
CREATE TABLE deferred (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    sender   BLOB NOT NULL, -- name
    frame    BLOB NOT NULL -- sealed
);
";

/// Whom another device believed, when it linked this one or kept a backup.
const VERSION_2: &str = "
CREATE TABLE pins (
    username BLOB PRIMARY KEY, -- name
    pin      BLOB NOT NULL -- sealed
) WITHOUT ROWID;
";

pub(super) fn migrate(database: &mut Connection) -> Result<(), ProfileError> {
    let known = i64::try_from(STEPS.len()).expect("few versions");
    let found: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Some(done) = usize::try_from(found).ok().filter(|done| *done <= STEPS.len()) else {
        return Err(ProfileError::Newer { found, known });
    };
    if done < STEPS.len() {
        let transaction = database.transaction()?;
        STEPS[done..].iter().try_for_each(|step| run(&transaction, step))?;
        transaction.pragma_update(None, "user_version", known)?;
        transaction.commit()?;
    }
    Ok(())
}

fn run(transaction: &Transaction<'_>, step: &str) -> Result<(), ProfileError> {
    Ok(transaction.execute_batch(step)?)
}
