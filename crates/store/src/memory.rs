//! The store that forgets: for tests, for trying out, and as the model that other stores are compared with.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use parking_lot::Mutex;
use sealwire_protocol::{DeviceId, MessageId, Username};

use crate::{
    Account, Accounts, Appended, Batch, BatchOutcome, Created, Device, Front, Held, Mail, MailKey, Mailboxes,
    ManifestRecord, NewAccount, StoreError, Usage,
};

/// Keeps everything in memory, so that nothing survives its end. Correct before it is fast: a usage is counted
/// through, and one lock guards all of it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accounts: HashMap<Username, Chain>,
    /// Every device id ever given, and whose it is.
    owners: HashMap<DeviceId, Username>,
    mailboxes: HashMap<DeviceId, Mailbox>,
    missed: HashMap<DeviceId, u64>,
}

/// An account; its links oldest first.
#[derive(Debug)]
struct Chain {
    account: Account,
    links: Vec<ManifestRecord>,
}

/// The sending device comes last in the key only to tell two devices' messages under one id and order apart.
type Position = (u64, MessageId, DeviceId);

#[derive(Debug, Default)]
struct Mailbox {
    mail: BTreeMap<Position, Mail>,
    positions: HashMap<MailKey, Position>,
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
        Ok(self.state.lock().create_account(account))
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
        self.state.lock().device_seen(device, at);
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

    async fn missed(&self, device: &DeviceId) -> Result<u64, StoreError> {
        Ok(self.state.lock().missed.get(device).copied().unwrap_or(0))
    }

    async fn forget_missed(&self, device: &DeviceId, count: u64) -> Result<(), StoreError> {
        if let Some(missed) = self.state.lock().missed.get_mut(device) {
            *missed = missed.saturating_sub(count);
        }
        Ok(())
    }

    async fn highest_order(&self) -> Result<u64, StoreError> {
        let state = self.state.lock();
        let highest = state.mailboxes.values().filter_map(|mailbox| mailbox.mail.keys().next_back());
        Ok(highest.map(|(order, ..)| *order).max().unwrap_or(0))
    }
}

impl State {
    fn create_account(&mut self, new: NewAccount) -> Created {
        let mut ids = HashSet::new();
        let taken = |id: &DeviceId| self.owners.contains_key(id);
        if self.accounts.contains_key(&new.username) || new.devices.iter().any(|(id, _)| taken(id) || !ids.insert(*id))
        {
            return Created::Taken;
        }
        self.owners.extend(ids.into_iter().map(|id| (id, new.username.clone())));
        let (registering, wrap) = new.wrap;
        let mut devices: Vec<_> = new.devices.into_iter().map(|(id, dsk)| unused_device(id, dsk)).collect();
        devices.sort_by_key(|device| device.id);
        if let Some(device) = devices.iter_mut().find(|device| device.id == registering) {
            device.wrap = Some(wrap);
            device.last_seen = new.created_at;
        }
        let account = Account { username: new.username.clone(), aik: new.aik, manifest: new.manifest.clone(), devices };
        self.accounts.insert(new.username, Chain { account, links: vec![new.manifest] });
        Created::Yes
    }

    fn device_seen(&mut self, id: &DeviceId, at: u64) {
        let chain = self.owners.get(id).and_then(|username| self.accounts.get_mut(username));
        if let Some(device) = chain.and_then(|chain| chain.account.devices.iter_mut().find(|d| d.id == *id)) {
            device.last_seen = device.last_seen.max(at);
        }
    }

    fn execute(&mut self, batch: Batch) -> BatchOutcome {
        let append = |mail: Mail| self.mailboxes.entry(mail.device).or_default().append(mail);
        let appended = batch.appends.into_iter().map(append).collect();
        for removal in batch.removals {
            if let Some(mailbox) = self.mailboxes.get_mut(&removal.device) {
                mailbox.remove(&removal.key);
            }
        }
        for device in batch.missed {
            *self.missed.entry(device).or_default() += 1;
        }
        BatchOutcome { appended }
    }
}

fn unused_device(id: DeviceId, dsk: bytes::Bytes) -> Device {
    Device { id, dsk, wrap: None, replaced: Vec::new(), last_seen: 0 }
}

impl Mailbox {
    fn get(&self, key: &MailKey) -> Option<&Mail> {
        self.positions.get(key).and_then(|position| self.mail.get(position))
    }

    fn append(&mut self, mail: Mail) -> Appended {
        if mail.order > Mail::MAX_ORDER {
            return Appended::Failed;
        }
        if let Some(held) = self.get(&mail.key) {
            return Appended::Repeat(held.fingerprint);
        }
        let position = (mail.order, mail.key.message_id, mail.key.from_device);
        self.positions.insert(mail.key, position);
        self.mail.insert(position, mail);
        Appended::Stored
    }

    fn remove(&mut self, key: &MailKey) {
        if let Some(position) = self.positions.remove(key) {
            self.mail.remove(&position);
        }
    }

    fn front(&self, except: &HashSet<MailKey>, max_messages: usize, max_bytes: usize) -> Front {
        let mut front = Front::default();
        let mut bytes = 0;
        for mail in self.mail.values().filter(|mail| !except.contains(&mail.key)) {
            if front.mail.len() >= max_messages || (bytes >= max_bytes && !front.mail.is_empty()) {
                front.more = true;
                break;
            }
            bytes += mail.size();
            front.mail.push(mail.clone());
        }
        front
    }

    fn usage(&self, from: &Username) -> Usage {
        let mut usage = Usage::default();
        for mail in self.mail.values() {
            usage.total.add(mail.size() as u64);
            if !mail.own && mail.from == *from {
                usage.from_sender.add(mail.size() as u64);
            }
        }
        usage
    }
}
