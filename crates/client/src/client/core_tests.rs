//! What the core decides when a server answers as it likes.

use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{DeliveredRecipient, DeviceWrap, Keys, SessionLimits};
use serde_json::Value;
use tempfile::TempDir;

use tokio::sync::oneshot;

use super::*;
use crate::enrol::register::new_account;

const NOW: u64 = 1_790_000_000_000;

macro_rules! key {
    ($kind:ident, $file:literal) => {
        $kind::from_pkcs8(include_bytes!(concat!("../../../../tests/keys/", $file, ".der"))).unwrap()
    };
}

fn name(text: &str) -> Username {
    text.parse().unwrap()
}

fn device(n: u64) -> DeviceId {
    DeviceId::new_v7(n, [0; 10])
}

fn alice_s_keys() -> DeviceKeys {
    DeviceKeys { aik: Some(key!(IdentityKey, "k0")), dsk: key!(SigningKey, "k1"), dwk: key!(WrapKey, "k2") }
}

fn bob_s_keys() -> DeviceKeys {
    DeviceKeys { aik: Some(key!(IdentityKey, "k3")), dsk: key!(SigningKey, "k4"), dwk: key!(WrapKey, "k5") }
}

/// What a server shows of somebody with one device.
fn shown(who: &str, n: u64, keys: &DeviceKeys) -> Keys {
    let new = new_account(&name(who), &device(n), keys, NOW);
    Keys {
        id: None,
        username: name(who),
        aik: Blob(keys.aik.as_ref().unwrap().public().as_bytes().to_vec()),
        manifests: vec![new.manifest],
        more: false,
        devices: vec![DeviceWrap { id: device(n), wrap: new.wrap }],
    }
}

fn person(keys: &Keys) -> Person {
    Person::first(keys, NOW).unwrap().0
}

struct World {
    core: Core,
    alice: Keys,
    bob: Keys,
    home: TempDir,
}

/// Alice, logged in, who knows of bob what `known` says.
fn world(known: impl Fn(&Keys) -> Keys) -> World {
    let home = tempfile::tempdir().unwrap();
    let mut profile = crate::profile::testing::open(home.path()).unwrap();
    let keys = alice_s_keys();
    profile.store_keys(&device(1), &keys, NOW).unwrap();
    profile.prepare("wss://chat.example.org", &new_account(&name("alice"), &device(1), &keys, NOW)).unwrap();
    let (alice, bob) = (shown("alice", 1, &keys), shown("bob", 2, &bob_s_keys()));
    profile.store_person(&person(&alice)).unwrap();
    profile.store_person(&person(&known(&bob))).unwrap();
    profile.registered().unwrap();
    let mut core = Core::new(profile, "wss://chat.example.org".parse().unwrap()).unwrap();
    core.now = Now { ticks: 1, wall: NOW };
    core.session(&session()).unwrap();
    World { core, alice, bob, home }
}

fn session() -> Session {
    Session {
        id: None,
        session_id: Array([0; 16]),
        username: name("alice"),
        device_id: device(1),
        expires_at: NOW + 3_600_000,
        queued: 0,
        limits: SessionLimits {
            messages_per_minute: 0,
            frames_per_second: 0,
            frame_bytes: 0,
            window_messages: 0,
            mailbox_messages: 0,
            key_lookups_per_minute: 0,
        },
    }
}

impl World {
    /// Lets the core act, answers its look-ups until it has none, and gives the other frames that it sends.
    fn settle(&mut self) -> Vec<Value> {
        let mut sent = Vec::new();
        self.core.pump().unwrap();
        while let Some(frame) = self.core.out.pop_front() {
            let frame: Value = serde_json::from_str(&frame).unwrap();
            if frame["type"] == "keys" {
                let of = if frame["username"] == "bob" { &self.bob } else { &self.alice };
                let answer = Keys { id: frame["id"].as_str().map(str::to_owned), ..of.clone() };
                self.core.frame(ServerFrame::Keys(Box::new(answer))).unwrap();
                self.core.pump().unwrap();
            } else {
                sent.push(frame);
            }
        }
        sent
    }

    fn send(&mut self) -> Pending {
        let (reply, mut answer) = oneshot::channel();
        self.core.command(Command::Send { to: name("bob"), bodies: vec![b"{}".to_vec()], reply }).unwrap();
        self.core.pump().unwrap();
        answer.try_recv().unwrap().unwrap().remove(0)
    }
}

#[test]
fn another_identity_key_stops_what_was_sealed_before_and_tells_who_waits() {
    let mut world = world(Keys::clone);
    let (id, progress) = world.send();
    assert_eq!(world.settle().len(), 1);
    world.bob = shown("bob", 2, &DeviceKeys { aik: Some(key!(IdentityKey, "k6")), ..bob_s_keys() });
    let stale = ErrorFrame { message_id: Some(id), ..ErrorFrame::new(ErrorCode::StaleDevices, "stale") };
    world.core.frame(ServerFrame::Error(Box::new(stale))).unwrap();
    assert_eq!(world.settle(), Vec::<Value>::new());
    let untrusted = |progress: &watch::Receiver<Progress>| {
        matches!(&*progress.borrow(), Progress::Failed(Error::Untrusted { reason: PinError::IdentityChanged, .. }))
    };
    assert!(untrusted(&progress), "{:?}", *progress.borrow());
    assert!(world.core.events.iter().any(|event| matches!(event, Event::Alarm(Alarm::Keys { .. }))));
    let (_, later) = world.send();
    assert_eq!(world.settle(), Vec::<Value>::new());
    assert!(untrusted(&later), "{:?}", *later.borrow());
    // The first waits for better times, and is not even sealed for keys that may be the wrong ones.
    assert_eq!(world.core.outbox.to_seal(1, 10, |_| true), [id]);
    assert_eq!(world.core.outbox.len(), 1);
}

#[test]
fn somebody_who_had_no_device_is_looked_up_again_before_a_message_is_given_up() {
    let mut world = world(|bob| Keys { devices: Vec::new(), ..bob.clone() });
    let (_, progress) = world.send();
    assert_eq!(world.settle().len(), 1);
    assert!(matches!(*progress.borrow(), Progress::Waiting));
}

#[test]
fn a_message_to_somebody_who_still_has_no_device_is_given_up() {
    let mut world = world(|bob| Keys { devices: Vec::new(), ..bob.clone() });
    world.bob.devices.clear();
    let (_, progress) = world.send();
    assert_eq!(world.settle(), Vec::<Value>::new());
    assert!(matches!(*progress.borrow(), Progress::Failed(Error::NobodyToSendTo(_))));
    assert!(world.core.outbox.is_empty());
}

#[path = "mending_tests.rs"]
mod mending;
#[path = "core_passing_tests.rs"]
mod passing;
#[path = "core_people_tests.rs"]
mod people;
#[path = "rotating_tests.rs"]
mod rotating;

/// An envelope of bob's that does not open: that it failed shows that it was looked at.
fn envelope(timestamp: u64) -> Delivered {
    let k = *alice_s_keys().dwk.kid();
    let recipient = DeliveredRecipient { u: name("alice"), d: device(1), k, h: Array([6; 32]) };
    Delivered {
        seq: 1,
        from: name("bob"),
        from_device: device(2),
        message_id: MessageId::new_v7(timestamp, [0; 10]),
        to: name("alice"),
        encrypted_message: Blob(vec![1; 256]),
        iv: Array([2; 12]),
        timestamp,
        signature: Blob(vec![4; 512]),
        suite: 1,
        recipients: vec![recipient],
        encrypted_key: Blob(vec![5; 512]),
    }
}

#[test]
fn an_envelope_dated_ahead_is_looked_at_again_when_its_time_comes() {
    let mut world = world(Keys::clone);
    world.settle();
    let timestamp = NOW + sealwire_e2ee::open::MAX_AHEAD + 1_000;
    world.core.frame(ServerFrame::Message(Box::new(envelope(timestamp)))).unwrap();
    world.core.take_inbox().unwrap();
    world.settle();
    assert_eq!(world.core.deferred.len(), 1);
    assert_eq!(world.core.wake_at(), Some(1_001));
    world.core.now = Now { ticks: 1_001, wall: NOW + 1_000 };
    world.settle();
    assert!(world.core.deferred.is_empty());
    assert!(world.core.events.iter().any(|event| matches!(event, Event::Unreadable { .. })));
    assert_eq!(world.core.deferred_wake_at(), None);
}

#[test]
fn a_server_that_has_more_and_shows_nothing_is_not_asked_again() {
    let mut world = world(Keys::clone);
    world.core.pump().unwrap();
    let frame: Value = serde_json::from_str(&world.core.out.pop_front().unwrap()).unwrap();
    let id = frame["id"].as_str().map(str::to_owned);
    let answer = Keys { id, more: true, manifests: Vec::new(), devices: Vec::new(), ..world.alice.clone() };
    let error = world.core.frame(ServerFrame::Keys(Box::new(answer))).unwrap_err();
    assert!(error.is_passing(), "{error}");
}

fn rendezvous() -> sealwire_protocol::frames::Request<'static> {
    let take = sealwire_protocol::frames::RendezvousTake { slot: Array([1; 16]), side: 1 };
    let rendezvous = sealwire_protocol::frames::Rendezvous { put: None, take: Some(take) };
    sealwire_protocol::frames::Request::Rendezvous(Box::new(rendezvous))
}

impl World {
    fn request(&mut self) -> oneshot::Receiver<Result<ServerFrame, Error>> {
        let (reply, answer) = oneshot::channel();
        self.core.command(Command::Request { request: rendezvous(), reply }).unwrap();
        answer
    }
}

#[test]
fn a_request_is_sent_and_its_answer_or_refusal_given_back() {
    let mut world = world(Keys::clone);
    let (mut first, mut second) = (world.request(), world.request());
    let sent = world.settle();
    assert_eq!((sent.len(), &sent[0]["type"]), (2, &Value::from("rendezvous")));
    let refused =
        ErrorFrame { id: sent[0]["id"].as_str().map(str::to_owned), ..ErrorFrame::new(ErrorCode::BadRequest, "side") };
    world.core.frame(ServerFrame::Error(Box::new(refused))).unwrap();
    assert!(matches!(first.try_recv().unwrap(), Err(Error::Refused { code: ErrorCode::BadRequest, .. })));
    let answer = serde_json::json!({ "type": "rendezvous", "id": sent[1]["id"] });
    world.core.frame(serde_json::from_value(answer).unwrap()).unwrap();
    assert!(matches!(second.try_recv().unwrap(), Ok(ServerFrame::Rendezvous(_))));
}

#[test]
fn a_request_fails_with_the_connection_that_it_was_sent_on() {
    let mut world = world(Keys::clone);
    let mut sent = world.request();
    world.settle();
    let mut waiting = world.request();
    world.core.disconnected();
    assert!(matches!(sent.try_recv().unwrap(), Err(Error::Connect(_))));
    assert!(waiting.try_recv().is_err());
}
