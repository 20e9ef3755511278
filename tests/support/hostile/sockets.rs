//! One client's connection and the one that is dialled to the real server for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

use super::proxy::{Act, Passing, Shared, Side};

type Socket = WebSocketStream<TcpStream>;

/// What a test orders on a connection.
pub(super) enum Order {
    Deliver(Value),
    Forward(Value),
    Raw(Message),
    Close(u16),
}

/// Carries frames both ways until one side is gone.
pub(super) async fn stand_between(
    stream: TcpStream,
    shared: Arc<Shared>,
    connection: usize,
    mut orders: mpsc::Receiver<Order>,
) {
    let Ok(client) = accept_hdr_async(stream, take_subprotocol).await else { return };
    let Some(server) = dial(&shared).await else { return };
    let mut pair = Pair { client, server, who: String::new(), seqs: Seqs::default(), connection, shared };
    // Either side may go at any time; whoever is left notices.
    let _ = pair.run(&mut orders).await;
    let _ = pair.client.close(None).await;
    let _ = pair.server.close(None).await;
}

fn take_subprotocol(_: &Request, mut answer: Response) -> Result<Response, ErrorResponse> {
    answer.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("sealwire.v1"));
    Ok(answer)
}

/// The real server is to believe that it is dialled under the double's address.
async fn dial(shared: &Shared) -> Option<Socket> {
    let mut request = format!("ws://{}/ws", shared.address).into_client_request().ok()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("sealwire.v1"));
    let stream = TcpStream::connect(shared.server).await.ok()?;
    Some(client_async(request, stream).await.ok()?.0)
}

struct Pair {
    client: Socket,
    server: Socket,
    who: String,
    seqs: Seqs,
    connection: usize,
    shared: Arc<Shared>,
}

impl Pair {
    async fn run(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<(), Error> {
        loop {
            tokio::select! {
                message = self.client.next() => match message.transpose()? {
                    Some(message) => self.take(Side::Client, message).await?,
                    None => return Ok(()),
                },
                message = self.server.next() => match message.transpose()? {
                    Some(message) => self.take(Side::Server, message).await?,
                    None => return Ok(()),
                },
                Some(order) = orders.recv() => match order {
                    Order::Deliver(frame) => self.send_client(frame, None).await?,
                    Order::Forward(frame) => self.send_server(frame).await?,
                    Order::Raw(message) => self.client.send(message).await?,
                    Order::Close(code) => self.close(code).await?,
                },
            }
        }
    }

    async fn take(&mut self, side: Side, message: Message) -> Result<(), Error> {
        let text = match message {
            Message::Text(text) => text,
            Message::Close(close) => {
                self.client.close(close).await?;
                return Err(Error::ConnectionClosed);
            }
            _ => return Ok(()),
        };
        let frame: Value = serde_json::from_str(&text).expect("both sides speak JSON");
        if side == Side::Client
            && let ("auth" | "register" | "link", Some(who)) =
                (frame["type"].as_str().unwrap_or_default(), frame["username"].as_str())
        {
            who.clone_into(&mut self.who);
            self.shared.is(self.connection, who);
        }
        let passing = Passing { connection: self.connection, who: self.who.clone(), side, frame };
        for act in self.shared.passes(&passing) {
            self.act(&passing, act).await?;
        }
        Ok(())
    }

    async fn act(&mut self, passing: &Passing, act: Act) -> Result<(), Error> {
        let seq = passing.frame["seq"].as_u64();
        match (act, passing.side) {
            (Act::On(frame), Side::Server) => self.send_client(frame, seq).await,
            (Act::Back(frame), Side::Client) => self.send_client(frame, None).await,
            (Act::On(frame), Side::Client) | (Act::Back(frame), Side::Server) => self.send_server(frame).await,
            (Act::Raw(message), _) => self.client.send(message).await,
            (Act::Close(code), _) => self.close(code).await,
        }
    }

    async fn close(&mut self, code: u16) -> Result<(), Error> {
        self.client.close(Some(CloseFrame { code: code.into(), reason: "".into() })).await?;
        Err(Error::ConnectionClosed)
    }

    async fn send_client(&mut self, mut frame: Value, seq: Option<u64>) -> Result<(), Error> {
        if frame["type"] == "message" {
            frame["seq"] = self.seqs.give(seq).into();
        }
        self.client.send(Message::text(frame.to_string())).await
    }

    async fn send_server(&mut self, mut frame: Value) -> Result<(), Error> {
        let field = if frame["type"] == "ack" { "seq" } else { "ack" };
        if let Some(acknowledged) = frame[field].as_u64() {
            match self.seqs.translate(acknowledged) {
                Some(seq) => frame[field] = seq.into(),
                None if frame["type"] == "ack" => return Ok(()),
                None => drop(frame.as_object_mut().and_then(|fields| fields.remove(field))),
            }
        }
        self.server.send(Message::text(frame.to_string())).await
    }
}

/// Which number of the real server's stands behind each number that the client was given.
#[derive(Default)]
struct Seqs {
    last: u64,
    real: BTreeMap<u64, u64>,
}

impl Seqs {
    fn give(&mut self, real: Option<u64>) -> u64 {
        self.last += 1;
        if let Some(real) = real {
            self.real.insert(self.last, real);
        }
        self.last
    }

    /// The highest of the server's numbers that this acknowledgement covers.
    fn translate(&self, acknowledged: u64) -> Option<u64> {
        self.real.range(..=acknowledged).map(|(_, real)| *real).max()
    }
}
