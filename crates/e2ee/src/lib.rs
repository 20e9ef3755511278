//! Sealwire's end-to-end encryption, suite 1 (protocol sections 2 to 5). Clients only: the server's dependency graph
//! never contains this crate.
//!
//! * [`keys`] the three kinds of private key, each with its one use; [`verify`] the public side of signatures
//! * [`manifest`] an account's device lists and their chain; [`certificate`] wrap keys; [`auth`] log-ins
//! * [`payload`] and [`padding`] what is encrypted; [`mod@seal`] and [`mod@open`] the envelope
//! * [`provider`] where private keys are used, for those who cannot compute in place
//! * [`code`] what a person carries over; [`linking`] and [`recovery`] what is sealed with it
//! * [`safety`] the number that two people compare
//!
//! No IO, threads, clocks or global randomness: time and a cryptographic generator come in as arguments.

pub mod auth;
pub mod certificate;
pub mod code;
mod content;
pub mod keys;
pub mod linking;
pub mod manifest;
pub mod open;
pub mod padding;
pub mod payload;
pub mod provider;
pub mod recovery;
mod rsa;
pub mod safety;
pub mod seal;
pub mod verify;

pub use code::{CodeError, LinkCode, RecoveryCode};
pub use keys::{IdentityKey, SigningKey, WrapKey};
pub use linking::{LinkSecrets, NotSealedHere, Side};
pub use open::{Checked, Delivered, KeyHolder, NoSenderKey, OpenError, Opened, Receiver, check, open};
pub use payload::{ContentType, Lane, Payload};
pub use provider::{ContentKey, KeyUse, NativeRsa, RsaFailure, RsaJob, RsaOutcome, RsaProvider};
pub use recovery::RecoverySecrets;
pub use rsa::PrivateKeyError;
pub use safety::SafetyNumber;
pub use seal::{Draft, SealError, Sealed, Target, Unsigned, prepare, seal};
