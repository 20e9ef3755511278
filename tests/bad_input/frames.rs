//! Frames that are none, from somebody who is logged in.

use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Stranger, Wire};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::{CANARY, assert_no_canary, assert_survives};

const MIB: usize = 1024 * 1024;

/// `depth` levels of nesting: the frame itself, and arrays in a field of it.
fn nested(kind: &str, field: &str, depth: usize) -> String {
    let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
    format!(r#"{{"type":"{kind}","{field}":{open}{close}}}"#)
}

/// A frame of a type that nobody knows, of exactly this many bytes.
fn long(bytes: usize) -> String {
    let frame = json!({ "type": "teapot", "x": "" }).to_string();
    frame.replace(r#""x":"""#, &format!(r#""x":"{}""#, "a".repeat(bytes - frame.len())))
}

/// Every one of these is `bad_request`, and the connection goes on. The log-in is renewed before the fifth.
async fn assert_all_refused(texts: impl IntoIterator<Item = String>) {
    let server = Server::with(NO_LIMITS).start().await;
    let mut alice = server.register("alice").await;
    for (n, text) in texts.into_iter().enumerate() {
        if n % 4 == 3 {
            alice = server.log_in(&alice.who).await;
        }
        alice.raw(&text).await;
        let shown = &text[..text.len().min(200)];
        let answer = alice.expect_where(shown, |frame| frame["type"] == "error").await;
        assert_eq!(answer["code"], "bad_request", "{shown}");
        assert_no_canary(&answer);
        assert_survives(&mut alice).await;
    }
}

#[tokio::test]
async fn what_is_no_json_object_with_a_type_is_refused() {
    let texts = [
        "",
        " ",
        "xyzzy",
        "{",
        "}",
        r#"{"type":"heartbeat","timestamp":1"#,
        r#"{"type":"heartbeat","timestamp":1} xyzzy"#,
        r#"{"type":"heartbeat","timestamp":1}{"type":"heartbeat","timestamp":1}"#,
        r#"{'type':'heartbeat','timestamp':1}"#,
        r#"{"type":"heartbeat","timestamp":1,}"#,
        r#"{"type":"heartbeat","timestamp":01}"#,
        r#"{"type":"heartbeat","timestamp":NaN}"#,
        "{\"type\":\"heartbeat\",\"timestamp\":1,\"id\":\"a\nb\"}",
        r#"{"type":"heartbeat","timestamp":1,"id":"\ud800"}"#,
        "\u{feff}{\"type\":\"heartbeat\",\"timestamp\":1}",
        "null",
        "true",
        "1",
        r#""xyzzy""#,
        "[]",
        r#"[{"type":"heartbeat","timestamp":1}]"#,
        "{}",
        r#"{"xyzzy":1}"#,
        r#"{"Type":"heartbeat","timestamp":1}"#,
    ];
    assert_all_refused(texts.map(str::to_owned)).await;
}

#[tokio::test]
async fn fields_of_a_wrong_type_or_shape_are_refused() {
    let texts = [
        r#"{"type":1}"#,
        r#"{"type":null}"#,
        r#"{"type":["heartbeat"],"timestamp":1}"#,
        r#"{"type":"heartbeat"}"#,
        r#"{"type":"heartbeat","timestamp":null}"#,
        r#"{"type":"heartbeat","timestamp":"xyzzy"}"#,
        r#"{"type":"heartbeat","timestamp":"1"}"#,
        r#"{"type":"heartbeat","timestamp":-1}"#,
        r#"{"type":"heartbeat","timestamp":1.5}"#,
        r#"{"type":"heartbeat","timestamp":1e400}"#,
        r#"{"type":"heartbeat","timestamp":18446744073709551616}"#,
        r#"{"type":"heartbeat","timestamp":{"xyzzy":1}}"#,
        r#"{"type":"heartbeat","timestamp":1,"id":1}"#,
        r#"{"type":"heartbeat","timestamp":1,"id":null}"#,
        r#"{"type":"heartbeat","timestamp":1,"ack":"1"}"#,
        r#"{"type":"heartbeat","timestamp":1,"ack":-1}"#,
        r#"{"type":"heartbeat","timestamp":1,"ack":null}"#,
        r#"{"type":"ack"}"#,
        r#"{"type":"ack","seq":"xyzzy"}"#,
        r#"{"type":"keys"}"#,
        r#"{"type":"keys","username":7}"#,
        r#"{"type":"keys","username":"bob","sinceVersion":"xyzzy"}"#,
        r#"{"type":"message"}"#,
        r#"{"type":"auth","username":"xyzzy"}"#,
    ];
    let long_id = format!(r#"{{"type":"heartbeat","timestamp":1,"id":"{}"}}"#, "x".repeat(65));
    assert_all_refused(texts.map(str::to_owned).into_iter().chain([long_id])).await;
}

#[tokio::test]
async fn unknown_and_duplicate_fields_are_refused() {
    let texts = [
        r#"{"type":"heartbeat","timestamp":1,"xyzzy":1}"#,
        r#"{"xyzzy":1,"type":"heartbeat","timestamp":1}"#,
        r#"{"type":"ack","seq":0,"xyzzy":{"a":[1]}}"#,
        r#"{"type":"challenge","nonce":"xyzzy"}"#,
        r#"{"type":"keys","username":"bob","since_version":1}"#,
        r#"{"type":"heartbeat","timestamp":1,"timestamp":1}"#,
        r#"{"type":"heartbeat","type":"heartbeat","timestamp":1}"#,
        r#"{"timestamp":1,"type":"heartbeat","type":"heartbeat"}"#,
        r#"{"timestamp":1,"type":"heartbeat","timestamp":2}"#,
        r#"{"type":"heartbeat","timestamp":1,"\u0074imestamp":2}"#,
        r#"{"type":"heartbeat","timestamp":1,"id":"a","id":"a"}"#,
        r#"{"type":"heartbeat","timestamp":1,"ack":0,"ack":0}"#,
    ];
    assert_all_refused(texts.map(str::to_owned)).await;
}

#[tokio::test]
async fn deep_nesting_is_refused_wherever_it_stands() {
    let texts = [
        nested("heartbeat", "timestamp", 9),
        nested("heartbeat", CANARY, 9),
        nested("message", "recipients", 100_000),
        "[".repeat(500_000),
        r#"{"a":"#.repeat(100_000),
        format!(r#"{{"x":{}{},"type":"heartbeat","timestamp":1}}"#, "[".repeat(20), "]".repeat(20)),
    ];
    assert_all_refused(texts).await;
}

#[tokio::test]
async fn deep_nesting_is_refused_in_a_frame_of_an_unknown_type_too() {
    let last = format!(r#"{{"x":{}{},"type":"teapot"}}"#, "[".repeat(20), "]".repeat(20));
    assert_all_refused([9, 127, 129].map(|depth| nested("teapot", CANARY, depth)).into_iter().chain([last])).await;
}

#[tokio::test]
async fn eight_levels_of_nesting_are_allowed() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    alice.raw(&nested("teapot", "x", 8)).await;
    alice.expect_error("unsupported_type").await;
    assert_survives(&mut alice).await;
}

#[tokio::test]
async fn a_type_that_is_unknown_is_told_so_as_often_as_it_comes() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    for kind in ["xyzzy", "", "presences", "session", "status"] {
        alice.send_frame(&json!({ "type": kind, "id": "i", "whatever": { "xyzzy": [1] } })).await;
        let error = alice.expect_error("unsupported_type").await;
        assert_eq!(error["id"], "i");
        assert_no_canary(&error);
    }
    assert_survives(&mut alice).await;
}

#[tokio::test]
async fn an_acknowledgement_of_what_was_never_sent_is_refused() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    alice.ack(0).await;
    for frame in [json!({ "type": "ack", "seq": 1 }), json!({ "type": "heartbeat", "timestamp": 1, "ack": u64::MAX })] {
        alice.send_frame(&frame).await;
        alice.expect_error("bad_request").await;
        assert_survives(&mut alice).await;
    }
}

#[tokio::test]
async fn the_fifth_bad_request_within_a_minute_ends_the_connection() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    for _ in 0..4 {
        alice.raw("xyzzy").await;
        alice.expect_error("bad_request").await;
        assert_survives(&mut alice).await;
    }
    alice.raw("xyzzy").await;
    alice.expect_error("bad_request").await;
    alice.expect_close(4400).await;
}

#[tokio::test]
async fn a_frame_of_exactly_one_mebibyte_is_read() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    let text = long(MIB);
    assert_eq!(text.len(), MIB);
    alice.raw(&text).await;
    alice.expect_error("unsupported_type").await;
    assert_survives(&mut alice).await;
}

#[tokio::test]
async fn a_frame_of_one_byte_more_ends_the_connection() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    alice.raw(&long(MIB + 1)).await;
    alice.expect_close(1009).await;
}

async fn close_after(server: &Server, message: Message, code: u16) {
    let mut alice: Stranger = server.register("alice").await;
    alice.raw_message(message).await;
    alice.expect_close(code).await;
}

#[tokio::test]
async fn a_binary_frame_ends_the_connection() {
    close_after(&Server::start().await, Message::binary(br#"{"type":"heartbeat","timestamp":1}"#.to_vec()), 1003).await;
}

#[tokio::test]
async fn an_empty_binary_frame_ends_the_connection_too() {
    close_after(&Server::start().await, Message::binary(Vec::new()), 1003).await;
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_connection() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    alice.raw_text_bytes(b"{\"type\":\"heartbeat\",\"timestamp\":1,\"id\":\"\xff\"}").await;
    alice.expect_close(1007).await;
}

#[tokio::test]
async fn what_ends_a_connection_ends_it_before_the_log_in_too() {
    let server = Server::start().await;
    let dial = async || -> Wire { server.dial().await };
    let mut wire = dial().await;
    wire.raw_message(Message::binary(vec![1])).await;
    wire.expect_close(1003).await;
    let mut wire = dial().await;
    wire.raw_text_bytes(b"\xc3\x28").await;
    wire.expect_close(1007).await;
}

/// A part of a text message.
fn part(text: &str, opcode: Data, is_last: bool) -> Message {
    Message::Frame(Frame::message(text.as_bytes().to_vec(), OpCode::Data(opcode), is_last))
}

#[tokio::test]
async fn a_frame_may_come_in_parts_with_a_ping_between() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    alice.raw_message(part(r#"{"type":"heart"#, Data::Text, false)).await;
    alice.raw_message(Message::Ping(b"are you there".to_vec().into())).await;
    alice.raw_message(part("", Data::Continue, false)).await;
    alice.raw_message(part(r#"beat","timestamp":8}"#, Data::Continue, true)).await;
    assert_eq!(alice.expect("heartbeat").await["timestamp"], 8);
    assert_survives(&mut alice).await;
}

#[tokio::test]
async fn parts_that_are_more_than_a_mebibyte_together_end_the_connection() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    let text = long(MIB + 1);
    let (first, rest) = text.split_at(MIB / 2);
    alice.raw_message(part(first, Data::Text, false)).await;
    alice.raw_message(part(rest, Data::Continue, true)).await;
    alice.expect_close(1009).await;
}

#[tokio::test]
async fn parts_that_are_not_utf8_together_end_the_connection() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    alice.raw_message(part(r#"{"type":"teapot","x":""#, Data::Text, false)).await;
    let bytes = Frame::message(b"\xff\"}".to_vec(), OpCode::Data(Data::Continue), true);
    alice.raw_message(Message::Frame(bytes)).await;
    alice.expect_close(1007).await;
}
