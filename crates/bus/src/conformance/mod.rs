//! What every bus must do, as checks that run on any of them.
//!
//! ```text
//! mod memory {
//!     sealwire_bus::conformance::suite!(MyWorld::new());
//! }
//! ```
//!
//! The expression is evaluated for each check and gives a [`World`] without nodes. Each check takes one sentence of the
//! contract of [`Bus`], which says what it means, and panics when the bus breaks it.

mod counts;
mod entries;
mod frames;
mod presence;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sealwire_protocol::{DeviceId, Username};

pub use self::counts::*;
pub use self::entries::*;
pub use self::frames::*;
pub use self::presence::*;
use crate::{Arrival, Bus, NodeId};

/// A bus, as the checks want it: its nodes, its faults, and its clock.
#[async_trait]
pub trait World: Send + Sync {
    /// Another node.
    async fn node(&self) -> Arc<dyn Bus>;

    /// Lets time go by on the bus's clock; a little more may.
    async fn pass(&self, time: Duration);

    /// Cuts a node off until [`World::link`].
    async fn cut(&self, node: NodeId);

    /// Lets a node be linked again.
    async fn link(&self, node: NodeId);
}

/// How much faster than it should a bus's clock may go during a check: a check ends within it, however slow the machine is.
pub const SLACK: Duration = Duration::from_secs(60);

fn device(number: u64) -> DeviceId {
    DeviceId::new_v7(number, [7; 10])
}

fn name(text: &str) -> Username {
    text.parse().expect("the check gives a good name")
}

fn text(number: usize) -> Bytes {
    Bytes::from(format!("frame {number}"))
}

/// Another node, which has been told that it is connected and holds a lease.
async fn node(world: &dyn World) -> Arc<dyn Bus> {
    let node = world.node().await;
    assert_eq!(node.next().await, Arrival::Connected, "the first arrival");
    node.renew().await.expect("a lease");
    node
}

async fn two(world: &dyn World) -> (Arc<dyn Bus>, Arc<dyn Bus>) {
    (node(world).await, node(world).await)
}

/// Waits until a node has been told this; frames that come before are passed over.
async fn until(node: &dyn Bus, wanted: Arrival) {
    while node.next().await != wanted {}
}

/// The next so many frames of one node, and whether there was a gap before or between them.
#[expect(clippy::panic, reason = "a check stops where it finds a breach")]
async fn hear(node: &dyn Bus, from: NodeId, count: usize) -> (Vec<Bytes>, bool) {
    let (mut heard, mut any) = (Vec::new(), false);
    while heard.len() < count {
        match node.next().await {
            Arrival::Frames { from: sender, gap, frames } if sender == from => {
                any |= gap;
                heard.extend(frames);
            }
            other => panic!("instead of frames of {from}: {other:?}"),
        }
    }
    assert_eq!(heard.len(), count, "more frames than were sent");
    (heard, any)
}

/// Sends one frame after the other, each until it has arrived; gives whether a gap was told with the first that did.
async fn get_through(from: &dyn Bus, to: &dyn Bus) -> bool {
    for number in 0.. {
        from.send(to.node(), text(number));
        let arrival = tokio::time::timeout(Duration::from_millis(200), to.next()).await;
        if let Ok(Arrival::Frames { gap, .. }) = arrival {
            return gap;
        }
    }
    unreachable!("the loop has no other end")
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_suite {
    ($world:expr) => {
        $crate::conformance_suite! {
            @check $world;
            each_node_is_another_one
            frames_arrive_in_their_order_and_once
            what_is_sent_to_one_node_no_other_hears
            both_ways_are_ways_of_their_own
            a_frame_for_nobody_harms_nothing
            a_frame_may_be_empty_or_large
            the_first_frames_of_a_node_carry_no_gap
            nothing_is_lost_when_a_wait_for_arrivals_is_given_up
            a_node_that_is_cut_off_is_told_so_and_told_when_it_is_over
            a_node_that_was_cut_off_is_told_of_a_gap_by_each_that_it_knows
            a_sender_that_was_cut_off_makes_a_gap
            what_was_missed_before_the_first_frame_is_a_gap
            a_node_that_is_cut_off_gets_no_answers
            a_lease_shows_its_node_to_the_others
            a_lease_ends_unless_it_is_renewed
            a_lease_that_was_given_up_is_gone
            an_entry_is_found_by_all
            what_is_asked_about_many_is_answered_in_their_order
            entering_gives_the_predecessor_on_another_node
            leaving_takes_out_only_what_is_ones_own
            an_entry_counts_while_its_nodes_lease_lives
            an_entry_counts_again_when_its_node_is_back
            an_entry_ends_unless_it_is_entered_again
            an_entry_of_another_node_stays
            an_entry_of_a_dead_node_is_replaced
            of_two_connections_of_a_node_the_later_one_stays
            of_many_who_enter_one_is_found
            whoever_watches_first_is_told_of_by_whoever_shows
            whoever_watches_later_is_told_who_shows
            what_is_shown_no_more_is_not_seen
            whoever_watches_no_more_is_not_told_of
            names_are_kept_apart
            what_a_dead_node_showed_or_watched_counts_no_more
            showing_and_watching_end_unless_they_are_said_again
            no_stretch_holds_more_than_the_limit
            a_rate_holds_over_all_nodes
            keys_count_by_themselves
            of_many_who_are_counted_no_more_than_the_limit_are
            a_side_is_read_by_all_until_its_end
            a_side_is_filled_once
            there_are_no_more_sides_than_may_be
            a_side_that_is_over_makes_room
        }
    };
    (@check $world:expr; $($check:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let world = $world;
                $crate::conformance::$check(&world).await;
            }
        )+
    };
}

/// Expands into a test for each check, given an expression that makes a [`World`].
pub use crate::conformance_suite as suite;
