//! What every [`Storage`] must do, as tests. `sealwire_core::storage_conformance!` makes one of each, for a storage that the
//! caller opens.
//!
//! Wrap keys and people are not here: to make some takes private keys, which each storage keeps in its own way.

use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{Delivered, Keys, Status};
use sealwire_protocol::ids::{DeviceId, MessageId, Username};
use zeroize::Zeroizing;

use super::{Body, Content, Incoming, Received, Result, Storage};
use crate::chain::{Head, Link};
use crate::conversation::Standing;

/// A storage of the account `alice` that nothing was done with, and what a restart makes of it.
pub struct Fresh<S> {
    /// The storage.
    pub storage: S,
    /// Opens again what was stored.
    pub restart: Box<dyn FnMut(S) -> S>,
}

/// One test for each promise; `$fresh` gives a [`Fresh`].
#[macro_export]
macro_rules! storage_conformance {
    ($fresh:expr) => {
        $crate::storage_conformance!(@ $fresh;
            a_message_is_taken_in_once_and_known_for_ever
            a_batch_with_a_repeat_is_not_stored_at_all
            a_failure_leaves_no_replay_mark
            what_cannot_be_decided_on_is_kept_as_it_came
            neighbours_in_a_chain_are_found
            what_was_shown_is_not_given_again
            of_blocked_people_only_mark_and_place_are_kept
            places_in_a_chain_are_given_out_once_and_taken_back
            sealed_bytes_stay_until_the_first_status
            a_status_never_goes_back
            what_is_given_up_is_replaced_by_a_control
            whoever_is_written_to_is_accepted
            a_changed_key_is_kept_until_it_is_decided_on
            flags_are_kept_and_taken_away
        );
    };
    (@ $fresh:expr; $($name:ident)*) => {
        $(#[test]
        fn $name() {
            $crate::storage::conformance::$name($fresh);
        })*
    };
}

#[track_caller]
fn done<T>(result: Result<T>) -> T {
    result.expect("the storage under test works")
}

fn name(text: &str) -> Username {
    text.parse().expect("a name")
}

fn id(n: u8) -> MessageId {
    MessageId::new_v7(u64::from(n), [n; 10])
}

fn device() -> DeviceId {
    DeviceId::new_v7(9, [9; 10])
}

fn received(from: &str, link: Link) -> Received {
    Received {
        from: name(from),
        from_device: device(),
        to: name("alice"),
        link,
        timestamp: 1_000,
        is_content: true,
        body: Body(Zeroizing::new(b"words".to_vec())),
        from_removed_device: false,
    }
}

/// The first messages of bob's device to alice.
fn chain(n: u8) -> Vec<Received> {
    let mut head = Head::default();
    (1..=n).map(|n| received("bob", head.take(id(n)))).collect()
}

fn opened(received: &Received) -> Incoming {
    Incoming::Opened(Box::new(received.clone()))
}

fn delivered(from: &str) -> Delivered {
    Delivered {
        seq: 1,
        from: name(from),
        from_device: device(),
        message_id: id(1),
        to: name("alice"),
        encrypted_message: Blob(vec![1; 8]),
        iv: Array([2; 12]),
        timestamp: 5,
        signature: Blob(vec![3; 8]),
        suite: 1,
        recipients: Vec::new(),
        encrypted_key: Blob(vec![4; 8]),
    }
}

fn knows(storage: &impl Storage, from: &str, n: u8) -> bool {
    done(storage.has_seen(&name(from), &device(), &id(n)))
}

fn enqueue(storage: &mut impl Storage, ids: &[u8]) -> Vec<Link> {
    let message = |n: &u8| (name("bob"), id(*n), Content::Content(vec![*n]));
    done(storage.enqueue(&ids.iter().map(message).collect::<Vec<_>>(), 7))
}

/// A message is there after a restart, and its id stands for that name and device only.
pub fn a_message_is_taken_in_once_and_known_for_ever<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    let one = &chain(1)[0];
    assert!(!knows(&storage, "bob", 1));
    let taken = done(storage.take_in(&[opened(one)], &[]));
    assert!(taken.len() == 1 && !taken[0].silenced);
    let storage = restart(storage);
    assert!(knows(&storage, "bob", 1) && !knows(&storage, "carol", 1) && !knows(&storage, "bob", 2));
    assert_eq!(done(storage.unshown()), [(taken[0].position, one.clone())]);
}

/// A transaction is whole or not at all.
pub fn a_batch_with_a_repeat_is_not_stored_at_all<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    let chain = chain(2);
    done(storage.take_in(&[opened(&chain[0])], &[]));
    assert!(storage.take_in(&[opened(&chain[1]), opened(&chain[0])], &[]).is_err());
    assert!(storage.take_in(&[opened(&chain[1]), opened(&chain[1])], &[]).is_err(), "twice in the batch itself");
    let storage = restart(storage);
    assert!(!knows(&storage, "bob", 2));
    assert_eq!(done(storage.unshown()).len(), 1);
}

/// An envelope that does not open says nothing about a later one with its id.
pub fn a_failure_leaves_no_replay_mark<S: Storage>(fresh: Fresh<S>) {
    let mut storage = fresh.storage;
    let reason = "it did not hold".to_owned();
    let failed = Incoming::Failed { from: name("bob"), from_device: device(), message_id: id(1), timestamp: 1, reason };
    assert_eq!(done(storage.take_in(&[failed], &[])), []);
    assert!(!knows(&storage, "bob", 1) && done(storage.unshown()).is_empty());
}

/// Deferred envelopes come back after a restart, and go when they are decided on.
pub fn what_cannot_be_decided_on_is_kept_as_it_came<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    done(storage.take_in(&[Incoming::Deferred(Box::new(delivered("bob")))], &[]));
    done(storage.take_in(&[Incoming::Deferred(Box::new(delivered("carol")))], &[]));
    let mut storage = restart(storage);
    let waiting = done(storage.deferred());
    assert_eq!(
        waiting.iter().map(|(_, frame)| frame.clone()).collect::<Vec<_>>(),
        [delivered("bob"), delivered("carol")]
    );
    assert!(!knows(&storage, "bob", 1));
    done(storage.take_in(&[opened(&chain(1)[0])], &[waiting[0].0]));
    assert_eq!(done(storage.deferred()), waiting[1..]);
}

/// The places before and after, and of several messages at one place the first.
pub fn neighbours_in_a_chain_are_found<S: Storage>(fresh: Fresh<S>) {
    let mut storage = fresh.storage;
    let chain = chain(3);
    let twin = received("bob", Link { message_id: id(9), ..chain[1].link });
    done(storage.take_in(&[opened(&chain[0]), opened(&chain[1]), opened(&chain[2]), opened(&twin)], &[]));
    let around = |counter| done(storage.neighbours(&name("bob"), &device(), &name("alice"), counter));
    let middle = around(2);
    assert_eq!(middle.same, Some(id(2)));
    assert_eq!((middle.before, middle.after), (Some(chain[0].link), Some(chain[2].link)));
    assert_eq!((around(1).before, around(4).same, around(4).before), (None, None, Some(chain[2].link)));
    let stranger = done(storage.neighbours(&name("carol"), &device(), &name("alice"), 2));
    assert!(stranger.same.is_none() && stranger.before.is_none() && stranger.after.is_none());
}

/// Showing is remembered, and where the order on screen goes on.
pub fn what_was_shown_is_not_given_again<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    let chain = chain(2);
    let taken = done(storage.take_in(&[opened(&chain[0]), opened(&chain[1])], &[]));
    let next = |storage: &S| done(storage.next_to_show(&name("bob"), &device(), &name("alice")));
    assert_eq!(next(&storage), None);
    done(storage.mark_shown(&[taken[0].position]));
    let storage = restart(storage);
    assert_eq!(next(&storage), Some(2));
    assert_eq!(done(storage.unshown()), [(taken[1].position, chain[1].clone())]);
}

/// What a blocked person says is not kept; that they said something is.
pub fn of_blocked_people_only_mark_and_place_are_kept<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    done(storage.set_blocked(&name("bob"), true));
    let mut storage = restart(storage);
    let chain = chain(2);
    assert!(done(storage.take_in(&[opened(&chain[0])], &[]))[0].silenced);
    assert!(knows(&storage, "bob", 1));
    let unshown = done(storage.unshown());
    assert!(unshown.iter().all(|(_, one)| !one.is_content && one.body.0.is_empty()));
    done(storage.set_blocked(&name("bob"), false));
    assert!(!done(storage.take_in(&[opened(&chain[1])], &[]))[0].silenced);
    let before = done(storage.neighbours(&name("bob"), &device(), &name("alice"), 2)).before;
    assert_eq!(before, Some(chain[0].link));
}

/// Counters rise by one in each conversation, also over a restart; what never left this device gives its place back.
pub fn places_in_a_chain_are_given_out_once_and_taken_back<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    let first = enqueue(&mut storage, &[1, 2]);
    let mut storage = restart(storage);
    let third = enqueue(&mut storage, &[3])[0];
    assert_eq!((first[0].counter, first[1].counter, third.counter), (1, 2, 3));
    assert_eq!(third.previous, first[1].hash());
    done(storage.withdraw(&[id(3), id(2)]));
    let again = enqueue(&mut storage, &[4])[0];
    assert_eq!((again.counter, again.previous), (2, first[0].hash()));
    let ids: Vec<_> = done(storage.outbox()).into_iter().map(|(_, id, ..)| id).collect();
    assert_eq!(ids, [id(1), id(4)]);
}

/// The same bytes until the server has answered.
pub fn sealed_bytes_stay_until_the_first_status<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    let link = enqueue(&mut storage, &[1])[0];
    done(storage.store_sealed(&[(id(1), 8, "bytes".to_owned()), (id(7), 8, "of nobody".to_owned())]));
    let mut storage = restart(storage);
    assert_eq!(done(storage.outbox()), [(name("bob"), id(1), true, false)]);
    let outgoing = done(storage.outgoing(&id(1))).expect("it is in the outbox");
    assert_eq!((outgoing.link, outgoing.frame.as_deref()), (link, Some("bytes")));
    assert!(outgoing.content == Content::Content(vec![1]) && outgoing.to == name("bob"));
    assert_eq!(done(storage.settle(&[id(1)], Status::Queued)), [id(1)]);
    let storage = restart(storage);
    assert!(done(storage.outbox()).is_empty() && done(storage.outgoing(&id(1))).is_none());
}

/// What was delivered is neither over nor queued, whatever a server says late.
pub fn a_status_never_goes_back<S: Storage>(fresh: Fresh<S>) {
    let mut storage = fresh.storage;
    enqueue(&mut storage, &[1, 2]);
    assert_eq!(done(storage.settle(&[id(1), id(2)], Status::Queued)), [id(1), id(2)]);
    assert_eq!(done(storage.settle(&[id(1)], Status::Delivered)), [id(1)]);
    assert_eq!(done(storage.settle(&[id(1)], Status::Queued)), []);
    assert_eq!(done(storage.settle(&[id(1)], Status::Expired)), []);
    assert_eq!(done(storage.settle(&[id(2)], Status::Expired)), [id(2)]);
    assert_eq!(done(storage.settle(&[id(2)], Status::Queued)), []);
    assert_eq!(done(storage.settle(&[id(2)], Status::Delivered)), [id(2)]);
    assert_eq!(done(storage.settle(&[id(3)], Status::Queued)), [], "it was never sent");
}

/// Its id and counter stay taken, by something that says nothing.
pub fn what_is_given_up_is_replaced_by_a_control<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    let link = enqueue(&mut storage, &[1])[0];
    done(storage.store_sealed(&[(id(1), 8, "bytes".to_owned())]));
    done(storage.replace(&id(1)));
    let mut storage = restart(storage);
    assert_eq!(done(storage.outbox()), [(name("bob"), id(1), false, true)]);
    let outgoing = done(storage.outgoing(&id(1))).expect("its place is still to be filled");
    assert!(outgoing.content == Content::EmptyControl && outgoing.link == link && outgoing.frame.is_none());
    done(storage.drop_outgoing(&id(1)));
    assert!(done(storage.outbox()).is_empty());
}

/// Writing to somebody is wanting to hear of them, on whatever device.
pub fn whoever_is_written_to_is_accepted<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    let standing = |storage: &S, who: &str| done(storage.contact(&name(who))).standing;
    done(storage.take_in(&[opened(&chain(1)[0])], &[]));
    assert_eq!(standing(&storage, "bob"), Standing::Request);
    enqueue(&mut storage, &[1]);
    let elsewhere = Received { to: name("carol"), ..received("alice", Head::default().take(id(5))) };
    done(storage.take_in(&[opened(&elsewhere)], &[]));
    let storage = restart(storage);
    assert_eq!((standing(&storage, "bob"), standing(&storage, "carol")), (Standing::Accepted, Standing::Accepted));
    assert_eq!(standing(&storage, "dave"), Standing::Request);
}

/// A refusal survives a restart.
pub fn a_changed_key_is_kept_until_it_is_decided_on<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    let (aik, manifests, devices) = (Blob(vec![1; 4]), Vec::new(), Vec::new());
    let shown = Keys { id: None, username: name("bob"), aik, manifests, more: false, devices };
    done(storage.set_changed_key(&name("bob"), &shown));
    let mut storage = restart(storage);
    assert_eq!(done(storage.changed_key(&name("bob"))), Some(shown));
    assert!(done(storage.contact(&name("bob"))).changed_key);
    assert_eq!(done(storage.changed_people()), [name("bob")]);
    done(storage.forget_changed_key(&name("bob")));
    let storage = restart(storage);
    assert!(done(storage.changed_people()).is_empty() && done(storage.changed_key(&name("bob"))).is_none());
}

/// Small decisions are remembered.
pub fn flags_are_kept_and_taken_away<S: Storage>(fresh: Fresh<S>) {
    let Fresh { mut storage, mut restart } = fresh;
    assert_eq!(done(storage.flag("x")), None);
    done(storage.set_flag("x", Some(false)));
    let mut storage = restart(storage);
    assert_eq!((done(storage.flag("x")), done(storage.flag("y"))), (Some(false), None));
    done(storage.set_flag("x", None));
    assert_eq!(done(restart(storage).flag("x")), None);
}
