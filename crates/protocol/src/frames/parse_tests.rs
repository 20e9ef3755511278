use super::super::{Delivery, Message, Recipient, ServerFrame, Shared, Status, StatusFrame, Wrapped};
use super::*;
use crate::base64::{Array, Base64, Blob};
use crate::frames::{Auth, Heartbeat, KeyQuery, Rendezvous, RendezvousTake};
use crate::ids::{DeviceId, Kid, Username};
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn device(last: u8) -> DeviceId {
    format!("0198c0de-0000-7000-8000-0000000000{last:02x}").parse().unwrap()
}

fn message() -> Message<'static> {
    Message {
        message_id: "0198c0de-1111-7000-8000-000000000001".parse().unwrap(),
        to: "bob".into(),
        encrypted_message: Base64::encode(&[1; 304]),
        iv: Base64::encode(&[2; 12]),
        timestamp: 1_790_000_000_000,
        signature: Base64::encode(&[3; 512]),
        suite: 1,
        recipients: vec![Recipient { u: "bob".into(), d: device(0xb1), k: Kid([4; 32]) }],
        encrypted_key: Some(Base64::encode(&[5; 512])),
        encrypted_keys: None,
    }
}

fn code_of(text: &str) -> ErrorCode {
    ClientFrame::parse(text).expect_err("should be refused").code
}

#[test]
fn what_is_written_is_read_again() {
    let frame = ClientFrame { id: Some("r1".into()), ack: Some(7), request: Request::Message(Box::new(message())) };
    let json = frame.to_json();
    assert_eq!(ClientFrame::parse(&json).unwrap(), frame);
}

#[test]
fn the_order_of_fields_does_not_matter() {
    let frame = ClientFrame::parse(r#"{"seq":4,"id":"x","type":"ack"}"#).unwrap();
    assert_eq!((frame.id.as_deref(), frame.request), (Some("x"), Request::Ack(4)));
}

#[test]
fn escapes_in_texts_are_read() {
    let json = ClientFrame::from(Request::Message(Box::new(message()))).to_json().replace('/', "\\/");
    assert!(ClientFrame::parse(&json).is_ok());
    let frame = ClientFrame::parse(r#"{"\u0074ype":"ack","\u0073eq":1}"#).unwrap();
    assert_eq!(frame.request, Request::Ack(1));
}

#[test]
fn what_is_not_in_the_protocol_is_refused() {
    let deep = format!(r#"{{"type":"ack","seq":1,"x":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    let deeper = format!(r#"{{"type":"ack","seq":1,"x":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    let long_id = format!(r#"{{"type":"ack","seq":1,"id":"{}"}}"#, "x".repeat(65));
    for bad in [
        "",
        "null",
        "[]",
        "\"ack\"",
        "{}",
        "not json",
        r#"{"type":"ack"}"#,
        r#"{"type":"ack","seq":-1}"#,
        r#"{"type":"ack","seq":1.5}"#,
        r#"{"type":"ack","seq":"1"}"#,
        r#"{"type":"ack","seq":1,"seq":1}"#,
        r#"{"type":"ack","type":"ack","seq":1}"#,
        r#"{"seq":1,"type":"ack","type":"ack"}"#,
        r#"{"type":"ack","seq":1,"id":"a","id":"a"}"#,
        r#"{"type":"ack","seq":1,"ack":1,"ack":2}"#,
        r#"{"type":"ack","seq":1,"extra":1}"#,
        r#"{"type":"ack","seq":1} trailing"#,
        r#"{"type":"ack","seq":1,"id":5}"#,
        r#"{"type":5,"seq":1}"#,
        r#"{"type":"heartbeat","timestamp":18446744073709551616}"#,
        &deep,
        &deeper,
        &long_id,
    ] {
        assert_eq!(code_of(bad), ErrorCode::BadRequest, "{bad}");
    }
}

#[test]
fn unknown_fields_are_refused_at_any_depth() {
    let json = ClientFrame::from(Request::Message(Box::new(message()))).to_json();
    let nested = json.replace(r#""u":"bob""#, r#""u":"bob","x":1"#);
    assert_ne!(json, nested);
    assert_eq!(code_of(&nested), ErrorCode::BadRequest);
}

#[test]
fn an_unknown_type_is_told_apart_and_keeps_its_id() {
    for text in [r#"{"type":"dance","id":"r9","x":[1,{}]}"#, r#"{"id":"r9","x":[1,{}],"type":"dance"}"#] {
        let error = ClientFrame::parse(text).expect_err("unknown");
        assert_eq!((error.code, error.id.as_deref()), (ErrorCode::UnsupportedType, Some("r9")));
    }
}

#[test]
fn a_refusal_repeats_nothing_of_the_frame_but_its_id() {
    for text in [
        r#"{"type":"ack","seq":1,"canary":1,"id":"r1"}"#,
        r#"{"type":"ack","seq":"canary","id":"r1"}"#,
        r#"{"type":"auth","username":"x","deviceId":"canary","id":"r1"}"#,
    ] {
        let error = ClientFrame::parse(text).expect_err("refused");
        assert!(!error.message.contains("canary"), "{}", error.message);
        assert_eq!(error.id.as_deref(), Some("r1"));
    }
}

#[test]
fn an_envelope_has_one_wrap_for_each_recipient_in_order() {
    assert_eq!(message().check_shape(), Ok(()));
    let wrapped = |d| Wrapped { u: "bob".into(), d: device(d), w: Base64::encode(&[5; 512]) };
    let recipient = |d| Recipient { u: "bob".into(), d: device(d), k: Kid([4; 32]) };
    let two = |keys: Vec<Wrapped<'static>>, recipients| Message {
        recipients,
        encrypted_key: None,
        encrypted_keys: Some(keys),
        ..message()
    };
    let good = two(vec![wrapped(1), wrapped(2)], vec![recipient(1), recipient(2)]);
    assert_eq!(good.check_shape(), Ok(()));
    for bad in [
        two(vec![wrapped(2), wrapped(1)], vec![recipient(1), recipient(2)]),
        two(vec![wrapped(1)], vec![recipient(1)]),
        two(vec![wrapped(2), wrapped(1)], vec![recipient(2), recipient(1)]),
        two(vec![wrapped(1), wrapped(1)], vec![recipient(1), recipient(1)]),
        two(vec![], vec![]),
        Message { encrypted_key: None, ..message() },
        Message { encrypted_keys: Some(vec![wrapped(1), wrapped(2)]), ..message() },
        Message { encrypted_key: Some(Base64::encode(&[0; 511])), ..message() },
        Message { iv: Base64::encode(&[0; 13]), ..message() },
        Message { signature: Base64::encode(&[0; 256]), ..message() },
        Message { suite: 2, ..message() },
        Message { encrypted_message: Base64::encode(&[]), ..message() },
    ] {
        assert!(bad.check_shape().is_err(), "{bad:?}");
    }
}

#[test]
fn a_delivery_says_what_was_sent_and_who_sent_it() {
    let message = message();
    let [alice, bob]: [Username; 2] = ["alice", "bob"].map(|name| name.parse().unwrap());
    let shared = Shared::new(&message, &alice, &device(0xa1), &bob).into_string();
    assert_eq!(shared.capacity(), shared.len());
    let wrap = message.wraps().next().unwrap().as_str().as_bytes();
    let json = Delivery { seq: 3, wrap, shared: shared.as_bytes() }.to_json();
    assert!(json.len() <= Delivery::max_len(wrap.len(), shared.len()));
    let ServerFrame::Message(delivered) = serde_json::from_slice(&json).unwrap() else {
        panic!("no message: {json:?}")
    };
    assert_eq!((delivered.seq, &delivered.from, delivered.from_device), (3, &alice, device(0xa1)));
    assert_eq!((delivered.message_id, &delivered.to), (message.message_id, &bob));
    assert_eq!(delivered.encrypted_key.0, vec![5; 512]);
    assert_eq!(delivered.encrypted_message.0, vec![1; 304]);
    assert_eq!(delivered.recipients[0].h.0, *Kid::of(&[5; 512]).as_bytes());
}

#[test]
fn a_status_is_written_as_any_frame_is() {
    let id = message().message_id;
    for status in [Status::Queued, Status::Delivered, Status::Expired] {
        for message_ids in [vec![], vec![id], vec![id; 3]] {
            let frame = ServerFrame::Status(StatusFrame { status, message_ids, at: 1_790_000_000_000 });
            assert_eq!(frame.to_json(), serde_json::to_string(&frame).unwrap());
        }
    }
}

#[test]
fn server_frames_are_read_with_fields_of_tomorrow() {
    let json = r#"{"type":"status","status":"queued","messageIds":[],"at":1,"new":{}}"#;
    let status = StatusFrame { status: Status::Queued, message_ids: vec![], at: 1 };
    assert_eq!(serde_json::from_str::<ServerFrame>(json).unwrap(), ServerFrame::Status(status));
    assert_eq!(serde_json::from_str::<ServerFrame>(r#"{"type":"x","y":1}"#).unwrap(), ServerFrame::Unknown);
}

#[test]
fn a_frame_of_an_unknown_type_is_no_deeper_than_eight() {
    let nested = |n: usize| format!(r#"{{"type":"dance","x":{}"]["{}}}"#, "[".repeat(n), "]".repeat(n));
    assert_eq!(code_of(&nested(7)), ErrorCode::UnsupportedType);
    assert_eq!(code_of(&nested(8)), ErrorCode::BadRequest);
    assert_eq!(code_of(r#"{"type":"dance","x":"\"[[[[[[[[[["}"#), ErrorCode::UnsupportedType);
}

/// Frames of all shapes, as programs write them.
fn written() -> Vec<String> {
    let wrapped = |d| Wrapped { u: "bob".into(), d: device(d), w: Base64::encode(&[d; 3]) };
    let recipient = |d| Recipient { u: "bob".into(), d: device(d), k: Kid([4; 32]) };
    let to_two = Message {
        recipients: vec![recipient(1), recipient(2)],
        encrypted_key: None,
        encrypted_keys: Some(vec![wrapped(1), wrapped(2)]),
        signature: Base64::encode(&[]),
        encrypted_message: Base64::encode(&[1; 5]),
        ..message()
    };
    let auth = Auth {
        username: "bøb".into(),
        device_id: device(1),
        client_nonce: Array([7; 32]),
        signature: Blob(vec![3; 4]),
    };
    let take = Rendezvous { put: None, take: Some(RendezvousTake { slot: Array([1; 16]), side: 2 }) };
    let requests = [
        Request::Message(Box::new(message())),
        Request::Signal(Box::new(to_two)),
        Request::Ack(u64::MAX),
        Request::Heartbeat(Heartbeat { timestamp: 0 }),
        Request::Keys(KeyQuery { username: "bob".into(), since_version: Some(10) }),
        Request::Auth(Box::new(auth)),
        Request::Challenge,
        Request::Rendezvous(Box::new(take)),
    ];
    let common = [(None, None), (Some("r1".into()), Some(7))];
    let frame =
        |request: &Request<'static>| common.clone().map(|(id, ack)| ClientFrame { id, ack, request: request.clone() });
    requests.iter().flat_map(frame).map(|frame| frame.to_json()).collect()
}

#[test]
fn what_programs_write_is_read_in_the_compact_form() {
    for text in written() {
        assert!(matches!(compact_frame(&text), Ok(Found::Frame(_))), "{text}");
    }
}

/// What an edit puts into a frame: pieces of JSON, and what is nearly JSON.
const PIECES: &[&str] = &[
    "",
    "\"",
    ",",
    ":",
    "{",
    "}",
    "[",
    "]",
    "[]",
    "{}",
    "\\",
    "\\\"",
    "\\u0061",
    " ",
    "\n",
    "\t",
    "\u{1f}",
    "\u{7f}",
    "é",
    "A",
    "=",
    "null",
    "true",
    "0",
    "00",
    "01",
    "7",
    "-",
    "-1",
    "+1",
    ".5",
    "e3",
    "1e3",
    "18446744073709551615",
    "18446744073709551616",
    "\"x\":1,",
    ",\"x\":[{}]",
    "\"id\":\"a\",",
    "\"ack\":1,",
    "\"type\":\"ack\",",
    "\"seq\":1,",
    "\"u\":\"bob\",",
];

proptest! {
    /// The compact form may decline what it likes, but what it reads is what the library reads.
    #[test]
    fn the_compact_form_reads_what_the_library_reads(
        text in select(written()),
        edits in proptest::collection::vec((any::<Index>(), 0..4_usize, select(PIECES)), 0..4),
        copied in proptest::option::of((any::<Index>(), 0..80_usize, any::<Index>())),
    ) {
        let mut text: Vec<char> = text.chars().collect();
        if let Some((from, length, to)) = copied {
            let (from, to) = (from.index(text.len()), to.index(text.len()));
            let piece = text[from..text.len().min(from + length)].to_vec();
            text.splice(to..to, piece);
        }
        for (at, length, piece) in edits {
            let at = at.index(text.len() + 1);
            text.splice(at..text.len().min(at + length), piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(Found::Frame(frame)) = compact_frame(&text) {
            prop_assert_eq!(any_frame(&text), Ok(frame));
        }
    }
}
