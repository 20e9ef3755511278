//! What can be asked of a comparison.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A server that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// A bare relay of this program (`limit`).
    Limit,
    /// Sealwire with its embedded store.
    Sealwire,
    /// Sealwire with MongoDB and Redis.
    Cluster,
    /// ejabberd: XMPP over WebSocket with stream management.
    Ejabberd,
    /// nats-server over WebSocket.
    Nats,
    /// mosquitto: MQTT over WebSocket with QoS 1.
    Mosquitto,
}

impl Name {
    /// Everybody, in the order in which they are measured.
    pub(crate) const ALL: [Self; 6] =
        [Self::Limit, Self::Sealwire, Self::Cluster, Self::Ejabberd, Self::Nats, Self::Mosquitto];

    /// In the words of a report.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Sealwire => "Sealwire",
            Self::Cluster => "Sealwire, MongoDB, Redis",
            Self::Ejabberd => "ejabberd",
            Self::Nats => "nats-server",
            Self::Mosquitto => "mosquitto",
        }
    }
}

/// How a server under measurement is to be had.
#[derive(Debug, Clone, Args)]
pub(crate) struct Programs {
    /// The program of Sealwire, as a release build; without it the one beside this program.
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<PathBuf>,
    /// The MongoDB of `cluster`; without it three members are started with `mongod`.
    #[arg(long, value_name = "URL", requires = "bus_url")]
    pub(crate) store_url: Option<String>,
    /// The Redis of `cluster`; without it one is started with `redis-server`.
    #[arg(long, value_name = "URL", requires = "store_url")]
    pub(crate) bus_url: Option<String>,
    /// Processes of that MongoDB and Redis, so that what they use is seen.
    #[arg(long, value_name = "PID", requires = "store_url")]
    pub(crate) companion_pid: Vec<u32>,
    /// Installs what is missing of ejabberd, nats-server, mosquitto and redis-server from Debian's packages, as root or with sudo. None of
    /// them is left running.
    #[arg(long)]
    pub(crate) install: bool,
}

/// Compares Sealwire with others: starts one after the other on this machine, plays the same with each, and says what that took.
#[derive(Debug, Clone, Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    pub(crate) programs: Programs,
    /// Who takes part; everybody if absent.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) only: Vec<Name>,
    /// Once, with a tenth of the load: a look whether everything works, which takes some two minutes. What is named beside it stays as named.
    #[arg(long)]
    pub(crate) quick: bool,
    /// How often everything is measured; medians are shown (usually 3).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// Pairs that talk at the fixed rate (usually 500).
    #[arg(long)]
    pub(crate) pairs: Option<usize>,
    /// Connections meanwhile, the pairs' included (usually 2000).
    #[arg(long)]
    pub(crate) connections: Option<usize>,
    /// Messages a second over all pairs (usually 5000). Above what a server carries its latencies say nothing.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Pairs that talk as fast as they are answered (usually 200).
    #[arg(long)]
    pub(crate) full_pairs: Option<usize>,
    /// Unanswered messages of each writer meanwhile (usually 16).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: Option<u32>,
    /// Seconds of each of both (usually 5).
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Two numbers of idle connections; memory for each is what lies between them (usually 1000,5000).
    #[arg(long, value_name = "FEW,MANY", value_parser = two_counts)]
    pub(crate) idle: Option<[usize; 2]>,
    /// Seconds that these say nothing before memory is read (usually 10).
    #[arg(long)]
    pub(crate) idle_seconds: Option<u64>,
    /// Measures `goals` as well, with a fiftieth of the load in a --quick run.
    #[arg(long)]
    pub(crate) goals: bool,
    #[command(flatten)]
    pub(crate) bench: Bench,
    /// Writes a page for docs/ to this file, and its plots into a folder of the same name beside it.
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

/// What the project wants to hold on one machine with two cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topic {
    /// 1,000 pairs of 10,000 connections at 50,000 messages a second.
    Chat,
    /// 5,000 pairs at 20,000 messages a second.
    Everybody,
    /// Processor time for a message, beside `limit`.
    Cost,
    /// What is carried at most, beside `limit`.
    Saturation,
    /// Processor time beside ejabberd, and what is carried at most beside nats-server.
    Peers,
    /// Memory of 2,000, 10,000 and 18,000 idle connections.
    Memory,
    /// Processor time for a message with 1,000 and with 18,000 connections.
    Growth,
    /// 10,000 connections break and come back while 1,000 talk.
    Reconnect,
    /// Mail for people who are away, kept by the embedded store.
    Offline,
    /// The same, kept by MongoDB.
    OfflineCluster,
}

/// Measures what must hold, and says of each figure what is wanted, what was measured, and whether it holds. The exit code is 1 when
/// something falls short.
#[derive(Debug, Clone, Args)]
pub(crate) struct Goals {
    #[command(flatten)]
    pub(crate) programs: Programs,
    /// What is measured; everything if absent.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "TOPICS")]
    pub(crate) only: Vec<Topic>,
    /// How often everything is measured; medians count.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Share of the connections, pairs and rates that are meant; with less than 1 this tries the way and says nothing about the goals.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) scale: f64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Seconds before them whose latencies do not count.
    #[arg(long, default_value_t = 2)]
    pub(crate) warm_up: u64,
    /// Seconds that idle connections say nothing before memory is read.
    #[arg(long, default_value_t = 10)]
    pub(crate) idle_seconds: u64,
    #[command(flatten)]
    pub(crate) bench: Bench,
}

impl Goals {
    /// What is measured.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        let all = Topic::value_variants().iter().copied();
        all.filter(|topic| self.only.is_empty() || self.only.contains(topic)).collect()
    }
}

/// What all measurements take.
#[derive(Debug, Clone, Args)]
pub(crate) struct Bench {
    /// A file that keeps the 64 RSA keys that all accounts share; it is made when it is missing. Without it new ones are made
    /// once, which takes up to a minute.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Threads of the load generator; one for each core if absent.
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Seconds without any progress after which something is given up.
    #[arg(long, default_value_t = 30)]
    pub(crate) patience: u64,
    /// Writes everything that was measured to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// No progress on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// How much is played.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Amount {
    pub(crate) rounds: u32,
    pub(crate) pairs: usize,
    pub(crate) connections: usize,
    pub(crate) rate: f64,
    pub(crate) full_pairs: usize,
    pub(crate) window: u32,
    pub(crate) seconds: u64,
    pub(crate) warm_up: u64,
    pub(crate) idle: [usize; 2],
    pub(crate) idle_seconds: u64,
}

fn two_counts(text: &str) -> Result<[usize; 2], String> {
    let parse = |text: &str| text.trim().parse::<usize>().ok().filter(|count| *count > 0);
    let counts = text.split_once(',').and_then(|(few, many)| Some([parse(few)?, parse(many)?]));
    counts
        .filter(|[few, many]| few < many)
        .ok_or_else(|| "expected two numbers, the smaller one first, such as 1000,5000".to_owned())
}

impl Compare {
    /// What was asked for, and the rest as usual.
    pub(crate) fn amount(&self) -> Amount {
        let usual = if self.quick {
            Amount {
                rounds: 1,
                pairs: 50,
                connections: 200,
                rate: 500.0,
                full_pairs: 20,
                window: 16,
                seconds: 2,
                warm_up: 1,
                idle: [100, 500],
                idle_seconds: 2,
            }
        } else {
            Amount {
                rounds: 3,
                pairs: 500,
                connections: 2000,
                rate: 5000.0,
                full_pairs: 200,
                window: 16,
                seconds: 5,
                warm_up: 2,
                idle: [1000, 5000],
                idle_seconds: 10,
            }
        };
        let pairs = self.pairs.unwrap_or(usual.pairs);
        Amount {
            rounds: self.rounds.unwrap_or(usual.rounds),
            pairs,
            connections: self.connections.unwrap_or(usual.connections).max(2 * pairs),
            rate: self.rate.unwrap_or(usual.rate),
            full_pairs: self.full_pairs.unwrap_or(usual.full_pairs),
            window: self.window.unwrap_or(usual.window),
            seconds: self.seconds.unwrap_or(usual.seconds),
            warm_up: usual.warm_up,
            idle: self.idle.unwrap_or(usual.idle),
            idle_seconds: self.idle_seconds.unwrap_or(usual.idle_seconds),
        }
    }

    /// The goals that are measured with it, if any are.
    pub(crate) fn goals(&self) -> Option<Goals> {
        let Amount { rounds, seconds, warm_up, idle_seconds, .. } = self.amount();
        let scale = if self.quick { 0.02 } else { 1.0 };
        let (programs, bench) = (self.programs.clone(), self.bench.clone());
        let only = Vec::new();
        self.goals.then_some(Goals { programs, only, rounds, scale, seconds, warm_up, idle_seconds, bench })
    }

    /// Who takes part.
    pub(crate) fn names(&self) -> Vec<Name> {
        Name::ALL.into_iter().filter(|name| self.only.is_empty() || self.only.contains(name)).collect()
    }
}

impl Amount {
    /// The most connections of any measurement: so many accounts are needed.
    pub(crate) fn accounts(&self) -> usize {
        [self.connections, 2 * self.full_pairs, self.idle[0], self.idle[1]].into_iter().max().unwrap_or_default()
    }
}
