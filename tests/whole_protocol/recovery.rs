//! A backup, and an account that comes back from it on an empty machine.

use std::sync::Arc;

use sealwire_tests::Server;
use sealwire_tests::stranger::{b64, unb64};
use serde_json::{Value, json};

use crate::Owner;

fn put(id: u8, data: &[u8]) -> Value {
    json!({ "type": "backup", "put": { "id": b64([id; 32]), "data": b64(data) } })
}

fn get(name: &str, id: u8) -> Value {
    json!({ "type": "backup", "get": { "username": name, "id": b64([id; 32]) } })
}

#[tokio::test]
async fn an_account_is_recovered_within_four_frames_and_one_connection() {
    let server = Server::start().await;
    let mut alice = Owner::register(&server, "alice").await;
    assert_eq!(alice.session.ask(&put(1, &[9; 100_000])).await["type"], "backup");
    let (old, new) = (alice.session.who.clone(), Arc::new(alice.session.who.sibling(1)));

    let mut wire = server.dial().await;
    wire.expect("challenge").await;
    let backup = wire.ask(&get("alice", 1)).await;
    assert_eq!(unb64(&backup["data"]), [9; 100_000]);
    assert_eq!(unb64(&backup["aik"]), old.aik.public().as_bytes());
    assert_eq!(backup["manifests"].as_array().map(Vec::len), Some(1));

    let next = alice.next(&[&old, &new]);
    let manifest = new.manifest_frame(&next);
    let answer = wire.ask(&json!({ "type": "devices", "username": "alice", "manifest": manifest })).await;
    assert_eq!((&answer["type"], &answer["version"]), (&json!("devices"), &json!(2)), "{answer}");
    let challenge = wire.ask(&json!({ "type": "challenge" })).await;
    wire.send_frame(&new.link(&challenge)).await;
    assert_eq!(wire.expect("session").await["username"], "alice");
}

#[tokio::test]
async fn the_newest_backup_and_the_one_under_the_code_before_are_given_out() {
    let server = Server::with(&[("SEALWIRE_LIMITS_BACKUPS_PER_HOUR", "0")]).start().await;
    let mut alice = Owner::register(&server, "alice").await;
    for (id, data) in [(1, b"a"), (2, b"b"), (2, b"c"), (3, b"d")] {
        alice.session.ask(&put(id, data)).await;
    }
    for (id, data) in [(3, Some(b"d")), (2, Some(b"c")), (1, None)] {
        let mut wire = server.dial().await;
        let answer = wire.ask(&get("alice", id)).await;
        match data {
            Some(data) => assert_eq!(unb64(&answer["data"]), data),
            None => assert_eq!(answer["code"], "auth_failed"),
        }
    }
}

#[tokio::test]
async fn a_wrong_code_and_an_unknown_name_are_answered_alike_and_five_times_an_hour() {
    let server = Server::start().await;
    let mut alice = Owner::register(&server, "alice").await;
    alice.session.ask(&put(1, b"a")).await;
    for name in ["alice", "nobody-here"] {
        for attempt in 0..6 {
            let mut wire = server.dial().await;
            let error = wire.ask(&get(name, 2)).await;
            let code = if attempt < 5 { "auth_failed" } else { "rate_limited" };
            assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{name} {attempt}");
            assert_eq!(error["retryAfterMs"].is_u64(), attempt == 5);
        }
    }
}

#[tokio::test]
async fn a_long_chain_comes_in_pages_that_are_one_attempt() {
    let limits = [
        ("SEALWIRE_LIMITS_BACKUPS_PER_HOUR", "1"),
        ("SEALWIRE_LIMITS_LINKS_PER_DAY", "0"),
        ("SEALWIRE_LIMITS_DEVICES_PER_HOUR", "0"),
        ("SEALWIRE_LIMITS_FRAMES_PER_SECOND", "0"),
    ];
    let server = Server::with(&limits).start().await;
    let mut alice = Owner::register(&server, "alice").await;
    let (old, new) = (alice.session.who.clone(), Arc::new(alice.session.who.sibling(1)));
    for _ in 2..=251 {
        alice.list(&[&old]).await;
    }
    alice.session.ask(&put(1, b"a")).await;

    let mut wire = server.dial().await;
    wire.expect("challenge").await;
    let mut page = get("alice", 1);
    let mut versions = Vec::new();
    loop {
        let answer = wire.ask(&page).await;
        let manifests = answer["manifests"].as_array().unwrap_or_else(|| panic!("{answer}"));
        versions.extend(manifests.iter().map(|link| link["version"].as_u64().expect("a version")));
        if answer["more"] != true {
            break;
        }
        page["get"]["sinceVersion"] = json!(versions.last());
    }
    assert_eq!(versions, (1..=251).collect::<Vec<u64>>());
    // The frames are enough for the rest.
    let next = alice.next(&[&old, &new]);
    let manifest = new.manifest_frame(&next);
    assert_eq!(
        wire.ask(&json!({ "type": "devices", "username": "alice", "manifest": manifest })).await["type"],
        "devices"
    );
    let challenge = wire.ask(&json!({ "type": "challenge" })).await;
    wire.send_frame(&new.link(&challenge)).await;
    wire.expect("session").await;

    // Whoever begins anew, or goes on where nothing was given, makes another attempt.
    for since in [0, 50] {
        let mut wire = server.dial().await;
        let mut page = get("alice", 1);
        page["get"]["sinceVersion"] = json!(since);
        assert_eq!(wire.ask(&page).await["code"], "rate_limited");
    }
}

#[tokio::test]
async fn before_the_log_in_only_the_identity_key_changes_the_devices() {
    let server = Server::start().await;
    let (alice, bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let new = alice.session.who.sibling(1);
    let next = alice.next(&[&alice.session.who, &new]);
    let by_another = bob.session.who.manifest_frame(&next);
    for name in ["alice", "nobody-here", "No Name"] {
        let mut wire = server.dial().await;
        let error = wire.ask(&json!({ "type": "devices", "username": name, "manifest": by_another })).await;
        assert_eq!(error["code"], "auth_failed", "{name}");
    }
    let mut wire = server.dial().await;
    let error = wire.ask(&json!({ "type": "devices", "manifest": new.manifest_frame(&next) })).await;
    assert_eq!(error["code"], "bad_request");
}

#[tokio::test]
async fn what_belongs_to_the_other_side_of_the_log_in_is_refused() {
    let server = Server::start().await;
    let mut alice = Owner::register(&server, "alice").await;
    for frame in [get("alice", 1), json!({ "type": "backup" })] {
        assert_eq!(alice.session.ask(&frame).await["code"], "bad_request");
    }
    let too_large = put(1, &[0; 256 * 1024 + 1]);
    assert_eq!(alice.session.ask(&too_large).await["code"], "too_large");
    assert_eq!(alice.session.ask(&put(1, &[0; 256 * 1024])).await["type"], "backup");

    let wrap = alice.session.who.first_wrap();
    for (frame, code) in [
        (put(1, b"x"), "bad_request"),
        (json!({ "type": "rotate", "wrap": wrap }), "not_authenticated"),
        (json!({ "type": "presence", "share": true }), "not_authenticated"),
    ] {
        let mut wire = server.dial().await;
        assert_eq!(wire.ask(&frame).await["code"], code, "{frame}");
    }
}
