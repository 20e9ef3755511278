//! Frames from node to node.

use std::collections::HashSet;
use std::pin::pin;

use bytes::Bytes;
use futures_util::FutureExt;

use super::{World, get_through, hear, node, text, two, until};
use crate::{Arrival, NodeId};

/// [`Bus::node`](crate::Bus::node).
pub async fn each_node_is_another_one(world: &dyn World) {
    let nodes = [node(world).await, node(world).await, node(world).await];
    assert_eq!(nodes.iter().map(|node| node.node()).collect::<HashSet<_>>().len(), 3);
}

/// "arrive in the order in which they were sent, each at most once"; without a fault, all do, and there is no gap.
pub async fn frames_arrive_in_their_order_and_once(world: &dyn World) {
    let (a, b) = two(world).await;
    for number in 0..1000 {
        assert!(a.send(b.node(), text(number)), "{number}");
    }
    let (heard, gap) = hear(&*b, a.node(), 1000).await;
    assert_eq!(heard, (0..1000).map(text).collect::<Vec<_>>());
    assert!(!gap);
}

/// "Queues a frame for a node."
pub async fn what_is_sent_to_one_node_no_other_hears(world: &dyn World) {
    let (a, b) = two(world).await;
    let c = node(world).await;
    assert!(a.send(b.node(), text(1)) && a.send(c.node(), text(2)) && a.send(b.node(), text(3)));
    assert_eq!(hear(&*b, a.node(), 2).await.0, [text(1), text(3)]);
    assert_eq!(hear(&*c, a.node(), 1).await.0, [text(2)]);
}

/// "from one node to another".
pub async fn both_ways_are_ways_of_their_own(world: &dyn World) {
    let (a, b) = two(world).await;
    assert!(a.send(b.node(), text(1)));
    assert_eq!(hear(&*b, a.node(), 1).await, (vec![text(1)], false));
    assert!(b.send(a.node(), text(2)) && b.send(a.node(), text(3)));
    assert_eq!(hear(&*a, b.node(), 2).await, (vec![text(2), text(3)], false));
}

/// "True promises nothing."
pub async fn a_frame_for_nobody_harms_nothing(world: &dyn World) {
    let (a, b) = two(world).await;
    a.send(NodeId(u64::MAX), text(1));
    assert!(a.send(b.node(), text(2)));
    assert_eq!(hear(&*b, a.node(), 1).await, (vec![text(2)], false));
}

/// "As they were given to send".
pub async fn a_frame_may_be_empty_or_large(world: &dyn World) {
    let (a, b) = two(world).await;
    let frames = [Bytes::new(), vec![7; 300_000].into(), Bytes::new(), vec![0; 2].into()];
    for frame in &frames {
        assert!(a.send(b.node(), frame.clone()));
    }
    assert_eq!(hear(&*b, a.node(), frames.len()).await.0, frames);
}

/// "The first frames of a node that this one has never heard of carry no gap when they are the first".
pub async fn the_first_frames_of_a_node_carry_no_gap(world: &dyn World) {
    let (a, b) = two(world).await;
    assert!(a.send(b.node(), text(1)));
    assert!(!hear(&*b, a.node(), 1).await.1);
    let later = node(world).await;
    assert!(later.send(b.node(), text(2)) && a.send(later.node(), text(3)));
    assert!(!hear(&*b, later.node(), 1).await.1);
    assert!(!hear(&*later, a.node(), 1).await.1);
}

/// "Nothing is lost when the future is dropped."
pub async fn nothing_is_lost_when_a_wait_for_arrivals_is_given_up(world: &dyn World) {
    let (a, b) = two(world).await;
    let mut heard = Vec::new();
    for number in 0..200 {
        assert!(a.send(b.node(), text(number)));
        // Begun, and dropped unless the arrival was there at the first look.
        if let Some(Arrival::Frames { frames, gap: false, .. }) = pin!(b.next()).now_or_never() {
            heard.extend(frames);
        }
    }
    let missing = 200 - heard.len();
    heard.extend(hear(&*b, a.node(), missing).await.0);
    assert_eq!(heard, (0..200).map(text).collect::<Vec<_>>());
}

/// "The node hears nothing until Connected"; and then it does.
pub async fn a_node_that_is_cut_off_is_told_so_and_told_when_it_is_over(world: &dyn World) {
    let (a, b) = two(world).await;
    world.cut(b.node()).await;
    assert_eq!(b.next().await, Arrival::Disconnected);
    assert!(!b.send(a.node(), text(1)), "nothing is connected");
    world.link(b.node()).await;
    assert_eq!(b.next().await, Arrival::Connected);
    assert!(a.send(b.node(), text(2)));
    assert_eq!(hear(&*b, a.node(), 1).await.0, [text(2)]);
}

/// "whenever [...] the hearer has been cut off since the last ones"; and only once.
pub async fn a_node_that_was_cut_off_is_told_of_a_gap_by_each_that_it_knows(world: &dyn World) {
    let (a, b) = two(world).await;
    let c = node(world).await;
    for sender in [&a, &c] {
        assert!(sender.send(b.node(), text(1)));
        hear(&*b, sender.node(), 1).await;
    }
    world.cut(b.node()).await;
    until(&*b, Arrival::Disconnected).await;
    world.link(b.node()).await;
    until(&*b, Arrival::Connected).await;
    for sender in [&a, &c] {
        assert!(get_through(&**sender, &*b).await, "nothing was sent meanwhile, but this one cannot know");
        assert!(sender.send(b.node(), text(3)));
        assert!(!hear(&*b, sender.node(), 1).await.1, "told once");
    }
}

/// "whenever the sender [...] has been cut off since the last ones".
pub async fn a_sender_that_was_cut_off_makes_a_gap(world: &dyn World) {
    let (a, b) = two(world).await;
    assert!(a.send(b.node(), text(1)));
    assert!(!hear(&*b, a.node(), 1).await.1);
    world.cut(a.node()).await;
    until(&*a, Arrival::Disconnected).await;
    world.link(a.node()).await;
    until(&*a, Arrival::Connected).await;
    assert!(get_through(&*a, &*b).await);
}

/// "What is missing before some is told with them", also when they are the first that arrive.
pub async fn what_was_missed_before_the_first_frame_is_a_gap(world: &dyn World) {
    let (a, b) = two(world).await;
    world.cut(b.node()).await;
    until(&*b, Arrival::Disconnected).await;
    assert!(a.send(b.node(), text(1)));
    // What another node hears after it shows that it has left the sender.
    let c = node(world).await;
    assert!(a.send(c.node(), text(2)));
    hear(&*c, a.node(), 1).await;
    world.link(b.node()).await;
    until(&*b, Arrival::Connected).await;
    assert!(get_through(&*a, &*b).await);
}

/// "Each method [...] gives up within a time limit of its own".
pub async fn a_node_that_is_cut_off_gets_no_answers(world: &dyn World) {
    let (a, b) = two(world).await;
    world.cut(b.node()).await;
    until(&*b, Arrival::Disconnected).await;
    assert!(b.renew().await.is_err());
    assert!(b.find(&[super::device(1)]).await.is_err());
    assert!(a.renew().await.is_ok(), "the others do");
}
