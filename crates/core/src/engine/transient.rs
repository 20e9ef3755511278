//! What is said in passing: typing, and who is online (protocol section 6, `signal` and `presence`).

use rand_core::CryptoRng;
use sealwire_e2ee::open::check;
use sealwire_e2ee::provider::RsaOutcome;
use sealwire_e2ee::seal::prepare;
use sealwire_e2ee::{ContentType, Draft, Lane, Payload, Unsigned};
use sealwire_protocol::frames::{ClientFrame, Delivered, PresenceFrame, PresenceRequest, Request};
use sealwire_protocol::ids::Username;
use zeroize::Zeroizing;

use super::receiving::{Desk, Passing};
use super::{Asker, Core, Event, Outcomes, Work};
use crate::conversation::Standing;
use crate::convert::{envelope, signal_frame};
use crate::error::Error;
use crate::passing::{TYPING, is_fresh, is_typing};
use crate::storage::Storage;

/// The flag of the storage that says whether this person lets others see when they are online.
pub const SHARES_PRESENCE: &str = "presence.share";
/// What the server was told of it last, and has confirmed.
const TOLD: &str = "presence.told";
/// Signals that are being opened at the same time; more are passed over.
const HEARD_AT_ONCE: usize = 8;

impl<S: Storage> Core<S> {
    /// Tells people that one is typing, if that can be done at once; otherwise it is not worth telling.
    pub(super) fn tell_typing(&mut self, rng: &mut dyn CryptoRng) -> Result<(), Error> {
        for to in std::mem::take(&mut self.typing_to) {
            if self.may_know_of_typing(&to)?
                && let Some(unsigned) = self.typing_signal(&to, rng)
            {
                let job = unsigned.job();
                self.run(Work::Tell { line: self.lines, unsigned: Box::new(unsigned) }, vec![job]);
            }
        }
        Ok(())
    }

    fn may_know_of_typing(&mut self, to: &Username) -> Result<bool, Error> {
        let me = self.account.username.clone();
        let contact = self.storage.contact(to)?;
        let wanted = !contact.blocked && contact.standing == Standing::Accepted && *to != me;
        let keys_known = self.lookups.is_fresh(&me) && self.load_person(to)? && !self.lookups.is_pending(to);
        Ok(wanted && keys_known && !self.refused_keys.contains_key(to))
    }

    fn typing_signal(&mut self, to: &Username, rng: &mut dyn CryptoRng) -> Option<Unsigned> {
        let targets = self.targets(to)?;
        if !self.typing.tell(to, self.now.ticks) {
            return None;
        }
        let me = self.account.username.clone();
        let payload = Payload {
            content_type: ContentType::Content,
            counter: 0,
            previous: [0; 32],
            self_manifest: self.newest_hash(&me),
            peer_manifest: self.newest_hash(to),
            body: Zeroizing::new(TYPING.to_vec()),
        };
        let draft = Draft {
            lane: Lane::Signal,
            message_id: self.new_message_id(rng),
            timestamp: self.time(),
            from: &me,
            from_device: self.account.device,
            to,
            targets: &targets,
            payload: &payload,
        };
        let unsigned = prepare(rng, &self.dsk.kid(), &draft);
        Some(unsigned.expect("targets are both sides' devices, each once, and a signal has no place in a chain"))
    }

    /// A signal is signed: it is sent on the connection that it was meant for, or not at all.
    pub(super) fn told(&mut self, line: u64, unsigned: Unsigned, outcomes: Outcomes) {
        if line == self.lines
            && let Some(Ok(RsaOutcome::Signature(signature))) = outcomes.into_iter().next()
        {
            self.say(signal_frame(&unsigned.finish(signature)));
        }
    }

    /// A signal of somebody from whom one wants to hear. Whatever does not hold is passed over: a signal is never kept.
    pub(super) fn signal(&mut self, frame: &Delivered) -> Result<(), Error> {
        let time = self.time();
        let contact = self.storage.contact(&frame.from)?;
        let welcome = !contact.blocked && contact.standing == Standing::Accepted && frame.from != self.account.username;
        let busy = self.works.values().filter(|work| matches!(work, Work::Hear(_))).count() >= HEARD_AT_ONCE;
        if busy || !welcome || !is_fresh(frame.timestamp, time) || self.refused_keys.contains_key(&frame.from) {
            return Ok(());
        }
        self.load_person(&frame.from)?;
        let sender = self.sender(frame, false);
        let desk = Desk { account: &self.account, keys: &self.wrap_kids, seen: false, sender };
        let Ok(checked) = check(&desk, Lane::Signal, time, &envelope(frame)) else { return Ok(()) };
        let job = checked.job();
        let (from, from_device, message_id) = (frame.from.clone(), frame.from_device, frame.message_id);
        self.run(Work::Hear(Box::new(Passing { from, from_device, message_id, checked })), vec![job]);
        Ok(())
    }

    /// A signal is opened.
    pub(super) fn heard(&mut self, passing: Passing, outcomes: Outcomes) {
        let Some(Ok(RsaOutcome::ContentKey(key))) = outcomes.into_iter().next() else { return };
        let Ok(opened) = passing.checked.finish(key) else { return };
        let is_new = self.heard.remember(&passing.from, &passing.from_device, &passing.message_id);
        if is_new && is_typing(&opened.payload.body) {
            self.tell(Event::Typing { from: passing.from });
        }
    }

    /// Somebody came or went. A server may tell of others than were asked for.
    pub(super) fn presence_told(&mut self, frame: &PresenceFrame) {
        if let (Some(name), Some(online)) = (&frame.username, frame.online)
            && self.presence.wants(name)
        {
            self.tell(Event::Presence { name: name.clone(), online });
        }
    }

    /// Tells the server whose presence is wanted, where it does not know.
    pub(super) fn subscribe(&mut self) {
        if let Some(request) = self.presence.next_request() {
            self.say(ClientFrame::from(Request::Presence(Box::new(request))).to_json());
        }
    }

    /// Remembers whether others may see when this person is online, and tells the server.
    pub(super) fn share_presence(&mut self, share: bool) -> Result<(), Error> {
        self.storage.set_flag(SHARES_PRESENCE, Some(share))?;
        self.storage.set_flag(TOLD, None)?;
        self.tell_share()
    }

    /// Tells the server what it has not confirmed yet. What it has confirmed may be changed by another device since.
    pub(super) fn tell_share(&mut self) -> Result<(), Error> {
        let Some(share) = self.storage.flag(SHARES_PRESENCE)? else { return Ok(()) };
        if self.storage.flag(TOLD)? == Some(share) {
            return Ok(());
        }
        let request = PresenceRequest { share: Some(share), ..PresenceRequest::default() };
        // Where too many requests wait already it is told after the next log-in.
        drop(self.requests.push(Request::Presence(Box::new(request)), Asker::Share(share)));
        Ok(())
    }

    /// The server has taken over what it was told.
    pub(super) fn share_confirmed(&mut self, share: bool) -> Result<(), Error> {
        Ok(self.storage.set_flag(TOLD, Some(share))?)
    }
}
