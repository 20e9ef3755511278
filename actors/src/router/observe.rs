//! What this node's end of the link says of itself.

use super::link::Link;
use crate::health::BusHealth;
use crate::metrics::{Metric, Samples};

impl Link {
    /// How it is now.
    pub(crate) fn health(&self) -> BusHealth {
        match (self.bus.stats().linked, self.is_up()) {
            (_, true) => BusHealth::Linked,
            (true, false) => BusHealth::NoLease,
            (false, false) => BusHealth::Cut,
        }
    }

    /// Says what has gone over it.
    pub(crate) fn observe(&self, samples: &mut Samples) {
        let stats = self.bus.stats();
        samples.gauge(Metric::BusLinked, &[], usize::from(stats.linked));
        samples.gauge(Metric::BusLeaseHeld, &[], usize::from(self.is_up()));
        samples.gauge(Metric::BusPeers, &[], self.peers().len());
        samples.gauge(Metric::BusFramesWaiting, &[], usize::try_from(stats.waiting).unwrap_or(usize::MAX));
        samples.total(Metric::BusLinks, stats.links);
        samples.total(Metric::BusLeasesLost, self.losses());
        samples.total(Metric::BusFramesSent, stats.sent);
        samples.total(Metric::BusFramesReceived, stats.received);
        samples.total(Metric::BusFramesDropped, stats.dropped);
        samples.total(Metric::BusFramesUnheard, stats.unheard);
        samples.total(Metric::BusPublishes, stats.publishes);
        samples.total(Metric::BusBytes, stats.bytes);
        samples.counter(Metric::BusGaps, &self.gaps);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sealwire_bus::MemoryHub;

    use super::*;
    use crate::clock::Clock;
    use crate::metrics::Value;
    use crate::spool::{Bounds, SpoolQueue};

    #[tokio::test]
    async fn a_node_without_its_lease_is_not_linked_and_says_so() {
        let (clock, spool) = (Arc::new(Clock::new(0)), Arc::new(SpoolQueue::new(Bounds::default())));
        let bus = Arc::new(MemoryHub::new().join());
        let link = Link::new(bus, clock.clone(), Arc::default(), spool, tokio::runtime::Handle::current());
        let said = |link: &Link, metric| {
            let mut samples = Samples::default();
            link.observe(&mut samples);
            let samples = samples.into_inner();
            samples.into_iter().find(|sample| sample.metric == metric).map(|sample| sample.value)
        };
        let number = |number| Some(Value::Number(number));
        assert_eq!((link.health(), said(&link, Metric::BusLeaseHeld)), (BusHealth::Cut, number(0.0)));
        link.lease.renew(clock.now());
        assert_eq!((link.health(), said(&link, Metric::BusLeaseHeld)), (BusHealth::Linked, number(1.0)));
        link.lease.lose();
        link.gaps.add_one();
        assert_eq!((link.health(), said(&link, Metric::BusLeasesLost)), (BusHealth::Cut, number(1.0)));
        assert_eq!(said(&link, Metric::BusGaps), number(1.0));
    }
}
