//! What was promised and what was shown, and what follows from it: a checker in the manner of Jepsen's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// From whom to whom.
pub(crate) type Pair = (usize, usize);

#[derive(Debug, Default)]
struct Conversation {
    /// When each was sent first. Numbers rise.
    sent: BTreeMap<u64, Instant>,
    promised: BTreeSet<u64>,
    /// Refused with an error: the client makes a new message of what it says.
    refused: BTreeSet<u64>,
    /// In the order of the first arrival.
    shown: Vec<u64>,
    arrivals: u64,
}

#[derive(Debug)]
struct State {
    began: Instant,
    conversations: HashMap<Pair, Conversation>,
    last_shown: Option<Instant>,
    silence: Duration,
    worst: Duration,
}

/// Everything that the clients have seen.
#[derive(Debug)]
pub(crate) struct Record(Mutex<State>);

impl Record {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let (silence, worst) = (Duration::ZERO, Duration::ZERO);
        Self(Mutex::new(State { began: now, conversations: HashMap::new(), last_shown: None, silence, worst }))
    }

    /// A message is sent for the first time.
    pub(crate) fn sent(&self, pair: Pair, n: u64) {
        self.0.lock().conversations.entry(pair).or_default().sent.insert(n, Instant::now());
    }

    /// It has its first status.
    pub(crate) fn promised(&self, pair: Pair, n: u64) {
        self.0.lock().conversations.entry(pair).or_default().promised.insert(n);
    }

    /// It was refused.
    pub(crate) fn refused(&self, pair: Pair, n: u64) {
        self.0.lock().conversations.entry(pair).or_default().refused.insert(n);
    }

    /// It has arrived. The client shows it unless it knows it already.
    pub(crate) fn arrived(&self, pair: Pair, n: u64) {
        let (mut state, now) = (self.0.lock(), Instant::now());
        let conversation = state.conversations.entry(pair).or_default();
        conversation.arrivals += 1;
        if conversation.shown.contains(&n) {
            return;
        }
        conversation.shown.push(n);
        let took = conversation.sent.get(&n).map_or(Duration::ZERO, |at| now - *at);
        state.worst = state.worst.max(took);
        let silent_since = state.last_shown.replace(now).unwrap_or(now);
        state.silence = state.silence.max(now - silent_since);
    }

    /// Whether all that was promised has been shown.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.0.lock();
        state.conversations.values().all(|c| c.promised.iter().all(|n| c.shown.contains(n)))
    }

    /// How many have been shown so far.
    pub(crate) fn shown(&self) -> usize {
        self.0.lock().conversations.values().map(|conversation| conversation.shown.len()).sum()
    }

    /// Draws the conclusions.
    pub(crate) fn verdict(&self) -> Verdict {
        let state = self.0.lock();
        let mut verdict =
            Verdict { took: state.began.elapsed(), silence: state.silence, worst: state.worst, ..Verdict::default() };
        for (pair, conversation) in &state.conversations {
            verdict.messages += conversation.sent.len();
            verdict.promised += conversation.promised.len();
            verdict.repeats += conversation.arrivals - conversation.shown.len() as u64;
            let lost = conversation.promised.iter().filter(|n| !conversation.shown.contains(n));
            verdict.lost.extend(lost.map(|n| (*pair, *n)));
            let counted = conversation.shown.iter().filter(|n| !conversation.refused.contains(n));
            let counted: Vec<u64> = counted.copied().collect();
            verdict
                .overtaken
                .extend(counted.windows(2).filter(|two| two[0] > two[1]).map(|two| (*pair, two[0], two[1])));
        }
        verdict
    }
}

/// What can be said at the end.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) messages: usize,
    pub(crate) promised: usize,
    /// Arrivals that a client passed over.
    pub(crate) repeats: u64,
    pub(crate) lost: Vec<(Pair, u64)>,
    /// Shown before one that was sent earlier.
    pub(crate) overtaken: Vec<(Pair, u64, u64)>,
    pub(crate) took: Duration,
    /// The longest time in which nobody was shown anything.
    pub(crate) silence: Duration,
    /// From the first sending to being shown.
    pub(crate) worst: Duration,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages in {:.0?}, {} promised, {} lost, {} overtaken, {} repeats passed over; longest silence {:.1?}, worst delivery {:.1?}",
            self.messages,
            self.took,
            self.promised,
            self.lost.len(),
            self.overtaken.len(),
            self.repeats,
            self.silence,
            self.worst
        )
    }
}
