//! A store as a whole: what a backup is made of, and how one kind of store becomes another.
//!
//! A store is read out in [`Piece`]s as of one moment ([`Export`]) and an empty one is filled with them ([`Import`]), whatever
//! the kinds of the two. Between the two may lie a file ([`DumpWriter`], [`DumpReader`]). What came over is compared by a
//! [`Tally`], which does not depend on the order of the pieces.

mod format;
mod row;
mod tally;

use async_trait::async_trait;
use sealwire_protocol::{DeviceId, Username};

pub use self::format::{DumpReader, DumpWriter};
pub use self::tally::{Counts, Tally};
use crate::{Account, BackupRecord, Mail, ManifestRecord, Notice, StoreError};

/// Pieces that are handed on at once, unless [`BATCH_BYTES`] are reached before.
pub(crate) const BATCH_PIECES: usize = 500;

/// Bytes of pieces that are handed on at once, about: the last piece may go beyond. Less than half of what MongoDB takes in
/// one message.
pub(crate) const BATCH_BYTES: usize = 4 << 20;

/// A part of what a store holds. All pieces together are everything that any of its methods can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// An account. It comes before everything that is its own.
    Account(Box<WholeAccount>),
    /// A link of the manifest chain of an account that is not deleted; the newest one too.
    Link {
        /// Whose chain.
        username: Username,
        /// The link.
        link: ManifestRecord,
    },
    /// The sealed backups of an account that is not deleted, newest first, at most two. One piece for each account, also where
    /// there are none.
    Backups {
        /// Whose.
        username: Username,
        /// Newest first.
        backups: Vec<BackupRecord>,
    },
    /// How many copies a device has [missed](crate::News::missed).
    Missed {
        /// Which device.
        device: DeviceId,
        /// More than none.
        copies: u64,
    },
    /// A message that has expired and of which its device has not been told. Older ones come first.
    Notice {
        /// The message.
        notice: Notice,
        /// The `before` of the [call](crate::Mailboxes::expire) that has made it.
        made_at: u64,
    },
    /// A copy of a message that waits. They come in the order in which they arrived.
    Mail(Mail),
}

impl Piece {
    /// What it takes in memory and in a database, about.
    pub(crate) fn size(&self) -> usize {
        const FRAME: usize = 200;
        FRAME
            + match self {
                Self::Account(account) => 2_000 * (1 + account.account.devices.len()) + 16 * account.removed.len(),
                Self::Link { link, .. } => link.document.len(),
                Self::Backups { backups, .. } => backups.iter().map(|backup| FRAME + backup.data.len()).sum(),
                Self::Missed { .. } | Self::Notice { .. } => 0,
                Self::Mail(mail) => mail.size(),
            }
    }
}

/// An account with what an [`Account`] does not show of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeAccount {
    /// As its newest manifest has it. Of a deleted one are left the name, and version and hash of the last link.
    pub account: Account,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// Milliseconds since 1970; `None` unless the account is deleted.
    pub deleted_at: Option<u64>,
    /// Devices that were removed, ascending: their ids stay taken.
    pub removed: Vec<DeviceId>,
}

/// Reads a whole store out, as of the moment in which it was opened, while others use it.
#[async_trait]
pub trait Export: Send {
    /// The next pieces; none at the end. May block for as long as a read from the disk takes.
    ///
    /// # Errors
    /// As any read of the store; there is no going on after one.
    async fn next(&mut self) -> Result<Vec<Piece>, StoreError>;
}

/// Fills an empty store, which no server uses before it is [released](Import::release): neither now nor, if this ends half
/// way, later. Opening a new import of the same store throws away what one that ended half way has left.
#[async_trait]
pub trait Import: Send {
    /// Takes the next pieces, in the order of the [`Export`]. May block.
    ///
    /// # Errors
    /// As any write of the store; there is no going on after one.
    async fn put(&mut self, pieces: Vec<Piece>) -> Result<(), StoreError>;

    /// Reads back what has been put, from what would survive the loss of power; the caller compares.
    ///
    /// # Errors
    /// As any read, and [`StoreError::Damaged`] when the database does not pass its own check.
    async fn read_back(&mut self) -> Result<Box<dyn Export>, StoreError>;

    /// Makes it a store that servers use, durably and all at once.
    ///
    /// # Errors
    /// As any write; then it is not known whether servers will use it, and the text says so where it matters.
    async fn release(self: Box<Self>) -> Result<(), StoreError>;
}
