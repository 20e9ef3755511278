//! Leases, and where devices are connected.

use std::sync::Arc;
use std::time::Duration;

use super::{SLACK, World, device, node, two};
use crate::{Bus, ENTRY, LEASE, Place, Renewal};

async fn found(bus: &dyn Bus, number: u64) -> Option<Place> {
    bus.find(&[device(number)]).await.expect("an answer")[0]
}

fn at(bus: &dyn Bus, connection: u64) -> Option<Place> {
    Some(Place { node: bus.node(), connection })
}

/// Lets time go by while these nodes keep their leases.
async fn pass_with_leases(world: &dyn World, time: Duration, nodes: &[&Arc<dyn Bus>]) {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(LEASE / 3);
        world.pass(step).await;
        left -= step;
        for node in nodes {
            node.renew().await.expect("a lease");
        }
    }
}

/// [`Renewal::peers`], [`Renewal::held`].
pub async fn a_lease_shows_its_node_to_the_others(world: &dyn World) {
    let (a, b) = two(world).await;
    let c = world.node().await;
    let mut peers = vec![a.node(), b.node()];
    peers.sort_unstable();
    assert_eq!(c.renew().await.expect("a lease"), Renewal { peers, held: false });
    let renewal = c.renew().await.expect("a lease");
    assert!(renewal.held);
    assert!(!renewal.peers.contains(&c.node()), "a node is not its own peer");
}

/// "Renews this node's lease for LEASE".
pub async fn a_lease_ends_unless_it_is_renewed(world: &dyn World) {
    let (a, b) = two(world).await;
    pass_with_leases(world, LEASE * 2, &[&a]).await;
    let renewal = a.renew().await.expect("a lease");
    assert_eq!(renewal, Renewal { peers: vec![], held: true });
    let renewal = b.renew().await.expect("a lease");
    assert_eq!(renewal, Renewal { peers: vec![a.node()], held: false });
}

/// [`Bus::release`].
pub async fn a_lease_that_was_given_up_is_gone(world: &dyn World) {
    let (a, b) = two(world).await;
    b.enter(&device(1), 1).await.expect("entered");
    b.release().await.expect("released");
    assert_eq!(a.renew().await.expect("a lease").peers, []);
    assert_eq!(found(&*a, 1).await, None);
    assert!(!b.renew().await.expect("a lease").held);
}

/// [`Bus::find`].
pub async fn an_entry_is_found_by_all(world: &dyn World) {
    let (a, b) = two(world).await;
    assert_eq!(found(&*a, 1).await, None);
    assert_eq!(a.enter(&device(1), u64::MAX).await.expect("entered"), None);
    for bus in [&a, &b] {
        assert_eq!(found(&**bus, 1).await, at(&*a, u64::MAX));
    }
}

/// "one answer for each".
pub async fn what_is_asked_about_many_is_answered_in_their_order(world: &dyn World) {
    let (a, b) = two(world).await;
    a.enter(&device(1), 10).await.expect("entered");
    b.enter(&device(3), 30).await.expect("entered");
    let asked = [3, 2, 1, 3].map(device);
    assert_eq!(a.find(&asked).await.expect("an answer"), [at(&*b, 30), None, at(&*a, 10), at(&*b, 30)]);
    assert_eq!(a.find(&[]).await.expect("an answer"), []);
}

/// "in place of whatever is entered. Gives the place of the predecessor, if it is on another node".
pub async fn entering_gives_the_predecessor_on_another_node(world: &dyn World) {
    let (a, b) = two(world).await;
    a.enter(&device(1), 1).await.expect("entered");
    assert_eq!(a.enter(&device(1), 2).await.expect("entered"), None, "its own node knows");
    assert_eq!(b.enter(&device(1), 7).await.expect("entered"), at(&*a, 2));
    assert_eq!(found(&*a, 1).await, at(&*b, 7));
}

/// "if it is still this connection's (compare and delete)".
pub async fn leaving_takes_out_only_what_is_ones_own(world: &dyn World) {
    let (a, b) = two(world).await;
    a.enter(&device(1), 1).await.expect("entered");
    a.leave(&device(1), 2).await.expect("left");
    b.leave(&device(1), 1).await.expect("left");
    assert_eq!(found(&*b, 1).await, at(&*a, 1));
    a.leave(&device(1), 1).await.expect("left");
    assert_eq!(found(&*b, 1).await, None);
    a.leave(&device(1), 1).await.expect("leaving twice is no error");
}

/// "An entry counts while the lease of its node lives, and not a moment longer."
pub async fn an_entry_counts_while_its_nodes_lease_lives(world: &dyn World) {
    let (a, b) = two(world).await;
    b.enter(&device(1), 1).await.expect("entered");
    pass_with_leases(world, LEASE, &[&a]).await;
    assert_eq!(found(&*a, 1).await, None);
    assert_eq!(found(&*b, 1).await, None, "for its own node neither");
    assert_eq!(a.enter(&device(1), 2).await.expect("entered"), None, "the predecessor does not count");
}

/// "its entries counted for nobody meanwhile, and may be gone": where they are not, they count again.
pub async fn an_entry_counts_again_when_its_node_is_back(world: &dyn World) {
    let (a, b) = two(world).await;
    b.enter(&device(1), 1).await.expect("entered");
    world.pass(LEASE).await;
    assert!(!b.renew().await.expect("a lease").held);
    b.enter_again(&[(device(1), 1)]).await.expect("entered");
    assert_eq!(found(&*a, 1).await, at(&*b, 1));
}

/// [`ENTRY`].
pub async fn an_entry_ends_unless_it_is_entered_again(world: &dyn World) {
    let (a, b) = two(world).await;
    a.enter(&device(1), 1).await.expect("entered");
    a.enter(&device(2), 2).await.expect("entered");
    pass_with_leases(world, ENTRY - SLACK, &[&a, &b]).await;
    assert_eq!(found(&*b, 1).await, at(&*a, 1));
    assert_eq!(a.enter_again(&[(device(1), 1)]).await.expect("entered"), []);
    pass_with_leases(world, SLACK, &[&a, &b]).await;
    assert_eq!([found(&*b, 1).await, found(&*b, 2).await], [at(&*a, 1), None]);
}

/// "Where an entry of another node counts, that one stays. Gives the devices that another node keeps."
pub async fn an_entry_of_another_node_stays(world: &dyn World) {
    let (a, b) = two(world).await;
    b.enter(&device(2), 9).await.expect("entered");
    let lost = [1, 2, 3].map(|number| (device(number), number));
    assert_eq!(a.enter_again(&lost).await.expect("entered"), [device(2)]);
    let places = b.find(&[1, 2, 3].map(device)).await.expect("an answer");
    assert_eq!(places, [at(&*a, 1), at(&*b, 9), at(&*a, 3)]);
    assert_eq!(a.enter_again(&[]).await.expect("an answer"), []);
}

/// An entry that does not count does not stay.
pub async fn an_entry_of_a_dead_node_is_replaced(world: &dyn World) {
    let (a, b) = two(world).await;
    b.enter(&device(1), 9).await.expect("entered");
    pass_with_leases(world, LEASE, &[&a]).await;
    assert_eq!(a.enter_again(&[(device(1), 1)]).await.expect("entered"), []);
    b.renew().await.expect("a lease");
    assert_eq!(found(&*b, 1).await, at(&*a, 1));
}

/// "so does that of a later connection (a higher one) of this node".
pub async fn of_two_connections_of_a_node_the_later_one_stays(world: &dyn World) {
    let a = node(world).await;
    for (later, earlier) in [(10, 9), (u64::MAX, u64::MAX - 1)] {
        a.enter(&device(1), later).await.expect("entered");
        assert_eq!(a.enter_again(&[(device(1), earlier)]).await.expect("entered"), []);
        assert_eq!(found(&*a, 1).await, at(&*a, later));
        a.leave(&device(1), later).await.expect("left");
    }
    a.enter(&device(1), 9).await.expect("entered");
    a.enter_again(&[(device(1), 10)]).await.expect("entered");
    assert_eq!(found(&*a, 1).await, at(&*a, 10));
}

/// "the device's one", whoever else enters at the same time: of each two, one is the other's predecessor.
pub async fn of_many_who_enter_one_is_found(world: &dyn World) {
    let (a, b) = two(world).await;
    let enter = |bus: &Arc<dyn Bus>| {
        let bus = Arc::clone(bus);
        tokio::spawn(async move {
            let mut from_other = 0;
            for connection in 0..50 {
                let before = bus.enter(&device(1), connection).await.expect("entered");
                from_other += usize::from(before.is_some());
            }
            from_other
        })
    };
    let (first, second) = (enter(&a), enter(&b));
    let (first, second) = (first.await.expect("it ran"), second.await.expect("it ran"));
    assert!(first.abs_diff(second) <= 1, "who comes between the other's is told so: {first}, {second}");
    let last = found(&*a, 1).await;
    assert!(last == at(&*a, 49) || last == at(&*b, 49), "{last:?}");
}
