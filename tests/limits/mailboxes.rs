//! How much waits for a device.

use sealwire_tests::Server;
use sealwire_tests::stranger::{Identity, Stranger, dummy_of};
use serde_json::Value;

async fn queued(from: &mut Stranger, to: &Identity) -> String {
    let id = from.send_dummy(to).await;
    from.expect_status("queued", &id).await;
    id
}

async fn full(from: &mut Stranger, message: &Value) {
    let id = from.send_message(message).await;
    assert_eq!(from.expect_error("mailbox_full").await["messageId"], id.as_str());
}

#[tokio::test]
async fn one_sender_cannot_fill_a_mailbox_for_the_others() {
    let server = Server::with(&[("SEALWIRE_LIMITS_MAILBOX_MESSAGES_PER_SENDER", "3")]).start().await;
    let mut bob = server.register("bob").await;
    bob.close().await;
    let (mut alice, mut carol) = (server.register("alice").await, server.register("carol").await);
    for _ in 0..3 {
        queued(&mut alice, &bob.who).await;
    }
    full(&mut alice, &dummy_of(&bob.who, 10)).await;
    queued(&mut carol, &bob.who).await;

    let mut bob = server.log_in(&bob.who).await;
    assert_eq!(bob.session["queued"], 4);
    for _ in 0..4 {
        bob.take_message().await;
    }
    let id = alice.send_dummy(&bob.who).await;
    bob.take_message().await;
    alice.expect_status("delivered", &id).await;
}

#[tokio::test]
async fn a_full_mailbox_refuses_everybody_and_loses_nothing() {
    let server = Server::with(&[("SEALWIRE_LIMITS_MAILBOX_MESSAGES", "3")]).start().await;
    let mut bob = server.register("bob").await;
    bob.close().await;
    let (mut alice, mut carol) = (server.register("alice").await, server.register("carol").await);
    let first = dummy_of(&bob.who, 10);
    let id = alice.send_message(&first).await;
    alice.expect_status("queued", &id).await;
    let mut ids = vec![id, queued(&mut carol, &bob.who).await, queued(&mut alice, &bob.who).await];
    let refused = dummy_of(&bob.who, 10);
    full(&mut alice, &refused).await;
    full(&mut carol, &dummy_of(&bob.who, 10)).await;

    // A repeat of what was taken is not refused.
    alice.forget_statuses(&ids[0]);
    alice.send_frame(&first).await;
    alice.expect_status("queued", &ids[0]).await;

    let mut bob = server.log_in(&bob.who).await;
    for id in &ids {
        assert_eq!(bob.take_message().await["messageId"], id.as_str());
    }
    bob.expect("queue").await;
    ids.push(alice.send_message(&refused).await);
    assert_eq!(bob.take_message().await["messageId"], ids[3].as_str());
    alice.expect_status("delivered", &ids[3]).await;
}

#[tokio::test]
async fn bytes_are_counted_too() {
    let server = Server::with(&[("SEALWIRE_LIMITS_MAILBOX_BYTES", "100000")]).start().await;
    let mut bob = server.register("bob").await;
    bob.close().await;
    let mut alice = server.register("alice").await;
    let id = alice.send_message(&dummy_of(&bob.who, 200_000)).await;
    alice.expect_status("queued", &id).await;
    full(&mut alice, &dummy_of(&bob.who, 10)).await;
    assert_eq!(server.log_in(&bob.who).await.session["queued"], 1);
}

#[tokio::test]
async fn sending_without_waiting_for_answers_does_not_get_around_the_limit() {
    let server = Server::with(&[("SEALWIRE_LIMITS_MAILBOX_MESSAGES_PER_SENDER", "3")]).start().await;
    let mut bob = server.register("bob").await;
    bob.close().await;
    let mut alice = server.register("alice").await;
    for _ in 0..40 {
        alice.send_dummy(&bob.who).await;
    }
    alice.settle().await;
    assert_eq!(server.log_in(&bob.who).await.session["queued"], 3);
}
