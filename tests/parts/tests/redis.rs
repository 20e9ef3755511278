//! The Redis that tests start does what their sentences say.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sealwire_parts::RedisServer;

fn dial(redis: &RedisServer) -> TcpStream {
    TcpStream::connect(redis.address()).expect("it listens")
}

/// Sends one command and gives the first line of what comes back.
fn ask(stream: &mut TcpStream, command: &str) -> String {
    stream.write_all(format!("{command}\r\n").as_bytes()).expect("it reads");
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).expect("it answers") == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

#[tokio::test]
async fn a_redis_that_was_killed_comes_back_empty_on_its_port() {
    let mut redis = RedisServer::start().await;
    assert_eq!(redis.url(), format!("redis://{}/", redis.address()));
    assert_eq!(ask(&mut dial(&redis), "SET key value"), "+OK");
    assert_eq!(redis.ask("GET key").await, "value");
    let address = redis.address();
    redis.kill();
    TcpStream::connect(address).expect_err("nobody listens");
    redis.restart_empty().await;
    assert_eq!(redis.address(), address);
    assert_eq!(ask(&mut dial(&redis), "EXISTS key"), ":0");
}

#[tokio::test]
async fn a_frozen_redis_answers_when_it_is_thawed() {
    let mut redis = RedisServer::start().await;
    let mut stream = dial(&redis);
    assert_eq!(ask(&mut stream, "PING"), "+PONG");
    redis.freeze();
    stream.write_all(b"PING\r\n").expect("the connection is open");
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out can be set");
    stream.read(&mut [0; 8]).expect_err("it answers nobody");
    stream.set_read_timeout(None).expect("it can be taken back");
    redis.thaw();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer, *b"+PONG\r\n");
}

#[tokio::test]
async fn only_the_named_user_is_let_in() {
    let redis = RedisServer::with().user("node", "secret-0").start().await;
    assert_eq!(redis.url(), format!("redis://node:secret-0@{}/", redis.address()));
    let mut stream = dial(&redis);
    assert_eq!(ask(&mut stream, "PING"), "-NOAUTH Authentication required.");
    assert_eq!(ask(&mut stream, "AUTH node secret-0"), "+OK");
    assert_eq!(ask(&mut stream, "PING"), "+PONG");
}

#[tokio::test]
async fn with_tls_it_shows_its_certificate_and_speaks_nothing_else() {
    let redis = RedisServer::with().tls().start().await;
    assert_eq!(redis.url(), format!("rediss://localhost:{}/", redis.address().port()));
    let mut stream = dial(&redis);
    stream.write_all(b"PING\r\n").expect("it reads");
    let mut answer = Vec::new();
    // Cut off, with an alert of TLS or without.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.windows(4).any(|part| part == b"PONG"), "{answer:?}");
    let mut client = std::process::Command::new("openssl");
    client.args(["s_client", "-verify_return_error", "-verify_hostname", "localhost", "-brief", "-connect"]);
    client.arg(redis.address().to_string()).arg("-CAfile").arg(redis.certificate_file());
    let output = client.stdin(std::process::Stdio::null()).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(redis.ask("PING").await, "PONG");
}

#[tokio::test]
async fn what_it_counts_can_be_asked() {
    let redis = RedisServer::start().await;
    assert_eq!(ask(&mut dial(&redis), "PUBLISH channel text"), ":0");
    let counts = redis.ask("INFO commandstats").await;
    assert!(counts.contains("cmdstat_publish:calls=1,"), "{counts}");
}
