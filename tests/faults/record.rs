//! What was promised and what was shown, and what follows from it: a checker in the manner of Jepsen's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// From whom to whom.
pub(crate) type Pair = (usize, usize);

/// What takes longer from being sent to being shown was held up by a fault.
const LATE: Duration = Duration::from_secs(1);

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

/// A time without a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Away {
    pub(crate) whole: Duration,
    pub(crate) tries: usize,
    /// Of the last try: until the connection stood, and from then on until it was logged in.
    pub(crate) upgrade: Duration,
    pub(crate) log_in: Duration,
}

/// Something that was done to the cluster.
#[derive(Debug, Clone)]
struct Fault {
    what: String,
    at: Instant,
    /// From then on until the last message that was late has been shown.
    recovery: Duration,
}

impl Conversation {
    /// What has neither a status nor an error.
    fn unanswered(&self) -> impl Iterator<Item = u64> {
        self.sent.keys().copied().filter(|n| !self.promised.contains(n) && !self.refused.contains(n))
    }
}

#[derive(Debug)]
struct State {
    began: Instant,
    conversations: HashMap<Pair, Conversation>,
    faults: Vec<Fault>,
    errors: BTreeMap<String, usize>,
    last_shown: Option<Instant>,
    silence: Duration,
    worst: Duration,
    away: Away,
}

/// Everything that the clients have seen.
#[derive(Debug)]
pub(crate) struct Record(Mutex<State>);

impl Record {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            began: Instant::now(),
            conversations: HashMap::new(),
            faults: Vec::new(),
            errors: BTreeMap::new(),
            last_shown: None,
            silence: Duration::ZERO,
            worst: Duration::ZERO,
            away: Away::default(),
        }))
    }

    /// Something is done to the cluster now.
    pub(crate) fn fault(&self, what: &str) {
        let fault = Fault { what: what.to_owned(), at: Instant::now(), recovery: Duration::ZERO };
        self.0.lock().faults.push(fault);
    }

    /// Somebody was answered with this error, whatever it was about.
    pub(crate) fn error(&self, code: &str) {
        *self.0.lock().errors.entry(code.to_owned()).or_default() += 1;
    }

    /// Somebody is connected again.
    pub(crate) fn was_away(&self, away: Away) {
        let mut state = self.0.lock();
        if away.whole > state.away.whole {
            state.away = away;
        }
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
        if let Some(fault) = state.faults.last_mut().filter(|_| took > LATE) {
            fault.recovery = now - fault.at;
        }
        let silent_since = state.last_shown.replace(now).unwrap_or(now);
        state.silence = state.silence.max(now - silent_since);
    }

    /// Whether all that was sent is promised or refused, and all that was promised has been shown.
    pub(crate) fn is_complete(&self) -> bool {
        let state = self.0.lock();
        let shown = |c: &Conversation| c.promised.iter().all(|n| c.shown.contains(n));
        state.conversations.values().all(|c| c.unanswered().next().is_none() && shown(c))
    }

    /// How many have been shown so far.
    pub(crate) fn shown(&self) -> usize {
        self.0.lock().conversations.values().map(|conversation| conversation.shown.len()).sum()
    }

    /// Draws the conclusions.
    pub(crate) fn verdict(&self) -> Verdict {
        let state = self.0.lock();
        let mut verdict = Verdict {
            took: state.began.elapsed(),
            silence: state.silence,
            worst: state.worst,
            away: state.away,
            errors: state.errors.clone(),
            faults: state.faults.iter().map(|fault| (fault.what.clone(), fault.recovery)).collect(),
            ..Verdict::default()
        };
        for (pair, conversation) in &state.conversations {
            verdict.messages += conversation.sent.len();
            verdict.promised += conversation.promised.len();
            verdict.refused += conversation.refused.len();
            verdict.unanswered.extend(conversation.unanswered().map(|n| (*pair, n)));
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
    pub(crate) refused: usize,
    /// Arrivals that a client passed over.
    pub(crate) repeats: u64,
    /// Promised, and never shown.
    pub(crate) lost: Vec<(Pair, u64)>,
    /// Never told what became of it.
    pub(crate) unanswered: Vec<(Pair, u64)>,
    /// Shown before one that was sent earlier.
    pub(crate) overtaken: Vec<(Pair, u64, u64)>,
    /// Errors of any kind that somebody was answered with.
    pub(crate) errors: BTreeMap<String, usize>,
    /// What was done, and how long after it the last message was shown that had been under way for more than a second.
    pub(crate) faults: Vec<(String, Duration)>,
    pub(crate) took: Duration,
    /// The longest time in which nobody was shown anything.
    pub(crate) silence: Duration,
    /// From the first sending to being shown.
    pub(crate) worst: Duration,
    /// The longest time that somebody was without a connection.
    pub(crate) away: Away,
}

impl Verdict {
    /// Whether all that was promised was kept.
    pub(crate) fn is_good(&self) -> bool {
        self.lost.is_empty() && self.unanswered.is_empty() && self.overtaken.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages in {:.0?}: {} promised, ", self.messages, self.took, self.promised)?;
        write!(f, "{} refused, {} repeats passed over, ", self.refused, self.repeats)?;
        write!(f, "{} lost, {} unanswered, ", self.lost.len(), self.unanswered.len())?;
        write!(f, "{} overtaken; longest silence {:.1?}, ", self.overtaken.len(), self.silence)?;
        let Away { whole, tries, upgrade, log_in } = self.away;
        write!(f, "worst delivery {:.1?}, longest without a connection {whole:.1?} (", self.worst)?;
        write!(f, "{tries} tries; the last took {upgrade:.1?} for the upgrade and {log_in:.1?} for the log-in)")?;
        for (what, recovery) in &self.faults {
            match recovery.is_zero() {
                true => write!(f, "; nothing late after: {what}")?,
                false => write!(f, "; recovery {recovery:.1?} after: {what}")?,
            }
        }
        if !self.errors.is_empty() {
            write!(f, "; errors {:?}", self.errors)?;
        }
        Ok(())
    }
}
