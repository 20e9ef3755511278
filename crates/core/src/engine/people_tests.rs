//! What follows when somebody's keys or devices are others than before.

use sealwire_e2ee::Lane;
use sealwire_e2ee::manifest::SignedManifest;

use super::passing::from_bob_who_believes;
use super::*;
use crate::convert::manifest_from_frame;

/// The same account after its next manifest, which lists these devices.
fn next(of: &Keys, keys: &DeviceKeys, devices: Vec<ManifestDevice>) -> Keys {
    let last: SignedManifest = manifest_from_frame(of.manifests.last().unwrap()).unwrap();
    let prev_hash = last.verify(&of.username, keys.aik.public()).unwrap();
    let manifest = Manifest { version: last.manifest.version + 1, prev_hash, issued_at: NOW, devices };
    let signed = keys.aik.sign_manifest(&mut rng(), &of.username, manifest).unwrap();
    let listed = |device: &&DeviceWrap| signed.manifest.device(&device.id).is_some();
    let devices = of.devices.iter().filter(listed).cloned().collect();
    let manifests = of.manifests.iter().cloned().chain([manifest_to_frame(&signed)]).collect();
    Keys { manifests, devices, ..of.clone() }
}

fn listed(keys: &Keys) -> Vec<ManifestDevice> {
    manifest_from_frame(keys.manifests.last().unwrap()).unwrap().manifest.devices
}

impl World {
    fn bob_shows_another_key(&mut self) {
        self.bob = other_bob();
        self.core.lookups.want(&name("bob"));
        self.settle();
    }

    fn accept(&mut self) -> Result<Answer, Error> {
        self.answered(Command::AcceptIdentity(name("bob")))
    }

    /// The same storage in a process that begins anew.
    pub(super) fn restart(mut self) -> Self {
        Self::of(self.core.storage().clone(), self.alice, self.bob)
    }
}

#[test]
fn a_changed_identity_key_is_refused_until_the_person_accepts_it_also_after_a_restart() {
    let mut world = world(Keys::clone);
    world.core.storage().decide(&name("bob"), |contact| contact.verified = true);
    world.settle();
    world.bob_shows_another_key();
    let alarms = world.core.events.iter().filter(|event| matches!(event, Event::Alarm(_))).count();
    assert_eq!(alarms, 1);
    assert_eq!(world.core.storage.changed_key(&name("bob")).unwrap().unwrap().aik, other_bob().aik);
    let mut world = world.restart();
    let id = world.send();
    world.log_in();
    assert_eq!(world.settle(), Vec::<Value>::new());
    assert!(world.untrusted(&id));
    world.accept().unwrap();
    let id = world.send();
    assert_eq!(world.settle().len(), 1);
    assert!(!world.progress.contains_key(&id));
    let contact = world.core.storage.contact(&name("bob")).unwrap();
    assert!(!contact.verified && !contact.changed_key);
}

#[test]
fn keys_that_are_answered_for_another_name_are_nobody_s() {
    let mut world = world(Keys::clone);
    world.settle();
    world.core.lookups.want(&name("carol"));
    let asked = world.next_sent().unwrap();
    assert_eq!(asked["username"], "carol");
    let answer = Keys { id: asked["id"].as_str().map(str::to_owned), ..other_bob() };
    let error = world.core.take(ServerFrame::Keys(Box::new(answer))).unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("another name"), "{error}");
    assert!(world.core.storage.person(&name("carol")).unwrap().is_none());
    let bob = world.core.storage.person(&name("bob")).unwrap().unwrap();
    assert_eq!(bob.chain().aik(), person(&world.bob).chain().aik());
}

#[test]
fn all_manifests_of_a_changed_identity_are_asked_for() {
    let mut world = world(Keys::clone);
    world.settle();
    world.bob = other_bob();
    world.core.lookups.want(&name("bob"));
    let first = world.next_sent().unwrap();
    assert_eq!(first["sinceVersion"], 1);
    let id = first["id"].as_str().map(str::to_owned);
    let answer = Keys { id, manifests: Vec::new(), devices: Vec::new(), ..other_bob() };
    world.core.take(ServerFrame::Keys(Box::new(answer))).unwrap();
    // Whoever hears the alarm finds what there is to decide, though nothing can be believed yet.
    assert!(world.core.events.iter().any(|event| matches!(event, Event::Alarm(_))));
    assert!(world.core.storage.contact(&name("bob")).unwrap().changed_key);
    let too_early = world.core.accept_identity(&name("bob"));
    assert!(matches!(too_early, Err(Error::Untrusted { .. })), "{too_early:?}");
    let second = world.next_sent().unwrap();
    assert_eq!((&second["username"], &second["sinceVersion"]), (&Value::from("bob"), &Value::Null));
}

#[test]
fn the_believed_keys_shown_again_end_the_refusal() {
    let mut world = world(Keys::clone);
    let right = world.bob.clone();
    world.settle();
    world.bob_shows_another_key();
    world.bob = right;
    world.core.lookups.want(&name("bob"));
    world.settle();
    assert!(!world.core.storage.contact(&name("bob")).unwrap().changed_key);
    world.send();
    assert_eq!(world.settle().len(), 1);
}

#[test]
fn with_nothing_to_accept_nothing_is_done_and_a_broken_list_cannot_be_accepted() {
    let mut world = world(Keys::clone);
    world.settle();
    world.accept().unwrap();
    world.bob.manifests[0].signature.0[0] ^= 1;
    world.bob.manifests[0].issued_at += 1;
    world.core.lookups.want(&name("bob"));
    world.settle();
    assert!(matches!(world.accept(), Err(Error::Untrusted { .. })));
}

#[test]
fn other_devices_of_somebody_who_is_known_are_told() {
    let mut world = world(Keys::clone);
    world.settle();
    let dsk = key!(SigningKey, "k7").public().clone();
    let mut devices = listed(&world.bob);
    devices.push(ManifestDevice { id: device(3), dsk, added_at: NOW, capabilities: 0 });
    world.bob = next(&world.bob, &BOB, devices);
    world.core.lookups.want(&name("bob"));
    world.settle();
    let told = |event: &Event| match event {
        Event::DevicesChanged { name, added, removed, .. } => Some((name.clone(), added.clone(), removed.clone())),
        _ => None,
    };
    let told: Vec<_> = world.core.events.iter().filter_map(told).collect();
    assert_eq!(told, [(name("bob"), vec![device(3)], vec![])]);
}

#[test]
fn a_device_that_was_removed_stops_and_says_so() {
    let mut world = world(Keys::clone);
    let dsk = key!(SigningKey, "k7").public().clone();
    let other = ManifestDevice { id: device(3), dsk, added_at: NOW, capabilities: 0 };
    world.alice = next(&world.alice, &ALICE, vec![other]);
    let asked = world.next_sent().unwrap();
    let answer = Keys { id: asked["id"].as_str().map(str::to_owned), ..world.alice.clone() };
    let error = world.core.take(ServerFrame::Keys(Box::new(answer))).unwrap_err();
    assert!(matches!(error, Error::Removed) && !error.is_passing(), "{error}");
}

#[test]
fn a_message_that_names_another_list_of_devices_is_looked_up_and_raises_an_alarm() {
    let other_manifest = |world: &World| {
        let told = |event: &&Event| match event {
            Event::Alarm(Alarm::OtherManifest { from, of }) => *from == name("bob") && *of == name("alice"),
            _ => false,
        };
        world.core.events.iter().filter(told).count()
    };
    let believed = person(&shown("alice", 1, &ALICE)).chain().newest_hash();
    for (hash, alarms) in [(believed, 0), ([7; 32], 1)] {
        let mut world = world(Keys::clone);
        world.settle();
        let message = from_bob_who_believes(hash, Lane::Message, 1, NOW, br#"{"kind":"text","text":"hi"}"#);
        world.core.take(ServerFrame::Message(message)).unwrap();
        world.settle();
        assert_eq!(other_manifest(&world), alarms);
    }
}

#[test]
fn what_somebody_believed_of_a_name_that_is_nobody_s_raises_no_alarm() {
    let mut world = world(Keys::clone);
    world.settle();
    world.core.check_belief(&name("bob"), &name("carol"), [7; 32]).unwrap();
    let asked = world.next_sent().unwrap();
    let id = asked["id"].as_str().map(str::to_owned);
    let unknown = ErrorFrame { id, ..ErrorFrame::new(ErrorCode::UnknownUser, "nobody") };
    world.core.take(ServerFrame::Error(Box::new(unknown))).unwrap();
    assert!(!world.core.events.iter().any(|event| matches!(event, Event::Alarm(_))));
    assert!(world.core.beliefs.is_empty());
}

#[test]
fn nothing_is_sealed_by_a_clock_that_was_refused_before_the_server_has_told_the_time() {
    let mut world = world(Keys::clone);
    let id = world.send();
    assert_eq!(world.settle().len(), 1);
    let refused = ErrorFrame { message_id: Some(id), ..ErrorFrame::new(ErrorCode::TimestampOutOfRange, "late") };
    world.core.take(ServerFrame::Error(Box::new(refused))).unwrap();
    let sent = world.settle();
    assert_eq!(sent.iter().map(|frame| &frame["type"]).collect::<Vec<_>>(), ["heartbeat"]);
    let later = NOW + 60_000;
    let answer = HeartbeatAnswer { id: None, timestamp: NOW, server_time: later };
    world.core.take(ServerFrame::Heartbeat(answer)).unwrap();
    let sent = world.settle();
    assert_eq!(sent.iter().map(|frame| &frame["timestamp"]).collect::<Vec<_>>(), [later]);
}
