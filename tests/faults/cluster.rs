//! A cluster that can be hurt: three nodes, a replica set of three and a Redis; with proxies between them, and HAProxy in front,
//! where a test wants them.

use std::path::Path;
use std::time::Duration;

use sealwire_parts::{HaProxy, MongoReplicaSet, RedisServer, TcpProxy};
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::{Entrance, Server};
use tokio::time::sleep;

use crate::record::Verdict;
use crate::traffic::Traffic;

pub(crate) const PEOPLE: usize = 200;
const NODES: usize = 3;

/// What a cluster is to be like.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Plan<'a> {
    /// More settings of the third node.
    pub(crate) third: &'a [(&'a str, &'a str)],
    /// Between the nodes and the other parts stand proxies.
    pub(crate) behind_proxies: bool,
    /// People come through HAProxy.
    pub(crate) haproxy: bool,
}

/// Its parts end with it.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Server>,
    pub(crate) haproxy: Option<HaProxy>,
    /// What each node has between itself and Redis.
    pub(crate) to_redis: Vec<TcpProxy>,
    pub(crate) bus: RedisServer,
    pub(crate) store: MongoReplicaSet,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan<'_>) -> Self {
        let members = MongoReplicaSet::of(NODES);
        let members = if plan.behind_proxies { members.behind_proxies() } else { members };
        let (store, bus) = tokio::join!(members.start(), RedisServer::start());
        let mut cluster = Self { nodes: Vec::new(), haproxy: None, to_redis: Vec::new(), bus, store };
        for n in 0..NODES {
            cluster.add_node(if n == 2 { plan.third } else { &[] }, plan).await;
        }
        if plan.haproxy {
            let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/haproxy.cfg");
            let builder = cluster.nodes.iter().enumerate().fold(HaProxy::with(&config), |builder, (n, node)| {
                builder.set(&format!("SEALWIRE_NODE_{}", n + 1), &node.address().to_string())
            });
            cluster.haproxy = Some(builder.start("SEALWIRE_PLAIN_BIND").await);
        }
        cluster
    }

    async fn add_node(&mut self, more: &[(&str, &str)], plan: Plan<'_>) {
        let (store, mut bus) = (self.store.url(), self.bus.url());
        if plan.behind_proxies {
            let proxy = TcpProxy::to(self.bus.address()).await;
            bus = format!("redis://{}/", proxy.address());
            self.to_redis.push(proxy);
        }
        let shared = [
            ("SEALWIRE_STORE_URL", store.as_str()),
            ("SEALWIRE_BUS_URL", bus.as_str()),
            ("SEALWIRE_SERVER_TRUSTED_PROXIES", "127.0.0.1"),
        ];
        let more = if plan.haproxy { &shared } else { &shared[..2] }.iter().chain(more);
        self.nodes.push(Server::with(NO_LIMITS.iter().chain(more)).start().await);
    }

    /// The proxies before the members of the store.
    pub(crate) fn to_store(&self) -> impl Iterator<Item = &TcpProxy> {
        (0..NODES).map(|member| self.store.proxy(member))
    }

    pub(crate) async fn traffic(&self) -> Traffic {
        let doors: Vec<Entrance> = match &self.haproxy {
            Some(haproxy) => vec![Entrance::at(haproxy.address())],
            None => self.nodes.iter().map(|node| **node).collect(),
        };
        let traffic = Traffic::of(PEOPLE, &doors).await;
        traffic.goes_on(PEOPLE * 2).await;
        traffic
    }

    /// Waits until HAProxy sees all nodes up that it has seen going down.
    pub(crate) async fn all_up(&self) {
        let haproxy = self.haproxy.as_ref().expect("people come through it");
        loop {
            let log = haproxy.log();
            let says = |what: &str| log.lines().filter(|line| line.contains(what)).count();
            if says(" is UP") >= says(" is DOWN") {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Lets the traffic come to its end, prints what the checker has to say, and holds it to that.
pub(crate) async fn holds(what: &str, traffic: Traffic) -> Verdict {
    traffic.goes_on(PEOPLE * 2).await;
    let verdict = traffic.ends().await.verdict();
    #[expect(clippy::print_stderr, reason = "the figures are the test's other result")]
    {
        eprintln!("{what}, {PEOPLE} people: {verdict}");
    }
    assert!(verdict.is_good(), "{what}: {verdict:?}");
    verdict
}
