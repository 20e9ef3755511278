//! What a thread is told, and what it shows of itself while it works.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};

use crate::check::Fault;
use crate::histogram::Histogram;
use crate::sealed::Proof;
use crate::signers::Signed;
use crate::socket::Bell;

/// How fast is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// This many messages a second over all lines of the thread, whatever the server does; measured from the time when
    /// each was due.
    Open { per_second: f64 },
    /// On each line so many unanswered messages, and at most `each` in all.
    Closed { window: u32, each: u32 },
}

/// What a thread is to do next.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Connect these seats and log them in.
    Dial(Range<u32>),
    /// End the connections of these seats at once, as a network that breaks does.
    Cut(Range<u32>),
    /// Say goodbye for these seats once all that they wrote is answered.
    Goodbye(Range<u32>),
    /// Seal one in a thousand of the first so many messages of each line.
    Seal(u32),
    /// Write on these lines. Latencies count from this time on (nanoseconds since the run's beginning).
    Talk { lines: Range<u32>, pace: Pace, count_from: u64 },
    /// Write no more.
    Hush,
    /// Say that all orders before this one are carried out.
    Settle(SyncSender<()>),
    /// What is measured from here on belongs to the next chapter.
    NextChapter,
    /// Open what was sealed, and end.
    Leave,
}

/// What a thread hears of others.
pub(crate) struct Inbox {
    bell: Bell,
    mail: Mutex<Mail>,
}

/// What has come. Few orders are given, and each connection that is being opened has at most one signature.
#[derive(Default)]
pub(crate) struct Mail {
    pub(crate) orders: Vec<Order>,
    pub(crate) signed: Vec<Signed>,
}

impl Inbox {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { bell: Bell::new()?, mail: Mutex::default() })
    }

    /// Gives an order.
    pub(crate) fn order(&self, order: Order) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).orders.push(order);
        self.bell.ring();
    }

    /// Brings signatures.
    pub(crate) fn signed(&self, signed: Signed) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).signed.push(signed);
        self.bell.ring();
    }

    /// Takes all that has come.
    pub(crate) fn take(&self) -> Mail {
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Rings when something comes.
    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }
}

/// Running counts of a thread.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Sessions that are open.
    pub(crate) here: u64,
    /// Sessions that were opened, all in all.
    pub(crate) entered: u64,
    /// Mailboxes that the server has shown to be empty, all in all.
    pub(crate) emptied: u64,
    /// Connections that were given up before they were sessions.
    pub(crate) kept_out: u64,
    /// Sessions that ended by no wish of ours.
    pub(crate) dropped: u64,
    /// Attempts that the server has put off (HTTP 429 or 503, or `server_busy`).
    pub(crate) put_off: u64,
    /// Messages sent.
    pub(crate) sent: u64,
    /// Copies of them that are to come.
    pub(crate) copies: u64,
    /// Copies that came.
    pub(crate) arrived: u64,
    /// Of them those that had waited in a mailbox.
    pub(crate) fetched: u64,
    /// Copies that came again on a later connection.
    pub(crate) again: u64,
    /// Messages that got their first status.
    pub(crate) answered: u64,
    /// Of them those whose first status was `queued`.
    pub(crate) queued: u64,
    /// Messages that got an error instead.
    pub(crate) refused: u64,
    /// Copies and statuses that came after a refusal which allows that.
    pub(crate) unpromised: u64,
    /// Copies that are still to come.
    pub(crate) missing: u64,
    /// Messages that are still to be answered.
    pub(crate) unanswered: u64,
    /// Acknowledgements that were frames of their own.
    pub(crate) acks: u64,
    /// Breaches of the protocol.
    pub(crate) faults: u64,
}

impl Counts {
    const FIELDS: usize = 19;

    fn to_array(self) -> [u64; Self::FIELDS] {
        let Self { here, entered, emptied, kept_out, dropped, put_off, sent, copies, .. } = self;
        let Self {
            arrived,
            fetched,
            again,
            answered,
            queued,
            refused,
            unpromised,
            missing,
            unanswered,
            acks,
            faults,
            ..
        } = self;
        [
            here, entered, emptied, kept_out, dropped, put_off, sent, copies, arrived, fetched, again, answered,
            queued, refused, unpromised, missing, unanswered, acks, faults,
        ]
    }

    fn from_array(from: [u64; Self::FIELDS]) -> Self {
        let [here, entered, emptied, kept_out, dropped, put_off, sent, copies, rest @ ..] = from;
        let [arrived, fetched, again, answered, queued, refused, unpromised, missing, unanswered, acks, faults] = rest;
        Self {
            here,
            entered,
            emptied,
            kept_out,
            dropped,
            put_off,
            sent,
            copies,
            arrived,
            fetched,
            again,
            answered,
            queued,
            refused,
            unpromised,
            missing,
            unanswered,
            acks,
            faults,
        }
    }

    /// The sum of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        let (own, more) = (self.to_array(), other.to_array());
        Self::from_array(std::array::from_fn(|n| own[n] + more[n]))
    }

    /// What has come on top of an earlier count; what is open stays as it is.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let (own, less) = (self.to_array(), earlier.to_array());
        let Self { here, missing, unanswered, .. } = self;
        Self { here, missing, unanswered, ..Self::from_array(std::array::from_fn(|n| own[n].saturating_sub(less[n]))) }
    }

    /// Whether every message has come everywhere and is answered.
    pub(crate) fn all_done(&self) -> bool {
        self.missing == 0 && self.unanswered == 0
    }
}

/// A second of a thread's work.
pub(crate) struct Moment {
    /// Which one since the run's beginning.
    pub(crate) second: u64,
    pub(crate) counts: Counts,
    /// Latencies of the deliveries in it.
    pub(crate) delivery: Histogram,
}

/// What a thread shows while it works.
#[derive(Default)]
pub(crate) struct Gauge {
    counts: [AtomicU64; Counts::FIELDS],
    moments: Mutex<Vec<Moment>>,
}

impl Gauge {
    /// Shows the counts. They are for progress and for waiting; nobody concludes from one of them on another.
    pub(crate) fn show(&self, counts: Counts) {
        for (cell, count) in self.counts.iter().zip(counts.to_array()) {
            cell.store(count, Ordering::Relaxed);
        }
    }

    /// The counts as they were shown last.
    pub(crate) fn counts(&self) -> Counts {
        Counts::from_array(std::array::from_fn(|n| self.counts[n].load(Ordering::Relaxed)))
    }

    /// Shows a second that has passed. Whoever reports takes them out every second.
    pub(crate) fn passed(&self, moment: Moment) {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).push(moment);
    }

    /// Takes the seconds that have passed.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        std::mem::take(&mut *self.moments.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What was measured between two orders [`Order::NextChapter`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Chapter {
    /// From the time when a message was due until it came to a device.
    pub(crate) delivery: Histogram,
    /// Until its first status came.
    pub(crate) answer: Histogram,
}

/// What a thread has to say in the end.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) chapters: Vec<Chapter>,
    pub(crate) counts: Counts,
    pub(crate) lost: u64,
    pub(crate) unanswered: u64,
    pub(crate) faults: BTreeMap<Fault, u64>,
    /// Refusals by code, and ends of connections by reason.
    pub(crate) troubles: BTreeMap<String, u64>,
    /// Some breaches, one by one.
    pub(crate) examples: Vec<String>,
    pub(crate) proof: Proof,
}

impl Outcome {
    /// How many breaches are told one by one.
    pub(crate) const EXAMPLES: usize = 12;

    /// Adds what another thread has to say.
    pub(crate) fn merge(&mut self, other: Self) {
        self.chapters.resize_with(self.chapters.len().max(other.chapters.len()), Chapter::default);
        for (own, more) in self.chapters.iter_mut().zip(&other.chapters) {
            own.delivery.merge(&more.delivery);
            own.answer.merge(&more.answer);
        }
        self.counts = self.counts.plus(other.counts);
        self.lost += other.lost;
        self.unanswered += other.unanswered;
        other.faults.into_iter().for_each(|(fault, count)| *self.faults.entry(fault).or_default() += count);
        other.troubles.into_iter().for_each(|(what, count)| *self.troubles.entry(what).or_default() += count);
        self.examples.extend(other.examples);
        self.examples.truncate(Self::EXAMPLES);
        self.proof.sealed += other.proof.sealed;
        self.proof.opened += other.proof.opened;
        self.proof.failed.extend(other.proof.failed);
    }
}
