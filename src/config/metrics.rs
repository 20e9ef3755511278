//! `[metrics]`: what operators and their machines see of the node.

use std::net::SocketAddr;

use super::{Fault, key::section};

section! {
    /// What operators and their machines see of the node.
    struct MetricsSection in "metrics" at metrics;

    #[doc = "Address and port of a listener that serves `/metrics` (Prometheus' text format), `/healthz` and `/readyz` over plain HTTP; empty is none, port 0 takes a free one. Whoever reaches it sees how many people are here and how much they write, though not who: keep it to the operator's network. The public listener never serves `/metrics`."]
    listen: Option<SocketAddr> = None;
}

impl MetricsSection {
    /// Checks that the two listeners are not one.
    pub(crate) fn validate(&self, public: SocketAddr, faults: &mut Vec<Fault>) {
        if self.listen.is_some_and(|own| own == public && own.port() != 0) {
            faults.push(Fault::new("metrics.listen", "expected another address or port than server.listen has"));
        }
    }
}
