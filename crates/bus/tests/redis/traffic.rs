//! What the nodes cost a Redis, and what they leave there.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sealwire_bus::{Arrival, Bus, RedisBus, RedisOptions, SharedRate};
use sealwire_parts::RedisServer;

use crate::world::join;

/// A number of `INFO`.
async fn info(redis: &RedisServer, section: &str, name: &str) -> u64 {
    let info = redis.ask(&format!("INFO {section}")).await;
    let rest = info.split(name).nth(1).unwrap_or_else(|| panic!("{name} is in {info}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

async fn hear(bus: &RedisBus, count: usize) -> Vec<Bytes> {
    let mut heard = Vec::new();
    while heard.len() < count {
        match bus.next().await {
            Arrival::Frames { frames, gap: false, .. } => heard.extend(frames),
            other => panic!("{other:?}"),
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_link_needs_far_fewer_publishes_than_frames() {
    let redis = RedisServer::start().await;
    let (a, b) = (join(&redis).await, join(&redis).await);
    let before = info(&redis, "commandstats", "cmdstat_publish:calls=").await;
    for number in 0..20_000_u32 {
        assert!(a.send(b.node(), Bytes::copy_from_slice(&number.to_be_bytes())));
    }
    assert_eq!(hear(&b, 20_000).await.len(), 20_000);
    let publishes = info(&redis, "commandstats", "cmdstat_publish:calls=").await - before;
    assert!(publishes < 2_000, "{publishes}");
    a.release().await.unwrap();
    let stats = a.stats();
    assert_eq!((stats.sent, stats.publishes, stats.waiting), (20_000, publishes, 0));
    assert_eq!((stats.dropped, stats.unheard, b.stats().received), (0, 0, 20_000));
    assert!(stats.bytes > 20_000 * 8 && stats.bytes < 20_000 * 10, "{}", stats.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_trickle_in_are_published_at_a_pace() {
    let redis = RedisServer::start().await;
    let pace = Duration::from_millis(50);
    let a = RedisBus::open(&redis.url(), RedisOptions { pace, ..RedisOptions::default() }).await.unwrap();
    let b = join(&redis).await;
    let began = Instant::now();
    for _ in 0..300 {
        assert!(a.send(b.node(), Bytes::new()));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(hear(&b, 300).await.len(), 300);
    let rounds = began.elapsed().div_duration_f64(pace);
    let publishes = a.stats().publishes;
    assert!(publishes as f64 <= rounds + 1.0, "{publishes} publishes in {rounds} times the pace");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_queued_goes_before_the_lease_is_given_up() {
    let redis = RedisServer::start().await;
    let (a, b) = (join(&redis).await, join(&redis).await);
    for _ in 0..5_000 {
        assert!(a.send(b.node(), Bytes::from_static(&[7; 100])));
    }
    a.release().await.unwrap();
    drop(a);
    assert_eq!(hear(&b, 5_000).await.len(), 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_nobody_hears_are_counted() {
    let redis = RedisServer::start().await;
    let (a, gone) = (join(&redis).await, join(&redis).await);
    let to = gone.node();
    drop(gone);
    // The Redis learns of it when it reads the ends of the connections; two are left, and the one that asks.
    while info(&redis, "clients", "connected_clients:").await > 3 {
        tokio::task::yield_now().await;
    }
    assert!(a.send(to, Bytes::new()));
    a.release().await.unwrap();
    assert_eq!((a.stats().sent, a.stats().unheard), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_has_an_end() {
    let redis = RedisServer::start().await;
    let a = join(&redis).await;
    let device = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let name = "alice".parse().unwrap();
    let minute = Duration::from_secs(60);
    a.renew().await.unwrap();
    a.enter(&device, 1).await.unwrap();
    a.show(&name, true).await.unwrap();
    a.watch(&name, true).await.unwrap();
    a.count("of somebody", SharedRate { limit: 1, period: minute }).await.unwrap().unwrap();
    a.put_slot(&[1; 16], 0, Bytes::new(), minute, 1).await.unwrap();
    let keys = info(&redis, "keyspace", "keys=").await;
    assert_eq!(keys, 7, "leases, entry, shown, watched, count, slot, and the ends of all slots");
    assert_eq!(info(&redis, "keyspace", "expires=").await, keys);
}
