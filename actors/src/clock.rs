//! Time for the broker: one reading serves a whole turn.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Now {
    /// Milliseconds since 1970; may jump.
    pub(crate) wall: u64,
    /// Milliseconds since the node started; never goes back.
    pub(crate) mono: u64,
}

impl Now {
    /// The monotonic time this much later.
    pub(crate) fn after(self, duration: Duration) -> u64 {
        self.mono.saturating_add(millis(duration))
    }
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The node's clocks, and the source of ordering keys.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    last_order: AtomicU64,
    /// How far the store's clock is ahead of the node's, in milliseconds.
    ahead: AtomicI64,
    /// How far a test has moved the monotonic clock, in milliseconds.
    #[cfg(test)]
    moved: AtomicU64,
    #[cfg(test)]
    sleepers: tokio::sync::Notify,
}

impl Clock {
    /// A clock whose ordering keys rise above `highest_order`, so that new mail sorts behind what is stored even if
    /// the wall clock was set back meanwhile.
    pub(crate) fn new(highest_order: u64) -> Self {
        Self {
            started: Instant::now(),
            last_order: AtomicU64::new(highest_order),
            ahead: AtomicI64::new(0),
            #[cfg(test)]
            moved: AtomicU64::new(0),
            #[cfg(test)]
            sleepers: tokio::sync::Notify::new(),
        }
    }

    /// Reads the clocks.
    pub(crate) fn now(&self) -> Now {
        Now { wall: millis(self.wall()), mono: millis(self.started.elapsed()) + self.moved() }
    }

    #[cfg(not(test))]
    fn moved(&self) -> u64 {
        0
    }

    #[cfg(test)]
    fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Moves the monotonic clock on, and with it who sleeps by it.
    #[cfg(test)]
    pub(crate) fn advance(&self, millis: u64) {
        self.moved.fetch_add(millis, Ordering::Relaxed);
        self.sleepers.notify_waiters();
    }

    /// Sleeps by this clock.
    #[cfg(test)]
    pub(crate) async fn sleep(&self, duration: Duration) {
        let due = self.now().after(duration);
        loop {
            let moved = self.sleepers.notified();
            if self.now().mono >= due {
                return;
            }
            moved.await;
        }
    }

    /// Sleeps by this clock.
    #[cfg(not(test))]
    pub(crate) async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// What comes within a time, by this clock.
    pub(crate) async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            come = future => Some(come),
            () = self.sleep(limit) => None,
        }
    }

    /// The time since 1970, by the store's clock as far as it is known.
    fn wall(&self) -> Duration {
        let own = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ahead = self.ahead.load(Ordering::Relaxed);
        let by = Duration::from_millis(ahead.unsigned_abs());
        if ahead < 0 { own.saturating_sub(by) } else { own.saturating_add(by) }
    }

    /// The store's clock showed this (milliseconds since 1970) at some time between this reading and now. From here on all
    /// nodes that share the store go by its clock: otherwise mail from a node that is ahead would sort behind later mail from
    /// another one, and a device that moves between them would find its own time wrong. Gives how far that moves the clock,
    /// in milliseconds.
    pub(crate) fn set(&self, store: u64, asked: Now) -> u64 {
        let halfway = asked.wall.midpoint(self.now().wall);
        let off = i64::try_from(store).unwrap_or(0).saturating_sub(i64::try_from(halfway).unwrap_or(0));
        self.ahead.fetch_add(off, Ordering::Relaxed);
        off.unsigned_abs()
    }

    /// Microseconds since the node started; never goes back. For measuring what takes less than a millisecond.
    pub(crate) fn micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The next ordering key: microseconds since 1970 where that rises, else one more than the last.
    pub(crate) fn next_order(&self) -> u64 {
        let micros = u64::try_from(self.wall().as_micros()).unwrap_or(0);
        let next = |last: u64| Some(micros.max(last + 1));
        match self.last_order.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(last) | Err(last) => micros.max(last + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_set_by_the_stores() {
        let clock = Clock::new(0);
        let asked = clock.now();
        let store = asked.wall + 600_000;
        assert!(clock.set(store, asked) > 590_000);
        assert!(clock.now().wall >= store && clock.next_order() >= store * 1_000);
        let asked = clock.now();
        clock.set(asked.wall - 900_000, asked);
        assert!(clock.now().wall < store - 200_000);
    }

    #[test]
    fn ordering_keys_rise_whatever_the_wall_clock_says() {
        let far_ahead = u64::MAX / 2;
        let clock = Clock::new(far_ahead);
        let keys: Vec<u64> = (0..100).map(|_| clock.next_order()).collect();
        assert!(keys[0] > far_ahead && keys.is_sorted_by(|a, b| a < b));
    }
}
