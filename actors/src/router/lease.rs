//! Whether this node counts for the others, as it must judge by its own clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Now, millis};

/// How long after its last renewal this node counts its lease as lost: well before the others do, so that no moment is left
/// in which both hand over.
const HELD: Duration = Duration::from_secs(10);

/// The lease of this node, as sessions look at it in every turn.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    /// When it was renewed last, on the monotonic clock; 0 before the first time and once it is lost.
    renewed: AtomicU64,
    /// Rises whenever it is lost.
    losses: AtomicU64,
}

impl Lease {
    /// It was renewed by a request that began at this time; true when it was not held until now.
    pub(crate) fn renew(&self, asked: Now) -> bool {
        self.renewed.swap(asked.mono.max(1), Ordering::AcqRel) == 0
    }

    /// It is not held any more. True when it was until now.
    pub(crate) fn lose(&self) -> bool {
        let was_held = self.renewed.swap(0, Ordering::AcqRel) != 0;
        if was_held {
            self.losses.fetch_add(1, Ordering::AcqRel);
        }
        was_held
    }

    /// Whether it is held now. When that is found not to be so for the first time, it is lost.
    pub(crate) fn is_held(&self, now: Now) -> bool {
        let renewed = self.renewed.load(Ordering::Acquire);
        if renewed == 0 {
            return false;
        }
        let held = now.mono.saturating_sub(renewed) <= millis(HELD);
        if !held && self.renewed.compare_exchange(renewed, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.losses.fetch_add(1, Ordering::AcqRel);
        }
        held
    }

    /// How often it was lost so far, now included.
    pub(crate) fn losses(&self, now: Now) -> u64 {
        self.is_held(now);
        self.losses.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono: u64) -> Now {
        Now { wall: 0, mono }
    }

    #[test]
    fn a_lease_is_lost_ten_seconds_after_its_last_renewal_and_once() {
        let lease = Lease::default();
        assert!(!lease.is_held(at(5)) && lease.losses(at(5)) == 0);
        assert!(lease.renew(at(1_000)) && !lease.renew(at(6_000)));
        assert_eq!((lease.losses(at(16_000)), lease.is_held(at(16_000))), (0, true));
        assert_eq!((lease.losses(at(16_001)), lease.is_held(at(16_001)), lease.losses(at(17_000))), (1, false, 1));
        assert!(lease.renew(at(18_000)) && lease.is_held(at(18_000)));
        assert!(lease.lose() && !lease.lose());
        assert_eq!(lease.losses(at(18_000)), 2);
    }
}
