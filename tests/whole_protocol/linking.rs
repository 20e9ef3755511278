//! A new device: the dance over the rendezvous, and how it is refused.

use std::sync::Arc;

use sealwire_e2ee::linking::{LinkSecrets, Side};
use sealwire_tests::Server;
use sealwire_tests::stranger::{Wire, b64, dummy_for, now, unb64};
use serde_json::{Value, json};

use crate::{Owner, is_turned_away};

fn put(slot: &[u8], side: u8, data: &[u8]) -> Value {
    json!({ "type": "rendezvous", "put": { "slot": b64(slot), "side": side, "data": b64(data) } })
}

fn take(slot: &[u8], side: u8) -> Value {
    json!({ "type": "rendezvous", "take": { "slot": b64(slot), "side": side } })
}

async fn refused(wire: &mut Wire, frame: &Value, code: &str) {
    let error = wire.ask(frame).await;
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{frame}");
}

#[tokio::test]
async fn a_new_device_is_linked_by_a_code_that_a_person_carries_over() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let new = Arc::new(bob.session.who.sibling(1));
    let secrets = LinkSecrets::of(&"01AB2-CDE3F-GHJ4K-MNP5Q-RST6V-Z".parse().expect("a code"));
    let slot = secrets.slot();

    // The new device leaves its key under the code and asks again and again.
    let mut wire = server.dial().await;
    wire.expect("challenge").await;
    let about = json!({
        "deviceId": new.device.to_string(), "deviceName": "laptop", "dsk": b64(new.dsk.public().as_bytes()),
    });
    let sealed = secrets.seal(&mut rand::rng(), Side::New, about.to_string().as_bytes());
    assert_eq!(wire.ask(&put(slot, 1, &sealed)).await["type"], "rendezvous");
    for _ in 0..20 {
        assert!(wire.ask(&take(slot, 2)).await.get("data").is_none());
    }

    // The old one reads it, lists the device, and leaves what it needs.
    let found = unb64(&bob.session.ask(&take(slot, 1)).await["data"]);
    assert_eq!(secrets.open(Side::New, &found).expect("it opens").as_slice(), about.to_string().as_bytes());
    let old = bob.session.who.clone();
    bob.list(&[&old, &new]).await;
    let answer = secrets.seal(&mut rand::rng(), Side::Old, br#"{"username":"bob"}"#);
    assert_eq!(bob.session.ask(&put(slot, 2, &answer)).await["type"], "rendezvous");
    assert_eq!(unb64(&wire.ask(&take(slot, 2)).await["data"]), answer);

    // Twenty frames and more before the log-in were no trouble, and none used the challenge up.
    wire.send_frame(&json!({ "type": "challenge", "id": "again" })).await;
    let challenge = wire.expect_where("the challenge", |frame| frame["id"] == "again").await;
    wire.send_frame(&new.link(&challenge)).await;
    assert_eq!(wire.expect("session").await["deviceId"], json!(new.device.to_string()));
    let id = alice.session.send_message(&dummy_for(&[&old, &new])).await;
    assert_eq!(wire.expect("message").await["messageId"], json!(id));
}

#[tokio::test]
async fn each_side_of_a_slot_has_its_writer_and_is_written_once() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    let mut wire = server.dial().await;
    let slot = [7; 16];
    // The first one raises the limits of what may come before the log-in.
    assert!(wire.ask(&take(&slot, 2)).await.get("data").is_none());
    assert_eq!(wire.ask(&put(&slot, 1, &[0; 64 * 1024])).await["type"], "rendezvous");
    for (frame, code) in [
        (put(&slot, 1, b"again"), "bad_request"),
        (put(&slot, 2, b"the old one's"), "bad_request"),
        (take(&slot, 1), "bad_request"),
        (put(&[8; 16], 1, &[0; 64 * 1024 + 1]), "too_large"),
    ] {
        refused(&mut wire, &frame, code).await;
    }
    for frame in [put(&slot, 1, b"x"), take(&slot, 2), json!({ "type": "rendezvous" })] {
        refused(&mut alice, &frame, "bad_request").await;
    }
    for _ in 0..2 {
        assert_eq!(unb64(&alice.ask(&take(&slot, 1)).await["data"]).len(), 64 * 1024);
    }
    assert!(alice.ask(&take(&[9; 16], 1)).await.get("data").is_none());
}

#[tokio::test]
async fn a_slot_is_kept_for_its_time_only() {
    let server = Server::with(&[("SEALWIRE_TIMING_RENDEZVOUS", "1ms")]).start().await;
    let mut alice = server.register("alice").await;
    let mut wire = server.dial().await;
    wire.send_frame(&put(&[7; 16], 1, b"x")).await;
    wire.end().await;
    assert!(alice.ask(&take(&[7; 16], 1)).await.get("data").is_none());
}

#[tokio::test]
async fn whoever_is_not_listed_cannot_link() {
    let server = Server::start().await;
    let mut bob = Owner::register(&server, "bob").await;
    let (old, new) = (bob.session.who.clone(), Arc::new(bob.session.who.sibling(1)));
    let stranger = bob.session.who.sibling(2);
    bob.list(&[&old, &new]).await;
    let mut nobody = sealwire_tests::stranger::Identity::new("nobody-here");
    nobody.device = new.device;
    for who in [&stranger, &nobody] {
        is_turned_away(&server, |challenge| who.link(challenge)).await;
    }
    // A log-in's signature links nobody, and one that is not linked cannot log in.
    is_turned_away(&server, |challenge| new.auth(challenge)).await;
    is_turned_away(&server, |challenge| {
        let mut frame = new.auth(challenge);
        frame["type"] = "link".into();
        frame["wrap"] = new.first_wrap().clone();
        frame
    })
    .await;
    server.link(&new).await;
}

#[tokio::test]
async fn a_link_whose_answer_was_lost_is_answered_again_and_another_key_is_not_taken() {
    let server = Server::start().await;
    let mut bob = Owner::register(&server, "bob").await;
    let (old, new) = (bob.session.who.clone(), Arc::new(bob.session.who.sibling(1)));
    bob.list(&[&old, &new]).await;
    for _ in 0..2 {
        server.link(&new).await;
    }
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    let mut frame = new.link(&challenge);
    frame["wrap"] = new.wrap_frame(2, &new.another_wrap_key(), now(), now() + 1_000);
    wire.send_frame(&frame).await;
    wire.expect_error("key_invalid").await;
    server.log_in(&new).await;
}

#[tokio::test]
async fn a_connection_leaves_one_side_before_its_log_in_and_an_account_ten() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    let mut wire = server.dial().await;
    wire.expect("challenge").await;
    assert_eq!(wire.ask(&put(&[1; 16], 1, b"x")).await["type"], "rendezvous");
    refused(&mut wire, &put(&[2; 16], 1, b"x"), "limit_exceeded").await;
    assert_eq!(wire.ask(&take(&[1; 16], 2)).await["type"], "rendezvous");
    for slot in 0..10 {
        assert_eq!(alice.ask(&put(&[slot; 16], 2, b"y")).await["type"], "rendezvous");
    }
    refused(&mut alice, &put(&[10; 16], 2, b"y"), "limit_exceeded").await;
    assert_eq!(alice.ask(&take(&[1; 16], 1)).await["type"], "rendezvous");
}
