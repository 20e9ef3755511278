//! Asking for keys, and what follows from the answers.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sealwire_e2ee::SafetyNumber;
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{ClientFrame, ErrorFrame, KeyQuery, Keys, Request};
use sealwire_protocol::ids::{DeviceId, Username};

use super::{Alarm, Answer, Core, Event};
use crate::error::Error;
use crate::handover::Pin;
use crate::pins::{Learned, Person, PinError};
use crate::storage::{Incoming, Storage};

impl<S: Storage> Core<S> {
    /// Whether something is believed of a name; reads it from the profile where it is stored.
    pub(super) fn load_person(&mut self, name: &Username) -> Result<bool, Error> {
        if !self.people.contains_key(name)
            && let Some(person) = self.storage.person(name)?
        {
            self.people.insert(name.clone(), person);
        }
        Ok(self.people.contains_key(name))
    }

    pub(super) fn ask_for_keys(&mut self) -> Result<(), Error> {
        while let Some((id, name)) = self.lookups.next(self.now.ticks) {
            self.load_person(&name)?;
            let known = self.people.get(&name).filter(|_| !self.ask_from_start.contains(&name));
            let since_version = known.map(|person| person.chain().newest().version);
            let since_version = since_version.map(|newest| match name == self.account.username {
                true => self.mending.since(newest),
                false => newest,
            });
            let query = KeyQuery { username: Cow::Borrowed(name.as_str()), since_version };
            let frame = ClientFrame { id: Some(Cow::Owned(id)), ack: None, request: Request::Keys(query) };
            self.say(frame.to_json());
        }
        Ok(())
    }

    pub(super) fn keys_answered(&mut self, keys: &Keys) -> Result<(), Error> {
        let Some(name) = keys.id.as_ref().and_then(|id| self.lookups.answered(id)) else { return Ok(()) };
        if keys.username != name {
            return Err(Error::Connect("the server answered for another name than was asked for".to_owned()));
        }
        self.load_person(&name)?;
        let before = self.people.get(&name).map(device_ids);
        // Another device of one's own may have known the name.
        let pin = self.storage.pin(&name)?;
        match self.learn(&name, keys, pin.as_ref()) {
            Ok(learned) => {
                self.storage.store_person(&self.people[&name])?;
                self.ask_from_start.remove(&name);
                if self.refused_keys.remove(&name) == Some(PinError::IdentityChanged) {
                    self.storage.forget_changed_key(&name)?;
                }
                self.compare_devices(&name, before);
                if name == self.account.username && self.mend_after(&learned)? {
                    return Ok(());
                }
                if learned.more && learned.manifests == 0 {
                    return Err(Error::Connect(format!("the server has more to show of {name}, but shows nothing")));
                }
                if learned.more {
                    self.lookups.want(&name);
                    return Ok(());
                }
                let me = &self.account;
                if name == me.username && self.people[&name].chain().newest().device(&me.device).is_none() {
                    return Err(Error::Removed);
                }
            }
            Err(PinError::IdentityChanged) if self.ask_from_start.contains(&name) => {
                self.identity_changed(&name, keys)?;
            }
            Err(reason) => {
                self.keys_refused(&name, reason)?;
                if reason == PinError::IdentityChanged {
                    self.identity_changed(&name, keys)?;
                    self.lookups.want(&name);
                    return Ok(());
                }
            }
        }
        self.looked_up(&name, None)
    }

    /// Tells when somebody who was known has other devices now.
    fn compare_devices(&mut self, name: &Username, before: Option<BTreeSet<DeviceId>>) {
        let Some(before) = before else { return };
        let after = device_ids(&self.people[name]);
        let (added, removed): (Vec<_>, Vec<_>) =
            (after.difference(&before).copied().collect(), before.difference(&after).copied().collect());
        if !added.is_empty() || !removed.is_empty() {
            let own = *name == self.account.username;
            self.tell(Event::DevicesChanged { name: name.clone(), added, removed, own });
        }
    }

    fn learn(&mut self, name: &Username, keys: &Keys, pin: Option<&Pin>) -> Result<Learned, PinError> {
        if *name != self.account.username {
            return self.learn_of(name, keys, pin);
        }
        let mut keys = keys.clone();
        let own = self.take_own_certificate(&mut keys)?;
        let time = self.time();
        let learned = match self.people.get_mut(name) {
            Some(me) => me.learn_own(&keys, time)?,
            None => self.learn_of(name, &keys, pin)?,
        };
        if !learned.more && !learned.behind {
            self.rotation.server_has(own);
        }
        Ok(learned)
    }

    fn learn_of(&mut self, name: &Username, keys: &Keys, pin: Option<&Pin>) -> Result<Learned, PinError> {
        let time = self.time();
        if let Some(person) = self.people.get_mut(name) {
            return person.learn(keys, time);
        }
        let (person, learned) = Person::first_after(keys, time, pin)?;
        self.people.insert(name.clone(), person);
        Ok(learned)
    }

    pub(super) fn keys_refused(&mut self, name: &Username, reason: PinError) -> Result<(), Error> {
        self.refused_keys.insert(name.clone(), reason);
        self.alarm(Alarm::Keys { name: name.clone(), reason });
        let error = Error::Untrusted { name: name.clone(), reason };
        if *name == self.account.username {
            return Err(error);
        }
        self.hold_untrusted(name, &error)
    }

    pub(super) fn lookup_refused(&mut self, name: &Username, error: &ErrorFrame) -> Result<(), Error> {
        if error.code.may_have_arrived() {
            self.lookups.refused_for_now(name, error.retry_after_ms, self.now.ticks);
            return Ok(());
        }
        let reason = match error.code {
            ErrorCode::UnknownUser => Error::UnknownUser(name.clone()),
            code => Error::Refused { code, message: error.message.clone() },
        };
        if *name == self.account.username {
            return Err(reason);
        }
        self.give_up_unsealed(name, &reason)?;
        self.looked_up(name, Some(reason))
    }

    /// A look-up is over: whatever waited for it is decided.
    fn looked_up(&mut self, name: &Username, failed: Option<Error>) -> Result<(), Error> {
        match failed {
            None => self.lookups.complete(name),
            Some(_) => self.lookups.refused(name),
        }
        if let Some(error) = failed {
            // There is no list that could be another one than is believed.
            self.beliefs.retain(|(_, of, _)| of != name);
            let these: Vec<_> = self.safety.extract_if(.., |(of, _)| of == name).collect();
            these.into_iter().for_each(|(_, ticket)| self.answer(ticket, Err(error.clone())));
        }
        self.decide_beliefs(name);
        self.retry_deferred(name);
        Ok(())
    }

    fn decide_beliefs(&mut self, name: &Username) {
        let these: Vec<_> = self.beliefs.extract_if(.., |(_, of, _)| of == name).collect();
        for (from, of, hash) in these {
            if !self.knows(&of, &hash) {
                self.alarm(Alarm::OtherManifest { from, of });
            }
        }
    }

    /// A message says which devices its sender believes `of` to have.
    pub(super) fn check_belief(&mut self, from: &Username, of: &Username, hash: [u8; 32]) -> Result<(), Error> {
        self.load_person(of)?;
        if !self.knows(of, &hash) {
            let belief = (from.clone(), of.clone(), hash);
            if !self.beliefs.contains(&belief) {
                self.beliefs.push(belief);
            }
            self.lookups.want(of);
        }
        Ok(())
    }

    fn knows(&self, name: &Username, hash: &[u8; 32]) -> bool {
        self.people.get(name).is_some_and(|person| person.chain().knows(hash))
    }

    pub(super) fn answer_safety(&mut self) {
        let me = self.account.username.clone();
        if !self.lookups.is_fresh(&me) {
            return;
        }
        for (name, ticket) in std::mem::take(&mut self.safety) {
            if !self.lookups.is_fresh(&name) {
                self.safety.push((name, ticket));
                continue;
            }
            let number = match self.refused_keys.get(&name) {
                Some(reason) => Err(Error::Untrusted { name: name.clone(), reason: *reason }),
                None => {
                    let aik = |name: &Username| self.people[name].chain().aik();
                    Ok(SafetyNumber::of((&me, aik(&me)), (&name, aik(&name))))
                }
            };
            self.answer(ticket, number.map(Answer::Safety));
        }
    }

    /// The hash of the list of devices that is believed of a name; zeros when there is none.
    pub(super) fn newest_hash(&self, name: &Username) -> [u8; 32] {
        self.people.get(name).map_or([0; 32], |person| person.chain().newest_hash())
    }

    /// Tells of an envelope that will never open.
    pub(super) fn tell_unreadable(&mut self, failed: &Incoming) {
        if let Incoming::Failed { from, message_id, reason, .. } = failed {
            let (from, message_id, reason) = (from.clone(), *message_id, reason.clone());
            self.tell(Event::Unreadable { from, message_id, reason });
        }
    }
}

fn device_ids(person: &Person) -> BTreeSet<DeviceId> {
    person.chain().newest().devices.iter().map(|device| device.id).collect()
}
