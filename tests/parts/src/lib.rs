//! Starts the real parts of a cluster for tests: a MongoDB replica set, a Redis, a HAProxy, on ports of their own, ended
//! without fail; and a proxy of our own that makes trouble between any two.
//!
//! `tools/setup` installs the programs. A part that does not start fails the test with what it said. Waiting means waiting for
//! what a part itself says; the time limits only end what hangs.

#![expect(clippy::panic, reason = "a library for tests: its panics are their failures")]

pub mod certificate;
mod document;
mod guardian;
pub mod haproxy;
mod member;
pub mod mongo;
mod owner;
pub mod ports;
pub mod process;
pub mod redis;
mod trouble;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use haproxy::HaProxy;
pub use mongo::MongoReplicaSet;
pub use redis::RedisServer;
pub use trouble::TcpProxy;

/// What hangs for this long is given up; nothing that works comes near it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program `name`: the one on the PATH, else the one that `tools/setup` has put into `.tools`.
fn program(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the package lies in tests/parts");
    // Debian keeps some servers in sbin, which is not on everybody's PATH.
    let more = [root.join(".tools/venv/bin"), PathBuf::from("/usr/sbin")];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(more).map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: `tools/setup` installs what the tests need"))
}

/// Waits for `what`, which comes soon or never.
async fn patiently<T>(doing: &str, what: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, what).await;
    ended.unwrap_or_else(|_| panic!("{doing} has taken more than {PATIENCE:?}"))
}
