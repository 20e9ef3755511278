//! `deploy/haproxy.cfg` as it is: people talk through it, and nodes come and go behind it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealwire_parts::haproxy::Builder;
use sealwire_parts::{HaProxy, certificate};
use sealwire_tests::server::Signal;
use sealwire_tests::stranger::{Dial, Stranger};
use sealwire_tests::{Entrance, Server};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const PLAIN: &str = "SEALWIRE_PLAIN_BIND";
const TLS: &str = "SEALWIRE_BIND";
const BEHIND_IT: &[(&str, &str)] =
    &[("SEALWIRE_STORE_KIND", "memory"), ("SEALWIRE_SERVER_TRUSTED_PROXIES", "127.0.0.1")];

fn configuration() -> Builder {
    HaProxy::with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/haproxy.cfg"))
}

/// A node, with these variables above those that one behind HAProxy needs.
async fn node(settings: &[(&str, &str)]) -> Server {
    Server::with(BEHIND_IT.iter().chain(settings)).start().await
}

/// In front of these nodes, which take all three places of the configuration.
fn before(nodes: [&Server; 3]) -> Builder {
    nodes.iter().enumerate().fold(configuration(), |builder, (n, node)| {
        builder.set(&format!("SEALWIRE_NODE_{}", n + 1), &node.address().to_string())
    })
}

async fn in_front_of(nodes: [&Server; 3]) -> HaProxy {
    before(nodes).start(PLAIN).await
}

fn door(proxy: &HaProxy) -> Entrance {
    Entrance::at(proxy.address())
}

/// Certificate and key in one file, as HAProxy wants them.
fn pem(home: &TempDir) -> PathBuf {
    let file = home.path().join("sealwire.pem");
    std::fs::write(&file, certificate::SELF_SIGNED.to_owned() + &certificate::key()).expect("a file can be written");
    file
}

#[test]
fn haproxy_has_nothing_against_its_configuration() {
    let home = TempDir::new().expect("a directory");
    configuration().set(PLAIN, "127.0.0.1:8080").check().expect("accepted without TLS");
    let with_tls = configuration().set("SEALWIRE_CERTIFICATE", &pem(&home).to_string_lossy());
    with_tls.check().expect("accepted with TLS");
    configuration()
        .set("SEALWIRE_CERTIFICATE", "/nowhere")
        .check()
        .expect_err("a certificate that is missing is noticed");
}

#[tokio::test]
async fn people_talk_through_it() {
    let node = node(&[]).await;
    let proxy = in_front_of([&node; 3]).await;
    let mut alice = door(&proxy).register("alice").await;
    let mut bob = door(&proxy).register("bob").await;
    let id = alice.send(&bob, "through the middle").await;
    let message = bob.take_message().await;
    assert_eq!(bob.read(&alice.who, &message), "through the middle");
    alice.expect_status("delivered", &id).await;
}

#[tokio::test]
async fn the_node_learns_from_it_who_connects_and_from_nobody_else() {
    let node = node(&[("SEALWIRE_LIMITS_CONNECTIONS_PER_IP", "1")]).await;
    let proxy = in_front_of([&node; 3]).await;
    let from = |last| Dial::default().from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    let _first = from(2).to(&door(&proxy)).await.expect("there is room for each address");
    let _other = from(3).to(&door(&proxy)).await.expect("there is room for each address");
    let lie = from(2).header("x-forwarded-for", "203.0.113.9");
    assert_eq!(lie.to(&door(&proxy)).await.expect_err("its place is taken").status, 429);
}

#[tokio::test]
async fn a_node_that_is_full_passes_people_on_to_the_next() {
    let (full, empty) = (node(&[("SEALWIRE_LIMITS_MAX_CONNECTIONS", "1")]).await, node(&[]).await);
    let proxy = in_front_of([&full, &empty, &empty]).await;
    let mut connected = Vec::new();
    for _ in 0..8 {
        connected.push(Dial::default().to(&door(&proxy)).await.expect("there is room somewhere"));
    }
    let refused = Dial::default().to(&full).await.expect_err("the first node is full");
    assert_eq!(refused.status, 503);
}

/// Alice on a node that is to have trouble, and another node that is up by now.
async fn alice_and_another_node() -> (Server, Stranger, Server, HaProxy) {
    let (hers, mut other) = (node(&[]).await, node(&[]).await);
    other.kill().await;
    let mut proxy = in_front_of([&hers, &other, &other]).await;
    let alice = door(&proxy).register("alice").await;
    for gone in ["node2", "node3"] {
        proxy.says(&format!("{gone} is DOWN")).await;
    }
    other.restart().await;
    for back in ["node2", "node3"] {
        proxy.says(&format!("{back} is UP")).await;
    }
    (hers, alice, other, proxy)
}

#[tokio::test]
async fn who_was_on_a_node_that_leaves_is_taken_by_another_at_once() {
    let (mut leaving, mut alice, _other, mut proxy) = alice_and_another_node().await;
    leaving.signal(Signal::TERM);
    alice.expect("reconnect").await;
    alice.expect_close(1012).await;
    // Each node here has a store of its own: that she can register shows where she is.
    door(&proxy).register("alice").await.settle().await;
    assert_eq!(leaving.ended().await.code(), Some(0), "{}", leaving.log());
    proxy.says("node1 is DOWN").await;
    leaving.restart().await;
    proxy.says("node1 is UP").await;
}

#[tokio::test]
async fn a_node_that_does_not_answer_gets_nobody_new_and_keeps_whom_it_has() {
    let (frozen, mut alice, _other, mut proxy) = alice_and_another_node().await;
    frozen.signal(Signal::STOP);
    proxy.says("node1 is DOWN").await;
    door(&proxy).register("alice").await.settle().await;
    frozen.signal(Signal::CONT);
    alice.settle().await;
    proxy.says("node1 is UP").await;
}

#[tokio::test]
async fn with_tls_it_speaks_http_1_and_tells_browsers_to_stay_with_tls() {
    let (node, home) = (node(&[]).await, TempDir::new().expect("a directory"));
    let builder = before([&node; 3]).set("SEALWIRE_CERTIFICATE", &pem(&home).to_string_lossy());
    let proxy = builder.start(TLS).await;
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_slice(certificate::SELF_SIGNED.as_bytes()).expect("PEM")).expect("a root");
    let mut config = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(proxy.address()).await.expect("it listens");
    let name = "localhost".try_into().expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));

    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.expect("it reads");
    let mut answer = String::new();
    // What ends without TLS's own goodbye ends too.
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_lowercase().contains("strict-transport-security: max-age="), "{answer}");
}
