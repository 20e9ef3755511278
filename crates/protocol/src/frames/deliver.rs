//! Writing a delivered message. All devices of a message share everything but `seq` and their own wrapped key, so that
//! part is built once, whatever the number of devices and whether the message is handed over or stored.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::client::Message;
use crate::base64::Base64;
use crate::ids::{DeviceId, Username};

/// The part of a delivered message that all its devices share: JSON fields, from `from` to the closing brace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared(String);

impl Shared {
    /// Builds it from a message that [has its shape](Message::check_shape).
    ///
    /// `to` must be the name that was looked up, not the sender's spelling of it.
    pub fn new(message: &Message<'_>, from: &Username, from_device: &DeviceId, to: &Username) -> Self {
        let mut json = String::with_capacity(512 + message.encrypted_message.as_str().len() + 700);
        // Writing to a string cannot fail. None of these values can hold a character that JSON escapes.
        let _ = write!(
            json,
            r#""from":"{from}","fromDevice":"{from_device}","messageId":"{}","to":"{to}","timestamp":{},"suite":{},"iv":"{}","recipients":["#,
            message.message_id,
            message.timestamp,
            message.suite,
            message.iv.as_str(),
        );
        for (i, (recipient, wrap)) in message.recipients.iter().zip(message.wraps()).enumerate() {
            let separator = if i == 0 { "" } else { "," };
            let kid = Base64::encode(recipient.k.as_bytes());
            let hash = Base64::encode(&Sha256::digest(wrap.decode()));
            let (u, d, k, h) = (&recipient.u, recipient.d, kid.as_str(), hash.as_str());
            let _ = write!(json, r#"{separator}{{"u":"{u}","d":"{d}","k":"{k}","h":"{h}"}}"#);
        }
        let (signature, sealed) = (message.signature.as_str(), message.encrypted_message.as_str());
        let _ = write!(json, r#"],"signature":"{signature}","encryptedMessage":"{sealed}"}}"#);
        Self(json)
    }

    /// The JSON text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// One device's frame of a message. Its parts are UTF-8, as they came.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Counts the messages of a connection from 1.
    pub seq: u64,
    /// The device's wrapped key in Base64.
    pub wrap: &'a [u8],
    /// What [`Shared`] built.
    pub shared: &'a [u8],
}

impl Delivery<'_> {
    /// The longest that the frame of a device can become, from the lengths of its parts; all in bytes.
    pub fn max_len(wrap: usize, shared: usize) -> usize {
        // Twenty digits are the longest `seq`.
        HEAD.len() + 20 + KEY.len() + wrap + TAIL.len() + shared
    }

    /// Writes the frame: gives its parts in order, which are written one behind the other.
    pub fn write(&self, write: impl FnOnce(&[&[u8]])) {
        let seq = self.seq.to_string();
        write(&[HEAD.as_bytes(), seq.as_bytes(), KEY.as_bytes(), self.wrap, TAIL.as_bytes(), self.shared]);
    }

    /// The frame.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::new();
        self.write(|parts| json = parts.concat());
        json
    }
}

/// One device's frame of a signal: the same without a `seq`.
pub fn signal_json(wrap: &str, shared: &str) -> String {
    format!(r#"{{"type":"signal","encryptedKey":"{wrap}{TAIL}{shared}"#)
}

const HEAD: &str = r#"{"type":"message","seq":"#;
const KEY: &str = r#","encryptedKey":""#;
const TAIL: &str = r#"","#;
