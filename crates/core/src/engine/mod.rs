//! The state machine of a client: frames, commands, the outcomes of private-key operations and time go in, effects and
//! events come out. It owns the [`Storage`] and does nothing else to the world.
//!
//! Whoever drives it calls [`Core::connected`], [`Core::frame`], [`Core::command`], [`Core::ran`] and [`Core::disconnected`] as
//! these things happen, then [`Core::pump`], then carries out what [`Core::next_effect`] and [`Core::next_event`] give, and
//! comes back at [`Core::wake_at`] at the latest. An error of one of them means that **this connection is to be given up**: for
//! now, where [`Error::is_passing`]; else the client is at its end.
//!
//! Private keys are elsewhere: [`Effect::Run`] asks for what needs one. At most one batch of opening and one of sealing is
//! under way; frames that come meanwhile wait in an inbox of bounded size, and nothing is acknowledged before it is stored.

mod connection;
mod decisions;
mod effects;
mod events;
mod keys;
mod mending;
mod receiving;
mod rotating;
mod sending;
mod transient;

use std::collections::{HashMap, HashSet, VecDeque};

use rand_core::CryptoRng;
use sealwire_e2ee::certificate::UnsignedWrapCert;
use sealwire_e2ee::provider::RsaJob;
use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::{
    Challenge, Delivered, ErrorFrame, HeartbeatAnswer, Request, ServerFrame, Session, StatusFrame,
};
use sealwire_protocol::ids::{DeviceId, Kid, MessageId, Username};
use sealwire_protocol::spki::Spki;

use crate::clock::Correction;
use crate::display::Display;
use crate::error::Error;
use crate::handshake::check_session;
use crate::lookups::Lookups;
use crate::mending::Mending;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::passing::{Heard, Typing};
use crate::pins::{Person, PinError};
use crate::presence::Presence;
use crate::requests::{Requests, answered_id};
use crate::rotation::Rotation;
use crate::storage::{Account, Received, Storage};
use connection::Line;
use receiving::{Opening, Passing};
use sending::Sealing;

pub use effects::{Answer, Batch, Command, Effect, Now, Outcomes, Progress, Ticket};
pub use events::{Alarm, Event, Message};
pub use transient::SHARES_PRESENCE;

/// Events that wait for their reader before the server is read no further.
const EVENTS_WAITING: usize = 1_024;
/// Envelopes that wait to be opened before the server is read no further; and their bytes.
const INBOX: usize = 256;
const INBOX_BYTES: usize = 4 * 1024 * 1024;
/// While nothing is taken out of it, the inbox holds so much more: what an honest server hands out before it waits for an
/// acknowledgement, so that the answers behind it are heard.
const HELD_INBOX: usize = 4;
/// Envelopes that wait for the keys of their senders before none is taken out of the inbox any more; and their bytes. As many
/// may wait because they are dated ahead.
const DEFERRED: usize = 1_024;
const DEFERRED_BYTES: usize = 16 * 1024 * 1024;
/// Beliefs that wait for keys before no envelope is taken out of the inbox any more.
const BELIEFS: usize = 1_024;

/// Who sent a request.
#[derive(Debug)]
enum Asker {
    /// Whoever gave the command.
    Program(Ticket),
    /// The core, that has told whether presence is shared.
    Share(bool),
}

/// What waits for the outcome of private-key operations.
#[derive(Debug)]
enum Work {
    /// An answer to a challenge of the connection with this number.
    Auth {
        line: u64,
        nonce: [u8; 32],
    },
    Open(Opening),
    Seal(Vec<Sealing>),
    /// A signal that came.
    Hear(Box<Passing>),
    /// A wrap key is being made, for the certificate with this number.
    Make {
        seq: u64,
    },
    /// The certificate of a new wrap key.
    Certify(Box<UnsignedWrapCert>),
    /// A signal to send on the connection with this number.
    Tell {
        line: u64,
        unsigned: Box<sealwire_e2ee::Unsigned>,
    },
}

/// A client's logic, over what it keeps.
#[derive(Debug)]
pub struct Core<S> {
    storage: S,
    origin: String,
    account: Account,
    /// The public half of this device's signing key.
    dsk: Spki,
    /// All wrap keys that this device still holds: mail may be sealed to an old one.
    wrap_kids: HashSet<Kid>,
    rotation: Rotation,
    mending: Mending,
    /// `queue` has come on this connection, and what came before it may not be stored yet.
    queue_came: bool,
    now: Now,
    correction: Correction,
    effects: VecDeque<Effect>,
    events: VecDeque<Event>,
    listening: bool,

    line: Option<Line>,
    /// Counts the connections: what began on one must not be said on the next.
    lines: u64,
    online: bool,
    challenge: Option<Challenge>,
    works: HashMap<u64, Work>,
    batches: u64,

    outbox: Outbox,
    pace: Pace,
    to_enqueue: Vec<(Ticket, Username, Vec<Vec<u8>>)>,
    sealing: bool,
    refused: Vec<(MessageId, Box<ErrorFrame>)>,
    /// The clock was said to be wrong; nothing is sealed before the server has told its time.
    awaits_time: bool,
    requests: Requests<Asker>,

    people: HashMap<Username, Person>,
    refused_keys: HashMap<Username, PinError>,
    /// Names that show another identity key, and whose next look-up begins with their first manifest.
    ask_from_start: HashSet<Username>,
    lookups: Lookups,
    safety: Vec<(Username, Ticket)>,
    /// Beliefs that are unknown here, until the look-up that decides: who believes, of whom, what.
    beliefs: Vec<(Username, Username, [u8; 32])>,
    warned_of_old_keys: HashSet<(Username, DeviceId)>,

    /// What came, and on which connection.
    inbox: VecDeque<(u64, Delivered)>,
    inbox_bytes: usize,
    opening: bool,
    deferred: Vec<(i64, Delivered)>,
    /// Names whose keys are as fresh as can be, and whose envelopes are decided on now.
    to_retry: VecDeque<Username>,
    /// Of each sender, device and conversation.
    displays: HashMap<(Username, DeviceId, Username), Display<(i64, Received)>>,
    shown: Vec<i64>,

    presence: Presence,
    typing: Typing,
    typing_to: Vec<Username>,
    heard: Heard,
}

impl<S: Storage> Core<S> {
    /// On what a device keeps that is registered. `origin` is that of the server which is dialled, as challenges must name
    /// it (protocol section 3).
    ///
    /// # Errors
    /// [`Error::Profile`].
    pub fn new(storage: S, origin: String) -> Result<Self, Error> {
        let (account, dsk) = (storage.account()?, storage.signing_key()?);
        let wrap_keys = storage.wrap_keys()?;
        let (wrap_kids, rotation) = (wrap_keys.iter().map(|key| key.kid).collect(), rotating::rotation_of(&wrap_keys));
        let mut outbox = Outbox::default();
        for (to, id, sealed, replaced) in storage.outbox()? {
            outbox.push(&to, id, sealed, replaced);
        }
        let (deferred, unshown) = (storage.deferred()?, storage.unshown()?);
        let mut core = Self {
            storage,
            origin,
            account,
            dsk,
            wrap_kids,
            rotation,
            mending: Mending::default(),
            queue_came: false,
            now: Now::default(),
            correction: Correction::default(),
            effects: VecDeque::new(),
            events: VecDeque::new(),
            listening: true,
            line: None,
            lines: 0,
            online: false,
            challenge: None,
            works: HashMap::new(),
            batches: 0,
            outbox,
            pace: Pace::default(),
            to_enqueue: Vec::new(),
            sealing: false,
            refused: Vec::new(),
            awaits_time: false,
            requests: Requests::default(),
            people: HashMap::new(),
            refused_keys: HashMap::new(),
            ask_from_start: HashSet::new(),
            lookups: Lookups::default(),
            safety: Vec::new(),
            beliefs: Vec::new(),
            warned_of_old_keys: HashSet::new(),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            opening: false,
            deferred,
            to_retry: VecDeque::new(),
            displays: HashMap::new(),
            shown: Vec::new(),
            presence: Presence::default(),
            typing: Typing::default(),
            typing_to: Vec::new(),
            heard: Heard::default(),
        };
        core.load_refusals()?;
        for (position, received) in unshown {
            core.display(position, received)?;
        }
        Ok(core)
    }

    /// What it keeps, for what a program reads and decides. What is sent, and whose keys are believed, is changed by
    /// [`Command`]s only: the core does not look there again.
    pub fn storage(&mut self) -> &mut S {
        &mut self.storage
    }

    /// Whether it is logged in.
    pub fn is_online(&self) -> bool {
        self.online
    }

    /// Whether more may be read from the server: what waits is bounded.
    pub fn has_room(&self) -> bool {
        self.events.len() < EVENTS_WAITING && !self.inbox_is_full()
    }

    fn inbox_is_full(&self) -> bool {
        let times = if self.takes_more() { 1 } else { HELD_INBOX };
        self.inbox.len() >= times * INBOX || self.inbox_bytes >= times * INBOX_BYTES
    }

    /// Whether anybody reads the events.
    pub fn is_listened_to(&self) -> bool {
        self.listening
    }

    /// Nobody reads the events any more: messages are kept for the next time.
    pub fn nobody_listens(&mut self) {
        self.listening = false;
        self.events.clear();
        self.displays.clear();
    }

    /// The next thing to be done.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next event to be told.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The events that wait to be told.
    pub fn events(&self) -> impl ExactSizeIterator<Item = &Event> {
        self.events.iter()
    }

    /// Tells an event behind those that wait, if anybody listens.
    pub fn tell(&mut self, event: Event) {
        if self.listening {
            self.events.push_back(event);
        }
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.tell(Event::Alarm(alarm));
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<Answer, Error>) {
        self.effects.push_back(Effect::Answer(ticket, answer));
    }

    /// Tells whoever waits for a message how far it is.
    fn report(&mut self, id: &MessageId, progress: Progress) {
        self.effects.push_back(Effect::Progress(*id, progress));
    }

    fn run(&mut self, work: Work, jobs: Vec<RsaJob>) {
        self.batches += 1;
        self.works.insert(self.batches, work);
        self.effects.push_back(Effect::Run(Batch { id: self.batches, jobs }));
    }

    /// The time by the server's clock.
    fn time(&self) -> u64 {
        self.correction.now(self.now.wall)
    }

    /// Takes a command in; [`Self::pump`] acts on it.
    ///
    /// # Errors
    /// [`Error::Profile`], where nobody waits for an answer that could carry it.
    pub fn command(&mut self, now: Now, ticket: Ticket, command: Command) -> Result<(), Error> {
        self.now = now;
        match command {
            Command::Send { to, bodies } => {
                if self.storage.contact(&to)?.blocked {
                    self.answer(ticket, Err(Error::Blocked(to)));
                } else {
                    self.to_enqueue.push((ticket, to, bodies));
                }
            }
            Command::Safety(name) => {
                if !self.lookups.is_fresh(&name) {
                    self.lookups.want(&name);
                }
                self.safety.push((name, ticket));
            }
            Command::Shown(position) => self.shown.push(position),
            Command::Request(request) => self.request(ticket, request),
            Command::Typing(to) if self.typing_to.contains(&to) => {}
            Command::Typing(to) => self.typing_to.push(to),
            Command::Watch(names) => self.presence.watch(names),
            Command::SharePresence(share) => {
                let done = self.share_presence(share);
                self.answer(ticket, done.map(|()| Answer::Done));
            }
            Command::AcceptIdentity(name) => {
                let done = self.accept_identity(&name);
                self.answer(ticket, done.map(|()| Answer::Done));
            }
            Command::Block { name, blocked } => {
                let done = self.block(&name, blocked);
                self.answer(ticket, done.map(|()| Answer::Done));
            }
        }
        Ok(())
    }

    fn request(&mut self, ticket: Ticket, request: Request<'static>) {
        if self.requests.push(request, Asker::Program(ticket)).is_err() {
            let many = "too many requests wait for a connection";
            self.answer(ticket, Err(Error::Connect(many.to_owned())));
        }
    }

    /// Takes what the jobs of a batch gave; [`Self::pump`] goes on from there.
    ///
    /// # Errors
    /// [`Error::Profile`]; [`Error::Connect`] when the private keys cannot be used now: what came on this connection will come
    /// again on the next.
    pub fn ran(&mut self, now: Now, batch: u64, outcomes: Outcomes) -> Result<(), Error> {
        self.now = now;
        match self.works.remove(&batch) {
            Some(Work::Auth { line, nonce }) => self.auth_signed(line, nonce, outcomes),
            Some(Work::Open(opening)) => self.opened(opening, outcomes),
            Some(Work::Seal(sealing)) => self.signed(sealing, outcomes),
            Some(Work::Make { seq }) => {
                self.key_made(seq, outcomes);
                Ok(())
            }
            Some(Work::Certify(unsigned)) => self.key_certified(*unsigned, outcomes),
            Some(Work::Hear(passing)) => {
                self.heard(*passing, outcomes);
                Ok(())
            }
            Some(Work::Tell { line, unsigned }) => {
                self.told(line, *unsigned, outcomes);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A frame of a running session. Messages are collected for [`Self::open_next`].
    fn take(&mut self, frame: ServerFrame) -> Result<(), Error> {
        if let Some(asker) = answered_id(&frame).and_then(|id| self.requests.answered(id)) {
            return self.request_answered(frame, asker);
        }
        match frame {
            ServerFrame::Challenge(challenge) => self.challenged(challenge)?,
            ServerFrame::Message(message) => self.message(*message)?,
            ServerFrame::Status(status) => self.status(&status)?,
            ServerFrame::Error(error) => self.error(error)?,
            ServerFrame::Keys(keys) => self.keys_answered(&keys)?,
            ServerFrame::Heartbeat(answer) => self.heartbeat_answered(&answer),
            ServerFrame::Queue(queue) => {
                if let Some(missed) = queue.missed.filter(|missed| *missed > 0) {
                    self.tell(Event::MailboxOverflow(missed));
                }
                self.queue_came = true;
            }
            ServerFrame::Session(session) => self.session(&session)?,
            ServerFrame::Signal(signal) => self.signal(&signal)?,
            ServerFrame::Presence(presence) => self.presence_told(&presence),
            ServerFrame::Devices(done) => self.link_taken(done.id.as_deref())?,
            ServerFrame::Rotate(done) => self.key_accepted(done.id.as_deref())?,
            ServerFrame::Reconnect(reconnect) => self.asked_to_come_back(reconnect.after_ms),
            _ => {}
        }
        Ok(())
    }

    /// A log-in went well: this begins a session, or prolongs it.
    fn session(&mut self, session: &Session) -> Result<(), Error> {
        check_session(session, &self.account.username, &self.account.device)?;
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

    fn request_answered(&mut self, frame: ServerFrame, asker: Asker) -> Result<(), Error> {
        let ticket = match asker {
            Asker::Program(ticket) => ticket,
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
                Ok(Answer::Frame(Box::new(frame)))
            }
        };
        self.answer(ticket, answer);
        Ok(())
    }

    fn heartbeat_answered(&mut self, answer: &HeartbeatAnswer) {
        self.correction.observe(answer.server_time, self.now.wall);
        self.awaits_time = false;
    }

    fn status(&mut self, frame: &StatusFrame) -> Result<(), Error> {
        for id in &self.storage.settle(&frame.message_ids, frame.status)? {
            self.outbox.settle(id);
            self.report(id, Progress::Reached(frame.status));
            self.tell(Event::Status { message_id: *id, status: frame.status });
        }
        Ok(())
    }

    fn error(&mut self, error: Box<ErrorFrame>) -> Result<(), Error> {
        if let Some(name) = error.id.as_ref().and_then(|id| self.lookups.answered(id)) {
            return self.lookup_refused(&name, &error);
        }
        if self.key_refused(&error) || self.link_refused(&error)? {
            return Ok(());
        }
        let by_id = || error.id.as_ref().and_then(|id| id.parse().ok());
        if let Some(id) = error.message_id.or_else(by_id) {
            self.refused.push((id, error));
            return Ok(());
        }
        match error.code {
            ErrorCode::AuthFailed | ErrorCode::Banned => {
                Err(Error::Refused { code: error.code, message: error.message }.at_log_in())
            }
            // Of something that is nobody's: it goes on without.
            _ => Ok(()),
        }
    }

    /// Does all that can be done now.
    ///
    /// # Errors
    /// [`Error::Connect`] when the server is silent for too long; [`Error::Profile`].
    pub fn pump(&mut self, now: Now, rng: &mut dyn CryptoRng) -> Result<(), Error> {
        self.now = now;
        self.keep_line()?;
        self.answer_challenge(rng)?;
        self.store_shown()?;
        self.take_refusals(rng)?;
        self.enqueue(rng)?;
        self.open_next()?;
        self.count_queue();
        self.show()?;
        if self.online {
            self.want_keys_of_deferred();
            self.answer_safety();
            self.rotate()?;
            self.seal(rng)?;
            self.ask_for_keys()?;
            while let Some(frame) = self.requests.next_frame() {
                self.say(frame);
            }
            self.subscribe();
            self.send()?;
            self.tell_typing(rng)?;
        }
        self.typing_to.clear();
        Ok(())
    }

    fn store_shown(&mut self) -> Result<(), Error> {
        if !self.shown.is_empty() {
            self.storage.mark_shown(&self.shown)?;
            self.shown.clear();
        }
        Ok(())
    }

    /// When [`Self::pump`] may have more to do by the passing of time alone, by the clock that never goes back.
    pub fn wake_at(&self) -> Option<u64> {
        let now = self.now.ticks;
        let pace = Some(self.pace.next_at()).filter(|at| *at > now && !self.outbox.is_empty());
        let displays = self.displays.values().filter_map(Display::wake_at).min();
        let lookups = self.lookups.wake_at().filter(|at| *at > now);
        let online = [self.outbox.wake_at(now), pace, lookups, self.deferred_wake_at(), self.rotation_wake_at()];
        let online = online.into_iter().flatten().filter(|_| self.online).min();
        [displays, online, self.line_wake_at()].into_iter().flatten().min()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
