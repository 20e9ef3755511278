//! A connection to the broker without a socket: a pipe in memory. The only file here that knows how the HTTP edge hands
//! connections to the broker.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use sealwire_actors::{Broker, Peer};
use sealwire_protocol::DeviceId;
use sealwire_protocol::frames::ServerFrame;
use tokio::io::{AsyncReadExt, AsyncWrite, DuplexStream};

use crate::cast::{Key, Person};

/// How much the pipe holds, in bytes: more than is ever under way.
const PIPE: usize = 4 * 1024 * 1024;

/// A client's end.
pub(crate) struct Connection {
    end: RefCell<DuplexStream>,
    buffer: BytesMut,
}

impl Connection {
    fn open(broker: &Broker) -> Self {
        let (end, server) = tokio::io::duplex(PIPE);
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let peer = Peer { origin: "http://localhost:8080".to_owned(), address, guard: Box::new(()) };
        broker.connect(server, BytesMut::new(), peer);
        Self { end: RefCell::new(end), buffer: BytesMut::new() }
    }

    /// A connection of one of this person's devices, logged in, whose mailbox has been read.
    pub(crate) async fn log_in(broker: &Broker, person: &Person, device: DeviceId, key: &Key) -> Self {
        let mut connection = Self::open(broker);
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
        let mut end = self.end.borrow_mut();
        match Pin::new(&mut *end).poll_write(&mut Context::from_waker(Waker::noop()), &frame) {
            Poll::Ready(Ok(taken)) if taken == frame.len() => {}
            other => panic!("the pipe did not take a frame: {other:?}"),
        }
    }

    /// The next frame's text.
    pub(crate) async fn frame(&mut self) -> Bytes {
        loop {
            if let Some(frame) = self.decode() {
                return frame;
            }
            let read = self.end.get_mut().read_buf(&mut self.buffer).await.expect("a pipe in memory does not fail");
            assert!(read > 0, "the server keeps the connection");
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
