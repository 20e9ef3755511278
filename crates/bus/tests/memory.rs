//! The suite on the bus in memory, and the faults that only it has.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sealwire_bus::conformance::World;
use sealwire_bus::{Arrival, Bus, MemoryHub, NodeId};

struct Memory(MemoryHub);

#[async_trait]
impl World for Memory {
    async fn node(&self) -> Arc<dyn Bus> {
        Arc::new(self.0.join())
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

mod suite {
    sealwire_bus::conformance::suite!(super::Memory(super::MemoryHub::new()));
}

fn frames(from: NodeId, gap: bool, texts: &[&'static str]) -> Option<Arrival> {
    Some(Arrival::Frames { from, gap, frames: texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect() })
}

#[test]
fn frames_get_lost_on_command_and_the_next_one_shows_it() {
    let hub = MemoryHub::new();
    let (a, b) = (hub.join(), hub.join());
    hub.lose(a.node(), b.node(), 2);
    for text in ["one", "two", "three", "four"] {
        assert!(a.send(b.node(), text.into()));
    }
    assert_eq!(b.try_next(), Some(Arrival::Connected));
    assert_eq!(b.try_next(), frames(a.node(), true, &["three", "four"]));
    assert_eq!(b.try_next(), None);
}

#[tokio::test]
async fn what_is_frozen_moves_later_and_answers_nothing_meanwhile() {
    let hub = MemoryHub::new();
    let (a, b) = (hub.join(), hub.join());
    hub.freeze();
    assert!(a.send(b.node(), "one".into()));
    assert!(a.renew().await.is_err());
    assert_eq!((b.try_next(), b.try_next()), (Some(Arrival::Connected), None));
    hub.thaw();
    assert!(a.renew().await.is_ok());
    assert_eq!(b.try_next(), frames(a.node(), false, &["one"]));
}

#[tokio::test]
async fn a_restart_forgets_all_and_cuts_everybody_once() {
    let hub = MemoryHub::new();
    let (a, b) = (hub.join(), hub.join());
    a.renew().await.unwrap();
    assert!(a.send(b.node(), "one".into()));
    hub.restart_empty();
    assert!(!a.renew().await.unwrap().held);
    assert!(a.send(b.node(), "two".into()));
    assert_eq!(b.try_next(), Some(Arrival::Connected));
    assert_eq!(b.try_next(), frames(a.node(), false, &["one"]));
    assert_eq!((b.try_next(), b.try_next()), (Some(Arrival::Disconnected), Some(Arrival::Connected)));
    assert_eq!(b.try_next(), frames(a.node(), true, &["two"]));
}

#[test]
fn too_much_that_waits_is_refused() {
    let hub = MemoryHub::new();
    let (a, b) = (hub.join(), hub.join());
    let taken = (0..100_000).take_while(|_| a.send(b.node(), Bytes::new())).count();
    assert!(taken > 1000 && taken < 100_000, "{taken}");
    while b.try_next().is_some() {}
    assert!(a.send(b.node(), Bytes::new()));
}
