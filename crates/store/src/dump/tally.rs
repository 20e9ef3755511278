//! What a store holds, in numbers, to tell people and to compare two stores.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Piece, row};

/// What a whole store holds, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Accounts that are not deleted.
    pub accounts: u64,
    /// Names that were given away and are kept.
    pub deleted: u64,
    /// Devices that are listed.
    pub devices: u64,
    /// Devices that were removed and whose ids are kept.
    pub removed: u64,
    /// Links of manifest chains.
    pub links: u64,
    /// Sealed backups.
    pub backups: u64,
    /// Devices that have missed mail.
    pub missed: u64,
    /// Messages that have expired and of which their devices have not been told.
    pub notices: u64,
    /// Copies of messages that wait.
    pub mail: u64,
    /// Their bytes, by [`Mail::size`](crate::Mail::size).
    pub mail_bytes: u64,
}

impl Counts {
    /// Counts one piece.
    pub fn add(&mut self, piece: &Piece) {
        match piece {
            Piece::Account(whole) => {
                let place = if whole.deleted_at.is_some() { &mut self.deleted } else { &mut self.accounts };
                *place += 1;
                self.devices += whole.account.devices.len() as u64;
                self.removed += whole.removed.len() as u64;
            }
            Piece::Link { .. } => self.links += 1,
            Piece::Backups { backups, .. } => self.backups += backups.len() as u64,
            Piece::Missed { .. } => self.missed += 1,
            Piece::Notice { .. } => self.notices += 1,
            Piece::Mail(mail) => {
                self.mail += 1;
                self.mail_bytes += mail.size() as u64;
            }
        }
    }
}

/// What a whole store holds, in numbers and in a sum over everything: two stores that hold the same have the same, whatever the
/// order in which their pieces came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    counts: Counts,
    /// The sum of the first halves of all pieces' hashes. It finds out what a store has lost, doubled or changed; it is no defence
    /// against somebody who wants it to be right.
    sum: u128,
}

impl Tally {
    /// Counts one piece and takes it into the sum.
    pub fn add(&mut self, piece: &Piece) {
        self.counts.add(piece);
        let hash: [u8; 32] = Sha256::digest(row::encode(piece)).into();
        let half = hash[..16].try_into().expect("half of 32 bytes is 16");
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(half));
    }

    /// The numbers.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
