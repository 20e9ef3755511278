//! The replica set that tests start does what their sentences say.

use sealwire_parts::MongoReplicaSet;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// One of these at a time: each is three servers.
mod heavy {
    use super::*;

    #[tokio::test]
    async fn a_set_survives_the_loss_of_its_primary_and_takes_it_back() {
        let mut set = MongoReplicaSet::start(3).await;
        assert!(set.url().starts_with("mongodb://127.0.0.1:") && set.url().ends_with("/sealwire?replicaSet=sealwire"));
        let first = set.primary().await;
        let write = json!([{ "_id": 1, "text": "kept" }]);
        let durably = json!({ "documents": write, "writeConcern": { "w": "majority", "j": true } });
        set.command(first, "insert", json!("words"), durably).await.expect("the primary takes it");

        set.kill(first);
        let second = set.settled().await;
        assert_ne!(second, first);
        let found = set.command(second, "count", json!("words"), json!({})).await.expect("it counts");
        assert_eq!(found["n"], 1);

        set.restart(first).await;
        set.settled().await;
        let at_home = json!({ "$readPreference": { "mode": "secondaryPreferred" } });
        let found = set.command(first, "count", json!("words"), at_home).await.expect("it counts");
        assert_eq!(found["n"], 1);
    }

    #[tokio::test]
    async fn a_frozen_primary_is_replaced_and_follows_when_it_is_thawed() {
        let mut set = MongoReplicaSet::start(3).await;
        let first = set.primary().await;
        set.freeze(first);
        let second = set.primary().await;
        assert_ne!(second, first);
        set.thaw(first);
        assert_ne!(set.settled().await, first, "the youngest election counts");
    }

    #[tokio::test]
    async fn a_stopped_primary_hands_over_and_a_refusal_has_its_text() {
        let mut set = MongoReplicaSet::of(3).option("--setParameter=ttlMonitorSleepSecs=1").start().await;
        let first = set.primary().await;
        let refused = set.command(first, "nonsense", json!(1), json!({})).await.expect_err("no such command");
        assert!(refused.to_string().contains("no such command"), "{refused}");
        let set_to = set.command(first, "getParameter", json!(1), json!({ "ttlMonitorSleepSecs": 1 })).await;
        assert_eq!(set_to.expect("an answer")["ttlMonitorSleepSecs"], 1);
        set.stop(first).await;
        assert_ne!(set.primary().await, first);
    }

    #[tokio::test]
    async fn a_set_of_one_is_enough_for_what_needs_no_second() {
        let set = MongoReplicaSet::start(1).await;
        assert_eq!(set.settled().await, 0);
        assert_eq!(set.addresses().count(), 1);
    }

    #[tokio::test]
    async fn behind_proxies_clients_are_cut_off_and_the_members_stay_a_set() {
        let set = MongoReplicaSet::of(3).behind_proxies().start().await;
        let first = set.settled().await;
        let term = json!({});
        let before = set.command(first, "replSetGetStatus", json!(1), term.clone()).await.expect("its status");
        for member in 0..3 {
            set.proxy(member).refuse();
        }
        let mut client = TcpStream::connect(set.addresses().nth(first).expect("an address")).await.expect("a proxy");
        // The members heard from each other before this was refused, and hear from each other while it is.
        assert!(matches!(client.read(&mut [0]).await, Ok(0) | Err(_)), "clients are cut off");
        let heard = |status: &serde_json::Value| {
            let others = status["members"].as_array().expect("a list").iter().filter(|one| one["self"] != true);
            others.map(|one| one["lastHeartbeat"].as_i64().expect("a time")).collect::<Vec<_>>()
        };
        loop {
            let now = set.command(first, "replSetGetStatus", json!(1), term.clone()).await.expect("its status");
            assert_eq!(now["term"], before["term"], "nobody was elected anew");
            if heard(&now).iter().zip(heard(&before)).all(|(now, before)| *now > before + 2_000) {
                break;
            }
        }
        assert_eq!(set.settled().await, first);
    }
}
