//! Signatures (protocol section 2): RSA-PSS, SHA-256, MGF1-SHA-256, salt 32.

use sealwire_protocol::spki::Spki;

use crate::rsa;

/// A signature that is not the key's over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// Verifies a signature over a byte string of `sealwire_protocol::signed`.
///
/// # Errors
/// [`BadSignature`] when it does not verify.
pub fn verify(key: &Spki, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    if rsa::verify(key, message, signature) { Ok(()) } else { Err(BadSignature) }
}
