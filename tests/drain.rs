//! SIGTERM: the server sends its clients away, stores what they hold, and ends well; nothing that was promised is lost.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use sealwire_tests::Server;
use sealwire_tests::server::{NO_LIMITS, Signal};
use sealwire_tests::stranger::{Dial, Identity, Stranger, dummy_of};
use serde_json::Value;

const MESSAGES: usize = 60;

fn id_of(message: &Value) -> String {
    message["messageId"].as_str().expect("a message has an id").to_owned()
}

/// Everything that waits for a device, up to the end of its backlog, acknowledged.
async fn backlog(device: &mut Stranger) -> Vec<String> {
    let queued = device.session["queued"].as_u64().expect("a number");
    let mut ids = Vec::new();
    for _ in 0..queued {
        ids.push(id_of(&device.take_message().await));
    }
    device.expect("queue").await;
    assert!(!device.settle().await.iter().any(|frame| frame["type"] == "message"), "more than the {queued} announced");
    ids
}

/// Waits until the client has been sent away as protocol section 6 says; gives how long it is to stay away.
async fn sent_away(client: &mut Stranger) -> u64 {
    let reconnect = client.expect("reconnect").await;
    client.expect_close(1012).await;
    reconnect["afterMs"].as_u64().expect("a number of milliseconds")
}

/// Starts the server again, sends what had no status again, and looks that Bob gets all of it, each once, in order.
async fn all_there_after_restart(
    server: &mut Server,
    alice: &Stranger,
    frames: &[Value],
    bob: &Arc<Identity>,
    ids: &[String],
) {
    server.restart().await;
    let mut again = server.log_in(&alice.who).await;
    for frame in frames.iter().filter(|frame| alice.statuses(&id_of(frame)).is_empty()) {
        let id = again.send_message(frame).await;
        again.expect_status("queued", &id).await;
    }
    let mut bob = server.log_in(bob).await;
    assert_eq!(backlog(&mut bob).await, ids, "each once, in order");
}

#[tokio::test]
async fn clients_are_sent_away_and_the_server_ends_well() {
    let mut server = Server::with(&[("SEALWIRE_TIMING_RECONNECT", "700ms")]).start().await;
    let mut clients = [server.register("alice").await, server.register("bob").await];
    server.signal(Signal::TERM);
    for client in &mut clients {
        assert!(sent_away(client).await < 700);
    }
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
    assert!(TcpStream::connect(server.address()).is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_a_device_had_not_acknowledged_waits_for_it_after_the_drain() {
    let mut server = Server::with(NO_LIMITS).start().await;
    let (mut alice, mut bob) = (server.register("alice").await, server.register("bob").await);
    let frames: Vec<Value> = (0..MESSAGES).map(|_| dummy_of(&bob.who, 600)).collect();
    let ids: Vec<String> = frames.iter().map(id_of).collect();
    for frame in &frames[..MESSAGES / 2] {
        alice.send_message(frame).await;
    }
    // These are with Bob, who does not acknowledge; the rest is on its way when the signal comes.
    for id in &ids[..MESSAGES / 2] {
        assert_eq!(id_of(&bob.next_message().await), *id);
    }
    server.signal(Signal::TERM);
    for frame in &frames[MESSAGES / 2..] {
        alice.send_message(frame).await;
    }
    sent_away(&mut alice).await;
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());

    all_there_after_restart(&mut server, &alice, &frames, &bob.who, &ids).await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_loses_nothing() {
    let mut server = Server::start().await;
    let bob = Arc::new(Identity::new("bob"));
    server.register_as(bob.clone(), Dial::default()).await.close().await;
    let mut alice = server.register("alice").await;
    let id = alice.send_dummy(&bob).await;
    alice.expect_status("queued", &id).await;
    // Stopped, it finds both signals at once when it goes on.
    for signal in [Signal::STOP, Signal::TERM, Signal::INT, Signal::CONT] {
        server.signal(signal);
    }
    assert_eq!(server.ended().await.code(), Some(1));
    assert!(server.log().contains("second signal"), "{}", server.log());

    server.restart().await;
    let mut bob = server.log_in(&bob).await;
    assert_eq!(backlog(&mut bob).await, [id]);
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_hold_up_the_drain() {
    let settings = [("SEALWIRE_SERVER_DRAIN_SECONDS", "5"), ("SEALWIRE_LIMITS_WINDOW_BYTES", "16777216")];
    let mut server = Server::with(NO_LIMITS.iter().chain(&settings)).start().await;
    let mut alice = server.register("alice").await;
    let mut bob = server.register_as(Arc::new(Identity::new("bob")), Dial::default().receive_buffer(4_096)).await;
    bob.expect("queue").await;
    // More than the two systems buffer, so that the server is left with bytes for Bob, who reads nothing.
    let frames: Vec<Value> = (0..12).map(|_| dummy_of(&bob.who, 500_000)).collect();
    let mut ids = Vec::new();
    for frame in &frames {
        ids.push(alice.send_message(frame).await);
    }
    alice.settle().await;
    server.signal(Signal::TERM);
    sent_away(&mut alice).await;
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());

    all_there_after_restart(&mut server, &alice, &frames, &bob.who, &ids).await;
}

/// Asks for a page on a connection that stays; `None` when that has ended.
fn ask(stream: &mut BufReader<TcpStream>, address: SocketAddr) -> Option<u16> {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).ok()?;
    let mut status = None;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if status.is_none() {
            status = Some(line.split(' ').nth(1)?.parse().ok()?);
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    status
}

#[tokio::test]
async fn a_server_that_leaves_is_never_ready_again() {
    let mut server = Server::start().await;
    let address = server.address();
    let mut stream = BufReader::new(TcpStream::connect(address).expect("the server listens"));
    assert_eq!(ask(&mut stream, address), Some(200));
    server.signal(Signal::TERM);
    let answers =
        tokio::task::spawn_blocking(move || std::iter::from_fn(|| ask(&mut stream, address)).collect::<Vec<_>>());
    let answers = answers.await.expect("the requests do not panic");
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
    let turn = answers.iter().position(|status| *status != 200).unwrap_or(answers.len());
    println!("ready {turn} times after the signal, then {} other answers", answers.len() - turn);
    assert!(answers[turn..].iter().all(|status| *status == 503), "{answers:?}");
}
