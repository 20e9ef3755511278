//! What a session does with each frame.

use std::collections::HashSet;
use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use bytestring::ByteString;
use sealwire_protocol::base64::Array;
use sealwire_protocol::frames::{
    Auth, ClientFrame, ErrorFrame, HeartbeatAnswer, Link, Register, Request, ServerFrame, Session as SessionFrame,
    SessionLimits,
};
use sealwire_protocol::{CloseCode, DeviceId, ErrorCode, MessageId, Username};
use sealwire_store::Account;

use super::admission::Facts;
use super::greeting::{Open, TooMuch};
use super::login::{self, LoggedIn};
use super::rates::{MINUTE, Rate};
use super::receiving::{Acked, Receiving, WindowLimits};
use super::sending::Sending;
use super::socket::SessionContext;
use super::state::{Authenticated, Life, Stage};
use super::statuses::Statuses;
use super::{Event, Inbox, Session, WAITING_BYTES, WAITING_FRAMES, sharing};
use crate::metrics::{Limit, LogIn};
use crate::presence::{Departure, Seen, Watching};
use crate::router;

impl Session {
    /// A text message came.
    pub(super) fn text(&mut self, text: &ByteString, ctx: &mut SessionContext) {
        self.heard();
        self.node.counts.bytes_received.add(text.len() as u64);
        self.forget_told();
        match &mut self.stage {
            Stage::Closing => {}
            Stage::Greeting(greeting) => match greeting.frame() {
                Ok(()) => self.frame(text, ctx),
                Err(TooMuch) => self.too_much(),
            },
            Stage::Authenticated(_) => self.frame(text, ctx),
        }
    }

    fn too_much(&mut self) {
        let error = ErrorFrame::new(ErrorCode::LimitExceeded, "too many frames before the log-in; connect again");
        self.send(&ServerFrame::Error(Box::new(error)));
        self.close(CloseCode::Authentication);
    }

    fn frame(&mut self, text: &ByteString, ctx: &mut SessionContext) {
        let parsed = ClientFrame::parse(text);
        let acknowledged = parsed.as_ref().ok().and_then(|frame| match frame.request {
            Request::Ack(seq) => Some(seq),
            _ => frame.ack,
        });
        let id = parsed.as_ref().ok().and_then(|frame| frame.id.as_deref().map(str::to_owned));
        let about = parsed.as_ref().ok().and_then(|frame| match &frame.request {
            Request::Message(message) => Some(message.message_id),
            _ => None,
        });
        let acked = match acknowledged {
            Some(seq) => self.ack(seq, id.as_ref(), about, ctx),
            None => Acked::Nothing,
        };
        let counts = !(acked == Acked::Forward && matches!(&parsed, Ok(ClientFrame { request: Request::Ack(_), .. })));
        if acked == Acked::Beyond || (counts && !self.take_frame(id.as_ref(), about)) {
            return;
        }
        match parsed {
            Err(error) => {
                let refusal = ErrorFrame { id: error.id, ..ErrorFrame::new(error.code, error.message) };
                self.refuse(refusal);
            }
            Ok(frame) if self.looking_up && self.waits(&frame.request) => self.wait(text, ctx),
            Ok(frame) => self.request(text, frame, ctx),
        }
    }

    /// Counts a frame; false when it is one too many.
    pub(super) fn take_frame(&mut self, id: Option<&String>, about: Option<MessageId>) -> bool {
        let now = self.now();
        match self.conduct.frame(now) {
            Ok(()) => true,
            Err(after) => {
                let error = ErrorFrame::new(ErrorCode::RateLimited, "too many frames in a second");
                let error = ErrorFrame { id: id.cloned(), message_id: about, ..error };
                self.rate_limited(error, after, Limit::Frames);
                false
            }
        }
    }

    fn ack(&mut self, seq: u64, id: Option<&String>, about: Option<MessageId>, ctx: &mut SessionContext) -> Acked {
        let mut acked = Acked::Nothing;
        self.receive(ctx, |receiving, _, effects| acked = receiving.ack(seq, effects));
        if acked == Acked::Beyond {
            let error = ErrorFrame::new(ErrorCode::BadRequest, "the acknowledged `seq` is above the last one sent");
            self.refuse(ErrorFrame { id: id.cloned(), message_id: about, ..error });
        }
        acked
    }

    /// Keeps a frame until what is being looked up is there. The socket is left alone when many wait.
    fn wait(&mut self, text: &ByteString, _: &mut SessionContext) {
        self.waiting_bytes += text.len();
        self.waiting.push_back(text.clone());
        if self.waiting.len() >= WAITING_FRAMES || self.waiting_bytes >= WAITING_BYTES {
            self.socket.pause();
        }
    }

    /// What was looked up is there: goes on with the frames that have waited.
    fn looked_up(&mut self, ctx: &mut SessionContext) {
        self.looking_up = false;
        while !self.looking_up && !self.is_closing() {
            let Some(text) = self.waiting.pop_front() else { break };
            self.waiting_bytes = self.waiting_bytes.saturating_sub(text.len());
            if let Ok(frame) = ClientFrame::parse(&text) {
                self.request(&text, frame, ctx);
            }
        }
        if self.waiting.is_empty() {
            self.waiting.shrink_to(0);
            // What came meanwhile has waited in the socket, heartbeats too.
            self.heard();
            self.socket.resume();
        }
        self.end_turn(ctx);
    }

    /// Whether a request must keep its place in the order of what a client sends. Before the log-in everything does.
    fn waits(&self, request: &Request<'_>) -> bool {
        let keeps_no_place = matches!(request, Request::Ack(_) | Request::Heartbeat(_));
        matches!(self.stage, Stage::Greeting(_)) || !keeps_no_place
    }

    fn request(&mut self, text: &ByteString, frame: ClientFrame<'_>, ctx: &mut SessionContext) {
        let id = frame.id.map(|id| id.into_owned());
        let greeting = matches!(self.stage, Stage::Greeting(_));
        match frame.request {
            Request::Ack(_) if greeting => self.log_in_first(id),
            Request::Ack(_) => {}
            Request::Challenge => self.challenge(id),
            Request::Auth(auth) if greeting => self.log_in(*auth, id, ctx),
            Request::Auth(auth) => self.renew(*auth, id, ctx),
            Request::Register(register) if greeting => self.register(register, id, ctx),
            Request::Register(_) => {
                let error = ErrorFrame::new(ErrorCode::BadRequest, "this connection is logged in already");
                self.refuse(ErrorFrame { id, ..error });
            }
            Request::Link(link) if greeting => self.link(link, id, ctx),
            Request::Link(_) => {
                let error = ErrorFrame::new(ErrorCode::BadRequest, "this connection is logged in already");
                self.refuse(ErrorFrame { id, ..error });
            }
            Request::Devices(devices) => self.devices(*devices, id, ctx),
            Request::Rendezvous(rendezvous) => self.rendezvous(*rendezvous, id, ctx),
            Request::Backup(backup) => self.backup(*backup, id, ctx),
            _ if greeting => self.log_in_first(id),
            Request::Heartbeat(heartbeat) => {
                let server_time = self.now().wall;
                let answer = HeartbeatAnswer { id, timestamp: heartbeat.timestamp, server_time };
                self.send(&ServerFrame::Heartbeat(answer));
            }
            Request::Keys(query) => self.keys(&query, id, ctx),
            Request::Message(message) => {
                self.consider(text, &message, id, Facts::default(), Self::message, ctx);
            }
            Request::Rotate(rotate) => self.rotate(*rotate, id, ctx),
            Request::Signal(signal) => {
                self.consider(text, &signal, id, Facts::default(), Self::signal, ctx);
            }
            Request::Presence(presence) => self.presence(*presence, id, ctx),
        }
    }

    fn log_in_first(&mut self, id: Option<String>) {
        let error = ErrorFrame::new(ErrorCode::NotAuthenticated, "answer the challenge first");
        self.refuse(ErrorFrame { id, ..error });
    }

    // Challenges, registration, log-in.

    fn challenge(&mut self, id: Option<String>) {
        let (now, timing) = (self.now(), &self.node.settings.timing);
        let (life, log_in) = (timing.greeting, timing.log_in);
        let open = match &mut self.stage {
            Stage::Greeting(greeting) => greeting.challenge(crate::random(), now, log_in),
            Stage::Authenticated(session) => Ok(session.life.challenge(crate::random(), now, life)),
            Stage::Closing => return,
        };
        match open {
            Ok(open) => self.send(&ServerFrame::Challenge(open.frame(&self.channel, id))),
            Err(TooMuch) => self.too_much(),
        }
    }

    pub(super) fn fresh_challenge(&mut self, id: Option<String>) {
        let now = self.now();
        let Stage::Greeting(greeting) = &mut self.stage else { return };
        match greeting.fresh(crate::random(), now) {
            Ok(open) => self.send(&ServerFrame::Challenge(open.frame(&self.channel, id))),
            Err(TooMuch) => self.too_much(),
        }
    }

    /// Uses the open challenge up; says so when there is none that is young enough.
    fn take_challenge(&mut self, limit: std::time::Duration) -> Result<Open, ErrorFrame> {
        let now = self.now();
        let Stage::Greeting(greeting) = &mut self.stage else {
            return Err(ErrorFrame::new(ErrorCode::Internal, "this connection is closing"));
        };
        greeting.answer(now, limit).map_err(|code| ErrorFrame::new(code, code.meaning()))
    }

    fn log_in(&mut self, auth: Auth, id: Option<String>, ctx: &mut SessionContext) {
        let open = match self.take_challenge(self.node.settings.timing.log_in) {
            Ok(open) => open,
            Err(error) => return self.log_in_failed(ErrorFrame { id, ..error }),
        };
        let (node, channel) = (self.node.clone(), self.channel.clone());
        let check = async move { login::log_in(&node, &channel, &open, auth).await };
        self.look_up(check, ctx, move |session, outcome, ctx| match outcome {
            Ok(who) => session.enter(who, id, ctx),
            Err(error) => session.log_in_failed(ErrorFrame { id, ..error }),
        });
    }

    /// A log-in that was not accepted ends the connection; one that could not be checked does not.
    fn log_in_failed(&mut self, error: ErrorFrame) {
        self.node.counts.log_ins.add(LogIn::Refused(error.code));
        if !matches!(error.code, ErrorCode::AuthFailed | ErrorCode::AuthTimeout) {
            return self.refuse(error);
        }
        self.send(&ServerFrame::Error(Box::new(error)));
        self.close(CloseCode::Authentication);
    }

    fn register(&mut self, register: Box<Register>, id: Option<String>, ctx: &mut SessionContext) {
        let open = match self.take_challenge(self.node.settings.timing.greeting) {
            Ok(open) => open,
            Err(error) => return self.not_let_in(ErrorFrame { id, ..error }),
        };
        let (node, channel) = (self.node.clone(), self.channel.clone());
        let check = async move { login::register(&node, &channel, &open, register).await };
        self.look_up(check, ctx, move |session, outcome, ctx| match outcome {
            Ok(who) => session.enter(who, id, ctx),
            Err(error) => session.not_let_in(ErrorFrame { id, ..error }),
        });
    }

    /// Refuses a registration, or a log-in that was right and cannot be followed by a session.
    fn not_let_in(&mut self, error: ErrorFrame) {
        self.node.counts.log_ins.add(LogIn::Refused(error.code));
        self.refuse(error);
    }

    fn link(&mut self, link: Box<Link>, id: Option<String>, ctx: &mut SessionContext) {
        let open = match self.take_challenge(self.node.settings.timing.log_in) {
            Ok(open) => open,
            Err(error) => return self.log_in_failed(ErrorFrame { id, ..error }),
        };
        let (node, channel) = (self.node.clone(), self.channel.clone());
        let check = login::to_its_end(async move { login::link(&node, &channel, &open, &link).await });
        self.look_up(check, ctx, move |session, outcome, ctx| match outcome {
            Ok(who) => session.enter(who, id, ctx),
            Err(error) => session.log_in_failed(ErrorFrame { id, ..error }),
        });
    }

    /// The device has logged in: reads how much waits for it, then begins its session.
    fn enter(&mut self, who: LoggedIn, id: Option<String>, ctx: &mut SessionContext) {
        let node = self.node.clone();
        let read = async move {
            let usage = login::in_time(&node, node.store.recount(&who.device, &who.username)).await;
            let account = login::in_time(&node, node.roster.find(&who.username)).await;
            usage.and_then(|usage| account.map(|account| (who, usage.total.messages, account)))
        };
        self.look_up(read, ctx, move |session, read, ctx| match read {
            Ok((who, queued, account)) => {
                if session.has_too_many_connections(&who, account.as_deref()) {
                    let text = "this account has too many connections";
                    let error = ErrorFrame { id, ..ErrorFrame::new(ErrorCode::LimitExceeded, text) };
                    session.not_let_in(error);
                } else {
                    session.entered(&who, account.as_ref(), queued, id, ctx);
                }
            }
            Err(error) => session.not_let_in(ErrorFrame { id, ..login::store_unavailable(&error) }),
        });
    }

    fn has_too_many_connections(&self, who: &LoggedIn, account: Option<&Account>) -> bool {
        let devices = account.iter().flat_map(|account| &account.devices).map(|device| device.id);
        let others = devices.filter(|device| *device != who.device && self.node.directory.is_connected(device));
        others.count() >= self.node.settings.limits.connections_per_account
    }

    fn entered(
        &mut self,
        who: &LoggedIn,
        account: Option<&Arc<Account>>,
        queued: u64,
        id: Option<String>,
        ctx: &mut SessionContext,
    ) {
        if !matches!(self.stage, Stage::Greeting(_)) {
            return;
        }
        // Presence first, backlog second: whoever stores from here on finds this session and nudges it.
        let (departure, predecessor) = self.node.directory.enter(who.device, who.username.clone(), self.inbox.clone());
        let shares = account.is_some_and(|account| account.shares_presence);
        let session = self.new_session(who, shares, departure.into());
        self.stage = Stage::Authenticated(Box::new(session));
        self.greeting_place = None;
        self.node.counts.log_ins.add(LogIn::Accepted);
        self.node.counts.backlogs.observe(queued);
        self.socket.lift_allowance();
        self.note_seen(&who.username, who.device);
        self.look_again(who, account, ctx);
        self.session_frame(queued, id);
        match (predecessor, self.node.link.clone()) {
            (None, None) => self.receive(ctx, |receiving, _, effects| receiving.may_read(effects)),
            (predecessor, link) => self.take_over(predecessor, link, ctx),
        }
        if self.node.draining.load(std::sync::atomic::Ordering::Acquire) {
            self.inbox.tell(Event::Leave);
        }
    }

    /// Looks at the account once more, now that the device is here. A manifest is committed, then forgotten by the roster, and
    /// then its removed devices are looked for in the directory; a change of what is shared goes the same way to those who
    /// are here. This session is here and looks at the roster after that. So whatever the interleaving, one of the two sees
    /// the other: while what was read is at hand, nothing has been forgotten since.
    fn look_again(&self, who: &LoggedIn, account: Option<&Arc<Account>>, ctx: &mut SessionContext) {
        let device = who.device;
        let lists = move |account: &Account| account.devices.iter().any(|known| known.id == device);
        let at_hand = self.node.roster.at_hand(who.username.as_str());
        let same = at_hand.zip(account).is_some_and(|(at_hand, read)| Arc::ptr_eq(&at_hand, read));
        if same && account.is_some_and(|account| lists(account)) {
            return;
        }
        let (node, inbox, username) = (self.node.clone(), self.inbox.clone(), who.username.clone());
        let check = async move {
            match login::in_time(&node, node.roster.find(&username)).await {
                Ok(Some(account)) if lists(&account) => {}
                Ok(_) => return inbox.tell(Event::Revoked),
                // It cannot be known now: the client comes back and is checked again.
                Err(_) => return inbox.tell(Event::Leave),
            }
            let user = node.quotas.of(&username);
            if sharing::settle(&node, &user, &username).await.is_err() {
                inbox.tell(Event::Leave);
            }
        };
        ctx.spawn(check.into_actor(self));
    }

    /// Notes that the device is here, or was until now: a hint that may be dropped.
    pub(super) fn note_seen(&self, username: &Username, device: DeviceId) {
        let seen = Seen { username: username.clone(), device, at: self.now().wall };
        let _ = self.node.presence.try_send(seen);
    }

    fn new_session(&self, who: &LoggedIn, shares: bool, departure: Arc<Departure>) -> Authenticated {
        let (limits, timing) = (&self.node.settings.limits, &self.node.settings.timing);
        // A node that waits for an outcome stores the copy itself after the same time, so this one does it a little earlier.
        let patience = if self.node.link.is_some() { timing.hand_over * 3 / 4 } else { timing.hand_over };
        let (messages, bytes, clustered) = (limits.window_messages, limits.window_bytes, self.node.link.is_some());
        let window = WindowLimits { messages, bytes, patience, clustered };
        Authenticated {
            username: who.username.clone(),
            device: who.device,
            receiving: Receiving::new(window, self.inbox.clone()),
            sending: Sending::default(),
            statuses: Statuses::default(),
            quota: self.node.quotas.of(&who.username),
            lookups: Rate::new(limits.key_lookups_per_minute, MINUTE),
            session_id: crate::random(),
            life: Life::new(self.now(), timing.session, timing.renewal),
            departure,
            told_missed: None,
            told_expired: Vec::new(),
            signals: Rate::new(limits.signals_per_minute, MINUTE),
            here: self.node.watchers.enter(&who.username, shares),
            watching: Watching::new(self.node.watchers.clone(), self.inbox.clone()),
            contacts: HashSet::new(),
            losses: self.node.link.as_ref().map_or(0, |link| link.losses()),
        }
    }

    /// Enters the connection where the other nodes see it, asks the sessions that it replaces to let go, here and there, and
    /// reads the mailbox once they have stored what they held.
    fn take_over(&self, predecessor: Option<Arc<Inbox>>, link: Option<Arc<router::Link>>, ctx: &mut SessionContext) {
        let Stage::Authenticated(session) = &self.stage else { return };
        let patience = self.node.settings.timing.take_over;
        let (device, connection) = (session.device, session.departure.connection());
        let left_here = async move {
            let Some(predecessor) = predecessor else { return };
            predecessor.tell(Event::Replaced);
            if tokio::time::timeout(patience, predecessor.gone.wait()).await.is_err() {
                tracing::warn!("a session that was replaced has not let go in time");
            }
        };
        let left_there = async move {
            if let Some(link) = link {
                link.enter(device, connection, patience).await;
            }
        };
        // To its end, also when this connection ends before: its successor must not read before that either.
        let departure = session.departure.clone();
        let left = tokio::spawn(async move {
            futures_util::future::join(left_here, left_there).await;
            drop(departure);
        });
        ctx.spawn(left.into_actor(self).map(|_, session, ctx| {
            session.receive(ctx, |receiving, _, effects| receiving.may_read(effects));
        }));
    }

    fn session_frame(&mut self, queued: u64, id: Option<String>) {
        let (now, timing, limits) = (self.now(), &self.node.settings.timing, &self.node.settings.limits);
        let Stage::Authenticated(session) = &self.stage else { return };
        let frame = SessionFrame {
            id,
            session_id: Array(session.session_id),
            username: session.username.clone(),
            device_id: session.device,
            expires_at: now.wall + crate::clock::millis(timing.session),
            queued,
            limits: SessionLimits {
                messages_per_minute: limits.messages_per_minute,
                frames_per_second: limits.frames_per_second,
                frame_bytes: limits.frame_bytes,
                window_messages: limits.window_messages,
                mailbox_messages: limits.mailbox_messages,
                key_lookups_per_minute: limits.key_lookups_per_minute,
            },
        };
        self.send(&ServerFrame::Session(Box::new(frame)));
    }

    /// Prolongs the session, for the same name and device only.
    fn renew(&mut self, auth: Auth, id: Option<String>, ctx: &mut SessionContext) {
        let now = self.now();
        let Some(session) = self.authenticated() else { return };
        let same = auth.username == session.username.as_str() && auth.device_id == session.device;
        let (device, username) = (session.device, session.username.clone());
        let Some(open) = session.life.answer(now).filter(|_| same) else {
            let code = ErrorCode::AuthFailed;
            return self.log_in_failed(ErrorFrame { id, ..ErrorFrame::new(code, code.meaning()) });
        };
        let (node, channel) = (self.node.clone(), self.channel.clone());
        let check = async move {
            let who = login::log_in(&node, &channel, &open, auth).await?;
            let usage = login::in_time(&node, node.store.recount(&device, &username)).await;
            usage.map(|usage| (who, usage)).map_err(|error| login::store_unavailable(&error))
        };
        self.look_up(check, ctx, move |session, outcome, _| match outcome {
            Ok((who, usage)) => {
                session.note_seen(&who.username, who.device);
                let (now, timing) = (session.now(), session.node.settings.timing.clone());
                if let Some(authenticated) = session.authenticated() {
                    authenticated.life = Life::new(now, timing.session, timing.renewal);
                }
                session.session_frame(usage.total.messages, id);
            }
            Err(error) => {
                session.log_in_failed(ErrorFrame { id, ..error });
                // It could not be checked: the client may answer another challenge.
                if !session.is_closing() {
                    session.challenge(None);
                }
            }
        });
    }

    /// Does something that takes time; what the client sends meanwhile waits, so that its order holds.
    pub(super) fn look_up<T: 'static>(
        &mut self,
        work: impl Future<Output = T> + 'static,
        ctx: &mut SessionContext,
        then: impl FnOnce(&mut Self, T, &mut SessionContext) + 'static,
    ) {
        self.looking_up = true;
        ctx.spawn(work.into_actor(self).map(move |outcome, session, ctx| {
            session.looking_up = false;
            then(session, outcome, ctx);
            if !session.looking_up {
                session.looked_up(ctx);
            }
        }));
    }
}
