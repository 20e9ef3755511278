//! The one file that knows the `rsa` crate: RSA-PSS and RSA-OAEP as protocol section 2 fixes them, both over SHA-256
//! and MGF1-SHA-256. Everything else speaks of keys by what they are for.

use ::rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use ::rsa::{BoxedUint, Oaep, Pss, RsaPrivateKey, RsaPublicKey};
use rand_core::CryptoRng;
use sealwire_protocol::spki::{KeyError, Spki};
use sha2::{Digest, Sha256};
use zeroize::{ZeroizeOnDrop, Zeroizing};

#[cfg(test)]
mod tests;

const BITS: usize = Spki::MODULUS_LEN * 8;
const EXPONENT: u64 = 65537;

/// Why bytes are no private key of this protocol. The bytes themselves are never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// Not the PKCS#8 DER of a consistent RSA key with two primes.
    #[error("not a PKCS#8 RSA private key")]
    Malformed,
    /// An RSA key, but with a public half that the protocol does not take.
    #[error(transparent)]
    Public(#[from] KeyError),
}

/// An RSA-4096 key pair; zeroized on drop by the crate that made it. Private operations are blinded.
pub(crate) struct KeyPair {
    private: RsaPrivateKey,
    public: Spki,
}

impl KeyPair {
    pub(crate) fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let private = RsaPrivateKey::new(rng, BITS).expect("the size is within the crate's limits");
        Self::new(private).expect("a key is made as the protocol wants it")
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, PrivateKeyError> {
        Self::new(RsaPrivateKey::from_pkcs8_der(der).map_err(|_| PrivateKeyError::Malformed)?)
    }

    fn new(private: RsaPrivateKey) -> Result<Self, PrivateKeyError> {
        let der = private.to_public_key().to_public_key_der().map_err(|_| PrivateKeyError::Malformed)?;
        Ok(Self { public: Spki::parse(der.as_bytes())?, private })
    }

    pub(crate) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.private.to_pkcs8_der().expect("a key with two primes has a PKCS#8 form").to_bytes()
    }

    pub(crate) fn public(&self) -> &Spki {
        &self.public
    }

    /// An RSA-PSS signature with a salt of 32 bytes.
    pub(crate) fn sign<R: CryptoRng + ?Sized>(&self, rng: &mut R, message: &[u8]) -> Vec<u8> {
        let padding = Pss::<Sha256>::new();
        self.private.sign_with_rng(rng, padding, &Sha256::digest(message)).expect("a 4096-bit key signs any hash")
    }

    /// What was encrypted with RSA-OAEP under this label.
    pub(crate) fn decrypt<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        label: &[u8],
        ciphertext: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        oaep_decrypt(rng, &self.private, label, ciphertext)
    }
}

impl ZeroizeOnDrop for KeyPair {}

/// Whether an RSA-PSS signature with a salt of 32 bytes is this key's over this message.
pub(crate) fn verify(key: &Spki, message: &[u8], signature: &[u8]) -> bool {
    pss_verify(&public_key(key), message, signature)
}

/// RSA-OAEP under a label. The message is a content key, far below what fits.
pub(crate) fn encrypt<R: CryptoRng + ?Sized>(rng: &mut R, key: &Spki, label: &[u8], message: &[u8; 32]) -> Vec<u8> {
    let padding = Oaep::<Sha256>::new_with_label(label);
    public_key(key).encrypt(rng, padding, message).expect("32 bytes fit under a 4096-bit key")
}

fn public_key(key: &Spki) -> RsaPublicKey {
    let modulus = BoxedUint::from_be_slice_vartime(key.modulus());
    RsaPublicKey::new(modulus, EXPONENT.into()).expect("an Spki's modulus is odd and has 4096 bits")
}

// Keys of any size: the vectors of Wycheproof come in several.

fn pss_verify(key: &RsaPublicKey, message: &[u8], signature: &[u8]) -> bool {
    key.verify(Pss::<Sha256>::new(), &Sha256::digest(message), signature).is_ok()
}

fn oaep_decrypt<R: CryptoRng + ?Sized>(
    rng: &mut R,
    key: &RsaPrivateKey,
    label: &[u8],
    ciphertext: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    key.decrypt_blinded(rng, Oaep::<Sha256>::new_with_label(label), ciphertext).ok().map(Zeroizing::new)
}
