//! Rates, and the slots in which a new device and an old one meet.

use std::sync::Arc;
use std::time::Duration;

use super::{World, node, two};
use crate::{Bus, SharedRate, SlotPut};

/// Long against everything that a check does.
const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: u64 = 3_600_000;

fn rate(limit: u32) -> SharedRate {
    SharedRate { limit, period: HOUR }
}

async fn taken(bus: &dyn Bus, key: &str, limit: u32) -> Result<(), u64> {
    bus.count(key, rate(limit)).await.expect("an answer")
}

async fn put(bus: &dyn Bus, slot: u8, side: u8, most: usize) -> SlotPut {
    let data = vec![slot, side, bus.node().0.to_be_bytes()[7]];
    bus.put_slot(&[slot; 16], side, data.into(), HOUR, most).await.expect("an answer")
}

async fn side(bus: &dyn Bus, slot: u8, side: u8) -> Option<Vec<u8>> {
    bus.take_slot(&[slot; 16], side).await.expect("an answer").map(|data| data.to_vec())
}

/// "at most `limit` events in any stretch of `period`".
pub async fn no_stretch_holds_more_than_the_limit(world: &dyn World) {
    let a = node(world).await;
    assert_eq!(taken(&*a, "k", 2).await, Ok(()));
    world.pass(HOUR / 2).await;
    assert_eq!(taken(&*a, "k", 2).await, Ok(()));
    let wait = taken(&*a, "k", 2).await.expect_err("two were taken in half an hour");
    assert!(wait > 0 && wait <= HOUR_MS / 2, "{wait}");
    world.pass(HOUR / 2).await;
    assert_eq!(taken(&*a, "k", 2).await, Ok(()), "the first counts no more, and the one that was refused never did");
    let wait = taken(&*a, "k", 2).await.expect_err("the second counts still");
    assert!(wait > 0 && wait <= HOUR_MS / 2, "{wait}");
}

/// "A rate that holds over all nodes".
pub async fn a_rate_holds_over_all_nodes(world: &dyn World) {
    let (a, b) = two(world).await;
    assert_eq!((taken(&*a, "k", 2).await, taken(&*b, "k", 2).await), (Ok(()), Ok(())));
    assert!(taken(&*a, "k", 2).await.is_err() && taken(&*b, "k", 2).await.is_err());
    assert_eq!(taken(&*a, "k", 3).await, Ok(()), "the limit is that of the question");
}

/// "under a key".
pub async fn keys_count_by_themselves(world: &dyn World) {
    let a = node(world).await;
    for key in ["a", "b", "2001:db8::1", "with space", "\u{e9}\n*"] {
        assert_eq!(taken(&*a, key, 1).await, Ok(()), "{key}");
        assert!(taken(&*a, key, 1).await.is_err(), "{key}");
    }
}

/// However many ask at once.
pub async fn of_many_who_are_counted_no_more_than_the_limit_are(world: &dyn World) {
    let (a, b) = two(world).await;
    let ask = |bus: &Arc<dyn Bus>| {
        let bus = Arc::clone(bus);
        tokio::spawn(async move {
            let mut count = 0;
            for _ in 0..40 {
                count += usize::from(taken(&*bus, "k", 50).await.is_ok());
            }
            count
        })
    };
    let (first, second) = (ask(&a), ask(&b));
    assert_eq!(first.await.expect("it ran") + second.await.expect("it ran"), 50);
}

/// [`Bus::take_slot`].
pub async fn a_side_is_read_by_all_until_its_end(world: &dyn World) {
    let (a, b) = two(world).await;
    assert_eq!(side(&*a, 1, 0).await, None);
    assert_eq!(put(&*a, 1, 0, 9).await, SlotPut::Yes);
    for bus in [&a, &b, &a] {
        let data = side(&**bus, 1, 0).await.expect("it is there");
        assert_eq!(data, [1, 0, a.node().0.to_be_bytes()[7]]);
        assert_eq!((side(&**bus, 1, 1).await, side(&**bus, 2, 0).await), (None, None));
    }
    world.pass(HOUR).await;
    assert_eq!(side(&*b, 1, 0).await, None);
}

/// "if it is empty".
pub async fn a_side_is_filled_once(world: &dyn World) {
    let (a, b) = two(world).await;
    assert_eq!(put(&*a, 1, 0, 9).await, SlotPut::Yes);
    assert_eq!((put(&*b, 1, 0, 9).await, put(&*a, 1, 0, 9).await), (SlotPut::Filled, SlotPut::Filled));
    assert_eq!(put(&*b, 1, 1, 9).await, SlotPut::Yes);
    assert_eq!(side(&*b, 1, 0).await.map(|data| data[2]), Some(a.node().0.to_be_bytes()[7]), "nothing changed");
}

/// "there are fewer than `most` sides".
pub async fn there_are_no_more_sides_than_may_be(world: &dyn World) {
    let (a, b) = two(world).await;
    assert_eq!((put(&*a, 1, 0, 2).await, put(&*b, 1, 1, 2).await), (SlotPut::Yes, SlotPut::Yes));
    assert_eq!(put(&*a, 2, 0, 2).await, SlotPut::TooMany);
    assert_eq!(side(&*a, 2, 0).await, None);
    assert_eq!(put(&*a, 1, 0, 2).await, SlotPut::Filled, "this is told first");
    assert_eq!(put(&*a, 2, 0, 3).await, SlotPut::Yes);
}

/// "for so long".
pub async fn a_side_that_is_over_makes_room(world: &dyn World) {
    let a = node(world).await;
    assert_eq!(put(&*a, 1, 0, 1).await, SlotPut::Yes);
    assert_eq!(put(&*a, 2, 0, 1).await, SlotPut::TooMany);
    world.pass(HOUR).await;
    assert_eq!((put(&*a, 2, 0, 1).await, put(&*a, 1, 0, 2).await), (SlotPut::Yes, SlotPut::Yes));
}
