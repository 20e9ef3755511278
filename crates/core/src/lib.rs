//! What a client decides, free of IO: no network, no files, no threads, no clock and no randomness of its own. Frames, time
//! and random numbers come in as arguments; so the same code runs in a program and in a browser, and is tested without
//! either.
//!
//! * whom to believe: [`pins`], [`devices`], [`handover`], [`lookups`], [`mending`]; what to sign: [`handshake`]; when to
//!   change keys: [`rotation`]
//! * what to send, and when: [`outbox`], [`requests`], [`pace`], [`backoff`], [`clock`], [`presence`], [`passing`]
//! * what arrived, and in which order it is shown: [`chain`], [`display`], [`conversation`]
//! * [`engine`] puts them together: [`Core`], over a [`storage`]
//! * [`convert`] between what JSON carries and what is signed and sealed

pub mod backoff;
pub mod chain;
pub mod characters;
pub mod clock;
pub mod conversation;
pub mod convert;
pub mod devices;
pub mod display;
pub mod engine;
pub mod enrolment;
pub mod error;
pub mod handover;
pub mod handshake;
pub mod lookups;
pub mod mending;
pub mod outbox;
pub mod pace;
pub mod passing;
pub mod pins;
pub mod presence;
pub mod requests;
pub mod rotation;
pub mod storage;

pub use engine::Core;
pub use error::{Error, MAX_TEXT};
pub use storage::{MemoryStorage, Storage};
