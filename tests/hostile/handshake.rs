//! A server that wants other signatures than a log-in's, lets in somebody else, or lies about the time.

use std::time::Duration;

use sealwire_client::Error;
use sealwire_client::enrol::devices;
use sealwire_client::handshake::ChallengeError;
use sealwire_client::register::register_with_keys;
use sealwire_e2ee::verify::verify;
use sealwire_protocol::DeviceId;
use sealwire_protocol::signed::{AuthIn, Purpose};
use sealwire_tests::hostile::{Act, Passing, Person, Seen, Side, World, keys_of};
use sealwire_tests::profiles;
use sealwire_tests::stranger::{PATIENCE, b64, now, unb64};
use serde_json::Value;

const YEAR: u64 = 365 * 24 * 60 * 60 * 1000;

fn signed(seen: &Seen) -> bool {
    seen.side == Side::Client && ["auth", "register", "link"].contains(&seen.frame["type"].as_str().unwrap_or_default())
}

fn with(frame: &Value, field: &str, value: impl Into<Value>) -> Value {
    let mut frame = frame.clone();
    frame[field] = value.into();
    frame
}

/// Whether the signature of an `auth` is over this challenge for this purpose.
fn is_signed_for(person: &Person, origin: &str, challenge: &Value, auth: &Value, purpose: Purpose) -> bool {
    let keys = person.forger().who;
    let input = AuthIn {
        purpose,
        origin,
        channel_id: &unb64(&challenge["channelId"]).try_into().expect("16 bytes"),
        server_nonce: &unb64(&challenge["nonce"]).try_into().expect("32 bytes"),
        client_nonce: &unb64(&auth["clientNonce"]).try_into().expect("32 bytes"),
        expires_at: challenge["expiresAt"].as_u64().expect("a time"),
        username: &person.name,
        device: &person.device,
        dsk_kid: keys.dsk.kid(),
    };
    verify(keys.dsk.public(), &input.to_bytes(), &unb64(&auth["signature"])).is_ok()
}

#[tokio::test]
async fn a_challenge_of_another_origin_or_version_is_not_signed() {
    let world = World::start().await;
    let (mut alice, mut bob) = world.two().await;
    let mut other_port = world.proxy.origin();
    let last = other_port.pop();
    other_port.push(if last == Some('1') { '2' } else { '1' });
    for (field, value, reason) in [
        ("origin", "wss://chat.example.org".into(), ChallengeError::Origin),
        ("origin", other_port.into(), ChallengeError::Origin),
        ("origin", world.server.origin().into(), ChallengeError::Origin),
        ("v", Value::from(2), ChallengeError::Version),
    ] {
        let before = world.proxy.log().iter().filter(|seen| signed(seen)).count();
        world
            .proxy
            .on(Side::Server, "challenge", move |passing| vec![Act::On(with(&passing.frame, field, value.clone()))]);
        world.proxy.close("alice", 1012).await;
        let end = alice.ends().await;
        assert!(matches!(&end, Error::Challenge(r) if *r == reason), "{end}");
        assert_eq!(world.proxy.log().iter().filter(|seen| signed(seen)).count(), before, "nothing was signed");
        world.proxy.be_honest();
        alice = alice.restarted().await;
    }
    alice.delivers(&bob, "here I am again").await;
    bob.hears(&[("alice", "here I am again")]).await;
}

#[tokio::test]
async fn a_later_challenge_of_another_channel_is_not_signed() {
    let world = World::start().await;
    let mut alice = world.person("alice").await;
    let challenge = world.proxy.log().into_iter().rfind(|seen| seen.frame["type"] == "challenge").expect("it was sent");
    let before = world.proxy.log().iter().filter(|seen| signed(seen)).count();
    world.proxy.deliver("alice", &with(&challenge.frame, "channelId", b64([1; 16]))).await;
    let end = alice.ends().await;
    assert!(matches!(end, Error::Challenge(ChallengeError::Channel)), "{end}");
    assert_eq!(world.proxy.log().iter().filter(|seen| signed(seen)).count(), before);
}

#[tokio::test]
async fn whatever_is_asked_for_only_a_log_in_is_signed() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    let log = world.proxy.log();
    let is_hers = |seen: &&Seen| seen.who == "alice" && seen.frame["type"] == "auth";
    let connection = log.iter().find(is_hers).expect("she logged in").connection;
    let first = log.iter().find(|seen| seen.connection == connection && seen.frame["type"] == "challenge");
    let first = first.expect("it was sent").frame.clone();

    // The answers are the double's to keep: the real server has not asked.
    world.proxy.on(Side::Client, "auth", |_| Vec::new());
    let purpose = with(&with(&first, "purpose", 2), "nonce", b64([2; 32]));
    let many = (3..6).map(|n| with(&with(&first, "nonce", b64([n; 32])), "expiresAt", 7 * u64::from(n)));
    let challenges: Vec<_> =
        [first.clone(), first.clone(), with(&purpose, "kind", "link"), purpose].into_iter().chain(many).collect();
    for challenge in &challenges {
        world.proxy.deliver("alice", challenge).await;
    }
    alice.delivers(&bob, "still here").await;
    bob.hears(&[("alice", "still here")]).await;

    let origin = world.proxy.origin();
    let answers = world.proxy.log();
    let answers: Vec<_> =
        answers.iter().filter(|seen| seen.who == "alice" && signed(seen)).map(|seen| &seen.frame).collect();
    assert!(answers.len() > 2, "she has answered some of them");
    for answer in answers.iter().skip(1) {
        let of =
            |purpose| challenges.iter().any(|challenge| is_signed_for(&alice, &origin, challenge, answer, purpose));
        if answer["type"] == "register" {
            continue;
        }
        assert!(of(Purpose::LogIn), "{answer}");
        assert!(!of(Purpose::Register) && !of(Purpose::Link), "{answer}");
    }
}

#[tokio::test]
async fn a_registration_is_not_signed_for_another_origin() {
    let world = World::start().await;
    world.proxy.on(Side::Server, "challenge", |passing| vec![Act::On(with(&passing.frame, "origin", "ws://[::1]:1"))]);
    let home = tempfile::tempdir().expect("a directory can be made");
    let mut profile = profiles::open(&home.path().join("alice"));
    let server = world.proxy.origin().parse().expect("an address");
    let name = "alice".parse().expect("a name");
    let outcome = register_with_keys(&mut profile, &server, &name, &keys_of(0), PATIENCE).await;
    assert!(matches!(outcome, Err(Error::Challenge(ChallengeError::Origin))), "{outcome:?}");
    assert!(!world.proxy.log().iter().any(signed));
    world.proxy.be_honest();
    register_with_keys(&mut profile, &server, &name, &keys_of(0), PATIENCE)
        .await
        .expect("an honest server is answered");
}

/// Whoever takes another one's session for their own takes what is answered on it for their own, too.
#[tokio::test]
async fn a_session_of_somebody_else_is_nobodys_entry() {
    let world = World::start().await;
    let server = world.proxy.origin().parse().expect("an address");
    let others = || DeviceId::new_v7(now(), [7; 10]).to_string();
    let lies = |field: &'static str, value: String| {
        world
            .proxy
            .on(Side::Server, "session", move |passing| vec![Act::On(with(&passing.frame, field, value.clone()))]);
    };
    let is_refused = |outcome: Result<(), Error>| {
        let error = outcome.expect_err("it is somebody else's");
        assert!(error.to_string().contains("let in somebody else"), "{error}");
    };

    let home = tempfile::tempdir().expect("a directory can be made");
    let mut profile = profiles::open(&home.path().join("dave"));
    let name = "dave".parse().expect("a name");
    let keys = keys_of(0);
    for (field, value) in [("username", "eve".to_owned()), ("deviceId", others())] {
        lies(field, value);
        is_refused(register_with_keys(&mut profile, &server, &name, &keys, Duration::ZERO).await);
        assert!(profile.account().is_err(), "{field}");
    }
    world.proxy.be_honest();
    register_with_keys(&mut profile, &server, &name, &keys, PATIENCE)
        .await
        .expect("the first one's answer comes again");
    for (field, value) in [("username", "eve".to_owned()), ("deviceId", others())] {
        lies(field, value);
        is_refused(devices::refresh(&mut profile, &server, Duration::ZERO).await);
    }
    world.proxy.be_honest();
    devices::refresh(&mut profile, &server, PATIENCE).await.expect("an honest server is believed");
}

#[tokio::test]
async fn a_session_that_was_not_asked_for_shows_nothing() {
    let world = World::start().await;
    let (mut alice, mut bob) = world.two().await;
    let is_session = |seen: &Seen| seen.frame["type"] == "session" && seen.who == "bob";
    let session = world.proxy.seen("a session", is_session).await.frame;
    let envelope = alice.forger().seals(&bob.forger().who, &sealwire_tests::hostile::Draft::first("never sent"));
    let forged = with(&envelope, "from", "carol");
    world.proxy.on(Side::Server, "challenge", move |passing: &Passing| {
        vec![Act::Back(Value::Null), Act::On(session.clone()), Act::On(forged.clone()), Act::On(passing.frame.clone())]
    });
    world.proxy.close("bob", 1012).await;
    bob.is_cut_off().await;
    bob.is_back().await;
    world.proxy.be_honest();
    let mut bob = bob.restarted().await;
    alice.delivers(&bob, "sent").await;
    bob.hears(&[("alice", "sent")]).await;
    assert_eq!(bob.messages(), 1);
    alice.told.clear();
}

/// Whoever reads it is not to look for a fault in their own keys.
#[tokio::test]
async fn a_server_whose_clock_is_far_behind_is_told_that_it_is_the_clock() {
    let world = World::start().await;
    let server = world.proxy.origin().parse().expect("an address");
    let mut profile = profiles::open(&world.person("alice").await.leaves().await);
    world.proxy.script(move |passing| {
        let frame = &passing.frame;
        let time = || with(frame, "serverTime", now() - YEAR);
        vec![Act::On(if frame["serverTime"].is_u64() { time() } else { frame.clone() })]
    });
    let error = devices::refresh(&mut profile, &server, Duration::ZERO).await.expect_err("its time is false");
    assert!(error.to_string().contains("the clock of the server"), "{error}");
    world.proxy.be_honest();
    devices::refresh(&mut profile, &server, PATIENCE).await.expect("an honest server is believed");
}

#[tokio::test]
async fn a_false_time_costs_no_message() {
    for time in [now() + YEAR, now() - YEAR, 0, u64::MAX, u64::MAX / 2] {
        let world = World::start().await;
        let (mut alice, mut bob) = world.two().await;
        alice.delivers(&bob, "before").await;
        world.proxy.script(move |passing| {
            let frame = &passing.frame;
            vec![Act::On(if frame["serverTime"].is_u64() { with(frame, "serverTime", time) } else { frame.clone() })]
        });
        world.proxy.close("alice", 1012).await;
        alice.is_cut_off().await;
        alice.says(&bob, "typed meanwhile").await;
        world
            .proxy
            .seen("a log-in under a false time", |seen| {
                seen.side == Side::Server
                    && seen.frame["type"] == "session"
                    && seen.who == "alice"
                    && seen.connection > 3
            })
            .await;
        world.proxy.be_honest();
        let alice = alice.restarted().await;
        alice.delivers(&bob, "after").await;
        bob.hears(&[("alice", "before"), ("alice", "typed meanwhile"), ("alice", "after")]).await;
    }
}
