//! The envelope from outside: what opens, what does not, and in which words.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod attacks;
mod chains;
mod codes;
mod companion;
mod flips;
mod keys;
mod people;
mod phases;
mod properties;
mod vector;
