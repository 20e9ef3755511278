//! How long requests take, and which of them come to nothing: for whatever answers requests of a few kinds.

use std::{future::Future, time::Instant};

use sealwire_actors::metrics::{Histogram, LATENCIES, Label, Labelled, MICROS, Metric, Samples};

/// Requests of some kinds of operation, and their failures by kind.
#[derive(Debug)]
pub(crate) struct Requests<O, F> {
    /// One for each operation, in the order of [`Label::ALL`].
    seconds: Vec<Histogram>,
    failures: Labelled<F>,
    operations: std::marker::PhantomData<O>,
}

impl<O: Label, F: Label> Default for Requests<O, F> {
    fn default() -> Self {
        let seconds = O::ALL.iter().map(|_| Histogram::new(LATENCIES, MICROS)).collect();
        Self { seconds, failures: Labelled::default(), operations: std::marker::PhantomData }
    }
}

impl<O: Label + PartialEq, F: Label> Requests<O, F> {
    /// Says what was counted, under these metrics.
    pub(crate) fn observe(&self, seconds: Metric, errors: Metric, samples: &mut Samples) {
        for (operation, histogram) in O::ALL.iter().zip(&self.seconds) {
            samples.histogram(seconds, &[(O::NAME, operation.word())], histogram);
        }
        samples.labelled(errors, &self.failures);
    }

    /// Waits for an answer. `kind` says what a failure counts as; an answer that nobody waited for counts as `too_late`.
    pub(crate) async fn time<T, E>(
        &self,
        operation: O,
        answer: impl Future<Output = Result<T, E>>,
        kind: impl FnOnce(&E) -> F,
        too_late: F,
    ) -> Result<T, E> {
        let mut asked = Asked { requests: self, operation, since: Instant::now(), failure: Some(too_late) };
        let answer = answer.await;
        asked.failure = answer.as_ref().err().map(kind);
        answer
    }

    fn answered(&self, operation: O, since: Instant, failure: Option<F>) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Some(at) = O::ALL.iter().position(|other| *other == operation) {
            self.seconds[at].observe(micros);
        }
        if let Some(failure) = failure {
            self.failures.add(failure);
        }
    }
}

/// A request that is under way. Dropped before its answer, it came too late.
struct Asked<'a, O: Label + PartialEq, F: Label> {
    requests: &'a Requests<O, F>,
    operation: O,
    since: Instant,
    failure: Option<F>,
}

impl<O: Label + PartialEq, F: Label> Drop for Asked<'_, O, F> {
    fn drop(&mut self) {
        self.requests.answered(self.operation, self.since, self.failure);
    }
}
