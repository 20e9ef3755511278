//! Messages that the server does not take.

use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Identity, b64, dummy, dummy_of, now};
use serde_json::{Value, json};

use crate::{CANARY, assert_no_canary, assert_survives};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

#[tokio::test]
async fn a_message_of_a_wrong_shape_is_refused() {
    let server = Server::with(NO_LIMITS).start().await;
    let bob = server.register("bob").await.who;
    let mut alice = server.register("alice").await;
    let changes: [fn(&mut Value); 28] = [
        |m| m["xyzzy"] = 1.into(),
        |m| m["from"] = "xyzzy".into(),
        |m| m["recipients"][0]["xyzzy"] = 1.into(),
        |m| m["to"] = 7.into(),
        |m| m["suite"] = 2.into(),
        |m| m["suite"] = "1".into(),
        |m| m["suite"] = 257.into(),
        |m| m["iv"] = b64([0; 11]).into(),
        |m| m["iv"] = b64([0; 13]).into(),
        |m| m["iv"] = "xyzzy".into(),
        |m| m["signature"] = b64([0; 511]).into(),
        |m| m["signature"] = b64([0; 513]).into(),
        |m| m["signature"] = b64([0; 512]).trim_end_matches('=').into(),
        // The bits behind the last byte are not zero: another text for the same bytes.
        |m| m["signature"] = b64([0; 512]).replace("A=", "B=").into(),
        |m| m["encryptedMessage"] = "".into(),
        |m| m["encryptedMessage"] = "xyz-_zy=".into(),
        |m| m["encryptedMessage"] = json!([1, 2]),
        |m| m["encryptedKey"] = b64([0; 511]).into(),
        |m| m["encryptedKey"] = Value::Null,
        |m| m["messageId"] = "xyzzy".into(),
        |m| m["messageId"] = "0198C0DE-0000-7000-8000-0000000000A1".into(),
        |m| m["messageId"] = "0198c0de-0000-1000-8000-0000000000a1".into(),
        |m| m["timestamp"] = "now".into(),
        |m| m["recipients"] = json!([]),
        |m| m["recipients"] = json!({}),
        |m| m["recipients"][0]["k"] = b64([0; 31]).into(),
        |m| {
            m.as_object_mut().expect("a frame").remove("encryptedKey");
        },
        |m| m["encryptedKeys"] = json!([{ "u": m["to"], "d": m["recipients"][0]["d"], "w": m["encryptedKey"] }]),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        if n % 4 == 3 {
            alice = server.log_in(&alice.who).await;
        }
        let mut message = dummy(&bob);
        change(&mut message);
        alice.send_frame(&message).await;
        let error = alice.expect_where(&format!("an error for change {n}"), |frame| frame["type"] == "error").await;
        assert_eq!(error["code"], "bad_request", "change {n}: {error}");
        assert_no_canary(&error);
        assert_survives(&mut alice).await;
    }
}

#[tokio::test]
async fn recipients_that_are_unsorted_doubled_or_too_many_are_refused() {
    let server = Server::start().await;
    let (bob, mut alice) = (server.register("bob").await.who, server.register("alice").await);
    let entry = |name: &str, n: u8| json!({ "u": name, "d": format!("0198c0de-0000-7000-8000-0000000000{n:02x}"), "k": b64([n; 32]) });
    let lists = [
        vec![entry("bob", 2), entry("bob", 1)],
        vec![entry("bob", 1), entry("alice", 2)],
        vec![entry("bob", 1), entry("bob", 1)],
        (0..65).map(|n| entry("bob", n)).collect(),
    ];
    for list in lists {
        let mut message = dummy(&bob);
        let wrap = message["encryptedKey"].clone();
        message.as_object_mut().expect("a frame").remove("encryptedKey");
        let wraps: Vec<Value> = list.iter().map(|r| json!({ "u": r["u"], "d": r["d"], "w": wrap })).collect();
        message["recipients"] = list.into();
        message["encryptedKeys"] = wraps.into();
        alice.send_frame(&message).await;
        let error = alice.expect_error("bad_request").await;
        assert_eq!(error["messageId"], message["messageId"]);
        assert_survives(&mut alice).await;
    }
}

#[tokio::test]
async fn a_message_to_nobody_is_refused() {
    let server = Server::start().await;
    let (bob, mut alice) = (server.register("bob").await.who, server.register("alice").await);
    for name in [CANARY, "NO NAME xyzzy", "", "admin"] {
        let mut message = dummy(&bob);
        message["to"] = name.into();
        alice.send_frame(&message).await;
        let error = alice.expect_error("unknown_user").await;
        assert_eq!(error["messageId"], message["messageId"]);
        assert_no_canary(&error);
    }
    assert_survives(&mut alice).await;
}

#[tokio::test]
async fn stale_devices_are_refused_with_both_lists() {
    let server = Server::start().await;
    let (bob, mut alice) = (server.register("bob").await.who, server.register("alice").await);
    let carol = Identity::new("carol");
    let changes: [&dyn Fn(&mut Value); 4] = [
        &|m| m["recipients"][0]["k"] = b64([9; 32]).into(),
        &|m| m["recipients"][0]["d"] = carol.device.to_string().into(),
        &|m| m["recipients"][0]["u"] = CANARY.into(),
        &|m| m["recipients"] = json!([carol.recipient()]),
    ];
    for change in changes {
        let mut message = dummy(&bob);
        change(&mut message);
        alice.send_frame(&message).await;
        let error = alice.expect_error("stale_devices").await;
        assert_no_canary(&error);
        assert_eq!(error["messageId"], message["messageId"]);
        let lists = error["devices"].as_object().expect("lists");
        assert_eq!(lists.keys().collect::<Vec<_>>(), ["alice", "bob"]);
        assert_eq!(lists["bob"][0]["id"], bob.device.to_string());
        assert_eq!(lists["bob"][0]["wrap"]["dwk"], b64(bob.dwk.public().as_bytes()));
        assert_eq!(lists["alice"][0]["id"], alice.who.device.to_string());

        // The same id under the lists that were given: taken.
        message["recipients"] = json!([bob.recipient()]);
        let id = alice.send_message(&message).await;
        alice.expect_status("queued", &id).await;
    }
}

#[tokio::test]
async fn timestamps_that_lie_ahead_or_far_back_are_refused() {
    let server = Server::start().await;
    let (mut bob, mut alice) = (server.register("bob").await, server.register("alice").await);
    for timestamp in [now() + 6 * MINUTE, now() - 7 * DAY - MINUTE, 0, u64::MAX, i64::MAX as u64 + 1] {
        let mut message = dummy(&bob.who);
        message["timestamp"] = timestamp.into();
        alice.send_frame(&message).await;
        let error = alice.expect_error("timestamp_out_of_range").await;
        assert_eq!(error["messageId"], message["messageId"]);
    }
    for timestamp in [now() + 4 * MINUTE, now() - 7 * DAY + MINUTE] {
        let mut message = dummy(&bob.who);
        message["timestamp"] = timestamp.into();
        let id = alice.send_message(&message).await;
        assert_eq!(bob.take_message().await["timestamp"], timestamp);
        alice.expect_status("delivered", &id).await;
    }
}

#[tokio::test]
async fn a_message_that_would_not_fit_a_frame_on_its_way_out_is_refused() {
    const FRAME: usize = 1024 * 1024;
    let server = Server::start().await;
    let (mut bob, mut alice) = (server.register("bob").await, server.register("alice").await);
    let overhead = dummy_of(&bob.who, 3).to_string().len() - 4;
    let fitting = (FRAME - overhead) / 4 * 3;

    let message = dummy_of(&bob.who, fitting);
    assert!(message.to_string().len() <= FRAME);
    alice.send_frame(&message).await;
    assert_eq!(alice.expect_error("too_large").await["messageId"], message["messageId"]);
    assert_survives(&mut alice).await;

    let message = dummy_of(&bob.who, fitting - 300);
    let id = alice.send_message(&message).await;
    let delivered = bob.take_message().await;
    assert_eq!(delivered["encryptedMessage"], message["encryptedMessage"]);
    assert!(delivered.to_string().len() <= FRAME);
    alice.expect_status("delivered", &id).await;
}

#[tokio::test]
async fn a_message_to_oneself_needs_another_device() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    let mut message = dummy(&alice.who);
    alice.send_frame(&message).await;
    let error = alice.expect_error("stale_devices").await;
    assert_eq!(error["devices"]["alice"][0]["id"], alice.who.device.to_string());

    message["recipients"] = json!([]);
    message.as_object_mut().expect("a frame").remove("encryptedKey");
    alice.send_frame(&message).await;
    alice.expect_error("bad_request").await;
    assert_survives(&mut alice).await;
}

#[tokio::test]
async fn the_checks_come_in_the_order_of_the_page() {
    let server = Server::with(&[("SEALWIRE_LIMITS_MAILBOX_MESSAGES", "1")]).start().await;
    let mut alice = server.register("alice").await;
    let bob = server.register("bob").await.who;
    let mut wrong = dummy(&bob);
    wrong["suite"] = 2.into();
    wrong["timestamp"] = 0.into();
    wrong["to"] = "nobody.here".into();
    wrong["recipients"][0]["k"] = b64([9; 32]).into();
    let good = dummy(&bob);
    for (field, code) in [
        ("suite", "bad_request"),
        ("timestamp", "timestamp_out_of_range"),
        ("to", "unknown_user"),
        ("recipients", "stale_devices"),
    ] {
        alice.send_frame(&wrong).await;
        alice.expect_error(code).await;
        wrong[field] = good[field].clone();
    }
    let id = alice.send_message(&wrong).await;
    alice.expect_status("queued", &id).await;
    alice.send_frame(&dummy(&bob)).await;
    alice.expect_error("mailbox_full").await;
}
