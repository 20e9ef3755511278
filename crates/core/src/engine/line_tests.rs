//! The log-in, what a connection's end leaves behind, and the outcomes of jobs that come late.

use super::passing::from_bob;
use super::*;
use sealwire_e2ee::Lane;

pub(super) fn challenge(channel: u8) -> String {
    serde_json::json!({
        "type": "challenge", "v": 1, "origin": "wss://chat.example.org", "channelId": Array([channel; 16]),
        "nonce": Array([2; 32]), "serverTime": NOW + 60_000, "expiresAt": NOW + 90_000,
    })
    .to_string()
}

pub(super) fn logged_out() -> World {
    let mut world = world(Keys::clone);
    world.core.disconnected(world.now);
    world.settle();
    world.core.connected(world.now);
    world
}

fn batch(world: &mut World) -> Batch {
    world.pump();
    while let Some(effect) = world.core.next_effect() {
        match effect {
            Effect::Run(batch) => return batch,
            Effect::Send(frame) => panic!("{frame} is sent before anything is done"),
            _ => {}
        }
    }
    panic!("there is no batch")
}

pub(super) fn types(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["type"].as_str()).collect()
}

#[test]
fn a_challenge_is_answered_by_a_log_in_and_its_time_believed() {
    let mut world = logged_out();
    world.core.frame(world.now, &challenge(1)).unwrap();
    let sent = world.settle();
    assert_eq!(types(&sent), ["auth"]);
    assert_eq!(world.core.time(), NOW + 60_000);
}

#[test]
fn a_challenge_of_another_origin_is_neither_answered_nor_believed() {
    let mut world = logged_out();
    let other = challenge(1).replace("chat.example.org", "evil.example.org");
    assert!(matches!(world.core.frame(world.now, &other), Err(Error::Challenge(_))));
    assert_eq!((world.settle(), world.core.time()), (Vec::new(), NOW));
}

#[test]
fn a_signature_that_comes_after_its_connection_has_gone_is_not_sent_on_the_next() {
    let mut world = logged_out();
    world.core.frame(world.now, &challenge(1)).unwrap();
    let late = batch(&mut world);
    world.core.disconnected(world.now);
    world.core.connected(world.now);
    world.run(late);
    assert_eq!(world.settle(), Vec::<Value>::new());
}

#[test]
fn a_server_that_lets_nobody_in_or_falls_silent_is_given_up() {
    let mut world = logged_out();
    let at = world.core.wake_at().unwrap();
    assert!(world.core.pump(Now { ticks: at, wall: NOW }, &mut rng()).unwrap_err().is_passing());
    let mut world = logged_out();
    world.core.session(&session()).unwrap();
    world.settle();
    // It is told that this side lives, and says nothing.
    let mut heartbeats = 0;
    let error = loop {
        world.now.ticks = world.core.wake_at().unwrap();
        match world.core.pump(world.now, &mut rng()) {
            Ok(()) => heartbeats += world.settle().iter().filter(|frame| frame["type"] == "heartbeat").count(),
            Err(error) => break error,
        }
    };
    assert!(error.is_passing() && heartbeats >= 2, "{error}, {heartbeats}");
}

#[test]
fn nothing_is_acknowledged_before_it_is_stored_nor_on_another_connection() {
    let mut world = world(Keys::clone);
    world.settle();
    let message = from_bob(Lane::Message, 1, NOW, br#"{"kind":"text","text":"hi"}"#);
    world.core.take(ServerFrame::Message(message.clone())).unwrap();
    let opening = batch(&mut world);
    assert_eq!(world.next_sent(), None);
    assert!(world.core.storage.unshown().unwrap().is_empty());
    world.core.disconnected(world.now);
    world.log_in();
    world.run(opening);
    assert_eq!(world.core.storage.unshown().unwrap().len(), 1);
    assert!(!types(&world.settle()).contains(&"ack"));
    // It comes again, since it was not acknowledged.
    world.core.take(ServerFrame::Message(message)).unwrap();
    assert_eq!(types(&world.settle()), ["ack"]);
    assert_eq!(world.core.storage.unshown().unwrap().len(), 1);
}

/// The second is neither kept nor a reason to stop, whatever the storage says to two of one id.
#[test]
fn a_message_that_comes_twice_at_once_is_taken_in_once_and_both_are_acknowledged() {
    let mut world = world(Keys::clone);
    world.core.load_person(&name("bob")).unwrap();
    world.settle();
    let message = from_bob(Lane::Message, 1, NOW, br#"{"kind":"text","text":"hi"}"#);
    let again = Box::new(Delivered { seq: 2, ..*message.clone() });
    world.core.take(ServerFrame::Message(message)).unwrap();
    world.core.take(ServerFrame::Message(again)).unwrap();
    let sent = world.settle();
    assert_eq!(types(&sent), ["ack"]);
    assert_eq!(sent[0]["seq"], 2);
    assert_eq!(world.core.storage.unshown().unwrap().len(), 1);
}

#[test]
fn a_number_that_was_skipped_or_given_twice_ends_the_connection() {
    for seq in [0, 1, 3] {
        let mut world = world(Keys::clone);
        world.core.take(ServerFrame::Message(Box::new(envelope(NOW)))).unwrap();
        let next = Delivered { seq, ..envelope(NOW + 1) };
        let error = world.core.take(ServerFrame::Message(Box::new(next))).unwrap_err();
        assert!(error.is_passing(), "{error}");
        assert_eq!(world.core.inbox.len(), 1);
    }
}

#[test]
fn what_arrived_before_a_connection_broke_is_stored() {
    let mut world = world(Keys::clone);
    world.settle();
    let message = from_bob(Lane::Message, 1, NOW, br#"{"kind":"text","text":"hi"}"#);
    world.core.take(ServerFrame::Message(message)).unwrap();
    world.core.disconnected(world.now);
    assert_eq!(world.settle(), Vec::<Value>::new());
    assert_eq!(world.core.storage.unshown().unwrap().len(), 1);
}

#[test]
fn private_keys_that_cannot_be_used_now_cost_no_message() {
    let mut world = world(Keys::clone);
    world.settle();
    let message = from_bob(Lane::Message, 1, NOW, br#"{"kind":"text","text":"hi"}"#);
    world.core.take(ServerFrame::Message(message.clone())).unwrap();
    let opening = batch(&mut world);
    let unavailable = vec![Err(sealwire_e2ee::provider::RsaFailure::Unavailable)];
    assert!(world.core.ran(world.now, opening.id, unavailable).unwrap_err().is_passing());
    assert_eq!(world.core.storage.failed(), 0);
    world.core.disconnected(world.now);
    world.log_in();
    world.core.take(ServerFrame::Message(message)).unwrap();
    assert_eq!(types(&world.settle()), ["ack"]);
}

#[test]
fn what_was_given_up_while_it_was_signed_is_not_sent() {
    let mut world = world(Keys::clone);
    world.settle();
    let id = world.send();
    let signing = loop {
        world.pump();
        match world.core.next_effect() {
            Some(Effect::Run(batch)) => break batch,
            Some(Effect::Send(frame)) => drop(world.answer_look_up(&frame)),
            _ => {}
        }
    };
    world.core.block(&name("bob"), true).unwrap();
    world.run(signing);
    assert_eq!(world.settle(), Vec::<Value>::new());
    assert!(matches!(world.progress[&id], Progress::Failed(Error::Blocked(_))));
    assert!(world.core.storage.outbox().unwrap().is_empty());
}

#[test]
fn a_server_is_read_no_further_than_there_is_room() {
    let mut world = world(Keys::clone);
    world.settle();
    for n in 0..INBOX as u64 {
        assert!(world.core.has_room());
        let frame = Delivered { seq: n + 1, ..envelope(NOW) };
        world.core.take(ServerFrame::Message(Box::new(frame))).unwrap();
    }
    assert!(!world.core.has_room());
    world.settle();
    assert!(world.core.has_room());
}
