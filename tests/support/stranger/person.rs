//! A person at a client: an identity on a connection, logged in.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sealwire_e2ee::manifest::SenderKey;
use sealwire_e2ee::open::NoSenderKey;
use sealwire_e2ee::{Delivered, KeyHolder, Lane, Opened, Receiver, WrapKey, open};
use sealwire_protocol::signed::{Recipient, chain};
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};
use serde_json::{Value, json};

use super::envelope::{dummy, sealed};
use super::identity::{Identity, unb64};
use super::now;
use super::wire::{Dial, Wire};
use crate::Entrance;

/// A person. What concerns the connection alone is in [`Wire`], which it derefs to.
#[derive(Debug)]
pub struct Stranger {
    /// Who it is.
    pub who: Arc<Identity>,
    /// The answer to the log-in.
    pub session: Value,
    wire: Wire,
    /// Per conversation: the last counter, and what the next message names as `previous`.
    chains: HashMap<Username, (u64, [u8; 32])>,
}

impl Deref for Stranger {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Stranger {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Entrance {
    /// Makes an account and logs it in.
    pub async fn register(&self, name: &str) -> Stranger {
        self.register_as(Arc::new(Identity::new(name)), Dial::default()).await
    }

    /// Makes this account and logs it in.
    ///
    /// # Panics
    /// When the upgrade is refused.
    pub async fn register_as(&self, who: Arc<Identity>, dial: Dial) -> Stranger {
        let mut wire = dial.to(self).await.expect("the upgrade is taken");
        let challenge = wire.expect("challenge").await;
        wire.send_frame(&who.register(&challenge)).await;
        Stranger::new(who, wire).await
    }

    /// Logs in on a new connection.
    pub async fn log_in(&self, who: &Arc<Identity>) -> Stranger {
        self.log_in_by(who, Dial::default()).await
    }

    /// Logs in on a new connection that is dialled like this.
    ///
    /// # Panics
    /// When the upgrade is refused, or the challenge names another origin than was dialled.
    pub async fn log_in_by(&self, who: &Arc<Identity>, dial: Dial) -> Stranger {
        let mut wire = dial.to(self).await.expect("the upgrade is taken");
        let challenge = wire.expect("challenge").await;
        assert_eq!(challenge["origin"], self.origin().as_str());
        wire.send_frame(&who.auth(&challenge)).await;
        Stranger::new(who.clone(), wire).await
    }
}

impl Entrance {
    /// Links a device that the newest manifest lists.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn link(&self, who: &Arc<Identity>) -> Stranger {
        let mut wire = self.dial().await;
        let challenge = wire.expect("challenge").await;
        wire.send_frame(&who.link(&challenge)).await;
        Stranger::new(who.clone(), wire).await
    }
}

impl Stranger {
    /// Sends a request with an id; gives its answer, or the error.
    pub async fn ask(&mut self, request: &Value) -> Value {
        self.wire.ask(request).await
    }

    async fn new(who: Arc<Identity>, mut wire: Wire) -> Self {
        let session =
            wire.expect_where("session", |frame| frame["type"] == "session" || frame["type"] == "error").await;
        assert_eq!(session["type"], "session", "the log-in failed: {session}");
        Self { who, session, wire, chains: HashMap::new() }
    }

    /// Seals a text for somebody and sends it; gives the message's id.
    pub async fn send(&mut self, to: &Stranger, text: &str) -> String {
        let (last, previous) = self.chains.get(&to.who.name).copied().unwrap_or_default();
        let (id, frame) = sealed(&self.who, &to.who, text, last + 1, previous);
        self.chains.insert(to.who.name.clone(), (last + 1, chain(&previous, last + 1, &id)));
        self.send_frame(&frame).await;
        id.to_string()
    }

    /// Sends a cheap message that nobody can open; gives its id.
    pub async fn send_dummy(&mut self, to: &Identity) -> String {
        self.send_message(&dummy(to)).await
    }

    /// Sends a `message` frame; gives its id.
    ///
    /// # Panics
    /// When it has none.
    pub async fn send_message(&mut self, frame: &Value) -> String {
        self.send_frame(frame).await;
        frame["messageId"].as_str().expect("a message has an id").to_owned()
    }

    /// The next message.
    pub async fn next_message(&mut self) -> Value {
        self.expect("message").await
    }

    /// The next message, acknowledged.
    ///
    /// # Panics
    /// When it has no `seq`.
    pub async fn take_message(&mut self) -> Value {
        let message = self.next_message().await;
        self.ack(message["seq"].as_u64().expect("a number")).await;
        message
    }

    /// Acknowledges everything up to `seq`.
    pub async fn ack(&mut self, seq: u64) {
        self.send_frame(&json!({ "type": "ack", "seq": seq })).await;
    }

    /// Looks keys up; gives the answer, or the error.
    pub async fn keys(&mut self, query: &Value) -> Value {
        let mut frame = query.clone();
        frame["type"] = "keys".into();
        frame["id"] = "keys".into();
        self.send_frame(&frame).await;
        self.expect_where("the answer to keys", |frame| frame["id"] == "keys").await
    }

    /// Opens a message of `from` and gives its text.
    ///
    /// # Panics
    /// When it does not open.
    pub fn read(&self, from: &Identity, message: &Value) -> String {
        let opened = self.open(from, message);
        let content: Value = serde_json::from_slice(&opened.payload.body).expect("content is JSON");
        content["text"].as_str().expect("a text").to_owned()
    }

    /// Opens a message of `from`.
    ///
    /// # Panics
    /// When it does not open.
    pub fn open(&self, from: &Identity, message: &Value) -> Opened {
        let receiver = Eyes { me: &self.who, from };
        open(&mut rand::rng(), &receiver, Lane::Message, now(), &delivered(message)).expect("it opens")
    }
}

/// What a device knows when it opens a message of somebody.
struct Eyes<'a> {
    me: &'a Identity,
    from: &'a Identity,
}

impl KeyHolder for Eyes<'_> {
    fn wrap_key(&self, kid: &Kid) -> Option<&WrapKey> {
        (self.me.dwk.kid() == kid).then_some(&self.me.dwk)
    }
}

impl Receiver for Eyes<'_> {
    fn username(&self) -> &Username {
        &self.me.name
    }

    fn device(&self) -> &DeviceId {
        &self.me.device
    }

    fn holds(&self, kid: &Kid) -> bool {
        self.wrap_key(kid).is_some()
    }

    fn sender_key(&self, from: &Username, device: &DeviceId, _: u64) -> Result<SenderKey, NoSenderKey> {
        let known = *from == self.from.name && *device == self.from.device;
        known.then(|| SenderKey::Current(self.from.dsk.public().clone())).ok_or(NoSenderKey::Unknown)
    }

    fn has_seen(&self, _: &DeviceId, _: &MessageId) -> bool {
        false
    }
}

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    unb64(value).try_into().expect("bytes of this number")
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().expect("a string").parse().expect("well formed")
}

/// Reads a `message` frame of the server.
fn delivered(message: &Value) -> Delivered {
    let recipients = message["recipients"].as_array().expect("a list");
    let recipient = |entry: &Value| Recipient {
        username: parsed(&entry["u"]),
        device: parsed(&entry["d"]),
        dwk_kid: Kid(bytes(&entry["k"])),
    };
    Delivered {
        suite: 1,
        message_id: parsed(&message["messageId"]),
        timestamp: message["timestamp"].as_u64().expect("a time"),
        from: parsed(&message["from"]),
        from_device: parsed(&message["fromDevice"]),
        to: parsed(&message["to"]),
        recipients: recipients.iter().map(recipient).collect(),
        iv: bytes(&message["iv"]),
        encrypted_message: unb64(&message["encryptedMessage"]),
        wrap: unb64(&message["encryptedKey"]),
        wrap_hashes: recipients.iter().map(|entry| bytes(&entry["h"])).collect(),
        signature: unb64(&message["signature"]),
    }
}
