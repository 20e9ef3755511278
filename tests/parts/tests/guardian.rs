//! Parts end with the process that started them, however it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use sealwire_parts::RedisServer;

/// Set for the process that is to be killed.
const VICTIM: &str = "SEALWIRE_PARTS_VICTIM";

#[tokio::test]
async fn a_part_ends_with_a_test_that_is_killed() {
    if std::env::var_os(VICTIM).is_some() {
        return wait_for_death().await;
    }
    let mut victim = Command::new(std::env::current_exe().expect("a process knows its own file"));
    victim.args(["--exact", "a_part_ends_with_a_test_that_is_killed", "--nocapture"]).env(VICTIM, "1");
    let mut victim = victim.stdout(Stdio::piped()).spawn().expect("this test runs once more");
    let mut lines = BufReader::new(victim.stdout.take().expect("it is piped")).lines();
    let address = lines.find_map(|line| line.expect("it can be read").strip_prefix("redis at ")?.parse().ok());
    let address: SocketAddr = address.expect("the other test starts a Redis");

    let mut connection = TcpStream::connect(address).expect("the Redis listens");
    victim.kill().expect("a child can be killed");
    victim.wait().expect("a child can be waited for");
    // Returns when the Redis ends, and never else: nobody asks it anything.
    let end = connection.read(&mut [0]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

async fn wait_for_death() {
    let redis = RedisServer::start().await;
    // At the start of a line: the test's name may stand on this one.
    writeln!(std::io::stdout(), "\nredis at {}", redis.address()).expect("somebody reads");
    std::future::pending().await
}
