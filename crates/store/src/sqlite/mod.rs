//! The embedded store of one node: a SQLite database in a data directory.
//!
//! One thread owns the connection that writes, another one a connection that reads: in WAL mode a reader sees the last
//! commit without waiting for the one under way. A [`Batch`] is one transaction and one fsync; making batches of what
//! arrives is the caller's.

mod accounts;
mod backups;
mod changes;
mod connection;
mod departing;
mod error;
mod expiry;
mod export;
mod files;
mod import;
mod mailboxes;
mod row;
mod schema;
mod seen;
#[cfg(test)]
mod tests;
mod worker;
mod writer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use sealwire_protocol::{DeviceId, MessageId, Username};

use self::connection::Sync;
pub use self::departing::Departing;
use self::export::SqliteExport;
use self::files::DataDir;
use self::import::SqliteImport;
use self::seen::Seen;
use self::worker::Worker;
use self::writer::Writer;
use crate::counters::Counters;
use crate::dump::{Export, Import};
use crate::{
    Account, Accounts, BackupRecord, Backups, Batch, BatchOutcome, Created, Expired, Extended, Front, Held, MailKey,
    Mailboxes, ManifestChange, ManifestRecord, NewAccount, News, StoreError, Usage, WrapPut, WrapRecord,
};

/// Writes that may wait. Each can be a whole batch, and whoever makes batches has one under way at a time.
const WAITING_WRITES: usize = 1024;
/// Reads that may wait: a restart makes every device ask for its mail within seconds.
const WAITING_READS: usize = 8192;

/// Keeps everything in `sealwire.db` in a data directory.
///
/// Dropping it finishes what is queued, folds the log into the database, and frees the directory; it blocks for that
/// long.
pub struct SqliteStore {
    counters: Arc<Mutex<Counters>>,
    seen: Arc<Seen>,
    // Dropped in this order: the writer's connection is the last one, and so folds the log in.
    reader: Worker<Reader>,
    writer: Worker<Writer>,
    _dir: DataDir,
}

/// What the reading thread owns.
struct Reader(Connection);

impl worker::State for Reader {
    fn rest(&mut self) {
        connection::rest(&self.0);
    }
}

impl SqliteStore {
    /// Opens the store of a data directory. Makes both if they are not there, and brings an older schema up to date.
    ///
    /// Blocks; up to a second or so for a database of a few hundred megabytes, which is checked page by page.
    ///
    /// # Errors
    /// [`StoreError::Open`] when the directory is in use by another server, cannot be written, or was written by a newer
    /// version; [`StoreError::Damaged`] when the database is not sound. The text says how to go on.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Sync::Full)
    }

    /// Opens a store that does not keep the contract: nothing is synced. Shows that the test of the loss of power would
    /// notice.
    #[doc(hidden)]
    pub fn open_without_sync(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, Sync::Off)
    }

    fn open_with(dir: &Path, sync: Sync) -> Result<Self, StoreError> {
        let dir = DataDir::take(dir)?;
        let writing = connection::open_writer(&dir, sync)?;
        let reading = connection::open_reader(&dir)?;
        let (counters, seen) = (Arc::<Mutex<Counters>>::default(), Arc::<Seen>::default());
        let writer = Writer::new(writing, Arc::clone(&counters), Arc::clone(&seen));
        let no_thread = |error| StoreError::Open(format!("cannot start a thread of the store: {error}"));
        Ok(Self {
            counters,
            seen,
            reader: Worker::start("store-reader", WAITING_READS, Reader(reading)).map_err(no_thread)?,
            writer: Worker::start("store-writer", WAITING_WRITES, writer).map_err(no_thread)?,
            _dir: dir,
        })
    }

    /// Reads the store of a data directory out, also while a server uses it. Its schema must be this version's.
    ///
    /// What a device was [seen](Accounts::device_seen) at within the last minute may be missing.
    ///
    /// # Errors
    /// [`StoreError::Open`] when there is none, or it cannot be read; the text says how to go on.
    pub fn export(dir: &Path) -> Result<Box<dyn Export>, StoreError> {
        Ok(Box::new(SqliteExport::open(&DataDir::database_in(dir)?)?))
    }

    /// Begins to fill the store of a data directory, which holds none and is used by no server; makes the directory if need be.
    ///
    /// # Errors
    /// [`StoreError::Open`] when it holds one, is in use, or cannot be written; the text says how to go on.
    pub fn import(dir: &Path) -> Result<Box<dyn Import>, StoreError> {
        Ok(Box::new(SqliteImport::open(DataDir::take(dir)?)?))
    }

    async fn read<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.reader.run(move |Reader(connection)| job(connection).map_err(error::running)).await
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("dir", &self._dir).finish_non_exhaustive()
    }
}

#[async_trait]
impl Accounts for SqliteStore {
    async fn create_account(&self, account: NewAccount) -> Result<Created, StoreError> {
        self.writer.run(move |writer| writer.create_account(&account)).await
    }

    async fn extend_manifest(&self, change: ManifestChange) -> Result<Extended, StoreError> {
        self.writer.run(move |writer| writer.extend_manifest(&change)).await
    }

    async fn put_wrap(&self, device: &DeviceId, wrap: WrapRecord, at: u64) -> Result<WrapPut, StoreError> {
        let device = *device;
        self.writer.run(move |writer| writer.put_wrap(&device, &wrap, at)).await
    }

    async fn set_presence_shared(&self, username: &Username, shared: bool) -> Result<(), StoreError> {
        let username = username.clone();
        self.writer.run(move |writer| writer.share_presence(&username, shared)).await
    }

    async fn account(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        let (username, seen) = (username.clone(), Arc::clone(&self.seen));
        self.read(move |connection| {
            loop {
                let commits = seen.commits();
                let mut account = accounts::read(connection, &username)?;
                let devices = account.iter_mut().flat_map(|account| &mut account.devices);
                if seen.overlay(commits, devices.map(|device| (&device.id, &mut device.last_seen))) {
                    return Ok(account);
                }
            }
        })
        .await
    }

    async fn manifests(
        &self,
        username: &Username,
        since: u64,
        limit: usize,
    ) -> Result<Vec<ManifestRecord>, StoreError> {
        let username = username.clone();
        self.read(move |connection| accounts::manifests(connection, &username, since, limit)).await
    }

    async fn device_seen(&self, device: &DeviceId, at: u64) -> Result<(), StoreError> {
        self.seen.note(*device, at);
        Ok(())
    }
}

#[async_trait]
impl Mailboxes for SqliteStore {
    async fn execute(&self, batch: Batch) -> Result<BatchOutcome, StoreError> {
        self.writer.run(move |writer| writer.execute(&batch)).await
    }

    async fn front(
        &self,
        device: &DeviceId,
        except: HashSet<MailKey>,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Front, StoreError> {
        let device = *device;
        self.read(move |connection| mailboxes::front(connection, &device, &except, max_messages, max_bytes)).await
    }

    async fn find(&self, key: &MailKey) -> Result<Vec<Held>, StoreError> {
        let key = *key;
        self.read(move |connection| mailboxes::find(connection, &key)).await
    }

    async fn usage(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError> {
        if let Some(usage) = self.counters.lock().usage(device, from) {
            return Ok(usage);
        }
        let (device, from) = (*device, from.clone());
        self.writer.run(move |writer| writer.usage(device, &from)).await
    }

    async fn recount(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError> {
        self.usage(device, from).await
    }

    async fn news(&self, device: &DeviceId, limit: usize) -> Result<News, StoreError> {
        let device = *device;
        self.read(move |connection| expiry::news(connection, &device, limit)).await
    }

    async fn forget_missed(&self, device: &DeviceId, count: u64) -> Result<(), StoreError> {
        let device = *device;
        self.writer.run(move |writer| writer.forget_missed(&device, count)).await
    }

    async fn with_mail(&self, devices: Vec<DeviceId>) -> Result<Vec<DeviceId>, StoreError> {
        self.read(move |connection| mailboxes::with_mail(connection, devices)).await
    }

    async fn time(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    async fn highest_order(&self) -> Result<u64, StoreError> {
        self.read(|connection| mailboxes::highest_order(connection)).await
    }

    async fn expire(&self, before: u64, limit: usize) -> Result<Expired, StoreError> {
        self.writer.run(move |writer| writer.expire(before, limit)).await
    }

    async fn forget_notices(&self, device: &DeviceId, messages: Vec<MessageId>) -> Result<(), StoreError> {
        let device = *device;
        self.writer.run(move |writer| writer.forget_notices(&device, &messages)).await
    }
}

#[async_trait]
impl Backups for SqliteStore {
    async fn put_backup(&self, username: &Username, backup: BackupRecord) -> Result<(), StoreError> {
        let username = username.clone();
        self.writer.run(move |writer| writer.put_backup(&username, &backup)).await
    }

    async fn backups(&self, username: &Username) -> Result<Vec<BackupRecord>, StoreError> {
        let username = username.clone();
        self.read(move |connection| backups::read(connection, &username)).await
    }

    async fn erase_replaced_backups(&self, before: u64, limit: usize) -> Result<usize, StoreError> {
        self.writer.run(move |writer| writer.erase_replaced_backups(before, limit)).await
    }
}
