//! What a client sends.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::keys::{ManifestFrame, WrapFrame};
use super::parse::{self, FrameError};
use super::{IV_BYTES, MAX_RECIPIENTS, RSA_BYTES};
use crate::base64::{Array, Base64, Blob};
use crate::ids::{DeviceId, Kid, MessageId};

/// A frame from a client: a request, and what any request may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFrame<'a> {
    /// To be repeated in the answer.
    pub id: Option<Cow<'a, str>>,
    /// Everything up to this `seq` is stored on the device.
    pub ack: Option<u64>,
    /// What is asked for.
    pub request: Request<'a>,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Asks for the challenge of this connection.
    Challenge,
    /// Makes an account.
    Register(Box<Register>),
    /// Logs a device in, or prolongs its session.
    Auth(Box<Auth>),
    /// Sends a message.
    Message(Box<Message<'a>>),
    /// Acknowledges what was delivered.
    Ack(u64),
    /// Shows that the client lives.
    Heartbeat(Heartbeat),
    /// Asks for somebody's keys.
    Keys(KeyQuery<'a>),
    /// The first log-in of a device that the newest manifest lists.
    Link(Box<Link>),
    /// Replaces the device's wrap key.
    Rotate(Box<Rotate>),
    /// Adds the next manifest: other devices, or none at all.
    Devices(Box<Devices>),
    /// Leaves or takes what a new device and an old one tell each other.
    Rendezvous(Box<Rendezvous>),
    /// Leaves or fetches what an account can be recovered with.
    Backup(Box<Backup>),
    /// Sends an envelope that is never stored.
    Signal(Box<Message<'a>>),
    /// Whose presence is wanted, and whether one's own is shared.
    Presence(Box<PresenceRequest>),
}

impl<'a> ClientFrame<'a> {
    /// Reads a frame as the server does: strictly.
    ///
    /// # Errors
    /// [`FrameError`] with the code to answer and the request's `id` as far as it could be read.
    pub fn parse(text: &'a str) -> Result<Self, FrameError> {
        parse::client_frame(text)
    }

    /// Writes the frame.
    pub fn to_json(&self) -> String {
        parse::write_client_frame(self)
    }
}

impl<'a> From<Request<'a>> for ClientFrame<'a> {
    fn from(request: Request<'a>) -> Self {
        Self { id: None, ack: None, request }
    }
}

/// `register`: the account's keys, its first manifest and its first device's wrap key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Register {
    /// Not yet checked: an ill-formed name is answered `username_invalid`.
    pub username: String,
    /// The device that registers.
    pub device_id: DeviceId,
    /// Fresh random bytes.
    pub client_nonce: Array<32>,
    /// SPKI DER of the account identity key.
    pub aik: Blob,
    /// Version 1.
    pub manifest: ManifestFrame,
    /// The device's wrap key.
    pub wrap: WrapFrame,
    /// Where the operator asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
    /// DSK over AUTHIN with purpose 2.
    pub signature: Blob,
}

/// `auth`: a log-in, or the renewal of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Not yet checked: an ill-formed name is a name that nobody has.
    pub username: String,
    /// The device that logs in.
    pub device_id: DeviceId,
    /// Fresh random bytes.
    pub client_nonce: Array<32>,
    /// DSK over AUTHIN with purpose 1.
    pub signature: Blob,
}

/// `message`: an envelope on its way to the server (section 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message<'a> {
    /// Names the message for ever.
    pub message_id: MessageId,
    /// Not yet checked: an ill-formed name is a name that nobody has.
    #[serde(borrow)]
    pub to: Cow<'a, str>,
    /// Commitment, ciphertext and tag.
    #[serde(borrow)]
    pub encrypted_message: Base64<'a>,
    /// Nonce of AES-GCM.
    #[serde(borrow)]
    pub iv: Base64<'a>,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// RSA-PSS by the sending device.
    #[serde(borrow)]
    pub signature: Base64<'a>,
    /// 1.
    pub suite: u8,
    /// Strictly ascending by (username bytes, device id bytes).
    #[serde(borrow)]
    pub recipients: Vec<Recipient<'a>>,
    /// The wrapped key, when there is exactly one recipient.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub encrypted_key: Option<Base64<'a>>,
    /// The wrapped keys, in the order of `recipients`, when there are two or more.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub encrypted_keys: Option<Vec<Wrapped<'a>>>,
}

/// A device that a message is sealed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient<'a> {
    /// Whose device.
    #[serde(borrow)]
    pub u: Cow<'a, str>,
    /// Which device.
    pub d: DeviceId,
    /// Id of the wrap key.
    pub k: Kid,
}

/// A wrapped key of a message with several recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrapped<'a> {
    /// Whose device.
    #[serde(borrow)]
    pub u: Cow<'a, str>,
    /// Which device.
    pub d: DeviceId,
    /// The content key, wrapped for it.
    #[serde(borrow)]
    pub w: Base64<'a>,
}

/// `heartbeat` from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The client's clock; comes back as it is.
    pub timestamp: u64,
}

/// `keys` from a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyQuery<'a> {
    /// Whose keys.
    #[serde(borrow)]
    pub username: Cow<'a, str>,
    /// The newest version that the client has checked; 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_version: Option<u64>,
}

/// `link`: like [`Auth`], with the device's first wrap key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Not yet checked: an ill-formed name is a name that nobody has.
    pub username: String,
    /// The device that logs in for the first time.
    pub device_id: DeviceId,
    /// Fresh random bytes.
    pub client_nonce: Array<32>,
    /// The device's wrap key.
    pub wrap: WrapFrame,
    /// DSK over AUTHIN with purpose 3.
    pub signature: Blob,
}

/// `rotate`: the device's new wrap key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// Its `seq` is above that of the one before.
    pub wrap: WrapFrame,
}

/// `devices`: the next link of an account's chain of manifests. Before the log-in the identity key's signature is the
/// authority, and the account must be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices {
    /// Whose, before the log-in; not yet checked. After it absent, or one's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The next version. One that lists no device deletes the account.
    pub manifest: ManifestFrame,
}

/// `rendezvous`: exactly one of `put` and `take`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendezvous {
    /// Fills a side of a slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<RendezvousPut>,
    /// Reads a side of a slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take: Option<RendezvousTake>,
}

/// What fills a side of a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RendezvousPut {
    /// Derived from the code that a person carries over.
    pub slot: Array<16>,
    /// 1: the new device's, 2: the old one's.
    pub side: u8,
    /// Sealed; at most 64 KiB.
    pub data: Blob,
}

/// Which side of which slot is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RendezvousTake {
    /// Derived from the code that a person carries over.
    pub slot: Array<16>,
    /// 1: the new device's, 2: the old one's.
    pub side: u8,
}

/// `backup`: exactly one of `put` and `get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Replaces the account's backup; after the log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<BackupPut>,
    /// Fetches a backup; before the log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub get: Option<BackupGet>,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPut {
    /// Derived from the recovery code.
    pub id: Array<32>,
    /// Sealed; at most 256 KiB.
    pub data: Blob,
}

/// Which backup is fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupGet {
    /// Whose; not yet checked.
    pub username: String,
    /// Derived from the recovery code.
    pub id: Array<32>,
    /// The manifests after this version; 0 when absent. For a chain that is too long for one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_version: Option<u64>,
}

/// `presence` from a client: at least one of its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceRequest {
    /// Names whose presence is wanted; not yet checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Vec<String>>,
    /// Names whose presence is wanted no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<Vec<String>>,
    /// Whether others may see when this account is online. Kept with the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<bool>,
}

impl<'a> Message<'a> {
    /// What the server can check of an envelope by itself (section 6).
    ///
    /// # Errors
    /// What is wrong, in words that repeat nothing of it.
    pub fn check_shape(&self) -> Result<(), &'static str> {
        let ok = |good: bool, what: &'static str| if good { Ok(()) } else { Err(what) };
        ok(self.suite == 1, "`suite` must be 1")?;
        ok(self.iv.decoded_len() == IV_BYTES, "`iv` must have 12 bytes")?;
        ok(self.signature.decoded_len() == RSA_BYTES, "`signature` must have 512 bytes")?;
        ok(self.encrypted_message.decoded_len() > 0, "`encryptedMessage` must not be empty")?;
        ok((1..=MAX_RECIPIENTS).contains(&self.recipients.len()), "`recipients` must list 1 to 64 devices")?;
        let ascending = self.recipients.windows(2).all(|pair| pair[0].place() < pair[1].place());
        ok(ascending, "`recipients` must ascend strictly by username and device id")?;
        self.check_wraps()
    }

    fn check_wraps(&self) -> Result<(), &'static str> {
        let one_each = match (&self.encrypted_key, &self.encrypted_keys) {
            (Some(_), None) => self.recipients.len() == 1,
            (None, Some(list)) => {
                list.len() > 1
                    && list.len() == self.recipients.len()
                    && list.iter().zip(&self.recipients).all(|(w, r)| (&w.u, w.d) == (&r.u, r.d))
            }
            _ => false,
        };
        if !one_each {
            return Err(
                "one recipient has `encryptedKey`; two or more have `encryptedKeys` in the order of `recipients`",
            );
        }
        let whole = self.wraps().all(|wrap| wrap.decoded_len() == RSA_BYTES);
        if whole { Ok(()) } else { Err("a wrapped key must have 512 bytes") }
    }

    /// The wrapped keys in the order of `recipients`.
    pub fn wraps(&self) -> impl Iterator<Item = &Base64<'a>> {
        self.encrypted_key.iter().chain(self.encrypted_keys.iter().flatten().map(|wrapped| &wrapped.w))
    }
}

impl Recipient<'_> {
    /// What recipients are sorted by.
    fn place(&self) -> (&[u8], &DeviceId) {
        (self.u.as_bytes(), &self.d)
    }
}
