//! How many messages, frames and look-ups.

use std::sync::Arc;

use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{b64, now};
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

const HOUR: u64 = 60 * 60 * 1_000;

/// Both devices of an account share it: the second request is one too many, the third such refusal ends the connection.
async fn is_shared_by_an_account(limit: &str, period: u64, request: impl Fn(u64) -> Value) {
    let server = Server::with(&[(limit, "1")]).start().await;
    let mut alice = server.register("alice").await;
    assert_ne!(alice.ask(&request(0)).await["code"], "rate_limited");
    let mut again = server.log_in(&alice.who).await;
    for n in 1..=3 {
        let error = again.ask(&request(n)).await;
        assert_eq!(error["code"], "rate_limited", "{error}");
        assert_retry_within(&error, period);
    }
    again.expect_close(4429).await;
    server.register("bob").await;
}

#[tokio::test]
async fn backups_that_are_put_are_counted() {
    let put = |n: u64| json!({ "type": "backup", "put": { "id": b64([n as u8; 32]), "data": b64([1; 9]) } });
    is_shared_by_an_account("SEALWIRE_LIMITS_BACKUP_PUTS_PER_HOUR", HOUR, put).await;
}

#[tokio::test]
async fn changes_of_what_is_shared_are_counted_and_what_changes_nothing_is_not() {
    let share = |n: u64| json!({ "type": "presence", "share": n.is_multiple_of(2) });
    let server = Server::with(&[("SEALWIRE_LIMITS_PRESENCE_CHANGES_PER_HOUR", "1")]).start().await;
    let mut alice = server.register("alice").await;
    for n in [1, 0, 0, 2, 4, 6] {
        assert_eq!(alice.ask(&share(n)).await["type"], "presence");
    }
    let error = alice.ask(&share(1)).await;
    assert_eq!(error["code"], "rate_limited", "{error}");
    assert_retry_within(&error, HOUR);
}

#[tokio::test]
async fn new_wrap_keys_are_counted() {
    let who = sealwire_tests::stranger::Identity::new("nobody-else");
    let (key, at) = (who.another_wrap_key(), now());
    let rotate = |n: u64| json!({ "type": "rotate", "wrap": who.wrap_frame(2 + n, &key, at, at + HOUR) });
    is_shared_by_an_account("SEALWIRE_LIMITS_ROTATIONS_PER_HOUR", HOUR, rotate).await;
}

#[tokio::test]
async fn changes_of_devices_are_counted_after_the_log_in() {
    let who = sealwire_tests::stranger::Identity::new("nobody-else");
    let manifest = who.manifest_frame(&who.first_manifest());
    let devices = |_| json!({ "type": "devices", "manifest": manifest });
    is_shared_by_an_account("SEALWIRE_LIMITS_DEVICES_PER_HOUR", HOUR, devices).await;
}

#[tokio::test]
async fn links_are_counted_by_the_day_and_a_device_can_be_removed_all_the_same() {
    let server = Server::with(&[("SEALWIRE_LIMITS_LINKS_PER_DAY", "1")]).start().await;
    let mut alice = server.register("alice").await;
    let (first, second) = (alice.who.clone(), Arc::new(alice.who.sibling(1)));
    let one = first.first_manifest();
    let two = first.next_manifest(&one, &[&first, &second]);
    let three = first.next_manifest(&two, &[&first]);
    let four = first.next_manifest(&three, &[&first]);
    let offer = |manifest| json!({ "type": "devices", "manifest": first.manifest_frame(manifest) });
    for manifest in [&two, &three] {
        assert_eq!(alice.ask(&offer(manifest)).await["version"], manifest.version);
    }
    let error = alice.ask(&offer(&four)).await;
    assert_eq!(error["code"], "rate_limited", "{error}");
    assert_retry_within(&error, 24 * HOUR);
    let nobody = first.next_manifest(&three, &[]);
    assert_eq!(alice.ask(&offer(&nobody)).await["type"], "devices");
}
