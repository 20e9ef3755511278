//! The suite on a real Redis, and what only a Redis can do wrong.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops where it finds something wrong")]

#[path = "redis/faults.rs"]
mod faults;
#[path = "redis/refusals.rs"]
mod refusals;
#[path = "redis/traffic.rs"]
mod traffic;
#[path = "redis/world.rs"]
mod world;

mod suite {
    sealwire_bus::conformance::suite!(crate::world::Real::new().await);
}
