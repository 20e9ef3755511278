//! Sealwire's client: everything that a Rust program needs to talk, but its face.
//!
//! * [`Profile`] the device on disk: keys, pins, counters, what it received and has yet to send
//! * [`conversation`] what a person sees of it; [`vault`] how it is encrypted, and what opens it
//! * [`register`](fn@register) makes an account; [`Client`] logs in, stays connected, sends and receives
//! * pure logic, without IO, threads, clocks or randomness of its own: [`outbox`], [`chain`], [`display`], [`pins`],
//!   [`handshake`], [`handover`], [`devices`], [`pace`], [`lookups`], [`backoff`], [`clock`], [`server`]

pub mod backoff;
pub mod chain;
pub mod client;
pub mod clock;
mod connection;
pub mod conversation;
mod convert;
pub mod devices;
pub mod display;
mod error;
pub mod handover;
pub mod handshake;
pub mod lookups;
pub mod outbox;
pub mod pace;
pub mod pins;
pub mod profile;
pub mod register;
pub mod server;
mod time;
pub mod vault;

pub use client::{Alarm, Client, Event, Events, Message, Sent};
pub use error::{Error, MAX_TEXT};
pub use profile::Profile;
pub use register::register;
pub use server::Server;
