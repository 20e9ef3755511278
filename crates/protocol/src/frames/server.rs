//! What a server sends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use super::keys::{DeviceWrap, ManifestFrame};
use crate::base64::{Array, Blob};
use crate::codes::ErrorCode;
use crate::ids::{DeviceId, Kid, MessageId, Username};

/// A frame from the server. Reading passes over unknown fields; an unknown type is [`ServerFrame::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ServerFrame {
    /// To be answered within its time.
    Challenge(Challenge),
    /// The log-in was accepted.
    Session(Box<Session>),
    /// A message for this device.
    Message(Box<Delivered>),
    /// What became of messages that this device sent.
    Status(StatusFrame),
    /// A request was refused.
    Error(Box<ErrorFrame>),
    /// Answer to a heartbeat.
    Heartbeat(HeartbeatAnswer),
    /// Somebody's keys.
    Keys(Box<Keys>),
    /// The backlog has been sent.
    Queue(Queue),
    /// The node is about to go.
    Reconnect(Reconnect),
    /// The wrap key was replaced.
    Rotate(Done),
    /// The manifest was taken.
    Devices(DevicesAnswer),
    /// A side of a slot was filled, or read.
    Rendezvous(RendezvousAnswer),
    /// The backup was kept, or this is it.
    Backup(Box<BackupAnswer>),
    /// An envelope that is never stored nor acknowledged; its [`Delivered::seq`] is 0.
    Signal(Box<Delivered>),
    /// Answer to a request, or somebody came or went.
    Presence(PresenceFrame),
    /// A type of a later version.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl ServerFrame {
    /// Writes the frame.
    pub fn to_json(&self) -> String {
        match self {
            Self::Status(frame) => frame.to_json(),
            _ => serde_json::to_string(self).expect("frames have string keys and no failing Serialize"),
        }
    }
}

/// `challenge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    /// Of the request, if one asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Protocol version, 1.
    pub v: u8,
    /// The origin that the server believes it is reached by.
    pub origin: String,
    /// Names the connection.
    pub channel_id: Array<16>,
    /// Fresh random bytes.
    pub nonce: Array<32>,
    /// Milliseconds since 1970.
    pub server_time: u64,
    /// Milliseconds since 1970.
    pub expires_at: u64,
}

/// `session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Names the session.
    pub session_id: Array<16>,
    /// Who is logged in.
    pub username: Username,
    /// With which device.
    pub device_id: DeviceId,
    /// Milliseconds since 1970.
    pub expires_at: u64,
    /// Messages waiting in the mailbox.
    pub queued: u64,
    /// Informative.
    pub limits: SessionLimits,
}

/// Limits that a client may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionLimits {
    /// Messages of one user in any 60 s; 0 is no limit.
    pub messages_per_minute: u32,
    /// Frames of a connection in a second; 0 is no limit.
    pub frames_per_second: u32,
    /// Bytes of a frame.
    pub frame_bytes: usize,
    /// Messages in flight to a device.
    pub window_messages: usize,
    /// Messages in a mailbox.
    pub mailbox_messages: u64,
    /// Key look-ups in a minute; 0 is no limit.
    pub key_lookups_per_minute: u32,
}

/// `message` as a device receives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// Counts the messages of this connection from 1; 0 in a `signal`, which has none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seq: u64,
    /// Who sent it.
    pub from: Username,
    /// From which device.
    pub from_device: DeviceId,
    /// Names the message for ever.
    pub message_id: MessageId,
    /// Whom it is for.
    pub to: Username,
    /// Commitment, ciphertext and tag.
    pub encrypted_message: Blob,
    /// Nonce of AES-GCM.
    pub iv: Array<12>,
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// RSA-PSS by the sending device.
    pub signature: Blob,
    /// 1.
    pub suite: u8,
    /// In the order of the envelope.
    pub recipients: Vec<DeliveredRecipient>,
    /// This device's wrapped key.
    pub encrypted_key: Blob,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A device that a delivered message is sealed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredRecipient {
    /// Whose device.
    pub u: Username,
    /// Which device.
    pub d: DeviceId,
    /// Id of the wrap key.
    pub k: Kid,
    /// SHA-256 of the wrapped key.
    pub h: Array<32>,
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The store holds it.
    Queued,
    /// A device of the addressee has it.
    Delivered,
    /// It was not fetched in time.
    Expired,
}

impl Status {
    /// The word that stands in a frame.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Expired => "expired",
        }
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusFrame {
    /// What has become of them.
    pub status: Status,
    /// Of which messages.
    pub message_ids: Vec<MessageId>,
    /// Milliseconds since 1970.
    pub at: u64,
}

impl StatusFrame {
    /// What `Serialize` writes, in a third of the time: every message gets one.
    fn to_json(&self) -> String {
        // 39 bytes for an id, its quotation marks and a comma; a hundred for all else.
        let mut json = String::with_capacity(100 + 39 * self.message_ids.len());
        let mut push = |parts: &[&str]| parts.iter().for_each(|part| json.push_str(part));
        push(&[r#"{"type":"status","status":""#, self.status.as_str(), r#"","messageIds":["#]);
        for (i, id) in self.message_ids.iter().enumerate() {
            push(&[if i == 0 { "\"" } else { ",\"" }, id.encode(&mut [0; 36]), "\""]);
        }
        push(&[r#"],"at":"#, itoa::Buffer::new().format(self.at), "}"]);
        json
    }
}

/// `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorFrame {
    /// For programs.
    pub code: ErrorCode,
    /// For people; repeats nothing that the peer sent.
    pub message: String,
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Of the message that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// When trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// With `stale_devices`: the devices of both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<BTreeMap<Username, Vec<DeviceWrap>>>,
    /// With `manifest_conflict`: what the server holds from the offered version on, oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<ManifestFrame>>,
}

impl ErrorFrame {
    /// An error with a code and a text.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            id: None,
            message_id: None,
            retry_after_ms: None,
            devices: None,
            manifests: None,
        }
    }
}

/// `heartbeat` from the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatAnswer {
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// As the client sent it.
    pub timestamp: u64,
    /// Milliseconds since 1970.
    pub server_time: u64,
}

/// `keys` from the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keys {
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whose keys.
    pub username: Username,
    /// SPKI DER of the account identity key.
    pub aik: Blob,
    /// Oldest first.
    pub manifests: Vec<ManifestFrame>,
    /// There are later manifests than these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The devices of the newest manifest that can receive now.
    pub devices: Vec<DeviceWrap>,
}

/// `queue`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// True: the backlog has been sent.
    pub empty: bool,
    /// Copies that this device lost because its mailbox was full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
}

/// `reconnect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconnect {
    /// How long to wait before coming back, in milliseconds.
    pub after_ms: u64,
}

/// The answer to a request that has nothing more to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// `devices` from the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesAnswer {
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The newest version.
    pub version: u64,
}

/// `rendezvous` from the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RendezvousAnswer {
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// To `take`: what the side holds; absent while it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Blob>,
}

/// `backup` from the server; to `put` only the `id`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupAnswer {
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Blob>,
    /// SPKI DER of the account identity key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aik: Option<Blob>,
    /// The account's manifests, oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Vec<ManifestFrame>>,
    /// There are later manifests than these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// `presence` from the server: the answer to a request has no name, news have one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceFrame {
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Username>,
    /// Whether a device of theirs is connected, as far as they let others see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
}
