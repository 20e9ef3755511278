//! Starts real servers for the tests.

pub mod server;

pub use server::Server;
