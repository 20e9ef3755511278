//! Sealed backups of accounts, for their recovery codes.

use async_trait::async_trait;
use bytes::Bytes;
use sealwire_protocol::Username;

use crate::StoreError;

/// At most two backups for each account: the newest, and the one under the recovery code before.
///
/// # Contract
/// * What a method has returned `Ok` for survives the loss of power.
/// * A read that begins after a write has returned sees it, from whatever task.
/// * They go with their [account](crate::Accounts::extend_manifest).
#[async_trait]
pub trait Backups: Send + Sync + 'static {
    /// Makes this the newest backup. One under another id takes the newest one's place, which becomes the one before; the
    /// former one before is gone. One under the newest one's id replaces just that, so that a backup that is kept up to date
    /// does not push out the one under the recovery code before. An unknown name is no error, and nothing is kept.
    async fn put_backup(&self, username: &Username, backup: BackupRecord) -> Result<(), StoreError>;

    /// The backups of an account, newest first, each under an id of its own; none for an unknown name.
    async fn backups(&self, username: &Username) -> Result<Vec<BackupRecord>, StoreError>;

    /// Erases the backups whose place another one took before `before` (milliseconds since 1970), at most `limit`; says
    /// how many. A newest one stays, however old.
    async fn erase_replaced_backups(&self, before: u64, limit: usize) -> Result<usize, StoreError>;
}

/// A sealed backup. The store keeps it and does not look inside.
#[derive(Clone, PartialEq, Eq)]
pub struct BackupRecord {
    /// Derived from the recovery code; whoever names it may fetch the backup.
    pub id: [u8; 32],
    /// Sealed.
    pub data: Bytes,
    /// Milliseconds since 1970. Of the newest: when it was put; of the one before: when another one took its place.
    pub at: u64,
}

/// Without the id, which is as good as a password.
impl std::fmt::Debug for BackupRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupRecord").field("bytes", &self.data.len()).field("at", &self.at).finish_non_exhaustive()
    }
}
