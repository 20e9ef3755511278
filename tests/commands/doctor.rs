//! `doctor` against real listeners, each with a fault of its own.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use sealwire_tests::stranger::{b64, now};
use sealwire_tests::{Server, Terminal, terminal};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::fields;

const FAILED: i32 = 1;
const NO_CONNECTION: i32 = 3;
const REFUSED: i32 = 4;
const SECURITY: i32 = 6;

/// What `doctor` said.
struct Report {
    code: Option<i32>,
    steps: Vec<Value>,
}

impl Report {
    fn step(&self, name: &str) -> &Value {
        let found = self.steps.iter().find(|step| step["step"] == name);
        found.unwrap_or_else(|| unreachable!("there is no step {name}: {:?}", self.steps))
    }

    fn names(&self) -> Vec<&str> {
        self.steps.iter().map(|step| step["step"].as_str().expect("a name")).collect()
    }

    /// The step failed, with these words and this exit code, and of the connection nothing behind it was tried.
    #[track_caller]
    fn assert_failed(&self, step: &str, words: &str, code: i32) {
        let found = self.step(step);
        assert_eq!(found["verdict"], "failure", "{found}");
        assert!(found["said"].as_str().is_some_and(|said| said.contains(words)), "{words}: {found}");
        assert!(found["advice"].as_str().is_some_and(|advice| advice.len() > 10), "{found}");
        assert_eq!(self.code, Some(code), "{:?}", self.steps);
        assert_eq!(self.steps.iter().filter(|step| step["verdict"] == "failure").count(), 1, "{:?}", self.steps);
    }
}

/// Asks `doctor` about a server, with Alice's profile; `trusted` are the only authorities that this machine knows.
async fn doctor(terminal: &Terminal, server: &str, trusted: Option<&Path>) -> Report {
    doctor_waiting(terminal, server, trusted, "60").await
}

/// The same, where something never comes: each step is waited for so many seconds.
async fn doctor_waiting(terminal: &Terminal, server: &str, trusted: Option<&Path>, timeout: &str) -> Report {
    let mut command = terminal.command_at(server, &["--profile", "alice", "--json", "doctor", "--timeout", timeout]);
    if let Some(trusted) = trusted {
        command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
    }
    let output = terminal::finish(command.spawn().expect("sealwire-chat runs")).await;
    let lines = terminal::text(&output);
    let steps: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    for step in &steps {
        assert_eq!(fields(step), ["advice", "said", "step", "verdict"]);
    }
    Report { code: output.status.code(), steps }
}

async fn alice() -> (Server, Terminal) {
    let server = Server::start().await;
    let terminal = Terminal::new(&server);
    terminal.register("alice").await;
    (server, terminal)
}

/// Listens on a port of its own and does the same with every connection, for as long as the test lasts.
async fn listener<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// Reads what comes first, says the words, and ends.
async fn say(mut stream: TcpStream, words: &'static str) {
    let mut request = [0; 1024];
    // A peer that is gone needs no answer.
    if stream.read(&mut request).await.is_ok() && stream.write_all(words.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

#[tokio::test]
async fn a_healthy_connection_is_called_so_step_by_step_and_loses_no_mail() {
    let (server, terminal) = alice().await;
    terminal.register("bob").await;
    terminal.chat("bob", &["send", "alice", "still here"]).await;
    let report = doctor(&terminal, &server.origin(), None).await;
    assert_eq!(
        report.names(),
        ["profile", "account", "name", "tcp", "upgrade", "challenge", "clock", "login", "mailbox", "keys", "outbox"]
    );
    assert!(report.steps.iter().all(|step| step["verdict"] == "ok" && step["advice"].is_null()), "{:?}", report.steps);
    assert_eq!(report.code, Some(0));
    assert!(report.step("profile")["said"].as_str().is_some_and(|said| said.contains("locked by a passphrase")));
    assert!(report.step("mailbox")["said"].as_str().is_some_and(|said| said.starts_with("1 message")));
    let heard = terminal.json("alice", &["listen", "--count", "1", "--timeout", "60"]).await;
    assert_eq!(heard[0]["text"], "still here");

    // For a person.
    let printed = terminal.chat("alice", &["doctor"]).await;
    assert!(printed.contains("ok      login       logged in as alice"), "{printed}");
}

#[tokio::test]
async fn a_port_on_which_nothing_listens_and_what_waits_meanwhile() {
    let (mut server, terminal) = alice().await;
    server.kill().await;
    terminal.fails("alice", &["send", "bob", "later", "--timeout", "0.1"]).await;
    let report = doctor(&terminal, &server.origin(), None).await;
    report.assert_failed("tcp", "nothing listens", NO_CONNECTION);
    let outbox = report.step("outbox");
    assert_eq!(outbox["verdict"], "warning");
    assert!(outbox["said"].as_str().is_some_and(|said| said.contains("1 for bob")), "{outbox}");
    let report = doctor(&terminal, "wss://no-such-host.invalid", None).await;
    report.assert_failed("name", "has no address", NO_CONNECTION);
}

#[tokio::test]
async fn what_answers_and_is_no_sealwire_is_told_apart() {
    let (_server, terminal) = alice().await;
    // It takes connections and is silent.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let port = silent.local_addr().expect("it is bound").port();
    // It never will, so that all of the time is waited; what comes before takes no answer of the program that is silent.
    let report = doctor_waiting(&terminal, &format!("ws://127.0.0.1:{port}"), None, "5").await;
    report.assert_failed("upgrade", "does not answer", NO_CONNECTION);
    for (answer, words, code) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "no Sealwire server", REFUSED),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP 404", REFUSED),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "HTTP 403", REFUSED),
        ("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", "HTTP 426", REFUSED),
        ("HTTP/1.1 503 Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", "in 7 s", NO_CONNECTION),
        ("HTTP/1.1 429 Slow Down\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n", "in 9 s", NO_CONNECTION),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "proxy", NO_CONNECTION),
        ("SSH-2.0-OpenSSH_9.2\r\n", "no web server", REFUSED),
        ("", "cut the connection", NO_CONNECTION),
    ] {
        let port = listener(move |stream| say(stream, answer)).await;
        let report = doctor(&terminal, &format!("ws://127.0.0.1:{port}"), None).await;
        report.assert_failed("upgrade", words, code);
    }
}

#[tokio::test]
async fn a_server_that_has_another_name_says_so() {
    let (_server, terminal) = alice().await;
    let other = Server::with(&[("SEALWIRE_SERVER_ORIGINS", "wss://chat.example.org")]).start().await;
    doctor(&terminal, &other.origin(), None).await.assert_failed("upgrade", "HTTP 421", REFUSED);
}

#[tokio::test]
async fn a_device_that_the_server_does_not_know_is_told_so() {
    let (_server, terminal) = alice().await;
    let other = Server::start().await;
    let report = doctor(&terminal, &other.origin(), None).await;
    report.assert_failed("login", "auth_failed", REFUSED);
    assert!(report.step("login")["advice"].as_str().is_some_and(|advice| advice.contains("removed")));
}

#[tokio::test]
async fn without_a_profile_the_connection_is_still_looked_at() {
    let (server, terminal) = alice().await;
    let output = terminal.run(&["--profile", "nobody", "--json", "doctor"]).await;
    assert_eq!(output.status.code(), Some(FAILED));
    let printed = terminal::text(&output);
    assert!(printed.contains("register NAME") && printed.contains(r#""step":"clock""#), "{printed}");
    assert!(!printed.contains(r#""step":"login""#), "{printed}");
    assert!(!terminal.home().join("nobody").exists(), "it makes none");
    drop(server);
}

/// A server that offers a challenge of this origin and time, and then says nothing.
async fn challenger(origin: impl Fn(u16) -> String + Send + Sync + 'static, off: i64) -> u16 {
    let origin = Arc::new(origin);
    listener(move |stream| {
        let origin = origin.clone();
        async move {
            let port = stream.local_addr().expect("it is connected").port();
            let agree = |request: &Request, mut response: Response| {
                let offered = request.headers().get("sec-websocket-protocol").cloned().expect("it is offered");
                response.headers_mut().insert("sec-websocket-protocol", offered);
                Ok(response)
            };
            let mut socket = accept_hdr_async(stream, agree).await.expect("a WebSocket");
            let server_time = now().saturating_add_signed(off);
            let challenge = json!({
                "type": "challenge", "v": 1, "origin": origin(port), "channelId": b64([1; 16]), "nonce": b64([2; 32]),
                "serverTime": server_time, "expiresAt": server_time + 30_000,
            });
            if socket.send(Message::text(challenge.to_string())).await.is_ok() {
                while let Some(Ok(_)) = socket.next().await {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_clock_that_is_off_is_a_warning_and_another_origin_a_danger() {
    let (_server, terminal) = alice().await;
    let port = challenger(|port| format!("ws://127.0.0.1:{port}"), -3_600_000).await;
    let report = doctor_waiting(&terminal, &format!("ws://127.0.0.1:{port}"), None, "5").await;
    let clock = report.step("clock");
    assert_eq!(clock["verdict"], "warning");
    assert!(clock["said"].as_str().is_some_and(|said| said.contains("ahead of the server's")), "{clock}");
    report.assert_failed("login", "no answer in time", NO_CONNECTION);

    let port = challenger(|_| "wss://evil.example.org\u{1b}[2J".to_owned(), 0).await;
    let report = doctor(&terminal, &format!("ws://127.0.0.1:{port}"), None).await;
    report.assert_failed("challenge", "evil.example.org", SECURITY);
}

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certificates").join(name)
}

/// Ends TLS with a certificate, and passes the bytes on to a server.
async fn tls(name: &str, server: &Server) -> String {
    let key = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("keys/k0.der")).expect("the pool of keys");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let chain = vec![CertificateDer::from_pem_file(certificate(name)).expect("a certificate")];
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("they belong together");
    let (acceptor, address) = (TlsAcceptor::from(Arc::new(config)), server.address());
    let port = listener(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            // A client that does not like the certificate ends the handshake: that is what is tested.
            let Ok(mut outside) = acceptor.accept(stream).await else { return };
            let mut inside = TcpStream::connect(address).await.expect("the server listens");
            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        }
    })
    .await;
    format!("wss://localhost:{port}")
}

#[tokio::test]
async fn faults_of_a_certificate_are_said_in_words() {
    let (server, terminal) = alice().await;
    for (shown, trusted, words) in [
        ("good.pem", "elsewhere.pem", "signed by nobody"),
        ("over.pem", "over.pem", "no longer valid"),
        ("elsewhere.pem", "elsewhere.pem", "elsewhere.example.org"),
    ] {
        let dialled = tls(shown, &server).await;
        let report = doctor(&terminal, &dialled, Some(&certificate(trusted))).await;
        report.assert_failed("tls", words, NO_CONNECTION);
    }
    let plain = server.origin().replace("ws://127.0.0.1", "wss://localhost");
    doctor(&terminal, &plain, Some(&certificate("good.pem"))).await.assert_failed(
        "tls",
        "not speak TLS",
        NO_CONNECTION,
    );

    // With a good one it goes on, until the server says that it is reached under another name: here, without TLS.
    let report = doctor(&terminal, &tls("good.pem", &server).await, Some(&certificate("good.pem"))).await;
    assert_eq!(report.step("tls")["verdict"], "ok");
    report.assert_failed("challenge", "another address", SECURITY);
}
