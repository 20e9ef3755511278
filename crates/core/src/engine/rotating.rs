//! This device's wrap keys: what [`crate::rotation`] decides is done here.

use std::borrow::Cow;

use sealwire_e2ee::certificate::UnsignedWrapCert;
use sealwire_e2ee::provider::{KeyUse, RsaJob, RsaOutcome};
use sealwire_protocol::frames::{ClientFrame, Delivered, ErrorFrame, Keys, Request, Rotate};
use sealwire_protocol::ids::Kid;
use sealwire_protocol::signed::WrapCert;

use super::{Core, Outcomes, Work};
use crate::convert::cert_to_frame;
use crate::error::Error;
use crate::pins::PinError;
use crate::rotation::{Held, LIFE, Moment, Rotation, ServerHas, Step};
use crate::storage::{Account, Storage, StoredCert};

/// How far the rotation of stored wrap keys is.
pub(super) fn rotation_of(stored: &[StoredCert]) -> Rotation {
    let held = |key: &StoredCert| Some(Held::new(key.cert.as_ref()?, key.accepted, key.replaced_at));
    Rotation::new(stored.iter().filter_map(held).collect())
}

impl<S: Storage> Core<S> {
    fn moment(&self) -> Moment {
        Moment { ticks: self.now.ticks, time: self.time() }
    }

    /// Does what is to be done about the wrap keys now.
    pub(super) fn rotate(&mut self) -> Result<(), Error> {
        while let Some(step) = self.next_step() {
            match step {
                Step::Make { seq } => self.run(Work::Make { seq }, vec![RsaJob::Generate(KeyUse::Wrap)]),
                Step::Tell(kid) => self.tell_of_key(&kid)?,
                Step::Forgotten { seq } => {
                    self.storage.wrap_keys_forgotten(seq)?;
                    self.rotation.forgotten(seq);
                }
                Step::Erase(kid) => {
                    self.storage.erase_wrap_key(&kid)?;
                    self.wrap_kids.remove(&kid);
                    self.rotation.erased(&kid);
                }
                Step::Reconnect => {
                    let why =
                        "a new connection is made, to learn that the mailbox is empty before an old key is erased";
                    return Err(Error::Connect(why.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// What is to be done next. A key is kept while an envelope that is sealed to it waits for its sender's keys.
    fn next_step(&mut self) -> Option<Step> {
        let (now, deferred, account) = (self.moment(), &self.deferred, &self.account);
        let is_waited_for = |kid: &Kid| deferred.iter().any(|(_, frame)| addressed_kid(frame, account) == Some(*kid));
        self.rotation.next(now, is_waited_for)
    }

    /// Tells the server of a key, by the certificate that is stored.
    fn tell_of_key(&mut self, kid: &Kid) -> Result<(), Error> {
        let stored = self.storage.wrap_keys()?.into_iter().find(|stored| stored.kid == *kid);
        if let Some(wrap) = stored.and_then(|stored| stored.cert) {
            let id = Some(Cow::Owned(rotate_id(wrap.seq)));
            let request = Request::Rotate(Box::new(Rotate { wrap }));
            self.say(ClientFrame { id, ack: None, request }.to_json());
        }
        Ok(())
    }

    /// Certifies a key that was made for this number.
    pub(super) fn key_made(&mut self, seq: u64, outcomes: Outcomes) {
        let Some(Ok(RsaOutcome::Made(dwk))) = outcomes.into_iter().next() else {
            self.rotation.not_made(self.now.ticks);
            return;
        };
        let time = self.time();
        let cert = WrapCert { seq, dwk, not_before: time, not_after: time.saturating_add(LIFE) };
        let (name, device) = (&self.account.username, &self.account.device);
        let unsigned = UnsignedWrapCert::new(self.dsk.kid(), name, device, cert);
        let job = unsigned.job();
        self.run(Work::Certify(Box::new(unsigned)), vec![job]);
    }

    /// Stores a new key with its certificate before the server hears of them.
    pub(super) fn key_certified(&mut self, unsigned: UnsignedWrapCert, outcomes: Outcomes) -> Result<(), Error> {
        let Some(Ok(RsaOutcome::Signature(signature))) = outcomes.into_iter().next() else {
            self.rotation.not_made(self.now.ticks);
            return Ok(());
        };
        let wrap = cert_to_frame(&unsigned.finish(signature));
        let kid = Kid::of(&wrap.dwk.0);
        self.storage.add_wrap_key(&kid, &wrap, self.time())?;
        self.wrap_kids.insert(kid);
        self.rotation.stored(Held::new(&wrap, false, None));
        Ok(())
    }

    /// `rotate` was answered.
    pub(super) fn key_accepted(&mut self, id: Option<&str>) -> Result<(), Error> {
        if let Some(kid) = self.told_key(id) {
            let time = self.time();
            self.storage.wrap_key_accepted(&kid, time)?;
            self.rotation.accepted(time);
        }
        Ok(())
    }

    /// Takes an error that answers `rotate`; says whether it did.
    pub(super) fn key_refused(&mut self, error: &ErrorFrame) -> bool {
        if self.told_key(error.id.as_deref()).is_none() {
            return false;
        }
        let ticks = self.now.ticks;
        if error.code.may_have_arrived() {
            self.rotation.later(ticks, error.retry_after_ms);
        } else {
            self.rotation.refused(ticks);
            // It may have another one under the same number.
            self.lookups.want(&self.account.username.clone());
        }
        true
    }

    /// The key of which the server is being told, if `id` is that request's.
    fn told_key(&self, id: Option<&str>) -> Option<Kid> {
        let kid = self.rotation.telling()?;
        let seq = self.rotation.keys().iter().find(|key| key.kid == *kid)?.seq;
        (id? == rotate_id(seq)).then_some(*kid)
    }

    /// All mail that lay in the mailbox has come, on this connection; once it is stored, old keys may go.
    pub(super) fn count_queue(&mut self) {
        if self.queue_came && !self.opening && self.inbox.is_empty() && self.to_retry.is_empty() {
            self.queue_came = false;
            self.rotation.mailbox_empty(self.time());
        }
    }

    /// Takes this device's certificate out of an answer for its own account.
    pub(super) fn take_own_certificate(&self, keys: &mut Keys) -> Result<ServerHas, PinError> {
        ServerHas::take_from(keys, &self.account.device, &self.dsk)
    }

    /// Whether a new wrap key goes before anything that is to be sent.
    pub(super) fn rotates_first(&self) -> bool {
        self.rotation.comes_first(self.moment())
    }

    /// Whether an envelope is sealed to a key that nobody should have used any more at its time.
    pub(super) fn is_to_old_key(&self, frame: &Delivered) -> bool {
        let kid = addressed_kid(frame, &self.account);
        kid.is_some_and(|kid| self.rotation.was_long_replaced(&kid, frame.timestamp))
    }

    /// When there may be more to do by the passing of time alone.
    pub(super) fn rotation_wake_at(&self) -> Option<u64> {
        self.rotation.wake_at(self.moment())
    }
}

fn addressed_kid(frame: &Delivered, me: &Account) -> Option<Kid> {
    frame
        .recipients
        .iter()
        .find(|recipient| recipient.u == me.username && recipient.d == me.device)
        .map(|recipient| recipient.k)
}

fn rotate_id(seq: u64) -> String {
    format!("rotate-{seq}")
}
