use std::path::Path;

use proptest::prelude::*;
use sealwire_protocol::frames::{Keys, Status};
use sealwire_protocol::ids::{DeviceId, MessageId, Username};
use tempfile::{TempDir, tempdir};
use zeroize::Zeroizing;

use super::testing::{open, registered};
use super::{Body, Content, Imported, Incoming, Profile, ProfileError, Received};
use crate::chain::{Head, Link};
use crate::conversation::{EntryState, Standing};

fn name(text: &str) -> Username {
    text.parse().unwrap()
}

fn id(n: u64) -> MessageId {
    MessageId::new_v7(n, [0; 10])
}

fn device(n: u64) -> DeviceId {
    DeviceId::new_v7(n, [0; 10])
}

fn body(text: &str) -> Vec<u8> {
    serde_json::json!({ "kind": "text", "text": text }).to_string().into_bytes()
}

fn said(text: &str) -> Content {
    Content::Content(body(text))
}

fn alice(home: &TempDir) -> Profile {
    registered(home.path(), &name("alice"), &device(1))
}

/// A message to alice, or from an own device of hers.
fn message(from: &str, on: u64, to: &str, link: Link, timestamp: u64) -> Received {
    Received {
        from: name(from),
        from_device: device(on),
        to: name(to),
        link,
        timestamp,
        is_content: true,
        body: Body(Zeroizing::new(body(&format!("{from} {}", link.counter)))),
        from_removed_device: false,
    }
}

fn take(profile: &mut Profile, received: Received) -> i64 {
    profile.take_in(&[Incoming::Opened(Box::new(received))], &[]).unwrap()[0].position
}

fn take_text(profile: &mut Profile, from: &str, n: u64, timestamp: u64, text: &str) -> i64 {
    let link = Link { counter: n, previous: [0; 32], message_id: id(n) };
    take(profile, Received { body: Body(Zeroizing::new(body(text))), ..message(from, 7, "alice", link, timestamp) })
}

fn texts(profile: &Profile, peer: &str) -> Vec<String> {
    profile.history(&name(peer), None, 1_000).unwrap().into_iter().map(|entry| entry.text.unwrap()).collect()
}

#[test]
fn both_sides_stand_in_one_conversation_in_the_order_of_their_times() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    take_text(&mut profile, "bob", 1, 1_000, "hello");
    profile.enqueue(&[(name("bob"), id(50), said("hello yourself"))], 2_000).unwrap();
    take_text(&mut profile, "bob", 2, 3_000, "how are you?");
    take_text(&mut profile, "carol", 3, 2_500, "elsewhere");
    assert_eq!(texts(&profile, "bob"), ["hello", "hello yourself", "how are you?"]);
    let mine = profile.entry(&id(50)).unwrap().unwrap();
    assert_eq!((mine.own, mine.state, mine.peer), (true, EntryState::Waiting, name("bob")));
}

#[test]
fn messages_of_another_own_device_stand_where_they_were_sent_to() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    let link = Head::default().take(id(1));
    take(&mut profile, message("alice", 2, "bob", link, 5));
    let entry = profile.entry(&id(1)).unwrap().unwrap();
    assert_eq!((entry.peer, entry.own, entry.state), (name("bob"), true, EntryState::Received));
    let conversation = &profile.conversations().unwrap()[0];
    assert_eq!((conversation.unread, conversation.contact.standing), (0, Standing::Accepted));
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    for n in 1..=7 {
        // Some at the same time.
        take_text(&mut profile, "bob", n, 1_000 + n / 3, &n.to_string());
    }
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let page = profile.history(&name("bob"), before, 3).unwrap();
        let Some(first) = page.first() else { break };
        before = Some(first.position);
        pages.splice(0..0, page.into_iter().map(|entry| entry.text.unwrap()));
    }
    assert_eq!(pages, ["1", "2", "3", "4", "5", "6", "7"]);
}

#[test]
fn a_clock_that_jumps_back_does_not_tear_words_apart() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    take_text(&mut profile, "bob", 2, 1_000, "second");
    take_text(&mut profile, "bob", 1, 9_000, "first");
    take_text(&mut profile, "bob", 3, 2_000, "third");
    assert_eq!(texts(&profile, "bob"), ["first", "second", "third"]);
}

#[test]
fn what_was_read_is_not_unread_and_own_words_never_are() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    let positions: Vec<_> = (1..=3).map(|n| take_text(&mut profile, "bob", n, n, "hi")).collect();
    profile.enqueue(&[(name("bob"), id(50), said("hi"))], 9).unwrap();
    assert_eq!(profile.conversations().unwrap()[0].unread, 3);
    profile.mark_shown_up_to(&name("bob"), positions[1]).unwrap();
    assert_eq!(profile.conversations().unwrap()[0].unread, 1);
    assert_eq!(profile.unshown().unwrap().len(), 1);
}

#[test]
fn the_conversation_with_the_newest_message_comes_first() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    take_text(&mut profile, "bob", 1, 1_000, "early");
    take_text(&mut profile, "carol", 2, 2_000, "late");
    profile.accept(&name("dave")).unwrap();
    let peers = |profile: &Profile| -> Vec<_> {
        profile.conversations().unwrap().into_iter().map(|one| one.peer.to_string()).collect()
    };
    assert_eq!(peers(&profile), ["carol", "bob", "dave"]);
    profile.enqueue(&[(name("bob"), id(50), said("latest"))], 3_000).unwrap();
    assert_eq!(peers(&profile), ["bob", "carol", "dave"]);
    assert_eq!(profile.conversations().unwrap()[0].last.as_ref().unwrap().text.as_deref(), Some("latest"));
}

#[test]
fn a_stranger_is_a_request_until_accepted_or_written_to() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    take_text(&mut profile, "bob", 1, 1, "hi");
    take_text(&mut profile, "carol", 2, 1, "hi");
    assert_eq!(profile.contact(&name("bob")).unwrap().standing, Standing::Request);
    profile.accept(&name("bob")).unwrap();
    profile.enqueue(&[(name("carol"), id(50), said("hi"))], 9).unwrap();
    assert!(profile.contacts().unwrap().iter().all(|contact| contact.standing == Standing::Accepted));
}

#[test]
fn of_the_blocked_nothing_is_kept_but_the_marks() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    profile.set_blocked(&name("bob"), true).unwrap();
    let links: Vec<_> = {
        let mut head = Head::default();
        (1..=2).map(|n| head.take(id(n))).collect()
    };
    let taken = profile.take_in(&[Incoming::Opened(Box::new(message("bob", 7, "alice", links[0], 1)))], &[]).unwrap();
    assert!(taken[0].silenced);
    assert!(profile.has_seen(&name("bob"), &device(7), &id(1)).unwrap());
    assert!(profile.history(&name("bob"), None, 10).unwrap().is_empty());
    let unshown = profile.unshown().unwrap();
    assert_eq!((unshown[0].1.is_content, unshown[0].1.body.0.len()), (false, 0));
    profile.mark_shown(&[taken[0].position]).unwrap();
    profile.set_blocked(&name("bob"), false).unwrap();
    take(&mut profile, message("bob", 7, "alice", links[1], 2));
    assert_eq!(texts(&profile, "bob"), ["bob 2"]);
    // No gap is shown for what was not wanted.
    assert_eq!(profile.next_to_show(&name("bob"), &device(7), &name("alice")).unwrap(), Some(2));
    let around = profile.neighbours(&name("bob"), &device(7), &name("alice"), 2).unwrap();
    assert_eq!(around.before, Some(links[0]));
}

#[test]
fn what_was_decided_of_people_survives_a_restart() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    profile.set_verified(&name("bob"), true).unwrap();
    profile.set_muted(&name("bob"), true).unwrap();
    let shown = Keys {
        id: None,
        username: name("bob"),
        aik: sealwire_protocol::base64::Blob(vec![1, 2, 3]),
        manifests: Vec::new(),
        more: false,
        devices: Vec::new(),
    };
    profile.set_changed_key(&name("bob"), &shown).unwrap();
    drop(profile);
    let mut profile = open(home.path()).unwrap();
    let bob = profile.contact(&name("bob")).unwrap();
    assert!(bob.verified && bob.muted && !bob.blocked && bob.changed_key);
    assert_eq!(profile.changed_key(&name("bob")).unwrap(), Some(shown));
    profile.forget_changed_key(&name("bob")).unwrap();
    assert!(!profile.contact(&name("bob")).unwrap().changed_key);
}

#[test]
fn a_search_finds_words_whatever_their_case_newest_first() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    take_text(&mut profile, "bob", 1, 1, "The Kaleidoscope");
    take_text(&mut profile, "carol", 2, 2, "nothing");
    profile.enqueue(&[(name("carol"), id(50), said("a KALEIDOSCOPE?"))], 3).unwrap();
    let found = profile.search("kaleidoscope", 10).unwrap();
    assert_eq!(found.iter().map(|entry| entry.message_id).collect::<Vec<_>>(), [id(50), id(1)]);
    assert_eq!(profile.search("kaleidoscope", 1).unwrap().len(), 1);
    profile.set_blocked(&name("bob"), true).unwrap();
    assert_eq!(profile.search("kaleidoscope", 10).unwrap().len(), 1);
}

#[test]
fn what_is_withdrawn_or_dropped_stays_in_the_history_as_failed() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    let all: Vec<_> = (1..=3).map(|n| (name("bob"), id(n), said(&n.to_string()))).collect();
    profile.enqueue(&all, 5).unwrap();
    profile.withdraw(&[id(3)]).unwrap();
    profile.drop_outgoing(&id(2)).unwrap();
    profile.settle(&[id(1)], Status::Queued).unwrap();
    let states: Vec<_> = (1..=3).map(|n| profile.entry(&id(n)).unwrap().unwrap().state).collect();
    assert_eq!(states, [EntryState::Queued, EntryState::Failed, EntryState::Failed]);
    assert!(profile.outbox().unwrap().is_empty());
}

fn exported(profile: &Profile) -> String {
    let mut file = Vec::new();
    profile.export(&mut file).unwrap();
    String::from_utf8(file).unwrap()
}

#[test]
fn a_history_moves_to_another_profile_and_twice_is_once() {
    let (home, other) = (tempdir().unwrap(), tempdir().unwrap());
    let mut profile = alice(&home);
    take_text(&mut profile, "bob", 1, 1_000, "a line\nand \"another\"");
    profile.enqueue(&[(name("bob"), id(50), said("mine"))], 2_000).unwrap();
    let file = exported(&profile);
    assert_eq!(file.lines().count(), 3);

    let mut second = registered(other.path(), &name("alice"), &device(2));
    assert_eq!(second.import(&mut file.as_bytes()).unwrap(), Imported { added: 2, known: 0 });
    assert_eq!(second.import(&mut file.as_bytes()).unwrap(), Imported { added: 0, known: 2 });
    assert_eq!(texts(&second, "bob"), texts(&profile, "bob"));
    assert_eq!(second.conversations().unwrap()[0].unread, 0);
    assert_eq!(second.entry(&id(50)).unwrap().unwrap().state, EntryState::Failed);
    assert!(second.outbox().unwrap().is_empty());
    assert!(!second.has_seen(&name("bob"), &device(7), &id(1)).unwrap(), "a file leaves no replay marks");
    assert_eq!(second.next_to_show(&name("bob"), &device(7), &name("alice")).unwrap(), None);
    // What arrives itself takes the place of what a file said of it.
    take_text(&mut second, "bob", 1, 1_000, "itself");
    assert_eq!(texts(&second, "bob"), ["itself", "mine"]);
}

#[test]
fn a_file_that_does_not_fit_changes_nothing_and_says_where() {
    let home = tempdir().unwrap();
    let mut profile = alice(&home);
    take_text(&mut profile, "bob", 1, 1_000, "hi");
    let file = exported(&profile);
    let other = tempdir().unwrap();
    let mut second = registered(other.path(), &name("alice"), &device(2));
    let cases = [
        ("hello".to_owned(), "no history file"),
        (String::new(), "no history file"),
        (file.replace("\"username\":\"alice\"", "\"username\":\"mallory\""), "history of mallory"),
        (file.replace("\"version\":1", "\"version\":2"), "later version"),
        (format!("{file}{{\"peer\":1}}\n"), "line 3"),
        (file.replace("\"peer\":\"bob\"", "\"peer\":\"carol\""), "line 2"),
        (file.replace("\"state\":\"received\"", "\"state\":\"eaten\""), "line 2"),
    ];
    for (file, words) in cases {
        let error = second.import(&mut file.as_bytes()).unwrap_err();
        assert!(matches!(&error, ProfileError::Archive(said) if said.contains(words)), "{words}: {error}");
        assert!(second.conversations().unwrap().is_empty());
    }
}

/// Who writes on which device to whom, in what chain: alice's two devices, bob's two.
const CHAINS: [(&str, u64, &str); 4] =
    [("alice", 1, "bob"), ("alice", 2, "bob"), ("bob", 3, "alice"), ("bob", 4, "alice")];

/// All messages of all chains, each with its writer's time.
fn conversation(times: &[Vec<u64>]) -> Vec<Vec<Received>> {
    let chain = |(c, times): (usize, &Vec<u64>)| {
        let (from, on, to) = CHAINS[c];
        let mut head = Head::default();
        let numbered = times.iter().enumerate();
        numbered.map(|(n, time)| message(from, on, to, head.take(id((c * 100 + n) as u64)), *time)).collect()
    };
    times.iter().enumerate().map(chain).collect()
}

/// What a device of alice's shows that wrote its own chain and took the others in, in the order of `keys`.
fn screen(path: &Path, this: u64, chains: &[Vec<Received>], keys: &[u64]) -> Vec<MessageId> {
    let mut profile = registered(path, &name("alice"), &device(this));
    let mine: Vec<_> = chains[this as usize - 1].iter().collect();
    let others: Vec<_> = chains.iter().flatten().filter(|one| one.from_device != device(this)).collect();
    let mut order: Vec<_> = others.into_iter().zip(keys.iter().cycle()).collect();
    order.sort_by_key(|(_, key)| **key);
    let (first, last) = order.split_at(order.len() / 2);
    let incoming = |some: &[(&Received, &u64)]| -> Vec<_> {
        some.iter().map(|(one, _)| Incoming::Opened(Box::new((*one).clone()))).collect()
    };
    profile.take_in(&incoming(first), &[]).unwrap();
    let typed: Vec<_> =
        mine.iter().map(|one| (one.to.clone(), one.link.message_id, Content::Content(one.body.0.to_vec()))).collect();
    profile.enqueue(&typed, 77).unwrap();
    // Sealed at last at the time that the others see, after an attempt at another time.
    for time in [|_: &Received| 5_000, |one: &Received| one.timestamp] {
        let sealed: Vec<_> = mine.iter().map(|one| (one.link.message_id, time(one), "{}".to_owned())).collect();
        profile.store_sealed(&sealed).unwrap();
    }
    profile.take_in(&incoming(last), &[]).unwrap();
    profile.history(&name("bob"), None, 1_000).unwrap().into_iter().map(|entry| entry.message_id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn two_devices_show_the_same_order_whatever_came_first(
        times in proptest::collection::vec(proptest::collection::vec(0_u64..6, 0..6), 4),
        one in proptest::collection::vec(any::<u64>(), 1..20),
        other in proptest::collection::vec(any::<u64>(), 1..20),
    ) {
        let (first, second) = (tempdir().unwrap(), tempdir().unwrap());
        let chains = conversation(&times);
        let shown = screen(first.path(), 1, &chains, &one);
        prop_assert_eq!(&shown, &screen(second.path(), 2, &chains, &other));
        for chain in &chains {
            let places: Vec<_> =
                chain.iter().map(|one| shown.iter().position(|id| *id == one.link.message_id).unwrap()).collect();
            prop_assert!(places.is_sorted(), "a writer's words stay in their order");
        }
    }
}
