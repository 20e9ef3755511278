//! The session's connection: the only file that names actix-web.
//!
//! Once the edge has answered the upgrade, the socket is the session's own: one task polls the actor's context
//! ([`Socket::drive`]), and the context reads from the socket while it is polled. A turn so costs one read, one write and no hop
//! between tasks, and a connection at rest holds no buffer: what is read passes through one that its thread's connections
//! share. What the peer's socket does not take waits here; how long is the slow-reader signal.
//!
//! Frames are decoded one at a time from one read at a time, so what a peer sends waits in the socket, not in memory.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
use actix_codec::Decoder;
use actix_http::ws::{Codec, Frame, Item};
use actix_web_actors::ws;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::Stream;
use sealwire_protocol::CloseCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{self, Opcode};
use super::{Inbox, Session, ending};
use crate::clock::Clock;

/// The context that a session runs in.
pub(crate) type SessionContext = ws::WebsocketContext<Session>;

/// How much is read at a time.
const READ: usize = 32 * 1024;
/// How much is handled before the turn ends. The context lets a stream give sixteen things before it looks after others; the
/// last of them is [`Received::Rest`].
const TURN: usize = 15;
/// How large a buffer is kept.
const KEPT: usize = 256 * 1024;

/// Nothing is wrong: RFC 6455, section 7.4.1.
const NORMAL: u16 = 1000;

thread_local! {
    /// What is written in a turn and taken at once is gathered here.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// What is read passes through here into memory of the size that it needs.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// What comes from the peer, or was left in the session's inbox.
#[derive(Debug)]
pub(crate) enum Received {
    /// Something was left in the inbox.
    Word,
    /// A whole text message.
    Text(ByteString),
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// The peer is alive.
    Pong,
    /// The peer closes.
    Close,
    /// The peer did not keep to WebSocket, or to the limits on it; nothing more is read from it.
    Broken(CloseCode),
    /// That was all for now, or enough of it: the turn ends.
    Rest,
}

/// A session's hand on its connection.
#[derive(Clone)]
pub(crate) struct Socket {
    shared: Rc<RefCell<Shared>>,
    clock: Arc<Clock>,
}

/// The bytes to and from a peer.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

struct Shared {
    stream: Box<dyn Transport>,
    // From the peer.
    paused: bool,
    /// Only the peer's close matters now.
    discarding: bool,
    /// What comes cannot be decoded any more.
    broken: bool,
    /// Nothing comes any more.
    ended: bool,
    /// How many bytes may come before the log-in; `None` after it.
    allowance: Option<usize>,
    // To the peer.
    /// Frames, from the first that its socket has not taken whole.
    out: Vec<u8>,
    /// How many bytes of these it has taken.
    taken: usize,
    /// How many it would not take when it was last given some.
    backlog: usize,
    blocked_since: Option<u64>,
    aborted: bool,
    task: Option<Waker>,
}

impl Shared {
    /// Writes a frame, whose parts follow one another, behind what waits.
    fn frame(&mut self, opcode: Opcode, parts: &[&[u8]]) {
        if self.out.capacity() == 0 {
            self.out = SPARE.take();
        }
        framing::push(&mut self.out, opcode, parts);
    }

    /// Gives the peer's socket what it takes. An error means that the connection is gone.
    fn poll_write(&mut self, cx: &mut Context<'_>, clock: &Clock) -> std::io::Result<()> {
        while self.taken < self.out.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.out[self.taken..]) {
                Poll::Pending => {
                    self.blocked_since.get_or_insert_with(|| clock.now().mono);
                    self.backlog = self.out.len() - self.taken;
                    self.forget_taken();
                    return Ok(());
                }
                Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(taken)) => {
                    self.taken += taken;
                    self.blocked_since = None;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        (self.taken, self.backlog) = (0, 0);
        if self.out.capacity() > 0 {
            let mut out = std::mem::take(&mut self.out);
            out.clear();
            if out.capacity() <= KEPT {
                SPARE.set(out);
            }
        }
        Ok(())
    }

    /// Moves what waits to the front, when that is less work than what was taken.
    fn forget_taken(&mut self) {
        if self.taken > self.out.len() / 2 {
            self.out.drain(..self.taken);
            self.taken = 0;
            self.out.shrink_to(KEPT);
        }
    }

    /// Reads what is there, as much as fits into the scratch buffer, behind what is in `buffer`; gives its length.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<std::io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            let polled = Pin::new(&mut self.stream).poll_read(cx, &mut read);
            polled.map_ok(|()| {
                buffer.extend_from_slice(read.filled());
                read.filled().len()
            })
        })
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Socket {
    fn new(stream: Box<dyn Transport>, clock: Arc<Clock>, allowance: usize) -> Self {
        let shared = Shared {
            stream,
            paused: false,
            discarding: false,
            broken: false,
            ended: false,
            allowance: Some(allowance),
            out: Vec::new(),
            taken: 0,
            backlog: 0,
            blocked_since: None,
            aborted: false,
            task: None,
        };
        Self { shared: Rc::new(RefCell::new(shared)), clock }
    }

    /// Leaves what the peer sends in the socket.
    pub(crate) fn pause(&self) {
        self.shared.borrow_mut().paused = true;
    }

    /// Reads again.
    pub(crate) fn resume(&self) {
        let mut shared = self.shared.borrow_mut();
        shared.paused = false;
        wake(&mut shared.task);
    }

    /// So many more bytes may come before the log-in.
    pub(crate) fn raise_allowance(&self, bytes: usize) {
        if let Some(allowance) = &mut self.shared.borrow_mut().allowance {
            *allowance += bytes;
        }
    }

    /// The log-in lifts the bound on how much may come.
    pub(crate) fn lift_allowance(&self) {
        self.shared.borrow_mut().allowance = None;
    }

    /// Reads on, but passes over everything: a connection that is closed with unread bytes is reset, and the peer
    /// would not see why it was closed.
    pub(crate) fn discard(&self) {
        self.shared.borrow_mut().discarding = true;
        self.resume();
    }

    /// Ends the connection without a word, and gives back what waits for it.
    pub(crate) fn abort(&self) {
        let mut shared = self.shared.borrow_mut();
        shared.aborted = true;
        wake(&mut shared.task);
    }

    /// Writes a text frame, whose parts follow one another.
    pub(crate) fn text(&self, parts: &[&[u8]]) {
        self.shared.borrow_mut().frame(Opcode::Text, parts);
    }

    /// Answers a ping.
    fn pong(&self, bytes: &[u8]) {
        self.shared.borrow_mut().frame(Opcode::Pong, &[bytes]);
    }

    /// Writes a close frame.
    pub(crate) fn close(&self, code: u16, reason: &str) {
        self.shared.borrow_mut().frame(Opcode::Close, &[&code.to_be_bytes(), reason.as_bytes()]);
    }

    /// Whether something goes to the peer when the turn is over.
    pub(crate) fn has_something_to_say(&self) -> bool {
        !self.shared.borrow().out.is_empty()
    }

    /// Bytes that were written and that the peer's socket has not taken.
    pub(crate) fn backlog(&self) -> usize {
        self.shared.borrow().backlog
    }

    /// Since when the peer's socket has taken nothing, on the monotonic clock.
    pub(crate) fn blocked_since(&self) -> Option<u64> {
        self.shared.borrow().blocked_since
    }

    /// Drives a session's context and writes what it has left. Ready when the context has ended or the connection is gone;
    /// what waits for the peer then is still here.
    fn drive(&self, context: Pin<&mut impl Stream>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut shared = self.shared.borrow_mut();
            if shared.task.as_ref().is_none_or(|task| !task.will_wake(cx.waker())) {
                shared.task = Some(cx.waker().clone());
            }
        }
        // What the actor says goes into the socket's buffer, never into the context's queue.
        let over = context.poll_next(cx).is_ready();
        let gone = self.poll_write(cx).is_err() || self.shared.borrow().aborted;
        if over || gone { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Gives the peer's socket what waits, as much as it takes.
    fn poll_write(&self, cx: &mut Context<'_>) -> std::io::Result<()> {
        self.shared.borrow_mut().poll_write(cx, &self.clock)
    }

    /// Gives the peer's socket what waits, then says that nothing more comes.
    pub(super) fn poll_finish(&self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut shared = self.shared.borrow_mut();
        if shared.aborted {
            return Poll::Ready(Ok(()));
        }
        shared.poll_write(cx, &self.clock)?;
        if !shared.out.is_empty() {
            return Poll::Pending;
        }
        // Who has ended its side, or broken the connection, has no use for a word that ours ends: closing the socket is enough.
        if shared.ended { Poll::Ready(Ok(())) } else { Pin::new(&mut shared.stream).poll_shutdown(cx) }
    }
}

/// An upgraded connection, as the edge hands it over.
pub(crate) struct Upgraded {
    /// The socket.
    pub(crate) stream: Box<dyn Transport>,
    /// What the peer has sent behind the request.
    pub(crate) early: BytesMut,
}

/// Starts the session that `make` builds around the socket, on this thread. `held` lives as long as the connection itself,
/// which may be longer than its session does.
pub(crate) fn start(
    upgraded: Upgraded,
    clock: Arc<Clock>,
    limits: &crate::settings::Limits,
    held: impl Any,
    make: impl FnOnce(Socket) -> Session,
) {
    let Upgraded { stream, early } = upgraded;
    let socket = Socket::new(stream, clock, limits.greeting_bytes);
    let mut session = make(socket.clone());
    let incoming = Incoming::new(early, socket.clone(), session.inbox.clone(), limits.frame_bytes);
    session.incoming = Some(Box::new(incoming));
    // The context's own reader is given nothing: ours is added when the actor starts.
    let silence = futures_util::stream::pending::<Result<Bytes, actix_web::error::PayloadError>>();
    // Out here: a task has room for all that it ever holds, for as long as it lives.
    let mut context = Box::pin(ws::WebsocketContext::create(session, silence));
    actix_web::rt::spawn(async move {
        poll_fn(|cx| socket.drive(context.as_mut(), cx)).await;
        ending::end(context, socket, held).await;
    });
}

/// What the peer sends, as whole messages.
pub(crate) struct Incoming {
    socket: Socket,
    inbox: Arc<Inbox>,
    /// What came behind the request, until it has been looked at.
    early: BytesMut,
    codec: Codec,
    buffer: BytesMut,
    /// A text message that comes in fragments.
    partial: Option<BytesMut>,
    longest: usize,
    /// The last thing given was a word of the inbox: the peer is heard next.
    told: bool,
    /// How many things were given in this turn.
    given: usize,
    /// There was nothing more when the turn ended.
    at_rest: bool,
}

impl Incoming {
    fn new(early: BytesMut, socket: Socket, inbox: Arc<Inbox>, longest: usize) -> Self {
        let codec = Codec::new().max_size(longest);
        Self {
            socket,
            inbox,
            early,
            codec,
            buffer: BytesMut::new(),
            partial: None,
            longest,
            told: false,
            given: 0,
            at_rest: false,
        }
    }

    /// The next message that is in the buffer.
    fn decode(&mut self) -> Option<Received> {
        loop {
            let frame = match self.codec.decode(&mut self.buffer) {
                Ok(frame) => frame?,
                Err(ws::ProtocolError::Overflow) => return Some(Received::Broken(CloseCode::TooLarge)),
                Err(_) => return Some(Received::Broken(CloseCode::Protocol)),
            };
            if let Some(received) = self.received(frame) {
                return Some(received);
            }
        }
    }

    fn received(&mut self, frame: Frame) -> Option<Received> {
        match frame {
            Frame::Text(text) => Some(self.text(text)),
            Frame::Binary(_) | Frame::Continuation(Item::FirstBinary(_)) => {
                Some(Received::Broken(CloseCode::Unsupported))
            }
            Frame::Ping(bytes) => Some(Received::Ping(bytes)),
            Frame::Pong(_) => Some(Received::Pong),
            Frame::Close(_) => Some(Received::Close),
            Frame::Continuation(Item::FirstText(part)) => {
                self.partial = Some(BytesMut::from(part.as_ref()));
                None
            }
            Frame::Continuation(Item::Continue(part)) => self.continued(&part).err(),
            Frame::Continuation(Item::Last(part)) => Some(match self.continued(&part) {
                Ok(()) => {
                    let whole = self.partial.take().unwrap_or_default().freeze();
                    self.text(whole)
                }
                Err(broken) => broken,
            }),
        }
    }

    fn continued(&mut self, part: &[u8]) -> Result<(), Received> {
        let partial = self.partial.get_or_insert_default();
        if partial.len() + part.len() > self.longest {
            return Err(Received::Broken(CloseCode::TooLarge));
        }
        partial.extend_from_slice(part);
        Ok(())
    }

    fn text(&self, bytes: Bytes) -> Received {
        match ByteString::try_from(bytes) {
            Ok(text) => Received::Text(text),
            Err(_) => Received::Broken(CloseCode::InvalidText),
        }
    }

    /// Counts bytes that came before the log-in.
    fn allow(&self, len: usize) -> bool {
        match &mut self.socket.shared.borrow_mut().allowance {
            None => true,
            Some(allowance) if *allowance >= len => {
                *allowance -= len;
                true
            }
            Some(_) => false,
        }
    }
}

impl Incoming {
    /// Why more than a connection may send before its log-in ends it: a frame that is too large says so.
    fn too_much(&mut self) -> CloseCode {
        match self.codec.decode(&mut self.buffer) {
            Err(ws::ProtocolError::Overflow) => CloseCode::TooLarge,
            _ => CloseCode::Authentication,
        }
    }
}

impl Incoming {
    /// The next message of the peer, from what was read or is there to be read.
    fn poll_peer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        loop {
            let (paused, discarding, broken) = {
                let shared = self.socket.shared.borrow();
                (shared.paused && !shared.discarding, shared.discarding, shared.broken)
            };
            if paused {
                return Poll::Pending;
            }
            if broken {
                self.buffer = BytesMut::new();
            } else if let Some(received) = self.decode() {
                match received {
                    Received::Broken(CloseCode::TooLarge | CloseCode::Protocol) => {
                        self.socket.shared.borrow_mut().broken = true;
                    }
                    Received::Close => {}
                    _ if discarding => continue,
                    _ => {}
                }
                return Poll::Ready(Some(received));
            }
            match self.poll_read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.socket.shared.borrow_mut().ended = true;
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(_)) if broken => {}
                Poll::Ready(Ok(len)) => {
                    if !self.allow(len) {
                        self.socket.shared.borrow_mut().broken = true;
                        return Poll::Ready(Some(Received::Broken(self.too_much())));
                    }
                }
            }
        }
    }

    /// Reads behind what is in the buffer; gives how many bytes, none at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        if !self.early.is_empty() {
            self.buffer = std::mem::take(&mut self.early);
            return Poll::Ready(Ok(self.buffer.len()));
        }
        if self.buffer.is_empty() {
            // At rest a connection keeps no buffer.
            self.buffer = BytesMut::new();
        }
        self.socket.shared.borrow_mut().poll_read(cx, &mut self.buffer)
    }
}

impl Stream for Incoming {
    type Item = Received;

    /// Ends a turn when there is nothing more, and when it has lasted long enough.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        if std::mem::take(&mut self.at_rest) {
            return Poll::Pending;
        }
        let polled = if self.given < TURN { self.poll_one(cx) } else { Poll::Pending };
        match polled {
            Poll::Ready(received) => {
                self.given += 1;
                Poll::Ready(received)
            }
            Poll::Pending if self.given == 0 => Poll::Pending,
            Poll::Pending => {
                self.at_rest = self.given < TURN;
                self.given = 0;
                Poll::Ready(Some(Received::Rest))
            }
        }
    }
}

impl Incoming {
    /// The inbox and the peer take turns, so that neither keeps the other waiting, nor this connection the others.
    fn poll_one(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let this = self;
        let word = this.inbox.poll_word(cx);
        if word && !std::mem::replace(&mut this.told, true) {
            return Poll::Ready(Some(Received::Word));
        }
        let polled = this.poll_peer(cx);
        this.told = false;
        if word && polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled
    }
}

impl Actor for Session {
    type Context = SessionContext;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(incoming) = self.incoming.take() {
            ctx.add_stream(*incoming);
        }
        self.begin(ctx);
    }
}

impl StreamHandler<Received> for Session {
    fn handle(&mut self, received: Received, ctx: &mut Self::Context) {
        if !matches!(received, Received::Word | Received::Rest) {
            self.node.counts.frames_received.add_one();
        }
        if self.turn_began.get().is_none() {
            self.turn_began.set(Some(self.node.clock.now()));
        }
        match received {
            Received::Word => self.turn(ctx),
            Received::Text(text) => self.text(&text, ctx),
            Received::Ping(bytes) => {
                self.heard();
                if !self.is_closing() && self.take_frame(None, None) {
                    self.socket.pong(&bytes);
                }
            }
            Received::Pong => {
                self.heard();
                self.take_frame(None, None);
            }
            Received::Close => {
                if !self.is_closing() {
                    self.flush_statuses();
                    self.leave();
                    self.socket.close(NORMAL, "");
                }
                ctx.stop();
            }
            Received::Broken(code) => self.close(code),
            Received::Rest => {
                self.rest(ctx);
                self.turn_began.set(None);
            }
        }
    }
}

/// The context wants a handler for a reader of its own, which is given nothing.
impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Session {
    fn handle(&mut self, _: Result<ws::Message, ws::ProtocolError>, _: &mut Self::Context) {}

    fn finished(&mut self, _: &mut Self::Context) {}
}
