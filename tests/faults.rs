//! A cluster under steady traffic while its parts fail: nothing that was promised is lost, nothing is overtaken, everybody is
//! told what became of what they sent.
//!
//! Three of these belong to `make test`; the others take minutes and the whole machine, so `make test-long` runs them.

#[path = "faults/cluster.rs"]
mod cluster;
#[path = "faults/record.rs"]
mod record;
#[path = "faults/traffic.rs"]
mod traffic;

use std::time::Duration;

use sealwire_parts::TcpProxy;
use sealwire_tests::server::Signal;
use tokio::time::sleep;

use self::cluster::{Cluster, PEOPLE, Plan, holds};

/// Preloaded into a server whose clock is to be wrong.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// One of these at a time.
mod heavy {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_node_is_killed() {
        let mut cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        traffic.fault("a node was killed");
        cluster.nodes[1].kill().await;
        traffic.goes_on(PEOPLE).await;
        cluster.nodes[1].restart().await;
        holds("a node killed", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn every_node_is_restarted_in_turn_behind_haproxy() {
        let mut cluster = Cluster::with(Plan { haproxy: true, ..Plan::default() }).await;
        let traffic = cluster.traffic().await;
        for n in 0..3 {
            traffic.fault(&format!("node {} was asked to end", n + 1));
            let status = cluster.nodes[n].terminate().await;
            assert!(status.success(), "{}", cluster.nodes[n].log());
            cluster.nodes[n].restart().await;
            traffic.goes_on(PEOPLE * 4).await;
            cluster.all_up().await;
        }
        let verdict = holds("a rolling restart behind HAProxy", traffic).await;
        // A client sends again by itself what the store had no time for.
        let seen = verdict.errors.keys().any(|code| code != "store_unavailable");
        assert!(!seen, "nobody sees an error: {verdict}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis_is_killed_and_comes_back_empty() {
        let mut cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        traffic.fault("Redis was killed");
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
        traffic.fault("Redis was frozen");
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
        traffic.fault("a node was frozen");
        cluster.nodes[1].signal(Signal::STOP);
        sleep(Duration::from_secs(20)).await;
        cluster.nodes[1].signal(Signal::CONT);
        holds("a node frozen for 20 s", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_primary_of_the_store_is_killed() {
        let mut cluster = Cluster::start().await;
        let traffic = cluster.traffic().await;
        let primary = cluster.store.primary().await;
        traffic.fault("the primary was killed");
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
        traffic.fault("two of three members were killed");
        cluster.store.kill(1);
        cluster.store.kill(2);
        // Longer than a commit may take.
        sleep(Duration::from_secs(8)).await;
        cluster.store.restart(1).await;
        cluster.store.restart(2).await;
        holds("the majority lost and back", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn a_node_whose_clock_is_ten_minutes_off_is_restarted() {
        let wrong = [("LD_PRELOAD", FAKETIME), ("FAKETIME", "+10m"), ("DONT_FAKE_MONOTONIC", "1")];
        let mut cluster = Cluster::with(Plan { third: &wrong, ..Plan::default() }).await;
        let traffic = cluster.traffic().await;
        for n in [2, 0] {
            traffic.fault(&format!("node {} was asked to end", n + 1));
            cluster.nodes[n].terminate().await;
            cluster.nodes[n].restart().await;
            traffic.goes_on(PEOPLE).await;
        }
        holds("a clock ten minutes off", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn the_way_to_redis_is_slow_breaks_and_is_gone_for_a_while() {
        let cluster = Cluster::with(Plan { behind_proxies: true, ..Plan::default() }).await;
        let traffic = cluster.traffic().await;
        traffic.fault("everything to and from Redis took 300 ms longer");
        cluster.to_redis.iter().for_each(|proxy| proxy.delay(Duration::from_millis(300)));
        traffic.goes_on(PEOPLE * 4).await;
        traffic.fault("all connections to Redis were cut");
        cluster.to_redis.iter().for_each(TcpProxy::heal);
        cluster.to_redis.iter().for_each(TcpProxy::cut);
        traffic.goes_on(PEOPLE * 4).await;
        traffic.fault("nothing got through to Redis for 5 s");
        cluster.to_redis.iter().for_each(TcpProxy::blackhole);
        sleep(Duration::from_secs(5)).await;
        cluster.to_redis.iter().for_each(TcpProxy::heal);
        holds("a bad way to Redis", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn one_node_is_cut_off_from_redis() {
        let cluster = Cluster::with(Plan { behind_proxies: true, ..Plan::default() }).await;
        let traffic = cluster.traffic().await;
        traffic.fault("one node was cut off from Redis for 20 s, longer than its lease lives");
        cluster.to_redis[1].refuse();
        sleep(Duration::from_secs(20)).await;
        cluster.to_redis[1].heal();
        holds("a node cut off from Redis", traffic).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "takes minutes; `make test-long` runs it"]
    async fn the_way_to_the_store_is_slow_breaks_and_is_gone_for_a_while() {
        let cluster = Cluster::with(Plan { behind_proxies: true, ..Plan::default() }).await;
        let traffic = cluster.traffic().await;
        traffic.fault("everything to and from MongoDB took 100 ms longer");
        cluster.to_store().for_each(|proxy| proxy.delay(Duration::from_millis(100)));
        traffic.goes_on(PEOPLE * 4).await;
        traffic.fault("all connections to MongoDB were cut");
        cluster.to_store().for_each(TcpProxy::heal);
        cluster.to_store().for_each(TcpProxy::cut);
        traffic.goes_on(PEOPLE * 4).await;
        traffic.fault("nothing got through to MongoDB for 8 s");
        cluster.to_store().for_each(TcpProxy::blackhole);
        sleep(Duration::from_secs(8)).await;
        cluster.to_store().for_each(TcpProxy::heal);
        holds("a bad way to MongoDB", traffic).await;
    }
}
