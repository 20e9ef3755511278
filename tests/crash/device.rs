//! A device as the crash tests need it: it logs in again and again, and its envelopes hold a running number in place of a
//! ciphertext, which the server cannot tell from a sealed one.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use sealwire_protocol::frames::{SUBPROTOCOL, ServerFrame};
use sealwire_protocol::{DeviceId, MessageId};
use sealwire_tests::Server;
use sealwire_tests::stranger::{Dial, Identity, b64, dummy};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A registered device.
#[derive(Clone)]
pub(crate) struct Device {
    who: Arc<Identity>,
    url: String,
}

/// The connection is gone.
#[derive(Debug)]
pub(crate) struct Lost;

impl From<Error> for Lost {
    fn from(_: Error) -> Self {
        Self
    }
}

/// A connection, logged in.
pub(crate) struct Connection(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Device {
    /// Registers an account.
    pub(crate) async fn register(server: &Server, name: &str) -> Self {
        let who = Arc::new(Identity::new(name));
        server.register_as(who.clone(), Dial::default()).await;
        Self { who, url: server.url() }
    }

    pub(crate) fn id(&self) -> &DeviceId {
        &self.who.device
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// [`Lost`] when the server is not there, or goes meanwhile.
    pub(crate) async fn log_in(&self) -> Result<Connection, Lost> {
        let mut request = self.url.as_str().into_client_request().expect("it is a URL");
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().expect("it is a token"));
        let mut connection = Connection(connect_async(request).await?.0);
        let challenge: Value = serde_json::from_str(&connection.next_text().await.ok_or(Lost)?).expect("JSON");
        connection.say(&self.who.auth(&challenge)).await?;
        match connection.next().await {
            Some(ServerFrame::Session(_)) => Ok(connection),
            Some(ServerFrame::Error(error)) if error.code.may_have_arrived() => Err(Lost),
            Some(other) => panic!("{} was not let in: {other:?}", self.who.name),
            None => Err(Lost),
        }
    }

    /// A `message` frame for one other device, with a number in place of a ciphertext.
    pub(crate) fn envelope(&self, to: &Device, number: u64) -> (MessageId, String) {
        // From a short text to a long one.
        let mut ciphertext = vec![0; 304 + (number as usize * 97) % 1_500];
        ciphertext[..8].copy_from_slice(&number.to_be_bytes());
        ciphertext[8..24].copy_from_slice(self.id().as_bytes());
        let mut frame = dummy(&to.who);
        frame["encryptedMessage"] = b64(ciphertext).into();
        let id = frame["messageId"].as_str().and_then(|id| id.parse().ok()).expect("it has an id");
        (id, frame.to_string())
    }
}

/// The number that [`Device::envelope`] has written.
pub(crate) fn number_in(ciphertext: &[u8]) -> u64 {
    u64::from_be_bytes(ciphertext[..8].try_into().expect("an envelope of these tests"))
}

impl Connection {
    async fn say(&mut self, frame: &Value) -> Result<(), Lost> {
        Ok(self.0.send(frame.to_string().into()).await?)
    }

    /// Acknowledges everything up to `seq`.
    pub(crate) async fn ack(&mut self, seq: u64) -> Result<(), Lost> {
        self.say(&json!({ "type": "ack", "seq": seq })).await
    }

    /// Sends these frames in one go.
    pub(crate) async fn send_all(&mut self, frames: impl Iterator<Item = &str>) -> Result<(), Lost> {
        for frame in frames {
            self.0.feed(frame.into()).await?;
        }
        Ok(self.0.flush().await?)
    }

    async fn next_text(&mut self) -> Option<String> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame; `None` when the connection is gone.
    pub(crate) async fn next(&mut self) -> Option<ServerFrame> {
        let text = self.next_text().await?;
        Some(serde_json::from_str(&text).expect("a frame of the protocol"))
    }
}
