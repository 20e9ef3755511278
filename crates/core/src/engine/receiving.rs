//! From the wire to the storage, and in order to the person (protocol section 4, steps 1 to 12).

use std::collections::HashSet;

use sealwire_e2ee::manifest::SenderKey;
use sealwire_e2ee::open::{Checked, MAX_AHEAD, check};
use sealwire_e2ee::provider::{RsaFailure, RsaOutcome};
use sealwire_e2ee::{ContentType, Lane, NoSenderKey, OpenError, Opened, Receiver};
use sealwire_protocol::frames::{ClientFrame, Delivered, Request};
use sealwire_protocol::ids::{DeviceId, Kid, MessageId, Username};

use super::{Alarm, BELIEFS, Core, DEFERRED, DEFERRED_BYTES, Event, Message, Outcomes, Work};
use crate::chain::{self, Link};
use crate::conversation::{Contact, Standing, text_of};
use crate::convert::envelope;
use crate::display::{Display, Shown};
use crate::error::Error;
use crate::storage::{Account, Body, Incoming, Received, Storage};

/// How many envelopes are opened, stored and acknowledged together.
const OPEN_AT_ONCE: usize = 32;
/// However far ahead an envelope is dated, its time is looked at again after so long, in milliseconds.
const LOOK_AGAIN: u64 = 24 * 60 * 60 * 1_000;

/// What the checks need to know of one envelope.
pub(super) struct Desk<'a> {
    pub(super) account: &'a Account,
    pub(super) keys: &'a HashSet<Kid>,
    pub(super) seen: bool,
    pub(super) sender: Result<SenderKey, NoSenderKey>,
}

/// Envelopes whose content keys are being unwrapped.
#[derive(Debug)]
pub(super) struct Opening {
    /// In order; what did not pass the first six steps needs no key.
    envelopes: Vec<(Delivered, Result<Checked, OpenError>)>,
    /// Envelopes that had been deferred and are decided on now.
    done: Vec<i64>,
    /// What to acknowledge once all is stored: the connection and the last `seq` that came on it.
    ack: Option<(u64, u64)>,
}

/// A signal whose content key is being unwrapped.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) from: Username,
    pub(super) from_device: DeviceId,
    pub(super) message_id: MessageId,
    pub(super) checked: Checked,
}

impl Receiver for Desk<'_> {
    fn username(&self) -> &Username {
        &self.account.username
    }

    fn device(&self) -> &DeviceId {
        &self.account.device
    }

    fn holds(&self, kid: &Kid) -> bool {
        self.keys.contains(kid)
    }

    fn sender_key(&self, _from: &Username, _device: &DeviceId, _timestamp: u64) -> Result<SenderKey, NoSenderKey> {
        self.sender.clone()
    }

    fn has_seen(&self, _from_device: &DeviceId, _message_id: &MessageId) -> bool {
        self.seen
    }
}

impl<S: Storage> Core<S> {
    /// `seq` counts the messages of a connection from 1: an acknowledgement must not cover one that never came.
    pub(super) fn message(&mut self, message: Delivered) -> Result<(), Error> {
        let Some(line) = &mut self.line else { return Ok(()) };
        if message.seq != line.next_seq {
            return Err(Error::Connect("the server skipped a message".to_owned()));
        }
        line.next_seq += 1;
        self.inbox_bytes += size(&message);
        self.inbox.push_back((self.lines, message));
        Ok(())
    }

    /// The keys of a name are as fresh as can be: what waited for them is decided on.
    pub(super) fn retry_deferred(&mut self, name: &Username) {
        let waits = self.deferred.iter().any(|(_, frame)| frame.from == *name);
        if waits && !self.to_retry.contains(name) {
            self.to_retry.push_back(name.clone());
        }
    }

    /// Begins to open what waits, unless that is under way: first what had been deferred, then what was delivered.
    pub(super) fn open_next(&mut self) -> Result<(), Error> {
        while !self.opening {
            if let Some(name) = self.to_retry.pop_front() {
                let (done, frames) = self.deferred.extract_if(.., |(_, frame)| frame.from == name).unzip();
                self.begin(frames, done, None, true)?;
            } else if !self.inbox.is_empty() && self.takes_more() {
                let (lines, frames): (Vec<_>, Vec<_>) = self.inbox.drain(..self.inbox.len().min(OPEN_AT_ONCE)).unzip();
                self.inbox_bytes -= frames.iter().map(size).sum::<usize>();
                let of_this_line = |(line, _): &(u64, &Delivered)| *line == self.lines;
                let seq = lines.into_iter().zip(&frames).filter(of_this_line).map(|(_, frame)| frame.seq).max();
                self.begin(frames, Vec::new(), seq.map(|seq| (self.lines, seq)), false)?;
            } else {
                break;
            }
        }
        if self.line.is_some() && self.inbox_is_full() && !self.takes_more() {
            return Err(Error::Connect("the server sends messages, and not the keys to open them with".to_owned()));
        }
        Ok(())
    }

    /// Whether envelopes are taken out of the inbox: a server that answers no look-up must not fill this device. The answers
    /// make room again, and what waits in the inbox is not acknowledged.
    pub(super) fn takes_more(&self) -> bool {
        let time = self.time();
        let waiting = self.deferred.iter().filter(|(_, frame)| ahead(frame.timestamp, time).is_none());
        let (count, bytes) = waiting.fold((0, 0), |(count, bytes), (_, frame)| (count + 1, bytes + size(frame)));
        count < DEFERRED && bytes < DEFERRED_BYTES && self.beliefs.len() < BELIEFS
    }

    /// Whether these may wait for their time with those that do. They are not stored, nor acknowledged, if not.
    fn may_wait_for_their_time(&self, incoming: &[Incoming]) -> bool {
        let time = self.time();
        let new = incoming.iter().filter_map(|one| match one {
            Incoming::Deferred(frame) => Some(&**frame),
            _ => None,
        });
        let waiting = self.deferred.iter().map(|(_, frame)| frame).chain(new);
        let waiting = waiting.filter(|frame| ahead(frame.timestamp, time).is_some());
        let (count, bytes) = waiting.fold((0, 0), |(count, bytes), frame| (count + 1, bytes + size(frame)));
        count <= DEFERRED && bytes <= DEFERRED_BYTES
    }

    /// Steps 1 to 6, and the jobs of step 7. `looked_up`: the keys of their sender are as fresh as can be.
    fn begin(
        &mut self,
        frames: Vec<Delivered>,
        done: Vec<i64>,
        ack: Option<(u64, u64)>,
        looked_up: bool,
    ) -> Result<(), Error> {
        let time = self.time();
        let mut envelopes = Vec::with_capacity(frames.len());
        for frame in frames {
            self.load_person(&frame.from)?;
            let seen = self.storage.has_seen(&frame.from, &frame.from_device, &frame.message_id)?;
            let sender = self.sender(&frame, looked_up);
            let desk = Desk { account: &self.account, keys: &self.wrap_kids, seen, sender };
            let checked = check(&desk, Lane::Message, time, &envelope(&frame));
            envelopes.push((frame, checked));
        }
        let jobs: Vec<_> = envelopes.iter().filter_map(|(_, checked)| Some(checked.as_ref().ok()?.job())).collect();
        let opening = Opening { envelopes, done, ack };
        if jobs.is_empty() {
            return self.opened(opening, Vec::new());
        }
        self.opening = true;
        self.run(Work::Open(opening), jobs);
        Ok(())
    }

    /// Steps 7 to 12.
    pub(super) fn opened(&mut self, opening: Opening, outcomes: Outcomes) -> Result<(), Error> {
        self.opening = false;
        let Opening { envelopes, done, ack } = opening;
        if let Some(failure) = outcomes.iter().find_map(|outcome| outcome.as_ref().err())
            && *failure == RsaFailure::Unavailable
        {
            // Nothing is known of them: those that were deferred still are, the others will come again.
            self.deferred = self.storage.deferred()?;
            return Err(Error::Connect(failure.to_string()));
        }
        let mut outcomes = outcomes.into_iter();
        let (mut frames, mut opened) = (Vec::new(), Vec::new());
        for (frame, checked) in envelopes {
            opened.push(checked.and_then(|checked| match outcomes.next() {
                Some(Ok(RsaOutcome::ContentKey(key))) => checked.finish(key),
                _ => checked.finish(None),
            }));
            frames.push(frame);
        }
        self.store(frames, opened, &done)?;
        if let Some((line, seq)) = ack
            && line == self.lines
        {
            self.say(ClientFrame::from(Request::Ack(seq)).to_json());
        }
        Ok(())
    }

    /// Envelopes that were dated ahead, and are no more, are decided on like all others: by keys that are fresh.
    pub(super) fn want_keys_of_deferred(&mut self) {
        let time = self.time();
        for (_, frame) in &self.deferred {
            if ahead(frame.timestamp, time).is_none() && self.lookups.is_fresh(&frame.from) {
                self.lookups.want(&frame.from);
            }
        }
    }

    /// When the first envelope that is dated ahead may be opened, by the clock that does not go back.
    pub(super) fn deferred_wake_at(&self) -> Option<u64> {
        let time = self.time();
        let first = self.deferred.iter().filter_map(|(_, frame)| ahead(frame.timestamp, time)).min()?;
        Some(self.now.ticks.saturating_add(first.min(LOOK_AGAIN)))
    }

    /// Step 3. Behind an envelope that waits, all later ones of the same name wait, so that their order holds.
    pub(super) fn sender(&self, frame: &Delivered, looked_up: bool) -> Result<SenderKey, NoSenderKey> {
        if !looked_up && self.deferred.iter().any(|(_, waiting)| waiting.from == frame.from) {
            return Err(NoSenderKey::Undecided);
        }
        let person = self.people.get(&frame.from);
        let key = person.and_then(|person| person.chain().sender_key(&frame.from_device, frame.timestamp));
        key.ok_or(if looked_up { NoSenderKey::Unknown } else { NoSenderKey::Undecided })
    }

    fn store(
        &mut self,
        frames: Vec<Delivered>,
        outcomes: Vec<Result<Opened, OpenError>>,
        done: &[i64],
    ) -> Result<(), Error> {
        let mut in_this_batch = HashSet::new();
        let mut incoming = Vec::new();
        let mut beliefs = Vec::new();
        for (frame, outcome) in frames.into_iter().zip(outcomes) {
            match outcome {
                Ok(opened) => {
                    let payload = &opened.payload;
                    if in_this_batch.insert((frame.from.clone(), frame.from_device, frame.message_id)) {
                        beliefs.push((
                            frame.from.clone(),
                            frame.to.clone(),
                            payload.self_manifest,
                            payload.peer_manifest,
                        ));
                        if self.is_to_old_key(&frame) {
                            self.alarm(Alarm::OldKeyUsed { from: frame.from.clone() });
                        }
                        incoming.push(accepted(&frame, &opened));
                    }
                }
                Err(OpenError::Replay) => {}
                Err(error) if error.is_for_later() => incoming.push(Incoming::Deferred(Box::new(frame))),
                Err(error) => incoming.push(failed(&frame, &error.to_string())),
            }
        }
        // Those that are decided on anew wait here already.
        if done.is_empty() && !self.may_wait_for_their_time(&incoming) {
            return Err(Error::Connect("the server sends too many messages that are dated ahead".to_owned()));
        }
        let taken = self.storage.take_in(&incoming, done)?;
        let deferred = incoming.iter().any(|one| matches!(one, Incoming::Deferred(_)));
        let mut taken = taken.into_iter();
        let mut silenced = HashSet::new();
        for one in incoming {
            match one {
                Incoming::Opened(mut received) => {
                    let taken = taken.next().expect("one for each message that was opened");
                    if taken.silenced {
                        silenced.insert(received.from.clone());
                    } else {
                        self.check_chain(&received)?;
                    }
                    received.is_content &= !taken.silenced;
                    self.display(taken.position, *received)?;
                }
                Incoming::Failed { ref from, .. } if self.storage.contact(from)?.blocked => {}
                Incoming::Failed { .. } => self.tell_unreadable(&one),
                // What has been looked up and still waits, waits for its time.
                Incoming::Deferred(frame) if done.is_empty() => self.lookups.want(&frame.from),
                Incoming::Deferred(_) => {}
            }
        }
        if deferred {
            self.deferred = self.storage.deferred()?;
        }
        for (from, to, self_manifest, peer_manifest) in beliefs {
            if silenced.contains(&from) {
                continue;
            }
            self.check_belief(&from, &from, self_manifest)?;
            self.check_belief(&from, &to, peer_manifest)?;
        }
        Ok(())
    }

    fn check_chain(&mut self, received: &Received) -> Result<(), Error> {
        let counter = received.link.counter;
        let around = self.storage.neighbours(&received.from, &received.from_device, &received.to, counter)?;
        if let Some(fork) = chain::check(&received.link, &around) {
            self.alarm(Alarm::Fork { from: received.from.clone(), counter, fork });
        }
        Ok(())
    }

    /// Puts a message into its place in the order that the person sees.
    pub(super) fn display(&mut self, position: i64, received: Received) -> Result<(), Error> {
        if !self.listening {
            return Ok(());
        }
        let key = (received.from.clone(), received.from_device, received.to.clone());
        if !self.displays.contains_key(&key) {
            let next = self.storage.next_to_show(&key.0, &key.1, &key.2)?;
            self.displays.insert(key.clone(), Display::new(next));
        }
        let display = self.displays.get_mut(&key).expect("inserted where it was missing");
        display.arrived(received.link.counter, (position, received));
        Ok(())
    }

    /// Tells all that can be shown now. Control is not for the person, nor is what somebody wrote before they were
    /// blocked; both count as shown.
    pub(super) fn show(&mut self) -> Result<(), Error> {
        let mut control = Vec::new();
        let mut events = Vec::new();
        for ((from, _, to), display) in &mut self.displays {
            let mut gap = None;
            if !display.has_any() {
                continue;
            }
            let own = *from == self.account.username;
            let contact = Some(self.storage.contact(from)?).filter(|_| !own);
            let blocked = contact.as_ref().is_some_and(|contact| contact.blocked);
            for shown in display.ready(self.now.ticks) {
                match shown {
                    Shown::Gap(counters) => gap = Some(counters),
                    Shown::Message((position, received)) => {
                        if blocked {
                            control.push(position);
                            continue;
                        }
                        if let Some(counters) = gap.take() {
                            events.push(Event::Missing { from: received.from.clone(), to: to.clone(), counters });
                        }
                        match message(position, received, contact.as_ref()) {
                            Some(message) => events.push(Event::Message(message)),
                            None => control.push(position),
                        }
                    }
                }
            }
        }
        events.into_iter().for_each(|event| self.tell(event));
        if !control.is_empty() {
            self.storage.mark_shown(&control)?;
        }
        Ok(())
    }
}

/// What an envelope takes, in bytes; the rest of it is small.
fn size(frame: &Delivered) -> usize {
    frame.encrypted_message.0.len()
}

/// How long an envelope is dated too far ahead to be opened, in milliseconds; `None`: it is not.
fn ahead(timestamp: u64, time: u64) -> Option<u64> {
    timestamp.checked_sub(time.saturating_add(MAX_AHEAD)).filter(|ahead| *ahead > 0)
}

fn accepted(frame: &Delivered, opened: &Opened) -> Incoming {
    let payload = &opened.payload;
    if i64::try_from(payload.counter).is_err() {
        return failed(frame, "a counter that nobody can have reached");
    }
    Incoming::Opened(Box::new(Received {
        from: frame.from.clone(),
        from_device: frame.from_device,
        to: frame.to.clone(),
        link: Link { counter: payload.counter, previous: payload.previous, message_id: frame.message_id },
        timestamp: frame.timestamp,
        is_content: payload.content_type == ContentType::Content,
        body: Body(payload.body.clone()),
        from_removed_device: matches!(opened.sender, SenderKey::Removed(_)),
    }))
}

fn failed(frame: &Delivered, reason: &str) -> Incoming {
    Incoming::Failed {
        from: frame.from.clone(),
        from_device: frame.from_device,
        message_id: frame.message_id,
        timestamp: frame.timestamp,
        reason: reason.to_owned(),
    }
}

/// What the person sees of a message; `None` of control. `contact`: what was decided about its writer, unless it is oneself.
fn message(position: i64, received: Received, contact: Option<&Contact>) -> Option<Message> {
    let text = received.is_content.then(|| text_of(&received.body.0))?;
    Some(Message {
        position,
        from: received.from,
        from_device: received.from_device,
        to: received.to,
        message_id: received.link.message_id,
        counter: received.link.counter,
        timestamp: received.timestamp,
        text,
        from_removed_device: received.from_removed_device,
        request: contact.is_some_and(|contact| contact.standing == Standing::Request),
        muted: contact.is_some_and(|contact| contact.muted),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_dated_ahead_waits_until_it_is_no_more_than_five_minutes_ahead() {
        assert_eq!(ahead(1_000 + MAX_AHEAD + 7, 1_000), Some(7));
        assert_eq!(ahead(1_000 + MAX_AHEAD, 1_000), None);
        assert_eq!(ahead(5, 1_000), None);
        assert_eq!(ahead(u64::MAX, 0), Some(u64::MAX - MAX_AHEAD));
    }
}
