//! Who is online, for those whom it is shown to.

use sealwire_tests::Server;
use sealwire_tests::stranger::Stranger;
use serde_json::{Value, json};

fn subscribe(names: &[&str]) -> Value {
    json!({ "type": "presence", "subscribe": names })
}

async fn share(who: &mut Stranger, share: bool) {
    let answer = who.ask(&json!({ "type": "presence", "share": share })).await;
    assert_eq!(answer["type"], "presence", "{answer}");
}

/// The next news of a name.
async fn news(who: &mut Stranger, name: &str) -> bool {
    let frame = who.expect_where("news", |frame| frame["type"] == "presence" && frame["username"] == name).await;
    frame["online"].as_bool().expect("online or not")
}

#[tokio::test]
async fn who_shares_is_seen_to_come_and_go_and_nobody_else() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.register("alice").await, server.register("bob").await);
    let answer = alice.ask(&subscribe(&["bob", "nobody-here", "No Name"])).await;
    assert_eq!(answer["type"], "presence", "{answer}");
    assert!(!news(&mut alice, "bob").await && !news(&mut alice, "nobody-here").await);
    share(&mut bob, true).await;
    assert!(news(&mut alice, "bob").await);
    bob.close().await;
    assert!(!news(&mut alice, "bob").await);
    // It is kept with the account.
    let mut bob = server.log_in(&bob.who).await;
    assert!(news(&mut alice, "bob").await);
    share(&mut bob, false).await;
    assert!(!news(&mut alice, "bob").await);
    bob.close().await;
    alice.settle().await;
    assert!(!alice.has_kept("presence"));
}

#[tokio::test]
async fn whatever_two_devices_share_at_once_the_store_and_the_watchers_agree() {
    let server = Server::with(&[("SEALWIRE_LIMITS_PRESENCE_CHANGES_PER_HOUR", "0")]).start().await;
    let mut alice = server.register("alice").await;
    let mut bob = crate::Owner::register(&server, "bob").await;
    let mut bob2 = bob.with_second(&server).await;
    for round in 0..20 {
        tokio::join!(share(&mut bob.session, round % 2 == 0), share(&mut bob2, round % 2 == 1));
    }
    // What those who watch see now, and what a server that has read it anew would show.
    alice.ask(&subscribe(&["bob"])).await;
    let seen = news(&mut alice, "bob").await;
    let (first, second) = (bob.session.who.clone(), bob2.who.clone());
    bob.session.close().await;
    bob2.close().await;
    if seen {
        assert!(!news(&mut alice, "bob").await);
    }
    let (_bob, _bob2) = (server.log_in(&first).await, server.log_in(&second).await);
    if seen {
        assert!(news(&mut alice, "bob").await);
    }
    alice.settle().await;
    assert!(!alice.has_kept("presence"));
}

#[tokio::test]
async fn sharing_outlives_the_server() {
    let mut server = Server::start().await;
    let mut bob = server.register("bob").await;
    share(&mut bob, true).await;
    let who = bob.who.clone();
    drop(bob);
    server.kill().await;
    server.restart().await;
    let mut alice = server.register("alice").await;
    let _bob = server.log_in(&who).await;
    alice.ask(&subscribe(&["bob"])).await;
    assert!(news(&mut alice, "bob").await);
}

#[tokio::test]
async fn a_connection_that_replaces_another_is_no_news_and_who_is_watched_no_more_neither() {
    let server = Server::start().await;
    let (mut alice, mut bob) = (server.register("alice").await, server.register("bob").await);
    share(&mut bob, true).await;
    alice.ask(&subscribe(&["bob"])).await;
    assert!(news(&mut alice, "bob").await);
    let mut again = server.log_in(&bob.who).await;
    bob.expect_close(4409).await;
    alice.settle().await;
    assert!(!alice.has_kept("presence"));
    alice.ask(&json!({ "type": "presence", "unsubscribe": ["bob"] })).await;
    again.close().await;
    alice.settle().await;
    assert!(!alice.has_kept("presence"));
}

#[tokio::test]
async fn a_connection_watches_no_more_names_than_it_may() {
    let server = Server::with(&[("SEALWIRE_LIMITS_PRESENCE_SUBSCRIPTIONS", "2")]).start().await;
    let mut alice = server.register("alice").await;
    assert_eq!(alice.ask(&subscribe(&["bob", "carol", "bob"])).await["type"], "presence");
    assert_eq!(alice.ask(&subscribe(&["dave"])).await["code"], "limit_exceeded");
    let swap = json!({ "type": "presence", "subscribe": ["dave"], "unsubscribe": ["bob"] });
    assert_eq!(alice.ask(&swap).await["type"], "presence");
    assert_eq!(alice.ask(&json!({ "type": "presence" })).await["code"], "bad_request");
}
