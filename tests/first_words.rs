//! A client that was written from the protocol page alone registers, logs in, writes, receives and acknowledges, and is told
//! the truth about what became of its messages.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use rustix::process::Signal;
use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Dial, Identity, Stranger, b64, dummy, now};
use serde_json::{Value, json};

/// Alice and Bob, both connected.
async fn two_people(server: &Server) -> (Stranger, Stranger) {
    (server.register("alice").await, server.register("bob").await)
}

fn id_of(message: &Value) -> &str {
    message["messageId"].as_str().expect("a message has an id")
}

#[tokio::test]
async fn what_alice_writes_bob_reads_and_alice_is_told() {
    let server = Server::start().await;
    let (mut alice, mut bob) = two_people(&server).await;

    let id = alice.send(&bob, "hi").await;
    let message = bob.next_message().await;
    assert_eq!((id_of(&message), &message["seq"]), (id.as_str(), &json!(1)));
    assert_eq!((&message["from"], &message["to"]), (&json!("alice"), &json!("bob")));
    assert_eq!(message["fromDevice"], alice.who.device.to_string());
    assert_eq!(bob.read(&alice.who, &message), "hi");
    assert_eq!(message.get("encryptedKeys"), None, "each device is given its own wrap alone");
    assert!(alice.statuses(&id).is_empty(), "nothing is promised before Bob has it");
    bob.ack(1).await;
    alice.expect_status("delivered", &id).await;
    assert_eq!(alice.statuses(&id), ["delivered"]);

    let id = bob.send(&alice, "hello yourself").await;
    let message = alice.take_message().await;
    assert_eq!(alice.read(&bob.who, &message), "hello yourself");
    bob.expect_status("delivered", &id).await;
}

#[tokio::test]
async fn a_challenge_and_a_session_say_what_the_page_says() {
    let server = Server::start().await;
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    assert_eq!((&challenge["v"], &challenge["origin"]), (&json!(1), &json!(server.origin())));
    let life = challenge["expiresAt"].as_u64().expect("a time") - challenge["serverTime"].as_u64().expect("a time");
    assert_eq!(life, 30_000);

    wire.send_frame(&json!({ "type": "challenge", "id": "again" })).await;
    let again = wire.expect("challenge").await;
    assert_eq!((&again["id"], &again["nonce"]), (&json!("again"), &challenge["nonce"]), "an open one is returned");

    let who = Identity::new("alice");
    let mut register = who.register(&challenge);
    register["id"] = "first".into();
    register["invite"] = "one that nobody asked for".into();
    wire.send_frame(&register).await;
    let session = wire.expect("session").await;
    assert_eq!((&session["id"], &session["username"]), (&json!("first"), &json!("alice")));
    assert_eq!((&session["deviceId"], &session["queued"]), (&json!(who.device.to_string()), &json!(0)));
    assert!(session["limits"].is_object() && session["expiresAt"].as_u64() > Some(now()));
    assert_eq!(wire.expect("queue").await["empty"], true);
}

#[tokio::test]
async fn mail_for_someone_who_is_away_waits_in_order() {
    let server = Server::start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    let away = bob.who.clone();
    bob.close().await;

    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(alice.send(&bob, text).await);
    }
    for id in &ids {
        alice.expect_status("queued", id).await;
        assert_eq!(alice.statuses(id), ["queued"]);
    }

    let mut bob = server.log_in(&away).await;
    assert_eq!(bob.session["queued"], 3);
    for (n, text) in ["one", "two", "three"].into_iter().enumerate() {
        assert!(!bob.has_kept("queue"), "`queue` comes behind the backlog");
        let message = bob.next_message().await;
        assert_eq!((id_of(&message), &message["seq"]), (ids[n].as_str(), &json!(n + 1)));
        assert_eq!(bob.read(&alice.who, &message), text);
    }
    assert_eq!(bob.expect("queue").await["empty"], true);
    bob.ack(3).await;
    for id in &ids {
        alice.expect_status("delivered", id).await;
        assert_eq!(alice.statuses(id), ["queued", "delivered"]);
    }

    bob.close().await;
    let mut bob = server.log_in(&away).await;
    assert_eq!(bob.session["queued"], 0);
    bob.expect("queue").await;
    assert!(!bob.has_kept("message"), "what was acknowledged does not come again");
}

#[tokio::test]
async fn keys_are_shown_to_whoever_asks() {
    let server = Server::start().await;
    let (mut alice, bob) = two_people(&server).await;
    for who in [&bob.who, &alice.who.clone()] {
        let keys = alice.keys(&json!({ "username": who.name.as_str() })).await;
        assert_eq!((&keys["type"], &keys["username"]), (&json!("keys"), &json!(who.name.as_str())));
        assert_eq!(keys["aik"], b64(who.aik.public().as_bytes()));
        assert_eq!(keys["manifests"].as_array().map(Vec::len), Some(1));
        assert_eq!(keys["manifests"][0]["devices"][0]["dsk"], b64(who.dsk.public().as_bytes()));
        assert_eq!(keys["devices"][0]["id"], who.device.to_string());
        assert_eq!(keys["devices"][0]["wrap"]["dwk"], b64(who.dwk.public().as_bytes()));
        assert_ne!(keys["more"], true);

        let newer = alice.keys(&json!({ "username": who.name.as_str(), "sinceVersion": 1 })).await;
        assert_eq!((&newer["type"], &newer["manifests"]), (&json!("keys"), &json!([])));
        assert_eq!(newer["devices"], keys["devices"]);
    }
    for nobody in ["carol", "x", "No Name"] {
        let error = alice.keys(&json!({ "username": nobody })).await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("unknown_user")), "{nobody}");
    }
}

#[tokio::test]
async fn every_answer_and_every_error_carries_the_requests_id() {
    let server = Server::start().await;
    let (mut alice, bob) = two_people(&server).await;
    let id = "x".repeat(64);
    let mut to_nobody = dummy(&bob.who);
    to_nobody["to"] = "carol".into();
    for (mut request, answer) in [
        (json!({ "type": "heartbeat", "timestamp": 7 }), "heartbeat"),
        (json!({ "type": "keys", "username": "bob" }), "keys"),
        (json!({ "type": "keys", "username": "carol" }), "error"),
        (json!({ "type": "challenge" }), "challenge"),
        (json!({ "type": "ack", "seq": 99 }), "error"),
        (json!({ "type": "teapot" }), "error"),
        (json!({ "type": "heartbeat", "timestamp": "noon" }), "error"),
        (to_nobody, "error"),
    ] {
        request["id"] = id.as_str().into();
        alice.send_frame(&request).await;
        let frame = alice.expect_where(answer, |frame| frame["id"] == id.as_str()).await;
        assert_eq!(frame["type"], answer, "{frame}");
    }
}

#[tokio::test]
async fn a_heartbeat_comes_back_with_the_servers_time() {
    let server = Server::start().await;
    let mut alice = server.register("alice").await;
    let before = now();
    alice.send_frame(&json!({ "type": "heartbeat", "timestamp": 12_345 })).await;
    let answer = alice.expect("heartbeat").await;
    assert_eq!(answer["timestamp"], 12_345);
    let server_time = answer["serverTime"].as_u64().expect("a time");
    assert!((before..=now()).contains(&server_time));
}

/// However many frames a turn takes in, none is left lying until something else happens.
#[tokio::test]
async fn a_burst_of_any_length_is_answered_to_its_end() {
    let server = Server::with(NO_LIMITS).start().await;
    let mut alice = server.register("alice").await;
    for length in 1..=50_u64 {
        let beat = |n| json!({ "type": "heartbeat", "timestamp": n, "id": format!("{length}/{n}") });
        alice.burst(&(1..=length).map(beat).collect::<Vec<_>>()).await;
        for n in 1..=length {
            let answer = alice.expect("heartbeat").await;
            assert_eq!((&answer["id"], &answer["timestamp"]), (&json!(format!("{length}/{n}")), &json!(n)));
        }
    }
}

/// Statuses wait for others to share a frame with, but not for ever: nothing more comes here, and a message is undecided.
#[tokio::test]
async fn a_status_does_not_wait_for_a_message_that_nobody_acknowledges() {
    let server = Server::start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    let mut carl = server.register("carl").await;
    let open = alice.send(&carl, "are you there?").await;
    carl.next_message().await;
    for seq in 1..=5 {
        let id = alice.send(&bob, "hi").await;
        bob.next_message().await;
        bob.ack(seq).await;
        alice.expect_status("delivered", &id).await;
    }
    assert!(alice.statuses(&open).is_empty());
    carl.ack(1).await;
    alice.expect_status("delivered", &open).await;
}

#[tokio::test]
async fn five_hundred_messages_arrive_in_the_order_in_which_they_were_sent() {
    let server = Server::with(NO_LIMITS).start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    let to = bob.who.clone();
    let sending = async {
        let mut ids = Vec::new();
        for _ in 0..500 {
            ids.push(alice.send_dummy(&to).await);
        }
        for id in &ids {
            alice.expect_status("delivered", id).await;
        }
        ids
    };
    let receiving = async {
        let mut ids = Vec::new();
        for seq in 1..=500_u64 {
            let message = bob.next_message().await;
            assert_eq!(message["seq"], seq);
            ids.push(id_of(&message).to_owned());
            if seq % 32 == 0 || seq == 500 {
                bob.ack(seq).await;
            }
        }
        ids
    };
    let (sent, received) = tokio::join!(sending, receiving);
    assert_eq!(sent, received);
}

#[tokio::test]
async fn any_frame_may_carry_the_acknowledgement() {
    let server = Server::start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    for frame in [
        json!({ "type": "heartbeat", "timestamp": 1 }),
        json!({ "type": "keys", "username": "alice" }),
        dummy(&alice.who),
        json!({ "type": "challenge" }),
    ] {
        let id = alice.send_dummy(&bob.who).await;
        let mut frame = frame;
        frame["ack"] = bob.next_message().await["seq"].clone();
        bob.send_frame(&frame).await;
        alice.expect_status("delivered", &id).await;
    }

    let ids = [alice.send_dummy(&bob.who).await, alice.send_dummy(&bob.who).await];
    bob.next_message().await;
    let last = bob.next_message().await;
    bob.send_frame(&json!({ "type": "heartbeat", "timestamp": 2, "ack": last["seq"] })).await;
    for id in &ids {
        alice.expect_status("delivered", id).await;
    }
    bob.ack(1).await;
    bob.settle().await;
    assert!(!bob.has_kept("error"), "an acknowledgement that goes back is ignored");
}

#[tokio::test]
async fn a_second_connection_takes_over_and_loses_nothing() {
    let server = Server::start().await;
    let (mut alice, mut old) = two_people(&server).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(alice.send_dummy(&old.who).await);
        old.next_message().await;
    }
    old.ack(1).await;
    alice.expect_status("delivered", &ids[0]).await;

    let mut new = server.log_in(&old.who).await;
    old.expect_close(4409).await;
    ids.push(alice.send_dummy(&old.who).await);
    for (n, id) in ids[1..].iter().enumerate() {
        let message = new.take_message().await;
        assert_eq!((id_of(&message), &message["seq"]), (id.as_str(), &json!(n + 1)));
        alice.expect_status("delivered", id).await;
    }
}

#[tokio::test]
async fn of_many_connections_of_a_device_at_once_one_stays_and_nothing_is_lost() {
    const MANY: usize = 12;
    let server = Server::with(NO_LIMITS).start().await;
    let (mut alice, first) = two_people(&server).await;
    let mut ids = vec![alice.send_dummy(&first.who).await];
    let mut all = join_all((0..MANY).map(|_| server.log_in(&first.who))).await;
    all.push(first);
    let who = all[0].who.clone();
    ids.push(alice.send_dummy(&who).await);

    let ends: FuturesUnordered<_> = all.into_iter().map(|mut bob| async move { bob.end().await }).collect();
    let replaced: Vec<Option<u16>> = ends.take(MANY).collect().await;
    assert_eq!(replaced, [Some(4409); MANY]);

    // The one that stayed was cut with the rest of the stream; it had acknowledged nothing.
    let mut bob = server.log_in(&who).await;
    for id in &ids {
        assert_eq!(id_of(&bob.take_message().await), id);
        alice.expect_status("delivered", id).await;
    }
}

#[tokio::test]
async fn a_repeat_is_answered_like_the_first_on_any_connection() {
    let server = Server::start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    let message = dummy(&bob.who);
    let id = alice.send_message(&message).await;
    bob.take_message().await;
    alice.expect_status("delivered", &id).await;

    alice.forget_statuses(&id);
    alice.send_frame(&message).await;
    alice.expect_status("delivered", &id).await;

    alice.close().await;
    let mut alice = server.log_in(&alice.who).await;
    alice.send_frame(&message).await;
    alice.expect_status("delivered", &id).await;

    let last = alice.send_dummy(&bob.who).await;
    assert_eq!(id_of(&bob.take_message().await), last, "no repeat reached Bob");
}

#[tokio::test]
async fn a_repeat_of_mail_that_waits_is_answered_like_the_first_even_by_a_server_that_was_killed() {
    let mut server = Server::start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    bob.close().await;
    let message = dummy(&bob.who);
    let id = alice.send_message(&message).await;
    alice.expect_status("queued", &id).await;

    server.restart().await;
    let mut alice = server.log_in(&alice.who).await;
    alice.send_frame(&message).await;
    alice.expect_status("queued", &id).await;

    let mut bob = server.log_in(&bob.who).await;
    assert_eq!(bob.session["queued"], 1);
    assert_eq!(id_of(&bob.take_message().await), id);
    bob.expect("queue").await;
    assert!(!bob.has_kept("message"));
    alice.expect_status("delivered", &id).await;
}

#[tokio::test]
async fn an_id_that_was_used_for_other_bytes_is_refused() {
    let server = Server::start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    let first = dummy(&bob.who);
    let id = alice.send_message(&first).await;
    bob.take_message().await;
    alice.expect_status("delivered", &id).await;

    let mut second = dummy(&bob.who);
    for field in ["messageId", "timestamp"] {
        second[field] = first[field].clone();
    }
    alice.send_frame(&second).await;
    assert_eq!(alice.expect_error("duplicate_conflict").await["messageId"], id.as_str());

    // Neither a new connection of the sender nor an addressee who is away changes that.
    bob.close().await;
    let waiting = dummy(&bob.who);
    let id = alice.send_message(&waiting).await;
    alice.expect_status("queued", &id).await;
    let mut alice = server.log_in(&alice.who).await;
    let mut other = dummy(&bob.who);
    for field in ["messageId", "timestamp"] {
        other[field] = waiting[field].clone();
    }
    alice.send_frame(&other).await;
    assert_eq!(alice.expect_error("duplicate_conflict").await["messageId"], id.as_str());
}

#[tokio::test]
async fn what_was_sealed_anew_under_its_id_reaches_no_device_that_holds_the_id() {
    let server = Server::start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    let anew = |message: &Value, to: &Identity| {
        let mut other = dummy(to);
        other["messageId"] = message["messageId"].clone();
        other["timestamp"] = (now() + 1_000).into();
        other
    };

    let first = dummy(&bob.who);
    let id = alice.send_message(&first).await;
    bob.take_message().await;
    alice.expect_status("delivered", &id).await;
    alice.forget_statuses(&id);
    alice.send_frame(&anew(&first, &bob.who)).await;
    alice.expect_status("delivered", &id).await;

    bob.close().await;
    assert!(!bob.has_kept("message"));
    let second = dummy(&bob.who);
    let id = alice.send_message(&second).await;
    alice.expect_status("queued", &id).await;
    alice.forget_statuses(&id);
    let mut alice = server.log_in(&alice.who).await;
    alice.send_frame(&anew(&second, &bob.who)).await;
    alice.expect_status("queued", &id).await;
    let mut bob = server.log_in(&bob.who).await;
    assert_eq!(bob.take_message().await["signature"], second["signature"]);
    bob.expect("queue").await;
    assert!(!bob.has_kept("message"));
}

#[tokio::test]
async fn a_device_that_does_not_acknowledge_gets_its_mail_stored_and_may_still_say_so_later() {
    let server = Server::with(&[("SEALWIRE_TIMING_HAND_OVER", "200ms")]).start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    let id = alice.send(&bob, "hi").await;
    let message = bob.next_message().await;
    alice.expect_status("queued", &id).await;
    bob.ack(message["seq"].as_u64().expect("a number")).await;
    alice.expect_status("delivered", &id).await;
    assert_eq!(alice.statuses(&id), ["queued", "delivered"]);

    bob.close().await;
    let bob = server.log_in(&bob.who).await;
    assert_eq!(bob.session["queued"], 0, "the late acknowledgement removed it");
}

#[tokio::test]
async fn a_repeated_registration_is_answered_like_the_first() {
    let mut server = Server::start().await;
    let who = Arc::new(Identity::new("alice"));
    let first = server.register_as(who.clone(), Dial::default()).await;
    let second = server.register_as(who.clone(), Dial::default()).await;
    assert_eq!(first.session["deviceId"], second.session["deviceId"]);
    server.restart().await;
    server.register_as(who.clone(), Dial::default()).await;
    server.log_in(&who).await;
}

#[tokio::test]
async fn a_name_is_given_once() {
    let server = Server::start().await;
    server.register("alice").await;
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    wire.send_frame(&Identity::new("alice").register(&challenge)).await;
    wire.expect_error("username_taken").await;

    let challenge = wire.expect("challenge").await;
    wire.send_frame(&Identity::new("alice2").register(&challenge)).await;
    wire.expect("session").await;
}

#[tokio::test]
async fn of_many_who_want_a_name_at_once_one_gets_it() {
    let server = Server::with(NO_LIMITS).start().await;
    let want = async || {
        let mut wire = server.dial().await;
        let challenge = wire.expect("challenge").await;
        wire.send_frame(&Identity::new("alice").register(&challenge)).await;
        wire.expect_where("an answer", |frame| frame["type"] == "session" || frame["type"] == "error").await
    };
    let answers = join_all((0..8).map(|_| want())).await;
    let taken = answers.iter().filter(|answer| answer["code"] == "username_taken").count();
    let sessions = answers.iter().filter(|answer| answer["type"] == "session").count();
    assert_eq!((sessions, taken), (1, 7), "{answers:?}");
}

#[tokio::test]
async fn a_session_that_is_prolonged_goes_on_counting() {
    let settings = [("SEALWIRE_TIMING_SESSION", "40s"), ("SEALWIRE_TIMING_RENEWAL", "39s")];
    let server = Server::with(&settings).start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    alice.send(&bob, "before").await;
    assert_eq!(bob.take_message().await["seq"], 1);

    let challenge = bob.expect("challenge").await;
    let mut auth = bob.who.auth(&challenge);
    auth["id"] = "renewal".into();
    bob.send_frame(&auth).await;
    let renewed = bob.expect("session").await;
    assert_eq!((&renewed["id"], &renewed["deviceId"]), (&json!("renewal"), &bob.session["deviceId"]));
    assert!(renewed["expiresAt"].as_u64() > bob.session["expiresAt"].as_u64());

    alice.send(&bob, "after").await;
    let message = bob.take_message().await;
    assert_eq!((&message["seq"], bob.read(&alice.who, &message).as_str()), (&json!(2), "after"));
}

#[tokio::test]
async fn a_session_that_is_not_prolonged_ends() {
    let settings = [("SEALWIRE_TIMING_SESSION", "1s"), ("SEALWIRE_TIMING_RENEWAL", "900ms")];
    let server = Server::with(&settings).start().await;
    let mut alice = server.register("alice").await;
    alice.expect("challenge").await;
    alice.expect_error("session_expired").await;
    alice.expect_close(4407).await;
}

#[tokio::test]
async fn nobody_else_prolongs_a_session() {
    let settings = [("SEALWIRE_TIMING_SESSION", "40s"), ("SEALWIRE_TIMING_RENEWAL", "39s")];
    let server = Server::with(&settings).start().await;
    let (mut alice, bob) = two_people(&server).await;
    let challenge = alice.expect("challenge").await;
    alice.send_frame(&bob.who.auth(&challenge)).await;
    alice.expect_error("auth_failed").await;
    alice.expect_close(4401).await;
}

#[tokio::test]
async fn a_server_that_is_asked_to_leave_says_goodbye_and_loses_nothing() {
    let mut server = Server::start().await;
    let (mut alice, mut bob) = two_people(&server).await;
    let id = alice.send(&bob, "hi").await;
    bob.next_message().await;
    server.signal(Signal::TERM);
    for person in [&mut alice, &mut bob] {
        assert!(person.expect("reconnect").await["afterMs"].is_u64());
        person.expect_close(1012).await;
    }
    assert!(server.ended().await.success());

    server.restart().await;
    let mut bob = server.log_in(&bob.who).await;
    let message = bob.take_message().await;
    assert_eq!((id_of(&message), bob.read(&alice.who, &message).as_str()), (id.as_str(), "hi"));
}
