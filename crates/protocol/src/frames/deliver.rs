//! Writing a delivered message. All devices of a message share everything but `seq` and their own wrapped key, so that
//! part is built once, whatever the number of devices and whether the message is handed over or stored.

use sha2::{Digest, Sha256};

use super::client::Message;
use crate::base64::{DIGEST_TEXT, encode_digest};
use crate::ids::{DeviceId, Username};

/// The part of a delivered message that all its devices share: JSON fields, from `from` to the closing brace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared(String);

impl Shared {
    /// Builds it from a message that [has its shape](Message::check_shape).
    ///
    /// `to` must be the name that was looked up, not the sender's spelling of it.
    pub fn new(message: &Message<'_>, from: &Username, from_device: &DeviceId, to: &Username) -> Self {
        // None of these values can hold a character that JSON escapes. They are pushed rather than formatted, which costs a
        // third; every message passes here.
        let (mut device, mut id) = ([0; 36], [0; 36]);
        let (device, id) = (from_device.encode(&mut device), message.message_id.encode(&mut id));
        let (mut timestamp, mut suite) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (timestamp, suite) = (timestamp.format(message.timestamp), suite.format(message.suite));
        let (signature, sealed) = (message.signature.as_str(), message.encrypted_message.as_str());
        #[rustfmt::skip]
        let head = [
            r#""from":""#, from.as_str(), r#"","fromDevice":""#, device, r#"","messageId":""#, id,
            r#"","to":""#, to.as_str(), r#"","timestamp":"#, timestamp, r#","suite":"#, suite,
            r#","iv":""#, message.iv.as_str(), r#"","recipients":["#,
        ];
        let tail = [r#"],"signature":""#, signature, r#"","encryptedMessage":""#, sealed, r#""}"#];
        let entries: usize = message.recipients.iter().map(|recipient| ENTRY_LENGTH + recipient.u.len()).sum();
        let length = |parts: &[&str]| parts.iter().map(|part| part.len()).sum::<usize>();
        // The last entry has no comma behind it.
        let mut json = String::with_capacity(length(&head) + entries.saturating_sub(1) + length(&tail));
        let mut push = |parts: &[&str]| parts.iter().for_each(|part| json.push_str(part));
        push(&head);
        for (i, (recipient, wrap)) in message.recipients.iter().zip(message.wraps()).enumerate() {
            let (mut device, mut kid, mut hash) = ([0; 36], [0; DIGEST_TEXT], [0; DIGEST_TEXT]);
            let separator = if i == 0 { r#"{"u":""# } else { r#",{"u":""# };
            push(&[separator, &recipient.u, r#"","d":""#, recipient.d.encode(&mut device)]);
            let hashed = wrap.with_decoded(|bytes| <[u8; 32]>::from(Sha256::digest(bytes)));
            let (kid, hash) = (encode_digest(recipient.k.as_bytes(), &mut kid), encode_digest(&hashed, &mut hash));
            push(&[r#"","k":""#, kid, r#"","h":""#, hash, r#""}"#]);
        }
        push(&tail);
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
        let mut seq = itoa::Buffer::new();
        let seq = seq.format(self.seq).as_bytes();
        write(&[HEAD.as_bytes(), seq, KEY.as_bytes(), self.wrap, TAIL.as_bytes(), self.shared]);
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

/// An entry of `recipients` and a comma, less the name.
const ENTRY_LENGTH: usize = r#"{"u":"","d":"","k":"","h":""},"#.len() + 36 + 2 * DIGEST_TEXT;

const HEAD: &str = r#"{"type":"message","seq":"#;
const KEY: &str = r#","encryptedKey":""#;
const TAIL: &str = r#"","#;
