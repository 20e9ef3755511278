//! Log-ins (protocol section 3).

use rand_core::CryptoRng;
use sealwire_protocol::signed::AuthIn;

use crate::keys::SigningKey;
use crate::provider::RsaJob;

/// The job that signs the answer to a challenge, for the key that `auth` names; its signature is the answer's.
///
/// The caller has checked what [`SigningKey::sign_auth`] wants checked.
pub fn to_sign(auth: &AuthIn<'_>) -> RsaJob {
    RsaJob::Sign { key: *auth.dsk_kid, message: auth.to_bytes() }
}

impl SigningKey {
    /// Signs the answer to a challenge. Its `dsk_kid` is always this key's, whatever `auth` says.
    ///
    /// The caller has checked that the challenge's origin is the one that it dialled, and signs only the purpose that
    /// it asked for.
    pub fn sign_auth<R: CryptoRng + ?Sized>(&self, rng: &mut R, auth: &AuthIn<'_>) -> Vec<u8> {
        self.sign(rng, &AuthIn { dsk_kid: self.kid(), ..*auth }.to_bytes())
    }
}
