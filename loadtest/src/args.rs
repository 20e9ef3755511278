//! What can be asked for.

use std::net::SocketAddrV4;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::compare::args::{Compare, Goals};
use crate::dialect::Dialect;
use crate::target::Target;

/// Puts a Sealwire server under load, checks every message, and says what it cost.
///
/// The exit code is 0 when all went well, 1 when a message was lost, repeated, overtaken or not answered, somebody was kept out, or
/// the run could not be done, and 2 for wrong arguments. README.md says what has to be lifted on the server first.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Play(Box<Scenario>),
    Compare(Box<Compare>),
    Goals(Box<Goals>),
    /// Runs a bare relay instead: what it needs is the cost of the frames themselves. It moves the same four frames for each message between people
    /// who are connected, lets everybody in, and checks, stores and promises nothing. Load it with --unsealed.
    Limit {
        /// Where it listens; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:8090")]
        listen: SocketAddrV4,
        /// Threads; one for each core if absent.
        #[arg(long)]
        threads: Option<usize>,
        /// Milliseconds that a status may wait for others; the protocol allows 20.
        #[arg(long, default_value_t = 20)]
        status_delay: u64,
    },
}

/// What is played.
#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    /// Everybody logs in and says nothing: what a connection costs.
    Idle {
        #[command(flatten)]
        common: Common,
        /// Connections.
        #[arg(long, default_value_t = 1000)]
        connections: usize,
        /// Seconds to stay.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Pairs write to each other, both ways.
    Chat {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        talk: Talk,
        /// Connections in all; those beyond the pairs sit there.
        #[arg(long)]
        connections: Option<usize>,
    },
    /// Mail for people who are away: it is stored, then all of them fetch it at once.
    Offline {
        #[command(flatten)]
        common: Common,
        /// Writers, each with one addressee.
        #[arg(long, default_value_t = 100)]
        pairs: usize,
        /// Unanswered messages of each writer.
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
        window: u32,
        /// Messages for each addressee; a mailbox takes 1,000 of one sender.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
        each: u32,
    },
    /// Many connections break at once and all come back, while pairs go on talking.
    Reconnect {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        talk: Talk,
        /// Connections that break, besides those of the pairs.
        #[arg(long, default_value_t = 1000)]
        connections: usize,
    },
    /// People with several devices are written to.
    Fanout {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        talk: Talk,
        /// Devices of each addressee.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10))]
        devices: u64,
    },
    /// A day's shape: people write more at ten than at four, leave for a while and fetch their mail, connections break.
    Mixed {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        talk: Talk,
        /// Connections that only sit there, and break once a day, besides those of the pairs.
        #[arg(long, default_value_t = 100)]
        connections: usize,
    },
    /// Many such days, one after the other: does memory grow, does anything get lost in the long run?
    Soak {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        talk: Talk,
        /// Connections that only sit there, and break once a day, besides those of the pairs.
        #[arg(long, default_value_t = 100)]
        connections: usize,
        /// Days, of --seconds each.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        days: u64,
    },
}

/// Who writes how much.
#[derive(Debug, Clone, Args)]
pub(crate) struct Talk {
    /// Pairs.
    #[arg(long, default_value_t = 100)]
    pub(crate) pairs: usize,
    /// Messages a second over all pairs, whatever the server does (open loop); latency counts from the time when a message was due.
    #[arg(long, conflicts_with = "window")]
    pub(crate) rate: Option<f64>,
    /// Unanswered messages of each writer; an answer makes room for the next one (closed loop). Without either: --rate 1000.
    #[arg(long)]
    pub(crate) window: Option<u32>,
    /// Seconds that count.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Seconds before them whose latencies do not count.
    #[arg(long, default_value_t = 2)]
    pub(crate) warm_up: u64,
}

/// What every scenario takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The server.
    #[arg(long, default_value = "ws://127.0.0.1:8080/ws")]
    pub(crate) url: Target,
    /// Threads that talk; one for each core if absent.
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// A file that keeps the 64 RSA keys that all accounts share; it is made when it is missing. Without it new ones are made
    /// for each run, which takes up to a minute.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Part of the names of the accounts: letters and digits. Random if absent.
    #[arg(long, value_name = "TAG", value_parser = tag)]
    pub(crate) name: Option<String>,
    /// The accounts were made by an earlier run with the same --name, --keys, --threads and numbers: log in, do not register.
    #[arg(long, requires_all = ["name", "keys"])]
    pub(crate) returning: bool,
    /// Connections that come from one address of 127.0.0.0/8; the server lets 20 new ones come from an address in 10 s.
    #[arg(long, default_value_t = 10)]
    pub(crate) per_address: usize,
    /// Log-ins under way at a time; the server waits 10 s for the answer to a challenge.
    #[arg(long, default_value_t = 500)]
    pub(crate) greetings: usize,
    /// Milliseconds, 0 to 50, that an acknowledgement waits for a message that takes it along (protocol section 6).
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(0..=50))]
    pub(crate) ack_delay: u64,
    /// Microseconds between two looks at what is due in an open loop. Half of it is part of the measured latency.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tick: u64,
    /// Bytes of a message's content before padding to 256 bytes or a Padme length.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=500_000))]
    pub(crate) bytes: u64,
    /// What the server speaks. Accounts of other servers must exist already: lt-NAME-0, lt-NAME-1 and so on, for XMPP with the password
    /// `loadtest` at `localhost`. `idle` and `chat` are played in all of them.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) dialect: Dialect,
    /// Seals no message for real; for `limit`, which computes no hash that such a message needs to be opened.
    #[arg(long)]
    pub(crate) unsealed: bool,
    /// Seconds without any progress after which something is given up.
    #[arg(long, default_value_t = 30)]
    pub(crate) patience: u64,
    /// A process of the server on this machine, to see what it uses; for a cluster several times.
    #[arg(long, value_name = "PID", conflicts_with = "metrics_url")]
    pub(crate) server_pid: Vec<u32>,
    /// A process that the server needs besides, such as its database; what it uses is reported by itself.
    #[arg(long, value_name = "PID")]
    pub(crate) companion_pid: Vec<u32>,
    /// The same from http://HOST:PORT/metrics of a server elsewhere.
    #[arg(long, value_name = "URL")]
    pub(crate) metrics_url: Option<String>,
    /// Writes everything that was measured to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The same as a page with plots; it needs nothing but itself.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// No progress on standard error.
    #[arg(long)]
    pub(crate) quiet: bool,
}

fn tag(text: &str) -> Result<String, String> {
    let good = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    good.then(|| text.to_owned()).ok_or_else(|| "expected 1 to 16 lower-case letters and digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
