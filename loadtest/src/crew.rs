//! The threads of a run, as the scenario that leads them sees them: it gives orders, waits, and notes what was used meanwhile.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::args::Common;
use crate::cast::{Cast, Part, Size};
use crate::check::Line;
use crate::histogram::Histogram;
use crate::keys::{KeysError, Pool};
use crate::letter::{self, Letter};
use crate::numbering::Numbering;
use crate::person::Person;
use crate::probe::{self, Probe, Usage};
use crate::signers::{self, Desk};
use crate::socket;
use crate::stop;
use crate::worker::{Counts, Gauge, Inbox, Order, Outcome, Shared, Worker, wall};

/// How often the threads' counts are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Files that are open besides connections.
const OTHER_FILES: u64 = 64;

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error("{0}")]
    Server(String),
    #[error("the system: {0}")]
    System(#[from] io::Error),
    #[error(
        "{needed} open files are needed and {allowed} allowed; raise `ulimit -Hn`, or use fewer --connections or --pairs"
    )]
    OpenFiles { needed: u64, allowed: u64 },
    #[error("a thread has panicked, and its figures are gone; this is a bug of the load generator")]
    Panicked,
    #[error("stopped before the end; nothing was written")]
    Stopped,
    #[error("{0}")]
    Arguments(String),
}

/// What was seen at a time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sight {
    /// Since the run's beginning.
    pub(crate) at: Duration,
    pub(crate) counts: Counts,
    /// Of the server, where somebody said where to look.
    pub(crate) server: Option<Usage>,
    /// Of what it needs besides.
    pub(crate) companions: Option<Usage>,
    /// Of this program.
    pub(crate) own: Usage,
}

/// A part of the run that is reported by itself.
#[derive(Debug, Clone)]
pub(crate) struct Period {
    pub(crate) name: &'static str,
    pub(crate) begin: Sight,
    pub(crate) end: Sight,
}

/// A second of all threads together.
#[derive(Debug, Default)]
pub(crate) struct Second {
    pub(crate) counts: Counts,
    pub(crate) delivery: Histogram,
    pub(crate) server: Option<Usage>,
}

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// What was waited for is there.
    Done,
    /// Nothing has moved for as long as patience lasts.
    Stuck,
}

/// The threads, and what was noted.
pub(crate) struct Crew {
    shared: Arc<Shared>,
    parts: Vec<Part>,
    inboxes: Vec<Arc<Inbox>>,
    gauges: Vec<Arc<Gauge>>,
    threads: Vec<JoinHandle<io::Result<Outcome>>>,
    signers: Vec<JoinHandle<()>>,
    probe: Probe,
    companions: Probe,
    patience: Duration,
    quiet: bool,
    unsealed: bool,
    next_look: Duration,
    /// What waits for the seconds of all threads.
    seconds: BTreeMap<u64, Second>,
    periods: Vec<Period>,
    shown: u64,
    /// It was said that a signal has come.
    stopping: bool,
}

/// What is left when all threads have ended.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) periods: Vec<Period>,
    pub(crate) seconds: BTreeMap<u64, Second>,
    pub(crate) took: Duration,
}

impl Crew {
    /// Casts and starts the threads.
    pub(crate) fn new(common: &Common, size: Size) -> Result<Self, Failure> {
        check_size(size)?;
        let threads = threads(common.threads);
        let began_at = wall();
        let tag = common.name.clone().unwrap_or_else(|| format!("{:08x}", rand::random::<u32>()));
        if common.keys.as_ref().is_none_or(|file| !file.exists()) {
            say(common.quiet, &format!("making {} RSA keys", Pool::SIZE));
        }
        let pool = Arc::new(Pool::open(common.keys.as_deref(), Person::keys_needed(size.devices.max(1)))?);
        let cast = Cast::new(size, threads, &tag, began_at);
        let desk = Arc::new(Desk::default());
        let names = cast.people.iter().enumerate().map(|(n, person)| (person.name().clone(), n)).collect();
        let padded = sealwire_e2ee::padding::padded_len(sealwire_e2ee::Payload::OVERHEAD + common.bytes as usize);
        let numbering = Numbering::new(began_at, rand::random());
        // Commitment, ciphertext and tag (protocol section 4).
        let mut ending = letter::ending(32 + padded + 16);
        if common.dialect.is_foreign() {
            let to = cast.people.last().expect("there is at least one connection");
            ending = common.dialect.ending(Letter::new(&numbering, 0, to, &pool, &ending).length());
        }
        let shared = Arc::new(Shared {
            target: common.url.clone(),
            by_name: names,
            people: cast.people,
            pool: pool.clone(),
            numbering,
            desk: desk.clone(),
            ending,
            dialect: common.dialect,
            began: Instant::now(),
            greetings: common.greetings.div_ceil(threads),
            ack_delay: common.ack_delay * 1_000_000,
            tick: common.tick * 1_000,
            net: rand::random(),
            returning: common.returning,
        });
        let probe = Probe { pids: common.server_pid.clone(), metrics: common.metrics_url.clone() };
        probe.look().map_err(Failure::Server)?;
        let companions = Probe { pids: common.companion_pid.clone(), metrics: None };
        companions.look().map_err(Failure::Server)?;
        let mut inboxes = Vec::new();
        for _ in 0..threads {
            inboxes.push(Arc::new(Inbox::new()?));
        }
        let mut crew = Self {
            gauges: (0..threads).map(|_| Arc::default()).collect(),
            signers: signers::start(threads, &desk, &pool, &inboxes),
            inboxes,
            shared,
            parts: cast.parts,
            threads: Vec::new(),
            probe,
            companions,
            patience: Duration::from_secs(common.patience),
            quiet: common.quiet,
            unsealed: common.unsealed || common.dialect.is_foreign(),
            next_look: Duration::from_secs(1),
            seconds: BTreeMap::new(),
            periods: Vec::new(),
            shown: 0,
            stopping: false,
        };
        crew.start(common.per_address);
        Ok(crew)
    }

    fn start(&mut self, per_address: usize) {
        let mut first = 0;
        for (n, part) in self.parts.iter().enumerate() {
            let (inbox, gauge) = (self.inboxes[n].clone(), self.gauges[n].clone());
            let (shared, part, place) = (self.shared.clone(), part.clone(), (n, first));
            first += part.seats.len();
            // What epoll fills does not move to another thread, so each makes its own.
            let play = move || Worker::new(place, &part, per_address, shared, inbox, gauge)?.run();
            self.threads.push(thread::spawn(play));
        }
    }

    /// Gives every thread its order.
    pub(crate) fn order(&self, order: impl Fn(&Part) -> Order) {
        for (part, inbox) in self.parts.iter().zip(&self.inboxes) {
            inbox.order(order(part));
        }
    }

    /// Gives every thread an order for each of these ranges of its seats; gives how many seats that are.
    pub(crate) fn order_each(&self, ranges: impl Fn(&Part) -> Vec<Range<u32>>, order: fn(Range<u32>) -> Order) -> u64 {
        let mut seats = 0;
        for (part, inbox) in self.parts.iter().zip(&self.inboxes) {
            for range in ranges(part) {
                seats += u64::from(range.end - range.start);
                inbox.order(order(range));
            }
        }
        seats
    }

    /// Has about one in a thousand sealed of the first so many messages of each line, and waits for it.
    pub(crate) fn seal(&self, each: u32) {
        if !self.unsealed {
            self.order(|_| Order::Seal(each));
            self.settle();
        }
    }

    /// Waits until every thread has carried out the orders that it has.
    pub(crate) fn settle(&self) {
        let (done, settled) = sync_channel(self.inboxes.len());
        self.order(|_| Order::Settle(done.clone()));
        drop(done);
        // A thread that has ended will be noticed when all are dismissed.
        while settled.recv().is_ok() {}
    }

    /// All lines.
    pub(crate) fn lines(&self) -> usize {
        self.parts.iter().map(|part| part.courses.len()).sum()
    }

    /// Nanoseconds since the run's beginning, as orders count them.
    pub(crate) fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Everybody's counts.
    pub(crate) fn counts(&self) -> Counts {
        self.gauges.iter().fold(Counts::default(), |sum, gauge| sum.plus(gauge.counts()))
    }

    /// Begins a part of the run that is reported by itself.
    pub(crate) fn begin(&mut self, name: &'static str) -> Result<(), Failure> {
        self.order(|_| Order::NextChapter);
        let sight = self.look()?;
        self.periods.push(Period { name, begin: sight, end: sight });
        Ok(())
    }

    /// Ends it: what is counted and used. Latencies of what was due in it are still taken until the next part begins.
    pub(crate) fn end(&mut self) -> Result<Period, Failure> {
        let sight = self.look()?;
        let period = self.periods.last_mut().expect("a part was begun");
        period.end = sight;
        Ok(period.clone())
    }

    fn look(&self) -> Result<Sight, Failure> {
        let server = self.probe.look().map_err(Failure::Server)?;
        let companions = self.companions.look().map_err(Failure::Server)?;
        Ok(Sight { at: self.shared.began.elapsed(), counts: self.counts(), server, companions, own: probe::own() })
    }

    /// Lets time pass, unless somebody wants an end.
    pub(crate) fn pass(&mut self, what: &str, time: Duration) -> Result<(), Failure> {
        let until = self.shared.began.elapsed() + time;
        while self.shared.began.elapsed() < until && !stop::is_wanted() {
            thread::sleep(LOOK.min(until.saturating_sub(self.shared.began.elapsed())));
            self.each_second(what)?;
        }
        Ok(())
    }

    /// Waits until the counts are as wanted, or nothing moves any more.
    pub(crate) fn until(&mut self, what: &str, is_there: impl Fn(Counts) -> bool) -> Result<Waited, Failure> {
        let mut last = (self.counts(), Instant::now());
        loop {
            let counts = self.counts();
            if is_there(counts) {
                return Ok(Waited::Done);
            }
            if counts != last.0 {
                last = (counts, Instant::now());
            } else if last.1.elapsed() > self.patience {
                return Ok(Waited::Stuck);
            }
            thread::sleep(LOOK);
            self.each_second(what)?;
        }
    }

    fn each_second(&mut self, what: &str) -> Result<(), Failure> {
        if stop::is_wanted() && !std::mem::replace(&mut self.stopping, true) {
            say(self.quiet, "stopping: what is under way is finished and checked; a second signal ends it at once");
        }
        let now = self.shared.began.elapsed();
        if now < self.next_look {
            return Ok(());
        }
        let second = now.as_secs() - 1;
        self.next_look = Duration::from_secs(now.as_secs() + 1);
        let server = self.probe.look().map_err(Failure::Server)?;
        self.gather();
        self.seconds.entry(second).or_default().server = server;
        // The threads' own seconds may come a little later; the one before is whole.
        if let Some(before) = second.checked_sub(1).filter(|before| *before >= self.shown) {
            self.shown = second;
            self.show(what, before);
        }
        Ok(())
    }

    fn gather(&mut self) {
        for gauge in &self.gauges {
            for moment in gauge.moments() {
                let second = self.seconds.entry(moment.second).or_default();
                second.counts = second.counts.plus(moment.counts);
                second.delivery.merge(&moment.delivery);
            }
        }
    }

    fn show(&self, what: &str, second: u64) {
        let Some(Second { counts, delivery, server }) = self.seconds.get(&second) else { return };
        let mut line = format!("[{second:>4} s] {what}: {} connected", counts.here);
        if counts.sent + counts.arrived > 0 {
            let (p50, p99) = (delivery.quantile(0.5) as f64 / 1e3, delivery.quantile(0.99) as f64 / 1e3);
            line +=
                &format!(", {} sent/s, {} arrived/s, p50 {p50:.2} ms, p99 {p99:.2} ms", counts.sent, counts.arrived);
        }
        let before = second.checked_sub(1).and_then(|before| self.seconds.get(&before)?.server);
        if let (Some(now), Some(before)) = (server, before) {
            let cpu = (now.cpu - before.cpu) * 100.0;
            line += &format!(", server {cpu:.0} % CPU, {:.0} MiB", now.memory / f64::from(1 << 20));
        }
        if counts.faults > 0 {
            line += &format!(", {} FAULTS", counts.faults);
        }
        say(self.quiet, &line);
    }

    /// Ends the threads and takes what they have to say.
    pub(crate) fn dismiss(mut self) -> Result<Ended, Failure> {
        self.order(|_| Order::Leave);
        let mut outcome = Outcome::default();
        for thread in std::mem::take(&mut self.threads) {
            outcome.merge(thread.join().map_err(|_| Failure::Panicked)??);
        }
        self.shared.desk.close();
        self.gather();
        for signer in std::mem::take(&mut self.signers) {
            signer.join().map_err(|_| Failure::Panicked)?;
        }
        Ok(Ended { outcome, periods: self.periods, seconds: self.seconds, took: self.shared.began.elapsed() })
    }
}

fn check_size(size: Size) -> Result<(), Failure> {
    if size.devices > Line::MAX_DEVICES || size.connections() == 0 {
        return Err(Failure::Arguments(
            "there must be at least one connection, and at most 10 devices of an account".to_owned(),
        ));
    }
    let (needed, allowed) = (size.connections() as u64 + OTHER_FILES, socket::raise_open_files());
    if needed > allowed { Err(Failure::OpenFiles { needed, allowed }) } else { Ok(()) }
}

/// As many threads as were asked for, or one for each core.
pub(crate) fn threads(wanted: Option<usize>) -> usize {
    wanted.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// Progress, for people.
pub(crate) fn say(quiet: bool, line: &str) {
    if !quiet {
        // Nobody may be reading it.
        let _ = writeln!(io::stderr(), "{line}");
    }
}
