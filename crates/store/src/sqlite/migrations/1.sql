-- Version 1 of the schema. Ids are the 16 bytes of a UUID, hashes their 32 bytes, times milliseconds since 1970.

-- A row stays for ever: a deleted account keeps its name (with deleted_at, without its keys), so that nobody gets it again.
CREATE TABLE accounts (
    id         INTEGER PRIMARY KEY,
    username   TEXT    NOT NULL UNIQUE,
    aik        BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;

CREATE TABLE manifests (
    account  INTEGER NOT NULL REFERENCES accounts (id),
    version  INTEGER NOT NULL,
    hash     BLOB    NOT NULL,
    document BLOB    NOT NULL,
    PRIMARY KEY (account, version)
) STRICT, WITHOUT ROWID;

-- A row stays for ever: a removed device (with removed_at) keeps its id.
CREATE TABLE devices (
    id         BLOB    NOT NULL PRIMARY KEY,
    account    INTEGER NOT NULL REFERENCES accounts (id),
    dsk        BLOB    NOT NULL,
    last_seen  INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE INDEX devices_of_account ON devices (account, id);

-- The newest wrap key of a device is the one that has not been replaced.
CREATE TABLE wraps (
    device      BLOB    NOT NULL REFERENCES devices (id),
    seq         INTEGER NOT NULL,
    kid         BLOB    NOT NULL,
    document    BLOB    NOT NULL,
    replaced_at INTEGER,
    PRIMARY KEY (device, seq)
) STRICT, WITHOUT ROWID;

-- One row per copy, in the order of arrival: new rows fill the last page of the table, however many mailboxes they are
-- for. Every row holds all of its message; sharing the ciphertext between the two or three copies of one message would
-- save less than counting references costs. The sender's name is text, not the number of an account: it need not have one
-- here (federation), and looking a number up for each append costs more than a dozen bytes in 1.6 KB do.
-- The long columns are last, so that reading the others never touches overflow pages.
CREATE TABLE mail (
    id          INTEGER PRIMARY KEY,
    device      BLOB    NOT NULL,
    ord         INTEGER NOT NULL,
    message     BLOB    NOT NULL,
    from_device BLOB    NOT NULL,
    from_name   TEXT    NOT NULL,
    own         INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    header      INTEGER NOT NULL,
    content     INTEGER NOT NULL,
    wrap        BLOB    NOT NULL,
    shared      BLOB    NOT NULL
) STRICT;
-- Knows repeats, finds what is to be removed, and all copies of a message. The message goes first: its id begins with the
-- time (UUID version 7, mostly), so what is new lies on the same few pages, whoever sent it.
CREATE UNIQUE INDEX mail_copy ON mail (message, from_device, device);
-- The front of a mailbox. It also holds what counting a mailbox through needs, so that this never reads the table.
CREATE INDEX mail_front ON mail (device, ord, message, from_device, from_name, own, size);

CREATE TABLE missed (
    device BLOB    NOT NULL PRIMARY KEY,
    copies INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
