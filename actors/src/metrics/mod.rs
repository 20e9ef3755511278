//! What the node counts, for operators: the closed list of its metrics, and the counters of the broker.
//!
//! A part counts where things happen, in a [`Counter`] of its own, and says what it has counted when it is asked
//! ([`Samples`]). Nothing here knows how metrics are served. No label's value ever comes from a peer: each is a word of an
//! enum ([`Label`]), so there is no user, no device and no message among them, and their number is bounded.

mod count;
mod labels;
mod list;
mod samples;

pub use count::{Counter, Histogram, Label, Labelled};
pub(crate) use labels::{FirstStatus, Limit, LogIn, Stored, StoredAs, Verified};
pub use list::{Kind, Metric};
pub use samples::{Sample, Samples, Value};

use sealwire_protocol::{CloseCode, ErrorCode};

use crate::session::Finished;

/// From half a millisecond to ten seconds, in microseconds: hand-over within one node takes about one, a commit some.
pub const LATENCIES: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
/// Sizes of batches and mailboxes.
pub(crate) const SIZES: &[u64] = &[0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
/// Microseconds are shown as seconds.
pub const MICROS: f64 = 1e-6;

/// What the sessions of the node count together.
pub(crate) struct SessionCounts {
    pub(crate) connections: Counter,
    pub(crate) closed: Labelled<CloseCode>,
    pub(crate) log_ins: Labelled<LogIn>,
    /// How much waited for each device that logged in.
    pub(crate) backlogs: Histogram,
    pub(crate) frames_received: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) frames_sent: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) errors: Labelled<ErrorCode>,
    pub(crate) limits: Labelled<Limit>,
    pub(crate) accepted: Counter,
    pub(crate) first_statuses: Labelled<FirstStatus>,
    pub(crate) delivered_after: Histogram,
    pub(crate) queued_after: Histogram,
}

impl Default for SessionCounts {
    fn default() -> Self {
        Self {
            connections: Counter::default(),
            closed: Labelled::default(),
            log_ins: Labelled::default(),
            backlogs: Histogram::new(SIZES, 1.0),
            frames_received: Counter::default(),
            bytes_received: Counter::default(),
            frames_sent: Counter::default(),
            bytes_sent: Counter::default(),
            errors: Labelled::default(),
            limits: Labelled::default(),
            accepted: Counter::default(),
            first_statuses: Labelled::default(),
            delivered_after: Histogram::new(LATENCIES, MICROS),
            queued_after: Histogram::new(LATENCIES, MICROS),
        }
    }
}

impl SessionCounts {
    /// Counts messages that have got their first status, or were refused after all, at `now` (microseconds).
    pub(crate) fn finished(&self, finished: impl Iterator<Item = Finished>, now: impl FnOnce() -> u64) {
        let mut finished = finished.peekable();
        if finished.peek().is_none() {
            return;
        }
        let now = now();
        for Finished { status, accepted } in finished {
            self.first_statuses.add(status);
            match status {
                FirstStatus::Delivered => self.delivered_after.observe(now.saturating_sub(accepted)),
                FirstStatus::Queued => self.queued_after.observe(now.saturating_sub(accepted)),
                FirstStatus::Refused => {}
            }
        }
    }

    /// Says what was counted.
    pub(crate) fn observe(&self, samples: &mut Samples) {
        samples.counter(Metric::ConnectionsOpened, &self.connections);
        samples.labelled(Metric::ConnectionsClosed, &self.closed);
        samples.labelled(Metric::LogIns, &self.log_ins);
        samples.histogram(Metric::MailboxAtLogIn, &[], &self.backlogs);
        samples.counter(Metric::FramesReceived, &self.frames_received);
        samples.counter(Metric::BytesReceived, &self.bytes_received);
        samples.counter(Metric::FramesSent, &self.frames_sent);
        samples.counter(Metric::BytesSent, &self.bytes_sent);
        samples.labelled(Metric::Errors, &self.errors);
        samples.labelled(Metric::LimitsHit, &self.limits);
        samples.counter(Metric::MessagesAccepted, &self.accepted);
        samples.labelled(Metric::Messages, &self.first_statuses);
        let status = |status: FirstStatus| [(FirstStatus::NAME, status.word())];
        samples.histogram(Metric::FirstStatus, &status(FirstStatus::Delivered), &self.delivered_after);
        samples.histogram(Metric::FirstStatus, &status(FirstStatus::Queued), &self.queued_after);
    }
}
