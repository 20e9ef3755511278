//! How many connections.

use std::time::Instant;

use sealwire_tests::Server;
use sealwire_tests::stranger::{Dial, PATIENCE, Refused, Wire};

async fn dial(server: &Server) -> Result<Wire, Refused> {
    Dial::default().to(server).await
}

/// Dials until there is room: a server notices only after a moment that a connection has gone.
async fn dial_until_taken(server: &Server) -> Wire {
    let start = Instant::now();
    loop {
        match dial(server).await {
            Ok(wire) => return wire,
            Err(refused) => assert!(start.elapsed() < PATIENCE, "still {refused:?}"),
        }
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_no_more() {
    let settings = [("SEALWIRE_LIMITS_CONNECTIONS_PER_IP", "2"), ("SEALWIRE_LIMITS_NEW_CONNECTIONS_PER_IP", "0")];
    let server = Server::with(&settings).start().await;
    let mut first = dial(&server).await.expect("there is room");
    let _second = dial(&server).await.expect("there is room");
    let refused = dial(&server).await.expect_err("there is none");
    assert_eq!(refused.status, 429);
    assert!(refused.retry_after >= Some(1));
    first.close().await;
    dial_until_taken(&server).await.expect("challenge").await;
}

#[tokio::test]
async fn an_address_opens_so_many_connections_in_ten_seconds() {
    let server = Server::with(&[("SEALWIRE_LIMITS_NEW_CONNECTIONS_PER_IP", "3")]).start().await;
    let mut refused = None;
    // So many that they take minutes within the limit: one is too many, however slow the machine is.
    for tried in 0..100 {
        match dial(&server).await {
            Ok(_) => {}
            Err(refusal) => {
                assert!(tried >= 3);
                refused = Some(refusal);
                break;
            }
        }
    }
    let refused = refused.expect("one of them is refused");
    assert_eq!(refused.status, 429);
    assert!((Some(1)..=Some(10)).contains(&refused.retry_after));
}

#[tokio::test]
async fn a_node_has_so_many_connections_and_no_more() {
    let server = Server::with(&[("SEALWIRE_LIMITS_MAX_CONNECTIONS", "2")]).start().await;
    let _connected = (server.dial().await, server.dial().await);
    let refused = dial(&server).await.expect_err("there is no room");
    assert_eq!(refused.status, 503);
    assert!(refused.retry_after >= Some(1));
}

#[tokio::test]
async fn connections_that_have_not_logged_in_have_a_limit_of_their_own() {
    let server = Server::with(&[("SEALWIRE_LIMITS_GREETING_CONNECTIONS", "1")]).start().await;
    let _alice = server.register("alice").await;
    let mut waiting = dial_until_taken(&server).await;
    waiting.expect("challenge").await;
    assert_eq!(dial(&server).await.expect_err("one is waiting").status, 503);
    waiting.close().await;
    dial_until_taken(&server).await.expect("challenge").await;
}
