//! The store as the metrics see it: how long each request takes, and which are not answered. No store knows of it.

use std::{collections::HashSet, future::Future, sync::Arc};

use async_trait::async_trait;
use sealwire_actors::metrics::{Metric, Samples};
use sealwire_protocol::{DeviceId, MessageId, Username};
use sealwire_store::{
    Account, Accounts, BackupRecord, Backups, Batch, BatchOutcome, Created, Expired, Extended, Front, Held, MailKey,
    Mailboxes, ManifestChange, ManifestRecord, NewAccount, News, Store, StoreError, Usage, WrapPut, WrapRecord,
};

use super::requests::Requests;

sealwire_actors::label! {
    /// What is asked of a store.
    enum Operation: "operation";
    #[doc = "[`Accounts::create_account`]"]
    CreateAccount = "create_account",
    #[doc = "[`Accounts::extend_manifest`]"]
    ExtendManifest = "extend_manifest",
    #[doc = "[`Accounts::put_wrap`]"]
    PutWrap = "put_wrap",
    #[doc = "[`Accounts::set_presence_shared`]"]
    SetPresenceShared = "set_presence_shared",
    #[doc = "[`Accounts::account`]"]
    Account = "account",
    #[doc = "[`Accounts::manifests`]"]
    Manifests = "manifests",
    #[doc = "[`Accounts::device_seen`]"]
    DeviceSeen = "device_seen",
    #[doc = "[`Mailboxes::execute`]"]
    Execute = "execute",
    #[doc = "[`Mailboxes::front`]"]
    Front = "front",
    #[doc = "[`Mailboxes::find`]"]
    Find = "find",
    #[doc = "[`Mailboxes::usage`]"]
    Usage = "usage",
    #[doc = "[`Mailboxes::recount`]"]
    Recount = "recount",
    #[doc = "[`Mailboxes::news`]"]
    News = "news",
    #[doc = "[`Mailboxes::forget_missed`]"]
    ForgetMissed = "forget_missed",
    #[doc = "[`Mailboxes::with_mail`]"]
    WithMail = "with_mail",
    #[doc = "[`Mailboxes::time`]"]
    Time = "time",
    #[doc = "[`Mailboxes::highest_order`]"]
    HighestOrder = "highest_order",
    #[doc = "[`Mailboxes::expire`]"]
    Expire = "expire",
    #[doc = "[`Mailboxes::forget_notices`]"]
    ForgetNotices = "forget_notices",
    #[doc = "[`Backups::put_backup`]"]
    PutBackup = "put_backup",
    #[doc = "[`Backups::backups`]"]
    Backups = "backups",
    #[doc = "[`Backups::erase_replaced_backups`]"]
    EraseReplacedBackups = "erase_replaced_backups",
}

sealwire_actors::label! {
    /// Why a request came to nothing.
    enum Failure: "kind";
    #[doc = "[`StoreError::Unavailable`], also of a store that could not be opened."]
    Unavailable = "unavailable",
    #[doc = "[`StoreError::Damaged`]"]
    Damaged = "damaged",
    #[doc = "Nobody waited for the answer any longer."]
    TooLate = "too_late",
}

/// What was asked of the store.
#[derive(Debug, Default)]
pub(crate) struct StoreCounts(Requests<Operation, Failure>);

impl StoreCounts {
    /// Says what was counted.
    pub(crate) fn observe(&self, samples: &mut Samples) {
        self.0.observe(Metric::StoreSeconds, Metric::StoreErrors, samples);
    }
}

/// A store that is measured.
pub(crate) struct MeasuredStore {
    store: Arc<dyn Store>,
    counts: Arc<StoreCounts>,
}

impl MeasuredStore {
    /// Measures what is asked of `store`.
    pub(crate) fn new(store: Arc<dyn Store>, counts: Arc<StoreCounts>) -> Self {
        Self { store, counts }
    }

    async fn time<T>(
        &self,
        operation: Operation,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let kind = |error: &StoreError| match error {
            StoreError::Unavailable(_) | StoreError::Open(_) => Failure::Unavailable,
            StoreError::Damaged(_) => Failure::Damaged,
        };
        self.counts.0.time(operation, answer, kind, Failure::TooLate).await
    }
}

#[async_trait]
impl Accounts for MeasuredStore {
    async fn create_account(&self, account: NewAccount) -> Result<Created, StoreError> {
        self.time(Operation::CreateAccount, self.store.create_account(account)).await
    }

    async fn extend_manifest(&self, change: ManifestChange) -> Result<Extended, StoreError> {
        self.time(Operation::ExtendManifest, self.store.extend_manifest(change)).await
    }

    async fn put_wrap(&self, device: &DeviceId, wrap: WrapRecord, at: u64) -> Result<WrapPut, StoreError> {
        self.time(Operation::PutWrap, self.store.put_wrap(device, wrap, at)).await
    }

    async fn set_presence_shared(&self, username: &Username, shared: bool) -> Result<(), StoreError> {
        self.time(Operation::SetPresenceShared, self.store.set_presence_shared(username, shared)).await
    }

    async fn account(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        self.time(Operation::Account, self.store.account(username)).await
    }

    async fn manifests(
        &self,
        username: &Username,
        since: u64,
        limit: usize,
    ) -> Result<Vec<ManifestRecord>, StoreError> {
        self.time(Operation::Manifests, self.store.manifests(username, since, limit)).await
    }

    async fn device_seen(&self, device: &DeviceId, at: u64) -> Result<(), StoreError> {
        self.time(Operation::DeviceSeen, self.store.device_seen(device, at)).await
    }
}

#[async_trait]
impl Mailboxes for MeasuredStore {
    async fn execute(&self, batch: Batch) -> Result<BatchOutcome, StoreError> {
        self.time(Operation::Execute, self.store.execute(batch)).await
    }

    async fn front(
        &self,
        device: &DeviceId,
        except: HashSet<MailKey>,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Front, StoreError> {
        self.time(Operation::Front, self.store.front(device, except, max_messages, max_bytes)).await
    }

    async fn find(&self, key: &MailKey) -> Result<Vec<Held>, StoreError> {
        self.time(Operation::Find, self.store.find(key)).await
    }

    async fn usage(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError> {
        self.time(Operation::Usage, self.store.usage(device, from)).await
    }

    async fn recount(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError> {
        self.time(Operation::Recount, self.store.recount(device, from)).await
    }

    async fn news(&self, device: &DeviceId, limit: usize) -> Result<News, StoreError> {
        self.time(Operation::News, self.store.news(device, limit)).await
    }

    async fn forget_missed(&self, device: &DeviceId, count: u64) -> Result<(), StoreError> {
        self.time(Operation::ForgetMissed, self.store.forget_missed(device, count)).await
    }

    async fn with_mail(&self, devices: Vec<DeviceId>) -> Result<Vec<DeviceId>, StoreError> {
        self.time(Operation::WithMail, self.store.with_mail(devices)).await
    }

    async fn time(&self) -> Result<Option<u64>, StoreError> {
        self.time(Operation::Time, self.store.time()).await
    }

    async fn highest_order(&self) -> Result<u64, StoreError> {
        self.time(Operation::HighestOrder, self.store.highest_order()).await
    }

    async fn expire(&self, before: u64, limit: usize) -> Result<Expired, StoreError> {
        self.time(Operation::Expire, self.store.expire(before, limit)).await
    }

    async fn forget_notices(&self, device: &DeviceId, messages: Vec<MessageId>) -> Result<(), StoreError> {
        self.time(Operation::ForgetNotices, self.store.forget_notices(device, messages)).await
    }
}

#[async_trait]
impl Backups for MeasuredStore {
    async fn put_backup(&self, username: &Username, backup: BackupRecord) -> Result<(), StoreError> {
        self.time(Operation::PutBackup, self.store.put_backup(username, backup)).await
    }

    async fn backups(&self, username: &Username) -> Result<Vec<BackupRecord>, StoreError> {
        self.time(Operation::Backups, self.store.backups(username)).await
    }

    async fn erase_replaced_backups(&self, before: u64, limit: usize) -> Result<usize, StoreError> {
        self.time(Operation::EraseReplacedBackups, self.store.erase_replaced_backups(before, limit)).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sealwire_actors::metrics::Value;
    use sealwire_store::MemoryStore;

    use super::*;

    /// What is measured passes the suite like what is not.
    mod conformance {
        use std::sync::Arc;

        use sealwire_store::MemoryStore;

        use super::super::MeasuredStore;

        sealwire_store::conformance::suite!(((), MeasuredStore::new(Arc::new(MemoryStore::new()), Arc::default())));
    }

    /// How often an operation was measured, and how many requests came to nothing for this reason.
    fn counted(counts: &StoreCounts, operation: &'static str, kind: &'static str) -> (u64, f64) {
        let mut samples = Samples::default();
        counts.observe(&mut samples);
        let samples = samples.into_inner();
        let find = |label| samples.iter().find(|sample| sample.labels == [label]).map(|sample| sample.value.clone());
        match (find(("operation", operation)), find(("kind", kind))) {
            (Some(Value::Ranges { count, .. }), Some(Value::Number(failed))) => (count, failed),
            other => panic!("no such samples: {other:?}"),
        }
    }

    #[tokio::test]
    async fn each_request_is_measured_and_each_failure_counted_by_its_kind() {
        let counts = Arc::new(StoreCounts::default());
        let store = MeasuredStore::new(Arc::new(MemoryStore::new()), counts.clone());
        store.highest_order().await.expect("the memory answers");
        assert_eq!(counted(&counts, "highest_order", "too_late"), (1, 0.0));
        let damaged = async { Err::<(), _>(StoreError::Damaged("a test".into())) };
        store.time(Operation::Find, damaged).await.expect_err("damaged");
        assert_eq!(counted(&counts, "find", "damaged"), (1, 1.0));
        let never = store.time(Operation::Find, std::future::pending::<Result<(), StoreError>>());
        tokio::time::timeout(Duration::ZERO, never).await.expect_err("it never answers");
        assert_eq!(counted(&counts, "find", "too_late"), (2, 1.0));
        assert_eq!(counted(&counts, "find", "unavailable"), (2, 0.0));
    }
}
