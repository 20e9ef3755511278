//! A session: one actor per connection.
//!
//! The parts decide and know neither actors nor sockets: [`state`] where the connection stands, [`greeting`] and [`login`]
//! who it is, [`admission`] and [`sending`] what it sends, [`receiving`] what it is given. This file moves frames and
//! runs effects.

pub(crate) mod admission;
mod devices;
mod ending;
mod framing;
mod greeting;
mod inbox;
mod login;
mod lookup;
mod messaging;
pub(crate) mod rates;
mod receiving;
mod recents;
mod recovery;
mod remembered;
pub(crate) mod rendezvous;
mod requests;
mod sending;
mod sharing;
mod signals;
mod socket;
mod state;
mod statuses;
#[cfg(feature = "counted")]
pub mod steps;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod simulation_of_nodes;

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::{ActorContext, ActorFutureExt, AsyncContext, SpawnHandle, WrapFuture};
use bytestring::ByteString;
use sealwire_protocol::frames::{Delivery, ErrorFrame, Queue, Reconnect, ServerFrame};
use sealwire_protocol::{CloseCode, DeviceId, ErrorCode};
use sealwire_store::{Front, News, Removal, StoreError};
use smallvec::smallvec;

use self::greeting::{Channel, Greeting};
pub(crate) use self::inbox::{Event, Inbox, Load, Offer, Parcel, Replies, Reply, Signal, Verdict};
use self::receiving::Effect;
pub(crate) use self::recents::conflicts;
pub(crate) use self::recovery::{Attempts, BACKUP_LIFE};
pub(crate) use self::sending::Finished;
pub(crate) use self::sharing::settle;
use self::socket::{Incoming, SessionContext, Socket};
pub(crate) use self::socket::{Upgraded, start};
use self::state::{Authenticated, Conduct, Stage};
use crate::clock::{Now, millis};
use crate::metrics::{Limit, Stored};
use crate::node::Node;
use crate::quota::Counted;
use crate::settings::Timing;
use crate::spool::{Append, Remove};

/// How long a connection that was closed from here may take to close from there.
const CLOSING: Duration = Duration::from_secs(2);
/// How long to leave a store alone that did not answer.
const READ_AGAIN: Duration = Duration::from_millis(500);
/// How many bytes beyond the window may wait for a peer that does not read.
const BACKLOG: usize = 4 * 1024 * 1024;
/// How many frames wait for an answer that is being looked up, before the socket is left alone.
const WAITING_FRAMES: usize = 64;
/// The same in bytes.
const WAITING_BYTES: usize = 1024 * 1024;
/// How many expired messages a device is told of at its log-in; of more at the next one.
const NOTICES: usize = 1_000;

/// A place in one of the node's counts, given back when dropped.
pub(crate) struct Place(Arc<Node>, fn(&Node) -> &AtomicUsize);

impl Place {
    /// Takes a place.
    pub(crate) fn take(node: &Arc<Node>, count: fn(&Node) -> &AtomicUsize) -> Self {
        count(node).fetch_add(1, Ordering::Relaxed);
        Self(node.clone(), count)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's actor.
pub(crate) struct Session {
    node: Arc<Node>,
    inbox: Arc<Inbox>,
    channel: Channel,
    /// Where it comes from, as the edge has found.
    address: IpAddr,
    stage: Stage,
    socket: Socket,
    /// Until the actor starts.
    incoming: Option<Box<Incoming>>,
    conduct: Conduct,
    /// Frames that wait for an answer that is being looked up, in order.
    waiting: VecDeque<ByteString>,
    waiting_bytes: usize,
    looking_up: bool,
    /// While what came from the peer or the inbox is handled: one reading of the clocks serves the whole turn.
    turn_began: Cell<Option<Now>>,
    opened: u64,
    last_heard: u64,
    closed_at: Option<u64>,
    /// The device was removed from its account.
    revoked: bool,
    alarm: Option<(u64, SpawnHandle)>,
    /// Statuses that wait will be looked after.
    status_alarm: bool,
    /// Dropped at the log-in.
    greeting_place: Option<Place>,
}

impl Session {
    /// A connection that has just been made.
    pub(crate) fn new(node: Arc<Node>, origin: String, address: IpAddr, socket: Socket) -> Self {
        let now = node.clock.now();
        let limits = &node.settings.limits;
        Self {
            inbox: Inbox::new(),
            channel: Channel { origin, id: crate::random() },
            address,
            stage: Stage::Greeting(Greeting::new(limits.greeting_frames, node.settings.timing.greeting).into()),
            socket,
            incoming: None,
            conduct: Conduct::new(&node.settings),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            looking_up: false,
            turn_began: Cell::new(None),
            opened: now.mono,
            last_heard: now.mono,
            closed_at: None,
            revoked: false,
            alarm: None,
            status_alarm: false,
            greeting_place: Some(Place::take(&node, |node| &node.greeting)),
            node,
        }
    }

    /// The time at which the turn began, if one is under way.
    fn now(&self) -> Now {
        self.turn_began.get().unwrap_or_else(|| self.node.clock.now())
    }

    /// The server speaks first.
    fn begin(&mut self, ctx: &mut SessionContext) {
        self.fresh_challenge(None);
        self.end_turn(ctx);
    }

    fn heard(&mut self) {
        self.last_heard = self.now().mono;
    }

    fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing)
    }

    fn authenticated(&mut self) -> Option<&mut Authenticated> {
        match &mut self.stage {
            Stage::Authenticated(session) => Some(session),
            Stage::Greeting(_) | Stage::Closing => None,
        }
    }

    /// Sends a frame, unless the connection has been closed: nothing follows a close frame (RFC 6455, section 5.5.1).
    fn send(&self, frame: &ServerFrame) {
        if !self.is_closing() {
            if let ServerFrame::Error(error) = frame {
                self.node.counts.errors.add(error.code);
            }
            self.write(&[frame.to_json().as_bytes()]);
        }
    }

    /// Writes a frame, whose parts follow one another, whatever the stage.
    fn write(&self, parts: &[&[u8]]) {
        self.node.counts.frames_sent.add_one();
        self.node.counts.bytes_sent.add(parts.iter().map(|part| part.len() as u64).sum());
        self.socket.text(parts);
    }

    /// Refuses a request. A connection that has not logged in is given a fresh challenge with it.
    fn refuse(&mut self, error: ErrorFrame) {
        let code = error.code;
        let now = self.now();
        let enough = match code {
            ErrorCode::BadRequest => self.conduct.bad_frame(now) == state::Verdict::Enough,
            _ => false,
        };
        self.send(&ServerFrame::Error(Box::new(error)));
        if enough {
            return self.close(CloseCode::Protocol);
        }
        if matches!(self.stage, Stage::Greeting(_)) {
            self.fresh_challenge(None);
        }
    }

    /// Refuses a request for its number; the third time within a minute ends the connection.
    fn rate_limited(&mut self, error: ErrorFrame, after: u64, limit: Limit) {
        self.node.counts.limits.add(limit);
        let error = ErrorFrame { code: ErrorCode::RateLimited, retry_after_ms: Some(after), ..error };
        self.send(&ServerFrame::Error(Box::new(error)));
        let now = self.now();
        if self.conduct.refused(now) == state::Verdict::Enough {
            self.close(CloseCode::Rate);
        }
    }

    /// Refuses a request as it says, for its number or for something else. Before the log-in the one is like the other.
    fn turn_down(&mut self, error: ErrorFrame) {
        let counts = error.code == ErrorCode::RateLimited && self.authenticated().is_some();
        match error.retry_after_ms.filter(|_| counts) {
            Some(after) => self.rate_limited(error, after, Limit::Others),
            None => self.refuse(error),
        }
    }

    /// Counts something of this session's account; when it is one too many, refuses it with this text, and gives false.
    fn take_share(&mut self, what: Counted, text: &str, id: Option<&String>) -> bool {
        let now = self.now();
        let Some(session) = self.authenticated() else { return true };
        let taken = session.quota.lock().take(what, now);
        let Err(after) = taken else { return true };
        let error = ErrorFrame::new(ErrorCode::RateLimited, text);
        self.rate_limited(ErrorFrame { id: id.cloned(), ..error }, after, Limit::Others);
        false
    }

    /// Handles everything that was left in the inbox.
    fn turn(&mut self, ctx: &mut SessionContext) {
        // Whether the device has mail waiting, and so is given no signals, is not known before the first read.
        let undecided = matches!(&self.stage, Stage::Authenticated(session) if session.receiving.has_not_begun());
        let taken = if undecided { self.inbox.take_all_but_signals() } else { self.inbox.take() };
        let now = self.now();
        let mut effects = Vec::new();
        let mut answers = Vec::new();
        let mut end = None;
        let Stage::Authenticated(session) = &mut self.stage else { return };
        let losses = self.node.link.as_ref().map_or(0, |link| link.losses());
        // While this node did not count for the others, nobody has told of what was stored.
        if taken.nudged || std::mem::replace(&mut session.losses, losses) != losses {
            session.receiving.nudge();
        }
        // What came with the news, or before it, must not be stored for a device that is none any more.
        if taken.events.iter().any(|event| matches!(event, Event::Revoked)) {
            session.receiving.revoke();
        }
        for parcel in taken.parcels {
            session.receiving.parcel(parcel, now, &mut effects);
        }
        for event in taken.events {
            match event {
                Event::Outcome { ticket, copy, verdict } => {
                    answers.extend(session.sending.decided(ticket, copy, verdict))
                }
                Event::Appended { key, order, outcome } => {
                    session.receiving.appended(key, order, outcome, &mut effects);
                }
                Event::Removed(keys) => session.receiving.removed(&keys),
                Event::DeliveredLater(message_id) => answers.extend(session.sending.delivered_later(message_id)),
                // A notice may be read at the log-in and told by the sweep in the same moment.
                Event::Expired(message_id) if session.told_expired.contains(&message_id) => {}
                Event::Expired(message_id) => {
                    session.told_expired.push(message_id);
                    answers.extend(session.sending.expired(message_id));
                }
                Event::Replaced => end = end.filter(|end| *end == CloseCode::Revoked).or(Some(CloseCode::Replaced)),
                Event::Revoked => end = Some(CloseCode::Revoked),
                Event::Leave => end = end.or(Some(CloseCode::Restart)),
            }
        }
        let takes_signals = !session.receiving.is_draining();
        session.receiving.read_if_due(&mut effects);
        self.run(effects, ctx);
        self.answer(answers);
        if takes_signals {
            self.deliver_signals(taken.signals);
        }
        self.tell_presence(taken.presence);
        if let Some(code) = end {
            self.dismiss(code);
        }
    }

    /// Sends the client away, with its statuses.
    fn dismiss(&mut self, code: CloseCode) {
        self.revoked = code == CloseCode::Revoked;
        self.flush_statuses();
        if code == CloseCode::Restart {
            let after_ms = u64::from_le_bytes(crate::random()) % self.node.spread();
            self.send(&ServerFrame::Reconnect(Reconnect { after_ms }));
        }
        self.close(code);
    }

    fn run(&mut self, effects: Vec<Effect>, ctx: &mut SessionContext) {
        let Stage::Authenticated(session) = &self.stage else { return };
        let (device, departure) = (session.device, &session.departure);
        let departure = || Some(departure.clone());
        for effect in effects {
            match effect {
                Effect::Deliver { seq, mail } => {
                    Delivery { seq, wrap: &mail.wrap, shared: &mail.shared }.write(|parts| self.write(parts));
                }
                Effect::Append { mail, replies, cause } => {
                    let by = Some(self.inbox.clone());
                    self.node.spool.append(Append { mail, replies, by, departure: departure(), cause });
                }
                Effect::Remove { key, news } => {
                    let (by, removal) = (self.inbox.clone(), Removal { device, key });
                    self.node.spool.remove(Remove { removal, by, departure: departure(), news });
                }
                Effect::Read { except, max_messages, max_bytes } => {
                    let store = self.node.store.clone();
                    let read = async move { store.front(&device, except, max_messages, max_bytes).await };
                    self.read(read, ctx);
                }
                Effect::ReadLater => {
                    ctx.run_later(READ_AGAIN, |session, ctx| {
                        session.receive(ctx, |receiving, _, effects| receiving.read_again(effects));
                    });
                }
                Effect::Decided { reply, verdict } => reply.send(verdict),
                Effect::BacklogSent => self.backlog_sent(device, ctx),
            }
        }
    }

    /// Reads the mailbox. What was left in the inbox meanwhile is handled before what the read shows: a copy that was
    /// stored behind a parcel must not be sent before it.
    fn read(&self, read: impl Future<Output = Result<Front, StoreError>> + 'static, ctx: &mut SessionContext) {
        let node = self.node.clone();
        let read = async move { login::in_time(&node, read).await };
        let read = read.into_actor(self).map(|front, session, ctx| {
            if let Err(error) = &front {
                tracing::error!(%error, "a mailbox could not be read; trying again");
            }
            let front = front.ok().map(only_text);
            session.turn(ctx);
            session.receive(ctx, |receiving, now, effects| receiving.front(front, now, effects));
        });
        ctx.spawn(read);
    }

    /// Lets the receiving side do something and runs what follows.
    fn receive(
        &mut self,
        ctx: &mut SessionContext,
        act: impl FnOnce(&mut receiving::Receiving, Now, &mut Vec<Effect>),
    ) {
        let now = self.now();
        let mut effects = Vec::new();
        if let Some(session) = self.authenticated() {
            act(&mut session.receiving, now, &mut effects);
        }
        self.run(effects, ctx);
        self.end_turn(ctx);
    }

    /// Says that the mailbox is empty, how many copies it has lost, and what of the device's own messages has expired while
    /// it was away. Read only now that the device is in the directory: of what expires from here on it is told by the sweep.
    fn backlog_sent(&self, device: DeviceId, ctx: &mut SessionContext) {
        let node = self.node.clone();
        let news = async move { login::in_time(&node, node.store.news(&device, NOTICES)).await.unwrap_or_default() };
        ctx.spawn(news.into_actor(self).map(move |News { missed, notices }, session, ctx| {
            let told = (missed > 0).then_some(missed);
            session.send(&ServerFrame::Queue(Queue { empty: true, missed: told }));
            if let Some(authenticated) = session.authenticated() {
                authenticated.told_missed = told;
            }
            notices.into_iter().for_each(|message_id| session.inbox.tell(Event::Expired(message_id)));
            session.turn(ctx);
            session.end_turn(ctx);
        }));
    }

    /// The client has said something after it was told what it missed and what has expired, so it knows. A successor must
    /// not tell it again: the departure is held until it is forgotten, and the connection may end meanwhile.
    fn forget_told(&mut self) {
        let node = self.node.clone();
        let Some(session) = self.authenticated() else { return };
        let (missed, expired) = (session.told_missed.take(), std::mem::take(&mut session.told_expired));
        if missed.is_none() && expired.is_empty() {
            return;
        }
        let (device, departure) = (session.device, session.departure.clone());
        tokio::spawn(async move {
            if let Some(count) = missed
                && let Err(error) = login::in_time(&node, node.store.forget_missed(&device, count)).await
            {
                tracing::warn!(%error, "a device will be told again what it has missed");
            }
            let count = expired.len();
            if count > 0
                && let Err(error) = login::in_time(&node, node.store.forget_notices(&device, expired)).await
            {
                tracing::warn!(%error, count, "a device will be told again what has expired");
            }
            drop(departure);
        });
    }

    /// Ends what was done outside of the turns in which the peer and the inbox are heard; those end by themselves.
    fn end_turn(&mut self, ctx: &mut SessionContext) {
        if self.turn_began.get().is_none() {
            self.rest(ctx);
        }
    }

    /// What every turn ends with.
    fn rest(&mut self, ctx: &mut SessionContext) {
        self.tell_statuses(ctx);
        if let Stage::Authenticated(session) = &mut self.stage {
            self.inbox.set_load(session.load());
            self.node.counts.finished(session.sending.take_finished(), || self.node.clock.micros());
        }
        if self.socket.backlog() > self.node.settings.limits.window_bytes + BACKLOG {
            self.give_up(ctx);
        }
        self.set_alarm(ctx);
    }

    /// The peer does not read: nothing can be said to it any more.
    fn give_up(&mut self, ctx: &mut SessionContext) {
        self.close(CloseCode::SlowConsumer);
        self.socket.abort();
        ctx.stop();
    }

    fn next_deadline(&self) -> u64 {
        let timing = &self.node.settings.timing;
        let blocked = self.socket.blocked_since().map(|since| since + millis(timing.blocked));
        let own = match &self.stage {
            Stage::Greeting(greeting) => self.opened + millis(greeting_time(greeting, timing)),
            Stage::Authenticated(session) => session.next_deadline().min(self.last_heard + millis(timing.silence)),
            Stage::Closing => self.closed_at.unwrap_or_default() + millis(CLOSING),
        };
        blocked.map_or(own, |blocked| blocked.min(own))
    }

    /// Sees to it that the session runs at its next deadline. An alarm that comes too early sets itself again.
    fn set_alarm(&mut self, ctx: &mut SessionContext) {
        let due = self.next_deadline();
        match self.alarm {
            Some((at, _)) if at <= due => return,
            Some((_, handle)) => _ = ctx.cancel_future(handle),
            None => {}
        }
        let wait = Duration::from_millis(due.saturating_sub(self.now().mono).max(1));
        let handle = ctx.run_later(wait, |session, ctx| {
            session.alarm = None;
            session.rings(ctx);
        });
        self.alarm = Some((due, handle));
    }

    fn rings(&mut self, ctx: &mut SessionContext) {
        let now = self.now();
        let timing = self.node.settings.timing.clone();
        let past = |since: u64, limit: Duration| now.mono >= since + millis(limit);
        if self.socket.blocked_since().is_some_and(|since| past(since, timing.blocked)) {
            return self.give_up(ctx);
        }
        match &mut self.stage {
            Stage::Closing => {
                if self.closed_at.is_some_and(|at| past(at, CLOSING)) {
                    return ctx.stop();
                }
            }
            Stage::Greeting(greeting) if past(self.opened, greeting_time(greeting, &timing)) => {
                let error = ErrorFrame::new(ErrorCode::AuthTimeout, "no log-in came in time; connect again");
                self.send(&ServerFrame::Error(Box::new(error)));
                self.close(CloseCode::Silent);
            }
            Stage::Greeting(_) => {}
            Stage::Authenticated(_) if past(self.last_heard, timing.silence) => self.close(CloseCode::Silent),
            Stage::Authenticated(session) if session.life.is_over(now) => {
                let error = ErrorFrame::new(ErrorCode::SessionExpired, "the session was not prolonged; connect again");
                self.send(&ServerFrame::Error(Box::new(error)));
                self.close(CloseCode::SessionExpired);
            }
            Stage::Authenticated(session) => {
                if session.life.should_ask(now) {
                    let open = session.life.challenge(crate::random(), now, timing.greeting);
                    self.send(&ServerFrame::Challenge(open.frame(&self.channel, None)));
                }
                return self.receive(ctx, |receiving, now, effects| receiving.tick(now, effects));
            }
        }
        self.end_turn(ctx);
    }

    /// Closes the connection: says why, spills, and passes over what still comes until the peer closes too.
    fn close(&mut self, code: CloseCode) {
        if self.is_closing() {
            return;
        }
        tracing::debug!(reason = code.name(), "closing a connection");
        self.flush_statuses();
        self.node.counts.closed.add(code);
        self.leave();
        self.closed_at = Some(self.now().mono);
        self.socket.discard();
        self.socket.close(code.number(), code.name());
    }

    /// Leaves the directory, once everything that was accepted for the device and not acknowledged is committed.
    fn leave(&mut self) {
        self.waiting = VecDeque::new();
        let Stage::Authenticated(mut session) = std::mem::replace(&mut self.stage, Stage::Closing) else {
            self.greeting_place = None;
            return;
        };
        self.note_seen(&session.username, session.device);
        // Of the turn in which it ends.
        self.node.counts.finished(session.sending.take_finished(), || self.node.clock.micros());
        let departure = Some(session.departure.clone());
        let held = session.receiving.end().into_iter();
        let offered = self.inbox.close().parcels.into_iter().map(|Parcel { mail, reply }| (mail, smallvec![reply]));
        for (mail, replies) in held.chain(offered) {
            // Nobody will ever fetch the mail of a device that was removed. Its senders have sealed it for a device that
            // is none of their addressee's any more, so nothing is lost for a person.
            if self.revoked {
                replies.iter().for_each(|reply| reply.send(Verdict::Missed));
            } else {
                let (departure, cause) = (departure.clone(), Stored::Ended);
                self.node.spool.append(Append { mail, replies, by: None, departure, cause });
            }
        }
    }
}

/// A device could read nothing behind a message that is no text. It was text when it was taken.
fn only_text(mut front: Front) -> Front {
    front.mail.retain(|mail| {
        let text = mail.is_text();
        if !text {
            tracing::error!("the store holds a message that is no text; it was passed over");
        }
        text
    });
    front
}

/// How long a connection may stay without logging in.
fn greeting_time(greeting: &Greeting, timing: &Timing) -> Duration {
    if greeting.is_linking() { timing.rendezvous } else { timing.greeting }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.leave();
    }
}
