//! The tables, and how an older file becomes one of this version.

use rusqlite::{Connection, Transaction};

use super::ProfileError;

/// What leads from each version to the next; version 0 is an empty file.
const STEPS: &[&str] = &[VERSION_1];

const VERSION_1: &str = "
CREATE TABLE account (
    only_one   INTEGER PRIMARY KEY CHECK (only_one = 1),
    server     TEXT,
    username   TEXT,
    device     BLOB NOT NULL,
    registered INTEGER NOT NULL,
    manifest   TEXT,
    wrap       TEXT
);
-- In plain: the file's mode is all that protects them.
CREATE TABLE private_keys (
    kid     BLOB PRIMARY KEY,
    use     TEXT NOT NULL CHECK (use IN ('aik', 'dsk', 'dwk')),
    pkcs8   BLOB NOT NULL,
    created INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE people (
    username TEXT PRIMARY KEY,
    aik      BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE manifests (
    username TEXT NOT NULL REFERENCES people,
    version  INTEGER NOT NULL,
    frame    TEXT NOT NULL,
    PRIMARY KEY (username, version)
) WITHOUT ROWID;
CREATE TABLE certificates (
    username TEXT NOT NULL REFERENCES people,
    device   BLOB NOT NULL,
    frame    TEXT NOT NULL,
    current  INTEGER NOT NULL,
    PRIMARY KEY (username, device)
) WITHOUT ROWID;
-- The next counter and previous of this device in each conversation.
CREATE TABLE heads (
    conversation TEXT PRIMARY KEY,
    counter      INTEGER NOT NULL,
    previous     BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE outbox (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id   BLOB NOT NULL UNIQUE,
    conversation TEXT NOT NULL,
    counter      INTEGER NOT NULL,
    previous     BLOB NOT NULL,
    content_type INTEGER NOT NULL,
    body         BLOB NOT NULL,
    frame        TEXT,
    replaced     INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE sent (
    message_id   BLOB PRIMARY KEY,
    conversation TEXT NOT NULL,
    counter      INTEGER NOT NULL,
    content_type INTEGER NOT NULL,
    body         BLOB NOT NULL,
    status       TEXT NOT NULL
) WITHOUT ROWID;
-- Replay marks stay for ever, whatever becomes of the messages.
-- A device id is unique in its account only: the name belongs to the mark.
CREATE TABLE seen (
    sender      TEXT NOT NULL,
    from_device BLOB NOT NULL,
    message_id  BLOB NOT NULL,
    PRIMARY KEY (sender, from_device, message_id)
) WITHOUT ROWID;
CREATE TABLE received (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    from_device  BLOB NOT NULL,
    message_id   BLOB NOT NULL,
    sender       TEXT NOT NULL,
    conversation TEXT NOT NULL,
    counter      INTEGER NOT NULL,
    previous     BLOB NOT NULL,
    timestamp    INTEGER NOT NULL,
    content_type INTEGER NOT NULL,
    body         BLOB NOT NULL,
    removed      INTEGER NOT NULL,
    shown        INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX received_chains ON received (sender, from_device, conversation, counter);
CREATE INDEX received_unshown ON received (position) WHERE shown = 0;
CREATE TABLE failed (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    from_device BLOB NOT NULL,
    message_id  BLOB NOT NULL,
    sender      TEXT NOT NULL,
    timestamp   INTEGER NOT NULL,
    reason      TEXT NOT NULL
);
-- Envelopes as they came, whose sender or time could not be decided on.
CREATE TABLE deferred (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    sender   TEXT NOT NULL,
    frame    TEXT NOT NULL
);
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
