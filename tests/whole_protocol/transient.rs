//! What does not stay: signals, which are never stored, and mail that nobody fetches in time.

use sealwire_tests::Server;
use sealwire_tests::stranger::{dummy, dummy_for, dummy_of};
use serde_json::{Value, json};

use crate::Owner;

fn signal(mut frame: Value) -> Value {
    frame["type"] = "signal".into();
    frame
}

#[tokio::test]
async fn a_signal_reaches_whoever_is_connected_and_is_kept_for_nobody() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let bob2 = bob.with_second(&server).await;
    let away = bob2.who.clone();
    drop(bob2);
    bob.session.expect("queue").await;
    let frame = signal(dummy_for(&[&*bob.session.who, &*away]));
    alice.session.send_frame(&frame).await;
    let got = bob.session.expect("signal").await;
    assert_eq!((&got["from"], &got["messageId"]), (&json!("alice"), &frame["messageId"]));
    assert!(got.get("seq").is_none() && got["encryptedKey"].is_string());

    let mut bob2 = server.log_in(&away).await;
    bob2.expect("queue").await;
    assert!(!bob2.has_kept("signal") && !bob2.has_kept("message"));
    alice.session.settle().await;
    let id = frame["messageId"].as_str().expect("an id");
    assert!(alice.session.statuses(id).is_empty() && !alice.session.has_kept("error"));
}

#[tokio::test]
async fn a_signal_for_other_devices_than_there_are_is_told_the_lists() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    bob.with_second(&server).await;
    alice.session.send_frame(&signal(dummy(&bob.session.who))).await;
    assert!(alice.session.expect_error("stale_devices").await["devices"]["bob"].is_array());
}

#[tokio::test]
async fn a_signal_that_would_not_fit_a_frame_on_its_way_out_is_refused() {
    const FRAME: usize = 1024 * 1024;
    let server = Server::start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let of = |bytes| signal(dummy_of(&bob.session.who, bytes));
    let fitting = (FRAME - (of(3).to_string().len() - 4)) / 4 * 3;
    let (large, smaller) = (of(fitting), of(fitting - 300));
    assert!(large.to_string().len() <= FRAME);
    bob.session.expect("queue").await;
    alice.session.send_frame(&large).await;
    assert_eq!(alice.session.expect_error("too_large").await["messageId"], large["messageId"]);
    alice.session.send_frame(&smaller).await;
    let got = bob.session.expect("signal").await;
    assert_eq!(got["messageId"], smaller["messageId"]);
    assert!(got.to_string().len() <= FRAME);
}

#[tokio::test]
async fn too_many_signals_in_a_minute_end_the_connection() {
    let server = Server::with(&[("SEALWIRE_LIMITS_SIGNALS_PER_MINUTE", "2")]).start().await;
    let (mut alice, bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    for _ in 0..5 {
        alice.session.send_frame(&signal(dummy(&bob.session.who))).await;
    }
    let error = alice.session.expect_error("rate_limited").await;
    assert!(error["retryAfterMs"].is_u64());
    alice.session.expect_close(4429).await;
}

/// Undelivered mail is over after a moment.
const SHORT: &[(&str, &str)] = &[("SEALWIRE_TIMING_MAIL_LIFE", "300ms"), ("SEALWIRE_TIMING_SWEEP", "50ms")];

#[tokio::test]
async fn mail_that_nobody_fetches_expires_and_its_sender_is_told() {
    let server = Server::with(SHORT).start().await;
    let (mut alice, bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let who = bob.session.who.clone();
    drop(bob);
    let id = alice.session.send_message(&dummy(&who)).await;
    alice.session.expect_status("expired", &id).await;
    assert_eq!(alice.session.statuses(&id), ["queued", "expired"]);
    // It is a gap to the device, like a copy that was lost to a full mailbox.
    let mut bob = server.log_in(&who).await;
    assert_eq!(bob.expect("queue").await["missed"], 1);
    assert!(!bob.has_kept("message"));
    // A device that has said something after it was told is told no more, once that is stored.
    for _ in 0..50 {
        bob.settle().await;
        bob.close().await;
        bob = server.log_in(&who).await;
        if bob.expect("queue").await.get("missed").is_none() {
            return;
        }
    }
    panic!("it is told again and again");
}

#[tokio::test]
async fn an_own_copy_that_has_expired_is_told_to_its_device() {
    let server = Server::with(SHORT).start().await;
    let (mut alice, bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let mut second = alice.with_second(&server).await;
    second.close().await;
    let who = bob.session.who.clone();
    drop(bob);
    let mut message = async || {
        let id = alice.session.send_message(&dummy_for(&[&*who, &*second.who])).await;
        alice.session.expect_status("queued", &id).await;
        alice.session.expect_status("expired", &id).await;
        id
    };
    // Both copies were stored before the first was `queued`, so its own one is over when the second message is.
    let (first, _) = (message().await, message().await);
    let mut back = server.log_in(&second.who).await;
    assert!(back.expect("queue").await["missed"].as_u64() >= Some(1));
    while back.has_kept("message") {
        assert_ne!(back.take_message().await["messageId"], json!(first));
    }
}

#[tokio::test]
async fn a_sender_who_was_away_is_told_once_what_has_expired() {
    let server = Server::with(SHORT).start().await;
    let (mut alice, bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let mut carol = Owner::register(&server, "carol").await;
    let (who, to) = (alice.session.who.clone(), bob.session.who.clone());
    drop(bob);
    let id = alice.session.send_message(&dummy(&to)).await;
    alice.session.expect_status("queued", &id).await;
    drop(alice);
    // Carol's later message is over after Alice's.
    let later = carol.session.send_message(&dummy(&to)).await;
    carol.session.expect_status("expired", &later).await;

    let mut alice = server.log_in(&who).await;
    alice.expect_status("expired", &id).await;
    alice.settle().await;
    alice.close().await;
    let mut alice = server.log_in(&who).await;
    alice.expect("queue").await;
    alice.settle().await;
    assert!(alice.statuses(&id).is_empty(), "told before");
}

#[tokio::test]
async fn what_one_device_has_fetched_has_not_expired_for_another() {
    let server = Server::with(SHORT).start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let mut carol = Owner::register(&server, "carol").await;
    let bob2 = bob.with_second(&server).await;
    let away = bob2.who.clone();
    drop(bob2);
    let id = alice.session.send_message(&dummy_for(&[&*bob.session.who.clone(), &*away])).await;
    bob.session.take_message().await;
    alice.session.expect_status("delivered", &id).await;
    // A message of Carol's to a device that stays away is over after that copy.
    let dave = server.register("dave").await.who.clone();
    let later = carol.session.send_message(&dummy(&dave)).await;
    carol.session.expect_status("expired", &later).await;
    alice.session.settle().await;
    assert!(!alice.session.statuses(&id).contains(&"expired".to_owned()));
}
