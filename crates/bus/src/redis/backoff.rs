//! When a lost link is tried again. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(2);

/// At once for the first time, then after a time that doubles up to [`MOST`], of which a random part up to a half is left out:
/// the nodes of a cluster lose the same server in the same moment.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// How long to wait before the next try; `random` is any number.
    pub(super) fn wait(&mut self, random: u32) -> Duration {
        self.tries = self.tries.saturating_add(1);
        if self.tries == 1 {
            return Duration::ZERO;
        }
        let whole = (FIRST * 2_u32.pow((self.tries - 2).min(6))).min(MOST);
        whole - whole.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
    }

    /// A link has lasted for so long: one that lasts is lost by itself the next time.
    pub(super) fn lasted(&mut self, time: Duration) {
        if time >= MOST {
            self.tries = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(backoff: &mut Backoff, random: u32) -> Vec<u128> {
        (0..9).map(|_| backoff.wait(random).as_millis()).collect()
    }

    #[test]
    fn the_first_try_is_at_once_and_the_rest_take_ever_longer_up_to_two_seconds() {
        assert_eq!(waits(&mut Backoff::default(), 0), [0, 50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(waits(&mut Backoff::default(), u32::MAX), [0, 25, 50, 100, 200, 400, 800, 1000, 1000]);
        let mut late = Backoff { tries: u32::MAX - 1 };
        assert_eq!(waits(&mut late, 0), [2000; 9]);
    }

    #[test]
    fn only_a_link_that_lasts_makes_the_next_try_a_first_one() {
        let mut backoff = Backoff::default();
        waits(&mut backoff, 0);
        backoff.lasted(Duration::from_millis(1999));
        assert_eq!(backoff.wait(0), MOST);
        backoff.lasted(MOST);
        assert_eq!(backoff.wait(0), Duration::ZERO);
    }
}
