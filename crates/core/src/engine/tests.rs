//! What the core decides when a server answers as it likes.

use std::sync::{Arc, LazyLock};

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::provider::{NativeRsa, RsaFailure, RsaOutcome};
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{DeliveredRecipient, DeviceWrap, Keys, SessionLimits};
use sealwire_protocol::signed::{Manifest, ManifestDevice, WrapCert};
use serde_json::Value;

use super::*;
use crate::convert::{cert_to_frame, manifest_to_frame};
use crate::storage::{MemoryStorage, StoredCert};

const NOW: u64 = 1_790_000_000_000;

macro_rules! key {
    ($kind:ident, $file:literal) => {
        $kind::from_pkcs8(include_bytes!(concat!("../../../../tests/keys/", $file, ".der"))).unwrap()
    };
}

struct DeviceKeys {
    aik: Arc<IdentityKey>,
    dsk: Arc<SigningKey>,
    dwk: Arc<WrapKey>,
}

static ALICE: LazyLock<DeviceKeys> = LazyLock::new(|| DeviceKeys {
    aik: key!(IdentityKey, "k0").into(),
    dsk: key!(SigningKey, "k1").into(),
    dwk: key!(WrapKey, "k2").into(),
});
static BOB: LazyLock<DeviceKeys> = LazyLock::new(|| DeviceKeys {
    aik: key!(IdentityKey, "k3").into(),
    dsk: key!(SigningKey, "k4").into(),
    dwk: key!(WrapKey, "k5").into(),
});

fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

fn name(text: &str) -> Username {
    text.parse().unwrap()
}

fn device(n: u64) -> DeviceId {
    DeviceId::new_v7(n, [0; 10])
}

/// What a server shows of somebody with one device.
fn shown(who: &str, n: u64, keys: &DeviceKeys) -> Keys {
    let this = ManifestDevice { id: device(n), dsk: keys.dsk.public().clone(), added_at: NOW, capabilities: 0 };
    let manifest = Manifest { version: 1, prev_hash: [0; 32], issued_at: NOW, devices: vec![this] };
    let manifest = keys.aik.sign_manifest(&mut rng(), &name(who), manifest).unwrap();
    let dwk = keys.dwk.public().clone();
    let cert = WrapCert { seq: 1, dwk, not_before: NOW, not_after: NOW + WrapCert::MAX_LIFE };
    let wrap = cert_to_frame(&keys.dsk.certify(&mut rng(), &name(who), &device(n), cert));
    Keys {
        id: None,
        username: name(who),
        aik: Blob(keys.aik.public().as_bytes().to_vec()),
        manifests: vec![manifest_to_frame(&manifest)],
        more: false,
        devices: vec![DeviceWrap { id: device(n), wrap }],
    }
}

fn person(keys: &Keys) -> Person {
    Person::first(keys, NOW).unwrap().0
}

struct World {
    core: Core<MemoryStorage>,
    rsa: NativeRsa<fn() -> UnwrapErr<SysRng>>,
    now: Now,
    alice: Keys,
    bob: Keys,
    /// What whoever waits was told, the newest last.
    answers: HashMap<Ticket, Result<Answer, Error>>,
    progress: HashMap<MessageId, Progress>,
    tickets: u64,
    /// How many keys were made.
    made: u32,
}

/// Alice, logged in, who knows of bob what `known` says.
fn world(known: impl Fn(&Keys) -> Keys) -> World {
    let (alice, bob) = (shown("alice", 1, &ALICE), shown("bob", 2, &BOB));
    let account = Account { username: name("alice"), device: device(1), server: "wss://chat.example.org".to_owned() };
    let cert = Some(alice.devices[0].wrap.clone());
    let held = StoredCert { kid: *ALICE.dwk.kid(), cert, accepted: true, replaced_at: None };
    let mut storage = MemoryStorage::new(account, ALICE.dsk.public().clone(), vec![held]);
    storage.store_person(&person(&alice)).unwrap();
    storage.store_person(&person(&known(&bob))).unwrap();
    let mut world = World::of(storage, alice, bob);
    world.log_in();
    world
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
    fn of(storage: MemoryStorage, alice: Keys, bob: Keys) -> Self {
        let rsa = NativeRsa::new(rng as fn() -> UnwrapErr<SysRng>);
        rsa.add_signing(ALICE.dsk.clone());
        rsa.add_wrap(ALICE.dwk.clone());
        let core = Core::new(storage, "wss://chat.example.org".to_owned()).unwrap();
        let now = Now { ticks: 1, wall: NOW };
        let (answers, progress) = (HashMap::new(), HashMap::new());
        Self { core, rsa, now, alice, bob, answers, progress, tickets: 0, made: 0 }
    }

    fn log_in(&mut self) {
        self.core.connected(self.now);
        self.core.session(&session()).unwrap();
    }

    fn pump(&mut self) {
        self.core.pump(self.now, &mut rng()).unwrap();
    }

    fn run(&mut self, batch: Batch) {
        let outcomes = batch.jobs.into_iter().map(|job| self.run_one(job)).collect();
        self.core.ran(self.now, batch.id, outcomes).unwrap();
        self.pump();
    }

    /// A new key is always the same: making one takes too long.
    fn run_one(&mut self, job: RsaJob) -> Result<RsaOutcome, RsaFailure> {
        let RsaJob::Generate(_) = job else { return self.rsa.run_now(job) };
        self.made += 1;
        let key: WrapKey = key!(WrapKey, "k7");
        let public = key.public().clone();
        self.rsa.add_wrap(key.into());
        Ok(RsaOutcome::Made(public))
    }

    /// Lets the core act, with its private keys and the server's answers to its look-ups, until it has nothing more to do;
    /// gives the other frames that it sends.
    fn settle(&mut self) -> Vec<Value> {
        let mut sent = Vec::new();
        self.pump();
        while let Some(effect) = self.core.next_effect() {
            match effect {
                Effect::Send(frame) => sent.extend(self.answer_look_up(&frame)),
                Effect::Answer(ticket, answer) => drop(self.answers.insert(ticket, answer)),
                Effect::Progress(id, progress) => drop(self.progress.insert(id, progress)),
                Effect::Run(batch) => self.run(batch),
                Effect::ComeBackAfter(_) => {}
            }
        }
        sent
    }

    /// Gives back what is no look-up.
    fn answer_look_up(&mut self, frame: &str) -> Option<Value> {
        let frame: Value = serde_json::from_str(frame).unwrap();
        if frame["type"] != "keys" {
            return Some(frame);
        }
        let of = if frame["username"] == "bob" { &self.bob } else { &self.alice };
        let answer = Keys { id: frame["id"].as_str().map(str::to_owned), ..of.clone() };
        self.core.take(ServerFrame::Keys(Box::new(answer))).unwrap();
        self.pump();
        None
    }

    /// The next frame that the core sends, without answering any.
    fn next_sent(&mut self) -> Option<Value> {
        self.pump();
        while let Some(effect) = self.core.next_effect() {
            if let Effect::Send(frame) = effect {
                return Some(serde_json::from_str(&frame).unwrap());
            }
        }
        None
    }

    fn command(&mut self, command: Command) -> Ticket {
        self.tickets += 1;
        self.core.command(self.now, Ticket(self.tickets), command).unwrap();
        Ticket(self.tickets)
    }

    fn answered(&mut self, command: Command) -> Result<Answer, Error> {
        let ticket = self.command(command);
        self.settle();
        self.answers.remove(&ticket).expect("it is answered at once")
    }

    /// Puts a message to bob into the outbox; it is not sealed before the world settles.
    fn send(&mut self) -> MessageId {
        let ticket = self.command(Command::Send { to: name("bob"), bodies: vec![b"{}".to_vec()] });
        self.pump();
        let at = self.core.effects.iter().position(|e| matches!(e, Effect::Answer(of, _) if *of == ticket)).unwrap();
        match self.core.effects.remove(at) {
            Some(Effect::Answer(_, Ok(Answer::Sent(ids)))) => ids[0],
            other => panic!("{other:?}"),
        }
    }

    fn untrusted(&self, id: &MessageId) -> bool {
        let reason = |progress: &Progress| match progress {
            Progress::Failed(Error::Untrusted { reason, .. }) => Some(*reason),
            _ => None,
        };
        self.progress.get(id).and_then(reason) == Some(PinError::IdentityChanged)
    }
}

#[test]
fn another_identity_key_stops_what_was_sealed_before_and_tells_who_waits() {
    let mut world = world(Keys::clone);
    let id = world.send();
    assert_eq!(world.settle().len(), 1);
    world.bob = other_bob();
    let stale = ErrorFrame { message_id: Some(id), ..ErrorFrame::new(ErrorCode::StaleDevices, "stale") };
    world.core.take(ServerFrame::Error(Box::new(stale))).unwrap();
    assert_eq!(world.settle(), Vec::<Value>::new());
    assert!(world.untrusted(&id), "{:?}", world.progress);
    assert!(world.core.events.iter().any(|event| matches!(event, Event::Alarm(Alarm::Keys { .. }))));
    let later = world.send();
    assert_eq!(world.settle(), Vec::<Value>::new());
    assert!(world.untrusted(&later), "{:?}", world.progress);
    // The first waits for better times, and is not even sealed for keys that may be the wrong ones.
    assert_eq!(world.core.outbox.to_seal(1, 10, |_| true), [id]);
    assert_eq!(world.core.outbox.len(), 1);
}

#[test]
fn somebody_who_had_no_device_is_looked_up_again_before_a_message_is_given_up() {
    let mut world = world(|bob| Keys { devices: Vec::new(), ..bob.clone() });
    let id = world.send();
    assert_eq!(world.settle().len(), 1);
    assert!(!world.progress.contains_key(&id));
}

#[test]
fn a_message_to_somebody_who_still_has_no_device_is_given_up() {
    let mut world = world(|bob| Keys { devices: Vec::new(), ..bob.clone() });
    world.bob.devices.clear();
    let id = world.send();
    assert_eq!(world.settle(), Vec::<Value>::new());
    assert!(matches!(world.progress[&id], Progress::Failed(Error::NobodyToSendTo(_))));
    assert!(world.core.outbox.is_empty());
}

#[path = "passing_tests.rs"]
mod passing;
/// Bob as somebody else: another identity key.
fn other_bob() -> Keys {
    let (dsk, dwk) = (BOB.dsk.clone(), BOB.dwk.clone());
    shown("bob", 2, &DeviceKeys { aik: key!(IdentityKey, "k6").into(), dsk, dwk })
}

#[path = "bounds_tests.rs"]
mod bounds;
#[path = "line_tests.rs"]
mod line;
#[path = "mending_tests.rs"]
mod mending;
#[path = "people_tests.rs"]
mod people;
#[path = "rotating_tests.rs"]
mod rotating;

/// An envelope of bob's that does not open: that it failed shows that it was looked at.
fn envelope(timestamp: u64) -> Delivered {
    let k = *ALICE.dwk.kid();
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
    world.core.take(ServerFrame::Message(Box::new(envelope(timestamp)))).unwrap();
    world.settle();
    assert_eq!(world.core.deferred.len(), 1);
    assert_eq!(world.core.deferred_wake_at(), Some(1_001));
    world.now = Now { ticks: 1_001, wall: NOW + 1_000 };
    world.settle();
    assert!(world.core.deferred.is_empty());
    assert!(world.core.events.iter().any(|event| matches!(event, Event::Unreadable { .. })));
    assert_eq!(world.core.deferred_wake_at(), None);
}

#[test]
fn a_server_that_has_more_and_shows_nothing_is_not_asked_again() {
    let mut world = world(Keys::clone);
    let frame = world.next_sent().unwrap();
    let id = frame["id"].as_str().map(str::to_owned);
    let answer = Keys { id, more: true, manifests: Vec::new(), devices: Vec::new(), ..world.alice.clone() };
    let error = world.core.take(ServerFrame::Keys(Box::new(answer))).unwrap_err();
    assert!(error.is_passing(), "{error}");
}

fn rendezvous() -> sealwire_protocol::frames::Request<'static> {
    let take = sealwire_protocol::frames::RendezvousTake { slot: Array([1; 16]), side: 1 };
    let rendezvous = sealwire_protocol::frames::Rendezvous { put: None, take: Some(take) };
    sealwire_protocol::frames::Request::Rendezvous(Box::new(rendezvous))
}

#[test]
fn a_request_is_sent_and_its_answer_or_refusal_given_back() {
    let mut world = world(Keys::clone);
    let (first, second) =
        (world.command(Command::Request(rendezvous())), world.command(Command::Request(rendezvous())));
    let sent = world.settle();
    assert_eq!((sent.len(), &sent[0]["type"]), (2, &Value::from("rendezvous")));
    let id = sent[0]["id"].as_str().map(str::to_owned);
    let refused = ErrorFrame { id, ..ErrorFrame::new(ErrorCode::BadRequest, "side") };
    world.core.take(ServerFrame::Error(Box::new(refused))).unwrap();
    let answer = serde_json::json!({ "type": "rendezvous", "id": sent[1]["id"] });
    world.core.take(serde_json::from_value(answer).unwrap()).unwrap();
    world.settle();
    assert!(matches!(world.answers[&first], Err(Error::Refused { code: ErrorCode::BadRequest, .. })));
    assert!(matches!(&world.answers[&second], Ok(Answer::Frame(f)) if matches!(**f, ServerFrame::Rendezvous(_))));
}

#[test]
fn a_request_fails_with_the_connection_that_it_was_sent_on() {
    let mut world = world(Keys::clone);
    let sent = world.command(Command::Request(rendezvous()));
    world.settle();
    let waiting = world.command(Command::Request(rendezvous()));
    world.core.disconnected(world.now);
    world.settle();
    assert!(matches!(world.answers[&sent], Err(Error::Connect(_))));
    assert!(!world.answers.contains_key(&waiting));
}
