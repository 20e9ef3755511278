//! What the client does about its wrap keys when a server answers as it likes. The rules are tested where they are, in
//! [`crate::rotation`].

use sealwire_protocol::frames::WrapFrame;

use super::*;
use crate::rotation::{HELD_AFTER, LIFE, ROTATE_AFTER};

fn next_key() -> WrapKey {
    key!(WrapKey, "k7")
}

/// The server shows alice this certificate as her device's.
fn shows(world: &mut World, wrap: WrapFrame) {
    world.alice.devices = vec![DeviceWrap { id: device(1), wrap }];
    let me = name("alice");
    world.core.lookups.want(&me);
}

/// Alice, whose key has been replaced by the next one, which the server has; gives the old and the new certificate.
fn rotated() -> (World, WrapFrame) {
    let mut world = world(Keys::clone);
    world.settle();
    world.now = Now { ticks: 1, wall: NOW + ROTATE_AFTER };
    let sent = world.settle();
    assert_eq!((world.made, &sent[0]["type"], &sent[0]["id"]), (1, &"rotate".into(), &"rotate-2".into()));
    let wrap = serde_json::from_value(sent[0]["wrap"].clone()).unwrap();
    (world, wrap)
}

fn answer(world: &mut World, id: &str) {
    let done = serde_json::from_value(serde_json::json!({ "type": "rotate", "id": id })).unwrap();
    world.core.take(done).unwrap();
}

fn kids(world: &World) -> Vec<bool> {
    world.core.storage.wrap_keys().unwrap().iter().map(|stored| stored.accepted).collect()
}

#[test]
fn a_key_is_stored_before_the_server_hears_of_it_and_told_again_after_a_restart() {
    let (world, _) = rotated();
    assert_eq!(kids(&world), [true, false]);
    let mut world = world.restart();
    world.now = Now { ticks: 1, wall: NOW + ROTATE_AFTER };
    world.log_in();
    let sent = world.settle();
    assert_eq!(sent.iter().filter(|frame| frame["id"] == "rotate-2").count(), 1);
    answer(&mut world, "rotate-2");
    assert_eq!(kids(&world), [true, true]);
    assert_eq!(world.core.wrap_kids.len(), 2);
}

#[test]
fn an_answer_to_something_else_accepts_nothing() {
    let (mut world, _) = rotated();
    answer(&mut world, "rotate-1");
    assert_eq!(kids(&world), [true, false]);
    answer(&mut world, "rotate-2");
    assert_eq!(kids(&world), [true, true]);
}

#[test]
fn a_refused_key_is_no_reason_for_another_and_messages_go_all_the_same() {
    let (mut world, _) = rotated();
    world.now.wall = NOW + LIFE + 1;
    let _ = world.send();
    assert_eq!(world.settle(), Vec::<Value>::new(), "the certificate is over: a new key goes first");
    let refused = ErrorFrame { id: Some("rotate-2".to_owned()), ..ErrorFrame::new(ErrorCode::KeyInvalid, "no") };
    world.core.take(ServerFrame::Error(Box::new(refused))).unwrap();
    let sent = world.settle();
    assert_eq!(sent.iter().map(|frame| frame["type"].as_str().unwrap()).collect::<Vec<_>>(), ["message"]);
    assert_eq!(world.made, 1);
}

#[test]
fn a_server_that_was_restored_is_told_of_the_newest_key_again() {
    let (mut world, newest) = rotated();
    answer(&mut world, "rotate-2");
    let first = world.alice.devices[0].wrap.clone();
    shows(&mut world, newest);
    assert_eq!(world.settle(), Vec::<Value>::new());
    shows(&mut world, first);
    let sent = world.settle();
    assert_eq!(sent[0]["id"], "rotate-2");
    assert_eq!(kids(&world), [true, false]);
    assert!(world.core.storage.wrap_keys().unwrap()[0].replaced_at.is_none());
}

#[test]
fn a_certificate_for_this_device_that_it_has_not_signed_is_refused() {
    let mut world = world(Keys::clone);
    world.settle();
    let mut forged = world.alice.devices[0].wrap.clone();
    forged.seq = u64::MAX - 1;
    shows(&mut world, forged);
    let frame = world.next_sent().unwrap();
    let answer = Keys { id: frame["id"].as_str().map(str::to_owned), ..world.alice.clone() };
    let error = world.core.take(ServerFrame::Keys(Box::new(answer))).unwrap_err();
    assert!(matches!(error, Error::Untrusted { reason: PinError::Certificate(_), .. }), "{error}");
}

/// `queue`, as the server sends it.
fn queue(world: &mut World) {
    world.core.take(serde_json::from_value(serde_json::json!({ "type": "queue", "empty": true })).unwrap()).unwrap();
}

#[test]
fn who_stays_connected_gives_the_connection_up_for_the_old_key() {
    let (mut world, newest) = rotated();
    answer(&mut world, "rotate-2");
    queue(&mut world);
    world.settle();
    world.now = Now { ticks: 1 + HELD_AFTER, wall: NOW + ROTATE_AFTER + HELD_AFTER };
    let error = world.core.pump(world.now, &mut rng()).unwrap_err();
    assert!(error.is_passing(), "{error}");
    world.core.disconnected(world.now);
    world.alice.devices[0].wrap = newest;
    world.log_in();
    world.settle();
    assert_eq!(world.core.wrap_kids.len(), 2, "the mailbox is not empty yet");
    queue(&mut world);
    world.settle();
    assert_eq!(world.core.wrap_kids.len(), 1);
    assert_eq!(kids(&world), [true]);
    assert!(world.core.wrap_kids.contains(next_key().kid()));
}

#[test]
fn an_old_key_is_held_while_an_envelope_waits_that_is_sealed_to_it() {
    let (mut world, newest) = rotated();
    answer(&mut world, "rotate-2");
    world.alice.devices[0].wrap = newest;
    world.core.disconnected(world.now);
    world.now = Now { ticks: 1 + HELD_AFTER, wall: NOW + ROTATE_AFTER + HELD_AFTER };
    world.log_in();
    // Dated ahead: it is stored as it came, before `queue` counts.
    let later = NOW + ROTATE_AFTER + HELD_AFTER + sealwire_e2ee::open::MAX_AHEAD + 1_000;
    world.core.take(ServerFrame::Message(Box::new(envelope(later)))).unwrap();
    queue(&mut world);
    world.settle();
    assert_eq!((world.core.deferred.len(), world.core.wrap_kids.len()), (1, 2));
    world.now = Now { ticks: 1_001 + HELD_AFTER, wall: NOW + ROTATE_AFTER + HELD_AFTER + 1_000 };
    world.settle();
    assert_eq!((world.core.deferred.len(), world.core.wrap_kids.len()), (0, 1));
}
