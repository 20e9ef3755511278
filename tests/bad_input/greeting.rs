//! Before the log-in: what is sent too early, too much, too late, or with a signature that does not hold.

use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Dial, Identity, b64, dummy};
use serde_json::{Value, json};

use crate::{CANARY, assert_no_canary};

#[tokio::test]
async fn frames_before_the_log_in_are_refused_and_the_fifth_ends_the_connection() {
    let server = Server::start().await;
    let bob = server.register("bob").await;
    let mut wire = server.dial().await;
    wire.expect("challenge").await;
    for frame in [
        dummy(&bob.who),
        json!({ "type": "keys", "username": CANARY, "id": "k" }),
        json!({ "type": "heartbeat", "timestamp": 1 }),
        json!({ "type": "ack", "seq": 0 }),
    ] {
        wire.send_frame(&frame).await;
        let error = wire.expect_error("not_authenticated").await;
        assert_eq!(error.get("id"), frame.get("id"));
        assert_no_canary(&error);
        wire.expect("challenge").await;
    }
    wire.send_frame(&json!({ "type": "heartbeat", "timestamp": 1 })).await;
    wire.expect_close(4401).await;
}

#[tokio::test]
async fn a_connection_that_was_refused_may_still_log_in() {
    let server = Server::start().await;
    let who = server.register("alice").await.who;
    let mut wire = server.dial().await;
    for text in ["xyzzy", r#"{"type":"keys","username":"alice"}"#, r#"{"type":"teapot"}"#] {
        wire.expect("challenge").await;
        wire.raw(text).await;
        assert_no_canary(&wire.expect("error").await);
    }
    let challenge = wire.expect("challenge").await;
    wire.send_frame(&who.auth(&challenge)).await;
    wire.expect("session").await;
}

#[tokio::test]
async fn more_than_24_kib_before_the_log_in_end_the_connection() {
    let server = Server::start().await;
    let padded = |bytes: usize| json!({ "type": "teapot", "x": "a".repeat(bytes) });
    let mut wire = server.dial().await;
    wire.send_frame(&padded(25 * 1024)).await;
    wire.expect_close(4401).await;

    let mut wire = server.dial().await;
    wire.send_frame(&padded(13 * 1024)).await;
    wire.expect_error("unsupported_type").await;
    wire.send_frame(&padded(13 * 1024)).await;
    wire.expect_close(4401).await;
}

/// Sends an `auth` that must fail; gives the error.
async fn refused(server: &Server, answer: impl FnOnce(&Value) -> Value) -> Value {
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    wire.send_frame(&answer(&challenge)).await;
    let error = wire.expect_error("auth_failed").await;
    wire.expect_close(4401).await;
    assert_no_canary(&error);
    error
}

#[tokio::test]
async fn an_unknown_name_a_wrong_device_and_a_wrong_signature_get_the_same_answer() {
    let server = Server::with(NO_LIMITS).start().await;
    let (alice, nobody) = (server.register("alice").await.who, Identity::new("nobody.here"));
    let with = |field: &'static str, value: Value| {
        let alice = alice.clone();
        move |challenge: &Value| {
            let mut auth = alice.auth(challenge);
            auth[field] = value;
            auth
        }
    };
    let first = refused(&server, |challenge| nobody.auth(challenge)).await;
    let others = [
        refused(&server, with("signature", b64([7; 512]).into())).await,
        refused(&server, with("signature", b64([7; 511]).into())).await,
        refused(&server, with("signature", "".into())).await,
        refused(&server, with("clientNonce", b64([7; 32]).into())).await,
        refused(&server, with("deviceId", nobody.device.to_string().into())).await,
        refused(&server, with("username", "NOT A NAME xyzzy".into())).await,
        refused(&server, with("username", "admin".into())).await,
    ];
    assert!(others.iter().all(|other| *other == first), "{first} {others:?}");
}

#[tokio::test]
async fn a_signature_for_another_origin_does_not_log_in() {
    let server = Server::start().await;
    let alice = server.register("alice").await.who;
    refused(&server, |challenge| alice.auth_for_origin(challenge, "ws://evil.example")).await;
    refused(&server, |challenge| alice.auth_for_origin(challenge, "ws://127.0.0.1:1")).await;
    server.log_in(&alice).await;
}

#[tokio::test]
async fn a_signature_for_another_purpose_does_not_log_in() {
    let server = Server::start().await;
    let alice = server.register("alice").await.who;
    refused(&server, |challenge| {
        let register = alice.register(challenge);
        let mut auth = alice.auth(challenge);
        for field in ["clientNonce", "signature"] {
            auth[field] = register[field].clone();
        }
        auth
    })
    .await;
}

#[tokio::test]
async fn a_challenge_is_good_for_one_answer() {
    let server = Server::start().await;
    let alice = server.register("alice").await.who;

    // On the connection that used it.
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    let auth = alice.auth(&challenge);
    wire.send_frame(&auth).await;
    wire.expect("session").await;
    wire.send_frame(&auth).await;
    wire.expect_error("auth_failed").await;
    wire.expect_close(4401).await;

    // On another one.
    refused(&server, |_| auth.clone()).await;
    refused(&server, |_| alice.auth(&challenge)).await;
}

#[tokio::test]
async fn a_challenge_that_a_refused_registration_used_is_used() {
    let server = Server::start().await;
    let carol = Identity::new("carol");
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    let mut register = carol.register(&challenge);
    register["username"] = "admin".into();
    wire.send_frame(&register).await;
    wire.expect_error("username_invalid").await;
    wire.send_frame(&carol.register(&challenge)).await;
    wire.expect_error("auth_failed").await;
    wire.expect("challenge").await;
    let newest = wire.expect("challenge").await;
    wire.send_frame(&carol.register(&newest)).await;
    wire.expect("session").await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_told_so() {
    let server = Server::with(&[("SEALWIRE_TIMING_LOG_IN", "1ms")]).start().await;
    let alice = server.register("alice").await.who;
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    // The round trip lies between the challenge and the answer; it is made to take longer than that.
    let auth = alice.auth(&challenge);
    wire.ask(&json!({ "type": "rendezvous", "take": { "slot": b64([0; 16]), "side": 2 } })).await;
    wire.send_frame(&auth).await;
    wire.expect_error("auth_timeout").await;
    wire.expect_close(4401).await;
}

#[tokio::test]
async fn upgrades_from_other_pages_to_other_names_or_without_the_subprotocol_are_refused() {
    let server = Server::start().await;
    let status = async |dial: Dial| dial.to(&server).await.err().map(|refused| refused.status);
    assert_eq!(status(Dial::default().header("origin", "https://evil.example")).await, Some(403));
    assert_eq!(status(Dial::default().header("origin", "null")).await, Some(403));
    assert_eq!(status(Dial::default().header("host", "evil.example")).await, Some(421));
    assert_eq!(status(Dial::default().without_subprotocol()).await, Some(400));
    assert_eq!(status(Dial::default().header("sec-websocket-protocol", "sealwire.v2")).await, Some(400));
    let own_page = server.origin().replace("ws://", "http://");
    assert_eq!(status(Dial::default().header("origin", &own_page)).await, None);
}

#[tokio::test]
async fn the_challenge_names_the_origin_that_was_dialled() {
    let server = Server::start().await;
    let alice = server.register("alice").await.who;
    for host in ["localhost", "[::1]"] {
        let host = format!("{host}:{}", server.address().port());
        let mut wire = Dial::default().header("host", &host).to(&server).await.expect("a name of this machine");
        let challenge = wire.expect("challenge").await;
        assert_eq!(challenge["origin"], format!("ws://{host}"));
        wire.send_frame(&alice.auth(&challenge)).await;
        wire.expect("session").await;
    }
}

#[tokio::test]
async fn what_follows_a_log_in_without_waiting_for_it_is_handled_after_it() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await.who, server.register("bob").await.who);
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    let message = dummy(&bob);
    wire.send_frame(&alice.auth(&challenge)).await;
    wire.send_frame(&message).await;
    wire.send_frame(&json!({ "type": "keys", "username": "bob" })).await;
    wire.expect("session").await;
    wire.expect_status("queued", message["messageId"].as_str().expect("an id")).await;
    wire.expect("keys").await;
}
