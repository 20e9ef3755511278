//! A line on standard error now and then, for whoever waits.

use std::time::{Duration, Instant};

use sealwire_store::Counts;

use super::in_words;

/// Between two lines. What is done sooner says nothing.
const PAUSE: Duration = Duration::from_secs(5);

/// Says how far a step has come.
pub(super) struct Progress {
    step: &'static str,
    last: Instant,
}

impl Progress {
    pub(super) fn of(step: &'static str) -> Self {
        Self { step, last: Instant::now() }
    }

    pub(super) fn report(&mut self, so_far: &Counts) {
        if self.last.elapsed() >= PAUSE {
            self.last = Instant::now();
            eprintln!("{}: {} so far", self.step, in_words(so_far));
        }
    }
}
