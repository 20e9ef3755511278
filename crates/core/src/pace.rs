//! Sending no faster than the server's limits allow, as `session` names them (protocol sections 5 and 8). The limits are
//! informative: what this does not foresee is answered `rate_limited`.

use std::collections::VecDeque;

use sealwire_protocol::frames::SessionLimits;

const MINUTE: u64 = 60_000;
const SECOND: u64 = 1_000;

/// The messages that this process has sent of late.
#[derive(Debug, Default)]
pub struct Pace {
    per_minute: usize,
    per_second: usize,
    sent: VecDeque<u64>,
}

impl Pace {
    /// Takes over the limits of a session; 0 is no limit. A fifth of the frames is left for others than messages.
    pub fn set_limits(&mut self, limits: &SessionLimits) {
        self.per_minute = limits.messages_per_minute as usize;
        self.per_second = match limits.frames_per_second as usize {
            0 => 0,
            frames => (frames * 4 / 5).max(1),
        };
    }

    /// Counts a message as sent at `now` (milliseconds of a clock that does not go back).
    pub fn sent(&mut self, now: u64) {
        self.sent.push_back(now);
        let keep = self.per_minute.max(self.per_second);
        while self.sent.len() > keep {
            self.sent.pop_front();
        }
    }

    /// From when on the next message may be sent; in the past if now.
    pub fn next_at(&self) -> u64 {
        self.after(self.per_minute, MINUTE).max(self.after(self.per_second, SECOND))
    }

    fn after(&self, limit: usize, span: u64) -> u64 {
        if limit == 0 || self.sent.len() < limit {
            return 0;
        }
        self.sent[self.sent.len() - limit] + span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(messages_per_minute: u32, frames_per_second: u32) -> Pace {
        let mut pace = Pace::default();
        pace.set_limits(&SessionLimits {
            messages_per_minute,
            frames_per_second,
            frame_bytes: 0,
            window_messages: 0,
            mailbox_messages: 0,
            key_lookups_per_minute: 0,
        });
        pace
    }

    #[test]
    fn the_message_after_the_last_of_a_minute_waits_for_the_first_to_age() {
        let mut pace = pace(3, 0);
        for now in [100, 200, 300] {
            assert!(pace.next_at() <= now);
            pace.sent(now);
        }
        assert_eq!(pace.next_at(), 100 + MINUTE);
        pace.sent(100 + MINUTE);
        assert_eq!(pace.next_at(), 200 + MINUTE);
    }

    #[test]
    fn a_second_takes_four_fifths_of_the_frames() {
        let mut pace = pace(0, 10);
        (0..8).for_each(|_| pace.sent(50));
        assert_eq!(pace.next_at(), 50 + SECOND);
    }

    #[test]
    fn zero_is_no_limit_and_remembers_nothing() {
        let mut pace = pace(0, 0);
        (0..10_000).for_each(|_| pace.sent(1));
        assert_eq!((pace.next_at(), pace.sent.len()), (0, 0));
    }
}
