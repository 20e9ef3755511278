//! The Sealwire broker: actors that route ciphertext between connections, and into the store when nobody is there.
//!
//! * `session` one actor per connection; `session/socket.rs` alone names actix-web
//! * `presence` the directory of who is connected
//! * `router` the way of a copy out of its sender's session
//! * `spool` the way into the store, in batches
//!
//! The broker knows frames and the [`Store`] trait; no driver and no HTTP route. What it may hold for strangers is in
//! [`Settings`].

mod address;
mod broker;
mod clock;
mod health;
pub mod metrics;
mod node;
mod presence;
mod quota;
mod roster;
mod router;
mod session;
mod settings;
mod spool;
mod verify;

pub use address::counted;
pub use broker::{Broker, Peer, StartError};
pub use health::{BusHealth, Health, StoreHealth};
#[cfg(feature = "counted")]
#[doc(hidden)]
pub use session::steps;
pub use settings::{Limits, Settings, Timing};

use std::time::Duration;

#[cfg(doc)]
use sealwire_store::Store;
use sealwire_store::StoreError;

/// Gives an answer of the store its time limit.
async fn in_time<T>(limit: Duration, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| Err(StoreError::Unavailable("it took too long".to_owned()));
    tokio::time::timeout(limit, answer).await.unwrap_or_else(late)
}

/// Random bytes from the operating system.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
