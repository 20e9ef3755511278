//! A profile as the core's storage, and the private keys that lie in it.

use std::sync::Arc;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_core::storage::{
    Account, Content, Incoming, Outgoing, Received, Storage, StorageError, StoredCert, Taken,
};
use sealwire_e2ee::provider::NativeRsa;
use sealwire_protocol::frames::{Delivered, Keys, Status, WrapFrame};
use sealwire_protocol::ids::{DeviceId, Kid, MessageId, Username};
use sealwire_protocol::spki::Spki;

use crate::chain::{Link, Neighbours};
use crate::conversation::Contact;
use crate::handover::Pin;
use crate::pins::Person;
use crate::profile::{Profile, ProfileError};

type Result<T> = std::result::Result<T, StorageError>;

/// Runs private-key operations with the keys of a profile.
pub(crate) type Rsa = NativeRsa<fn() -> UnwrapErr<SysRng>>;

/// A profile with the private keys of its device, which it hands to whatever computes with them.
#[derive(Debug)]
pub(crate) struct Disk {
    profile: Profile,
    signing_key: Spki,
    rsa: Arc<Rsa>,
}

impl Disk {
    /// Of a profile that has keys.
    ///
    /// # Errors
    /// [`ProfileError::Keys`], [`ProfileError::Database`].
    pub(crate) fn new(profile: Profile) -> std::result::Result<Self, ProfileError> {
        let rsa = Rsa::new(|| UnwrapErr(SysRng));
        let keys = profile.keys()?;
        let signing_key = keys.dsk.public().clone();
        rsa.add_signing(Arc::new(keys.dsk));
        for stored in profile.wrap_keys()? {
            rsa.add_wrap(Arc::new(stored.key));
        }
        Ok(Self { profile, signing_key, rsa: Arc::new(rsa) })
    }

    /// The keys, for jobs on other threads.
    pub(crate) fn rsa(&self) -> Arc<Rsa> {
        Arc::clone(&self.rsa)
    }

    /// The profile.
    pub(crate) fn profile(&mut self) -> &mut Profile {
        &mut self.profile
    }
}

impl Storage for Disk {
    fn account(&self) -> Result<Account> {
        Ok(self.profile.account()?)
    }

    fn signing_key(&self) -> Result<Spki> {
        Ok(self.signing_key.clone())
    }

    fn wrap_keys(&self) -> Result<Vec<StoredCert>> {
        let stored = self.profile.wrap_keys()?.into_iter().map(|stored| StoredCert {
            kid: *stored.key.kid(),
            cert: stored.cert,
            accepted: stored.accepted,
            replaced_at: stored.replaced_at,
        });
        Ok(stored.collect())
    }

    fn add_wrap_key(&mut self, kid: &Kid, cert: &WrapFrame, now: u64) -> Result<()> {
        let gone = || ProfileError::Keys("the wrap key that was just made is gone".to_owned());
        let key = self.rsa.wrap_key(kid).ok_or_else(gone)?;
        Ok(self.profile.add_wrap_key(&key, cert, now)?)
    }

    fn wrap_key_accepted(&mut self, kid: &Kid, at: u64) -> Result<()> {
        Ok(self.profile.wrap_key_accepted(kid, at)?)
    }

    fn wrap_keys_forgotten(&mut self, seq: u64) -> Result<()> {
        Ok(self.profile.wrap_keys_forgotten(seq)?)
    }

    fn erase_wrap_key(&mut self, kid: &Kid) -> Result<()> {
        self.profile.erase_wrap_key(kid)?;
        self.rsa.forget(kid);
        Ok(())
    }

    fn person(&self, name: &Username) -> Result<Option<Person>> {
        Ok(self.profile.person(name)?)
    }

    fn pin(&self, name: &Username) -> Result<Option<Pin>> {
        Ok(self.profile.pin(name)?)
    }

    fn store_person(&mut self, person: &Person) -> Result<()> {
        Ok(self.profile.store_person(person)?)
    }

    fn contact(&self, name: &Username) -> Result<Contact> {
        Ok(self.profile.contact(name)?)
    }

    fn set_blocked(&mut self, name: &Username, blocked: bool) -> Result<()> {
        Ok(self.profile.set_blocked(name, blocked)?)
    }

    fn changed_people(&self) -> Result<Vec<Username>> {
        let changed = self.profile.contacts()?.into_iter().filter(|contact| contact.changed_key);
        Ok(changed.map(|contact| contact.name).collect())
    }

    fn changed_key(&self, name: &Username) -> Result<Option<Keys>> {
        Ok(self.profile.changed_key(name)?)
    }

    fn set_changed_key(&mut self, name: &Username, shown: &Keys) -> Result<()> {
        Ok(self.profile.set_changed_key(name, shown)?)
    }

    fn forget_changed_key(&mut self, name: &Username) -> Result<()> {
        Ok(self.profile.forget_changed_key(name)?)
    }

    fn accept_identity(&mut self, person: &Person) -> Result<()> {
        Ok(self.profile.accept_identity(person)?)
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        Ok(self.profile.setting(key)?)
    }

    fn set_flag(&mut self, key: &str, value: Option<bool>) -> Result<()> {
        let stored = match value {
            Some(value) => self.profile.put_setting(key, &value),
            None => self.profile.remove_setting(key),
        };
        Ok(stored?)
    }

    fn take_in(&mut self, incoming: &[Incoming], done: &[i64]) -> Result<Vec<Taken>> {
        Ok(self.profile.take_in(incoming, done)?)
    }

    fn has_seen(&self, from: &Username, device: &DeviceId, id: &MessageId) -> Result<bool> {
        Ok(self.profile.has_seen(from, device, id)?)
    }

    fn neighbours(&self, from: &Username, device: &DeviceId, to: &Username, counter: u64) -> Result<Neighbours> {
        Ok(self.profile.neighbours(from, device, to, counter)?)
    }

    fn next_to_show(&self, from: &Username, device: &DeviceId, to: &Username) -> Result<Option<u64>> {
        Ok(self.profile.next_to_show(from, device, to)?)
    }

    fn unshown(&self) -> Result<Vec<(i64, Received)>> {
        Ok(self.profile.unshown()?)
    }

    fn mark_shown(&mut self, positions: &[i64]) -> Result<()> {
        Ok(self.profile.mark_shown(positions)?)
    }

    fn deferred(&self) -> Result<Vec<(i64, Delivered)>> {
        Ok(self.profile.deferred()?)
    }

    fn enqueue(&mut self, messages: &[(Username, MessageId, Content)], at: u64) -> Result<Vec<Link>> {
        Ok(self.profile.enqueue(messages, at)?)
    }

    fn outbox(&self) -> Result<Vec<(Username, MessageId, bool, bool)>> {
        Ok(self.profile.outbox()?)
    }

    fn outgoing(&self, id: &MessageId) -> Result<Option<Outgoing>> {
        Ok(self.profile.outgoing(id)?)
    }

    fn store_sealed(&mut self, frames: &[(MessageId, u64, String)]) -> Result<()> {
        Ok(self.profile.store_sealed(frames)?)
    }

    fn settle(&mut self, ids: &[MessageId], status: Status) -> Result<Vec<MessageId>> {
        Ok(self.profile.settle(ids, status)?)
    }

    fn replace(&mut self, id: &MessageId) -> Result<()> {
        Ok(self.profile.replace(id)?)
    }

    fn drop_outgoing(&mut self, id: &MessageId) -> Result<()> {
        Ok(self.profile.drop_outgoing(id)?)
    }

    fn withdraw(&mut self, ids: &[MessageId]) -> Result<()> {
        Ok(self.profile.withdraw(ids)?)
    }
}

#[cfg(test)]
mod tests {
    use sealwire_core::storage::conformance::Fresh;
    use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};

    use super::*;
    use crate::enrol::register::new_account;
    use crate::profile::{DeviceKeys, testing};

    fn fresh() -> Fresh<Disk> {
        let home = tempfile::tempdir().unwrap();
        let mut profile = testing::open(home.path()).unwrap();
        let keys = DeviceKeys {
            aik: Some(IdentityKey::from_pkcs8(include_bytes!("../../../../tests/keys/k0.der")).unwrap()),
            dsk: SigningKey::from_pkcs8(include_bytes!("../../../../tests/keys/k1.der")).unwrap(),
            dwk: WrapKey::from_pkcs8(include_bytes!("../../../../tests/keys/k2.der")).unwrap(),
        };
        let device = DeviceId::new_v7(1, [0; 10]);
        profile.store_keys(&device, &keys, 1).unwrap();
        profile.prepare("wss://chat.example.org", &new_account(&"alice".parse().unwrap(), &device, &keys, 1)).unwrap();
        profile.registered().unwrap();
        let restart = move |disk: Disk| {
            drop(disk);
            Disk::new(testing::open(home.path()).unwrap()).unwrap()
        };
        Fresh { storage: Disk::new(profile).unwrap(), restart: Box::new(restart) }
    }

    sealwire_core::storage_conformance!(fresh());

    #[test]
    fn nothing_of_the_keys_is_shown_by_debug() {
        let shown = format!("{:?}", fresh().storage);
        assert!(shown.contains("NativeRsa") && !shown.contains("pkcs8"), "{shown}");
    }
}
