//! What a server says, as far as it matters here: messages and statuses by a look at their bytes, everything else by the
//! protocol's own reader, which also gets them when they are written in another order than expected.

use sealwire_protocol::frames::{ServerFrame, Status};

use crate::numbering::ID;

/// A frame of the server.
#[derive(Debug)]
pub(crate) enum Heard<'a> {
    /// A delivery.
    Message { seq: u64, id: Vec36<'a> },
    /// An answer to each of these ids, which follow each other with three characters between.
    Statuses { status: Status, ids: &'a [u8] },
    /// Anything else.
    Other(Box<ServerFrame>),
    /// Not of this protocol.
    Strange,
}

/// The text of a message id: borrowed from the frame, or owned where the long way was taken.
#[derive(Debug)]
pub(crate) enum Vec36<'a> {
    /// Part of the frame.
    Borrowed(&'a [u8]),
    /// Written anew.
    Owned(String),
}

impl Vec36<'_> {
    /// The characters.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(text) => text.as_bytes(),
        }
    }
}

const MESSAGE: &[u8] = br#"{"type":"message","seq":"#;
const KEY: &[u8] = br#","encryptedKey":""#;
/// An RSA-4096 wrap in Base64.
const KEY_LENGTH: usize = 684;
const MESSAGE_ID: &[u8] = br#""messageId":""#;
const STATUS: &[u8] = br#"{"type":"status","status":""#;
const IDS: &[u8] = br#"","messageIds":[""#;
const BETWEEN: &[u8] = br#"",""#;

/// Reads a frame.
pub(crate) fn hear(text: &[u8]) -> Heard<'_> {
    if let Some(heard) = message(text).or_else(|| statuses(text)) {
        return heard;
    }
    match serde_json::from_slice(text) {
        Ok(ServerFrame::Message(message)) => {
            Heard::Message { seq: message.seq, id: Vec36::Owned(message.message_id.to_string()) }
        }
        Ok(other) => Heard::Other(Box::new(other)),
        Err(_) => Heard::Strange,
    }
}

fn message(text: &[u8]) -> Option<Heard<'_>> {
    let rest = text.strip_prefix(MESSAGE)?;
    let digits = rest.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    let seq = rest[..digits].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let rest = rest[digits..].strip_prefix(KEY)?.get(KEY_LENGTH..)?;
    // No value before it can hold a quotation mark.
    let at = memchr::memmem::find(rest, MESSAGE_ID)? + MESSAGE_ID.len();
    Some(Heard::Message { seq, id: Vec36::Borrowed(rest.get(at..at + ID)?) })
}

fn statuses(text: &[u8]) -> Option<Heard<'_>> {
    let rest = text.strip_prefix(STATUS)?;
    let (status, rest) =
        [(Status::Delivered, &b"delivered"[..]), (Status::Queued, b"queued"), (Status::Expired, b"expired")]
            .into_iter()
            .find_map(|(status, word)| Some((status, rest.strip_prefix(word)?)))?;
    let ids = rest.strip_prefix(IDS)?;
    let end = memchr::memchr(b']', ids)?.checked_sub(1)?;
    Some(Heard::Statuses { status, ids: &ids[..end] })
}

/// The ids of a status.
pub(crate) fn each_id(ids: &[u8]) -> impl Iterator<Item = &[u8]> {
    ids.chunks(ID + BETWEEN.len()).map(|chunk| &chunk[..chunk.len().min(ID)])
}

#[cfg(test)]
mod tests {
    use sealwire_protocol::MessageId;
    use sealwire_protocol::frames::{Delivery, StatusFrame};

    use super::*;

    fn id(n: u8) -> MessageId {
        MessageId::new_v7(1_790_000_000_000, [n; 10])
    }

    #[test]
    fn a_delivery_is_read_as_the_server_writes_it() {
        let shared = format!(r#""from":"alice","fromDevice":"{0}","messageId":"{0}","to":"bob"}}"#, id(7));
        let json = Delivery { seq: 1234, wrap: "A".repeat(KEY_LENGTH).as_bytes(), shared: shared.as_bytes() }.to_json();
        let Heard::Message { seq: 1234, id: Vec36::Borrowed(found) } = hear(&json) else { panic!("{json:?}") };
        assert_eq!(found, id(7).to_string().as_bytes());
    }

    #[test]
    fn statuses_are_read_as_the_server_writes_them() {
        for status in [Status::Queued, Status::Delivered, Status::Expired] {
            let ids: Vec<_> = (0..3).map(id).collect();
            let frame = ServerFrame::Status(StatusFrame { status, message_ids: ids.clone(), at: 5 }).to_json();
            let Heard::Statuses { status: found, ids: text } = hear(frame.as_bytes()) else { panic!("{frame}") };
            let texts: Vec<_> = ids.iter().map(|id| id.to_string().into_bytes()).collect();
            assert_eq!((found, each_id(text).map(<[u8]>::to_vec).collect::<Vec<_>>()), (status, texts));
        }
    }

    #[test]
    fn other_frames_take_the_long_way_and_garbage_is_strange() {
        assert!(matches!(hear(br#"{"type":"queue","empty":true}"#), Heard::Other(_)));
        let otherwise = format!(r#"{{"messageIds":["{}"],"at":1,"status":"queued","type":"status"}}"#, id(1));
        assert!(matches!(hear(otherwise.as_bytes()), Heard::Other(_)));
        for garbage in
            [&b""[..], b"{", b"[]", br#"{"type":"message","seq":1}"#, br#"{"type":"status","status":"queued"}"#]
        {
            assert!(matches!(hear(garbage), Heard::Strange), "{garbage:?}");
        }
    }
}
