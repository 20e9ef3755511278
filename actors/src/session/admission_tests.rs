use std::collections::HashMap;

use bytes::Bytes;
use sealwire_protocol::base64::Base64;
use sealwire_protocol::{Kid, Username};
use sealwire_store::{ManifestRecord, Place, WrapRecord};

use super::*;
use crate::session::fixtures::{device, message_id};

const NOW: u64 = 1_790_000_000_000;

fn name(text: &str) -> Username {
    text.parse().unwrap()
}

fn a_device(id: u8, kid: u8) -> Device {
    let document = Bytes::from(r#"{"seq":1,"dwk":"","notBefore":0,"notAfter":1,"signature":""}"#);
    let wrap = Some(WrapRecord { seq: 1, kid: Kid([kid; 32]), document });
    Device { id: device(id), dsk: Bytes::new(), wrap, replaced: vec![], last_seen: NOW }
}

fn account(who: &str, devices: Vec<Device>) -> Arc<Account> {
    let manifest = ManifestRecord { version: 1, hash: [0; 32], document: Bytes::new() };
    Arc::new(Account { username: name(who), aik: Bytes::new(), manifest, devices, shares_presence: false })
}

fn message(recipients: &[(&'static str, u8, u8)]) -> Message<'static> {
    let recipients = recipients.iter().map(|(u, d, k)| Recipient { u: (*u).into(), d: device(*d), k: Kid([*k; 32]) });
    Message {
        message_id: message_id(1),
        to: "bob".into(),
        encrypted_message: Base64::encode(&[1]),
        iv: Base64::encode(&[2; 12]),
        timestamp: NOW,
        signature: Base64::encode(&[3; 512]),
        suite: 1,
        recipients: recipients.collect(),
        encrypted_key: None,
        encrypted_keys: None,
    }
}

/// Alice (a1, a2) writes from a1 to Bob (b1, b2); nobody else is connected, nothing is stored.
fn facts() -> Facts {
    let empty = [0xa2, 0xb1, 0xb2].map(|d| (device(d), Usage::default()));
    Facts {
        counted: true,
        addressee: Some(Some(account("bob", vec![a_device(0xb1, 1), a_device(0xb2, 2)]))),
        sender: Some(account("alice", vec![a_device(0xa1, 3), a_device(0xa2, 4)])),
        usage: HashMap::from(empty),
        held: Some(HashSet::new()),
        ..Facts::default()
    }
}

const GOOD: &[(&str, u8, u8)] = &[("alice", 0xa2, 4), ("bob", 0xb1, 1), ("bob", 0xb2, 2)];

fn decide(message: &Message<'_>, facts: &Facts) -> Admission {
    let limits =
        Limits { mailbox_messages: 10, mailbox_messages_per_sender: 5, mailbox_bytes: 1_000, ..Limits::default() };
    let alice = name("alice");
    let (nobody, view_limits) = (|_: &DeviceId| false, &limits);
    let view = View {
        username: &alice,
        device: device(0xa1),
        now: NOW,
        limits: view_limits,
        takes: &nobody,
        connected: &nobody,
    };
    admit(message, facts, &view)
}

fn code(admission: Admission) -> ErrorCode {
    match admission {
        Admission::Refuse(error) => error.code,
        other => panic!("not refused: {other:?}"),
    }
}

fn copies(admission: Admission) -> Vec<Copy> {
    match admission {
        Admission::Accept { copies, .. } => copies.to_vec(),
        other => panic!("not accepted: {other:?}"),
    }
}

#[test]
fn a_message_for_every_present_device_is_taken() {
    assert_eq!(copies(decide(&message(GOOD), &facts())), [Copy::Route; 3]);
}

#[test]
fn any_other_list_is_stale_and_is_told_the_present_ones() {
    for recipients in [
        &GOOD[1..],
        &GOOD[..2],
        &[("alice", 0xa2, 4), ("bob", 0xb1, 9), ("bob", 0xb2, 2)],
        &[("alice", 0xa1, 3), ("alice", 0xa2, 4), ("bob", 0xb1, 1), ("bob", 0xb2, 2)],
        &[("alice", 0xa2, 4), ("bob", 0xb1, 1), ("carl", 0xb2, 2)],
    ] {
        let Admission::Refuse(error) = decide(&message(recipients), &facts()) else { panic!("{recipients:?}") };
        assert_eq!(error.code, ErrorCode::StaleDevices);
        let devices = error.devices.unwrap();
        assert_eq!(
            devices.iter().map(|(u, list)| (u.as_str(), list.len())).collect::<Vec<_>>(),
            [("alice", 2), ("bob", 2)]
        );
    }
}

#[test]
fn a_key_that_was_replaced_counts_for_48_hours() {
    let replaced = |at| Device { replaced: vec![(Kid([9; 32]), at)], ..a_device(0xb1, 1) };
    let with = |at| Facts { addressee: Some(Some(account("bob", vec![replaced(at), a_device(0xb2, 2)]))), ..facts() };
    let old_key = message(&[("alice", 0xa2, 4), ("bob", 0xb1, 9), ("bob", 0xb2, 2)]);
    assert_eq!(copies(decide(&old_key, &with(NOW - REPLACED + 1))).len(), 3);
    assert_eq!(code(decide(&old_key, &with(NOW - REPLACED))), ErrorCode::StaleDevices);
}

#[test]
fn a_device_that_was_long_away_is_not_in_the_lists() {
    let away = Device { last_seen: NOW - AWAY - 1, ..a_device(0xb2, 2) };
    let facts = Facts { addressee: Some(Some(account("bob", vec![a_device(0xb1, 1), away]))), ..facts() };
    assert_eq!(copies(decide(&message(&GOOD[..2]), &facts)).len(), 2);
    assert_eq!(code(decide(&message(GOOD), &facts)), ErrorCode::StaleDevices);
}

#[test]
fn a_timestamp_lies_from_seven_days_back_to_five_minutes_ahead() {
    let at = |timestamp| decide(&Message { timestamp, ..message(GOOD) }, &facts());
    assert!(matches!(at(NOW - OLDEST), Admission::Accept { .. }));
    assert!(matches!(at(NOW + NEWEST), Admission::Accept { .. }));
    assert_eq!(code(at(NOW - OLDEST - 1)), ErrorCode::TimestampOutOfRange);
    assert_eq!(code(at(NOW + NEWEST + 1)), ErrorCode::TimestampOutOfRange);
    assert_eq!(code(at(u64::MAX)), ErrorCode::TimestampOutOfRange);
}

#[test]
fn a_name_that_nobody_has_is_unknown_however_it_is_written() {
    let nobody = Facts { addressee: Some(None), ..facts() };
    assert_eq!(code(decide(&message(GOOD), &nobody)), ErrorCode::UnknownUser);
    let ill = Message { to: "Not A Name".into(), ..message(GOOD) };
    assert_eq!(code(decide(&ill, &facts())), ErrorCode::UnknownUser);
}

#[test]
fn what_is_not_at_hand_is_asked_for() {
    let need = |facts: &Facts| match decide(&message(GOOD), facts) {
        Admission::Need(need) => need,
        other => panic!("{other:?}"),
    };
    assert_eq!(need(&Facts { addressee: None, ..facts() }), Need::Account(name("bob")));
    assert_eq!(need(&Facts { sender: None, ..facts() }), Need::Account(name("alice")));
    assert_eq!(need(&Facts { usage: HashMap::new(), ..facts() }), Need::Usage(device(0xa2)));
    assert_eq!(need(&Facts { addressee: Some(None), held: None, ..facts() }), Need::Held);
}

#[test]
fn a_full_device_loses_its_copy_only_while_another_can_take_it() {
    let full = Usage { total: Place { messages: 10, bytes: 0 }, from_sender: Place::default() };
    let mut facts = facts();
    facts.usage.insert(device(0xb1), full);
    assert_eq!(copies(decide(&message(GOOD), &facts)), [Copy::Route, Copy::Miss, Copy::Route]);
    facts.usage.insert(device(0xb2), Usage { total: Place { messages: 0, bytes: 1_000 }, ..full });
    assert_eq!(code(decide(&message(GOOD), &facts)), ErrorCode::MailboxFull);
}

#[test]
fn one_sender_fills_no_more_than_its_share_of_others_mailboxes() {
    let share = Usage { total: Place::default(), from_sender: Place { messages: 5, bytes: 0 } };
    let mut facts = facts();
    facts.usage = [0xa2, 0xb1, 0xb2].into_iter().map(|d| (device(d), share)).collect();
    assert_eq!(code(decide(&message(GOOD), &facts)), ErrorCode::MailboxFull);
    facts.usage.insert(device(0xb2), Usage::default());
    assert_eq!(copies(decide(&message(GOOD), &facts)), [Copy::Route, Copy::Miss, Copy::Route]);
}

#[test]
fn a_message_that_was_taken_is_answered_like_the_first_time_before_it_is_refused() {
    let held = Facts { addressee: Some(None), held: Some(HashSet::from([device(0xb2)])), ..facts() };
    assert_eq!(copies(decide(&message(GOOD), &held)), [Copy::Leave, Copy::Leave, Copy::Route]);
    let late = Message { timestamp: 0, ..message(GOOD) };
    assert_eq!(copies(decide(&late, &held)), [Copy::Leave, Copy::Leave, Copy::Route]);
}
