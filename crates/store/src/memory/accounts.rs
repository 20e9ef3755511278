//! Accounts in memory.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use sealwire_protocol::{DeviceId, Username};

use crate::accounts::REPLACED_WRAP_LIFE;
use crate::{
    Account, BackupRecord, Created, Device, Extended, ManifestChange, ManifestRecord, NewAccount, WrapPut, WrapRecord,
};

#[derive(Debug, Default)]
pub(super) struct AccountBook {
    chains: HashMap<Username, Chain>,
    /// The names of deleted accounts, with version and hash of their last link.
    deleted: HashMap<Username, (u64, [u8; 32])>,
    /// Every device id ever given, and whose it is.
    owners: HashMap<DeviceId, Username>,
}

/// An account; its links oldest first, its backups newest first.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) account: Account,
    pub(super) links: Vec<ManifestRecord>,
    pub(super) backups: Vec<BackupRecord>,
}

impl AccountBook {
    pub(super) fn get(&self, username: &Username) -> Option<&Chain> {
        self.chains.get(username)
    }

    pub(super) fn get_mut(&mut self, username: &Username) -> Option<&mut Chain> {
        self.chains.get_mut(username)
    }

    pub(super) fn create(&mut self, new: NewAccount) -> Created {
        let mut ids = HashSet::new();
        let taken = |id: &DeviceId| self.owners.contains_key(id);
        let name_taken = self.chains.contains_key(&new.username) || self.deleted.contains_key(&new.username);
        if name_taken {
            return Created::NameTaken;
        }
        if new.devices.iter().any(|(id, _)| taken(id) || !ids.insert(*id)) {
            return Created::DeviceTaken;
        }
        self.owners.extend(ids.into_iter().map(|id| (id, new.username.clone())));
        let (registering, wrap) = new.wrap;
        let mut devices: Vec<_> = new.devices.into_iter().map(|(id, dsk)| unused_device(id, dsk)).collect();
        devices.sort_by_key(|device| device.id);
        if let Some(device) = devices.iter_mut().find(|device| device.id == registering) {
            device.wrap = Some(wrap);
            device.last_seen = new.created_at;
        }
        let account = Account {
            username: new.username.clone(),
            aik: new.aik,
            manifest: new.manifest.clone(),
            devices,
            shares_presence: false,
        };
        self.chains.insert(new.username, Chain { account, links: vec![new.manifest], backups: Vec::new() });
        Created::Yes
    }

    pub(super) fn extend(&mut self, change: ManifestChange) -> Extended {
        let link = (change.manifest.version, change.manifest.hash);
        let Some(chain) = self.chains.get(&change.username) else {
            let repeat = self.deleted.get(&change.username) == Some(&link);
            return if repeat { Extended::Repeat } else { Extended::Unknown };
        };
        if chain.links.iter().any(|held| (held.version, held.hash) == link) {
            return Extended::Repeat;
        }
        let newest = &chain.account.manifest;
        if newest.version + 1 != change.manifest.version || newest.hash != change.previous {
            return Extended::Conflict;
        }
        if self.has_taken_device(chain, &change.devices) {
            return Extended::DeviceTaken;
        }
        Extended::Yes { removed: self.apply(change) }
    }

    fn has_taken_device(&self, chain: &Chain, devices: &[(DeviceId, Bytes)]) -> bool {
        let mut ids = HashSet::new();
        let taken = |id: &DeviceId| self.owners.contains_key(id) && chain.device(id).is_none();
        devices.iter().any(|(id, _)| taken(id) || !ids.insert(*id))
    }

    fn apply(&mut self, change: ManifestChange) -> Vec<DeviceId> {
        let listed: BTreeSet<_> = change.devices.iter().map(|(id, _)| *id).collect();
        let chain = self.chains.get_mut(&change.username).expect("the caller has found it");
        let before = std::mem::take(&mut chain.account.devices);
        let (kept, removed): (Vec<_>, Vec<_>) = before.into_iter().partition(|device| listed.contains(&device.id));
        let removed = removed.into_iter().map(|device| device.id).collect();
        if listed.is_empty() {
            self.chains.remove(&change.username);
            self.deleted.insert(change.username, (change.manifest.version, change.manifest.hash));
            return removed;
        }
        self.owners.extend(listed.iter().map(|id| (*id, change.username.clone())));
        let old: HashSet<_> = kept.iter().map(|device| device.id).collect();
        let new = change.devices.into_iter().filter(|(id, _)| !old.contains(id));
        chain.account.devices = kept.into_iter().chain(new.map(|(id, dsk)| unused_device(id, dsk))).collect();
        chain.account.devices.sort_by_key(|device| device.id);
        chain.account.manifest = change.manifest.clone();
        chain.links.push(change.manifest);
        removed
    }

    pub(super) fn put_wrap(&mut self, id: &DeviceId, wrap: WrapRecord, at: u64) -> WrapPut {
        let Some(device) = self.device_mut(id) else { return WrapPut::Unknown };
        if let Some(newest) = &device.wrap {
            if (newest.seq, newest.kid) == (wrap.seq, wrap.kid) {
                return WrapPut::Repeat;
            }
            if newest.seq >= wrap.seq {
                return WrapPut::Old;
            }
            device.replaced.insert(0, (newest.kid, at));
        }
        device.replaced.retain(|(_, replaced_at)| *replaced_at >= at.saturating_sub(REPLACED_WRAP_LIFE));
        device.wrap = Some(wrap);
        device.last_seen = device.last_seen.max(at);
        WrapPut::Yes
    }

    /// Erases backups that were replaced before `before`; says how many.
    pub(super) fn erase_replaced_backups(&mut self, before: u64, limit: usize) -> usize {
        let replaced = |chain: &&mut Chain| chain.backups.get(1).is_some_and(|backup| backup.at < before);
        self.chains.values_mut().filter(replaced).take(limit).map(|chain| chain.backups.truncate(1)).count()
    }

    pub(super) fn device_seen(&mut self, id: &DeviceId, at: u64) {
        if let Some(device) = self.device_mut(id) {
            device.last_seen = device.last_seen.max(at);
        }
    }

    /// Whether a manifest has removed it.
    pub(super) fn is_removed(&self, id: &DeviceId) -> bool {
        let owner = self.owners.get(id);
        owner.is_some_and(|username| self.get(username).and_then(|chain| chain.device(id)).is_none())
    }

    fn device_mut(&mut self, id: &DeviceId) -> Option<&mut Device> {
        let chain = self.owners.get(id).and_then(|username| self.chains.get_mut(username))?;
        chain.account.devices.iter_mut().find(|device| device.id == *id)
    }
}

impl Chain {
    fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.account.devices.iter().find(|device| device.id == *id)
    }

    pub(super) fn put_backup(&mut self, backup: BackupRecord) {
        match self.backups.first_mut() {
            Some(newest) if newest.id == backup.id => *newest = backup,
            Some(newest) => {
                newest.at = backup.at;
                self.backups.truncate(1);
                self.backups.insert(0, backup);
            }
            None => self.backups.push(backup),
        }
    }
}

fn unused_device(id: DeviceId, dsk: Bytes) -> Device {
    Device { id, dsk, wrap: None, replaced: Vec::new(), last_seen: 0 }
}
