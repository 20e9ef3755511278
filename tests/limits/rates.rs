//! How many messages, frames and look-ups.

use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use serde_json::{Value, json};

/// Milliseconds after which a refused frame may come again; at most this many.
#[track_caller]
fn assert_retry_within(error: &Value, most: u64) {
    let after = error["retryAfterMs"].as_u64().expect("`retryAfterMs` is a number");
    assert!((1..=most).contains(&after), "{error}");
}

#[tokio::test]
async fn fifty_messages_a_minute_are_taken_and_the_third_refusal_ends_the_connection() {
    let server = Server::start().await;
    let (bob, mut alice) = (server.register("bob").await.who, server.register("alice").await);
    for _ in 0..50 {
        let id = alice.send_dummy(&bob).await;
        alice.expect_status("queued", &id).await;
    }
    for refusal in 1..=3 {
        let id = alice.send_dummy(&bob).await;
        let error = alice.expect_error("rate_limited").await;
        assert_eq!(error["messageId"], id.as_str(), "refusal {refusal}");
        assert_retry_within(&error, 60_000);
    }
    alice.expect_close(4429).await;

    let mut alice = server.log_in(&alice.who).await;
    alice.send_dummy(&bob).await;
    alice.expect_error("rate_limited").await;
    let mut bob = server.log_in(&bob).await;
    assert_eq!(bob.session["queued"], 50);
    bob.send_dummy(&alice.who).await;
    alice.take_message().await;
}

#[tokio::test]
async fn too_many_frames_in_a_second_are_refused_and_the_third_refusal_ends_the_connection() {
    let server = Server::with(&[("SEALWIRE_LIMITS_FRAMES_PER_SECOND", "5")]).start().await;
    let mut alice = server.register("alice").await;
    // So many that they take 40 s within the limit: some are too many, however slow the machine is.
    for n in 0..200 {
        alice.send_frame(&json!({ "type": "heartbeat", "timestamp": n, "id": "h" })).await;
    }
    for _ in 0..3 {
        let error = alice.expect_error("rate_limited").await;
        assert_eq!(error["id"], "h");
        assert_retry_within(&error, 1_000);
    }
    alice.expect_close(4429).await;
}

#[tokio::test]
async fn acknowledgements_that_move_forward_are_not_counted() {
    let data = tempfile::tempdir().expect("a directory");
    let mut server = Server::with(NO_LIMITS).data_dir(data.path()).start().await;
    let (bob, mut alice) = (server.register("bob").await.who, server.register("alice").await);
    for _ in 0..100 {
        let id = alice.send_dummy(&bob).await;
        alice.expect_status("queued", &id).await;
    }
    server.terminate().await;

    let limits = [("SEALWIRE_LIMITS_FRAMES_PER_SECOND", "2")];
    let server = Server::with(&limits).data_dir(data.path()).start().await;
    let mut bob = server.log_in(&bob).await;
    for seq in 1..=100_u64 {
        assert_eq!(bob.take_message().await["seq"], seq);
    }
    bob.expect("queue").await;
    bob.settle().await;
    assert!(!bob.has_kept("error"));
}

#[tokio::test]
async fn look_ups_of_keys_are_counted() {
    let server = Server::with(&[("SEALWIRE_LIMITS_KEY_LOOKUPS_PER_MINUTE", "3")]).start().await;
    let mut alice = server.register("alice").await;
    for name in ["alice", "bob", "alice"] {
        let answer = alice.keys(&json!({ "username": name })).await;
        assert_ne!(answer["code"], "rate_limited", "{answer}");
    }
    let refused = alice.keys(&json!({ "username": "alice" })).await;
    assert_eq!(refused["code"], "rate_limited");
    assert_retry_within(&refused, 60_000);
}

#[tokio::test]
async fn names_that_are_looked_up_are_counted_once_each() {
    let server = Server::with(&[("SEALWIRE_LIMITS_NAMES_PER_DAY", "2")]).start().await;
    let mut alice = server.register("alice").await;
    for name in ["bob", "carol", "bob", "carol"] {
        assert_eq!(alice.keys(&json!({ "username": name })).await["code"], "unknown_user");
    }
    let refused = alice.keys(&json!({ "username": "dave" })).await;
    assert_eq!(refused["code"], "rate_limited");
    assert_retry_within(&refused, 24 * 60 * 60 * 1_000);
    assert_eq!(alice.keys(&json!({ "username": "alice" })).await["type"], "keys", "one's own name is free");
}
