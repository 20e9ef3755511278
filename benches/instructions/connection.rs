//! A connection to the broker without a socket: what the client says is the payload of a request, what the server says is
//! the body of the response. The only file here that knows how the HTTP edge hands connections to the broker.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::test::TestRequest;
use actix_web::web::Payload;
use actix_web::{FromRequest, dev};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::Stream;
use sealwire_actors::{Broker, Peer};
use sealwire_protocol::DeviceId;
use sealwire_protocol::frames::{SUBPROTOCOL, ServerFrame};

use crate::cast::{Key, Person};

#[derive(Default)]
struct Wire {
    chunks: VecDeque<Bytes>,
    reader: Option<Waker>,
}

struct Outgoing(Rc<RefCell<Wire>>);

impl Stream for Outgoing {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut wire = self.0.borrow_mut();
        match wire.chunks.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(chunk))),
            None => {
                wire.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// A client's end.
pub(crate) struct Connection {
    wire: Rc<RefCell<Wire>>,
    body: Pin<Box<BoxBody>>,
    buffer: BytesMut,
}

impl Connection {
    async fn open(broker: &Broker) -> Self {
        let headers = [
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL),
        ];
        let request = headers.into_iter().fold(TestRequest::get(), TestRequest::insert_header).to_http_request();
        let wire = Rc::<RefCell<Wire>>::default();
        let payload: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(Outgoing(wire.clone()));
        let mut payload = dev::Payload::Stream { payload };
        let payload = Payload::from_request(&request, &mut payload).await.expect("a payload is one");
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let peer = Peer { origin: "http://localhost:8080".to_owned(), address, guard: Box::new(()) };
        let response = broker.connect(&request, payload, peer);
        assert_eq!(response.status(), 101, "the broker takes the connection");
        Self { wire, body: Box::pin(response.into_body()), buffer: BytesMut::new() }
    }

    /// A connection of one of this person's devices, logged in, whose mailbox has been read.
    pub(crate) async fn log_in(broker: &Broker, person: &Person, device: DeviceId, key: &Key) -> Self {
        let mut connection = Self::open(broker).await;
        let challenge = connection.frame().await;
        let Ok(ServerFrame::Challenge(challenge)) = serde_json::from_slice(&challenge) else {
            panic!("not a challenge: {challenge:?}")
        };
        connection.send(frame(&person.auth(device, key, &challenge)));
        loop {
            let frame = connection.frame().await;
            match serde_json::from_slice(&frame) {
                Ok(ServerFrame::Queue(queue)) if queue.empty => return connection,
                Ok(ServerFrame::Session(_)) => {}
                _ => panic!("not let in: {frame:?}"),
            }
        }
    }

    /// Sends bytes that [`frame`] has made.
    pub(crate) fn send(&self, frame: Bytes) {
        let mut wire = self.wire.borrow_mut();
        wire.chunks.push_back(frame);
        if let Some(reader) = wire.reader.take() {
            reader.wake();
        }
    }

    /// The next frame's text.
    pub(crate) async fn frame(&mut self) -> Bytes {
        loop {
            if let Some(frame) = self.decode() {
                return frame;
            }
            let chunk = poll_fn(|cx| self.body.as_mut().poll_next(cx)).await;
            let chunk = chunk.expect("the server keeps the connection").expect("a body in memory does not fail");
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// A server's frame, RFC 6455, section 5.2: not masked.
    fn decode(&mut self) -> Option<Bytes> {
        let (header, length) = match *self.buffer {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, length @ ..=125, ..] => (2, usize::from(length)),
            _ => return None,
        };
        if self.buffer.len() < header + length {
            return None;
        }
        self.buffer.advance(header);
        Some(self.buffer.split_to(length).freeze())
    }
}

/// A text as a client's WebSocket frame. The mask is zero, which costs the server what any other would.
pub(crate) fn frame(text: &str) -> Bytes {
    const TEXT: u8 = 0x81;
    const MASKED: u8 = 0x80;
    let mut frame = vec![TEXT];
    match u16::try_from(text.len()).expect("frames here are below 64 KiB") {
        length @ ..=125 => frame.push(MASKED | length as u8),
        length => {
            frame.push(MASKED | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame.into()
}
