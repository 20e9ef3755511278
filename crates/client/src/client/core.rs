//! What a client knows and decides. It reads and writes the profile, and leaves frames in `out` and events in `events`;
//! the network, the clocks and the waiting are the driver's.

use std::collections::{HashMap, HashSet, VecDeque};

use sealwire_e2ee::{SafetyNumber, WrapKey};
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{Delivered, ErrorFrame, HeartbeatAnswer, ServerFrame, Session, Status, StatusFrame};
use sealwire_protocol::ids::{DeviceId, MessageId, Username};
use tokio::sync::watch;

use super::{Alarm, Command, Event, Pending, Progress, Reply, rotating};
use crate::clock::Correction;
use crate::display::Display;
use crate::error::Error;
use crate::lookups::Lookups;
use crate::mending::Mending;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::pins::{Person, PinError};
use crate::presence::Presence;
use crate::profile::{Account, Content, DeviceKeys, Profile, Received};
use crate::requests::{Requests, answered_id};
use crate::rotation::Rotation;
use crate::server::Server;
use crate::transient::{Heard, Typing};

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Now {
    /// Milliseconds of a clock that never goes back.
    pub(super) ticks: u64,
    /// Milliseconds since 1970, as this machine believes.
    pub(super) wall: u64,
}

/// Events that wait for their reader before the server is read no further.
const EVENTS_WAITING: usize = 1_024;

/// Messages that are about to be stored, and who waits for that.
pub(super) struct ToEnqueue {
    pub(super) messages: Vec<(Username, MessageId, Content)>,
    pub(super) reply: Reply<Vec<Pending>>,
}

/// Who sent a request.
pub(super) enum Asker {
    /// Whoever holds the handle.
    Program(Reply<ServerFrame>),
    /// This client, that has told whether presence is shared.
    Share(bool),
}

pub(super) struct Core {
    pub(super) profile: Profile,
    pub(super) server: Server,
    pub(super) account: Account,
    pub(super) keys: DeviceKeys,
    /// All wrap keys that this device still holds: mail may be sealed to an old one.
    pub(super) wrap_keys: Vec<WrapKey>,
    pub(super) rotation: Rotation,
    pub(super) mending: Mending,
    /// A key is to be made, for the certificate with this number.
    pub(super) key_to_make: Option<u64>,
    pub(super) now: Now,
    pub(super) correction: Correction,
    /// Frames to send.
    pub(super) out: VecDeque<String>,
    pub(super) events: VecDeque<Event>,
    pub(super) listening: bool,
    pub(super) online: bool,

    pub(super) outbox: Outbox,
    pub(super) pace: Pace,
    pub(super) to_enqueue: Vec<ToEnqueue>,
    pub(super) waiters: HashMap<MessageId, watch::Sender<Progress>>,

    pub(super) people: HashMap<Username, Person>,
    pub(super) refused_keys: HashMap<Username, PinError>,
    /// Names that show another identity key, and whose next look-up begins with their first manifest.
    pub(super) ask_from_start: HashSet<Username>,
    pub(super) lookups: Lookups,
    pub(super) safety: Vec<(Username, Reply<SafetyNumber>)>,
    pub(super) requests: Requests<Asker>,
    /// Beliefs that are unknown here, until the look-up that decides: who believes, of whom, what.
    pub(super) beliefs: Vec<(Username, Username, [u8; 32])>,

    /// The `seq` of this connection's next message.
    next_seq: u64,
    pub(super) inbox: Vec<Delivered>,
    pub(super) deferred: Vec<(i64, Delivered)>,
    /// Of each sender, device and conversation.
    pub(super) displays: HashMap<(Username, DeviceId, Username), Display<(i64, Received)>>,
    pub(super) shown: Vec<i64>,
    pub(super) warned_of_old_keys: HashSet<(Username, DeviceId)>,
    /// The clock was said to be wrong; nothing is sealed before the server has told its time.
    pub(super) awaits_time: bool,
    pub(super) presence: Presence,
    pub(super) typing: Typing,
    pub(super) heard: Heard,
}

impl Core {
    pub(super) fn new(profile: Profile, server: Server) -> Result<Self, Error> {
        let (account, keys) = (profile.account()?, profile.keys()?);
        let (wrap_keys, rotation) = rotating::load(&profile)?;
        let mut outbox = Outbox::default();
        for (to, id, sealed, replaced) in profile.outbox()? {
            outbox.push(&to, id, sealed, replaced);
        }
        let (deferred, unshown) = (profile.deferred()?, profile.unshown()?);
        let mut core = Self {
            profile,
            server,
            account,
            keys,
            wrap_keys,
            rotation,
            mending: Mending::default(),
            key_to_make: None,
            now: Now::default(),
            correction: Correction::default(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            listening: true,
            online: false,
            outbox,
            pace: Pace::default(),
            to_enqueue: Vec::new(),
            waiters: HashMap::new(),
            people: HashMap::new(),
            refused_keys: HashMap::new(),
            ask_from_start: HashSet::new(),
            lookups: Lookups::default(),
            safety: Vec::new(),
            requests: Requests::default(),
            beliefs: Vec::new(),
            next_seq: 1,
            inbox: Vec::new(),
            deferred,
            displays: HashMap::new(),
            shown: Vec::new(),
            warned_of_old_keys: HashSet::new(),
            awaits_time: false,
            presence: Presence::default(),
            typing: Typing::default(),
            heard: Heard::default(),
        };
        core.load_refusals()?;
        for (position, received) in unshown {
            core.display(position, received)?;
        }
        Ok(core)
    }

    /// The time by the server's clock.
    pub(super) fn time(&self) -> u64 {
        self.correction.now(self.now.wall)
    }

    /// Whether more may be read from the server: events wait in bounded number.
    pub(super) fn has_room(&self) -> bool {
        self.events.len() < EVENTS_WAITING
    }

    pub(super) fn tell(&mut self, event: Event) {
        if self.listening {
            self.events.push_back(event);
        }
    }

    pub(super) fn alarm(&mut self, alarm: Alarm) {
        tracing::warn!(%alarm, "security");
        self.tell(Event::Alarm(alarm));
    }

    /// Nobody reads the events any more.
    pub(super) fn nobody_listens(&mut self) {
        self.listening = false;
        self.events.clear();
        self.displays.clear();
    }

    /// A log-in went well: this begins a session, or prolongs it.
    ///
    /// # Errors
    /// [`Error::Profile`].
    pub(super) fn session(&mut self, session: &Session) -> Result<(), Error> {
        self.pace.set_limits(&session.limits);
        if !self.online {
            self.online = true;
            let me = self.account.username.clone();
            self.lookups.want(&me);
            // What is refused may have been a mistake of the server's that was mended.
            for name in self.refused_keys.keys() {
                self.lookups.want(name);
            }
            for sender in self.deferred.iter().map(|(_, frame)| &frame.from) {
                self.lookups.want(sender);
            }
            self.tell_share()?;
            self.tell(Event::Online);
        }
        Ok(())
    }

    pub(super) fn disconnected(&mut self) {
        self.online = false;
        self.outbox.disconnected(self.now.ticks);
        self.lookups.disconnected(self.now.ticks);
        self.rotation.disconnected();
        self.mending = Mending::default();
        self.presence.disconnected();
        // The next challenge tells the time.
        self.awaits_time = false;
        for asker in self.requests.disconnected() {
            let lost = "the connection was lost before the server answered; ask again to find out what it has done";
            if let Asker::Program(reply) = asker {
                // Whoever asked may have gone.
                drop(reply.send(Err(Error::Connect(lost.to_owned()))));
            }
        }
        self.out.clear();
        self.inbox.clear();
        self.next_seq = 1;
    }

    /// A frame of a running session. Messages are collected for [`Self::take_inbox`].
    pub(super) fn frame(&mut self, frame: ServerFrame) -> Result<(), Error> {
        if let Some(asker) = answered_id(&frame).and_then(|id| self.requests.answered(id)) {
            return self.request_answered(frame, asker);
        }
        match frame {
            ServerFrame::Message(message) => self.message(*message)?,
            ServerFrame::Status(status) => self.status(&status)?,
            ServerFrame::Error(error) => self.error(&error)?,
            ServerFrame::Keys(keys) => self.keys_answered(&keys)?,
            ServerFrame::Heartbeat(answer) => self.heartbeat_answered(&answer),
            ServerFrame::Queue(queue) => {
                if let Some(missed) = queue.missed.filter(|missed| *missed > 0) {
                    self.tell(Event::MailboxOverflow(missed));
                }
                self.mailbox_empty()?;
            }
            ServerFrame::Session(session) => self.session(&session)?,
            ServerFrame::Signal(signal) => self.signal(&signal)?,
            ServerFrame::Presence(presence) => self.presence_told(&presence),
            ServerFrame::Devices(done) => self.link_taken(done.id.as_deref())?,
            ServerFrame::Rotate(done) => self.key_accepted(done.id.as_deref())?,
            _ => {}
        }
        Ok(())
    }

    fn request_answered(&mut self, frame: ServerFrame, asker: Asker) -> Result<(), Error> {
        let reply = match asker {
            Asker::Program(reply) => reply,
            Asker::Share(share) if matches!(frame, ServerFrame::Presence(_)) => return self.share_confirmed(share),
            Asker::Share(_) => return Ok(()),
        };
        let answer = match frame {
            ServerFrame::Error(error) => Err(Error::Refused { code: error.code, message: error.message }),
            frame => {
                if let ServerFrame::Devices(_) = frame {
                    // One's own list of devices is another one now.
                    let me = self.account.username.clone();
                    self.lookups.want(&me);
                }
                Ok(frame)
            }
        };
        // Whoever asked may have gone.
        drop(reply.send(answer));
        Ok(())
    }

    /// `seq` counts the messages of a connection from 1: an acknowledgement must not cover one that never came.
    fn message(&mut self, message: Delivered) -> Result<(), Error> {
        if message.seq != self.next_seq {
            return Err(Error::Connect("the server skipped a message".to_owned()));
        }
        self.next_seq += 1;
        self.inbox.push(message);
        Ok(())
    }

    fn heartbeat_answered(&mut self, answer: &HeartbeatAnswer) {
        self.correction.observe(answer.server_time, self.now.wall);
        self.awaits_time = false;
    }

    fn status(&mut self, frame: &StatusFrame) -> Result<(), Error> {
        for id in &self.profile.settle(&frame.message_ids, frame.status)? {
            self.outbox.settle(id);
            self.report(id, Progress::Reached(frame.status));
            self.tell(Event::Status { message_id: *id, status: frame.status });
        }
        Ok(())
    }

    /// Tells whoever waits for a message how far it is.
    pub(super) fn report(&mut self, id: &MessageId, progress: Progress) {
        let last = matches!(progress, Progress::Failed(_) | Progress::Reached(Status::Delivered | Status::Expired));
        if let Some(waiter) = self.waiters.get(id)
            && (waiter.send(progress).is_err() || last)
        {
            self.waiters.remove(id);
        }
    }

    fn error(&mut self, error: &ErrorFrame) -> Result<(), Error> {
        if let Some(name) = error.id.as_ref().and_then(|id| self.lookups.answered(id)) {
            return self.lookup_refused(&name, error);
        }
        if self.key_refused(error) || self.link_refused(error)? {
            return Ok(());
        }
        let by_id = || error.id.as_ref().and_then(|id| id.parse().ok());
        if let Some(id) = error.message_id.or_else(by_id) {
            return self.message_refused(&id, error);
        }
        match error.code {
            ErrorCode::AuthFailed | ErrorCode::Banned => {
                Err(Error::Refused { code: error.code, message: error.message.clone() })
            }
            code => {
                tracing::warn!(%code, "the server refused a frame");
                Ok(())
            }
        }
    }

    /// Takes a command in; [`Self::pump`] acts on it. Stopping is the driver's.
    ///
    /// # Errors
    /// [`Error::Profile`], where nobody waits for an answer that could carry it.
    pub(super) fn command(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Send { to, reply, .. } if self.profile.contact(&to)?.blocked => {
                // Whoever asked may have gone.
                drop(reply.send(Err(Error::Blocked(to))));
            }
            Command::Send { to, bodies, reply } => {
                let messages =
                    bodies.into_iter().map(|body| (to.clone(), self.new_message_id(), Content::Content(body)));
                let messages: Vec<_> = messages.collect();
                self.to_enqueue.push(ToEnqueue { messages, reply });
            }
            Command::Safety { name, reply } => {
                if !self.lookups.is_fresh(&name) {
                    self.lookups.want(&name);
                }
                self.safety.push((name, reply));
            }
            Command::Shown(position) => self.shown.push(position),
            Command::Profile(run) => run(&mut self.profile),
            Command::Request { request, reply } => {
                if let Err(Asker::Program(reply)) = self.requests.push(request, Asker::Program(reply)) {
                    let many = "too many requests wait for a connection";
                    // Whoever asked may have gone.
                    drop(reply.send(Err(Error::Connect(many.to_owned()))));
                }
            }
            // Whoever asked may have gone, here and below.
            Command::SharePresence { share, reply } => drop(reply.send(self.share_presence(share))),
            Command::AcceptIdentity { name, reply } => drop(reply.send(self.accept_identity(&name))),
            Command::Block { name, blocked, reply } => drop(reply.send(self.block(&name, blocked))),
            Command::Typing(to) => self.tell_typing(&to)?,
            Command::Watch(names) => self.presence.watch(names),
            Command::Stop(_) => {}
        }
        Ok(())
    }

    /// Does all that can be done now.
    pub(super) fn pump(&mut self) -> Result<(), Error> {
        self.store_shown()?;
        self.enqueue()?;
        self.show()?;
        if self.online {
            self.want_keys_of_deferred();
            self.answer_safety();
            self.rotate()?;
            self.seal()?;
            self.ask_for_keys()?;
            self.out.extend(std::iter::from_fn(|| self.requests.next_frame()));
            self.subscribe();
            self.send()?;
        }
        Ok(())
    }

    fn store_shown(&mut self) -> Result<(), Error> {
        if !self.shown.is_empty() {
            self.profile.mark_shown(&self.shown)?;
            self.shown.clear();
        }
        Ok(())
    }

    /// When [`Self::pump`] may have more to do by the passing of time alone.
    pub(super) fn wake_at(&self) -> Option<u64> {
        let now = self.now.ticks;
        let pace = Some(self.pace.next_at()).filter(|at| *at > now && !self.outbox.is_empty());
        let displays = self.displays.values().filter_map(Display::wake_at).min();
        let lookups = self.lookups.wake_at().filter(|at| *at > now);
        let online = [self.outbox.wake_at(now), pace, lookups, self.deferred_wake_at(), self.rotation_wake_at()];
        let online = online.into_iter().flatten().filter(|_| self.online).min();
        [displays, online].into_iter().flatten().min()
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
