//! A server that reorders, drops, repeats and holds back.

use sealwire_client::Event;
use sealwire_tests::hostile::{Act, Side, World};
use serde_json::json;

#[tokio::test]
async fn messages_that_arrive_in_another_order_are_shown_in_the_order_of_writing() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    alice.delivers(&bob, "one").await;
    bob.hears(&[("alice", "one")]).await;

    let mut held = Vec::new();
    world.proxy.on(Side::Server, "message", move |passing| {
        held.push(passing.frame.clone());
        if held.len() == 3 { held.drain(..).rev().map(Act::On).collect() } else { Vec::new() }
    });
    for text in ["two", "three", "four"] {
        alice.says(&bob, text).await;
    }
    bob.hears(&[("alice", "two"), ("alice", "three"), ("alice", "four")]).await;
    assert!(!bob.told.iter().any(|event| matches!(event, Event::Missing { .. })), "nothing is missing");
}

#[tokio::test]
async fn a_message_that_is_dropped_leaves_a_gap_that_is_shown() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    alice.delivers(&bob, "one").await;
    bob.hears(&[("alice", "one")]).await;

    world.proxy.on(Side::Server, "message", |_| Vec::new());
    alice.says(&bob, "two").await;
    let dropped = world.proxy.seen("the second", |seen| seen.side == Side::Server && seen.frame["seq"] == 2).await;
    world.proxy.be_honest();
    alice.says(&bob, "three").await;

    let gap = bob.until("the gap", |event| matches!(event, Event::Missing { .. } | Event::Message(_))).await;
    assert!(
        matches!(&gap, Event::Missing { from, counters, .. } if *from == alice.name && *counters == (2..=2)),
        "{gap:?}"
    );
    bob.hears(&[("alice", "three")]).await;

    // It was only late: it is still theirs, and is shown.
    world.proxy.deliver("bob", &dropped.frame).await;
    bob.hears(&[("alice", "two")]).await;
}

#[tokio::test]
async fn what_is_swallowed_and_called_delivered_is_missed_with_the_next_message() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    alice.delivers(&bob, "one").await;
    bob.hears(&[("alice", "one")]).await;

    world.proxy.on(Side::Client, "message", |passing| {
        let status =
            json!({ "type": "status", "status": "delivered", "messageIds": [passing.frame["messageId"]], "at": 1 });
        vec![Act::Back(status)]
    });
    alice.delivers(&bob, "swallowed").await;
    assert_eq!(bob.messages(), 1, "silence looks like silence");
    world.proxy.be_honest();
    alice.says(&bob, "three").await;
    let gap = bob.until("the gap", |event| matches!(event, Event::Missing { .. } | Event::Message(_))).await;
    assert!(matches!(&gap, Event::Missing { counters, .. } if *counters == (2..=2)), "{gap:?}");
    bob.hears(&[("alice", "three")]).await;
}

#[tokio::test]
async fn a_message_that_comes_again_is_shown_once_also_after_a_restart() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    world.proxy.on(Side::Server, "message", |passing| vec![Act::On(passing.frame.clone()); 3]);
    alice.delivers(&bob, "one").await;
    bob.hears(&[("alice", "one")]).await;
    world.proxy.be_honest();

    let again =
        world.proxy.seen("the message", |seen| seen.side == Side::Server && seen.frame["type"] == "message").await;
    world.proxy.deliver("bob", &again.frame).await;
    let mut bob = bob.restarted().await;
    world.proxy.deliver("bob", &again.frame).await;
    alice.delivers(&bob, "two").await;
    bob.hears(&[("alice", "two")]).await;
    assert_eq!((bob.messages(), bob.unreadable(), bob.alarms()), (2, vec![], vec![]));
}

#[tokio::test]
async fn a_repeat_that_follows_at_once_is_acknowledged_like_the_first() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    world.proxy.on(Side::Server, "message", |passing| vec![Act::On(passing.frame.clone()); 2]);
    alice.delivers(&bob, "one").await;
    bob.hears(&[("alice", "one")]).await;
    // Were the repeat left unacknowledged, the device's window would fill.
    world
        .proxy
        .seen("an acknowledgement of both", |seen| {
            seen.who == "bob" && seen.frame["type"] == "ack" && seen.frame["seq"] == 2
        })
        .await;
}

#[tokio::test]
async fn a_server_that_never_says_that_the_backlog_is_over_holds_nothing_up() {
    let world = World::start().await;
    world.proxy.on(Side::Server, "queue", |_| Vec::new());
    let (alice, mut bob) = world.two().await;
    alice.delivers(&bob, "one").await;
    bob.hears(&[("alice", "one")]).await;
    let mut bob = bob.restarted().await;
    alice.delivers(&bob, "two").await;
    bob.hears(&[("alice", "two")]).await;
}

#[tokio::test]
async fn a_server_that_answers_nothing_loses_nothing_that_was_typed() {
    let world = World::start().await;
    let (alice, mut bob) = world.two().await;
    world.proxy.on(Side::Client, "message", |_| Vec::new());
    alice.says(&bob, "one").await;
    world.proxy.seen("the message", |seen| seen.side == Side::Client && seen.frame["type"] == "message").await;
    let alice = alice.restarted().await;
    world.proxy.be_honest();
    world.proxy.close("alice", 1012).await;
    bob.hears(&[("alice", "one")]).await;
    alice.delivers(&bob, "two").await;
    bob.hears(&[("alice", "two")]).await;
}
