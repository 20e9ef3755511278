//! How much is on its way to a device, and what becomes of one that does not read.

use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Dial, dummy_of};

#[tokio::test]
async fn a_device_is_given_no_more_than_its_window_holds() {
    let server = Server::with(&[("SEALWIRE_LIMITS_WINDOW_MESSAGES", "2")]).start().await;
    let (mut alice, mut bob) = (server.register("alice").await, server.register("bob").await);
    bob.expect("queue").await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(alice.send_dummy(&bob.who).await);
    }
    for id in &ids[2..] {
        alice.expect_status("queued", id).await;
    }
    for (seq, id) in (1..).zip(&ids[..2]) {
        let message = bob.next_message().await;
        assert_eq!((message["messageId"].as_str(), message["seq"].as_u64()), (Some(id.as_str()), Some(seq)));
    }
    bob.settle().await;
    assert!(!bob.has_kept("message"), "the window is full");

    bob.ack(2).await;
    for (seq, id) in (3..).zip(&ids[2..]) {
        let message = bob.take_message().await;
        assert_eq!((message["messageId"].as_str(), message["seq"].as_u64()), (Some(id.as_str()), Some(seq)));
    }
    for id in &ids {
        alice.expect_status("delivered", id).await;
    }
}

#[tokio::test]
async fn the_window_counts_bytes_too() {
    let server = Server::with(&[("SEALWIRE_LIMITS_WINDOW_BYTES", "100000")]).start().await;
    let (mut alice, mut bob) = (server.register("alice").await, server.register("bob").await);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(alice.send_message(&dummy_of(&bob.who, 60_000)).await);
    }
    alice.expect_status("queued", &ids[3]).await;
    bob.settle().await;
    for id in &ids {
        assert_eq!(bob.take_message().await["messageId"], id.as_str());
        alice.expect_status("delivered", id).await;
    }
}

/// How many messages stand against the buffers of both ends' systems, which take some megabytes of them.
const MANY: usize = 24;

#[tokio::test]
async fn a_device_that_does_not_read_is_let_go_and_its_mail_stays() {
    let settings = [
        ("SEALWIRE_LIMITS_WINDOW_MESSAGES", "1000"),
        ("SEALWIRE_LIMITS_WINDOW_BYTES", "67108864"),
        ("SEALWIRE_TIMING_BLOCKED", "500ms"),
        ("SEALWIRE_TIMING_HAND_OVER", "10m"),
        ("SEALWIRE_LOG_LEVEL", "sealwire_actors=debug"),
    ];
    let server = Server::with(NO_LIMITS.iter().chain(&settings)).start().await;
    let (mut alice, bob) = (server.register("alice").await, server.register("bob").await);
    let mut slow = server.log_in_by(&bob.who, Dial::default().receive_buffer(4_096)).await;
    let mut ids = Vec::new();
    for _ in 0..MANY {
        ids.push(alice.send_message(&dummy_of(&bob.who, 700_000)).await);
    }
    for id in &ids {
        alice.expect_status("queued", id).await;
        assert_eq!(alice.statuses(id), ["queued"]);
    }
    assert!(server.log().contains("slow_consumer"), "{}", server.log());
    // The close frame stands behind what was not read; a connection that is cut has none.
    assert!(matches!(slow.end().await, None | Some(4410)));

    let mut bob = server.log_in(&bob.who).await;
    assert_eq!(bob.session["queued"], MANY);
    for id in &ids {
        assert_eq!(bob.take_message().await["messageId"], id.as_str());
        alice.expect_status("delivered", id).await;
    }
}

#[tokio::test]
async fn a_connection_that_does_not_read_does_not_keep_the_next_one_from_its_mail() {
    let settings = [
        ("SEALWIRE_LIMITS_WINDOW_MESSAGES", "1000"),
        ("SEALWIRE_LIMITS_WINDOW_BYTES", "67108864"),
        ("SEALWIRE_TIMING_BLOCKED", "10m"),
        ("SEALWIRE_TIMING_HAND_OVER", "10m"),
    ];
    let server = Server::with(NO_LIMITS.iter().chain(&settings)).start().await;
    let (mut alice, bob) = (server.register("alice").await, server.register("bob").await);
    let _stuck = server.log_in_by(&bob.who, Dial::default().receive_buffer(4_096)).await;
    let mut ids = Vec::new();
    for _ in 0..MANY {
        ids.push(alice.send_message(&dummy_of(&bob.who, 700_000)).await);
    }
    alice.settle().await;

    let mut bob = server.log_in(&bob.who).await;
    for id in &ids {
        assert_eq!(bob.take_message().await["messageId"], id.as_str());
        alice.expect_status("delivered", id).await;
    }
}
