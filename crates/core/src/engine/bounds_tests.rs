//! How much a server can make this device hold or compute.

use super::line::{challenge, logged_out, types};
use super::passing::from_bob;
use super::*;
use sealwire_e2ee::Lane;
use sealwire_e2ee::open::MAX_AHEAD;

/// What `world` acknowledges of messages that come `step` at a time, while no look-up is answered: until it gives the
/// connection up. Gives how many came, how many were acknowledged, and why it was given up.
fn flood(world: &mut World, step: u64, message: impl Fn(u64) -> Delivered) -> (u64, u64, Error) {
    let (mut came, mut acknowledged) = (0, 0);
    loop {
        for _ in 0..step {
            assert!(world.core.has_room(), "what is not read is not given up either");
            came += 1;
            world.core.take(ServerFrame::Message(Box::new(Delivered { seq: came, ..message(came) }))).unwrap();
        }
        if let Err(error) = world.core.pump(world.now, &mut rng()) {
            return (came, acknowledged, error);
        }
        while let Some(effect) = world.core.next_effect() {
            let Effect::Send(frame) = effect else { continue };
            let frame: Value = serde_json::from_str(&frame).unwrap();
            acknowledged = frame["seq"].as_u64().unwrap_or(acknowledged);
        }
    }
}

fn from_carol(n: u64) -> Delivered {
    Delivered { from: name("carol"), message_id: MessageId::new_v7(NOW + n, [1; 10]), ..envelope(NOW) }
}

impl World {
    /// Lets the core act until it has nothing more to do; of carol the server says that she is nobody.
    fn settle_without_carol(&mut self) {
        self.pump();
        while let Some(effect) = self.core.next_effect() {
            match effect {
                Effect::Send(frame) => self.answer_without_carol(&frame),
                Effect::Run(batch) => self.run(batch),
                _ => {}
            }
        }
    }

    fn answer_without_carol(&mut self, sent: &str) {
        let frame: Value = serde_json::from_str(sent).unwrap();
        if frame["username"] != "carol" {
            drop(self.answer_look_up(sent));
            return;
        }
        let id = frame["id"].as_str().map(str::to_owned);
        let error = ErrorFrame { id, ..ErrorFrame::new(ErrorCode::UnknownUser, "nobody") };
        self.core.take(ServerFrame::Error(Box::new(error))).unwrap();
        self.pump();
    }

    fn connects_again(&mut self) {
        self.core.disconnected(self.now);
        self.log_in();
    }
}

#[test]
fn a_server_that_answers_no_look_up_fills_this_device_only_so_far_and_loses_nothing() {
    let mut world = world(Keys::clone);
    let (came, acknowledged, error) = flood(&mut world, 32, from_carol);
    assert!(error.is_passing(), "{error}");
    assert_eq!(world.core.deferred.len(), DEFERRED);
    assert_eq!(world.core.storage.deferred().unwrap().len() as u64, acknowledged, "all of these are stored");
    assert_eq!(came - acknowledged, (HELD_INBOX * INBOX) as u64);

    // What was not acknowledged comes again, and is heard once there is room.
    world.connects_again();
    assert!(world.core.has_room() && world.core.inbox.is_empty());
    let hello = from_bob(Lane::Message, 1, NOW, br#"{"kind":"text","text":"hi"}"#);
    world.core.take(ServerFrame::Message(hello)).unwrap();
    world.pump();
    assert!(world.core.storage.unshown().unwrap().is_empty());
    world.settle_without_carol();
    assert!(world.core.deferred.is_empty());
    assert_eq!(world.core.storage.unshown().unwrap().len(), 1);
}

#[test]
fn large_envelopes_that_wait_are_counted_by_their_bytes() {
    let mut world = world(Keys::clone);
    let large = |n| Delivered { encrypted_message: Blob(vec![1; INBOX_BYTES / 4]), ..from_carol(n) };
    let (_, acknowledged, error) = flood(&mut world, 1, large);
    assert!(error.is_passing(), "{error}");
    assert_eq!(acknowledged, (DEFERRED_BYTES / (INBOX_BYTES / 4)) as u64);
}

#[test]
fn envelopes_dated_ahead_fill_this_device_only_so_far_and_hold_up_no_others() {
    let mut world = world(Keys::clone);
    let ahead =
        |n| Delivered { message_id: MessageId::new_v7(NOW + n, [1; 10]), ..envelope(NOW + MAX_AHEAD + 60_000 + n) };
    let (came, acknowledged, error) = flood(&mut world, 32, ahead);
    assert!(error.is_passing(), "{error}");
    assert_eq!((came, acknowledged), (DEFERRED as u64 + 32, DEFERRED as u64));
    assert_eq!(world.core.storage.deferred().unwrap().len(), DEFERRED);

    world.connects_again();
    let hello = from_bob(Lane::Message, 1, NOW, br#"{"kind":"text","text":"hi"}"#);
    world.core.take(ServerFrame::Message(hello)).unwrap();
    assert_eq!(types(&world.settle()), ["ack"]);
    assert_eq!(world.core.storage.unshown().unwrap().len(), 1);
    assert_eq!(world.core.deferred.len(), DEFERRED);
}

#[test]
fn beliefs_that_no_look_up_decides_hold_up_the_inbox_when_there_are_many() {
    let mut world = world(Keys::clone);
    world.settle();
    let (bob, carol) = (name("bob"), name("carol"));
    for n in 0..BELIEFS {
        assert!(world.core.takes_more());
        for _ in 0..2 {
            let hash = sealwire_protocol::signed::sha256(&n.to_le_bytes());
            world.core.check_belief(&bob, &carol, hash).unwrap();
        }
        assert_eq!(world.core.beliefs.len(), n + 1, "one that is known is not kept twice");
    }
    let hello = from_bob(Lane::Message, 1, NOW, br#"{"kind":"text","text":"hi"}"#);
    world.core.take(ServerFrame::Message(hello)).unwrap();
    let asked = world.next_sent().unwrap();
    assert_eq!((&asked["type"], &asked["username"]), (&Value::from("keys"), &Value::from("carol")));
    assert_eq!(world.next_sent(), None, "nothing is opened, nor acknowledged");
    let id = asked["id"].as_str().map(str::to_owned);
    let error = ErrorFrame { id, ..ErrorFrame::new(ErrorCode::UnknownUser, "nobody") };
    world.core.take(ServerFrame::Error(Box::new(error))).unwrap();
    assert_eq!(types(&world.settle()), ["ack"]);
    assert_eq!(world.core.storage.unshown().unwrap().len(), 1);
}

#[test]
fn only_so_many_challenges_are_answered_within_a_minute() {
    let mut world = logged_out();
    world.core.session(&session()).unwrap();
    world.settle();
    for _ in 0..10 {
        world.core.frame(world.now, &challenge(1)).unwrap();
        assert_eq!(types(&world.settle()), ["auth"]);
    }
    let error = world.core.frame(world.now, &challenge(1)).unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert_eq!(world.settle(), Vec::<Value>::new(), "nothing is signed");
    // A session is renewed by a challenge each hour.
    world.now.ticks += 60_000;
    world.core.frame(world.now, &challenge(1)).unwrap();
    assert!(types(&world.settle()).contains(&"auth"));
}

#[test]
fn a_session_of_somebody_else_or_of_another_device_ends_the_connection() {
    for other in [Session { username: name("bob"), ..session() }, Session { device_id: device(9), ..session() }] {
        let mut world = logged_out();
        let error = world.core.session(&other).unwrap_err();
        assert!(error.is_passing() && !world.core.is_online(), "{error}");
        world.core.session(&session()).unwrap();
        assert!(world.core.is_online());
        // Nor is a session prolonged for somebody else.
        assert!(world.core.session(&other).unwrap_err().is_passing());
    }
}
