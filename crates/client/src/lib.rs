//! Sealwire's client: everything that a Rust program needs to talk, but its face.
//!
//! * [`Profile`] the device on disk: keys, pins, counters, what it received and has yet to send
//! * [`conversation`] what a person sees of it; [`vault`] how it is encrypted, and what opens it
//! * [`enrol`] how a device comes to an account and leaves it; [`Client`] logs in, stays connected, sends and receives
//! * [`server`] which server is meant
//! * What a client decides, without IO, is `sealwire-core`; its modules are found here as well

pub mod client;
mod connection;
pub mod enrol;
mod error;
pub mod probe;
pub mod profile;
pub mod server;
mod time;
pub mod vault;

pub use sealwire_core::{
    backoff, chain, characters, clock, conversation, devices, display, handover, handshake, lookups, outbox, pace, pins,
};

use sealwire_core::convert;

pub use client::{Alarm, Client, Event, Events, Message, Sent};
pub use enrol::register;
pub use error::{Error, MAX_TEXT};
pub use profile::Profile;
pub use register::register;
pub use sealwire_e2ee::SafetyNumber;
pub use server::Server;
