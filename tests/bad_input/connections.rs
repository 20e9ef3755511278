//! Connections that are opened and left half way.

use sealwire_tests::Server;
use sealwire_tests::stranger::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::assert_survives;

/// Sends some bytes and waits for the server to end the connection; gives what it said.
async fn left_after(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
    stream.write_all(bytes).await.expect("the server reads");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server ends the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_connection_without_a_whole_request_is_ended() {
    let server = Server::with(&[("SEALWIRE_SERVER_REQUEST_SECONDS", "1")]).start().await;
    let whole = format!("GET /ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n", server.address());
    for bytes in [&b""[..], b"G", b"GET /ws HTTP/1.1\r\nHos", whole.as_bytes()] {
        let answer = left_after(&server, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_ended() {
    let server = Server::start().await;
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"xyzzy\r\n\r\n", &[0; 4096]] {
        let answer = left_after(&server, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    server.register("alice").await;
}

#[tokio::test]
async fn a_challenge_that_is_not_answered_ends_the_connection() {
    let server = Server::with(&[("SEALWIRE_TIMING_GREETING", "1s"), ("SEALWIRE_TIMING_LOG_IN", "1s")]).start().await;
    let mut wire = server.dial().await;
    wire.expect("challenge").await;
    wire.expect_close(4408).await;
}

#[tokio::test]
async fn somebody_who_falls_silent_is_let_go() {
    let server = Server::with(&[("SEALWIRE_TIMING_SILENCE", "1s")]).start().await;
    let mut alice = server.register("alice").await;
    assert_survives(&mut alice).await;
    alice.expect_close(4408).await;
}
