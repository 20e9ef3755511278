//! What the server says of itself: log lines on standard error, and metrics. Neither holds what people write, nor who they
//! are.

mod exposition;
mod measured_bus;
mod measured_store;
mod requests;

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

pub(crate) use self::{
    exposition::Telemetry,
    measured_bus::{BusCounts, MeasuredBus},
    measured_store::{MeasuredStore, StoreCounts},
};
use crate::config::log::{Format, Log};

/// Starts logging for the whole process.
///
/// # Errors
///
/// When something in the process has started it before.
pub(crate) fn init(log: &Log) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // A WebSocket's body ends with an error on purpose (actors/src/session/socket.rs), and actix logs each as a fault.
    let filter =
        EnvFilter::builder().parse(log.level.directives())?.add_directive("actix_http::h1::dispatcher=off".parse()?);
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match log.format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    }
}
