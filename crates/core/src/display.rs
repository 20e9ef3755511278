//! In which order messages are shown: by counter, whatever a failure did on the way (protocol section 6). A gap waits
//! five seconds, then it is marked.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// How long a gap is waited for, in milliseconds.
pub const GAP_WAIT: u64 = 5_000;

/// The messages of one sending device in one conversation that have not been shown.
#[derive(Debug)]
pub struct Display<M> {
    next: Option<u64>,
    waiting: BTreeMap<u64, Vec<M>>,
    gap_since: Option<u64>,
}

/// What is to be shown next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown<M> {
    /// A message.
    Message(M),
    /// Messages with these counters may be missing.
    Gap(RangeInclusive<u64>),
}

impl<M> Display<M> {
    /// `next` is the counter after the highest that was ever shown. Without one, the first that arrives starts.
    pub fn new(next: Option<u64>) -> Self {
        Self { next, waiting: BTreeMap::new(), gap_since: None }
    }

    /// Whether anything waits to be shown.
    pub fn has_any(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a message in.
    pub fn arrived(&mut self, counter: u64, message: M) {
        self.waiting.entry(counter).or_default().push(message);
    }

    /// What can be shown now (`now` is any clock in milliseconds that does not go back). Each is given once.
    pub fn ready(&mut self, now: u64) -> Vec<Shown<M>> {
        let mut shown = Vec::new();
        while let Some(counter) = self.first_waiting() {
            let next = *self.next.get_or_insert(counter);
            if counter > next {
                let since = *self.gap_since.get_or_insert(now);
                if now < since.saturating_add(GAP_WAIT) {
                    return shown;
                }
                shown.push(Shown::Gap(next..=counter - 1));
            }
            let messages = self.waiting.remove(&counter).unwrap_or_default();
            shown.extend(messages.into_iter().map(Shown::Message));
            // What comes after its gap was marked is shown late, and moves nothing back.
            self.next = Some(next.max(counter.saturating_add(1)));
            self.gap_since = None;
        }
        shown
    }

    /// When to look again, if nothing else happens.
    pub fn wake_at(&self) -> Option<u64> {
        self.gap_since.map(|since| since.saturating_add(GAP_WAIT))
    }

    fn first_waiting(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(counter, _)| *counter)
    }
}

#[cfg(test)]
mod tests {
    use super::Shown::{Gap, Message};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_counter_that_is_seen_starts_the_record() {
        let mut display = Display::new(None);
        display.arrived(7, 'g');
        assert_eq!(display.ready(0), [Message('g')]);
    }

    #[test]
    fn a_gap_waits_five_seconds_then_is_marked() {
        let mut display = Display::new(Some(1));
        display.arrived(3, 'c');
        assert_eq!(display.ready(1_000), []);
        assert_eq!(display.wake_at(), Some(6_000));
        assert_eq!(display.ready(5_999), []);
        assert_eq!(display.ready(6_000), [Gap(1..=2), Message('c')]);
        assert_eq!(display.wake_at(), None);
    }

    #[test]
    fn a_gap_that_is_filled_in_time_leaves_no_mark() {
        let mut display = Display::new(Some(1));
        display.arrived(2, 'b');
        assert_eq!(display.ready(0), []);
        display.arrived(1, 'a');
        assert_eq!(display.ready(4_000), [Message('a'), Message('b')]);
        assert_eq!(display.wake_at(), None);
    }

    #[test]
    fn what_comes_after_the_mark_is_shown_late() {
        let mut display = Display::new(Some(1));
        display.arrived(2, 'b');
        display.ready(0);
        display.ready(GAP_WAIT);
        display.arrived(1, 'a');
        assert_eq!(display.ready(GAP_WAIT), [Message('a')]);
        display.arrived(3, 'c');
        assert_eq!(display.ready(GAP_WAIT), [Message('c')]);
    }

    #[test]
    fn two_messages_of_a_forked_chain_are_both_shown() {
        let mut display = Display::new(Some(1));
        display.arrived(1, 'a');
        display.arrived(1, 'x');
        assert_eq!(display.ready(0), [Message('a'), Message('x')]);
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_arrival_all_are_shown_in_order_each_once(
            order in Just(Vec::from_iter(1_u64..=30)).prop_shuffle()
        ) {
            let mut display = Display::new(Some(1));
            let mut shown = Vec::new();
            for counter in order {
                display.arrived(counter, counter);
                shown.extend(display.ready(0));
            }
            prop_assert_eq!(shown, (1..=30).map(Message).collect::<Vec<_>>());
        }
    }
}
