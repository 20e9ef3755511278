//! A person with several devices sees the same conversation on all of them, in the same order, with real clients: whoever is
//! away, for however long, whoever joins, and whatever is killed. And nothing that was typed is lost.

#![expect(clippy::panic, reason = "a test: it fails by panicking")]

#[path = "two_devices/device.rs"]
mod device;
#[path = "two_devices/typed.rs"]
mod typed;

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sealwire_protocol::signed::chain;
use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Identity, Stranger, Writing, now};
use tempfile::TempDir;

use crate::device::{Device, Said, until_sent};

const HOUR: u64 = 60 * 60 * 1_000;

/// What a device that has all of it since it came shows of the same conversation: the others of `all` in their order.
fn since(all: &[Said], joined: &[Said]) -> Vec<Said> {
    let first = all.iter().position(|said| joined.contains(said)).expect("it has seen something");
    all[first..].to_vec()
}

#[tokio::test]
async fn both_devices_see_what_either_has_written_as_their_own_and_in_one_order() {
    let server = Server::with(NO_LIMITS).start().await;
    let home = TempDir::new().expect("a directory");
    let (alice, bob) = (Identity::new("alice"), Identity::new("bob"));
    let alice = Device::register(&server, home.path(), &alice).await;
    let second = bob.sibling(1);
    let bob = Device::register(&server, home.path(), &bob).await;
    let bob2 = Device::link(&server, home.path(), &bob, &second).await;

    let mut said = Vec::new();
    for round in 0..4 {
        for (who, to) in [(&alice, "bob"), (&bob, "alice"), (&bob2, "alice")] {
            said.push(who.say(to, &format!("{} in round {round}", who.id())).await);
        }
    }
    let ids = until_sent(said).await;
    for device in [&alice, &bob, &bob2] {
        device.has(&ids).await;
    }
    let (on_one, on_the_other) = (bob.history("alice").await, bob2.history("alice").await);
    assert_eq!(on_one.len(), 12);
    assert_eq!(on_one, on_the_other);
    assert_eq!(on_one.iter().filter(|said| said.own).count(), 8);
    let as_alice_sees_it: Vec<_> = on_one.into_iter().map(|said| Said { own: !said.own, ..said }).collect();
    assert_eq!(alice.history("bob").await, as_alice_sees_it);
}

/// Alice's clock says when she wrote: six days ago, and so on until now; once it went back.
#[tokio::test]
async fn a_device_that_was_away_for_days_sees_what_the_other_one_has_seen() {
    let server = Server::with(NO_LIMITS).start().await;
    let home = TempDir::new().expect("a directory");
    let (alice, first) = (Arc::new(Identity::new("alice")), Identity::new("bob"));
    let second = first.sibling(1);
    let bob = Device::register(&server, home.path(), &first).await;
    let mut bob2 = Device::link(&server, home.path(), &bob, &second).await;
    let mut alice: Stranger = server.register_as(alice, Default::default()).await;
    bob2.leave().await;

    let who = alice.who.clone();
    let manifests = [who.hash(&who.first_manifest()), bob.newest_manifest().await];
    let (mut previous, mut ids) = ([0; 32], Vec::new());
    for (counter, hours_ago) in (1..).zip([144, 120, 121, 72, 48, 24, 1, 0]) {
        let timestamp = now() - hours_ago * HOUR;
        let writing = Writing { from: &who, to: &[&first, &second], timestamp, manifests, counter, previous };
        let (id, frame) = writing.sealed(&format!("{hours_ago} hours ago"));
        alice.send_frame(&frame).await;
        previous = chain(&previous, counter, &id);
        ids.push(id);
    }
    bob.has(&ids).await;
    ids.extend(until_sent(vec![bob.say("alice", "at last").await]).await);

    bob2.come_back().await;
    bob2.has(&ids).await;
    let (on_one, on_the_other) = (bob.history("alice").await, bob2.history("alice").await);
    assert_eq!(on_one, on_the_other);
    assert_eq!(
        on_one.iter().map(|said| said.id).collect::<Vec<_>>(),
        ids,
        "as they were written, whatever the clock said"
    );
}

/// They start many servers, or many clients: one of these tests at a time.
mod heavy {
    use super::*;

    /// How many rounds there are, and how many messages in each.
    const ROUNDS: usize = 6;
    const ROUND: usize = 8;

    #[tokio::test]
    async fn all_devices_see_one_conversation_whoever_is_away_or_joins_and_whenever_the_server_is_killed() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut choice = StdRng::seed_from_u64(seed);
        let mut server = Server::with(NO_LIMITS).start().await;
        let home = TempDir::new().expect("a directory");
        let bob = Identity::new("bob");
        let siblings = [bob.sibling(1), bob.sibling(2)];
        let alice = Device::register(&server, home.path(), &Identity::new("alice")).await;
        let bob = Device::register(&server, home.path(), &bob).await;
        let mut bob2 = Device::link(&server, home.path(), &bob, &siblings[0]).await;
        let mut bob3 = None;
        let mut all = Vec::new();
        for round in 0..ROUNDS {
            if round == ROUNDS / 2 {
                bob3 = Some(Device::link(&server, home.path(), &bob, &siblings[1]).await);
            }
            let is_away = round % 2 == 1;
            if is_away {
                bob2.leave().await;
            }
            // Dead from one message to a later one; what is written meanwhile waits in the clients.
            let death = choice.random_range(0..ROUND);
            let birth = choice.random_range(death..ROUND);
            let mut said = Vec::new();
            for n in 0..ROUND {
                if n == death {
                    server.kill().await;
                }
                let (who, to) = match choice.random_range(0..3) {
                    0 => (&bob, "alice"),
                    1 if !is_away => (&bob2, "alice"),
                    _ => (&alice, "bob"),
                };
                said.push(who.say(to, &format!("message {n} of round {round}")).await);
                if n == birth {
                    server.restart().await;
                }
            }
            all.extend(until_sent(said).await);
            if is_away {
                bob2.come_back().await;
            }
            for device in [&alice, &bob, &bob2] {
                device.has(&all).await;
            }
        }
        let seen = bob.history("alice").await;
        assert_eq!(seen.len(), ROUNDS * ROUND, "seed {seed}");
        assert_eq!(bob2.history("alice").await, seen, "seed {seed}");
        let bob3 = bob3.expect("it has joined");
        bob3.has(&all[ROUNDS / 2 * ROUND..]).await;
        let joined = bob3.history("alice").await;
        assert_eq!(joined.len(), ROUNDS / 2 * ROUND, "seed {seed}");
        assert_eq!(joined, since(&seen, &joined), "seed {seed}");
        let as_alice_sees_it: Vec<_> = seen.into_iter().map(|said| Said { own: !said.own, ..said }).collect();
        assert_eq!(alice.history("bob").await, as_alice_sees_it, "seed {seed}");
    }
}
