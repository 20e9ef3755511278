//! When to come back after a connection has ended (protocol section 7).

use std::time::Duration;

use sealwire_protocol::CloseCode;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// The longest wait that a server's word is taken for, in milliseconds.
const LONGEST_ASKED: u64 = 60 * 60 * 1_000;

/// The wait that a server asks for, in milliseconds. A server that is wrong, or hostile, can name any number: no more
/// than an hour is believed, so that no sum of times overflows and nobody is sent away for ever.
pub fn asked(millis: u64) -> Duration {
    Duration::from_millis(millis.min(LONGEST_ASKED))
}

/// Full jitter over 1 s, doubling to 60 s.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// How long to wait before the next attempt: a share of the present ceiling, chosen by `random`.
    pub fn next(&mut self, random: u64) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.attempts.min(6)).min(LONGEST);
        self.attempts += 1;
        let millis = u64::try_from(ceiling.as_millis()).expect("a minute fits");
        Duration::from_millis(random % (millis + 1))
    }

    /// Starts over: the last attempt went well.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Whether a client comes back by itself after a close with this number; `None` is a connection that just broke.
pub fn comes_back(close: Option<u16>) -> bool {
    match close {
        None => true,
        Some(number) => CloseCode::from_number(number).map_or(!(4400..=4406).contains(&number), CloseCode::reconnect),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_from_one_second_to_a_minute() {
        let mut backoff = Backoff::default();
        let ceilings = [1, 2, 4, 8, 16, 32, 60, 60].map(|s| s * 1_000);
        for ceiling in ceilings {
            assert_eq!(backoff.clone().next(0), Duration::ZERO);
            assert_eq!(backoff.next(ceiling), Duration::from_millis(ceiling));
        }
        backoff.reset();
        assert_eq!(backoff.next(1_000), Duration::from_secs(1));
    }

    #[test]
    fn any_random_number_stays_below_the_ceiling() {
        let mut backoff = Backoff::default();
        for random in [0, 1, 1_001, u64::MAX] {
            assert!(backoff.next(random) <= LONGEST);
        }
        assert!(Backoff::default().next(u64::MAX) <= FIRST);
    }

    #[test]
    fn no_server_sends_anybody_away_for_more_than_an_hour() {
        assert_eq!(asked(7_000), Duration::from_secs(7));
        assert_eq!(asked(u64::MAX), Duration::from_secs(3_600));
    }

    #[test]
    fn closes_that_say_so_are_not_followed_by_a_reconnect() {
        for stay_away in [4400, 4401, 4402, 4403, 4406, 4409, 4426] {
            assert!(!comes_back(Some(stay_away)), "{stay_away}");
        }
        for come_back in [1000, 1001, 1012, 4407, 4408, 4410, 4429, 4999] {
            assert!(comes_back(Some(come_back)), "{come_back}");
        }
        assert!(comes_back(None));
    }
}
