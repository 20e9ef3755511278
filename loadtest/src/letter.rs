//! `message` frames (protocol section 6) that are ready but for their number, their time and an acknowledgement that rides along.

use std::fmt::Write as _;
use std::sync::Arc;

use sealwire_protocol::base64::Base64;
use sealwire_protocol::frames::{IV_BYTES, RSA_BYTES};

use crate::keys::Pool;
use crate::numbering::{NUMBER_AT, Numbering, write_number};
use crate::person::Person;
use crate::websocket;

const BEGIN: &[u8] = br#"{"type":"message","#;
const ID: &str = r#""messageId":""#;
const TIMESTAMP: &str = r#"","timestamp":"#;
const TIMESTAMP_AT: usize = ID.len() + 36 + TIMESTAMP.len();

/// Length of a time in milliseconds since 1970 until the year 2286.
pub(crate) const STAMP: usize = 13;

/// What stands last in a message for one device: ciphertext, signature and wrapped key, which nobody has to be able to open.
/// The server cannot tell.
pub(crate) fn ending(encrypted_message: usize) -> Arc<[u8]> {
    let (sealed, iv) = (random(encrypted_message), random(IV_BYTES));
    let (signature, key) = (random(RSA_BYTES), random(RSA_BYTES));
    format!(r#""suite":1,"iv":"{iv}","signature":"{signature}","encryptedMessage":"{sealed}","encryptedKey":"{key}"}}"#)
        .into_bytes()
        .into()
}

/// Base64 of so many random bytes.
pub(crate) fn random(length: usize) -> String {
    let bytes: Vec<u8> = (0..length).map(|_| rand::random()).collect();
    Base64::encode(&bytes).as_str().to_owned()
}

/// Everything about the messages of a line that does not change from one to the next.
#[derive(Debug)]
pub(crate) struct Letter {
    head: Vec<u8>,
    end: Arc<[u8]>,
}

impl Letter {
    /// For all devices of an addressee.
    pub(crate) fn new(numbering: &Numbering, line: u32, to: &Person, pool: &Pool, ending: &Arc<[u8]>) -> Self {
        let name = to.name();
        let mut head = format!(r#"{ID}{}{TIMESTAMP}"#, numbering.id(line, 0));
        // Writing to a string cannot fail.
        let _ = write!(head, r#"{:0>STAMP$},"to":"{name}","recipients":["#, 0);
        for (n, device) in to.devices().iter().enumerate() {
            let separator = if n == 0 { "" } else { "," };
            let kid = Base64::encode(to.dwk_kid(pool, n).as_bytes());
            let _ = write!(head, r#"{separator}{{"u":"{name}","d":"{device}","k":"{}"}}"#, kid.as_str());
        }
        head.push_str("],");
        let end = if to.devices().len() == 1 { ending.clone() } else { with_keys(ending, to) };
        Self { head: head.into_bytes(), end }
    }

    /// How long a message is, as JSON without an acknowledgement.
    pub(crate) fn length(&self) -> usize {
        BEGIN.len() + self.head.len() + self.end.len()
    }

    /// Writes a message as a WebSocket frame.
    pub(crate) fn write(&self, out: &mut Vec<u8>, number: u32, stamp: &[u8; STAMP], ack: Option<u64>) {
        let ack = Ack::new(ack);
        websocket::text_header(out, BEGIN.len() + ack.as_bytes().len() + self.head.len() + self.end.len());
        out.extend_from_slice(BEGIN);
        out.extend_from_slice(ack.as_bytes());
        let at = out.len();
        out.extend_from_slice(&self.head);
        let id = at + ID.len();
        write_number(&mut out[id + NUMBER_AT..id + 36], number);
        out[at + TIMESTAMP_AT..at + TIMESTAMP_AT + STAMP].copy_from_slice(stamp);
        out.extend_from_slice(&self.end);
    }
}

/// Writes a message that was sealed for real; `rest` is its JSON behind the `type`.
pub(crate) fn write_sealed(out: &mut Vec<u8>, rest: &[u8], ack: Option<u64>) {
    let ack = Ack::new(ack);
    websocket::text_header(out, BEGIN.len() + ack.as_bytes().len() + rest.len());
    out.extend_from_slice(BEGIN);
    out.extend_from_slice(ack.as_bytes());
    out.extend_from_slice(rest);
}

/// A message's JSON behind the `type`, for [`write_sealed`].
pub(crate) fn behind_type(json: &str) -> Option<&[u8]> {
    json.as_bytes().strip_prefix(BEGIN)
}

/// The ending with a wrapped key for each of several devices.
fn with_keys(ending: &[u8], to: &Person) -> Arc<[u8]> {
    let text = String::from_utf8_lossy(ending);
    let (begin, key) = text.split_once(r#""encryptedKey":"#).expect("an ending has one key");
    let key = key.trim_end_matches('}');
    let keys: Vec<_> =
        to.devices().iter().map(|device| format!(r#"{{"u":"{}","d":"{device}","w":{key}}}"#, to.name())).collect();
    format!(r#"{begin}"encryptedKeys":[{}]}}"#, keys.join(",")).into_bytes().into()
}

/// `"ack":N,`, without an allocation.
struct Ack {
    text: [u8; 32],
    length: usize,
}

impl Ack {
    fn new(seq: Option<u64>) -> Self {
        let mut ack = Self { text: [0; 32], length: 0 };
        if let Some(seq) = seq {
            let mut rest = &mut ack.text[..];
            // The longest number has 20 digits.
            let _ = std::io::Write::write_fmt(&mut rest, format_args!(r#""ack":{seq},"#));
            ack.length = 32 - rest.len();
        }
        ack
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// A time as the digits that a frame carries.
pub(crate) fn stamp(millis: u64) -> [u8; STAMP] {
    let mut digits = [b'0'; STAMP];
    let mut rest = millis;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    digits
}
