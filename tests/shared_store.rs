//! A node alone on a MongoDB replica set: what it promised is there when it was killed, and what it cannot use it names.

use std::process::Output;

use sealwire_parts::MongoReplicaSet;
use sealwire_tests::Server;
use sealwire_tests::server::binary;
use tokio::process::Command;

/// One of these at a time: each is a server with a database of its own.
mod heavy {
    use super::*;

    #[tokio::test]
    async fn messages_wait_in_mongodb_for_people_who_are_away_though_the_server_is_killed() {
        let set = MongoReplicaSet::start(1).await;
        let mut server = Server::with(&[("SEALWIRE_STORE_URL", set.url().as_str())]).start().await;
        let (mut alice, mut bob) = (server.register("alice").await, server.register("bob").await);
        bob.close().await;
        let there = alice.send(&bob, "there").await;
        alice.expect_status("queued", &there).await;

        server.kill().await;
        server.restart().await;
        let mut bob = server.log_in(&bob.who).await;
        assert_eq!(bob.session["queued"], 1);
        let message = bob.take_message().await;
        assert_eq!(bob.read(&alice.who, &message), "there");
        let back = bob.send(&alice, "and back").await;
        bob.expect_status("queued", &back).await;

        server.kill().await;
        server.restart().await;
        let mut alice = server.log_in(&alice.who).await;
        let message = alice.take_message().await;
        assert_eq!(alice.read(&bob.who, &message), "and back");
        assert!(!server.data_dir().exists(), "nothing lies in a data directory");
    }
}

async fn started_with(url: &str) -> Output {
    let mut command = Command::new(binary("sealwire"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(std::env::temp_dir());
    command.env("SEALWIRE_STORE_URL", url).env("SEALWIRE_TIMING_STORE", "500ms");
    command.kill_on_drop(true).output().await.expect("the server's binary runs")
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_named_and_its_password_is_not() {
    // Bound and closed: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("mongodb://app:hunter2@{}/chat", free.expect("a port is free"));
    let output = started_with(&url).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the store that store.url names") && said.contains("reachable"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
