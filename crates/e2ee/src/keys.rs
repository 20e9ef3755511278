//! The three kinds of private key (protocol section 2). Each type has its own use and no other: an identity key cannot
//! sign a message, a signing key cannot open one.

use std::fmt;

use rand_core::CryptoRng;
use sealwire_protocol::Kid;
use sealwire_protocol::spki::Spki;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::provider::ContentKey;
use crate::rsa::{KeyPair, PrivateKeyError};

macro_rules! private_key {
    ($(#[$doc:meta])* $key:ident) => {
        $(#[$doc])*
        ///
        /// Zeroized on drop; `Debug` shows the start of the public key's id and nothing else.
        pub struct $key {
            pair: KeyPair,
            kid: Kid,
        }

        impl $key {
            /// Makes a new RSA-4096 key. This takes seconds: run it where blocking is fine.
            pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
                Self::new(KeyPair::generate(rng))
            }

            /// Reads a key from PKCS#8 DER, as [`Self::to_pkcs8`] writes it.
            ///
            /// # Errors
            /// [`PrivateKeyError`] when it is none, or not RSA-4096 with e = 65537.
            pub fn from_pkcs8(der: &[u8]) -> Result<Self, PrivateKeyError> {
                KeyPair::from_pkcs8(der).map(Self::new)
            }

            fn new(pair: KeyPair) -> Self {
                Self { kid: pair.public().kid(), pair }
            }

            /// The key as PKCS#8 DER. Secret: for the device's own storage.
            pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
                self.pair.to_pkcs8()
            }

            /// The public half.
            pub fn public(&self) -> &Spki {
                self.pair.public()
            }

            /// The public half's id.
            pub fn kid(&self) -> &Kid {
                &self.kid
            }
        }

        impl ZeroizeOnDrop for $key {}

        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($key), "({:?})"), self.kid)
            }
        }
    };
}

private_key!(
    /// Account identity key (AIK): signs the account's device manifests, nothing else.
    IdentityKey
);
private_key!(
    /// Device signing key (DSK): signs messages, log-ins and wrap certificates.
    SigningKey
);
private_key!(
    /// Device wrap key (DWK): content keys are wrapped to it.
    WrapKey
);

impl IdentityKey {
    pub(crate) fn sign<R: CryptoRng + ?Sized>(&self, rng: &mut R, message: &[u8]) -> Vec<u8> {
        self.pair.sign(rng, message)
    }
}

impl SigningKey {
    pub(crate) fn sign<R: CryptoRng + ?Sized>(&self, rng: &mut R, message: &[u8]) -> Vec<u8> {
        self.pair.sign(rng, message)
    }
}

impl WrapKey {
    /// The content key in a wrap, if it is one under this key and label.
    pub(crate) fn unwrap_key<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        label: &[u8; 32],
        wrap: &[u8],
    ) -> Option<ContentKey> {
        ContentKey::from_slice(&self.pair.decrypt(rng, label, wrap)?)
    }
}
