//! Several nodes on one MongoDB replica set with Redis between them: people on different nodes cannot tell that they are.

use std::sync::Arc;

use sealwire_parts::{MongoReplicaSet, RedisServer};
use sealwire_tests::Server;
use sealwire_tests::metrics::{METRICS, Metrics};
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Owner, Stranger, b64, dummy_for};
use serde_json::{Value, json};

/// A cluster. Its parts end with it.
struct Cluster {
    store: MongoReplicaSet,
    bus: RedisServer,
    nodes: Vec<Server>,
}

impl Cluster {
    async fn of(nodes: usize) -> Self {
        Self::with(nodes, &[]).await
    }

    /// Nodes with these settings.
    async fn with(nodes: usize, settings: &[(&str, &str)]) -> Self {
        let (store, bus) = tokio::join!(MongoReplicaSet::start(1), RedisServer::start());
        let mut cluster = Self { store, bus, nodes: Vec::new() };
        for _ in 0..nodes {
            let (store, bus) = (cluster.store.url(), cluster.bus.url());
            let shared = [("SEALWIRE_STORE_URL", store.as_str()), ("SEALWIRE_BUS_URL", bus.as_str()), METRICS];
            cluster.nodes.push(Server::with(shared.iter().chain(settings)).start().await);
        }
        cluster
    }

    /// What a counter of all nodes says together.
    async fn counts(&self, name: &str) -> f64 {
        let mut sum = 0.0;
        for node in &self.nodes {
            sum += Metrics::of(node).await.get(name);
        }
        sum
    }
}

/// Logged in, with nothing in the mailbox: what comes from here on is handed over.
async fn ready(mut person: Stranger) -> Stranger {
    person.expect("queue").await;
    person
}

async fn says(from: &mut Stranger, to: &mut Stranger, text: &str) -> String {
    let id = from.send(to, text).await;
    let message = to.take_message().await;
    assert_eq!(to.read(&from.who, &message), text);
    id
}

fn subscribe(name: &str) -> Value {
    json!({ "type": "presence", "subscribe": [name] })
}

async fn news(who: &mut Stranger, name: &str) -> bool {
    let frame = who.expect_where("news", |frame| frame["type"] == "presence" && frame["username"] == name).await;
    frame["online"].as_bool().expect("online or not")
}

/// One of these at a time: each is a database, a Redis and several servers.
mod heavy {
    use super::*;

    #[tokio::test]
    async fn people_on_different_nodes_talk_and_the_store_hears_nothing_of_it() {
        let cluster = Cluster::of(2).await;
        let mut alice = ready(cluster.nodes[0].register("alice").await).await;
        let mut bob = ready(cluster.nodes[1].register("bob").await).await;
        let commits = "sealwire_store_seconds_count{operation=\"execute\"}";
        let before = cluster.counts(commits).await;
        for n in 0..20 {
            let there = says(&mut alice, &mut bob, &format!("there {n}")).await;
            alice.expect_status("delivered", &there).await;
            let back = says(&mut bob, &mut alice, &format!("back {n}")).await;
            bob.expect_status("delivered", &back).await;
        }
        let after = cluster.counts(commits).await;
        assert!((after - before).abs() < f64::EPSILON, "{before} commits, then {after}");
    }

    #[tokio::test]
    async fn many_messages_at_once_arrive_in_order() {
        let cluster = Cluster::with(
            2,
            &[("SEALWIRE_LIMITS_MESSAGES_PER_MINUTE", "0"), ("SEALWIRE_LIMITS_FRAMES_PER_SECOND", "0")],
        )
        .await;
        let mut alice = ready(cluster.nodes[0].register("alice").await).await;
        let mut bob = ready(cluster.nodes[1].register("bob").await).await;
        let mut sent = Vec::new();
        for _ in 0..600 {
            sent.push(alice.send_dummy(&bob.who).await);
        }
        // More than his window takes: some of them went through the store.
        for id in &sent {
            assert_eq!(bob.take_message().await["messageId"], json!(id));
        }
    }

    #[tokio::test]
    async fn mail_waits_for_whoever_is_away_and_the_sender_hears_of_it_at_another_node() {
        let cluster = Cluster::of(3).await;
        let mut alice = ready(cluster.nodes[0].register("alice").await).await;
        let mut bob = cluster.nodes[1].register("bob").await;
        bob.close().await;
        let id = alice.send(&bob, "for later").await;
        alice.expect_status("queued", &id).await;
        let mut bob = cluster.nodes[2].log_in(&bob.who).await;
        assert_eq!(bob.session["queued"], 1);
        let message = bob.take_message().await;
        assert_eq!(bob.read(&alice.who, &message), "for later");
        alice.expect_status("delivered", &id).await;
    }

    #[tokio::test]
    async fn a_device_that_comes_to_another_node_takes_over_with_all_that_was_on_its_way() {
        let cluster = Cluster::of(3).await;
        let mut alice = ready(cluster.nodes[0].register("alice").await).await;
        let mut old = ready(cluster.nodes[1].register("bob").await).await;
        let mut sent = Vec::new();
        for n in 0..5 {
            sent.push(alice.send(&old, &format!("{n}")).await);
            old.next_message().await;
        }
        let mut new = cluster.nodes[2].log_in(&old.who).await;
        old.expect_close(4409).await;
        sent.push(alice.send(&new, "one more").await);
        for id in &sent {
            assert_eq!(new.take_message().await["messageId"], json!(id));
            alice.expect_status("delivered", id).await;
        }
    }

    #[tokio::test]
    async fn who_is_online_is_seen_from_every_node_and_signals_arrive() {
        let cluster = Cluster::of(2).await;
        let mut alice = ready(cluster.nodes[0].register("alice").await).await;
        let mut bob = ready(cluster.nodes[1].register("bob").await).await;
        alice.ask(&subscribe("bob")).await;
        assert!(!news(&mut alice, "bob").await);
        bob.ask(&json!({ "type": "presence", "share": true })).await;
        assert!(news(&mut alice, "bob").await);

        let mut signal = dummy_for(&[&*bob.who]);
        signal["type"] = "signal".into();
        alice.send_frame(&signal).await;
        assert_eq!(bob.expect("signal").await["messageId"], signal["messageId"]);

        bob.close().await;
        assert!(!news(&mut alice, "bob").await);
        let _bob = cluster.nodes[1].log_in(&bob.who).await;
        assert!(news(&mut alice, "bob").await);
    }

    #[tokio::test]
    async fn a_device_is_linked_over_two_nodes_and_cut_off_at_once_when_it_is_removed() {
        let cluster = Cluster::of(3).await;
        let mut alice = ready(cluster.nodes[0].register("alice").await).await;
        let mut bob = Owner::register(&cluster.nodes[1], "bob").await;
        let (slot, mut wire) = (b64([7; 16]), cluster.nodes[2].dial().await);
        let put = json!({ "type": "rendezvous", "put": { "slot": slot, "side": 1, "data": b64(b"sealed") } });
        assert_eq!(wire.ask(&put).await["type"], "rendezvous");
        let take = json!({ "type": "rendezvous", "take": { "slot": slot, "side": 1 } });
        assert_eq!(bob.session.ask(&take).await["data"], json!(b64(b"sealed")));

        // Alice's node has Bob's list of devices at hand, and must learn that it is another one.
        says(&mut alice, &mut bob.session, "to one device").await;
        let mut second = ready(bob.with_second(&cluster.nodes[2]).await).await;
        let both = [&*bob.session.who.clone(), &*second.who.clone()];
        let id = alice.send_message(&dummy_for(&both)).await;
        assert_eq!(second.take_message().await["messageId"], json!(id));
        bob.session.take_message().await;

        let first = bob.session.who.clone();
        bob.list(&[&first]).await;
        second.expect_close(4403).await;
        says(&mut alice, &mut bob.session, "to one device again").await;
    }

    #[tokio::test]
    async fn the_limit_on_messages_holds_over_all_nodes() {
        let cluster = Cluster::with(2, &[("SEALWIRE_LIMITS_MESSAGES_PER_MINUTE", "4")]).await;
        let mut alice = ready(cluster.nodes[0].register("alice").await).await;
        let mut bob = ready(cluster.nodes[1].register("bob").await).await;
        for n in 0..3 {
            says(&mut alice, &mut bob, &format!("{n}")).await;
        }
        let mut alice = ready(cluster.nodes[1].log_in(&alice.who).await).await;
        alice.send_dummy(&bob.who).await;
        bob.take_message().await;
        alice.send_dummy(&bob.who).await;
        assert_eq!(alice.expect_error("rate_limited").await["type"], "error");
    }

    #[tokio::test]
    async fn what_was_on_its_way_to_a_node_that_is_killed_is_stored_and_found() {
        let mut cluster = Cluster::of(3).await;
        let mut alice = ready(cluster.nodes[0].register("alice").await).await;
        let mut bob = ready(cluster.nodes[1].register("bob").await).await;
        says(&mut alice, &mut bob, "before").await;
        cluster.nodes[1].kill().await;
        let mut sent = Vec::new();
        for n in 0..3 {
            sent.push(alice.send(&bob, &format!("{n}")).await);
        }
        for id in &sent {
            alice.expect_status("queued", id).await;
        }
        let mut bob = cluster.nodes[2].log_in(&bob.who).await;
        for id in &sent {
            assert_eq!(bob.take_message().await["messageId"], json!(id));
        }
    }

    #[tokio::test]
    async fn without_redis_messages_go_through_the_store_and_with_it_again_directly() {
        let mut cluster = Cluster::with(2, NO_LIMITS).await;
        let mut alice = ready(cluster.nodes[0].register("alice").await).await;
        let mut bob = ready(cluster.nodes[1].register("bob").await).await;
        let mut near = ready(cluster.nodes[0].register("carol").await).await;
        says(&mut alice, &mut bob, "before").await;
        cluster.bus.kill();
        // People of one node talk as ever, others through the store.
        let id = says(&mut alice, &mut near, "to one on the same node").await;
        alice.expect_status("delivered", &id).await;
        let mut sent = Vec::new();
        for n in 0..3 {
            sent.push(alice.send(&bob, &format!("{n}")).await);
        }
        for id in &sent {
            alice.expect_status("queued", id).await;
            assert_eq!(bob.take_message().await["messageId"], json!(id));
        }
        cluster.bus.restart_empty().await;
        let delivered = async {
            loop {
                let id = alice.send_dummy(&bob.who).await;
                bob.take_message().await;
                while alice.statuses(&id).is_empty() {
                    alice.settle().await;
                }
                if alice.statuses(&id) == ["delivered"] {
                    return;
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), delivered).await.expect("they talk directly again");
    }

    #[tokio::test]
    async fn two_devices_on_two_nodes_see_the_same() {
        let cluster = Cluster::of(3).await;
        let mut alice = Owner::register(&cluster.nodes[0], "alice").await;
        let mut other = ready(alice.with_second(&cluster.nodes[1]).await).await;
        let mut bob = ready(cluster.nodes[2].register("bob").await).await;
        alice.session.expect("queue").await;
        // The first one names the addressee.
        let all = [&*bob.who.clone(), &*other.who.clone()];
        for _ in 0..5 {
            let id = alice.session.send_message(&dummy_for(&all)).await;
            assert_eq!(other.take_message().await["messageId"], json!(id));
            assert_eq!(bob.take_message().await["messageId"], json!(id));
            alice.session.expect_status("delivered", &id).await;
        }
        let who: Arc<_> = other.who.clone();
        drop(other);
        let id = alice.session.send_message(&dummy_for(&all)).await;
        assert_eq!(bob.take_message().await["messageId"], json!(id));
        let mut other = cluster.nodes[2].log_in(&who).await;
        assert_eq!(other.take_message().await["messageId"], json!(id));
    }
}
