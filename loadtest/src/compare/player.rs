//! Plays scenarios against a server that was started here, and finds figures in what comes out.

use std::path::PathBuf;

use serde_json::Value;

use super::args::{Bench, Name, Programs};
use super::process::{Home, Server};
use super::servers::{self, TAG};
use crate::args::{Common, Scenario, Talk};
use crate::crew::{Failure, say};
use crate::dialect::Dialect;
use crate::{scenario, socket, stop};

/// Who plays.
pub(super) struct Player<'a> {
    pub(super) programs: &'a Programs,
    bench: &'a Bench,
    keys: PathBuf,
    /// Holds the keys where nobody wants to keep them.
    _home: Home,
}

/// What a run has shown.
#[derive(Debug, Clone)]
pub(super) struct Run(pub(super) Value);

impl<'a> Player<'a> {
    pub(super) fn new(programs: &'a Programs, bench: &'a Bench) -> Result<Self, Failure> {
        // Servers inherit what this process may do.
        socket::raise_open_files();
        let home = Home::new()?;
        let keys = bench.keys.clone().unwrap_or_else(|| home.path().join("keys"));
        Ok(Self { programs, bench, keys, _home: home })
    }

    /// Says what is going on.
    pub(super) fn say(&self, line: &str) {
        say(self.bench.quiet, line);
    }

    /// Starts a server that knows so many accounts.
    pub(super) fn start(&self, name: Name, accounts: usize) -> Result<Server, Failure> {
        servers::start(name, self.programs, accounts)
    }

    fn common(&self, server: &Server) -> Common {
        Common {
            url: server.address.into(),
            threads: self.bench.threads,
            keys: Some(self.keys.clone()),
            // ejabberd's accounts were made beforehand; all others make them, or have none.
            name: (server.dialect == Dialect::Xmpp).then(|| TAG.to_owned()),
            returning: false,
            per_address: 10,
            greetings: 500,
            ack_delay: 40,
            tick: 250,
            bytes: 64,
            dialect: server.dialect,
            // The same for all: opening what was sealed is no part of what is compared.
            unsealed: true,
            patience: self.bench.patience,
            server_pid: server.pids.clone(),
            companion_pid: server.companions.clone(),
            metrics_url: None,
            json: None,
            html: None,
            quiet: true,
        }
    }

    /// Pairs write to each other.
    pub(super) fn chat(&self, server: &Server, talk: Talk, connections: usize) -> Result<Run, Failure> {
        let connections = Some(connections.max(2 * talk.pairs));
        self.play(&Scenario::Chat { common: self.common(server), talk, connections })
    }

    /// Everybody says nothing, for so long that a server gives back what it took for the log-ins.
    pub(super) fn idle(&self, server: &Server, connections: usize, seconds: u64) -> Result<Run, Failure> {
        self.play(&Scenario::Idle { common: self.common(server), connections, seconds })
    }

    /// Many break and come back while pairs talk.
    pub(super) fn reconnect(&self, server: &Server, talk: Talk, connections: usize) -> Result<Run, Failure> {
        self.play(&Scenario::Reconnect { common: self.common(server), talk, connections })
    }

    /// Mail is stored, then fetched.
    pub(super) fn offline(&self, server: &Server, pairs: usize, each: u32) -> Result<Run, Failure> {
        self.play(&Scenario::Offline { common: self.common(server), pairs, window: 32, each })
    }

    fn play(&self, scenario: &Scenario) -> Result<Run, Failure> {
        let report = scenario::play(scenario)?;
        if stop::is_wanted() {
            return Err(Failure::Stopped);
        }
        if !report.is_good() {
            self.say(&report.to_table());
        }
        Ok(Run(serde_json::to_value(&report).expect("figures have string keys and no failing Serialize")))
    }
}

impl Run {
    /// Whether nothing was lost, repeated or out of order.
    pub(super) fn is_good(&self) -> bool {
        self.0["check"]["good"] == true
    }

    /// A figure of a part of the run, by its path in the JSON.
    pub(super) fn of(&self, period: &str, path: &str) -> Option<f64> {
        let periods = self.0["periods"].as_array()?;
        periods.iter().find(|found| found["name"] == period)?.pointer(path)?.as_f64()
    }

    /// Of a chat: the server's processor time for each message that was delivered, in microseconds.
    pub(super) fn cpu(&self) -> Option<f64> {
        self.of("chat", "/server/cpu_micros_per_message")
    }

    /// Of a chat: messages that were delivered in a second.
    pub(super) fn delivered(&self) -> Option<f64> {
        self.of("chat", "/delivered_per_second")
    }

    /// A single figure.
    pub(super) fn figure(&self, name: &str) -> Option<f64> {
        self.0["figures"][name].as_f64()
    }

    /// Pairs of a share and the latency, in milliseconds, that it did not exceed.
    pub(super) fn curve(&self, period: &str) -> Vec<(f64, f64)> {
        let periods = self.0["periods"].as_array().into_iter().flatten();
        let curve =
            periods.filter(|found| found["name"] == period).filter_map(|found| found["delivery"]["curve"].as_array());
        let pair = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_f64()?));
        curve.flatten().filter_map(pair).collect()
    }
}

/// The server's resident memory, in bytes, for each of the idle connections by which two runs differ.
pub(super) fn slope(few: (usize, &Run), many: (usize, &Run)) -> Option<f64> {
    let memory = |run: &Run| run.of("idle", "/server/memory_bytes_end");
    Some((memory(many.1)? - memory(few.1)?) / many.0.saturating_sub(few.0).max(1) as f64)
}

/// The one in the middle; the mean of two where there are two.
pub(super) fn median(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().flatten().collect();
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_one_in_the_middle() {
        assert_eq!(median([Some(9.0), Some(1.0), None, Some(2.0)]), Some(2.0));
        assert_eq!(median([Some(3.0), Some(1.0)]), Some(2.0));
        assert_eq!(median([None, None]), None);
    }
}
