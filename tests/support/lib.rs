//! Starts real servers for the tests.

#![expect(clippy::panic, reason = "a library for tests: its panics are their failures")]

pub mod entrance;
pub mod hostile;
pub mod metrics;
pub mod profiles;
pub mod server;
pub mod stranger;
pub mod terminal;
pub mod typist;

pub use entrance::Entrance;
pub use server::Server;
pub use terminal::Terminal;
