//! Starts real servers for the tests.

pub mod server;
pub mod stranger;

pub use server::Server;
