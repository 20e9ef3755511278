//! Several devices: all get the mail, in order; one that is removed is out at once, and for ever.

use std::sync::Arc;

use sealwire_tests::Server;
use sealwire_tests::stranger::{b64, dummy, dummy_for, now};
use serde_json::{Value, json};

use crate::{Owner, is_turned_away, stale};

const DAY: u64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn both_devices_get_the_mail_and_the_senders_other_one_gets_a_copy() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let (mut alice2, mut bob2) = (alice.with_second(&server).await, bob.with_second(&server).await);
    let devices = [&*bob.session.who.clone(), &*bob2.who.clone(), &*alice2.who.clone()];
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(alice.session.send_message(&dummy_for(&devices)).await);
    }
    for device in [&mut bob.session, &mut bob2, &mut alice2] {
        for (seq, id) in (1..).zip(&ids) {
            let message = device.take_message().await;
            assert_eq!((&message["messageId"], &message["seq"]), (&json!(id), &json!(seq)));
            assert_eq!((&message["from"], &message["to"]), (&json!("alice"), &json!("bob")));
            assert!(message.get("encryptedKeys").is_none() && message["encryptedKey"].is_string());
        }
    }
    for id in &ids {
        alice.session.expect_status("delivered", id).await;
    }
}

#[tokio::test]
async fn a_device_that_was_away_gets_its_backlog_and_an_own_device_makes_nothing_delivered() {
    let server = Server::start().await;
    let (mut alice, bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let mut alice2 = alice.with_second(&server).await;
    let who = bob.session.who.clone();
    drop(bob);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(alice.session.send_message(&dummy_for(&[&*who, &*alice2.who.clone()])).await);
        assert_eq!(alice2.take_message().await["messageId"], json!(ids.last()));
    }
    for id in &ids {
        alice.session.expect_status("queued", id).await;
        assert_eq!(alice.session.statuses(id), ["queued"]);
    }
    let mut bob = server.log_in(&who).await;
    for id in &ids {
        assert_eq!(bob.take_message().await["messageId"], json!(id));
        alice.session.expect_status("delivered", id).await;
    }
}

#[tokio::test]
async fn a_sender_who_does_not_know_a_new_device_is_told_both_lists() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let bob2 = bob.with_second(&server).await;
    let id = alice.session.send_message(&dummy(&bob.session.who)).await;
    let error = alice.session.expect_error("stale_devices").await;
    assert_eq!(error["messageId"], json!(id));
    let mut of_bob = vec![bob.session.who.device.to_string(), bob2.who.device.to_string()];
    of_bob.sort();
    let of_alice = vec![alice.session.who.device.to_string()];
    assert_eq!(stale(&error), [("alice".to_owned(), of_alice), ("bob".to_owned(), of_bob)]);
    let id = alice.session.send_message(&dummy_for(&[&*bob.session.who, &*bob2.who])).await;
    assert!(!id.is_empty() && alice.session.settle().await.iter().all(|frame| frame["type"] != "error"));
}

#[tokio::test]
async fn a_removed_device_is_out_at_once_and_never_returns() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let mut bob2 = bob.with_second(&server).await;
    let both = [&*bob.session.who.clone(), &*bob2.who.clone()];
    // It lies unacknowledged in the removed device's window.
    let id = alice.session.send_message(&dummy_for(&both)).await;
    bob.session.take_message().await;
    bob2.next_message().await;
    let first = bob.session.who.clone();
    bob.list(&[&first]).await;
    bob2.expect_close(4403).await;
    alice.session.expect_status("delivered", &id).await;

    is_turned_away(&server, |challenge| bob2.who.auth(challenge)).await;

    alice.session.send_message(&dummy_for(&both)).await;
    alice.session.expect_error("stale_devices").await;
    let back = bob.next(&both);
    let error = bob.offer(&back).await;
    assert_eq!(error["code"], "key_invalid", "{error}");
}

#[tokio::test]
async fn a_manifest_that_does_not_continue_the_chain_is_answered_by_the_chain() {
    let server = Server::start().await;
    let mut alice = Owner::register(&server, "alice").await;
    let (first, second) = (alice.session.who.clone(), alice.session.who.sibling(1));
    let one = alice.manifest.clone();
    alice.list(&[&first, &second]).await;
    let two = alice.manifest.clone();

    // Another second version; one too far ahead; one that names another past.
    let fork = first.next_manifest(&one, &[&first]);
    let mut ahead = alice.next(&[&first]);
    ahead.version += 1;
    let mut other_past = alice.next(&[&first]);
    other_past.prev_hash = [7; 32];
    for (manifest, versions) in [(fork, vec![2]), (ahead, vec![2]), (other_past, vec![2])] {
        let error = alice.offer(&manifest).await;
        assert_eq!(error["code"], "manifest_conflict", "{error}");
        let links = error["manifests"].as_array().expect("the links");
        assert_eq!(links.iter().map(|link| link["version"].as_u64().expect("a version")).collect::<Vec<_>>(), versions);
    }
    // What it holds is answered like the first time.
    for known in [&one, &two] {
        let answer = alice.offer(known).await;
        assert_eq!((&answer["type"], &answer["version"]), (&json!("devices"), &json!(2)));
    }
    alice.list(&[&first]).await;
}

#[tokio::test]
async fn a_manifest_against_the_rules_is_refused_and_changes_nothing() {
    let server = Server::start().await;
    let (mut alice, bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let first = alice.session.who.clone();
    let siblings: Vec<_> = (1..=3).map(|n| first.sibling(n)).collect();

    let signed_by_another = bob.session.who.manifest_frame(&alice.next(&[&first, &siblings[0]]));
    let request = json!({ "type": "devices", "manifest": signed_by_another });
    assert_eq!(alice.session.ask(&request).await["code"], "key_invalid");

    let mut one_key_twice = alice.next(&[&first, &siblings[0]]);
    let of_first = one_key_twice.devices.iter().find(|device| device.id == first.device).expect("listed").dsk.clone();
    one_key_twice.devices.iter_mut().for_each(|device| device.dsk = of_first.clone());
    let mut another_key = alice.next(&[&first]);
    another_key.devices[0].dsk = siblings[0].dsk.public().clone();
    let mut identity_key_signs = alice.next(&[&first, &siblings[0]]);
    for device in identity_key_signs.devices.iter_mut().filter(|device| device.id != first.device) {
        device.dsk = first.aik.public().clone();
    }
    let mut eleven = alice.next(&[&first]);
    while eleven.devices.len() < 11 {
        let id = first.sibling(1).device;
        eleven.devices.push(sealwire_protocol::signed::ManifestDevice { id, ..siblings[1].listed() });
    }
    let mut unsorted = alice.next(&[&first, &siblings[0]]);
    unsorted.devices.reverse();
    let of_bob = alice.next(&[&first, &bob.session.who]);
    for bad in [one_key_twice, another_key, identity_key_signs, eleven, unsorted, of_bob] {
        let error = alice.offer(&bad).await;
        assert_eq!(error["code"], "key_invalid", "{error}");
    }
    alice.list(&[&first, &siblings[2]]).await;
}

#[tokio::test]
async fn a_wrap_key_is_replaced_and_the_old_one_stays_good() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let who = bob.session.who.clone();
    let (key, at) = (who.another_wrap_key(), now());
    let wrap = who.wrap_frame(2, &key, at, at + 7 * DAY);
    for _ in 0..2 {
        let answer = bob.session.ask(&json!({ "type": "rotate", "wrap": wrap })).await;
        assert_eq!(answer["type"], "rotate", "{answer}");
    }
    let keys = alice.session.keys(&json!({ "username": "bob" })).await;
    assert_eq!(keys["devices"][0]["wrap"], wrap);

    let old = dummy(&who);
    let mut new = dummy(&who);
    new["recipients"][0]["k"] = b64(key.kid().as_bytes()).into();
    for frame in [old, new] {
        let id = alice.session.send_message(&frame).await;
        assert_eq!(bob.session.take_message().await["messageId"], json!(id));
        alice.session.expect_status("delivered", &id).await;
    }
}

#[tokio::test]
async fn a_wrap_certificate_against_the_rules_is_refused() {
    let server = Server::start().await;
    let mut bob = Owner::register(&server, "bob").await;
    let (who, at) = (bob.session.who.clone(), now());
    let key = who.another_wrap_key();
    let stranger = who.sibling(2);
    let signed_by_another = stranger.wrap_frame(2, &key, at, at + DAY);
    let good = |seq, not_before, not_after| who.wrap_frame(seq, &key, not_before, not_after);
    for (wrap, what) in [
        (good(1, at, at + DAY), "the seq of another one"),
        (good(0, at, at + DAY), "a seq that goes back"),
        (good(2, at, at + 10 * DAY), "ten days"),
        (good(2, at + DAY, at + 2 * DAY), "not yet"),
        (who.wrap_frame(2, &who.dwk, at, at + DAY), "a key that is in use"),
        (signed_by_another, "another device's signature"),
    ] {
        let error = bob.session.ask(&json!({ "type": "rotate", "wrap": wrap })).await;
        assert_eq!(error["code"], "key_invalid", "{what}: {error}");
    }
}

#[tokio::test]
async fn an_empty_manifest_deletes_the_account_and_all_that_is_its() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (Owner::register(&server, "alice").await, Owner::register(&server, "bob").await);
    let mut bob2 = bob.with_second(&server).await;
    let who = bob.session.who.clone();
    let nobody = bob.next(&[]);
    let answer = bob.offer(&nobody).await;
    assert_eq!(answer["type"], "devices", "{answer}");
    bob.session.expect_close(4403).await;
    bob2.expect_close(4403).await;

    let keys = alice.session.keys(&json!({ "username": "bob" })).await;
    assert_eq!(keys["code"], "unknown_user");
    alice.session.send_message(&dummy(&who)).await;
    alice.session.expect_error("unknown_user").await;
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    wire.send_frame(&Arc::new(sealwire_tests::stranger::Identity::new("bob")).register(&challenge)).await;
    wire.expect_error("username_taken").await;
    let challenge: Value = wire.expect("challenge").await;
    wire.send_frame(&who.auth(&challenge)).await;
    wire.expect_error("auth_failed").await;
    wire.expect_close(4401).await;
}
