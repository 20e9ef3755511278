//! A server that loses its store says so, goes on with what needs none, and says when the store is back.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use sealwire_tests::Server;
use sealwire_tests::metrics::{METRICS, Metrics};
use sealwire_tests::server::{Page, page};
use sealwire_tests::stranger::{Dial, Identity, Stranger};

/// The embedded store, which loses its mail's table in the midst of the server's work, as if it were gone.
struct Store(Connection);

impl Store {
    fn of(server: &Server) -> Self {
        Self(Connection::open(server.data_dir().join(Path::new("sealwire.db"))).expect("the server has made it"))
    }

    fn goes(&self) {
        self.0.execute_batch("ALTER TABLE mail RENAME TO mail_that_is_gone").expect("renamed");
    }

    fn comes_back(&self) {
        self.0.execute_batch("ALTER TABLE mail_that_is_gone RENAME TO mail").expect("renamed back");
    }
}

/// Asks until the answer begins with this word: the server itself asks its store once a second.
async fn readiness(server: &Server, word: &str) -> Page {
    loop {
        let page = page(server.address(), "/readyz").await.expect("an answer");
        if page.body.starts_with(word) {
            return page;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn here(server: &Server, name: &str) -> Stranger {
    let mut person = server.register(name).await;
    person.expect("queue").await;
    person
}

#[tokio::test]
async fn without_its_store_a_server_is_degraded_and_still_hands_over() {
    let server = Server::with(&[METRICS, ("SEALWIRE_TIMING_STORE_GONE", "1h")]).start().await;
    let (mut alice, mut bob) = (here(&server, "alice").await, here(&server, "bob").await);
    let away = std::sync::Arc::new(Identity::new("carol"));
    server.register_as(away.clone(), Dial::default()).await.close().await;
    let id = alice.send_dummy(&bob.who).await;
    bob.take_message().await;
    alice.expect_status("delivered", &id).await;
    assert_eq!(readiness(&server, "ready").await.body, "ready\nnode: serving\nstore: answers\n");

    let store = Store::of(&server);
    store.goes();
    let page = readiness(&server, "degraded").await;
    assert_eq!(page.status, 200, "the connections that it has are worth more than those that it cannot take");
    assert!(page.body.contains("\nstore: no answer for "), "{}", page.body);
    let id = alice.send_dummy(&bob.who).await;
    bob.take_message().await;
    alice.expect_status("delivered", &id).await;
    let id = alice.send_dummy(&away).await;
    let error = alice.expect("error").await;
    assert_eq!((&error["code"], &error["messageId"]), (&"store_unavailable".into(), &id.into()));
    let metrics = Metrics::of(&server).await;
    assert_eq!((metrics.get("sealwire_store_up"), metrics.get("sealwire_ready")), (0.0, 1.0));
    assert!(metrics.get(r#"sealwire_store_errors_total{kind="unavailable"}"#) >= 2.0);

    store.comes_back();
    let id = alice.send_dummy(&away).await;
    alice.expect_status("queued", &id).await;
    readiness(&server, "ready").await;
    let metrics = Metrics::of(&server).await;
    assert_eq!((metrics.get("sealwire_store_up"), metrics.get("sealwire_ready")), (1.0, 1.0));
}

#[tokio::test]
async fn a_server_whose_store_has_long_been_silent_takes_nobody_and_keeps_whom_it_has() {
    let server = Server::with(&[METRICS, ("SEALWIRE_TIMING_STORE_GONE", "1ms")]).start().await;
    let (mut alice, mut bob) = (here(&server, "alice").await, here(&server, "bob").await);
    let id = alice.send_dummy(&bob.who).await;
    bob.take_message().await;
    alice.expect_status("delivered", &id).await;
    let store = Store::of(&server);
    store.goes();
    let internal = server.internal();
    assert_eq!(readiness(&server, "not ready").await.status, 503);
    assert_eq!(page(internal, "/readyz").await.expect("an answer").status, 503);
    assert_eq!(page(internal, "/healthz").await.expect("an answer").status, 200, "a restart would help nobody");
    assert_eq!(Metrics::of(&server).await.get("sealwire_ready"), 0.0);
    let id = alice.send_dummy(&bob.who).await;
    bob.take_message().await;
    alice.expect_status("delivered", &id).await;

    store.comes_back();
    assert_eq!(readiness(&server, "ready").await.status, 200);
}

#[tokio::test]
async fn a_commit_that_failed_is_told_until_one_succeeds() {
    let server = Server::with(&[METRICS, ("SEALWIRE_TIMING_STORE", "1s")]).start().await;
    let mut alice = here(&server, "alice").await;
    let away = std::sync::Arc::new(Identity::new("carol"));
    server.register_as(away.clone(), Dial::default()).await.close().await;
    // What is read at hand of a message to her needs no write.
    let id = alice.send_dummy(&away).await;
    alice.expect_status("queued", &id).await;

    let store = Store::of(&server);
    store.0.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let id = alice.send_dummy(&away).await;
    let error = alice.expect("error").await;
    assert_eq!((&error["code"], &error["messageId"]), (&"store_unavailable".into(), &id.into()));
    let page = readiness(&server, "degraded").await;
    assert_eq!((page.status, page.body.lines().nth(2)), (200, Some("store: answers, but its last commit failed")));
    let metrics = Metrics::of(&server).await;
    assert!(metrics.get("sealwire_commits_failed_total") >= 1.0);
    assert_eq!(metrics.get(r#"sealwire_messages_total{status="refused"}"#), 1.0);

    store.0.execute_batch("ROLLBACK").expect("rolled back");
    let id = alice.send_dummy(&away).await;
    alice.expect_status("queued", &id).await;
    readiness(&server, "ready").await;
}
