//! Frames as the relay sees them: a look at their bytes, and no more.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use memchr::memmem;
use sealwire_protocol::base64::{Array, Base64};
use sealwire_protocol::frames::{Challenge, HeartbeatAnswer, Queue, ServerFrame, Session, SessionLimits};

use super::mail::Id;
use crate::numbering::ID;
use crate::worker::wall;

const HOUR: u64 = 60 * 60 * 1000;
/// RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What a server adds to each recipient: the hash of the wrapped key. Here it is of the right length.
const HASH: &[u8] = br#","h":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=""#;

/// A client's frame.
pub(super) enum Frame {
    /// Not all of it has come.
    Unfinished,
    /// A text: where it begins and ends, the latter being the end of the frame.
    Text(usize, usize),
    /// Something to pass over.
    Nothing(usize),
    /// The client goes, or is none.
    Over,
}

/// Reads the frame that these bytes begin with, and takes its mask off.
pub(super) fn frame(bytes: &mut [u8]) -> Frame {
    let [first, second, ..] = *bytes else { return Frame::Unfinished };
    let (length, at) = match (second & 0x7f, bytes.len()) {
        (length @ 0..=125, _) => (usize::from(length), 2),
        (126, 4..) => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
        (126, _) => return Frame::Unfinished,
        // Nothing of the protocol's four frames is as long.
        _ => return Frame::Over,
    };
    let (begin, end) = (at + 4, at + 4 + length);
    if second & 0x80 == 0 {
        return Frame::Over;
    }
    if bytes.len() < end {
        return Frame::Unfinished;
    }
    let mask = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    for chunk in bytes[begin..end].chunks_mut(4) {
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    match first {
        0x81 => Frame::Text(begin, end),
        0x8a => Frame::Nothing(end),
        _ => Frame::Over,
    }
}

/// Begins a text frame of a server.
pub(super) fn text_header(out: &mut Vec<u8>, length: usize) {
    out.push(0x81);
    match length {
        0..=125 => out.push(length as u8),
        126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Writes a text frame of a server.
pub(super) fn text(out: &mut Vec<u8>, text: &[u8]) {
    text_header(out, text.len());
    out.extend_from_slice(text);
}

/// The value of the first such field, as far as its closing quotation mark.
pub(super) fn field<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = &text[memmem::find(text, name)? + name.len()..];
    Some(&rest[..memchr::memchr(b'"', rest)?])
}

/// The number behind the first such name.
pub(super) fn number(text: &[u8], name: &[u8]) -> Option<u64> {
    let rest = &text[memmem::find(text, name)? + name.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// A `message` in its parts.
pub(super) struct Message<'a> {
    pub(super) ack: Option<u64>,
    pub(super) id: Id,
    pub(super) to: &'a [u8],
    text: &'a [u8],
}

const MESSAGE_ID: &[u8] = br#""messageId":""#;
const KEY: &[u8] = br#","encryptedKey":""#;

/// Takes a `message` apart.
pub(super) fn message(text: &[u8]) -> Option<Message<'_>> {
    let at = memmem::find(text, MESSAGE_ID)?;
    let ack = number(&text[..at], br#""ack":"#);
    let text = &text[at..];
    let id = text.get(MESSAGE_ID.len()..MESSAGE_ID.len() + ID)?.try_into().ok()?;
    Some(Message { ack, id, to: field(text, br#""to":""#)?, text })
}

impl Message<'_> {
    /// Writes what a device gets behind the `seq`; as long as a server's.
    pub(super) fn write_delivery(&self, out: &mut Vec<u8>, from: &[u8], device: &[u8]) -> Option<()> {
        // The wrapped key is the last field, of 684 characters.
        let tail = self.text.len().checked_sub(684 + KEY.len() + 2)?;
        let (body, key) = self.text.split_at(tail);
        let key = key.strip_prefix(KEY)?.strip_suffix(b"\"}")?;
        let hash_at = memmem::find(body, b"}]")?;
        for part in [KEY, key, br#"","from":""#, from, br#"","fromDevice":""#, device, br#"","#] {
            out.extend_from_slice(part);
        }
        for part in [&body[..hash_at], HASH, &body[hash_at..], b"}"] {
            out.extend_from_slice(part);
        }
        Some(())
    }
}

/// Writes a delivery with its `seq`.
pub(super) fn delivery(out: &mut Vec<u8>, seq: u64, rest: &[u8]) {
    const HEAD: &[u8] = br#"{"type":"message","seq":"#;
    let mut digits = [0; 20];
    let mut free = &mut digits[..];
    // The longest number has 20 digits.
    let _ = std::io::Write::write_fmt(&mut free, format_args!("{seq}"));
    let length = 20 - free.len();
    text_header(out, HEAD.len() + length + rest.len());
    out.extend_from_slice(HEAD);
    out.extend_from_slice(&digits[..length]);
    out.extend_from_slice(rest);
}

/// Writes one status for all of these ids.
pub(super) fn delivered(out: &mut Vec<u8>, ids: &[Id], now: u64) {
    const HEAD: &[u8] = br#"{"type":"status","status":"delivered","messageIds":["#;
    let end = format!("],\"at\":{now}}}");
    text_header(out, HEAD.len() + ids.len() * (ID + 3) - 1 + end.len());
    out.extend_from_slice(HEAD);
    for (n, id) in ids.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(id);
        out.push(b'"');
    }
    out.extend_from_slice(end.as_bytes());
}

/// The answer to an upgrade, and the challenge behind it; `None` when it is no upgrade.
pub(super) fn upgraded(request: &[u8]) -> Option<Vec<u8>> {
    let head = std::str::from_utf8(request).ok()?;
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let accept = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{}{GUID}", header("sec-websocket-key")?).as_bytes());
    let mut out = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
         Sec-WebSocket-Protocol: {}\r\n\r\n",
        Base64::encode(accept.as_ref()).as_str(),
        sealwire_protocol::frames::SUBPROTOCOL
    )
    .into_bytes();
    let challenge = Challenge {
        id: None,
        v: 1,
        origin: format!("ws://{}", header("host")?),
        channel_id: Array(rand::random()),
        nonce: Array(rand::random()),
        server_time: wall(),
        expires_at: wall() + 30_000,
    };
    text(&mut out, ServerFrame::Challenge(challenge).to_json().as_bytes());
    Some(out)
}

/// Lets somebody in, whatever was signed: the session, and an empty mailbox. `None` when the names are none.
pub(super) fn session(name: &[u8], device: &[u8]) -> Option<Vec<u8>> {
    let parsed = |bytes| std::str::from_utf8(bytes).ok();
    let limits = SessionLimits {
        messages_per_minute: 0,
        frames_per_second: 0,
        frame_bytes: 0xffff,
        window_messages: usize::from(u16::MAX),
        mailbox_messages: 0,
        key_lookups_per_minute: 0,
    };
    let session = Session {
        id: None,
        session_id: Array(rand::random()),
        username: parsed(name)?.parse().ok()?,
        device_id: parsed(device)?.parse().ok()?,
        expires_at: wall() + HOUR,
        queued: 0,
        limits,
    };
    let mut out = Vec::new();
    text(&mut out, ServerFrame::Session(Box::new(session)).to_json().as_bytes());
    text(&mut out, ServerFrame::Queue(Queue { empty: true, missed: None }).to_json().as_bytes());
    Some(out)
}

/// The answer to a heartbeat.
pub(super) fn heartbeat(timestamp: u64) -> String {
    ServerFrame::Heartbeat(HeartbeatAnswer { id: None, timestamp, server_time: wall() }).to_json()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use sealwire_protocol::frames::{
        ClientFrame, Delivery, Message as Sent, Recipient, Request, Shared, Status, StatusFrame,
    };
    use sealwire_protocol::{DeviceId, Kid, MessageId, Username};

    use super::*;
    use crate::websocket;

    fn payload(out: &[u8]) -> &[u8] {
        match websocket::frame(out) {
            websocket::Frame::Text(text, whole) if whole == out.len() => text,
            other => panic!("{other:?}"),
        }
    }

    fn sent(to: &Username) -> Sent<'static> {
        let device = DeviceId::new_v7(2, [2; 10]);
        Sent {
            message_id: MessageId::new_v7(3, [3; 10]),
            to: Cow::Owned(to.to_string()),
            encrypted_message: Base64::encode(&[1; 304]),
            iv: Base64::encode(&[2; 12]),
            timestamp: 1_790_000_000_000,
            signature: Base64::encode(&[3; 512]),
            suite: 1,
            recipients: vec![Recipient { u: Cow::Owned(to.to_string()), d: device, k: Kid([4; 32]) }],
            encrypted_key: Some(Base64::encode(&[5; 512])),
            encrypted_keys: None,
        }
    }

    #[test]
    fn a_delivery_is_as_long_as_a_server_s_and_says_the_same_but_for_the_hash() {
        let (from, to): (Username, Username) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let (device, message) = (DeviceId::new_v7(1, [1; 10]), sent(&to));
        let shared = Shared::new(&message, &from, &device, &to).into_string();
        let wrap = message.encrypted_key.clone().unwrap();
        let server = Delivery { seq: 17, wrap: wrap.as_str().as_bytes(), shared: shared.as_bytes() }.to_json();

        let text = ClientFrame { id: None, ack: Some(4), request: Request::Message(Box::new(message)) }.to_json();
        let taken = super::message(text.as_bytes()).unwrap();
        assert_eq!((taken.ack, taken.to), (Some(4), &b"bob"[..]));
        let (mut rest, mut out) = (Vec::new(), Vec::new());
        taken.write_delivery(&mut rest, b"alice", device.to_string().as_bytes()).unwrap();
        delivery(&mut out, 17, &rest);
        assert_eq!(payload(&out).len(), server.len());
        let read = |text: &[u8]| match serde_json::from_slice(text).unwrap() {
            ServerFrame::Message(mut message) => {
                message.recipients.iter_mut().for_each(|entry| entry.h = Array([0; 32]));
                message
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(read(payload(&out)), read(&server));
    }

    #[test]
    fn a_status_is_what_a_server_writes() {
        let ids = [MessageId::new_v7(1, [1; 10]), MessageId::new_v7(2, [2; 10])];
        let texts: Vec<Id> = ids.iter().map(|id| id.to_string().as_bytes().try_into().unwrap()).collect();
        let mut out = Vec::new();
        delivered(&mut out, &texts, 5);
        let server = StatusFrame { status: Status::Delivered, message_ids: ids.to_vec(), at: 5 };
        assert_eq!(String::from_utf8_lossy(payload(&out)), ServerFrame::Status(server).to_json());
    }

    #[test]
    fn masks_are_taken_off_and_unfinished_frames_waited_for() {
        let mut bytes = vec![0x81, 0x80 | 5, 1, 2, 3, 4];
        bytes.extend(b"hello".iter().zip([1, 2, 3, 4, 1]).map(|(byte, mask)| byte ^ mask));
        assert!(matches!(frame(&mut bytes.clone()[..9]), Frame::Unfinished));
        let Frame::Text(begin, end) = frame(&mut bytes) else { panic!("a text") };
        assert_eq!(&bytes[begin..end], b"hello");
        assert!(matches!(frame(&mut [0x81, 0]), Frame::Over), "a client masks");
    }
}
