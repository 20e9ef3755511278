//! From the outbox to the wire.

use rand_core::CryptoRng;
use sealwire_e2ee::provider::RsaOutcome;
use sealwire_e2ee::seal::prepare;
use sealwire_e2ee::{ContentType, Draft, Lane, Payload, Target, Unsigned};
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::ErrorFrame;
use sealwire_protocol::ids::{Kid, MessageId, Username};
use zeroize::Zeroizing;

use super::{Answer, Core, Event, Outcomes, Progress, Work};
use crate::convert::message_frame;
use crate::error::Error;
use crate::outbox::Refusal;
use crate::storage::{Account, Content, Outgoing, Storage};

/// How many messages are sealed before the connection is looked at again.
const SEAL_AT_ONCE: usize = 16;
const DAY: u64 = 24 * 60 * 60 * 1000;

/// All that sealing one message needs.
struct Job {
    outgoing: Outgoing,
    targets: Vec<Target>,
    self_manifest: [u8; 32],
    peer_manifest: [u8; 32],
}

/// A message that its device is about to sign.
#[derive(Debug)]
pub(super) struct Sealing {
    outgoing: Outgoing,
    timestamp: u64,
    unsigned: Unsigned,
}

impl<S: Storage> Core<S> {
    pub(super) fn new_message_id(&self, rng: &mut dyn CryptoRng) -> MessageId {
        let mut random = [0; 10];
        rng.fill_bytes(&mut random);
        MessageId::new_v7(self.time(), random)
    }

    /// Stores new messages, all in one transaction, and tells their senders.
    pub(super) fn enqueue(&mut self, rng: &mut dyn CryptoRng) -> Result<(), Error> {
        let new = std::mem::take(&mut self.to_enqueue);
        if new.is_empty() {
            return Ok(());
        }
        let mut messages = Vec::new();
        let mut given = Vec::with_capacity(new.len());
        for (ticket, to, bodies) in new {
            let ids: Vec<_> = bodies.iter().map(|_| self.new_message_id(rng)).collect();
            messages.extend(ids.iter().zip(bodies).map(|(id, body)| (to.clone(), *id, Content::Content(body))));
            given.push((ticket, to, ids));
        }
        let stored = self.storage.enqueue(&messages, self.time()).map_err(Error::from);
        for (ticket, to, ids) in given {
            if stored.is_ok() {
                ids.iter().for_each(|id| self.outbox.push(&to, *id, false, false));
            }
            self.answer(ticket, stored.clone().map(|_| Answer::Sent(ids)));
        }
        stored.map(|_| ())
    }

    /// Seals what can be sealed now, but for the signatures, which are asked for.
    pub(super) fn seal(&mut self, rng: &mut dyn CryptoRng) -> Result<(), Error> {
        let me = self.account.username.clone();
        if !self.lookups.is_fresh(&me) || self.awaits_time || self.rotates_first() {
            return Ok(());
        }
        self.want_keys_of_addressees()?;
        if self.sealing {
            return Ok(());
        }
        let known = |to: &Username| {
            self.people.contains_key(to) && !self.lookups.is_pending(to) && !self.refused_keys.contains_key(to)
        };
        let ids = self.outbox.to_seal(self.now.ticks, SEAL_AT_ONCE, known);
        let timestamp = self.time();
        let mut sealing = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(job) = self.job(&id)? else { continue };
            let unsigned = unsigned(rng, &self.account, &self.dsk.kid(), &job, timestamp);
            sealing.push(Sealing { outgoing: job.outgoing, timestamp, unsigned });
        }
        if !sealing.is_empty() {
            self.sealing = true;
            let jobs = sealing.iter().map(|one| one.unsigned.job()).collect();
            self.run(Work::Seal(sealing), jobs);
        }
        Ok(())
    }

    /// Stores the bytes of what was signed, and only then lets them be sent. What has become another message meanwhile, or
    /// none, is passed over, and so is what goes to somebody whose keys were refused meanwhile.
    pub(super) fn signed(&mut self, sealing: Vec<Sealing>, outcomes: Outcomes) -> Result<(), Error> {
        self.sealing = false;
        let mut frames = Vec::with_capacity(sealing.len());
        for (Sealing { outgoing, timestamp, unsigned }, outcome) in sealing.into_iter().zip(outcomes) {
            let signature = match outcome {
                Ok(RsaOutcome::Signature(signature)) => signature,
                Err(failure) => return Err(Error::Connect(failure.to_string())),
                Ok(_) => continue,
            };
            let id = outgoing.link.message_id;
            let same = self.storage.outgoing(&id)?.is_some_and(|now| now == outgoing);
            if same && !self.refused_keys.contains_key(&outgoing.to) {
                frames.push((id, timestamp, message_frame(&unsigned.finish(signature))));
            }
        }
        self.storage.store_sealed(&frames)?;
        frames.iter().for_each(|(id, _, _)| self.outbox.sealed(id));
        Ok(())
    }

    fn want_keys_of_addressees(&mut self) -> Result<(), Error> {
        let names: Vec<_> = self.outbox.names_to_seal_for().cloned().collect();
        for name in names {
            if let Some(reason) = self.refused_keys.get(&name) {
                self.give_up_unsealed(&name, &Error::Untrusted { name: name.clone(), reason: *reason })?;
            } else if !self.load_person(&name)? && !self.lookups.is_pending(&name) {
                self.lookups.want(&name);
            }
        }
        Ok(())
    }

    fn job(&mut self, id: &MessageId) -> Result<Option<Job>, Error> {
        let Some(outgoing) = self.storage.outgoing(id)? else { return Ok(None) };
        let to = outgoing.to.clone();
        let Some(targets) = self.targets(&to) else {
            if !self.lookups.is_decided(&to) {
                // What was stored may be old: a device may have been added, or have come back.
                self.lookups.want(&to);
                return Ok(None);
            }
            self.give_up_unsealed(&to, &Error::NobodyToSendTo(to.clone()))?;
            return Ok(None);
        };
        let (self_manifest, peer_manifest) = (self.newest_hash(&self.account.username), self.newest_hash(&to));
        Ok(Some(Job { outgoing, targets, self_manifest, peer_manifest }))
    }

    /// Every device of the addressee and every other own one; `None` when the addressee has none but this.
    pub(super) fn targets(&mut self, to: &Username) -> Option<Vec<Target>> {
        let (time, me) = (self.time(), self.account.username.clone());
        let mut targets = Vec::new();
        let mut old = Vec::new();
        for name in if *to == me { vec![&me] } else { vec![to, &me] } {
            let devices =
                self.people.get(name)?.targets(time).filter(|(target, _)| target.device != self.account.device);
            for (target, stale) in devices {
                if stale >= DAY && self.warned_of_old_keys.insert((name.clone(), target.device)) {
                    old.push((name.clone(), stale / DAY));
                }
                targets.push(target);
            }
        }
        old.into_iter().for_each(|(name, days)| self.tell(Event::OldKey { name, days }));
        targets.iter().any(|target| target.username == *to).then_some(targets)
    }

    /// Sends what is sealed, as fast as the server's limits allow.
    pub(super) fn send(&mut self) -> Result<(), Error> {
        while self.pace.next_at() <= self.now.ticks && !self.rotates_first() {
            let believed = |to: &Username| !self.refused_keys.contains_key(to);
            let Some(id) = self.outbox.next_to_send(self.now.ticks, believed) else { break };
            if let Some(frame) = self.storage.outgoing(&id)?.and_then(|outgoing| outgoing.frame) {
                self.pace.sent(self.now.ticks);
                self.say(frame);
            }
        }
        Ok(())
    }

    fn ask_for_time(&mut self) {
        if !self.awaits_time {
            self.awaits_time = true;
            self.heartbeat();
        }
    }

    /// Acts on the messages that were refused.
    pub(super) fn take_refusals(&mut self, rng: &mut dyn CryptoRng) -> Result<(), Error> {
        for (id, error) in std::mem::take(&mut self.refused) {
            self.message_refused(&id, &error, rng.next_u64())?;
        }
        Ok(())
    }

    fn message_refused(&mut self, id: &MessageId, error: &ErrorFrame, random: u64) -> Result<(), Error> {
        let given_up = || Progress::Failed(Error::GivenUp { code: error.code, message: error.message.clone() });
        match self.outbox.refused(id, error.code, error.retry_after_ms, self.now.ticks, random) {
            Refusal::SendAgain(_) => self.report(id, Progress::Held(error.code)),
            Refusal::SealAgain => {
                if error.code == ErrorCode::TimestampOutOfRange {
                    // By the clock that was wrong it would be refused again.
                    self.ask_for_time();
                }
                if let Some(outgoing) = self.storage.outgoing(id)? {
                    self.lookups.want(&outgoing.to);
                    self.lookups.want(&self.account.username);
                }
            }
            Refusal::Replace => {
                self.storage.replace(id)?;
                self.report(id, given_up());
            }
            Refusal::Drop => {
                self.storage.drop_outgoing(id)?;
                self.report(id, given_up());
            }
            Refusal::Unknown => {}
        }
        Ok(())
    }

    /// Nothing goes to a name whose keys are refused. What never left this device is given up; the rest waits in the
    /// outbox until the name's keys are what they were, and whoever waits for it is told.
    pub(super) fn hold_untrusted(&mut self, to: &Username, error: &Error) -> Result<(), Error> {
        self.give_up_unsealed(to, error)?;
        self.outbox.all_to(to).iter().for_each(|id| self.report(id, Progress::Failed(error.clone())));
        Ok(())
    }

    /// Takes all messages to a name out of the outbox that never left this device.
    pub(super) fn give_up_unsealed(&mut self, to: &Username, error: &Error) -> Result<(), Error> {
        let ids = self.outbox.withdraw_unsealed(to);
        self.storage.withdraw(&ids)?;
        ids.iter().for_each(|id| self.report(id, Progress::Failed(error.clone())));
        Ok(())
    }
}

fn unsigned(rng: &mut dyn CryptoRng, account: &Account, dsk_kid: &Kid, job: &Job, timestamp: u64) -> Unsigned {
    let link = &job.outgoing.link;
    let payload = Payload {
        content_type: match &job.outgoing.content {
            Content::Content(_) => ContentType::Content,
            Content::EmptyControl => ContentType::Control,
        },
        counter: link.counter,
        previous: link.previous,
        self_manifest: job.self_manifest,
        peer_manifest: job.peer_manifest,
        body: Zeroizing::new(job.outgoing.content.body().to_vec()),
    };
    let draft = Draft {
        lane: Lane::Message,
        message_id: link.message_id,
        timestamp,
        from: &account.username,
        from_device: account.device,
        to: &job.outgoing.to,
        targets: &job.targets,
        payload: &payload,
    };
    prepare(rng, dsk_kid, &draft).expect("targets are both sides' devices, each once, and the counter is the chain's")
}
