//! A storage that forgets everything with its process.

use std::collections::{BTreeMap, HashMap, HashSet};

use sealwire_protocol::frames::{Delivered, Keys, Status, WrapFrame};
use sealwire_protocol::ids::{DeviceId, Kid, MessageId, Username};
use sealwire_protocol::spki::Spki;

use super::{Account, Content, Incoming, Outgoing, Received, Result, Storage, StorageError, StoredCert, Taken};
use crate::chain::{Head, Link, Neighbours};
use crate::conversation::{Contact, EntryState, Standing};
use crate::handover::Pin;
use crate::pins::Person;

/// Keeps everything in memory. A copy is what a restart would find.
#[derive(Debug, Clone)]
pub struct MemoryStorage {
    account: Account,
    signing_key: Spki,
    wrap_keys: Vec<StoredCert>,
    people: HashMap<Username, Person>,
    pins: HashMap<Username, Pin>,
    contacts: BTreeMap<Username, Decided>,
    flags: HashMap<String, bool>,
    seen: HashSet<(Username, DeviceId, MessageId)>,
    messages: BTreeMap<i64, Stored>,
    deferred: BTreeMap<i64, Delivered>,
    failed: usize,
    heads: HashMap<Username, Head>,
    outbox: Vec<InOutbox>,
    sent: HashMap<MessageId, EntryState>,
    last_position: i64,
}

#[derive(Debug, Clone)]
struct Decided {
    contact: Contact,
    changed: Option<Keys>,
}

#[derive(Debug, Clone)]
struct Stored {
    received: Received,
    shown: bool,
}

#[derive(Debug, Clone)]
struct InOutbox {
    outgoing: Outgoing,
    replaced: bool,
}

/// What this storage cannot do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this message is stored already")]
struct Repeated;

impl MemoryStorage {
    /// Of a device that is registered; `wrap_keys` are those that it holds, oldest first.
    pub fn new(account: Account, signing_key: Spki, wrap_keys: Vec<StoredCert>) -> Self {
        Self {
            account,
            signing_key,
            wrap_keys,
            people: HashMap::new(),
            pins: HashMap::new(),
            contacts: BTreeMap::new(),
            flags: HashMap::new(),
            seen: HashSet::new(),
            messages: BTreeMap::new(),
            deferred: BTreeMap::new(),
            failed: 0,
            heads: HashMap::new(),
            outbox: Vec::new(),
            sent: HashMap::new(),
            last_position: 0,
        }
    }

    /// Changes what was decided about somebody.
    pub fn decide(&mut self, name: &Username, change: impl FnOnce(&mut Contact)) {
        change(&mut self.decided(name).contact);
    }

    /// Another device of one's own has handed over what it believes of a name.
    pub fn hand_over(&mut self, name: &Username, pin: Pin) {
        self.pins.insert(name.clone(), pin);
    }

    /// How many envelopes could not be opened.
    pub fn failed(&self) -> usize {
        self.failed
    }

    fn decided(&mut self, name: &Username) -> &mut Decided {
        let stranger = || Decided { contact: Contact::stranger(name.clone()), changed: None };
        self.contacts.entry(name.clone()).or_insert_with(stranger)
    }

    fn next_position(&mut self) -> i64 {
        self.last_position += 1;
        self.last_position
    }

    fn insert(&mut self, received: &Received) -> Taken {
        let own = received.from == self.account.username;
        let silenced = if own {
            self.decided(&received.to).contact.standing = Standing::Accepted;
            false
        } else {
            self.decided(&received.from).contact.blocked
        };
        self.seen.insert((received.from.clone(), received.from_device, received.link.message_id));
        let position = self.next_position();
        let mut received = received.clone();
        if silenced {
            received.is_content = false;
            received.body.0.clear();
        }
        self.messages.insert(position, Stored { received, shown: false });
        Taken { position, silenced }
    }

    fn of_device<'a>(
        &'a self,
        from: &'a Username,
        device: &'a DeviceId,
        to: &'a Username,
    ) -> impl Iterator<Item = &'a Stored> {
        self.messages.values().filter(move |stored| {
            let one = &stored.received;
            one.from == *from && one.from_device == *device && one.to == *to
        })
    }

    fn in_outbox(&mut self, id: &MessageId) -> Option<&mut InOutbox> {
        self.outbox.iter_mut().find(|one| one.outgoing.link.message_id == *id)
    }

    fn leave(&mut self, id: &MessageId) {
        self.outbox.retain(|one| one.outgoing.link.message_id != *id);
    }
}

impl Storage for MemoryStorage {
    fn account(&self) -> Result<Account> {
        Ok(self.account.clone())
    }

    fn signing_key(&self) -> Result<Spki> {
        Ok(self.signing_key.clone())
    }

    fn wrap_keys(&self) -> Result<Vec<StoredCert>> {
        Ok(self.wrap_keys.clone())
    }

    fn add_wrap_key(&mut self, kid: &Kid, cert: &WrapFrame, _now: u64) -> Result<()> {
        self.wrap_keys.push(StoredCert { kid: *kid, cert: Some(cert.clone()), accepted: false, replaced_at: None });
        Ok(())
    }

    fn wrap_key_accepted(&mut self, kid: &Kid, at: u64) -> Result<()> {
        let seq_of = |key: &StoredCert| key.cert.as_ref().map_or(0, |cert| cert.seq);
        let Some(seq) = self.wrap_keys.iter().find(|key| key.kid == *kid).map(seq_of) else { return Ok(()) };
        for key in &mut self.wrap_keys {
            key.accepted |= key.kid == *kid;
            if seq_of(key) < seq {
                key.replaced_at = key.replaced_at.or(Some(at));
            }
        }
        Ok(())
    }

    fn wrap_keys_forgotten(&mut self, seq: u64) -> Result<()> {
        for key in &mut self.wrap_keys {
            let of = key.cert.as_ref().map_or(0, |cert| cert.seq);
            key.accepted &= of <= seq;
            if of >= seq {
                key.replaced_at = None;
            }
        }
        Ok(())
    }

    fn erase_wrap_key(&mut self, kid: &Kid) -> Result<()> {
        self.wrap_keys.retain(|key| key.kid != *kid);
        Ok(())
    }

    fn person(&self, name: &Username) -> Result<Option<Person>> {
        Ok(self.people.get(name).cloned())
    }

    fn pin(&self, name: &Username) -> Result<Option<Pin>> {
        Ok(self.pins.get(name).cloned())
    }

    fn store_person(&mut self, person: &Person) -> Result<()> {
        self.people.insert(person.chain().username().clone(), person.clone());
        Ok(())
    }

    fn contact(&self, name: &Username) -> Result<Contact> {
        Ok(self.contacts.get(name).map_or_else(|| Contact::stranger(name.clone()), |decided| decided.contact.clone()))
    }

    fn set_blocked(&mut self, name: &Username, blocked: bool) -> Result<()> {
        self.decided(name).contact.blocked = blocked;
        Ok(())
    }

    fn changed_people(&self) -> Result<Vec<Username>> {
        Ok(self.contacts.values().filter(|one| one.changed.is_some()).map(|one| one.contact.name.clone()).collect())
    }

    fn changed_key(&self, name: &Username) -> Result<Option<Keys>> {
        Ok(self.contacts.get(name).and_then(|decided| decided.changed.clone()))
    }

    fn set_changed_key(&mut self, name: &Username, shown: &Keys) -> Result<()> {
        let decided = self.decided(name);
        decided.changed = Some(shown.clone());
        decided.contact.changed_key = true;
        Ok(())
    }

    fn forget_changed_key(&mut self, name: &Username) -> Result<()> {
        let decided = self.decided(name);
        decided.changed = None;
        decided.contact.changed_key = false;
        Ok(())
    }

    fn accept_identity(&mut self, person: &Person) -> Result<()> {
        self.store_person(person)?;
        let name = person.chain().username();
        self.forget_changed_key(name)?;
        self.decided(name).contact.verified = false;
        Ok(())
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        Ok(self.flags.get(key).copied())
    }

    fn set_flag(&mut self, key: &str, value: Option<bool>) -> Result<()> {
        match value {
            Some(value) => self.flags.insert(key.to_owned(), value),
            None => self.flags.remove(key),
        };
        Ok(())
    }

    fn take_in(&mut self, incoming: &[Incoming], done: &[i64]) -> Result<Vec<Taken>> {
        let mut ids = HashSet::new();
        let repeats = |one: &Incoming| match one {
            Incoming::Opened(one) => {
                let id = (one.from.clone(), one.from_device, one.link.message_id);
                self.seen.contains(&id) || !ids.insert(id)
            }
            _ => false,
        };
        if incoming.iter().any(repeats) {
            return Err(StorageError::new(Repeated));
        }
        let mut taken = Vec::new();
        for one in incoming {
            match one {
                Incoming::Opened(received) => taken.push(self.insert(received)),
                Incoming::Failed { .. } => self.failed += 1,
                Incoming::Deferred(frame) => {
                    let position = self.next_position();
                    self.deferred.insert(position, (**frame).clone());
                }
            }
        }
        self.deferred.retain(|position, _| !done.contains(position));
        Ok(taken)
    }

    fn has_seen(&self, from: &Username, device: &DeviceId, id: &MessageId) -> Result<bool> {
        Ok(self.seen.contains(&(from.clone(), *device, *id)))
    }

    fn neighbours(&self, from: &Username, device: &DeviceId, to: &Username, counter: u64) -> Result<Neighbours> {
        let at = |counter: Option<u64>| {
            let link = |stored: &Stored| Some(stored.received.link).filter(|link| Some(link.counter) == counter);
            self.of_device(from, device, to).find_map(link)
        };
        Ok(Neighbours {
            same: at(Some(counter)).map(|link| link.message_id),
            before: at(counter.checked_sub(1)),
            after: at(counter.checked_add(1)),
        })
    }

    fn next_to_show(&self, from: &Username, device: &DeviceId, to: &Username) -> Result<Option<u64>> {
        let shown = self.of_device(from, device, to).filter(|stored| stored.shown);
        Ok(shown.map(|stored| stored.received.link.counter + 1).max())
    }

    fn unshown(&self) -> Result<Vec<(i64, Received)>> {
        let unshown = self.messages.iter().filter(|(_, stored)| !stored.shown);
        Ok(unshown.map(|(position, stored)| (*position, stored.received.clone())).collect())
    }

    fn mark_shown(&mut self, positions: &[i64]) -> Result<()> {
        for position in positions {
            if let Some(stored) = self.messages.get_mut(position) {
                stored.shown = true;
            }
        }
        Ok(())
    }

    fn deferred(&self) -> Result<Vec<(i64, Delivered)>> {
        Ok(self.deferred.iter().map(|(position, frame)| (*position, frame.clone())).collect())
    }

    fn enqueue(&mut self, messages: &[(Username, MessageId, Content)], _at: u64) -> Result<Vec<Link>> {
        let mut links = Vec::with_capacity(messages.len());
        for (to, id, content) in messages {
            self.decided(to).contact.standing = Standing::Accepted;
            let link = self.heads.entry(to.clone()).or_default().take(*id);
            let outgoing = Outgoing { to: to.clone(), link, content: content.clone(), frame: None };
            self.outbox.push(InOutbox { outgoing, replaced: false });
            self.sent.insert(*id, EntryState::Waiting);
            links.push(link);
        }
        Ok(links)
    }

    fn outbox(&self) -> Result<Vec<(Username, MessageId, bool, bool)>> {
        let row = |one: &InOutbox| {
            let of = &one.outgoing;
            (of.to.clone(), of.link.message_id, of.frame.is_some(), one.replaced)
        };
        Ok(self.outbox.iter().map(row).collect())
    }

    fn outgoing(&self, id: &MessageId) -> Result<Option<Outgoing>> {
        let found = self.outbox.iter().find(|one| one.outgoing.link.message_id == *id);
        Ok(found.map(|one| one.outgoing.clone()))
    }

    fn store_sealed(&mut self, frames: &[(MessageId, u64, String)]) -> Result<()> {
        for (id, _, frame) in frames {
            if let Some(one) = self.in_outbox(id) {
                one.outgoing.frame = Some(frame.clone());
            }
        }
        Ok(())
    }

    fn settle(&mut self, ids: &[MessageId], status: Status) -> Result<Vec<MessageId>> {
        let mut settled = Vec::new();
        for id in ids {
            let Some(was) = self.sent.get(id).copied().filter(|was| !was.goes_back(status)) else { continue };
            settled.push(*id);
            self.leave(id);
            if let Some(becomes) = was.after(status) {
                self.sent.insert(*id, becomes);
            }
        }
        Ok(settled)
    }

    fn replace(&mut self, id: &MessageId) -> Result<()> {
        if let Some(one) = self.in_outbox(id) {
            one.outgoing.frame = None;
            one.outgoing.content = Content::EmptyControl;
            one.replaced = true;
            self.sent.insert(*id, EntryState::Failed);
        }
        Ok(())
    }

    fn drop_outgoing(&mut self, id: &MessageId) -> Result<()> {
        self.leave(id);
        self.sent.insert(*id, EntryState::Failed);
        Ok(())
    }

    fn withdraw(&mut self, ids: &[MessageId]) -> Result<()> {
        for id in ids {
            let Some(outgoing) = self.outgoing(id)? else { continue };
            self.heads.entry(outgoing.to).or_default().take_back(&outgoing.link);
            self.drop_outgoing(id)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sealwire_e2ee::SigningKey;

    use super::*;
    use crate::storage::conformance::Fresh;

    fn fresh() -> Fresh<MemoryStorage> {
        let account = Account {
            username: "alice".parse().unwrap(),
            device: DeviceId::new_v7(1, [0; 10]),
            server: "wss://chat.example.org".to_owned(),
        };
        let dsk = SigningKey::from_pkcs8(include_bytes!("../../../../tests/keys/k1.der")).unwrap();
        let storage = MemoryStorage::new(account, dsk.public().clone(), Vec::new());
        Fresh { storage, restart: Box::new(|storage| storage.clone()) }
    }

    crate::storage_conformance!(fresh());
}
