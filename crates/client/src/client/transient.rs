//! What is said in passing: typing, and who is online (protocol section 6, `signal` and `presence`).

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::{ContentType, Draft, Lane, Payload, open, seal};
use sealwire_protocol::frames::{ClientFrame, Delivered, PresenceFrame, PresenceRequest, Request};
use sealwire_protocol::ids::Username;
use zeroize::Zeroizing;

use super::Event;
use super::core::{Asker, Core};
use super::receiving::Desk;
use crate::conversation::Standing;
use crate::convert::{envelope, signal_frame};
use crate::error::Error;
use crate::profile::SHARES_PRESENCE;
use crate::transient::{TYPING, is_fresh, is_typing};

/// The setting that says what the server was told of it last, and has confirmed.
const TOLD: &str = "presence.told";

impl Core {
    /// Tells somebody that one is typing, if that can be done at once; otherwise it is not worth telling.
    pub(super) fn tell_typing(&mut self, to: &Username) -> Result<(), Error> {
        let me = self.account.username.clone();
        let contact = self.profile.contact(to)?;
        let may_know = !contact.blocked && contact.standing == Standing::Accepted && *to != me;
        let keys_known = self.lookups.is_fresh(&me) && self.load_person(to)? && !self.lookups.is_pending(to);
        if !self.online || !may_know || !keys_known || self.refused_keys.contains_key(to) {
            return Ok(());
        }
        let Some(targets) = self.targets(to) else { return Ok(()) };
        if !self.typing.tell(to, self.now.ticks) {
            return Ok(());
        }
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
            message_id: self.new_message_id(),
            timestamp: self.time(),
            from: &me,
            from_device: self.account.device,
            to,
            targets: &targets,
            payload: &payload,
        };
        let sealed = seal(&mut UnwrapErr(SysRng), &self.keys.dsk, &draft);
        let sealed = sealed.expect("targets are both sides' devices, each once, and a signal has no place in a chain");
        self.out.push_back(signal_frame(&sealed));
        Ok(())
    }

    /// A signal of somebody from whom one wants to hear. Whatever does not hold is passed over: a signal is never kept.
    pub(super) fn signal(&mut self, frame: &Delivered) -> Result<(), Error> {
        let (me, time) = (self.account.username.clone(), self.time());
        let contact = self.profile.contact(&frame.from)?;
        let welcome = !contact.blocked && contact.standing == Standing::Accepted && frame.from != me;
        if !welcome || !is_fresh(frame.timestamp, time) || self.refused_keys.contains_key(&frame.from) {
            return Ok(());
        }
        self.load_person(&frame.from)?;
        let sender = self.sender(frame, false);
        let (account, keys) = (&self.account, &self.wrap_keys);
        let desk = Desk { account, keys, frame: frame.clone(), seen: false, sender };
        let Ok(opened) = open(&mut UnwrapErr(SysRng), &desk, Lane::Signal, time, &envelope(frame)) else {
            return Ok(());
        };
        let is_new = self.heard.remember(&frame.from, &frame.from_device, &frame.message_id);
        if is_new && is_typing(&opened.payload.body) {
            self.tell(Event::Typing { from: frame.from.clone() });
        }
        Ok(())
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
            self.out.push_back(ClientFrame::from(Request::Presence(Box::new(request))).to_json());
        }
    }

    /// Remembers whether others may see when this person is online, and tells the server.
    pub(super) fn share_presence(&mut self, share: bool) -> Result<(), Error> {
        self.profile.put_setting(SHARES_PRESENCE, &share)?;
        self.profile.remove_setting(TOLD)?;
        self.tell_share()
    }

    /// Tells the server what it has not confirmed yet. What it has confirmed may be changed by another device since.
    pub(super) fn tell_share(&mut self) -> Result<(), Error> {
        let Some(share) = self.profile.setting::<bool>(SHARES_PRESENCE)? else { return Ok(()) };
        if self.profile.setting::<bool>(TOLD)? == Some(share) {
            return Ok(());
        }
        let request = PresenceRequest { share: Some(share), ..PresenceRequest::default() };
        // Where too many requests wait already it is told after the next log-in.
        drop(self.requests.push(Request::Presence(Box::new(request)), Asker::Share(share)));
        Ok(())
    }

    /// The server has taken over what it was told.
    pub(super) fn share_confirmed(&mut self, share: bool) -> Result<(), Error> {
        Ok(self.profile.put_setting(TOLD, &share)?)
    }
}
