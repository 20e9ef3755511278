//! What `make cluster` starts: people talk through its one address, it stops in order, and goes on with its data.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sealwire_parts::ports::free_addresses;
use sealwire_tests::Entrance;
use sealwire_tests::server::binary;
use sealwire_tests::stranger::{Dial, Identity};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Only what hangs takes this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running `make cluster`, without `make`.
struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(data: &TempDir, address: SocketAddr) -> Self {
        let mut command = Command::new(binary("examples/cluster"));
        command.arg(binary("sealwire")).arg(data.path()).arg(address.port().to_string());
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("it runs");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Self { process, lines }
    }

    async fn says(&mut self, text: &str) {
        let mut said = Vec::new();
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await.expect("it goes on").expect("text");
            let line = line.unwrap_or_else(|| unreachable!("it ended before it said `{text}`: {said:#?}"));
            if line.contains(text) {
                return;
            }
            said.push(line);
        }
    }

    async fn stop(mut self) {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), Signal::INT).expect("a child can be signalled");
        self.says("stopped").await;
        let status = timeout(PATIENCE, self.process.wait()).await.expect("it ends").expect("a child can be waited for");
        assert!(status.success(), "{status}");
    }
}

/// Ten servers in two lives.
mod heavy {
    use super::*;

    #[tokio::test]
    async fn the_cluster_to_try_takes_people_and_knows_them_after_it_was_stopped() {
        let data = TempDir::new().expect("a directory");
        let address = free_addresses().next().expect("a port");
        let bob = Arc::new(Identity::new("bob"));

        let mut cluster = Running::start(&data, address);
        cluster.says(&format!("Clients dial ws://{address}")).await;
        let mut alice = Entrance::at(address).register("alice").await;
        let mut there = Entrance::at(address).register_as(Arc::clone(&bob), Dial::default()).await;
        let id = alice.send(&there, "Are you there?").await;
        there.take_message().await;
        alice.expect_status("delivered", &id).await;
        drop((alice, there));
        cluster.stop().await;

        let mut cluster = Running::start(&data, address);
        cluster.says("Clients dial").await;
        Entrance::at(address).log_in(&bob).await;
        cluster.stop().await;
    }
}
