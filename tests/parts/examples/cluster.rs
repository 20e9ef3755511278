//! `make cluster`: a whole cluster on this machine, to try: three members of MongoDB, a Redis, three nodes, HAProxy.
//!
//! Arguments: the server's binary, the directory for data, the port to talk to. The parts take ports behind that one.
//! Ctrl-C ends all of it in order; the next start goes on with the data.

#![expect(clippy::print_stdout, reason = "it talks to a person")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use sealwire_parts::process::Process;
use sealwire_parts::{HaProxy, MongoReplicaSet, RedisServer};
use tokio::signal::unix::{SignalKind, signal};

const NODES: u16 = 3;

/// Ports behind the one that people dial: nodes from 1, their metrics from 11, MongoDB's members from 21.
const METRICS: u16 = 10;
const MEMBERS: u16 = 21;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, directory, port] = arguments.as_slice() else {
        println!("expected: cluster SERVER DIRECTORY PORT; `make cluster` knows them");
        return ExitCode::from(2);
    };
    let Ok(port @ 1_024..=60_000) = port.parse::<u16>() else {
        println!("the port must be a number from 1024 to 60000");
        return ExitCode::from(2);
    };
    let mut interrupt = signal(SignalKind::interrupt()).expect("a signal can be listened for");
    let mut terminate = signal(SignalKind::terminate()).expect("a signal can be listened for");
    tokio::select! {
        // Whatever runs by then ends with this process.
        _ = interrupt.recv() => return ExitCode::from(130),
        _ = terminate.recv() => return ExitCode::from(143),
        cluster = Cluster::start(Path::new(server), Path::new(directory), port) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            cluster.stop().await;
        }
    }
    ExitCode::SUCCESS
}

struct Cluster {
    nodes: Vec<Process>,
    redis: RedisServer,
    mongo: MongoReplicaSet,
    _haproxy: HaProxy,
}

impl Cluster {
    async fn start(server: &Path, directory: &Path, port: u16) -> Self {
        let directory = std::path::absolute(directory).expect("a working directory");
        std::fs::create_dir_all(&directory).expect("the directory for data can be made");
        println!("MongoDB: three members ...");
        let data = directory.join("mongodb");
        let mongo = MongoReplicaSet::of(3).kept_in(&data, port + MEMBERS).start().await;
        println!("MongoDB: ready at {}", mongo.url());
        let redis = RedisServer::start().await;
        println!("Redis:   ready at {}", redis.url());
        let mut nodes = Vec::new();
        let mut haproxy = HaProxy::with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/haproxy.cfg"));
        for n in 1..=NODES {
            let address = local(port + n);
            nodes.push(node(server, &directory, n, port, &mongo, &redis).await);
            haproxy = haproxy.set(&format!("SEALWIRE_NODE_{n}"), &address.to_string());
            println!(
                "node {n}:  ready at http://{address}/readyz, metrics at http://{}/metrics",
                local(port + METRICS + n)
            );
        }
        let haproxy = haproxy.start_on("SEALWIRE_PLAIN_BIND", [local(port)].into_iter()).await;
        println!("HAProxy: ready\n\nClients dial ws://{}\n", haproxy.address());
        println!("    sealwire-chat --server ws://{} --profile alice register alice\n", haproxy.address());
        println!("Kill what you like; it is all in {}, logs too. Ctrl-C stops everything.", directory.display());
        Self { nodes, redis, mongo, _haproxy: haproxy }
    }

    /// Nodes first: what they still hold goes into the store.
    async fn stop(mut self) {
        println!("\nstopping: nodes ...");
        for node in self.nodes {
            let status = node.terminate().await;
            if !status.success() {
                println!("a node ended with {status}; its log says why");
            }
        }
        println!("stopping: Redis, MongoDB ...");
        self.redis.stop().await;
        for member in 0..3 {
            self.mongo.stop(member).await;
        }
        println!("stopped");
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

async fn node(
    server: &Path,
    directory: &Path,
    n: u16,
    port: u16,
    mongo: &MongoReplicaSet,
    redis: &RedisServer,
) -> Process {
    let home: PathBuf = directory.join(format!("node{n}"));
    std::fs::create_dir_all(&home).expect("a directory for a node can be made");
    let mut command = Command::new(std::path::absolute(server).expect("a working directory"));
    command.args(["serve", "--listen", &local(port + n).to_string()]).current_dir(&home);
    command.env("SEALWIRE_STORE_URL", mongo.url()).env("SEALWIRE_BUS_URL", redis.url());
    command.env("SEALWIRE_METRICS_LISTEN", local(port + METRICS + n).to_string());
    command.env("SEALWIRE_SERVER_TRUSTED_PROXIES", "127.0.0.1");
    match Process::start(command, "listening on ws://", &home.join("log")).await {
        Ok(process) => process,
        Err(failure) => {
            println!("{failure}");
            std::process::exit(1);
        }
    }
}
