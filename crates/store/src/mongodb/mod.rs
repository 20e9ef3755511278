//! The store that several nodes share: a MongoDB replica set.
//!
//! Whatever needs to change as one is one document where that goes (an account with its devices, the backups of an account, a
//! copy of a message), and a transaction where it does not (links of a chain, expiry). The way that carries the load, batches
//! of appends and removals, has none: one ordered insert and one delete, each acknowledged by a majority's journals.
//! [`schema`] lists the collections, [`options`] argues the concerns.

mod accounts;
mod backups;
mod chains;
mod error;
mod expiry;
mod export;
mod import;
mod mailboxes;
mod options;
mod schema;
mod transaction;
mod usage;
mod value;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use sealwire_protocol::{DeviceId, MessageId, Username};

use self::export::MongoExport;
use self::import::MongoImport;
use self::schema::Collections;
use self::usage::{FRESH, Stamp, Usages};
use crate::dump::{Export, Import};
use crate::{
    Account, Accounts, BackupRecord, Backups, Batch, BatchOutcome, Created, Expired, Extended, Front, Held, MailKey,
    Mailboxes, ManifestChange, ManifestRecord, NewAccount, News, StoreError, Usage, WrapPut, WrapRecord,
};

/// MongoDB 6.0, in the numbers by which servers and drivers know each other's abilities.
const OLDEST_WIRE_VERSION: i32 = 17;

/// Keeps everything in one database of a replica set.
pub struct MongoStore {
    on: Collections,
    usages: Usages,
    patience: Duration,
}

impl MongoStore {
    /// Connects to the replica set that `url` names (`mongodb://`), and makes collections, validators and indexes where they
    /// are missing. `patience` is how long any request may take, from the choice of a member to the answer.
    ///
    /// # Errors
    /// [`StoreError::Open`] for a URL that cannot be used, a server that is no member of a replica set or older than 6.0, and
    /// a database that is somebody else's or was written by a newer version; [`StoreError::Unavailable`] when no primary
    /// answers; [`StoreError::Damaged`] when the version is not one. No text repeats anything of the URL but the database's
    /// name.
    pub async fn open(url: &str, patience: Duration) -> Result<Self, StoreError> {
        let on = connect(url, patience).await?;
        schema::prepare(&on).await?;
        Ok(Self { on, usages: Usages::default(), patience })
    }

    /// Reads the store that `url` names out, also while servers use it. `patience` is how long each step may take.
    ///
    /// The whole of it must be read while MongoDB still keeps the history of that moment (five minutes, unless
    /// `minSnapshotHistoryWindowInSeconds` says otherwise).
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`StoreError::Open`] when there is no store.
    pub async fn export(url: &str, patience: Duration) -> Result<Box<dyn Export>, StoreError> {
        let on = connect(url, patience).await?;
        schema::check_whole(&on).await?;
        Ok(Box::new(MongoExport::open(on, patience).await?))
    }

    /// Begins to fill the database that `url` names, which must not be there, or hold what an import has left that ended half
    /// way. `patience` is how long each step may take.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`StoreError::Open`] when a store is there already, also an empty one.
    pub async fn import(url: &str, patience: Duration) -> Result<Box<dyn Import>, StoreError> {
        let on = connect(url, patience).await?;
        Ok(Box::new(MongoImport::open(on, patience).await?))
    }

    async fn in_time<T>(&self, request: impl Future<Output = mongodb::error::Result<T>>) -> Result<T, StoreError> {
        in_time(self.patience, request).await
    }

    async fn usage_since(&self, device: &DeviceId, from: &Username, age: Duration) -> Result<Usage, StoreError> {
        let known = || self.usages.known(device, from, Instant::now(), age);
        if let Some(usage) = known() {
            return Ok(usage);
        }
        let _turn = self.usages.turn(device).await;
        if let Some(usage) = known() {
            return Ok(usage);
        }
        let begun = self.usages.begin_count(device, Instant::now());
        let count = self.in_time(mailboxes::count(&self.on, device, Stamp::at(begun))).await?;
        Ok(self.usages.end_count(device, from, count))
    }
}

async fn connect(url: &str, patience: Duration) -> Result<Collections, StoreError> {
    let (options, database) = options::client(url, patience).await?;
    let client = Client::with_options(options).map_err(|error| StoreError::Open(error::describe(&error)))?;
    let database = client.database(&database);
    let on = Collections::of(client, database);
    let hello = in_time(patience, async { on.database.run_command(doc! { "hello": 1 }).await }).await?;
    check_server(&hello)?;
    Ok(on)
}

/// Waits no longer than the patience. A request that is given up ends with its connection.
async fn in_time<T>(
    patience: Duration,
    request: impl Future<Output = mongodb::error::Result<T>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(patience, request).await {
        Ok(outcome) => outcome.map_err(error::running),
        Err(_) => Err(StoreError::Unavailable(format!("MongoDB has not answered within {patience:?}"))),
    }
}

/// Without the driver's part, which knows the password.
impl std::fmt::Debug for MongoStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MongoStore").field("database", &self.on.database.name()).finish_non_exhaustive()
    }
}

fn check_server(hello: &Document) -> Result<(), StoreError> {
    let refused = |why: &str| Err(StoreError::Open(why.to_owned()));
    if hello.get_i32("maxWireVersion").unwrap_or(0) < OLDEST_WIRE_VERSION {
        return refused("this MongoDB is too old; 6.0 is the oldest that works");
    }
    if !hello.contains_key("setName") && hello.get_str("msg").ok() != Some("isdbgrid") {
        return refused(
            "this MongoDB is no member of a replica set, so it has no transactions and nothing outlives its disk; \
             start mongod with --replSet and initiate the set (one member is enough to try)",
        );
    }
    Ok(())
}

#[async_trait]
impl Accounts for MongoStore {
    async fn create_account(&self, account: NewAccount) -> Result<Created, StoreError> {
        self.in_time(accounts::create(&self.on, &account)).await
    }

    async fn extend_manifest(&self, change: ManifestChange) -> Result<Extended, StoreError> {
        let extended = self.in_time(chains::extend(&self.on, &change)).await?;
        if let Extended::Yes { removed } = &extended {
            self.usages.forget(removed);
        }
        Ok(extended)
    }

    async fn put_wrap(&self, device: &DeviceId, wrap: WrapRecord, at: u64) -> Result<WrapPut, StoreError> {
        self.in_time(accounts::put_wrap(&self.on, device, &wrap, at)).await
    }

    async fn set_presence_shared(&self, username: &Username, shared: bool) -> Result<(), StoreError> {
        self.in_time(accounts::share_presence(&self.on, username, shared)).await
    }

    async fn account(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        self.in_time(accounts::find(&self.on, username)).await
    }

    async fn manifests(
        &self,
        username: &Username,
        since: u64,
        limit: usize,
    ) -> Result<Vec<ManifestRecord>, StoreError> {
        self.in_time(accounts::manifests(&self.on, username, since, limit)).await
    }

    async fn device_seen(&self, device: &DeviceId, at: u64) -> Result<(), StoreError> {
        self.in_time(accounts::seen(&self.on, device, at)).await
    }
}

#[async_trait]
impl Mailboxes for MongoStore {
    async fn execute(&self, batch: Batch) -> Result<BatchOutcome, StoreError> {
        let under_way = self.usages.begin(&batch);
        let appended = self.in_time(mailboxes::execute(&self.on, &batch)).await?;
        under_way.done(&batch, &appended);
        Ok(BatchOutcome { appended })
    }

    async fn front(
        &self,
        device: &DeviceId,
        except: HashSet<MailKey>,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Front, StoreError> {
        self.in_time(mailboxes::front(&self.on, device, &except, max_messages, max_bytes)).await
    }

    async fn find(&self, key: &MailKey) -> Result<Vec<Held>, StoreError> {
        self.in_time(mailboxes::find(&self.on, key)).await
    }

    async fn usage(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError> {
        self.usage_since(device, from, Duration::MAX).await
    }

    async fn recount(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError> {
        self.usage_since(device, from, FRESH).await
    }

    async fn news(&self, device: &DeviceId, limit: usize) -> Result<News, StoreError> {
        self.in_time(expiry::news(&self.on, device, limit)).await
    }

    async fn forget_missed(&self, device: &DeviceId, count: u64) -> Result<(), StoreError> {
        self.in_time(expiry::forget_missed(&self.on, device, count)).await
    }

    async fn with_mail(&self, devices: Vec<DeviceId>) -> Result<Vec<DeviceId>, StoreError> {
        self.in_time(mailboxes::with_mail(&self.on, &devices)).await
    }

    async fn time(&self) -> Result<Option<u64>, StoreError> {
        self.in_time(mailboxes::time(&self.on)).await.map(Some)
    }

    async fn highest_order(&self) -> Result<u64, StoreError> {
        self.in_time(mailboxes::highest_order(&self.on)).await
    }

    async fn expire(&self, before: u64, limit: usize) -> Result<Expired, StoreError> {
        let sweep = self.in_time(expiry::expire(&self.on, before, limit)).await?;
        self.usages.forget(&sweep.devices);
        Ok(sweep.expired)
    }

    async fn forget_notices(&self, device: &DeviceId, messages: Vec<MessageId>) -> Result<(), StoreError> {
        self.in_time(expiry::forget_notices(&self.on, device, &messages)).await
    }
}

#[async_trait]
impl Backups for MongoStore {
    async fn put_backup(&self, username: &Username, backup: BackupRecord) -> Result<(), StoreError> {
        self.in_time(backups::put(&self.on, username, &backup)).await
    }

    async fn backups(&self, username: &Username) -> Result<Vec<BackupRecord>, StoreError> {
        self.in_time(backups::read(&self.on, username)).await
    }

    async fn erase_replaced_backups(&self, before: u64, limit: usize) -> Result<usize, StoreError> {
        self.in_time(backups::erase_replaced(&self.on, before, limit)).await
    }
}
