//! The store that forgets: for tests, for trying out, and as the model that other stores are compared with.

mod accounts;
mod mailbox;

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use parking_lot::Mutex;
use sealwire_protocol::{DeviceId, MessageId, Username};

use self::accounts::AccountBook;
use self::mailbox::Mailbox;
use crate::{
    Account, Accounts, BackupRecord, Backups, Batch, BatchOutcome, Created, EXPIRY_REACH, Expired, Extended, Front,
    Held, Mail, MailKey, Mailboxes, ManifestChange, ManifestRecord, NOTICE_LIFE, NewAccount, News, Notice, Removal,
    StoreError, Usage, WrapPut, WrapRecord,
};

/// Keeps everything in memory, so that nothing survives its end. Correct before it is fast: a usage is counted
/// through, and one lock guards all of it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accounts: AccountBook,
    mailboxes: HashMap<DeviceId, Mailbox>,
    missed: HashMap<DeviceId, u64>,
    /// Oldest first, with the `before` of the call that made them.
    notices: Vec<(Notice, u64)>,
    /// Copies that have come so far.
    arrivals: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Accounts for MemoryStore {
    async fn create_account(&self, account: NewAccount) -> Result<Created, StoreError> {
        Ok(self.state.lock().accounts.create(account))
    }

    async fn extend_manifest(&self, change: ManifestChange) -> Result<Extended, StoreError> {
        Ok(self.state.lock().extend_manifest(change))
    }

    async fn put_wrap(&self, device: &DeviceId, wrap: WrapRecord, at: u64) -> Result<WrapPut, StoreError> {
        Ok(self.state.lock().accounts.put_wrap(device, wrap, at))
    }

    async fn set_presence_shared(&self, username: &Username, shared: bool) -> Result<(), StoreError> {
        if let Some(chain) = self.state.lock().accounts.get_mut(username) {
            chain.account.shares_presence = shared;
        }
        Ok(())
    }

    async fn account(&self, username: &Username) -> Result<Option<Account>, StoreError> {
        Ok(self.state.lock().accounts.get(username).map(|chain| chain.account.clone()))
    }

    async fn manifests(
        &self,
        username: &Username,
        since: u64,
        limit: usize,
    ) -> Result<Vec<ManifestRecord>, StoreError> {
        let state = self.state.lock();
        let links = state.accounts.get(username).map_or(&[][..], |chain| &chain.links);
        Ok(links.iter().filter(|link| link.version > since).take(limit).cloned().collect())
    }

    async fn device_seen(&self, device: &DeviceId, at: u64) -> Result<(), StoreError> {
        self.state.lock().accounts.device_seen(device, at);
        Ok(())
    }
}

#[async_trait]
impl Mailboxes for MemoryStore {
    async fn execute(&self, batch: Batch) -> Result<BatchOutcome, StoreError> {
        Ok(self.state.lock().execute(batch))
    }

    async fn front(
        &self,
        device: &DeviceId,
        except: HashSet<MailKey>,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Front, StoreError> {
        let state = self.state.lock();
        Ok(state.mailboxes.get(device).map_or_else(Front::default, |m| m.front(&except, max_messages, max_bytes)))
    }

    async fn find(&self, key: &MailKey) -> Result<Vec<Held>, StoreError> {
        let state = self.state.lock();
        let copies = state.mailboxes.iter().filter_map(|(device, mailbox)| {
            mailbox.get(key).map(|mail| Held { device: *device, fingerprint: mail.fingerprint })
        });
        Ok(copies.collect())
    }

    async fn usage(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError> {
        Ok(self.state.lock().mailboxes.get(device).map_or_else(Usage::default, |mailbox| mailbox.usage(from)))
    }

    async fn recount(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError> {
        self.usage(device, from).await
    }

    async fn news(&self, device: &DeviceId, limit: usize) -> Result<News, StoreError> {
        let state = self.state.lock();
        let own = state.notices.iter().filter(|(notice, _)| notice.device == *device);
        let notices = own.map(|(notice, _)| notice.message_id).take(limit).collect();
        Ok(News { missed: state.missed.get(device).copied().unwrap_or(0), notices })
    }

    async fn forget_missed(&self, device: &DeviceId, count: u64) -> Result<(), StoreError> {
        if let Some(missed) = self.state.lock().missed.get_mut(device) {
            *missed = missed.saturating_sub(count);
        }
        Ok(())
    }

    async fn with_mail(&self, devices: Vec<DeviceId>) -> Result<Vec<DeviceId>, StoreError> {
        let state = self.state.lock();
        let has_mail =
            |device: &DeviceId| state.mailboxes.get(device).is_some_and(|mailbox| mailbox.kept().next().is_some());
        let asked: HashSet<DeviceId> = devices.into_iter().collect();
        Ok(asked.into_iter().filter(has_mail).collect())
    }

    async fn time(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    async fn highest_order(&self) -> Result<u64, StoreError> {
        let state = self.state.lock();
        Ok(state.mailboxes.values().filter_map(Mailbox::highest_order).max().unwrap_or(0))
    }

    async fn expire(&self, before: u64, limit: usize) -> Result<Expired, StoreError> {
        Ok(self.state.lock().expire(before, limit))
    }

    async fn forget_notices(&self, device: &DeviceId, messages: Vec<MessageId>) -> Result<(), StoreError> {
        let told = |notice: &Notice| notice.device == *device && messages.contains(&notice.message_id);
        self.state.lock().notices.retain(|(notice, _)| !told(notice));
        Ok(())
    }
}

#[async_trait]
impl Backups for MemoryStore {
    async fn put_backup(&self, username: &Username, backup: BackupRecord) -> Result<(), StoreError> {
        if let Some(chain) = self.state.lock().accounts.get_mut(username) {
            chain.put_backup(backup);
        }
        Ok(())
    }

    async fn backups(&self, username: &Username) -> Result<Vec<BackupRecord>, StoreError> {
        Ok(self.state.lock().accounts.get(username).map_or_else(Vec::new, |chain| chain.backups.clone()))
    }

    async fn erase_replaced_backups(&self, before: u64, limit: usize) -> Result<usize, StoreError> {
        Ok(self.state.lock().accounts.erase_replaced_backups(before, limit))
    }
}

impl State {
    fn extend_manifest(&mut self, change: ManifestChange) -> Extended {
        let extended = self.accounts.extend(change);
        if let Extended::Yes { removed } = &extended {
            self.mailboxes.retain(|device, _| !removed.contains(device));
            self.missed.retain(|device, _| !removed.contains(device));
            self.notices.retain(|(notice, _)| !removed.contains(&notice.device));
        }
        extended
    }

    fn execute(&mut self, batch: Batch) -> BatchOutcome {
        let append = |mail: Mail| {
            self.arrivals += 1;
            self.mailboxes.entry(mail.device).or_default().append(mail, self.arrivals)
        };
        let appended = batch.appends.into_iter().map(append).collect();
        for removal in batch.removals {
            self.remove(&removal);
        }
        batch.missed.iter().for_each(|device| self.miss(device));
        BatchOutcome { appended }
    }

    fn miss(&mut self, device: &DeviceId) {
        if !self.accounts.is_removed(device) {
            *self.missed.entry(*device).or_default() += 1;
        }
    }

    fn remove(&mut self, removal: &Removal) {
        if let Some(mailbox) = self.mailboxes.get_mut(&removal.device) {
            mailbox.remove(&removal.key);
        }
    }

    fn expire(&mut self, before: u64, limit: usize) -> Expired {
        self.drop_old_notices(before, limit);
        let due = self.due(before, limit);
        let copies = due.len();
        let mut gone: Vec<MailKey> = Vec::new();
        for (removal, own) in due {
            self.remove(&removal);
            self.miss(&removal.device);
            if !own && !gone.contains(&removal.key) {
                gone.push(removal.key);
            }
        }
        gone.retain(|key| !self.accounts.is_removed(&key.from_device) && !self.is_held_for_addressee(key));
        let notices = gone.iter().map(|key| Notice { device: key.from_device, message_id: key.message_id });
        let notices: Vec<_> = notices.collect();
        self.notices.retain(|(notice, _)| !notices.contains(notice));
        self.notices.extend(notices.iter().map(|notice| (*notice, before)));
        Expired { copies, notices }
    }

    fn drop_old_notices(&mut self, before: u64, mut limit: usize) {
        self.notices.retain(|(_, at)| {
            let dropped = limit > 0 && at.saturating_add(NOTICE_LIFE) < before;
            limit -= usize::from(dropped);
            !dropped
        });
    }

    /// The copies to expire, in the order of their arrival, and whether each is a sender's own.
    fn due(&self, before: u64, limit: usize) -> Vec<(Removal, bool)> {
        let mut all: Vec<_> = self.mailboxes.values().flat_map(Mailbox::kept).collect();
        all.sort_by_key(|kept| kept.arrival);
        let (mut due, mut passed) = (Vec::new(), 0);
        for mail in all.iter().map(|kept| &kept.mail) {
            if due.len() >= limit || passed >= EXPIRY_REACH {
                break;
            }
            if mail.accepted_at < before {
                due.push((Removal { device: mail.device, key: mail.key }, mail.own));
            } else {
                passed += 1;
            }
        }
        due
    }

    fn is_held_for_addressee(&self, key: &MailKey) -> bool {
        self.mailboxes.values().filter_map(|mailbox| mailbox.get(key)).any(|mail| !mail.own)
    }
}
