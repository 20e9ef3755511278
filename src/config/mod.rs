//! The configuration: a TOML file, then `SEALWIRE_*` variables, then flags, each above the one before.
//!
//! Every key stands in one table ([`keys`]): reading, the printout of `check-config`, the reference page and the
//! example file walk it, so none of them can forget a key.

pub(crate) mod bus;
pub(crate) mod key;
pub(crate) mod limits;
mod load;
pub(crate) mod log;
pub(crate) mod metrics;
mod problem;
pub(crate) mod reference;
pub(crate) mod secret;
pub(crate) mod server;
pub(crate) mod setting;
mod sources;
pub(crate) mod store;
pub(crate) mod timing;

#[cfg(test)]
pub(crate) mod tests;

use self::{
    bus::BusSection, key::Key, limits::EdgeLimits, log::Log, metrics::MetricsSection, server::Server,
    store::StoreSection,
};
pub(crate) use self::{
    load::{Loaded, Overrides, load},
    problem::{Place, Problems},
    sources::Surroundings,
};

/// Everything that an operator may set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// `[server]`
    pub(crate) server: Server,
    /// `[store]`
    pub(crate) store: StoreSection,
    /// `[bus]`
    pub(crate) bus: BusSection,
    /// `[limits]`, the broker's part.
    pub(crate) limits: sealwire_actors::Limits,
    /// `[limits]`, the edge's part.
    pub(crate) edge: EdgeLimits,
    /// `[timing]`
    pub(crate) timing: sealwire_actors::Timing,
    /// `[metrics]`
    pub(crate) metrics: MetricsSection,
    /// `[log]`
    pub(crate) log: Log,
}

/// A key whose value is right by itself and wrong in its place.
#[derive(Debug)]
pub(crate) struct Fault {
    key: String,
    text: String,
}

impl Fault {
    /// What is expected of `key` (`section.name`).
    pub(crate) fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), text: text.into() }
    }
}

impl Config {
    /// Everything that the single values could not tell.
    pub(crate) fn validate(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.server.validate(&mut faults);
        self.metrics.validate(self.server.listen, &mut faults);
        self.store.validate(&mut faults);
        self.bus.validate(&self.store, &mut faults);
        limits::validate(&self.limits, &mut faults);
        self.edge.validate(&mut faults);
        timing::validate(&self.timing, &mut faults);
        faults
    }
}

/// The sections in the order of the pages, each with its title.
const SECTIONS: [(&str, &str); 7] = [
    ("server", "Where the server listens, under which names, and behind what."),
    ("store", "Where accounts and undelivered mail are kept."),
    ("bus", "What links the nodes of a cluster; a node alone has none."),
    ("limits", "What a peer may make the node hold or compute."),
    ("timing", "Times of the protocol and of the delivery rules."),
    ("metrics", "What operators and their machines see of the node."),
    ("log", "What is written to standard error, and how."),
];

/// Every key, section by section.
pub(crate) fn keys() -> impl Iterator<Item = &'static Key> {
    [server::KEYS, store::KEYS, bus::KEYS, limits::BROKER_KEYS, limits::KEYS, timing::KEYS, metrics::KEYS, log::KEYS]
        .into_iter()
        .flatten()
}
