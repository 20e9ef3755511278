//! What is said of a server: medians over the rounds, and what it promises for that.

use serde::Serialize;
use serde_json::Value;

use super::args::{Amount, Name};
use super::player::{Run, median, slope};

/// One round with one server.
pub(super) struct Round {
    /// At the fixed rate.
    pub(super) fixed: Run,
    /// As fast as it answers.
    pub(super) full: Run,
    /// With few idle connections, and with many.
    pub(super) idle: [Run; 2],
}

/// A server's figures.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    #[serde(skip)]
    pub(super) name: Name,
    pub(super) server: &'static str,
    pub(super) version: String,
    pub(super) promise: Promise,
    /// Nothing was lost, repeated or out of order in any round.
    pub(super) good: bool,
    pub(super) medians: Medians,
    #[serde(skip)]
    pub(super) curve: Vec<(f64, f64)>,
    /// The reports of all rounds.
    rounds: Vec<Value>,
}

/// Times in milliseconds, processor time in microseconds, memory in bytes.
#[derive(Debug, Serialize)]
pub(super) struct Medians {
    /// Of the server, for each message that was delivered at the fixed rate.
    pub(super) cpu: Option<f64>,
    /// The same with MongoDB and Redis, where the server has them.
    pub(super) cpu_with_companions: Option<f64>,
    /// From when a message was due until it was delivered, at the fixed rate.
    pub(super) mean: Option<f64>,
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    /// Messages delivered in a second of the closed loop.
    pub(super) saturation: Option<f64>,
    /// The same in frames, as many as [`Promise::frames`] counts for each.
    pub(super) saturation_frames: Option<f64>,
    /// Resident memory for each idle connection: the slope between the two counts.
    pub(super) memory: Option<f64>,
}

/// What a server does for a message, as it is measured here.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Promise {
    /// Whether the sender is told that it was taken.
    pub(super) acknowledged: &'static str,
    /// Whether it is on disk before that.
    pub(super) on_disk: &'static str,
    /// Whether the sender hears that it was delivered.
    pub(super) receipt: &'static str,
    /// Whether it is encrypted from end to end.
    pub(super) encrypted: &'static str,
    /// Frames of all kinds that a message needs, before they are coalesced.
    pub(super) frames: u32,
    /// What else is said for it.
    pub(super) besides: &'static str,
}

impl Promise {
    /// Of this server.
    pub(super) fn of(name: Name) -> Self {
        let (acknowledged, on_disk, receipt, encrypted, frames, besides) = match name {
            Name::Limit => ("yes", "no, nothing is kept", "yes", "not checked", 4, ""),
            Name::Sealwire | Name::Cluster => {
                ("yes", "yes, unless a device has acknowledged it first", "yes", "yes, in the protocol", 4, "")
            }
            Name::Ejabberd => (
                "yes (XEP-0198)",
                "no",
                "no: the reader's acknowledgement ends at the server",
                "no: clients may add OMEMO",
                2,
                " and `<r/>`, `<a/>` on both sides",
            ),
            Name::Nats => ("no", "no", "no", "no", 2, ""),
            Name::Mosquitto => {
                ("yes (QoS 1)", "no", "no: the reader's acknowledgement ends at the server", "no", 4, "")
            }
        };
        Self { acknowledged, on_disk, receipt, encrypted, frames, besides }
    }
}

impl Measured {
    /// From all rounds.
    pub(super) fn new(name: Name, version: String, rounds: &[Round], amount: &Amount) -> Self {
        let runs = |round: &Round| {
            let [few, many] = &round.idle;
            [&round.fixed, &round.full, few, many].map(|run| run.0.clone())
        };
        let good =
            rounds.iter().all(|round| [&round.fixed, &round.full].into_iter().chain(&round.idle).all(Run::is_good));
        Self {
            name,
            server: name.words(),
            version,
            promise: Promise::of(name),
            good,
            medians: Medians::new(rounds, amount, f64::from(Promise::of(name).frames)),
            curve: rounds.first().map(|round| round.fixed.curve("chat")).unwrap_or_default(),
            rounds: rounds.iter().map(|round| Value::from(runs(round).to_vec())).collect(),
        }
    }
}

impl Medians {
    fn new(rounds: &[Round], amount: &Amount, frames: f64) -> Self {
        let saturation = median(rounds.iter().map(|round| round.full.delivered()));
        let fixed = |path: &str| median(rounds.iter().map(|round| round.fixed.of("chat", path)));
        let with_companions = rounds
            .iter()
            .map(|round| Some(round.fixed.cpu()? + round.fixed.of("chat", "/companions/cpu_micros_per_message")?));
        let [few, many] = amount.idle;
        let memory = rounds.iter().map(|round| slope((few, &round.idle[0]), (many, &round.idle[1])));
        Self {
            cpu: median(rounds.iter().map(|round| round.fixed.cpu())),
            cpu_with_companions: median(with_companions),
            mean: fixed("/delivery/mean"),
            p50: fixed("/delivery/p50"),
            p99: fixed("/delivery/p99"),
            saturation,
            saturation_frames: saturation.map(|messages| messages * frames),
            memory: median(memory),
        }
    }
}
