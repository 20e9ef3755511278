//! A device as the devices of the crash tests need it: it registers, logs in again and again, and makes envelopes whose
//! ciphertext is a running number. The server cannot tell them from sealed ones.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::base64::{Array, Base64, Blob};
use sealwire_protocol::frames::{
    Auth, Challenge, ClientFrame, ManifestDeviceFrame, ManifestFrame, Message, Recipient, Register, Request,
    SUBPROTOCOL, ServerFrame, WrapFrame,
};
use sealwire_protocol::signed::{AuthIn, Manifest, ManifestDevice, Purpose, WrapCert};
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};
use sealwire_tests::Server;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Error};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const DAY: u64 = 24 * 60 * 60 * 1000;

/// A registered device.
pub(crate) struct Device {
    username: Username,
    id: DeviceId,
    dsk: SigningKey,
    dwk: Kid,
    url: String,
    origin: String,
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

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_millis() as u64
}

fn pool(n: usize) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("keys/k{n}.der"))).expect("it is in the repository")
}

impl Device {
    /// Registers an account with keys of the pool.
    pub(crate) async fn register(server: &Server, name: &str, keys: [usize; 3]) -> Self {
        let aik = IdentityKey::from_pkcs8(&pool(keys[0])).expect("a key of the pool");
        let dsk = SigningKey::from_pkcs8(&pool(keys[1])).expect("a key of the pool");
        let dwk = WrapKey::from_pkcs8(&pool(keys[2])).expect("a key of the pool");
        let username: Username = name.parse().expect("a name");
        let id = DeviceId::new_v7(now(), rand::random());
        let (url, origin) = (server.url(), server.origin());
        let device = Self { username, id, dwk: *dwk.kid(), dsk, url, origin };
        let (manifest, wrap) = (device.manifest(&aik), device.certificate(&dwk));
        let (mut connection, challenge) = device.dial().await.expect("the server is up");
        let (client_nonce, signature) = device.answer(&challenge, Purpose::Register);
        let register = Register {
            username: name.to_owned(),
            device_id: id,
            client_nonce: Array(client_nonce),
            aik: Blob(aik.public().as_bytes().to_vec()),
            manifest,
            wrap,
            invite: None,
            signature: Blob(signature),
        };
        connection.say(Request::Register(Box::new(register))).await.expect("the server is up");
        match connection.next().await {
            Some(ServerFrame::Session(_)) => device,
            other => panic!("{name} was not registered: {other:?}"),
        }
    }

    fn manifest(&self, aik: &IdentityKey) -> ManifestFrame {
        let listed =
            ManifestDevice { id: self.id, dsk: self.dsk.public().clone(), added_at: now(), capabilities: 0 };
        let manifest = Manifest { version: 1, prev_hash: [0; 32], issued_at: now(), devices: vec![listed] };
        let signed = aik.sign_manifest(&mut rand::rng(), &self.username, manifest).expect("it is well formed");
        let device = &signed.manifest.devices[0];
        let device = ManifestDeviceFrame {
            id: device.id,
            dsk: Blob(device.dsk.as_bytes().to_vec()),
            added_at: device.added_at,
            capabilities: 0,
        };
        let (issued_at, signature) = (signed.manifest.issued_at, Blob(signed.signature));
        ManifestFrame { version: 1, prev_hash: Array([0; 32]), issued_at, devices: vec![device], signature }
    }

    fn certificate(&self, dwk: &WrapKey) -> WrapFrame {
        let (not_before, not_after) = (now(), now() + 7 * DAY);
        let cert = WrapCert { seq: 1, dwk: dwk.public().clone(), not_before, not_after };
        let signed = self.dsk.certify(&mut rand::rng(), &self.username, &self.id, cert);
        let dwk = Blob(dwk.public().as_bytes().to_vec());
        WrapFrame { seq: 1, dwk, not_before, not_after, signature: Blob(signed.signature) }
    }

    pub(crate) fn id(&self) -> &DeviceId {
        &self.id
    }

    async fn dial(&self) -> Result<(Connection, Challenge), Lost> {
        let mut request = self.url.as_str().into_client_request().expect("it is a URL");
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().expect("it is a token"));
        let mut connection = Connection(connect_async(request).await?.0);
        match connection.next().await {
            Some(ServerFrame::Challenge(challenge)) => Ok((connection, challenge)),
            Some(other) => panic!("the server's first word is {other:?}"),
            None => Err(Lost),
        }
    }

    fn answer(&self, challenge: &Challenge, purpose: Purpose) -> ([u8; 32], Vec<u8>) {
        let client_nonce = rand::random();
        let auth = AuthIn {
            purpose,
            origin: &self.origin,
            channel_id: &challenge.channel_id.0,
            server_nonce: &challenge.nonce.0,
            client_nonce: &client_nonce,
            expires_at: challenge.expires_at,
            username: &self.username,
            device: &self.id,
            dsk_kid: self.dsk.kid(),
        };
        (client_nonce, self.dsk.sign_auth(&mut rand::rng(), &auth))
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// [`Lost`] when the server is not there, or goes meanwhile.
    pub(crate) async fn log_in(&self) -> Result<Connection, Lost> {
        let (mut connection, challenge) = self.dial().await?;
        let (client_nonce, signature) = self.answer(&challenge, Purpose::LogIn);
        let (username, client_nonce) = (self.username.to_string(), Array(client_nonce));
        let auth = Auth { username, device_id: self.id, client_nonce, signature: Blob(signature) };
        connection.say(Request::Auth(auth)).await?;
        match connection.next().await {
            Some(ServerFrame::Session(_)) => Ok(connection),
            Some(other) => panic!("{} was not let in: {other:?}", self.username),
            None => Err(Lost),
        }
    }

    /// A `message` frame for one other device, with a number in place of a ciphertext.
    pub(crate) fn envelope(&self, to: &Device, number: u64) -> (MessageId, String) {
        let message_id = MessageId::new_v7(now(), rand::random());
        // From a short text to a long one.
        let mut ciphertext = vec![0; 304 + (number as usize * 97) % 1_500];
        ciphertext[..8].copy_from_slice(&number.to_be_bytes());
        ciphertext[8..24].copy_from_slice(message_id.as_bytes());
        let message = Message {
            message_id,
            to: to.username.as_str().into(),
            encrypted_message: Base64::encode(&ciphertext),
            iv: Base64::encode(&[7; 12]),
            timestamp: now(),
            signature: Base64::encode(&[8; 512]),
            suite: 1,
            recipients: vec![Recipient { u: to.username.as_str().into(), d: to.id, k: to.dwk }],
            encrypted_key: Some(Base64::encode(&[9; 512])),
            encrypted_keys: None,
        };
        (message_id, ClientFrame::from(Request::Message(Box::new(message))).to_json())
    }
}

/// The number that [`Device::envelope`] has written.
pub(crate) fn number_in(ciphertext: &[u8]) -> u64 {
    u64::from_be_bytes(ciphertext[..8].try_into().expect("an envelope of these tests"))
}

impl Connection {
    async fn say(&mut self, request: Request<'_>) -> Result<(), Lost> {
        Ok(self.0.send(ClientFrame::from(request).to_json().into()).await?)
    }

    /// Acknowledges everything up to `seq`.
    pub(crate) async fn ack(&mut self, seq: u64) -> Result<(), Lost> {
        self.say(Request::Ack(seq)).await
    }

    /// Sends these frames in one go.
    pub(crate) async fn send_all(&mut self, frames: impl Iterator<Item = &str>) -> Result<(), Lost> {
        for frame in frames {
            self.0.feed(frame.into()).await?;
        }
        Ok(self.0.flush().await?)
    }

    /// The next frame; `None` when the connection is gone.
    pub(crate) async fn next(&mut self) -> Option<ServerFrame> {
        loop {
            match self.0.next().await? {
                Ok(tungstenite::Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("a frame of the protocol"));
                }
                Ok(tungstenite::Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
