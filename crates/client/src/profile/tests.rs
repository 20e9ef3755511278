use std::os::unix::fs::PermissionsExt;

use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Delivered, Status};
use sealwire_protocol::ids::{DeviceId, MessageId, Username};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::testing::{open, registered};
use super::*;
use crate::chain::{Head, Link};
use crate::conversation::EntryState;

fn name(text: &str) -> Username {
    text.parse().unwrap()
}

fn id(n: u64) -> MessageId {
    MessageId::new_v7(n, [0; 10])
}

fn device(n: u64) -> DeviceId {
    DeviceId::new_v7(n, [0; 10])
}

fn text(text: &str) -> Content {
    Content::Content(text.as_bytes().to_vec())
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn received(n: u64, link: Link) -> Received {
    Received {
        from: name("bob"),
        from_device: device(7),
        to: name("alice"),
        link,
        timestamp: n,
        is_content: true,
        body: Body(Zeroizing::new(format!("message {n}").into_bytes())),
        from_removed_device: false,
    }
}

fn at(taken: &[Taken]) -> Vec<i64> {
    taken.iter().map(|taken| taken.position).collect()
}

/// Alice's profile, which is registered.
fn alices(path: &Path) -> Profile {
    registered(path, &name("alice"), &device(1))
}

fn chain_of(n: u64) -> Vec<Link> {
    let mut head = Head::default();
    (1..=n).map(|n| head.take(id(n))).collect()
}

fn opened(links: &[Link]) -> Vec<Incoming> {
    links.iter().map(|link| Incoming::Opened(Box::new(received(link.counter, *link)))).collect()
}

fn envelope(from: &str) -> Delivered {
    Delivered {
        seq: 1,
        from: name(from),
        from_device: device(7),
        message_id: id(1),
        to: name("alice"),
        encrypted_message: Blob(vec![1; 64]),
        iv: Array([2; 12]),
        timestamp: 3,
        signature: Blob(vec![4; 512]),
        suite: 1,
        recipients: Vec::new(),
        encrypted_key: Blob(vec![5; 512]),
    }
}

#[test]
fn nobody_else_may_look_into_a_profile() {
    let home = directory();
    let path = home.path().join("deep").join("profile");
    let mut profile = alices(&path);
    profile.enqueue(&[(name("bob"), id(1), text("hi"))], 1_000).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap().path();
        assert_eq!(mode(&entry), 0o600, "{}", entry.display());
    }
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_over() {
    let home = directory();
    let first = open(home.path()).unwrap();
    assert_eq!(open(home.path()).unwrap_err(), ProfileError::InUse(home.path().to_owned()));
    drop(first);
    assert!(open(home.path()).is_ok());
}

#[test]
fn a_profile_of_a_later_version_is_left_alone() {
    let home = directory();
    drop(open(home.path()).unwrap());
    let database = Connection::open(home.path().join("profile.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    assert_eq!(open(home.path()).unwrap_err(), ProfileError::Newer { found: 99, known: 2 });
}

#[test]
fn what_is_no_database_is_refused_with_words() {
    let home = directory();
    drop(open(home.path()).unwrap());
    fs::write(home.path().join("profile.db"), "this is no database, and long enough to be looked at".repeat(40))
        .unwrap();
    let error = open(home.path()).unwrap_err();
    assert!(matches!(error, ProfileError::Database(_)), "{error}");
}

#[test]
fn keys_are_read_back_and_shown_by_nobody() {
    let home = directory();
    let keys = DeviceKeys {
        aik: Some(IdentityKey::from_pkcs8(include_bytes!("../../../../tests/keys/k0.der")).unwrap()),
        dsk: SigningKey::from_pkcs8(include_bytes!("../../../../tests/keys/k1.der")).unwrap(),
        dwk: WrapKey::from_pkcs8(include_bytes!("../../../../tests/keys/k2.der")).unwrap(),
    };
    let mut profile = open(home.path()).unwrap();
    assert_eq!(profile.account().unwrap_err(), ProfileError::NoAccount);
    profile.store_keys(&device(1), &keys, 5).unwrap();
    assert!(profile.store_keys(&device(2), &keys, 5).is_err());
    drop(profile);
    let profile = open(home.path()).unwrap();
    let back = profile.keys().unwrap();
    assert_eq!(
        (back.aik.as_ref().unwrap().kid(), back.dsk.kid(), back.dwk.kid()),
        (keys.aik.as_ref().unwrap().kid(), keys.dsk.kid(), keys.dwk.kid())
    );
    assert_eq!(profile.device().unwrap(), Some(device(1)));
    assert_eq!(profile.wrap_keys().unwrap().iter().map(|key| key.key.kid()).collect::<Vec<_>>(), [keys.dwk.kid()]);
    assert_eq!(profile.account().unwrap_err(), ProfileError::NoAccount);
    assert!(format!("{back:?}").len() < 200);
}

#[test]
fn what_was_prepared_can_be_forgotten_but_never_an_account() {
    let home = directory();
    let keys = DeviceKeys {
        aik: Some(IdentityKey::from_pkcs8(include_bytes!("../../../../tests/keys/k0.der")).unwrap()),
        dsk: SigningKey::from_pkcs8(include_bytes!("../../../../tests/keys/k1.der")).unwrap(),
        dwk: WrapKey::from_pkcs8(include_bytes!("../../../../tests/keys/k2.der")).unwrap(),
    };
    let mut profile = open(home.path()).unwrap();
    profile.store_keys(&device(1), &keys, 5).unwrap();
    let new = crate::enrol::register::new_account(&name("alice"), &device(1), &keys, 5);
    let (origin, alice) = ("wss://chat.example.org", name("alice"));
    profile.prepare(origin, &new).unwrap();
    assert_eq!(profile.prepared(origin, &alice).unwrap(), Some(new.clone()));
    profile.forget_prepared().unwrap();
    assert_eq!(profile.prepared(origin, &alice).unwrap(), None);
    profile.prepare(origin, &new).unwrap();
    profile.registered().unwrap();
    profile.forget_prepared().unwrap();
    assert_eq!(profile.account().unwrap().username, alice);
}

#[test]
fn messages_keep_their_places_over_a_restart() {
    let home = directory();
    let mut profile = alices(home.path());
    let (bob, carol) = (name("bob"), name("carol"));
    let first = profile.enqueue(&[(bob.clone(), id(1), text("a")), (carol, id(2), text("b"))], 1_000).unwrap();
    drop(profile);
    let mut profile = open(home.path()).unwrap();
    let second = profile.enqueue(&[(bob, id(3), text("c"))], 1_000).unwrap();
    assert_eq!((first[0].counter, first[1].counter, second[0].counter), (1, 1, 2));
    assert_eq!(second[0].previous, first[0].hash());
    let order: Vec<_> = profile.outbox().unwrap().into_iter().map(|(_, id, sealed, _)| (id, sealed)).collect();
    assert_eq!(order, [(id(1), false), (id(2), false), (id(3), false)]);
}

#[test]
fn sealed_bytes_stay_the_same_until_the_first_status() {
    let home = directory();
    let mut profile = alices(home.path());
    profile.enqueue(&[(name("bob"), id(1), text("a"))], 1_000).unwrap();
    profile.store_sealed(&[(id(1), 2_000, "{the frame}".to_owned())]).unwrap();
    drop(profile);
    let mut profile = open(home.path()).unwrap();
    assert_eq!(profile.outgoing(&id(1)).unwrap().unwrap().frame.as_deref(), Some("{the frame}"));
    profile.settle(&[id(1)], Status::Queued).unwrap();
    assert!(profile.outgoing(&id(1)).unwrap().is_none());
    assert!(profile.outbox().unwrap().is_empty());
    profile.settle(&[id(1)], Status::Delivered).unwrap();
    assert_eq!(profile.settle(&[id(1)], Status::Expired).unwrap(), [], "a copy for another device is over");
    assert_eq!(profile.settle(&[id(1)], Status::Queued).unwrap(), [], "said too late");
    assert_eq!(profile.entry(&id(1)).unwrap().unwrap().state, EntryState::Delivered);
}

#[test]
fn what_is_given_up_leaves_an_empty_control_in_its_place() {
    let home = directory();
    let mut profile = alices(home.path());
    let link = profile.enqueue(&[(name("bob"), id(1), text("too much"))], 1_000).unwrap()[0];
    profile.store_sealed(&[(id(1), 2_000, "{the frame}".to_owned())]).unwrap();
    profile.replace(&id(1)).unwrap();
    let outgoing = profile.outgoing(&id(1)).unwrap().unwrap();
    assert_eq!(outgoing.link, link);
    assert_eq!((outgoing.content.body().len(), outgoing.frame.is_none()), (0, true));
    assert_eq!(profile.outbox().unwrap(), [(name("bob"), id(1), false, true)]);
    profile.settle(&[id(1)], Status::Queued).unwrap();
    assert!(profile.outbox().unwrap().is_empty());
    assert_eq!(profile.entry(&id(1)).unwrap().unwrap().state, EntryState::Failed, "what was typed is still there");
}

#[test]
fn withdrawn_messages_leave_no_hole_in_the_chain() {
    let home = directory();
    let mut profile = alices(home.path());
    let all: Vec<_> = (1..=3).map(|n| (name("bob"), id(n), text("a"))).collect();
    let links = profile.enqueue(&all, 1_000).unwrap();
    profile.withdraw(&[id(3), id(2)]).unwrap();
    let again = profile.enqueue(&[(name("bob"), id(4), text("b"))], 1_000).unwrap()[0];
    assert_eq!((again.counter, again.previous), (2, links[0].hash()));
}

#[test]
fn a_message_is_taken_in_once_and_known_for_ever() {
    let home = directory();
    let mut profile = open(home.path()).unwrap();
    let links = chain_of(2);
    profile.take_in(&opened(&links), &[]).unwrap();
    drop(profile);
    let mut profile = open(home.path()).unwrap();
    assert!(profile.has_seen(&name("bob"), &device(7), &id(1)).unwrap());
    assert!(!profile.has_seen(&name("bob"), &device(8), &id(1)).unwrap());
    assert!(profile.take_in(&opened(&links[..1]), &[]).is_err());
    assert_eq!(profile.unshown().unwrap().len(), 2);
}

#[test]
fn a_batch_is_taken_in_whole_or_not_at_all() {
    let home = directory();
    let mut profile = open(home.path()).unwrap();
    let links = chain_of(2);
    profile.take_in(&opened(&links[1..]), &[]).unwrap();
    assert!(profile.take_in(&opened(&links), &[]).is_err());
    assert!(!profile.has_seen(&name("bob"), &device(7), &id(1)).unwrap());
}

#[test]
fn a_failure_leaves_no_replay_mark() {
    let home = directory();
    let mut profile = open(home.path()).unwrap();
    let failed = Incoming::Failed {
        from: name("bob"),
        from_device: device(7),
        message_id: id(1),
        timestamp: u64::MAX,
        reason: "undecryptable".to_owned(),
    };
    assert!(profile.take_in(&[failed], &[]).unwrap().is_empty());
    assert!(!profile.has_seen(&name("bob"), &device(7), &id(1)).unwrap());
}

#[test]
fn an_envelope_that_waits_is_kept_as_it_came_until_it_is_decided() {
    let home = directory();
    let mut profile = open(home.path()).unwrap();
    profile.take_in(&[Incoming::Deferred(Box::new(envelope("bob")))], &[]).unwrap();
    drop(profile);
    let mut profile = open(home.path()).unwrap();
    let waiting = profile.deferred().unwrap();
    assert_eq!(waiting[0].1, envelope("bob"));
    profile.take_in(&opened(&chain_of(1)), &[waiting[0].0]).unwrap();
    assert!(profile.deferred().unwrap().is_empty());
}

#[test]
fn what_was_shown_is_not_shown_again() {
    let home = directory();
    let mut profile = open(home.path()).unwrap();
    let positions = profile.take_in(&opened(&chain_of(3)), &[]).unwrap();
    assert_eq!(profile.next_to_show(&name("bob"), &device(7), &name("alice")).unwrap(), None);
    profile.mark_shown(&at(&positions[..2])).unwrap();
    drop(profile);
    let profile = open(home.path()).unwrap();
    let unshown = profile.unshown().unwrap();
    assert_eq!(unshown.iter().map(|(_, received)| received.link.counter).collect::<Vec<_>>(), [3]);
    assert_eq!(profile.next_to_show(&name("bob"), &device(7), &name("alice")).unwrap(), Some(3));
}

#[test]
fn the_neighbours_of_a_place_are_those_of_the_same_device_and_conversation() {
    let home = directory();
    let mut profile = open(home.path()).unwrap();
    let links = chain_of(3);
    profile.take_in(&opened(&links), &[]).unwrap();
    let around = profile.neighbours(&name("bob"), &device(7), &name("alice"), 2).unwrap();
    assert_eq!((around.same, around.before, around.after), (Some(id(2)), Some(links[0]), Some(links[2])));
    let elsewhere = profile.neighbours(&name("bob"), &device(7), &name("carol"), 2).unwrap();
    assert_eq!((elsewhere.same, elsewhere.before, elsewhere.after), (None, None, None));
}

#[test]
fn another_name_with_the_same_device_id_does_not_stand_before_the_first() {
    let home = directory();
    let mut profile = open(home.path()).unwrap();
    let links = chain_of(2);
    let of_mallory = |link: &Link| Received { from: name("mallory"), ..received(link.counter, *link) };
    let incoming: Vec<_> = links.iter().map(|link| Incoming::Opened(Box::new(of_mallory(link)))).collect();
    let positions = profile.take_in(&incoming, &[]).unwrap();
    profile.mark_shown(&at(&positions)).unwrap();
    assert!(!profile.has_seen(&name("bob"), &device(7), &id(1)).unwrap());
    assert_eq!(profile.next_to_show(&name("bob"), &device(7), &name("alice")).unwrap(), None);
    let around = profile.neighbours(&name("bob"), &device(7), &name("alice"), 2).unwrap();
    assert_eq!((around.same, around.before, around.after), (None, None, None));
    profile.take_in(&opened(&links), &[]).unwrap();
    assert_eq!(profile.unshown().unwrap().len(), 2);
}
