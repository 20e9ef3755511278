//! What must hold, with what is wanted and what was measured: the project's own numbers for one machine with two cores, the load generator
//! among them.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::{Goals, Name, Topic};
use super::figures::Promise;
use super::player::{Player, Run, median, slope};
use super::process::Server;
use crate::args::Talk;
use crate::crew::Failure;

const KIB: f64 = 1024.0;
const GIB: f64 = KIB * KIB * KIB;
/// What is extrapolated to.
const MANY: f64 = 100_000.0;

/// What is wanted of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

/// A figure of one round.
struct Sample {
    what: String,
    wanted: Wanted,
    unit: &'static str,
    value: Option<f64>,
    /// Nothing was lost, repeated or out of order meanwhile.
    good: bool,
}

/// What became of a goal.
#[derive(Debug, Serialize)]
pub(super) struct Goal {
    pub(super) what: String,
    #[serde(skip)]
    wanted: Wanted,
    unit: &'static str,
    at_most: Option<f64>,
    at_least: Option<f64>,
    median: Option<f64>,
    rounds: Vec<Option<f64>>,
    /// Nothing was lost, repeated or out of order meanwhile.
    pub(super) good: bool,
    pub(super) held: bool,
}

/// Measures what was asked for.
pub(super) fn measure(player: &Player<'_>, goals: &Goals) -> Result<Vec<Goal>, Failure> {
    let mut all = Vec::new();
    for topic in goals.topics() {
        let mut rounds = Vec::new();
        for n in 1..=goals.rounds {
            player.say(&format!("{}, round {n} of {}", topic.words(), goals.rounds));
            rounds.push(Measuring { player, goals }.topic(topic)?);
        }
        all.extend(merge(rounds));
    }
    Ok(all)
}

fn merge(rounds: Vec<Vec<Sample>>) -> Vec<Goal> {
    let mut goals: Vec<Goal> = Vec::new();
    for (n, samples) in rounds.into_iter().enumerate() {
        for (at, sample) in samples.into_iter().enumerate() {
            if n == 0 {
                goals.push(Goal::new(&sample));
            }
            if let Some(goal) = goals.get_mut(at) {
                goal.rounds.push(sample.value);
                goal.good &= sample.good;
            }
        }
    }
    goals.iter_mut().for_each(Goal::conclude);
    goals
}

impl Goal {
    fn new(sample: &Sample) -> Self {
        let (at_most, at_least) = match sample.wanted {
            Wanted::AtMost(bound) => (Some(bound), None),
            Wanted::AtLeast(bound) => (None, Some(bound)),
        };
        let (what, wanted, unit) = (sample.what.clone(), sample.wanted, sample.unit);
        Self { what, wanted, unit, at_most, at_least, median: None, rounds: Vec::new(), good: true, held: false }
    }

    fn conclude(&mut self) {
        self.median = median(self.rounds.iter().copied());
        let within = self.median.is_some_and(|value| match self.wanted {
            Wanted::AtMost(bound) => value <= bound,
            Wanted::AtLeast(bound) => value >= bound,
        });
        self.held = within && self.good;
    }

    /// What, wanted, measured, and whether it holds.
    pub(super) fn cells(&self) -> [String; 4] {
        let wanted = match self.wanted {
            Wanted::AtMost(bound) => format!("at most {} {}", short(bound), self.unit),
            Wanted::AtLeast(bound) => format!("at least {} {}", short(bound), self.unit),
        };
        let measured = self.median.map_or("nothing".to_owned(), |value| format!("{} {}", short(value), self.unit));
        let verdict = match (self.held, self.good) {
            (true, _) => "held",
            (false, true) => "SHORT",
            (false, false) => "FAILED: messages were lost, repeated or out of order, or somebody kept out",
        };
        [self.what.clone(), wanted.trim_end().to_owned(), measured.trim_end().to_owned(), verdict.to_owned()]
    }
}

fn short(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{}", (value * 100.0).round() / 100.0) }
}

/// For people. Writing to a string cannot fail.
pub(super) fn table(goals: &[Goal]) -> String {
    let mut out = String::new();
    for goal in goals {
        let [what, wanted, measured, verdict] = goal.cells();
        let _ = writeln!(out, "{what:<96} {wanted:>24} {measured:>20}  {verdict}");
    }
    out
}

impl Topic {
    /// Whom it needs besides Sealwire.
    pub(super) fn names(self) -> &'static [Name] {
        match self {
            Self::Cost | Self::Saturation => &[Name::Limit],
            Self::Peers => &[Name::Ejabberd, Name::Nats],
            Self::OfflineCluster => &[Name::Cluster],
            Self::Chat | Self::Everybody | Self::Memory | Self::Growth | Self::Reconnect | Self::Offline => &[],
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Chat => "chat among many connections",
            Self::Everybody => "everybody chats",
            Self::Cost => "processor time beside limit's",
            Self::Saturation => "saturation beside limit's",
            Self::Peers => "beside ejabberd and nats-server",
            Self::Memory => "memory of idle connections",
            Self::Growth => "processor time with few and many connections",
            Self::Reconnect => "everybody reconnects",
            Self::Offline => "mail for people who are away",
            Self::OfflineCluster => "mail for people who are away, kept by MongoDB",
        }
    }
}

/// One round.
struct Measuring<'a> {
    player: &'a Player<'a>,
    goals: &'a Goals,
}

impl Measuring<'_> {
    fn topic(&self, topic: Topic) -> Result<Vec<Sample>, Failure> {
        match topic {
            Topic::Chat => self.chat(),
            Topic::Everybody => self.everybody(),
            Topic::Cost => self.cost(),
            Topic::Saturation => self.saturation(),
            Topic::Peers => self.peers(),
            Topic::Memory => self.memory(),
            Topic::Growth => self.growth(),
            Topic::Reconnect => self.reconnect(),
            Topic::Offline => self.offline(Name::Sealwire, 25_000.0),
            Topic::OfflineCluster => self.offline(Name::Cluster, 10_000.0),
        }
    }

    /// So many, or fewer where everything is smaller.
    fn count(&self, number: usize) -> usize {
        ((number as f64 * self.goals.scale).round() as usize).max(1)
    }

    fn start(&self, name: Name, accounts: usize) -> Result<Server, Failure> {
        self.player.start(name, accounts)
    }

    fn open(&self, pairs: usize, per_second: f64) -> Talk {
        let Goals { seconds, warm_up, scale, .. } = *self.goals;
        Talk { pairs: self.count(pairs), rate: Some(per_second * scale), window: None, seconds, warm_up }
    }

    fn at_rate(&self, name: Name, talk: Talk, connections: usize) -> Result<Run, Failure> {
        let connections = self.count(connections).max(2 * talk.pairs);
        let server = self.start(name, connections)?;
        self.player.chat(&server, talk, connections)
    }

    fn full(&self, name: Name) -> Result<Run, Failure> {
        let Goals { seconds, warm_up, .. } = *self.goals;
        let talk = Talk { pairs: self.count(200), rate: None, window: Some(16), seconds, warm_up };
        self.at_rate(name, talk, 0)
    }

    fn chat(&self) -> Result<Vec<Sample>, Failure> {
        let talk = self.open(1000, 50_000.0);
        let what =
            format!("{} pairs of {} connections at {} messages/s", talk.pairs, self.count(10_000), self.rate(&talk));
        let run = self.at_rate(Name::Sealwire, talk, 10_000)?;
        Ok(vec![
            sample(
                format!("{what}: mean latency"),
                Wanted::AtMost(10.0),
                "ms",
                run.of("chat", "/delivery/mean"),
                &[&run],
            ),
            sample(
                format!("{what}: p99 latency"),
                Wanted::AtMost(50.0),
                "ms",
                run.of("chat", "/delivery/p99"),
                &[&run],
            ),
        ])
    }

    fn everybody(&self) -> Result<Vec<Sample>, Failure> {
        let talk = self.open(5000, 20_000.0);
        let what = format!("{} pairs at {} messages/s: p99 latency", talk.pairs, self.rate(&talk));
        let run = self.at_rate(Name::Sealwire, talk, 0)?;
        Ok(vec![sample(what, Wanted::AtMost(20.0), "ms", run.of("chat", "/delivery/p99"), &[&run])])
    }

    fn cost(&self) -> Result<Vec<Sample>, Failure> {
        let talk = self.open(1000, 30_000.0);
        let what = format!("processor time for a message at {} messages/s, to limit's", self.rate(&talk));
        let (limit, own) = (self.at_rate(Name::Limit, talk.clone(), 0)?, self.at_rate(Name::Sealwire, talk, 0)?);
        Ok(vec![sample(what, Wanted::AtMost(1.5), "", ratio(own.cpu(), limit.cpu()), &[&limit, &own])])
    }

    fn saturation(&self) -> Result<Vec<Sample>, Failure> {
        let (limit, own) = (self.full(Name::Limit)?, self.full(Name::Sealwire)?);
        let what = format!("saturation of {} pairs with 16 unanswered messages each, to limit's", self.count(200));
        Ok(vec![sample(what, Wanted::AtLeast(0.7), "", ratio(own.delivered(), limit.delivered()), &[&limit, &own])])
    }

    fn peers(&self) -> Result<Vec<Sample>, Failure> {
        let talk = self.open(500, 5_000.0);
        let what = format!("processor time for a message at {} messages/s, to ejabberd's", self.rate(&talk));
        let (own, other) = (self.at_rate(Name::Sealwire, talk.clone(), 0)?, self.at_rate(Name::Ejabberd, talk, 0)?);
        let (full, nats) = (self.full(Name::Sealwire)?, self.full(Name::Nats)?);
        let frames = |name, run: &Run| Some(run.delivered()? * f64::from(Promise::of(name).frames));
        let frames = ratio(frames(Name::Sealwire, &full), frames(Name::Nats, &nats));
        Ok(vec![
            sample(what, Wanted::AtMost(0.5), "", ratio(own.cpu(), other.cpu()), &[&own, &other]),
            sample(
                "saturation in frames, to nats-server's".to_owned(),
                Wanted::AtLeast(1.0),
                "",
                frames,
                &[&full, &nats],
            ),
        ])
    }

    fn memory(&self) -> Result<Vec<Sample>, Failure> {
        let counts = [2_000, 10_000, 18_000].map(|number| self.count(number));
        let mut runs = Vec::new();
        for connections in counts {
            let server = self.start(Name::Sealwire, 0)?;
            runs.push(self.player.idle(&server, connections, self.goals.idle_seconds)?);
        }
        let each = |run: &Run| Some(run.figure("server memory per connection (bytes)")? / KIB);
        let mut samples: Vec<_> = counts
            .iter()
            .zip(&runs)
            .map(|(count, run)| {
                sample(
                    format!("memory of an idle connection, of {count}"),
                    Wanted::AtMost(14.0),
                    "KiB",
                    each(run),
                    &[run],
                )
            })
            .collect();
        let slope = slope((counts[0], &runs[0]), (counts[2], &runs[2]));
        let what = "memory of 100,000 idle connections, EXTRAPOLATED from the slope".to_owned();
        samples.push(sample(
            what,
            Wanted::AtMost(2.0),
            "GiB",
            slope.map(|each| each * MANY / GIB),
            &[&runs[0], &runs[2]],
        ));
        Ok(samples)
    }

    fn growth(&self) -> Result<Vec<Sample>, Failure> {
        let talk = self.open(500, 10_000.0);
        let (few, many) = (self.count(1_000), self.count(18_000));
        let what =
            format!("processor time for a message at {} messages/s, {many} connections to {few}", self.rate(&talk));
        let run = |connections| self.at_rate(Name::Sealwire, talk.clone(), connections);
        let (few, many) = (run(1_000)?, run(18_000)?);
        Ok(vec![sample(what, Wanted::AtMost(1.2), "", ratio(many.cpu(), few.cpu()), &[&few, &many])])
    }

    fn reconnect(&self) -> Result<Vec<Sample>, Failure> {
        let (talk, connections) = (self.open(500, 1_000.0), self.count(10_000));
        let what = format!("{connections} connections break while {} go on talking", 2 * talk.pairs);
        let run = self.player.reconnect(&self.start(Name::Sealwire, 0)?, talk, connections)?;
        let back = run.figure("until everybody was back (seconds)");
        Ok(vec![
            sample(format!("{what}: until all are back"), Wanted::AtMost(30.0), "s", back, &[&run]),
            sample(
                format!("{what}: their p99 latency meanwhile"),
                Wanted::AtMost(100.0),
                "ms",
                run.of("reconnect", "/delivery/p99"),
                &[&run],
            ),
        ])
    }

    fn offline(&self, name: Name, wanted: f64) -> Result<Vec<Sample>, Failure> {
        let pairs = self.count(500);
        let run = self.player.offline(&self.start(name, 0)?, pairs, 200)?;
        let (stored, drained) = (run.of("store", "/answered_per_second"), run.of("drain", "/delivered_per_second"));
        let what = format!("{}: mail of {pairs} writers", name.words());
        Ok(vec![
            sample(format!("{what}, promised as `queued`"), Wanted::AtLeast(wanted), "messages/s", stored, &[&run]),
            sample(format!("{what}, drained, to stored"), Wanted::AtLeast(1.0), "", ratio(drained, stored), &[&run]),
        ])
    }

    fn rate(&self, talk: &Talk) -> String {
        short(talk.rate.unwrap_or_default())
    }
}

fn ratio(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    let other = other.filter(|other| *other > 0.0)?;
    Some(one? / other)
}

fn sample(what: String, wanted: Wanted, unit: &'static str, value: Option<f64>, runs: &[&Run]) -> Sample {
    Sample { what, wanted, unit, value, good: runs.iter().all(|run| run.is_good()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(value: f64, good: bool) -> Vec<Sample> {
        let sample = |wanted| Sample { what: "w".to_owned(), wanted, unit: "ms", value: Some(value), good };
        vec![sample(Wanted::AtMost(10.0)), sample(Wanted::AtLeast(10.0))]
    }

    #[test]
    fn a_goal_is_held_by_the_median_and_by_nothing_that_has_lost_messages() {
        let held = |rounds: Vec<Vec<Sample>>| merge(rounds).iter().map(|goal| goal.held).collect::<Vec<_>>();
        assert_eq!(held(vec![round(9.0, true), round(99.0, true), round(1.0, true)]), [true, false]);
        assert_eq!(held(vec![round(12.0, true)]), [false, true]);
        assert_eq!(held(vec![round(1.0, true), round(2.0, false)]), [false, false]);
        assert_eq!(merge(vec![round(9.0, true)])[0].cells(), ["w", "at most 10 ms", "9 ms", "held"]);
    }

    #[test]
    fn a_figure_that_is_missing_is_not_held() {
        let missing = Sample { value: None, ..round(0.0, true).remove(0) };
        assert!(!merge(vec![vec![missing]])[0].held);
    }
}
