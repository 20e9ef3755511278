//! What "now" is: the local clock corrected by the server's `serverTime` (protocol section 4, step 4).

/// The difference between the server's clock and the local one.
///
/// Times are milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Correction {
    millis: i64,
}

impl Correction {
    /// Takes over a `serverTime` that arrived when the local clock showed `local`.
    pub fn observe(&mut self, server_time: u64, local: u64) {
        let difference = i128::from(server_time) - i128::from(local);
        self.millis = i64::try_from(difference).unwrap_or(0);
    }

    /// The corrected time when the local clock shows `local`.
    pub fn now(&self, local: u64) -> u64 {
        local.saturating_add_signed(self.millis)
    }

    /// How far the local clock is behind the server's, in milliseconds; negative when it is ahead.
    pub fn behind(&self) -> i64 {
        self.millis
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_corrected_by_what_the_server_says() {
        let mut clock = Correction::default();
        assert_eq!(clock.now(5_000), 5_000);
        clock.observe(90_000, 30_000);
        assert_eq!((clock.now(31_000), clock.behind()), (91_000, 60_000));
        clock.observe(30_000, 90_000);
        assert_eq!((clock.now(91_000), clock.behind()), (31_000, -60_000));
    }

    #[test]
    fn an_absurd_server_time_changes_nothing() {
        let mut clock = Correction::default();
        clock.observe(u64::MAX, 0);
        assert_eq!(clock.now(7), 7);
    }
}
