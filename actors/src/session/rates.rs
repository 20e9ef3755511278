//! Counting what a peer does in a stretch of time.

use std::collections::VecDeque;

/// How long the limits of protocol section 8 look back, in milliseconds.
pub(crate) const MINUTE: u64 = 60_000;

/// At most `limit` events in any stretch of `period` milliseconds; exact. A limit of 0 is none.
///
/// Holds one time for each event of the last period, so at most `limit` of them.
#[derive(Debug)]
pub(crate) struct Rate {
    limit: usize,
    period: u64,
    times: VecDeque<u64>,
}

impl Rate {
    pub(crate) fn new(limit: u32, period: u64) -> Self {
        Self { limit: limit as usize, period, times: VecDeque::new() }
    }

    /// Counts an event at `now` (monotonic milliseconds).
    ///
    /// # Errors
    /// Milliseconds until one would be taken; this one is not counted.
    pub(crate) fn take(&mut self, now: u64) -> Result<(), u64> {
        if self.limit == 0 {
            return Ok(());
        }
        self.forget(now);
        match self.times.front() {
            Some(oldest) if self.times.len() >= self.limit => Err(oldest + self.period - now),
            _ => {
                self.times.push_back(now);
                Ok(())
            }
        }
    }

    /// Drops what is too old to count. True when nothing is left.
    pub(crate) fn forget(&mut self, now: u64) -> bool {
        while self.times.front().is_some_and(|time| time + self.period <= now) {
            self.times.pop_front();
        }
        if self.times.is_empty() {
            self.times.shrink_to(0);
        }
        self.times.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stretch_holds_more_than_the_limit() {
        let mut rate = Rate::new(2, 100);
        assert_eq!((rate.take(0), rate.take(60)), (Ok(()), Ok(())));
        assert_eq!(rate.take(70), Err(30));
        assert_eq!(rate.take(99), Err(1));
        assert_eq!(rate.take(100), Ok(()));
        assert_eq!(rate.take(159), Err(1));
        assert_eq!(rate.take(160), Ok(()));
    }

    #[test]
    fn zero_is_no_limit() {
        let mut rate = Rate::new(0, 100);
        assert!((0..10_000).all(|_| rate.take(5).is_ok()) && rate.times.is_empty());
    }
}
