//! The byte strings that are signed (protocol sections 3 and 4), and the rules that what they say must follow.
//!
//! Nothing in JSON is ever signed. Every string begins with a label of its own, so no signature serves elsewhere;
//! `lp(x)` is a four-byte big-endian length and x, integers are big-endian of fixed width, a UUID is 16 bytes.

mod auth;
mod envelope;
mod manifest;
mod wrap_cert;

pub use auth::{AuthIn, Purpose};
pub use envelope::{
    Header, IV_LEN, Kind, MAX_RECIPIENTS, Recipient, SUITE_RSA_OAEP_4096_AES_256_GCM, chain, message_input, wrap_label,
};
pub use manifest::{MAX_DEVICES, Manifest, ManifestDevice, ManifestError};
pub use wrap_cert::{WrapCert, WrapCertError};

use sha2::{Digest, Sha256};

/// The label in front of each byte string.
pub mod label {
    /// A log-in, a registration or a link.
    pub const AUTH: &str = "sealwire/v1 auth";
    /// A device manifest.
    pub const MANIFEST: &str = "sealwire/v1 manifest";
    /// A wrap certificate.
    pub const WRAP_CERT: &str = "sealwire/v1 wrap-cert";
    /// An envelope's header.
    pub const HEADER: &str = "sealwire/v1 header";
    /// The label of one wrap of a content key.
    pub const WRAP: &str = "sealwire/v1 wrap";
    /// A whole envelope, as its sender signs it.
    pub const MESSAGE: &str = "sealwire/v1 message";
    /// A link of a conversation's chain.
    pub const CHAIN: &str = "sealwire/v1 chain";
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Appends `lp(x)`: a four-byte big-endian length, then the bytes (protocol section 3).
///
/// # Panics
/// When there are 4 GiB or more of them; no frame carries that.
pub fn push_lp(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a field is far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends the `u16 n` in front of a list. A list beyond every limit saturates: what it gives is still no other
/// list's string.
fn push_count(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes());
}
