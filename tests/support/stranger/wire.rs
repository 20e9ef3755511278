//! A WebSocket connection to a server, from which frames are awaited by what they are.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::PATIENCE;
use crate::Entrance;

/// How to dial.
#[derive(Debug, Default)]
pub struct Dial {
    headers: Vec<(&'static str, String)>,
    without_subprotocol: bool,
    receive_buffer: Option<u32>,
    from: Option<IpAddr>,
}

/// The upgrade was answered by a status instead.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl Dial {
    /// Sets a header, in place of the one that would be sent.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Offers no subprotocol.
    #[must_use]
    pub fn without_subprotocol(self) -> Self {
        Self { without_subprotocol: true, ..self }
    }

    /// Lets the system hold about this many bytes that have not been read.
    #[must_use]
    pub fn receive_buffer(self, bytes: u32) -> Self {
        Self { receive_buffer: Some(bytes), ..self }
    }

    /// Comes from this address of the machine, such as 127.0.0.2.
    #[must_use]
    pub fn from(self, address: IpAddr) -> Self {
        Self { from: Some(address), ..self }
    }

    /// Dials.
    ///
    /// # Errors
    /// [`Refused`] when the upgrade is.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn to(self, entrance: &Entrance) -> Result<Wire, Refused> {
        let mut request = entrance.url().into_client_request().expect("a URL");
        if !self.without_subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("sealwire.v1"));
        }
        for (name, value) in self.headers {
            let value = HeaderValue::from_str(&value).expect("a header's value");
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("a size that the system takes");
        }
        if let Some(own) = self.from {
            socket.bind((own, 0).into()).expect("an address of this machine");
        }
        let stream = socket.connect(entrance.address()).await.expect("the server listens");
        match timeout(PATIENCE, client_async(request, stream)).await.expect("an answer to the upgrade") {
            Ok((socket, _)) => Ok(Wire::new(socket)),
            Err(Error::Http(answer)) => Err(Refused {
                status: answer.status().as_u16(),
                retry_after: answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok()),
            }),
            Err(error) => panic!("the upgrade failed: {error}"),
        }
    }
}

/// A connection. Frames that come while another one is awaited are kept; statuses are kept by message.
#[derive(Debug)]
pub struct Wire {
    socket: WebSocketStream<TcpStream>,
    kept: VecDeque<Value>,
    statuses: HashMap<String, Vec<String>>,
    /// Whether it is over, and the close code, if there was one: none when the connection broke.
    closed: Option<Option<u16>>,
    fences: u64,
}

impl Wire {
    fn new(socket: WebSocketStream<TcpStream>) -> Self {
        Self { socket, kept: VecDeque::new(), statuses: HashMap::new(), closed: None, fences: 0 }
    }

    /// Sends a frame.
    pub async fn send_frame(&mut self, frame: &Value) {
        self.raw(&frame.to_string()).await;
    }

    /// Sends a text, whatever it is. A connection that is gone takes it silently: what the server said before tells why.
    pub async fn raw(&mut self, text: &str) {
        self.raw_message(Message::text(text)).await;
    }

    /// Sends bytes as a text frame, UTF-8 or not.
    pub async fn raw_text_bytes(&mut self, bytes: &[u8]) {
        let frame = Frame::message(bytes.to_vec(), OpCode::Data(Data::Text), true);
        self.raw_message(Message::Frame(frame)).await;
    }

    /// Sends any WebSocket message.
    pub async fn raw_message(&mut self, message: Message) {
        self.write([message]).await;
    }

    /// Sends frames in one write.
    pub async fn burst(&mut self, frames: &[Value]) {
        self.write(frames.iter().map(|frame| Message::text(frame.to_string()))).await;
    }

    async fn write(&mut self, messages: impl IntoIterator<Item = Message>) {
        let writing = async {
            for message in messages {
                let _ = self.socket.feed(message).await;
            }
            let _ = self.socket.flush().await;
        };
        timeout(PATIENCE, writing).await.expect("the server reads");
    }

    /// The next frame; `None` once the connection is over.
    async fn next_frame(&mut self, wanted: &str) -> Option<Value> {
        while self.closed.is_none() {
            let Ok(next) = timeout(PATIENCE, self.socket.next()).await else {
                panic!("waited in vain for {wanted}; kept: {:?}", self.kept)
            };
            match next {
                Some(Ok(Message::Text(text))) => {
                    return Some(serde_json::from_str(&text).expect("the server sends JSON"));
                }
                Some(Ok(Message::Close(close))) => self.closed = Some(close.map(|close| close.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => self.closed = Some(None),
            }
        }
        None
    }

    fn note_status(&mut self, frame: &Value) -> bool {
        if frame["type"] != "status" {
            return false;
        }
        let status = frame["status"].as_str().expect("a status").to_owned();
        for id in frame["messageIds"].as_array().expect("message ids") {
            let id = id.as_str().expect("a message id").to_owned();
            self.statuses.entry(id).or_default().push(status.clone());
        }
        true
    }

    /// Reads one more thing and keeps it. False once the connection is closed.
    async fn read_one(&mut self, wanted: &str) -> bool {
        let Some(frame) = self.next_frame(wanted).await else { return false };
        if !self.note_status(&frame) {
            self.kept.push_back(frame);
        }
        true
    }

    /// The first frame, among those kept and those to come, that is as wanted.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn expect_where(&mut self, wanted: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut looked_at = 0;
        loop {
            if let Some(at) = self.kept.iter().skip(looked_at).position(&is_it) {
                return self.kept.remove(looked_at + at).expect("it was found there");
            }
            looked_at = self.kept.len();
            if !self.read_one(wanted).await {
                panic!("closed with {:?} before {wanted}; kept: {:?}", self.closed, self.kept);
            }
        }
    }

    /// The next frame of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        self.expect_where(kind, |frame| frame["type"] == kind).await
    }

    /// The next `error`, which must have this code; gives the frame.
    ///
    /// # Panics
    /// When it has another code, or none comes.
    #[track_caller]
    pub fn expect_error<'a>(&'a mut self, code: &'a str) -> impl Future<Output = Value> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let error = self.expect_where(&format!("error {code} at {at}"), |frame| frame["type"] == "error").await;
            assert_eq!(error["code"], code, "expected at {at}, got {error}");
            error
        }
    }

    /// Reads until the server closes, which must be with this code.
    ///
    /// # Panics
    /// When it closes with another one, or does not.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> impl Future<Output = ()> + '_ {
        let at = std::panic::Location::caller();
        async move {
            while self.read_one(&format!("close {code} at {at}")).await {}
            assert_eq!(self.closed, Some(Some(code)), "at {at}; kept: {:?}", self.kept);
        }
    }

    /// Reads until the connection is over, whatever it says; gives the close code, if there was one.
    pub async fn end(&mut self) -> Option<u16> {
        while self.read_one("the end of the connection").await {}
        self.closed.flatten()
    }

    /// Waits until a message has this status.
    ///
    /// # Panics
    /// When it does not come, or an `error` for this message does.
    pub async fn expect_status(&mut self, status: &str, id: &str) {
        while !self.statuses(id).iter().any(|known| known == status) {
            if let Some(error) = self.kept.iter().find(|f| f["type"] == "error" && f["messageId"] == id) {
                panic!("{error} instead of {status}");
            }
            if !self.read_one(&format!("{status} for {id}")).await {
                panic!("closed with {:?} before {status} for {id}; kept: {:?}", self.closed, self.kept);
            }
        }
    }

    /// The statuses of a message so far, in the order of their coming.
    pub fn statuses(&self, id: &str) -> &[String] {
        self.statuses.get(id).map_or(&[], Vec::as_slice)
    }

    /// Forgets the statuses of a message, so that the next one can be awaited.
    pub fn forget_statuses(&mut self, id: &str) {
        self.statuses.remove(id);
    }

    /// Sends a request with an id; gives its answer, or the error.
    pub async fn ask(&mut self, request: &Value) -> Value {
        self.fences += 1;
        let id = format!("ask-{}", self.fences);
        let mut frame = request.clone();
        frame["id"] = id.as_str().into();
        self.send_frame(&frame).await;
        self.expect_where(&format!("the answer to {}", request["type"]), |frame| frame["id"] == id.as_str()).await
    }

    /// Waits until the server has handled everything that was sent before; gives what has come and is not yet taken.
    pub async fn settle(&mut self) -> &VecDeque<Value> {
        self.fences += 1;
        let id = format!("fence-{}", self.fences);
        self.send_frame(&json!({ "type": "challenge", "id": id })).await;
        self.expect_where("the answer to a challenge request", |frame| frame["id"] == id.as_str()).await;
        &self.kept
    }

    /// Whether a frame of this type has come that was not taken.
    pub fn has_kept(&self, kind: &str) -> bool {
        self.kept.iter().any(|frame| frame["type"] == kind)
    }

    /// Closes properly and waits for the server's part of it.
    pub async fn close(&mut self) {
        self.raw_message(Message::Close(None)).await;
        self.end().await;
    }
}

impl Entrance {
    /// Dials, and leaves the challenge to be read.
    ///
    /// # Panics
    /// When the upgrade is refused.
    pub async fn dial(&self) -> Wire {
        Dial::default().to(self).await.expect("the upgrade is taken")
    }
}
