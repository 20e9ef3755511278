//! Frames: one JSON object each, with a string field `type` (protocol sections 1, 5 and 6).
//!
//! What a client sends is read by [`ClientFrame::parse`], which refuses whatever is not in the protocol. What a server
//! sends is read by [`ServerFrame`], which passes over fields that it does not know. A delivered message is written by
//! [`Delivery`], which builds the part that all devices share only once.

mod client;
mod compact;
mod deliver;
mod keys;
mod parse;
mod server;

pub use client::{
    Auth, Backup, BackupGet, BackupPut, ClientFrame, Devices, Heartbeat, KeyQuery, Link, Message, PresenceRequest,
    Recipient, Register, Rendezvous, RendezvousPut, RendezvousTake, Request, Rotate, Wrapped,
};
pub use deliver::{Delivery, Shared, signal_json};
pub use keys::{DeviceWrap, ManifestDeviceFrame, ManifestFrame, WrapFrame};
pub use parse::FrameError;
pub use server::{
    BackupAnswer, Challenge, Delivered, DeliveredRecipient, DevicesAnswer, Done, ErrorFrame, HeartbeatAnswer, Keys,
    PresenceFrame, Queue, Reconnect, RendezvousAnswer, ServerFrame, Session, SessionLimits, Status, StatusFrame,
};

/// Longest `id` of a request, in bytes.
pub const MAX_REQUEST_ID: usize = 64;
/// How deep objects and arrays of a frame may be nested.
pub const MAX_DEPTH: usize = 8;
/// Most recipients of a message.
pub const MAX_RECIPIENTS: usize = 64;
/// Length of an RSA-4096 signature or wrapped key, in bytes.
pub const RSA_BYTES: usize = 512;
/// Length of an AES-GCM nonce, in bytes.
pub const IV_BYTES: usize = 12;
/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "sealwire.v1";
/// The longest frame in either direction, in bytes.
pub const MAX_FRAME: usize = 1024 * 1024;
