-- Version 2 of the schema. A deleted account keeps its last link, with an empty document, so that a repeat is recognised; its
-- aik is empty, and so are the dsk of removed devices.

ALTER TABLE accounts ADD COLUMN shares_presence INTEGER NOT NULL DEFAULT 0;

-- The newest backup of an account is the one that has not been replaced; there is at most one that has.
CREATE TABLE backups (
    account     INTEGER NOT NULL REFERENCES accounts (id),
    id          BLOB    NOT NULL,
    put_at      INTEGER NOT NULL,
    replaced_at INTEGER,
    data        BLOB    NOT NULL,
    PRIMARY KEY (account, id)
) STRICT;

-- Messages that have expired, until the device that sent them has been told, in the order in which they did; made_at is the
-- limit of time that they were over.
CREATE TABLE notices (
    id      INTEGER PRIMARY KEY,
    device  BLOB    NOT NULL,
    message BLOB    NOT NULL,
    made_at INTEGER NOT NULL,
    UNIQUE (device, message)
) STRICT;
CREATE INDEX notices_of_device ON notices (device);
CREATE INDEX notices_by_age ON notices (made_at);
