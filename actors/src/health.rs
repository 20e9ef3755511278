//! Whether the node can do its work: what `/readyz` says.
//!
//! Readiness decides who comes, not who stays: a node that is not ready is given no new connections, and keeps those that
//! it has. So a node is not ready when whoever comes would find nothing here and perhaps something elsewhere:
//!
//! * while it drains;
//! * when the store has been silent for so long that it is no mere election of a new primary. Nobody can log in without the
//!   store. Were the node ready all the same, a load balancer that prefers the server with the fewest connections would send
//!   everybody to just this one. Where all nodes have lost the store, nothing is lost by this either: no node could let anybody
//!   in. People who are connected go on handing over to each other, as long as the load balancer leaves them alone.
//!
//! Anything less is told as degraded, and the node stays ready: a node without its link to the others serves whoever comes,
//! through the store.

use std::time::Duration;

/// How often the store is asked for its health at most, in milliseconds, however often strangers ask.
const ASKED_EVERY: u64 = 1_000;
/// After how many milliseconds without an answer the store counts as silent. It may still answer later.
const SLOW: u64 = 1_000;
/// How long whoever asks for the node's health waits for the store.
pub(crate) const PATIENCE: Duration = Duration::from_millis(SLOW);

/// The state of the node and of what it depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// It is about to go.
    pub draining: bool,
    /// Its store.
    pub store: StoreHealth,
    /// Its link to other nodes; `None` where it is alone.
    pub bus: Option<BusHealth>,
    /// Whether new connections should come here.
    pub ready: bool,
}

/// The state of the link to the other nodes. Without it people of one node reach each other directly, and others through the
/// store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusHealth {
    /// The node counts for the others.
    Linked,
    /// It hears them, and does not count yet, or no more.
    NoLease,
    /// It does not hear them.
    Cut,
}

/// The state of the store as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreHealth {
    /// It answers.
    Answers,
    /// It answers, and did not make the last commit that it was given.
    RefusesCommits,
    /// It has not answered for so long.
    Silent(Duration),
}

impl Health {
    /// Judges: ready up to a silence of the store of `gone`.
    pub(crate) fn new(draining: bool, store: StoreHealth, bus: Option<BusHealth>, gone: Duration) -> Self {
        let silent = matches!(store, StoreHealth::Silent(time) if time >= gone);
        Self { draining, store, bus, ready: !draining && !silent }
    }

    /// Whether something that it depends on is not as it should be.
    pub fn is_degraded(&self) -> bool {
        self.store != StoreHealth::Answers || self.bus.is_some_and(|bus| bus != BusHealth::Linked)
    }
}

/// What is known of the store's answers; times in milliseconds on the monotonic clock. It has answered at the start.
#[derive(Debug, Default)]
pub(crate) struct StoreRecord {
    asked: Option<u64>,
    /// When it was asked first of what it has not answered yet.
    waiting: Option<u64>,
    silent_since: Option<u64>,
    decided: Option<u64>,
}

impl StoreRecord {
    /// Whether it is time to ask, which is then noted.
    pub(crate) fn ask(&mut self, now: u64) -> bool {
        let due = self.asked.is_none_or(|asked| now >= asked.saturating_add(ASKED_EVERY));
        if due {
            self.asked = Some(now);
            self.waiting.get_or_insert(now);
        }
        due
    }

    /// What was asked at `asked` has been answered, or never will be. An answer that was overtaken says nothing.
    pub(crate) fn answered(&mut self, asked: u64, answers: bool) {
        if self.decided.is_some_and(|decided| decided > asked) {
            return;
        }
        self.decided = Some(asked);
        self.waiting = None;
        self.silent_since = if answers { None } else { Some(self.silent_since.unwrap_or(asked)) };
    }

    /// How long it has been silent; `None` while it answers.
    pub(crate) fn silent_for(&self, now: u64) -> Option<Duration> {
        let slow = self.waiting.filter(|since| now.saturating_sub(*since) >= SLOW);
        let since = self.silent_since.or(slow)?;
        Some(Duration::from_millis(now.saturating_sub(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Option<Duration> {
        Some(Duration::from_millis(milliseconds))
    }

    #[test]
    fn the_store_is_asked_at_most_once_a_second() {
        let mut record = StoreRecord::default();
        let asked: Vec<u64> = (0..=2_500).filter(|now| record.ask(*now)).collect();
        assert_eq!(asked, [0, 1_000, 2_000]);
    }

    #[test]
    fn silence_is_counted_from_the_first_question_that_was_not_answered() {
        let mut record = StoreRecord::default();
        assert_eq!(record.silent_for(5), None);
        record.ask(10);
        record.answered(10, false);
        record.ask(1_010);
        record.answered(1_010, false);
        assert_eq!(record.silent_for(2_010), ms(2_000));
        record.ask(2_010);
        record.answered(2_010, true);
        assert_eq!(record.silent_for(2_011), None);
    }

    #[test]
    fn an_answer_that_is_late_counts_as_silence_until_it_comes() {
        let mut record = StoreRecord::default();
        record.ask(0);
        assert_eq!((record.silent_for(999), record.silent_for(1_000)), (None, ms(1_000)));
        record.ask(1_000);
        record.answered(0, true);
        assert_eq!(record.silent_for(1_500), None);
    }

    #[test]
    fn an_answer_that_was_overtaken_says_nothing() {
        let mut record = StoreRecord::default();
        record.ask(0);
        record.ask(1_000);
        record.answered(1_000, true);
        record.answered(0, false);
        assert_eq!(record.silent_for(2_000), None);
    }

    #[test]
    fn a_node_is_not_ready_while_it_drains_or_when_the_store_has_long_been_silent() {
        let gone = Duration::from_secs(15);
        let silent = |milliseconds| StoreHealth::Silent(Duration::from_millis(milliseconds));
        let seen = |draining, store, bus| {
            let health = Health::new(draining, store, bus, gone);
            (health.ready, health.is_degraded())
        };
        assert_eq!(seen(false, StoreHealth::Answers, None), (true, false));
        assert_eq!(seen(true, StoreHealth::Answers, None), (false, false));
        assert_eq!(seen(false, StoreHealth::RefusesCommits, None), (true, true));
        assert_eq!(seen(false, silent(14_999), None), (true, true));
        assert_eq!(seen(false, silent(15_000), None), (false, true));
        for (bus, degraded) in [(BusHealth::Linked, false), (BusHealth::NoLease, true), (BusHealth::Cut, true)] {
            assert_eq!(seen(false, StoreHealth::Answers, Some(bus)), (true, degraded));
        }
    }
}
