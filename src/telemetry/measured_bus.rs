//! The bus as the metrics see it: how long each request takes, and which are not answered. No bus knows of it.

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use sealwire_actors::metrics::{Metric, Samples};
use sealwire_bus::{Arrival, Bus, BusError, BusStats, NodeId, Place, Renewal, SharedRate, SlotPut};
use sealwire_protocol::{DeviceId, Username};

use super::requests::Requests;

sealwire_actors::label! {
    /// What is asked of a bus. Sending and hearing are no requests: nobody waits for an answer.
    enum Operation: "operation";
    #[doc = "[`Bus::renew`]"]
    Renew = "renew",
    #[doc = "[`Bus::release`]"]
    Release = "release",
    #[doc = "[`Bus::enter`]"]
    Enter = "enter",
    #[doc = "[`Bus::leave`]"]
    Leave = "leave",
    #[doc = "[`Bus::enter_again`]"]
    EnterAgain = "enter_again",
    #[doc = "[`Bus::find`]"]
    Find = "find",
    #[doc = "[`Bus::show`]"]
    Show = "show",
    #[doc = "[`Bus::watch`]"]
    Watch = "watch",
    #[doc = "[`Bus::count`]"]
    Count = "count",
    #[doc = "[`Bus::put_slot`]"]
    PutSlot = "put_slot",
    #[doc = "[`Bus::take_slot`]"]
    TakeSlot = "take_slot",
}

sealwire_actors::label! {
    /// Why a request came to nothing.
    enum Failure: "kind";
    #[doc = "[`BusError::Unavailable`], also of a bus that could not be opened."]
    Unavailable = "unavailable",
    #[doc = "Nobody waited for the answer any longer."]
    TooLate = "too_late",
}

/// What was asked of the bus.
#[derive(Debug, Default)]
pub(crate) struct BusCounts(Requests<Operation, Failure>);

impl BusCounts {
    /// Says what was counted.
    pub(crate) fn observe(&self, samples: &mut Samples) {
        self.0.observe(Metric::BusSeconds, Metric::BusErrors, samples);
    }
}

/// A bus that is measured.
pub(crate) struct MeasuredBus {
    bus: Arc<dyn Bus>,
    counts: Arc<BusCounts>,
}

impl MeasuredBus {
    /// Measures what is asked of `bus`.
    pub(crate) fn new(bus: Arc<dyn Bus>, counts: Arc<BusCounts>) -> Self {
        Self { bus, counts }
    }

    async fn time<T>(
        &self,
        operation: Operation,
        answer: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        self.counts.0.time(operation, answer, |_| Failure::Unavailable, Failure::TooLate).await
    }
}

#[async_trait]
impl Bus for MeasuredBus {
    fn node(&self) -> NodeId {
        self.bus.node()
    }

    fn send(&self, to: NodeId, frame: Bytes) -> bool {
        self.bus.send(to, frame)
    }

    fn stats(&self) -> BusStats {
        self.bus.stats()
    }

    async fn next(&self) -> Arrival {
        self.bus.next().await
    }

    async fn renew(&self) -> Result<Renewal, BusError> {
        self.time(Operation::Renew, self.bus.renew()).await
    }

    async fn release(&self) -> Result<(), BusError> {
        self.time(Operation::Release, self.bus.release()).await
    }

    async fn enter(&self, device: &DeviceId, connection: u64) -> Result<Option<Place>, BusError> {
        self.time(Operation::Enter, self.bus.enter(device, connection)).await
    }

    async fn leave(&self, device: &DeviceId, connection: u64) -> Result<(), BusError> {
        self.time(Operation::Leave, self.bus.leave(device, connection)).await
    }

    async fn enter_again(&self, entries: &[(DeviceId, u64)]) -> Result<Vec<DeviceId>, BusError> {
        self.time(Operation::EnterAgain, self.bus.enter_again(entries)).await
    }

    async fn find(&self, devices: &[DeviceId]) -> Result<Vec<Option<Place>>, BusError> {
        self.time(Operation::Find, self.bus.find(devices)).await
    }

    async fn show(&self, name: &Username, online: bool) -> Result<Vec<NodeId>, BusError> {
        self.time(Operation::Show, self.bus.show(name, online)).await
    }

    async fn watch(&self, name: &Username, watches: bool) -> Result<Vec<NodeId>, BusError> {
        self.time(Operation::Watch, self.bus.watch(name, watches)).await
    }

    async fn count(&self, key: &str, rate: SharedRate) -> Result<Result<(), u64>, BusError> {
        self.time(Operation::Count, self.bus.count(key, rate)).await
    }

    async fn put_slot(
        &self,
        slot: &[u8; 16],
        side: u8,
        data: Bytes,
        life: Duration,
        most: usize,
    ) -> Result<SlotPut, BusError> {
        self.time(Operation::PutSlot, self.bus.put_slot(slot, side, data, life, most)).await
    }

    async fn take_slot(&self, slot: &[u8; 16], side: u8) -> Result<Option<Bytes>, BusError> {
        self.time(Operation::TakeSlot, self.bus.take_slot(slot, side)).await
    }
}

#[cfg(test)]
mod tests {
    use sealwire_actors::metrics::Value;
    use sealwire_bus::MemoryHub;

    use super::*;

    /// What is measured passes the suite like what is not.
    mod conformance {
        use std::{sync::Arc, time::Duration};

        use async_trait::async_trait;
        use sealwire_bus::{Bus, MemoryHub, NodeId, conformance::World};

        use super::super::MeasuredBus;

        struct Measured(MemoryHub);

        #[async_trait]
        impl World for Measured {
            async fn node(&self) -> Arc<dyn Bus> {
                Arc::new(MeasuredBus::new(Arc::new(self.0.join()), Arc::default()))
            }

            async fn pass(&self, time: Duration) {
                self.0.advance(time);
            }

            async fn cut(&self, node: NodeId) {
                self.0.cut(node);
            }

            async fn link(&self, node: NodeId) {
                self.0.link(node);
            }
        }

        sealwire_bus::conformance::suite!(Measured(MemoryHub::new()));
    }

    #[tokio::test]
    async fn each_request_is_measured_and_each_failure_counted() {
        let counts = Arc::new(BusCounts::default());
        let bus = MeasuredBus::new(Arc::new(MemoryHub::new().join()), counts.clone());
        bus.renew().await.expect("the memory answers");
        let gone = async { Err::<(), _>(BusError::Unavailable("a test".into())) };
        bus.time(Operation::Renew, gone).await.expect_err("unavailable");
        let never = bus.time(Operation::Renew, std::future::pending::<Result<(), BusError>>());
        tokio::time::timeout(Duration::ZERO, never).await.expect_err("it never answers");
        let mut samples = Samples::default();
        counts.observe(&mut samples);
        let samples = samples.into_inner();
        let of = |label: (&'static str, &'static str)| {
            samples.iter().find(|sample| sample.labels == [label]).map(|sample| sample.value.clone())
        };
        assert!(matches!(of(("operation", "renew")), Some(Value::Ranges { count: 3, .. })));
        for kind in ["unavailable", "too_late"] {
            assert!(matches!(of(("kind", kind)), Some(Value::Number(1.0))), "{kind}");
        }
    }
}
