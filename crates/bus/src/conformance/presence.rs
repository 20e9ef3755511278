//! Who can be seen where, and who watches.

use super::{SLACK, World, name, node, two};
use crate::{ENTRY, LEASE, NodeId};

const NOBODY: [NodeId; 0] = [];

/// [`Bus::show`](crate::Bus::show).
pub async fn whoever_watches_first_is_told_of_by_whoever_shows(world: &dyn World) {
    let (a, b) = two(world).await;
    let alice = name("alice");
    assert_eq!(b.watch(&alice, true).await.expect("an answer"), NOBODY);
    assert_eq!(a.show(&alice, true).await.expect("an answer"), [b.node()]);
    assert_eq!(b.show(&alice, true).await.expect("an answer"), NOBODY, "only the others");
    assert_eq!(a.show(&alice, false).await.expect("an answer"), [b.node()]);
}

/// [`Bus::watch`](crate::Bus::watch).
pub async fn whoever_watches_later_is_told_who_shows(world: &dyn World) {
    let (a, b) = two(world).await;
    let c = node(world).await;
    let alice = name("alice");
    for bus in [&a, &b] {
        bus.show(&alice, true).await.expect("an answer");
    }
    let mut nodes = [a.node(), b.node()];
    nodes.sort_unstable();
    assert_eq!(c.watch(&alice, true).await.expect("an answer"), nodes);
    assert_eq!(a.watch(&alice, true).await.expect("an answer"), [b.node()], "only the others");
}

/// "Says whether".
pub async fn what_is_shown_no_more_is_not_seen(world: &dyn World) {
    let (a, b) = two(world).await;
    let alice = name("alice");
    a.show(&alice, true).await.expect("an answer");
    a.show(&alice, false).await.expect("an answer");
    assert_eq!(b.watch(&alice, true).await.expect("an answer"), NOBODY);
    assert_eq!(a.show(&alice, false).await.expect("saying it twice is no error"), [b.node()]);
}

/// "Says whether".
pub async fn whoever_watches_no_more_is_not_told_of(world: &dyn World) {
    let (a, b) = two(world).await;
    let alice = name("alice");
    b.watch(&alice, true).await.expect("an answer");
    assert_eq!(b.watch(&alice, false).await.expect("an answer"), NOBODY);
    assert_eq!(a.show(&alice, true).await.expect("an answer"), NOBODY);
    assert_eq!(b.watch(&alice, false).await.expect("saying it twice is no error"), [a.node()]);
}

/// "watches a name".
pub async fn names_are_kept_apart(world: &dyn World) {
    let (a, b) = two(world).await;
    b.watch(&name("alice"), true).await.expect("an answer");
    b.show(&name("alice"), true).await.expect("an answer");
    assert_eq!(a.show(&name("bob"), true).await.expect("an answer"), NOBODY);
    assert_eq!(a.watch(&name("bob"), true).await.expect("an answer"), NOBODY);
}

/// "An entry counts while the lease of its node lives".
pub async fn what_a_dead_node_showed_or_watched_counts_no_more(world: &dyn World) {
    let (a, b) = two(world).await;
    let (alice, bob) = (name("alice"), name("bob"));
    b.watch(&alice, true).await.expect("an answer");
    b.show(&bob, true).await.expect("an answer");
    world.pass(LEASE).await;
    a.renew().await.expect("a lease");
    assert_eq!(a.show(&alice, true).await.expect("an answer"), NOBODY);
    assert_eq!(a.watch(&bob, true).await.expect("an answer"), NOBODY);
}

/// [`ENTRY`].
pub async fn showing_and_watching_end_unless_they_are_said_again(world: &dyn World) {
    let (a, b) = two(world).await;
    let (alice, bob) = (name("alice"), name("bob"));
    for said in [&alice, &bob] {
        b.watch(said, true).await.expect("an answer");
        b.show(said, true).await.expect("an answer");
    }
    world.pass(ENTRY - SLACK).await;
    b.watch(&alice, true).await.expect("an answer");
    b.show(&alice, true).await.expect("an answer");
    world.pass(SLACK).await;
    b.renew().await.expect("a lease");
    assert_eq!(a.show(&alice, true).await.expect("an answer"), [b.node()]);
    assert_eq!(a.watch(&alice, true).await.expect("an answer"), [b.node()]);
    assert_eq!(a.show(&bob, true).await.expect("an answer"), NOBODY);
    assert_eq!(a.watch(&bob, true).await.expect("an answer"), NOBODY);
}
