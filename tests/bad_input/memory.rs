//! Misuse in rounds: the server's memory returns to where it was.

use std::fs;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use sealwire_tests::Server;
use sealwire_tests::server::NO_LIMITS;
use sealwire_tests::stranger::{Identity, b64};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

const PAGE: usize = 4096;
/// How much the second half may add to what the first half took: allocators and caches breathe.
const MARGIN: usize = 8 * 1024 * 1024;
const CONNECTIONS: usize = 2_400;
const AT_ONCE: usize = 24;

/// Bytes of the server's memory that are in use.
fn resident(server: &Server) -> usize {
    let statm = fs::read_to_string(format!("/proc/{}/statm", server.pid())).expect("the server runs");
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the kernel writes numbers") * PAGE
}

/// One connection that does something wrong, the `n`th way.
async fn misuse(server: &Server, who: &Arc<Identity>, n: usize) {
    if n.is_multiple_of(8) {
        let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
        return stream.write_all(b"GET /ws HTTP/1.1\r\nHost: ").await.expect("the server reads");
    }
    let mut wire = server.dial().await;
    let challenge = wire.expect("challenge").await;
    match n % 8 {
        1 => wire.raw_message(Message::binary(vec![0; 20_000])).await,
        2 => wire.raw(&"[".repeat(24_000)).await,
        3 => wire.raw(&"x".repeat(1_100_000)).await,
        4 => {
            let mut auth = who.auth(&challenge);
            auth["signature"] = b64([7; 512]).into();
            wire.send_frame(&auth).await;
        }
        5 => {
            for _ in 0..6 {
                wire.send_frame(&json!({ "type": "keys", "username": "alice" })).await;
            }
        }
        // Cut off in the middle of everything.
        6 => return,
        _ => return wire.close().await,
    }
    wire.raw("xyzzy").await;
    if n % 8 == 2 {
        return wire.close().await;
    }
    wire.end().await;
}

/// Somebody who is logged in and sends the largest frames that are read, until that ends the connection.
async fn misuse_logged_in(server: &Server, who: &Arc<Identity>) {
    let mut person = server.log_in(who).await;
    for _ in 0..5 {
        person.raw(&"[".repeat(1024 * 1024)).await;
    }
    person.expect_close(4400).await;
}

async fn round(server: &Server, who: &Arc<Identity>) {
    stream::iter(0..CONNECTIONS).for_each_concurrent(AT_ONCE, |n| misuse(server, who, n)).await;
    for _ in 0..20 {
        misuse_logged_in(server, who).await;
    }
}

#[tokio::test]
async fn memory_returns_to_where_it_was() {
    let server = Server::with(NO_LIMITS).start().await;
    let who = server.register("alice").await.who;
    round(&server, &who).await;
    let after_the_first_half = resident(&server);
    round(&server, &who).await;
    let after_the_second_half = resident(&server);
    assert!(
        after_the_second_half <= after_the_first_half + MARGIN,
        "{after_the_first_half} bytes became {after_the_second_half}"
    );
    server.log_in(&who).await;
}
