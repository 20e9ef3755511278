//! Log-ins (protocol section 3).

use rand_core::CryptoRng;
use sealwire_protocol::signed::AuthIn;

use crate::keys::SigningKey;

impl SigningKey {
    /// Signs the answer to a challenge. Its `dsk_kid` is always this key's, whatever `auth` says.
    ///
    /// The caller has checked that the challenge's origin is the one that it dialled, and signs only the purpose that
    /// it asked for.
    pub fn sign_auth<R: CryptoRng + ?Sized>(&self, rng: &mut R, auth: &AuthIn<'_>) -> Vec<u8> {
        self.sign(rng, &AuthIn { dsk_kid: self.kid(), ..*auth }.to_bytes())
    }
}
