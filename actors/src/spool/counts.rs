//! What the spool counts.

use std::sync::atomic::{AtomicBool, Ordering};

use sealwire_store::{Appended, BatchOutcome};

use super::Work;
use crate::metrics::{Counter, Histogram, Labelled, Metric, SIZES, Samples, Stored, StoredAs};

/// Counters of the spool.
pub(crate) struct SpoolCounts {
    pub(super) causes: Labelled<Stored>,
    pub(super) appends: Labelled<StoredAs>,
    removals: Counter,
    entries: Histogram,
    failed: Counter,
    last_failed: AtomicBool,
}

impl Default for SpoolCounts {
    fn default() -> Self {
        Self {
            causes: Labelled::default(),
            appends: Labelled::default(),
            removals: Counter::default(),
            entries: Histogram::new(SIZES, 1.0),
            failed: Counter::default(),
            last_failed: AtomicBool::new(false),
        }
    }
}

impl SpoolCounts {
    /// A commit was made.
    pub(super) fn committed(&self, work: &Work, outcome: &BatchOutcome) {
        self.last_failed.store(false, Ordering::Relaxed);
        self.entries.observe(work.len() as u64);
        self.removals.add(work.removals.len() as u64);
        for appended in &outcome.appended {
            self.appends.add(match appended {
                Appended::Stored => StoredAs::New,
                Appended::Repeat(_) => StoredAs::Known,
                Appended::Failed => StoredAs::Failed,
            });
        }
    }

    /// A commit was not made, as far as is known.
    pub(super) fn not_committed(&self, work: &Work) {
        self.last_failed.store(true, Ordering::Relaxed);
        self.failed.add_one();
        self.appends.add_many(StoredAs::Failed, work.appends.len() as u64);
    }

    /// Whether the last commit was not made.
    pub(super) fn last_failed(&self) -> bool {
        self.last_failed.load(Ordering::Relaxed)
    }

    pub(super) fn observe(&self, samples: &mut Samples) {
        samples.labelled(Metric::CopiesStored, &self.causes);
        samples.labelled(Metric::SpoolAppends, &self.appends);
        samples.counter(Metric::SpoolRemovals, &self.removals);
        samples.histogram(Metric::CommitEntries, &[], &self.entries);
        samples.counter(Metric::CommitsFailed, &self.failed);
    }
}
