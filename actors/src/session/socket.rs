//! The session's connection: the only file that names actix-web.
//!
//! `WebsocketContext` is polled by the HTTP response's body, so an actor whose peer does not read would stand still: no
//! timers, no hand-over, no spill. A task of its own therefore drives the context and moves its bytes into a buffer, from
//! which the body takes them; what lies in the buffer is the slow-reader signal.
//!
//! Frames are decoded one at a time from one chunk at a time, so what a peer sends waits in the socket, not in memory.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use actix::{Actor, ActorContext, AsyncContext, Handler, StreamHandler};
use actix_codec::Decoder;
use actix_http::ws::{Codec, Frame, Item};
pub(crate) use actix_web::web::Payload;
pub(crate) use actix_web::{HttpRequest, HttpResponse};
use actix_web_actors::ws;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::Stream;
use sealwire_protocol::CloseCode;
use sealwire_protocol::frames::SUBPROTOCOL;

use super::Session;
use super::messages::Wake;
use crate::clock::Clock;

/// The context that a session runs in.
pub(crate) type SessionContext = ws::WebsocketContext<Session>;

/// How many bytes the socket is given at a time.
const SLICE: usize = 16 * 1024;
/// A buffer larger than this is given back when it is empty.
const KEPT_BUFFER: usize = 4 * 1024;

/// What comes from the peer.
#[derive(Debug)]
pub(crate) enum Received {
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
}

/// A session's hand on its connection.
#[derive(Clone)]
pub(crate) struct Socket {
    shared: Rc<RefCell<Shared>>,
    clock: Arc<Clock>,
}

#[derive(Default)]
struct Shared {
    // From the peer.
    paused: bool,
    /// Only the peer's close matters now.
    discarding: bool,
    /// What comes cannot be decoded any more.
    broken: bool,
    /// How many bytes may come before the log-in; `None` after it.
    allowance: Option<usize>,
    reader: Option<Waker>,
    // To the peer.
    chunks: VecDeque<Bytes>,
    backlog: usize,
    blocked_since: Option<u64>,
    ended: bool,
    flushing: bool,
    aborted: bool,
    hung_up: bool,
    body: Option<Waker>,
    pump: Option<Waker>,
}

impl Shared {
    /// The next bytes for the peer, few enough that each one taken is progress: a turn's frames come as one chunk, and a
    /// slow peer may need longer for a large one than a blocked one is given.
    fn next_slice(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.front_mut()?;
        let slice = chunk.split_to(chunk.len().min(SLICE));
        if chunk.is_empty() {
            self.chunks.pop_front();
        }
        self.backlog -= slice.len();
        Some(slice)
    }

    /// Ends the body with an error once everything has been written: the session has waited for the peer's close
    /// already, and a body that ends without one is kept open for a second time of the kind.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, std::io::Error>>> {
        if self.flushing {
            return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())));
        }
        // The dispatcher writes what it has before it asks again.
        self.flushing = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Socket {
    fn new(clock: Arc<Clock>, allowance: usize) -> Self {
        let shared = Shared { allowance: Some(allowance), ..Shared::default() };
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
        wake(&mut shared.reader);
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

    /// Ends the connection without a word, and gives back what waits for it. A dispatcher whose socket takes nothing does not
    /// ask for more, so it may notice late; the edge lets the kernel end such a connection.
    pub(crate) fn abort(&self) {
        let mut shared = self.shared.borrow_mut();
        shared.aborted = true;
        shared.chunks = VecDeque::new();
        shared.backlog = 0;
        wake(&mut shared.body);
    }

    /// Bytes that were written and that the peer's socket has not taken.
    pub(crate) fn backlog(&self) -> usize {
        self.shared.borrow().backlog
    }

    /// Since when the peer's socket has taken nothing, on the monotonic clock.
    pub(crate) fn blocked_since(&self) -> Option<u64> {
        self.shared.borrow().blocked_since
    }

    fn push(&self, chunk: Bytes) {
        let mut shared = self.shared.borrow_mut();
        shared.backlog += chunk.len();
        shared.chunks.push_back(chunk);
        if shared.blocked_since.is_none() {
            shared.blocked_since = Some(self.clock.now().mono);
        }
        wake(&mut shared.body);
    }

    fn end(&self) {
        let mut shared = self.shared.borrow_mut();
        shared.ended = true;
        wake(&mut shared.body);
    }
}

/// Answers the upgrade and starts the session that `make` builds around the socket. `held` lives as long as the
/// connection itself, which may be longer than its session does.
pub(crate) fn start(
    request: &HttpRequest,
    payload: Payload,
    clock: Arc<Clock>,
    limits: &crate::settings::Limits,
    held: impl Any,
    make: impl FnOnce(Socket) -> Session,
) -> HttpResponse {
    let mut response = match ws::handshake_with_protocols(request, &[SUBPROTOCOL]) {
        Ok(response) => response,
        Err(error) => return HttpResponse::from_error(error),
    };
    let socket = Socket::new(clock, limits.greeting_bytes);
    let incoming = Incoming::new(payload, socket.clone(), limits.frame_bytes);
    let mut session = make(socket.clone());
    session.incoming = Some(incoming);
    // The context's own reader is given nothing: ours is added when the actor starts.
    let silence = futures_util::stream::pending::<Result<Bytes, actix_web::error::PayloadError>>();
    let context = ws::WebsocketContext::create(session, silence);
    actix_web::rt::spawn(Pump { context: Some(Box::pin(context)), socket: socket.clone() });
    response.streaming(Body { socket, _held: Box::new(held) })
}

/// Drives a session's context and moves what it writes into the buffer.
struct Pump<S> {
    context: Option<Pin<Box<S>>>,
    socket: Socket,
}

impl<S: Stream<Item = Result<Bytes, actix_web::Error>>> Future for Pump<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            {
                let mut shared = self.socket.shared.borrow_mut();
                if shared.hung_up || shared.aborted {
                    drop(shared);
                    // Dropping the context stops the actor.
                    self.context = None;
                    return Poll::Ready(());
                }
                shared.pump = Some(cx.waker().clone());
            }
            let Some(context) = self.context.as_mut() else { return Poll::Ready(()) };
            match context.as_mut().poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(chunk))) => self.socket.push(chunk),
                Poll::Ready(Some(Err(_)) | None) => {
                    self.context = None;
                    return Poll::Ready(());
                }
            }
        }
    }
}

/// However the context has ended, by a panic too, the connection ends with it.
impl<S> Drop for Pump<S> {
    fn drop(&mut self) {
        self.socket.end();
    }
}

/// The body of the response: the bytes of the WebSocket.
struct Body {
    socket: Socket,
    _held: Box<dyn Any>,
}

impl Stream for Body {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut shared = self.socket.shared.borrow_mut();
        if shared.aborted {
            return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())));
        }
        if let Some(slice) = shared.next_slice() {
            shared.blocked_since = (!shared.chunks.is_empty()).then(|| self.socket.clock.now().mono);
            return Poll::Ready(Some(Ok(slice)));
        }
        if shared.ended {
            return shared.poll_end(cx);
        }
        shared.chunks.shrink_to(0);
        shared.body = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut shared = self.socket.shared.borrow_mut();
        shared.hung_up = true;
        wake(&mut shared.pump);
    }
}

/// What the peer sends, as whole messages.
pub(crate) struct Incoming {
    payload: Payload,
    socket: Socket,
    codec: Codec,
    buffer: BytesMut,
    /// A text message that comes in fragments.
    partial: Option<BytesMut>,
    longest: usize,
}

impl Incoming {
    fn new(payload: Payload, socket: Socket, longest: usize) -> Self {
        let codec = Codec::new().max_size(longest);
        Self { payload, socket, codec, buffer: BytesMut::new(), partial: None, longest }
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

impl Stream for Incoming {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        let this = &mut *self;
        loop {
            let (discarding, broken) = {
                let mut shared = this.socket.shared.borrow_mut();
                shared.reader = Some(cx.waker().clone());
                if shared.paused && !shared.discarding {
                    return Poll::Pending;
                }
                (shared.discarding, shared.broken)
            };
            if broken {
                this.buffer = BytesMut::new();
            } else if let Some(received) = this.decode() {
                match received {
                    Received::Broken(CloseCode::TooLarge | CloseCode::Protocol) => {
                        this.socket.shared.borrow_mut().broken = true;
                    }
                    Received::Close => {}
                    _ if discarding => continue,
                    _ => {}
                }
                return Poll::Ready(Some(received));
            } else if this.buffer.is_empty() && this.buffer.capacity() > KEPT_BUFFER {
                this.buffer = BytesMut::new();
            }
            match Pin::new(&mut this.payload).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None | Some(Err(_))) => return Poll::Ready(None),
                Poll::Ready(Some(Ok(_))) if broken => {}
                Poll::Ready(Some(Ok(chunk))) => {
                    this.buffer.extend_from_slice(&chunk);
                    if !this.allow(chunk.len()) {
                        this.socket.shared.borrow_mut().broken = true;
                        return Poll::Ready(Some(Received::Broken(this.too_much())));
                    }
                }
            }
        }
    }
}

impl Actor for Session {
    type Context = SessionContext;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(incoming) = self.incoming.take() {
            ctx.add_stream(incoming);
        }
        self.begin(ctx);
    }
}

impl StreamHandler<Received> for Session {
    fn handle(&mut self, received: Received, ctx: &mut Self::Context) {
        self.node.counts.frames_received.add_one();
        match received {
            Received::Text(text) => self.text(&text, ctx),
            Received::Ping(bytes) => {
                self.heard();
                if !self.is_closing() && self.take_frame(None, None, ctx) {
                    ctx.pong(&bytes);
                }
            }
            Received::Pong => {
                self.heard();
                self.take_frame(None, None, ctx);
            }
            Received::Close => {
                if !self.is_closing() {
                    self.leave();
                    ctx.close(Some(ws::CloseCode::Normal.into()));
                }
                ctx.stop();
            }
            Received::Broken(code) => self.close(code, ctx),
        }
        self.end_turn(ctx);
    }
}

/// The context wants a handler for a reader of its own, which is given nothing.
impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Session {
    fn handle(&mut self, _: Result<ws::Message, ws::ProtocolError>, _: &mut Self::Context) {}

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Handler<Wake> for Session {
    type Result = ();

    fn handle(&mut self, _: Wake, ctx: &mut Self::Context) {
        self.turn(ctx);
        self.end_turn(ctx);
    }
}

/// Writes a close frame.
pub(crate) fn write_close(code: CloseCode, ctx: &mut SessionContext) {
    let reason =
        ws::CloseReason { code: ws::CloseCode::from(code.number()), description: Some(code.name().to_owned()) };
    ctx.close(Some(reason));
}
