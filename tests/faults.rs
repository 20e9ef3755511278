//! A cluster under steady traffic while its parts fail: nothing that was promised is lost, nothing is overtaken.
//!
//! These take minutes and the whole machine, so `make test-long` runs them and `make test` does not.

#[path = "faults/record.rs"]
mod record;
#[path = "faults/traffic.rs"]
mod traffic;

use std::time::Duration;

use sealwire_parts::{MongoReplicaSet, RedisServer};
use sealwire_tests::server::{NO_LIMITS, Signal};
use sealwire_tests::{Entrance, Server};
use tokio::time::sleep;

use self::record::Verdict;
use self::traffic::Traffic;

const PEOPLE: usize = 200;
/// Preloaded into a server whose clock is to be wrong.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

struct Cluster {
    store: MongoReplicaSet,
    bus: RedisServer,
    nodes: Vec<Server>,
}

impl Cluster {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The third node has these settings more.
    async fn with(third: &[(&str, &str)]) -> Self {
        let (store, bus) = tokio::join!(MongoReplicaSet::start(3), RedisServer::start());
        let mut cluster = Self { store, bus, nodes: Vec::new() };
        for n in 0..3 {
            let (store, bus) = (cluster.store.url(), cluster.bus.url());
            let shared = [("SEALWIRE_STORE_URL", store.as_str()), ("SEALWIRE_BUS_URL", bus.as_str())];
            let more = if n == 2 { third } else { &[] };
            let settings = shared.iter().chain(NO_LIMITS).chain(more);
            cluster.nodes.push(Server::with(settings).start().await);
        }
        cluster
    }

    async fn traffic(&self) -> Traffic {
        let entrances: Vec<Entrance> = self.nodes.iter().map(|node| **node).collect();
        let traffic = Traffic::of(PEOPLE, &entrances).await;
        traffic.goes_on(PEOPLE * 2).await;
        traffic
    }
}

async fn holds(what: &str, traffic: Traffic) -> Verdict {
    traffic.goes_on(PEOPLE * 2).await;
    let verdict = traffic.ends().await.verdict();
    #[expect(clippy::print_stderr, reason = "the figures are the test's other result")]
    {
        eprintln!("{what}: {verdict}");
    }
    assert!(verdict.lost.is_empty() && verdict.overtaken.is_empty(), "{what}: {verdict:?}");
    verdict
}

/// One of these at a time.
mod heavy {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn a_node_is_killed() {
        let mut cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        cluster.nodes[1].kill().await;
        traffic.goes_on(PEOPLE).await;
        cluster.nodes[1].restart().await;
        holds("a node killed", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn every_node_is_restarted_in_turn() {
        let mut cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        for n in 0..3 {
            let status = cluster.nodes[n].terminate().await;
            assert!(status.success(), "{}", cluster.nodes[n].log());
            cluster.nodes[n].restart().await;
            traffic.goes_on(PEOPLE).await;
        }
        holds("a rolling restart", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn redis_is_killed_and_comes_back_empty() {
        let mut cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        cluster.bus.kill();
        traffic.goes_on(PEOPLE).await;
        cluster.bus.restart_empty().await;
        holds("Redis killed and restarted empty", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn redis_is_frozen_for_ten_seconds() {
        let mut cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        cluster.bus.freeze();
        sleep(Duration::from_secs(10)).await;
        cluster.bus.thaw();
        holds("Redis frozen for 10 s", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn a_node_is_frozen_for_twenty_seconds() {
        let cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        cluster.nodes[1].signal(Signal::STOP);
        sleep(Duration::from_secs(20)).await;
        cluster.nodes[1].signal(Signal::CONT);
        holds("a node frozen for 20 s", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn the_primary_of_the_store_is_killed() {
        let mut cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        let primary = cluster.store.primary().await;
        cluster.store.kill(primary);
        traffic.goes_on(PEOPLE).await;
        cluster.store.restart(primary).await;
        holds("the primary killed", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn the_majority_of_the_store_is_lost_and_comes_back() {
        let mut cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        cluster.store.kill(1);
        cluster.store.kill(2);
        sleep(Duration::from_secs(5)).await;
        cluster.store.restart(1).await;
        cluster.store.restart(2).await;
        holds("the majority lost and back", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn a_node_whose_clock_is_ten_minutes_off_is_restarted() {
        let wrong = [("LD_PRELOAD", FAKETIME), ("FAKETIME", "+10m"), ("DONT_FAKE_MONOTONIC", "1")];
        let mut cluster = Cluster::with(&wrong).await;
        let traffic = cluster.traffic().await;
        for n in [2, 0] {
            cluster.nodes[n].terminate().await;
            cluster.nodes[n].restart().await;
            traffic.goes_on(PEOPLE).await;
        }
        holds("a clock ten minutes off", traffic).await;
    }
}
