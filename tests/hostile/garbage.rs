//! A server that sends what no server sends.

use sealwire_client::Event;
use sealwire_tests::hostile::{Person, World};
use sealwire_tests::stranger::b64;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

fn text(value: &Value) -> Message {
    Message::text(value.to_string())
}

fn nested(depth: usize) -> Message {
    Message::text(format!("{{\"type\":\"queue\",\"empty\":{}{}}}", "[".repeat(depth), "]".repeat(depth)))
}

/// After each of these, bob still hears what alice writes, and nothing else.
async fn hears_only_alice(garbage: Vec<Message>) {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    alice.delivers(&bob, "hello").await;
    bob.hears(&[("alice", "hello")]).await;
    for (n, message) in garbage.into_iter().enumerate() {
        let sent = format!("after {n}");
        world.proxy.send_raw("bob", message).await;
        alice.says(&bob, &sent).await;
        bob.hears(&[("alice", &sent)]).await;
        // The next connection is not to wait for what this one did.
        bob = bob.restarted().await;
    }
    nothing_false(&bob);
}

fn nothing_false(person: &Person) {
    assert_eq!((person.alarms(), person.unreadable()), (vec![], vec![]));
    let false_news =
        |event: &&Event| matches!(event, Event::Status { .. } | Event::Missing { .. } | Event::MailboxOverflow(_));
    assert_eq!(person.told.iter().filter(false_news).count(), 0, "{:?}", person.told);
}

#[tokio::test]
async fn what_is_no_frame_shows_nothing() {
    hears_only_alice(vec![
        Message::text(""),
        Message::text("null"),
        Message::text("[]"),
        Message::text("{\"type\":\"message\""),
        Message::text("{\"type\":\"queue\",\"empty\":true,\"missed\":1e400}"),
        Message::text(format!("{{\"type\":\"queue\",\"empty\":true,\"missed\":{}}}", "9".repeat(400))),
        Message::text("x".repeat(1_048_577)),
        Message::binary(vec![0; 16]),
        Message::Frame(Frame::message(vec![0x7b, 0xff, 0xfe], OpCode::Data(Data::Text), true)),
        nested(10),
        nested(100_000),
        text(&json!({ "type": 5 })),
        text(&json!({ "no": "type" })),
    ])
    .await;
}

#[tokio::test]
async fn frames_with_wrong_fields_show_nothing() {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    hears_only_alice(vec![
        text(&json!({ "type": "message" })),
        text(&json!({ "type": "message", "seq": "one", "from": "alice", "text": "in the clear" })),
        text(&json!({ "type": "message", "seq": 1, "from": "alice", "to": "bob", "body": "in the clear" })),
        text(&json!({ "type": "status", "status": "read", "messageIds": [id], "at": 1 })),
        text(&json!({ "type": "status", "status": "delivered", "messageIds": "all", "at": 1 })),
        text(&json!({ "type": "status", "status": "delivered", "messageIds": [id], "at": -1 })),
        text(&json!({ "type": "heartbeat", "timestamp": 1, "serverTime": -1 })),
        text(&json!({ "type": "challenge", "v": 300 })),
        text(&json!({ "type": "keys", "username": "No Name", "aik": "!", "manifests": {}, "devices": 7 })),
        text(&json!({ "type": "session", "sessionId": b64([0; 3]) })),
    ])
    .await;
}

#[tokio::test]
async fn frames_that_nobody_asked_for_show_nothing() {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let keys = json!({ "type": "keys", "username": "alice", "aik": b64([1; 550]), "manifests": [], "devices": [] });
    let with_id = |id: &str| {
        let mut keys = keys.clone();
        keys["id"] = id.into();
        text(&keys)
    };
    hears_only_alice(vec![
        text(&json!({ "type": "of.a.later.version", "text": "hello", "from": "alice" })),
        text(&keys),
        with_id("keys-0"),
        with_id("keys-1"),
        with_id("keys-2"),
        text(&json!({ "type": "status", "status": "delivered", "messageIds": [id], "at": 1 })),
        text(&json!({ "type": "status", "status": "expired", "messageIds": vec![id; 5_000], "at": 1 })),
        text(&json!({ "type": "error", "code": "mailbox_full", "message": "full", "messageId": id })),
        text(&json!({ "type": "error", "code": "of_a_later_version", "message": "new", "id": "x" })),
        text(&json!({ "type": "backup", "data": b64([1; 64]), "aik": b64([1; 550]), "manifests": [] })),
        text(&json!({ "type": "rendezvous", "data": b64([1; 64]) })),
        text(&json!({ "type": "devices", "version": u64::MAX })),
        text(&json!({ "type": "rotate" })),
        text(&json!({ "type": "queue", "empty": false })),
    ])
    .await;
}

#[tokio::test]
async fn a_number_that_was_skipped_or_given_twice_is_not_acknowledged() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    let envelope = alice.forger().seals(&bob.forger().who, &sealwire_tests::hostile::Draft::first("skipped"));
    for seq in [0, 2, 1_000, u64::MAX] {
        let mut numbered = envelope.clone();
        numbered["seq"] = seq.into();
        world.proxy.send_raw("bob", text(&numbered)).await;
        bob.is_cut_off().await;
        bob = bob.restarted().await;
    }
    let acknowledged =
        world.proxy.log().into_iter().filter(|seen| seen.who == "bob" && seen.frame["type"] == "ack").count();
    assert_eq!((acknowledged, bob.messages()), (0, 0));
    alice.delivers(&bob, "hello").await;
    bob.hears(&[("alice", "hello")]).await;
}

#[tokio::test]
async fn a_flood_is_read_as_fast_as_the_person_reads_and_hides_nothing() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    alice.delivers(&bob, "hello").await;
    bob.hears(&[("alice", "hello")]).await;
    for n in 0..3_000 {
        world.proxy.deliver("bob", &json!({ "type": "queue", "empty": true, "missed": 1 + n % 2 })).await;
    }
    alice.says(&bob, "behind the flood").await;
    bob.hears(&[("alice", "behind the flood")]).await;
    assert_eq!(bob.messages(), 2);
}
