//! This device's wrap keys: what `sealwire_core::rotation` decides is done here.

use std::borrow::Cow;
use std::collections::HashSet;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::WrapKey;
use sealwire_protocol::frames::{ClientFrame, Delivered, ErrorFrame, Keys, Request, Rotate, WrapFrame};
use sealwire_protocol::ids::Kid;
use sealwire_protocol::signed::WrapCert;

use super::core::Core;
use crate::convert::cert_to_frame;
use crate::error::Error;
use crate::pins::PinError;
use crate::profile::{Account, Profile, ProfileError};
use crate::rotation::{Held, LIFE, Moment, Rotation, ServerHas, Step};

/// The wrap keys of a profile, and how far their rotation is.
pub(super) fn load(profile: &Profile) -> Result<(Vec<WrapKey>, Rotation), ProfileError> {
    let (mut keys, mut held) = (Vec::new(), Vec::new());
    for stored in profile.wrap_keys()? {
        if let Some(cert) = &stored.cert {
            held.push(Held::new(cert, stored.accepted, stored.replaced_at));
        }
        keys.push(stored.key);
    }
    Ok((keys, Rotation::new(held)))
}

impl Core {
    fn moment(&self) -> Moment {
        Moment { ticks: self.now.ticks, time: self.time() }
    }

    /// Does what is to be done about the wrap keys now.
    pub(super) fn rotate(&mut self) -> Result<(), Error> {
        let waiting = self.kids_waited_for();
        let now = self.moment();
        while let Some(step) = self.rotation.next(now, |kid| waiting.contains(kid)) {
            match step {
                Step::Make { seq } => self.key_to_make = Some(seq),
                Step::Tell(kid) => self.tell_of_key(&kid)?,
                Step::Forgotten { seq } => {
                    tracing::warn!(seq, "the server has forgotten a wrap key of this device; it is told again");
                    self.profile.wrap_keys_forgotten(seq)?;
                    self.rotation.forgotten(seq);
                }
                Step::Erase(kid) => {
                    self.profile.erase_wrap_key(&kid)?;
                    self.wrap_keys.retain(|key| *key.kid() != kid);
                    self.rotation.erased(&kid);
                    tracing::info!("an old wrap key has been erased");
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

    /// The wrap keys to which envelopes are sealed that wait for their sender's keys.
    fn kids_waited_for(&self) -> HashSet<Kid> {
        self.deferred.iter().filter_map(|(_, frame)| addressed_kid(frame, &self.account)).collect()
    }

    fn tell_of_key(&mut self, kid: &Kid) -> Result<(), Error> {
        let stored = self.profile.wrap_keys()?.into_iter().find(|stored| stored.key.kid() == kid);
        let Some(wrap) = stored.and_then(|stored| stored.cert) else {
            return Err(ProfileError::Keys("a wrap key is gone".to_owned()).into());
        };
        let id = Some(Cow::Owned(rotate_id(wrap.seq)));
        self.out
            .push_back(ClientFrame { id, ack: None, request: Request::Rotate(Box::new(Rotate { wrap })) }.to_json());
        Ok(())
    }

    /// Certifies a key that was made for this number, and stores both before the server hears of it. `None`: none could be
    /// made.
    pub(super) fn key_made(&mut self, seq: u64, key: Option<WrapKey>) -> Result<(), Error> {
        let Some(key) = key else {
            self.rotation.not_made(self.now.ticks);
            return Ok(());
        };
        let time = self.time();
        let wrap = self.certify(seq, &key, time);
        self.profile.add_wrap_key(&key, &wrap, time)?;
        self.wrap_keys.push(key);
        self.rotation.stored(Held::new(&wrap, false, None));
        Ok(())
    }

    fn certify(&self, seq: u64, key: &WrapKey, time: u64) -> WrapFrame {
        let cert = WrapCert { seq, dwk: key.public().clone(), not_before: time, not_after: time.saturating_add(LIFE) };
        let (name, device) = (&self.account.username, &self.account.device);
        cert_to_frame(&self.keys.dsk.certify(&mut UnwrapErr(SysRng), name, device, cert))
    }

    /// `rotate` was answered.
    pub(super) fn key_accepted(&mut self, id: Option<&str>) -> Result<(), Error> {
        if let Some(kid) = self.told_key(id) {
            let time = self.time();
            self.profile.wrap_key_accepted(&kid, time)?;
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
            tracing::warn!(code = %error.code, "the server takes no new wrap key; the old one stays in use");
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

    /// All mail that lay in the mailbox has come; it is stored before old keys may go.
    pub(super) fn mailbox_empty(&mut self) -> Result<(), Error> {
        self.take_inbox()?;
        self.rotation.mailbox_empty(self.time());
        Ok(())
    }

    /// Takes this device's certificate out of an answer for its own account.
    pub(super) fn take_own_certificate(&self, keys: &mut Keys) -> Result<ServerHas, PinError> {
        ServerHas::take_from(keys, &self.account.device, self.keys.dsk.public())
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
