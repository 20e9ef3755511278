//! What comes out: the same figures as a table for people, as JSON for programs, and as a page to look at.

mod html;
pub(crate) mod plot;
mod table;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Common, Talk};
use crate::crew::{Ended, Period, Second};
use crate::histogram::Histogram;
use crate::probe::Usage;
use crate::worker::{Chapter, Outcome};

/// A run's figures. Times are in milliseconds unless the name says otherwise.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    tool: &'static str,
    version: &'static str,
    scenario: &'static str,
    settings: BTreeMap<&'static str, Value>,
    /// Single figures, in the unit that their names tell.
    figures: BTreeMap<&'static str, f64>,
    periods: Vec<PeriodReport>,
    seconds: Vec<SecondReport>,
    check: Check,
}

/// A part of the run.
#[derive(Debug, Serialize)]
struct PeriodReport {
    name: &'static str,
    seconds: f64,
    connections: u64,
    sent: u64,
    sent_per_second: f64,
    delivered: u64,
    delivered_per_second: f64,
    /// Of the delivered ones those that came from a mailbox; they are in no latency.
    fetched: u64,
    answered: u64,
    answered_per_second: f64,
    /// Of the answers those that were `queued` at first.
    queued: u64,
    /// Acknowledgements that needed a frame of their own.
    ack_frames: u64,
    log_ins: u64,
    /// From when a message was due until it came to a device.
    delivery: Latency,
    /// Until its first status came.
    status: Latency,
    server: Option<Server>,
    /// What the server needs besides, such as its database.
    companions: Option<Server>,
    /// Processor time of the load generator itself.
    own_cpu_seconds: f64,
}

/// How long something took.
#[derive(Debug, Serialize)]
struct Latency {
    count: u64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
    /// Pairs of a share (0 to 1) and what it did not exceed.
    curve: Vec<(f64, f64)>,
}

/// What the server used.
#[derive(Debug, Serialize)]
struct Server {
    cpu_seconds: f64,
    /// Of one core.
    cpu_percent: f64,
    /// For each copy that was delivered, or each message that was stored where none was.
    cpu_micros_per_message: Option<f64>,
    memory_bytes_begin: f64,
    memory_bytes_end: f64,
}

/// A second of the run.
#[derive(Debug, Serialize)]
struct SecondReport {
    second: u64,
    connections: u64,
    sent: u64,
    delivered: u64,
    answered: u64,
    delivery_p50: f64,
    delivery_p99: f64,
    server_cpu_percent: Option<f64>,
    server_memory_bytes: Option<f64>,
}

/// What became of everything.
#[derive(Debug, Serialize)]
struct Check {
    good: bool,
    sent: u64,
    copies: u64,
    delivered: u64,
    /// Copies that never came.
    lost: u64,
    /// Messages without a status.
    unanswered: u64,
    refused: u64,
    /// Copies and statuses that came after an error that leaves open whether they do.
    after_refusal: u64,
    /// Copies that came again after a reconnect, which the protocol allows; clients drop them.
    came_again: u64,
    faults: BTreeMap<&'static str, u64>,
    sealed: u64,
    sealed_and_opened: u64,
    /// What did not open, and why.
    not_opened: Vec<String>,
    sessions_dropped: u64,
    kept_out: u64,
    put_off: u64,
    troubles: BTreeMap<String, u64>,
    examples: Vec<String>,
    /// What the run was meant to do and did not.
    undone: Vec<String>,
}

impl Report {
    /// The report of a run that has ended.
    pub(crate) fn new(scenario: &'static str, common: &Common, ended: Ended) -> Self {
        let Ended { outcome, periods, seconds, took } = ended;
        // The first chapter was before everything.
        let chapters = outcome.chapters.iter().skip(1);
        let periods =
            periods.iter().zip(chapters).map(|(period, chapter)| PeriodReport::new(period, chapter)).collect();
        let mut report = Self {
            tool: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            scenario,
            settings: BTreeMap::new(),
            figures: BTreeMap::new(),
            periods,
            seconds: SecondReport::all(&seconds),
            check: Check::new(outcome),
        };
        report.setting("url", common.url.origin()).setting("ack_delay_ms", common.ack_delay);
        report.setting("tick_us", common.tick).setting("bytes", common.bytes);
        report.figure("run (seconds)", took.as_secs_f64());
        report
    }

    /// Notes how the run was set.
    pub(crate) fn setting(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        self.settings.insert(name, value.into());
        self
    }

    /// Notes who wrote how much.
    pub(crate) fn talk(&mut self, talk: &Talk) {
        self.setting("seconds", talk.seconds).setting("warm_up_seconds", talk.warm_up);
        match talk.window {
            Some(window) => self.setting("window", window),
            None => self.setting("rate_per_second", json!(talk.rate.unwrap_or(1000.0))),
        };
    }

    /// Notes a figure; its name tells the unit.
    pub(crate) fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.insert(name, value);
    }

    /// Notes whether everybody could connect.
    pub(crate) fn everybody_came(&mut self, all: bool, wanted: u64, here: u64) {
        if !all {
            self.undone(format!("{here} of {wanted} connections came up"));
        }
    }

    /// Notes something that the run was meant to do and did not.
    pub(crate) fn undone(&mut self, what: String) {
        self.check.good = false;
        self.check.undone.push(what);
    }

    /// Whether all went well.
    pub(crate) fn is_good(&self) -> bool {
        self.check.good
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures have string keys and no failing Serialize")
    }

    /// To look at, in a browser.
    pub(crate) fn to_html(&self) -> String {
        html::write(self)
    }

    /// For people.
    pub(crate) fn to_table(&self) -> String {
        table::write(self)
    }
}

impl PeriodReport {
    fn new(period: &Period, chapter: &Chapter) -> Self {
        let Period { name, begin, end } = period;
        let counts = end.counts.since(begin.counts);
        let seconds = (end.at - begin.at).as_secs_f64();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let messages = if counts.arrived > 0 { counts.arrived } else { counts.queued };
        let used = |(begin, end): (Usage, Usage)| {
            let cpu_seconds = end.cpu - begin.cpu;
            Server {
                cpu_seconds,
                cpu_percent: if seconds > 0.0 { 100.0 * cpu_seconds / seconds } else { 0.0 },
                cpu_micros_per_message: (messages > 0).then(|| 1e6 * cpu_seconds / messages as f64),
                memory_bytes_begin: begin.memory,
                memory_bytes_end: end.memory,
            }
        };
        Self {
            name,
            seconds,
            connections: end.counts.here,
            sent: counts.sent,
            sent_per_second: rate(counts.sent),
            delivered: counts.arrived,
            delivered_per_second: rate(counts.arrived),
            fetched: counts.fetched,
            answered: counts.answered,
            answered_per_second: rate(counts.answered),
            queued: counts.queued,
            ack_frames: counts.acks,
            log_ins: counts.entered,
            delivery: Latency::new(&chapter.delivery),
            status: Latency::new(&chapter.answer),
            server: begin.server.zip(end.server).map(used),
            companions: begin.companions.zip(end.companions).map(used),
            own_cpu_seconds: end.own.cpu - begin.own.cpu,
        }
    }
}

impl Latency {
    fn new(histogram: &Histogram) -> Self {
        let millis = |micros: u64| micros as f64 / 1e3;
        let at = |share: f64| millis(histogram.quantile(share));
        let shares = (0..100)
            .map(|n| f64::from(n) / 100.0)
            .chain((1..=40).map(|n| 1.0 - 10_f64.powf(-2.0 - f64::from(n) / 10.0)));
        // A share beyond the last message has no place of its own; that of none has no curve.
        let last = 1.0 - 1.0 / histogram.count().max(1) as f64;
        let curve = shares.take_while(|share| *share < last).map(|share| (share, at(share))).collect();
        Self {
            count: histogram.count(),
            mean: histogram.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(histogram.max()),
            curve,
        }
    }
}

impl SecondReport {
    fn all(seconds: &BTreeMap<u64, Second>) -> Vec<Self> {
        let mut before = None;
        let each = seconds.iter().map(|(number, second)| {
            let cpu = second.server.zip(before).map(|(now, before): (Usage, Usage)| 100.0 * (now.cpu - before.cpu));
            before = second.server;
            Self {
                second: *number,
                connections: second.counts.here,
                sent: second.counts.sent,
                delivered: second.counts.arrived,
                answered: second.counts.answered,
                delivery_p50: second.delivery.quantile(0.5) as f64 / 1e3,
                delivery_p99: second.delivery.quantile(0.99) as f64 / 1e3,
                server_cpu_percent: cpu,
                server_memory_bytes: second.server.map(|usage| usage.memory),
            }
        });
        each.collect()
    }
}

impl Check {
    fn new(outcome: Outcome) -> Self {
        let Outcome { counts, lost, unanswered, faults, troubles, examples, proof, chapters: _ } = outcome;
        let clean =
            [lost, unanswered, counts.refused, counts.faults, counts.dropped, counts.kept_out].iter().all(|n| *n == 0);
        Self {
            // What was sealed and delivered opens; what was not delivered is lost.
            good: clean && proof.failed.is_empty(),
            sent: counts.sent,
            copies: counts.copies,
            delivered: counts.arrived,
            lost,
            unanswered,
            refused: counts.refused,
            after_refusal: counts.unpromised,
            came_again: counts.again,
            faults: faults.into_iter().map(|(fault, count)| (fault.name(), count)).collect(),
            sealed: proof.sealed,
            sealed_and_opened: proof.opened,
            not_opened: proof.failed,
            sessions_dropped: counts.dropped,
            kept_out: counts.kept_out,
            put_off: counts.put_off,
            troubles,
            examples,
            undone: Vec::new(),
        }
    }
}
