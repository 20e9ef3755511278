//! The proxy that makes trouble makes the trouble that its sentences promise.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sealwire_parts::TcpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn dial(proxy: &TcpProxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.expect("the proxy takes connections")
}

async fn say(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.map(|_| answer)
}

#[tokio::test]
async fn in_fair_weather_all_bytes_pass_in_order_and_ends_too() {
    let proxy = TcpProxy::to(echo().await).await;
    let stream = dial(&proxy).await;
    let (mut from, mut to) = stream.into_split();
    let text: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = text.clone();
    tokio::spawn(async move {
        to.write_all(&sent).await.expect("all is taken");
        to.shutdown().await.expect("the end is taken");
    });
    let mut answer = Vec::new();
    from.read_to_end(&mut answer).await.expect("it comes back to its end");
    assert!(answer == text, "{} bytes of {} came back", answer.len(), text.len());
}

#[tokio::test]
async fn a_delay_holds_in_both_directions() {
    let proxy = TcpProxy::to(echo().await).await;
    let mut stream = dial(&proxy).await;
    proxy.delay(Duration::from_millis(200));
    let start = Instant::now();
    assert_eq!(say(&mut stream, b"slowly").await.expect("an answer"), b"slowly");
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_a_blackhole_swallowed_arrives_after_it() {
    let proxy = TcpProxy::to(echo().await).await;
    let mut stream = dial(&proxy).await;
    proxy.blackhole();
    let silence = tokio::time::timeout(Duration::from_millis(200), say(&mut stream, b"where")).await;
    assert!(silence.is_err(), "{silence:?}");
    proxy.heal();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"where");
}

#[tokio::test]
async fn a_cut_ends_what_was_open_and_nothing_else() {
    let proxy = TcpProxy::to(echo().await).await;
    let mut before = dial(&proxy).await;
    say(&mut before, b"well").await.expect("an answer");
    proxy.cut();
    let end = before.read(&mut [0]).await.expect_err("it was cut");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(say(&mut dial(&proxy).await, b"again").await.expect("an answer"), b"again");
}

#[tokio::test]
async fn a_cut_within_a_blackhole_loses_what_was_under_way() {
    let proxy = TcpProxy::to(echo().await).await;
    let mut stream = dial(&proxy).await;
    say(&mut stream, b"well").await.expect("an answer");
    proxy.blackhole();
    stream.write_all(b"lost").await.expect("nobody is told");
    proxy.cut();
    stream.read(&mut [0]).await.expect_err("it was cut");
}

#[tokio::test]
async fn who_is_refused_gets_in_when_the_weather_is_fair_again() {
    let proxy = TcpProxy::to(echo().await).await;
    let mut before = dial(&proxy).await;
    say(&mut before, b"well").await.expect("an answer");
    proxy.refuse();
    before.read(&mut [0]).await.expect_err("it was cut");
    say(&mut dial(&proxy).await, b"no").await.expect_err("nobody gets in");
    proxy.heal();
    assert_eq!(say(&mut dial(&proxy).await, b"yes").await.expect("an answer"), b"yes");
}

#[tokio::test]
async fn who_is_spared_feels_nothing() {
    let proxy = TcpProxy::sparing(echo().await, |_| true).await;
    let mut stream = dial(&proxy).await;
    proxy.refuse();
    proxy.blackhole();
    assert_eq!(say(&mut stream, b"fine").await.expect("an answer"), b"fine");
    assert_eq!(say(&mut dial(&proxy).await, b"too").await.expect("an answer"), b"too");
}
