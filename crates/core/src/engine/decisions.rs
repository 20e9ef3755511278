//! What a person decides about others, where the core has to act on it.

use sealwire_protocol::frames::Keys;
use sealwire_protocol::ids::Username;

use super::Core;
use crate::error::Error;
use crate::pins::{Person, PinError};
use crate::storage::Storage;

impl<S: Storage> Core<S> {
    /// Blocks somebody, or no more. What lies in the outbox and was never sealed is given up.
    pub(super) fn block(&mut self, name: &Username, blocked: bool) -> Result<(), Error> {
        self.storage.set_blocked(name, blocked)?;
        if blocked { self.give_up_unsealed(name, &Error::Blocked(name.clone())) } else { Ok(()) }
    }

    /// Believes the keys that the server shows for somebody, instead of those that were believed: the person has said so.
    pub(super) fn accept_identity(&mut self, name: &Username) -> Result<(), Error> {
        let untrusted = |reason| Error::Untrusted { name: name.clone(), reason };
        let Some(shown) = self.storage.changed_key(name)? else {
            return match self.refused_keys.get(name) {
                // Another reason than another identity key is no matter of belief.
                Some(reason) => Err(untrusted(*reason)),
                None => Ok(()),
            };
        };
        let (person, _) = Person::first(&shown, self.time()).map_err(untrusted)?;
        self.storage.accept_identity(&person)?;
        self.people.insert(name.clone(), person);
        self.refused_keys.remove(name);
        self.lookups.want(name);
        Ok(())
    }

    /// The server shows another identity key than the believed one. All of the other account's manifests are needed before
    /// a person can decide on them; that there is something to decide is stored at once, as the alarm says so.
    pub(super) fn identity_changed(&mut self, name: &Username, keys: &Keys) -> Result<(), Error> {
        let has_all = self.ask_from_start.remove(name);
        if has_all || self.storage.changed_key(name)?.is_none() {
            self.storage.set_changed_key(name, keys)?;
        }
        if !has_all {
            self.ask_from_start.insert(name.clone());
        }
        Ok(())
    }

    /// The refusals that were stored: the person has not decided yet.
    pub(super) fn load_refusals(&mut self) -> Result<(), Error> {
        for name in self.storage.changed_people()? {
            self.refused_keys.insert(name, PinError::IdentityChanged);
        }
        Ok(())
    }
}
