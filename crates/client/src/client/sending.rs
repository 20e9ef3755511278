//! From the outbox to the wire.

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use sealwire_e2ee::{ContentType, Draft, Lane, Payload, SigningKey, Target, seal};
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{ClientFrame, ErrorFrame, Heartbeat, Request};
use sealwire_protocol::ids::{MessageId, Username};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::core::{Core, ToEnqueue};
use super::{Event, Pending, Progress, parallel};
use crate::convert::message_frame;
use crate::error::Error;
use crate::outbox::Refusal;
use crate::profile::{Account, Content, Outgoing};

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

impl Core {
    pub(super) fn new_message_id(&self) -> MessageId {
        let mut random = [0; 10];
        UnwrapErr(SysRng).fill_bytes(&mut random);
        MessageId::new_v7(self.time(), random)
    }

    /// Stores new messages, all in one transaction, and tells their senders.
    pub(super) fn enqueue(&mut self) -> Result<(), Error> {
        let new = std::mem::take(&mut self.to_enqueue);
        if new.is_empty() {
            return Ok(());
        }
        let messages: Vec<_> = new.iter().flat_map(|one| one.messages.iter().cloned()).collect();
        let stored = self.profile.enqueue(&messages, self.time()).map_err(Error::from);
        for ToEnqueue { messages, reply } in new {
            let accepted = stored.clone().map(|_| messages.iter().map(|(to, id, _)| self.accept(to, *id)).collect());
            // Whoever asked may have gone; the messages are sent all the same.
            drop(reply.send(accepted));
        }
        stored.map(|_| ())
    }

    fn accept(&mut self, to: &Username, id: MessageId) -> Pending {
        let (waiter, progress) = watch::channel(Progress::Waiting);
        self.waiters.insert(id, waiter);
        self.outbox.push(to, id, false, false);
        (id, progress)
    }

    /// Seals what can be sealed now, stores the bytes, and only then lets them be sent.
    pub(super) fn seal(&mut self) -> Result<(), Error> {
        let me = self.account.username.clone();
        if !self.lookups.is_fresh(&me) || self.awaits_time || self.rotates_first() {
            return Ok(());
        }
        self.want_keys_of_addressees()?;
        let known = |to: &Username| {
            self.people.contains_key(to) && !self.lookups.is_pending(to) && !self.refused_keys.contains_key(to)
        };
        let ids = self.outbox.to_seal(self.now.ticks, SEAL_AT_ONCE, known);
        let mut jobs = Vec::with_capacity(ids.len());
        for id in ids {
            jobs.extend(self.job(&id)?);
        }
        let time = self.time();
        let (account, dsk) = (&self.account, &self.keys.dsk);
        let sealed = parallel::map(&jobs, |job| seal_one(account, dsk, job, time));
        let ids = jobs.iter().map(|job| job.outgoing.link.message_id);
        let frames: Vec<_> = ids.zip(sealed).map(|(id, frame)| (id, time, frame)).collect();
        self.profile.store_sealed(&frames)?;
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
        let Some(outgoing) = self.profile.outgoing(id)? else { return Ok(None) };
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
            if let Some(frame) = self.profile.outgoing(&id)?.and_then(|outgoing| outgoing.frame) {
                self.pace.sent(self.now.ticks);
                self.out.push_back(frame);
            }
        }
        Ok(())
    }

    fn ask_for_time(&mut self) {
        if !self.awaits_time {
            self.awaits_time = true;
            let heartbeat = Request::Heartbeat(Heartbeat { timestamp: self.now.wall });
            self.out.push_back(ClientFrame::from(heartbeat).to_json());
        }
    }

    pub(super) fn message_refused(&mut self, id: &MessageId, error: &ErrorFrame) -> Result<(), Error> {
        let random = UnwrapErr(SysRng).next_u64();
        let given_up = || Progress::Failed(Error::GivenUp { code: error.code, message: error.message.clone() });
        match self.outbox.refused(id, error.code, error.retry_after_ms, self.now.ticks, random) {
            Refusal::SendAgain(_) => self.report(id, Progress::Held(error.code)),
            Refusal::SealAgain => {
                if error.code == ErrorCode::TimestampOutOfRange {
                    // By the clock that was wrong it would be refused again.
                    self.ask_for_time();
                }
                if let Some(outgoing) = self.profile.outgoing(id)? {
                    self.lookups.want(&outgoing.to);
                    self.lookups.want(&self.account.username);
                }
            }
            Refusal::Replace => {
                self.profile.replace(id)?;
                self.report(id, given_up());
            }
            Refusal::Drop => {
                self.profile.drop_outgoing(id)?;
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
        self.profile.withdraw(&ids)?;
        ids.iter().for_each(|id| self.report(id, Progress::Failed(error.clone())));
        Ok(())
    }
}

fn seal_one(account: &Account, dsk: &SigningKey, job: &Job, timestamp: u64) -> String {
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
    let sealed = seal(&mut UnwrapErr(SysRng), dsk, &draft);
    message_frame(&sealed.expect("targets are both sides' devices, each once, and the counter is the chain's"))
}
