//! The Sealwire protocol, version 1: what server and clients agree on, and nothing else.
//!
//! * [`frames`] what is sent over a connection (sections 1, 5 and 6); [`codes`] errors and closes (section 7)
//! * [`ids`] names of accounts, devices, messages and keys; [`base64`] the one spelling of bytes in JSON
//! * [`signed`] the byte strings that are signed (section 3) and the envelope's header (section 4)
//! * [`page`] the regions of `docs/protocol.md` that are generated from it
//! * [`spki`] the one shape of a public key
//!
//! No IO, no clock, no randomness and no cryptography beyond SHA-256: the caller brings them. The page that a stranger
//! writes a client from is `docs/protocol.md`.

pub mod base64;
pub mod codes;
pub mod frames;
pub mod ids;
pub mod page;
pub mod signed;
pub mod spki;

pub use codes::{CloseCode, ErrorCode};
pub use ids::{DeviceId, Kid, MessageId, Username};
