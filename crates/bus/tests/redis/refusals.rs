//! What a node is let in by, and what it refuses.

use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use sealwire_bus::{Arrival, Bus, BusError, RedisBus, RedisOptions, SharedRate};
use sealwire_parts::RedisServer;

/// What the user of a node may do; as docs/redis.md says.
const RIGHTS: &str = "resetchannels &sealwire:1:* ~sealwire:1:* -@all +info +ping +publish +subscribe +evalsha +script|load +time \
                      +zadd +zcard +zrange +zrangebyscore +zrem +zremrangebyscore +zscore +lindex +llen +lpop +rpush \
                      +get +set +del +exists +pexpire +pttl";

async fn refusal(url: &str) -> String {
    match RedisBus::open(url, RedisOptions::default()).await {
        Err(BusError::Open(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

async fn with_user(rights: &str) -> (RedisServer, String) {
    let redis =
        RedisServer::with().line(&format!("user app on >s3cret {rights}")).line("user default off").start().await;
    let url = format!("redis://app:s3cret@{}/", redis.address());
    (redis, url)
}

#[tokio::test]
async fn a_user_with_the_rights_that_are_documented_can_do_all() {
    let page = include_str!("../../../../docs/redis.md");
    assert!(RIGHTS.split_whitespace().all(|right| page.contains(right)), "docs/redis.md names each of {RIGHTS}");
    let (_redis, url) = with_user(RIGHTS).await;
    let bus = RedisBus::open(&url, RedisOptions::default()).await.unwrap();
    assert_eq!(bus.next().await, Arrival::Connected);
    let device = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let name = "alice".parse().unwrap();
    let hour = std::time::Duration::from_secs(3600);
    bus.renew().await.unwrap();
    bus.enter(&device, 1).await.unwrap();
    bus.enter_again(&[(device, 1)]).await.unwrap();
    assert!(bus.find(&[device]).await.unwrap()[0].is_some());
    bus.leave(&device, 1).await.unwrap();
    bus.show(&name, true).await.unwrap();
    bus.watch(&name, true).await.unwrap();
    bus.watch(&name, false).await.unwrap();
    let rate = SharedRate { limit: 1, period: hour };
    assert!(bus.count("k", rate).await.unwrap().is_ok() && bus.count("k", rate).await.unwrap().is_err());
    bus.put_slot(&[1; 16], 0, Bytes::new(), hour, 1).await.unwrap();
    assert!(bus.take_slot(&[1; 16], 0).await.unwrap().is_some());
    assert!(bus.send(bus.node(), Bytes::new()));
    assert!(matches!(bus.next().await, Arrival::Frames { .. }));
    bus.release().await.unwrap();
}

#[tokio::test]
async fn each_right_that_is_missing_is_named_at_the_start() {
    let (redis, url) = with_user(RIGHTS).await;
    for right in RIGHTS.split_whitespace().filter_map(|right| right.strip_prefix('+')) {
        assert_eq!(redis.ask(&format!("ACL SETUSER app -{right}")).await, "OK");
        let reason = refusal(&url).await;
        assert!(reason.contains("lacks a right") && reason.contains(right), "{right}: {reason}");
        assert!(!reason.contains("s3cret"), "{reason}");
        assert_eq!(redis.ask(&format!("ACL SETUSER app +{right}")).await, "OK");
    }
    for (less, more) in [("resetchannels", "&sealwire:1:*"), ("resetkeys", "~sealwire:1:*")] {
        assert_eq!(redis.ask(&format!("ACL SETUSER app {less}")).await, "OK");
        assert!(refusal(&url).await.contains("lacks a right"), "{less}");
        assert_eq!(redis.ask(&format!("ACL SETUSER app {more}")).await, "OK");
    }
    assert!(RedisBus::open(&url, RedisOptions::default()).await.is_ok());
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let redis = RedisServer::with().user("app", "s3cret").start().await;
    for login in ["app:hunter2@", "hunter2:hunter2@", ":hunter2@"] {
        let reason = refusal(&redis.url().replace("app:s3cret@", login)).await;
        assert!(reason.contains("password") && !reason.contains("hunter2"), "{reason}");
    }
    let reason = refusal(&redis.url().replace("app:s3cret@", "")).await;
    assert!(reason.contains("asks for a password"), "{reason}");
    let bus = RedisBus::open(&redis.url(), RedisOptions::default()).await.unwrap();
    assert!(!format!("{bus:?}").contains("s3cret"));
}

#[tokio::test]
async fn with_tls_only_a_certificate_that_is_trusted_will_do() {
    let redis = RedisServer::with().tls().user("app", "s3cret").start().await;
    let reason = refusal(&redis.url()).await;
    assert!(reason.contains("certificate") && reason.contains("not trusted"), "{reason}");
    let certificates = Some(sealwire_parts::certificate::SELF_SIGNED.as_bytes().to_vec());
    let options = RedisOptions { certificates, ..RedisOptions::default() };
    let elsewhere = redis.url().replace("localhost", "127.0.0.1");
    assert!(matches!(RedisBus::open(&elsewhere, options.clone()).await, Err(BusError::Open(_))), "another name");
    let bus = RedisBus::open(&redis.url(), options).await.unwrap();
    assert_eq!(bus.next().await, Arrival::Connected);
    bus.renew().await.unwrap();
    assert!(bus.send(bus.node(), "over TLS".into()));
    assert!(matches!(bus.next().await, Arrival::Frames { frames, .. } if frames == ["over TLS"]));
}

#[tokio::test]
async fn a_cluster_and_a_replica_are_refused_with_the_reason() {
    let cluster = RedisServer::with().line("cluster-enabled yes").start().await;
    assert!(refusal(&cluster.url()).await.contains("Redis Cluster"));
    let replica = RedisServer::with().line("replicaof 127.0.0.1 1").start().await;
    assert!(refusal(&replica.url()).await.contains("replica"));
}

/// Killed when it goes.
struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_sentinel_is_refused_with_the_reason() {
    let redis = RedisServer::start().await;
    let home = tempfile::tempdir().unwrap();
    let address = sealwire_parts::ports::free_addresses().next().unwrap();
    let watched = format!("sentinel monitor main 127.0.0.1 {} 1", redis.address().port());
    let lines = format!("bind 127.0.0.1\nport {}\nlogfile log\n{watched}\n", address.port());
    std::fs::write(home.path().join("conf"), lines).unwrap();
    let mut command = Command::new("redis-server");
    command.args(["conf", "--sentinel"]).current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let _sentinel = Sentinel(command.spawn().unwrap());
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(refusal(&format!("redis://{address}/")).await.contains("Sentinel"));
}
