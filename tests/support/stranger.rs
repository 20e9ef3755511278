//! A client written from `docs/protocol.md` alone: raw WebSockets and JSON values, nothing of `crates/client`.
//!
//! It takes only signing, sealing and opening from `crates/e2ee`, and its keys from `tests/keys`. Every wait has a generous
//! end ([`PATIENCE`]) and says what it was waiting for; nothing sleeps.

mod envelope;
mod identity;
mod owner;
mod person;
mod wire;

use std::time::Duration;

pub use envelope::{Writing, dummy, dummy_for, dummy_of, sealed};
pub(crate) use identity::fresh_message_id;
pub use identity::{Identity, b64, key_of_pool, unb64};
pub use owner::Owner;
pub use person::Stranger;
pub use wire::{Dial, Refused, Wire};

/// How long to wait for what must come; only a fault of the server, or a stalled machine, takes as long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds since 1970.
///
/// # Panics
/// When the clock stands before 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is after 1970");
    u64::try_from(since.as_millis()).expect("it is not that late")
}
