//! Nodes at a real Redis, each behind a proxy of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sealwire_bus::conformance::World;
use sealwire_bus::{Arrival, Bus, NodeId, RedisBus, RedisOptions};
use sealwire_parts::{RedisServer, TcpProxy};

pub(crate) struct Real {
    pub(crate) redis: RedisServer,
    proxies: Mutex<HashMap<NodeId, TcpProxy>>,
}

/// Moves every time that is kept, as if the clock had gone on.
const AGE: &str = "
    for _, key in ipairs(redis.call('KEYS', '*')) do
      local ttl = redis.call('PTTL', key)
      local kind = redis.call('TYPE', key).ok
      if kind == 'zset' then
        local all = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
        for i = 1, #all, 2 do
          redis.call('ZADD', key, string.format('%.0f', all[i + 1] - ARGV[1]), all[i])
        end
      elseif kind == 'list' then
        for i, time in ipairs(redis.call('LRANGE', key, 0, -1)) do
          redis.call('LSET', key, i - 1, string.format('%.0f', time - ARGV[1]))
        end
      end
      redis.call('PEXPIRE', key, string.format('%.0f', math.max(0, ttl - ARGV[1])))
    end";

impl Real {
    pub(crate) async fn new() -> Self {
        Self { redis: RedisServer::start().await, proxies: Mutex::default() }
    }

    pub(crate) async fn redis_node(&self) -> Arc<RedisBus> {
        let proxy = TcpProxy::to(self.redis.address()).await;
        let url = format!("redis://{}/", proxy.address());
        let bus = RedisBus::open(&url, RedisOptions::default()).await.unwrap();
        self.proxies.lock().unwrap().insert(bus.node(), proxy);
        Arc::new(bus)
    }

    /// What comes and goes at a node disappears from now on, until it is linked.
    pub(crate) fn swallow(&self, node: NodeId) {
        self.proxies.lock().unwrap()[&node].blackhole();
    }
}

#[async_trait]
impl World for Real {
    async fn node(&self) -> Arc<dyn Bus> {
        self.redis_node().await
    }

    async fn pass(&self, time: Duration) {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let millis: u64 = time.as_millis().try_into().unwrap();
        let () = redis::cmd("EVAL").arg(AGE).arg(0).arg(millis).query_async(&mut connection).await.unwrap();
    }

    async fn cut(&self, node: NodeId) {
        self.proxies.lock().unwrap()[&node].refuse();
    }

    async fn link(&self, node: NodeId) {
        self.proxies.lock().unwrap()[&node].heal();
    }
}

/// A node at this Redis, which has been told that it is connected.
pub(crate) async fn join(redis: &RedisServer) -> RedisBus {
    let bus = RedisBus::open(&redis.url(), RedisOptions::default()).await.unwrap();
    assert_eq!(bus.next().await, Arrival::Connected);
    bus
}

/// Waits until a node is told this; frames that come before are passed over.
pub(crate) async fn until(bus: &RedisBus, wanted: Arrival) {
    while bus.next().await != wanted {}
}
