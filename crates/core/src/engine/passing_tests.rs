//! What is said in passing, and what a person decided about others.

use std::collections::BTreeSet;

use sealwire_e2ee::{ContentType, Draft, Lane, Payload, Target, seal};
use sealwire_protocol::frames::PresenceFrame;
use sealwire_protocol::signed::sha256;
use zeroize::Zeroizing;

use super::*;
use crate::conversation::{Contact, Standing};
use crate::passing::{SIGNAL_LIFE, TYPING, TYPING_EVERY};

/// What bob seals for alice.
pub(super) fn from_bob(lane: Lane, n: u64, timestamp: u64, body: &[u8]) -> Box<Delivered> {
    let alices = person(&shown("alice", 1, &ALICE)).chain().newest_hash();
    from_bob_who_believes(alices, lane, n, timestamp, body)
}

/// The same, with the hash of the list of devices that bob believes alice to have.
pub(super) fn from_bob_who_believes(
    alices: [u8; 32],
    lane: Lane,
    n: u64,
    timestamp: u64,
    body: &[u8],
) -> Box<Delivered> {
    let payload = Payload {
        content_type: ContentType::Content,
        counter: if lane == Lane::Message { 1 } else { 0 },
        previous: [0; 32],
        self_manifest: person(&shown("bob", 2, &BOB)).chain().newest_hash(),
        peer_manifest: alices,
        body: Zeroizing::new(body.to_vec()),
    };
    let target = Target { username: name("alice"), device: device(1), dwk: ALICE.dwk.public().clone() };
    let (bob, alice) = (name("bob"), name("alice"));
    let draft = Draft {
        lane,
        message_id: MessageId::new_v7(timestamp, [u8::try_from(n).unwrap(); 10]),
        timestamp,
        from: &bob,
        from_device: device(2),
        to: &alice,
        targets: &[target],
        payload: &payload,
    };
    let sealed = seal(&mut rng(), &BOB.dsk, &draft).unwrap();
    let recipient = &sealed.header.recipients[0];
    let recipient = DeliveredRecipient {
        u: recipient.username.clone(),
        d: recipient.device,
        k: recipient.dwk_kid,
        h: Array(sha256(&sealed.wraps[0])),
    };
    Box::new(Delivered {
        seq: u64::from(lane == Lane::Message),
        from: name("bob"),
        from_device: device(2),
        message_id: draft.message_id,
        to: name("alice"),
        encrypted_message: Blob(sealed.encrypted_message.clone()),
        iv: Array(sealed.iv),
        timestamp,
        signature: Blob(sealed.signature.clone()),
        suite: 1,
        recipients: vec![recipient],
        encrypted_key: Blob(sealed.wraps[0].clone()),
    })
}

impl World {
    fn typing_told(&mut self, signal: Box<Delivered>) -> usize {
        self.core.events.clear();
        self.core.take(ServerFrame::Signal(signal)).unwrap();
        self.settle();
        self.core.events.iter().filter(|event| matches!(event, Event::Typing { from } if *from == name("bob"))).count()
    }
}

/// Alice, who has keys of her own and of bob that are fresh, and has accepted him.
fn settled() -> World {
    let mut world = world(Keys::clone);
    world.core.storage.decide(&name("bob"), |bob| bob.standing = Standing::Accepted);
    world.core.load_person(&name("bob")).unwrap();
    world.settle();
    world
}

#[test]
fn one_hears_once_that_somebody_is_typing() {
    let mut world = settled();
    let signal = from_bob(Lane::Signal, 1, NOW, TYPING);
    assert_eq!(world.typing_told(signal.clone()), 1);
    assert_eq!(world.typing_told(signal), 0);
    assert_eq!(world.typing_told(from_bob(Lane::Signal, 2, NOW, TYPING)), 1);
    assert_eq!(world.typing_told(from_bob(Lane::Signal, 3, NOW, br#"{"kind":"other"}"#)), 0);
    assert!(world.core.storage.unshown().unwrap().is_empty());
}

#[test]
fn a_signal_that_is_old_forged_or_a_message_in_disguise_is_passed_over() {
    let mut world = settled();
    assert_eq!(world.typing_told(from_bob(Lane::Signal, 1, NOW - SIGNAL_LIFE - 1, TYPING)), 0);
    let mut forged = from_bob(Lane::Signal, 2, NOW, TYPING);
    forged.signature.0[9] ^= 1;
    assert_eq!(world.typing_told(forged), 0);
    assert_eq!(world.typing_told(from_bob(Lane::Message, 3, NOW, TYPING)), 0);
}

#[test]
fn of_strangers_and_blocked_people_one_hears_no_typing() {
    let mut stranger = world(Keys::clone);
    stranger.settle();
    assert_eq!(stranger.typing_told(from_bob(Lane::Signal, 1, NOW, TYPING)), 0);
    let mut world = settled();
    world.answered(Command::Block { name: name("bob"), blocked: true }).unwrap();
    assert_eq!(world.typing_told(from_bob(Lane::Signal, 1, NOW, TYPING)), 0);
    world.answered(Command::Block { name: name("bob"), blocked: false }).unwrap();
    assert_eq!(world.typing_told(from_bob(Lane::Signal, 1, NOW, TYPING)), 1);
}

#[test]
fn typing_is_told_now_and_then_and_only_to_those_one_talks_to() {
    let mut world = settled();
    let signals = |world: &mut World, ticks| {
        world.now.ticks = ticks;
        world.command(Command::Typing(name("bob")));
        world.command(Command::Typing(name("alice")));
        world.command(Command::Typing(name("carol")));
        let sent = world.settle();
        assert!(sent.iter().all(|frame| frame["type"] == "signal" && frame["to"] == "bob"), "{sent:?}");
        sent.len()
    };
    assert_eq!(signals(&mut world, 1), 1);
    assert_eq!(signals(&mut world, TYPING_EVERY), 0);
    assert_eq!(signals(&mut world, TYPING_EVERY + 1), 1);
    world.core.disconnected(world.now);
    assert_eq!(signals(&mut world, 3 * TYPING_EVERY), 0);
}

#[test]
fn presence_is_told_of_those_who_are_watched_and_asked_for_on_each_connection() {
    let mut world = settled();
    world.command(Command::Watch(BTreeSet::from([name("bob")])));
    let sent = world.settle();
    assert_eq!(sent[0]["subscribe"], serde_json::json!(["bob"]));
    for who in ["bob", "carol"] {
        let frame = PresenceFrame { id: None, username: Some(name(who)), online: Some(true) };
        world.core.take(ServerFrame::Presence(frame)).unwrap();
    }
    let told = |event: &&Event| matches!(event, Event::Presence { name: of, online: true } if *of == name("bob"));
    assert_eq!(world.core.events.iter().filter(told).count(), 1);
    assert!(!world.core.events.iter().any(|e| matches!(e, Event::Presence { name: of, .. } if *of == name("carol"))));
    world.core.disconnected(world.now);
    world.log_in();
    assert_eq!(world.settle()[0]["subscribe"], serde_json::json!(["bob"]));
}

#[test]
fn whether_presence_is_shared_is_told_until_the_server_has_confirmed_it() {
    let mut world = settled();
    world.command(Command::SharePresence(true));
    assert_eq!(world.settle()[0]["share"], true);
    world.core.disconnected(world.now);
    world.log_in();
    let again = world.settle();
    assert_eq!(again[0]["share"], true);
    let id = again[0]["id"].as_str().map(str::to_owned);
    world.core.take(ServerFrame::Presence(PresenceFrame { id, username: None, online: None })).unwrap();
    world.core.disconnected(world.now);
    world.log_in();
    assert_eq!(world.settle(), Vec::<Value>::new());
}

fn received(known: impl Fn(&mut Contact)) -> Vec<Message> {
    let mut world = world(Keys::clone);
    world.settle();
    world.core.storage.decide(&name("bob"), known);
    world.core.take(ServerFrame::Message(from_bob(Lane::Message, 1, NOW, br#"{"kind":"text","text":"hi"}"#))).unwrap();
    world.settle();
    let messages = world.core.events.iter().filter_map(|event| match event {
        Event::Message(message) => Some(message.clone()),
        _ => None,
    });
    messages.collect()
}

#[test]
fn a_message_says_what_was_decided_about_its_writer() {
    let decided = |messages: &[Message]| messages.iter().map(|m| (m.request, m.muted)).collect::<Vec<_>>();
    assert_eq!(decided(&received(|_| ())), [(true, false)]);
    let muted = received(|bob| (bob.standing, bob.muted) = (Standing::Accepted, true));
    assert_eq!(decided(&muted), [(false, true)]);
    assert_eq!(received(|bob| bob.blocked = true), []);
}

#[test]
fn nobody_writes_to_somebody_whom_they_have_blocked() {
    let mut world = settled();
    world.answered(Command::Block { name: name("bob"), blocked: true }).unwrap();
    let sent = world.answered(Command::Send { to: name("bob"), bodies: vec![b"{}".to_vec()] });
    assert!(matches!(sent, Err(Error::Blocked(_))));
}
