//! What the server keeps: accounts with their public keys and sealed backups, and the mail of devices that are away.
//!
//! [`Store`] is the contract. It is kept by [`MemoryStore`] (tests, trying out), [`SqliteStore`] (the embedded
//! store of one node) and [`MongoStore`] (what several nodes share); one conformance suite, [`conformance`], runs on each. Nothing here knows a frame or an actor: a
//! message is a few ids and two opaque byte strings.
//!
//! A store is read out and filled as a whole by [`Export`] and [`Import`], which know one form for all kinds.
//!
//! To add a store: implement the three traits and those two, call `conformance::suite!` with a way to open an empty one, and name
//! it in the server's `app.rs`.

mod accounts;
mod backups;
pub mod conformance;
mod counters;
mod dump;
mod error;
mod mailboxes;
mod memory;
mod mongodb;
mod sqlite;

pub use self::mongodb::MongoStore;
pub use accounts::{
    Account, Accounts, Created, Device, Extended, ManifestChange, ManifestRecord, NewAccount, WrapPut, WrapRecord,
};
pub use backups::{BackupRecord, Backups};
pub use dump::{Counts, DumpReader, DumpWriter, Export, Import, Piece, Tally, WholeAccount};
pub use error::StoreError;
pub use mailboxes::{
    Appended, Batch, BatchOutcome, EXPIRY_REACH, Expired, Fingerprint, Front, Held, Mail, MailKey, Mailboxes,
    NOTICE_LIFE, News, Notice, Place, Removal, Usage,
};
pub use memory::MemoryStore;
pub use sqlite::{Departing, SqliteStore};

/// Everything that the server keeps.
pub trait Store: Accounts + Mailboxes + Backups {}

impl<T: Accounts + Mailboxes + Backups> Store for T {}
