//! A Redis that dies, forgets, or falls silent, and connections that break. What holds throughout: nothing comes twice, nothing
//! comes out of order, and nothing that is missing is missing without a word.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sealwire_bus::conformance::World;
use sealwire_bus::{Arrival, Bus, NodeId, RedisBus, RedisOptions};
use sealwire_parts::RedisServer;
use tokio::task::JoinHandle;

use crate::world::{Real, join, until};

/// Sends numbers from 0 on, a few each millisecond, until it is ended.
fn count_to(from: Arc<RedisBus>, to: NodeId) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut number = 0_u64;
        loop {
            for _ in 0..5 {
                // What is refused was never sent.
                number += u64::from(from.send(to, Bytes::copy_from_slice(&number.to_be_bytes())));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

/// What a hearer of [`count_to`] has seen.
#[derive(Default)]
struct Heard {
    next: u64,
    gaps: usize,
    missing: u64,
}

impl Heard {
    fn take(&mut self, arrival: Arrival) {
        let Arrival::Frames { gap, frames, .. } = arrival else { return };
        for (i, frame) in frames.iter().enumerate() {
            let number = u64::from_be_bytes(frame[..].try_into().unwrap());
            assert!(number >= self.next, "{number} comes after {} was awaited: twice, or out of order", self.next);
            let told = gap && i == 0;
            assert!(told || number == self.next, "{number} comes instead of {}, and no gap was told", self.next);
            self.missing += number - self.next;
            self.next = number + 1;
        }
        self.gaps += usize::from(gap);
    }

    /// Hears so many arrivals.
    async fn hear(&mut self, bus: &RedisBus, arrivals: usize) {
        for _ in 0..arrivals {
            self.take(bus.next().await);
        }
    }

    async fn hear_until(&mut self, bus: &RedisBus, wanted: Arrival) {
        loop {
            let arrival = bus.next().await;
            if arrival == wanted {
                return;
            }
            self.take(arrival);
        }
    }

    /// Waits until one of the two nodes is told this.
    async fn wait(&mut self, sender: &RedisBus, hearer: &RedisBus, told: NodeId, wanted: Arrival) {
        if told == hearer.node() {
            self.hear_until(hearer, wanted).await;
        } else {
            until(sender, wanted).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_whoever_is_cut_off() {
    let world = Real::new().await;
    let (a, b) = (world.redis_node().await, world.redis_node().await);
    let sender = count_to(Arc::clone(&a), b.node());
    let mut heard = Heard::default();
    heard.hear(&b, 50).await;
    for node in [b.node(), a.node(), b.node(), a.node()] {
        world.cut(node).await;
        heard.wait(&a, &b, node, Arrival::Disconnected).await;
        world.link(node).await;
        heard.wait(&a, &b, node, Arrival::Connected).await;
        heard.hear(&b, 50).await;
    }
    sender.abort();
    assert!((4..=8).contains(&heard.gaps), "{} gaps of 4 cuts", heard.gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_killed_comes_back_empty_and_is_used_again() {
    let mut redis = RedisServer::start().await;
    let (a, b) = (Arc::new(join(&redis).await), join(&redis).await);
    assert!(!a.renew().await.unwrap().held && a.renew().await.unwrap().held);
    let sender = count_to(Arc::clone(&a), b.node());
    let mut heard = Heard::default();
    heard.hear(&b, 50).await;
    redis.kill();
    heard.hear_until(&b, Arrival::Disconnected).await;
    assert!(b.renew().await.is_err());
    redis.restart_empty().await;
    heard.hear_until(&b, Arrival::Connected).await;
    until(&a, Arrival::Connected).await;
    assert!(!a.renew().await.unwrap().held, "it has forgotten the lease, and the scripts too");
    heard.hear(&b, 50).await;
    sender.abort();
    assert!(heard.gaps > 0);
    assert_eq!((a.stats().links, b.stats().links), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_falls_silent_is_given_up_and_used_again_once_it_speaks() {
    let mut redis = RedisServer::start().await;
    let (a, b) = (Arc::new(join(&redis).await), join(&redis).await);
    let sender = count_to(Arc::clone(&a), b.node());
    let mut heard = Heard::default();
    heard.hear(&b, 50).await;
    redis.freeze();
    heard.hear_until(&b, Arrival::Disconnected).await;
    until(&a, Arrival::Disconnected).await;
    assert!(!a.send(b.node(), Bytes::new()) && a.find(&[]).await.is_err());
    redis.thaw();
    heard.hear_until(&b, Arrival::Connected).await;
    until(&a, Arrival::Connected).await;
    heard.hear(&b, 50).await;
    sender.abort();
    assert!(heard.gaps > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_all_is_noticed() {
    let world = Real::new().await;
    let (a, b) = (world.redis_node().await, world.redis_node().await);
    let sender = count_to(Arc::clone(&a), b.node());
    let mut heard = Heard::default();
    heard.hear(&b, 50).await;
    for node in [b.node(), a.node()] {
        world.swallow(node);
        heard.wait(&a, &b, node, Arrival::Disconnected).await;
        world.link(node).await;
        heard.wait(&a, &b, node, Arrival::Connected).await;
        heard.hear(&b, 50).await;
    }
    sender.abort();
    assert!(heard.gaps >= 2, "{}", heard.gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_may_start_before_its_redis() {
    let mut redis = RedisServer::start().await;
    redis.kill();
    let early = RedisBus::open(&redis.url(), RedisOptions::default()).await.unwrap();
    assert!(!early.stats().linked && !early.send(NodeId(1), Bytes::new()) && early.renew().await.is_err());
    redis.restart_empty().await;
    assert_eq!(early.next().await, Arrival::Connected, "the first that it is told");
    assert!(early.stats().linked && early.renew().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_becomes_a_replica_is_left() {
    let redis = RedisServer::start().await;
    let a = join(&redis).await;
    a.renew().await.unwrap();
    assert_eq!(redis.ask("REPLICAOF 127.0.0.1 1").await, "OK");
    assert!(a.renew().await.is_err());
    assert_eq!(a.next().await, Arrival::Disconnected);
    assert_eq!(redis.ask("REPLICAOF NO ONE").await, "OK");
    assert_eq!(a.next().await, Arrival::Connected);
    assert!(a.renew().await.is_ok());
}
