//! Where private keys are used: the three RSA operations that need one, as jobs for whoever holds the keys.
//!
//! The rest of this crate computes in place. These operations cannot everywhere: a browser keeps its keys in WebCrypto,
//! which never shows them and answers later. So what needs a private key comes in two phases, the one before the
//! operation and the one after it, with an [`RsaJob`] in between: [`prepare`](crate::seal::prepare) and
//! [`Unsigned`](crate::seal::Unsigned), [`check`](crate::open::check) and [`Checked`](crate::open::Checked),
//! [`UnsignedManifest`](crate::manifest::UnsignedManifest), [`UnsignedWrapCert`](crate::certificate::UnsignedWrapCert),
//! [`to_sign`](crate::auth::to_sign).
//!
//! What verifies and wraps needs only public keys and stays in Rust.

mod native;

use std::fmt;

use sealwire_protocol::Kid;
use sealwire_protocol::signed::label;
use sealwire_protocol::spki::Spki;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use native::NativeRsa;

/// The use that a private key has; it has no other (protocol section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Account identity key: signs the account's manifests.
    Identity,
    /// Device signing key: signs messages, log-ins and wrap certificates.
    Signing,
    /// Device wrap key: unwraps content keys.
    Wrap,
}

/// An operation with a private key.
#[derive(Clone, PartialEq, Eq)]
pub enum RsaJob {
    /// RSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes.
    Sign {
        /// An identity or signing key.
        key: Kid,
        /// What is signed: one of the byte strings of protocol sections 3 and 4. The provider hashes it.
        message: Vec<u8>,
    },
    /// RSA-OAEP with SHA-256, MGF1-SHA-256 and a label.
    Unwrap {
        /// A wrap key.
        key: Kid,
        /// The label that ties the wrap to its envelope and its recipient.
        label: [u8; 32],
        /// The wrapped content key.
        wrap: Vec<u8>,
    },
    /// A new RSA-4096 key with e = 65537. This takes seconds.
    Generate(KeyUse),
}

/// What a job gave.
pub enum RsaOutcome {
    /// Of [`RsaJob::Sign`]: 512 bytes.
    Signature(Vec<u8>),
    /// Of [`RsaJob::Unwrap`]. `None` for every wrap that does not open, whatever the reason: nothing may tell one
    /// from the other.
    ContentKey(Option<ContentKey>),
    /// Of [`RsaJob::Generate`]: the public half. The private one stays with the provider.
    Made(Spki),
}

/// Why a provider did not do a job. Says nothing of what the job was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RsaFailure {
    /// It holds no key of this id.
    #[error("there is no such private key on this device")]
    NoKey,
    /// The key is for something else.
    #[error("the private key is not for this use")]
    OtherUse,
    /// The keys cannot be used now, by no fault of the job: they are locked, or their store fails.
    #[error("the private keys cannot be used now")]
    Unavailable,
}

/// Holds the private keys of a device and runs jobs with them.
///
/// What every implementation promises:
///
/// * A private key never leaves it but for the device's own storage, and is zeroized or out of reach when it goes.
///   Neither keys nor content keys are logged or shown by `Debug`.
/// * A key is used for its [`KeyUse`] and nothing else; [`KeyUse::signs`] says what a key may sign. A server that gets
///   a client to sign by the wrong key is refused here last.
/// * Private operations are blinded, or otherwise run in a time that tells nothing; wraps that do not open all look
///   alike.
/// * It may be slow, and may answer later. Its caller holds no lock meanwhile and can be told by others to stop: a
///   future that is dropped leaves nothing half done.
/// * A generated key is there for later jobs when its public half is given. Whoever makes it last over a restart does so
///   before anybody is told of it.
pub trait RsaProvider {
    /// Runs one job. Futures of browsers are not `Send`, so none has to be.
    fn run(&self, job: RsaJob) -> impl Future<Output = Result<RsaOutcome, RsaFailure>>;
}

impl KeyUse {
    /// Whether a key of this use may sign such a byte string, by the label that it begins with.
    pub fn signs(self, message: &[u8]) -> bool {
        let labels: &[&str] = match self {
            Self::Identity => &[label::MANIFEST],
            Self::Signing => &[label::AUTH, label::WRAP_CERT, label::MESSAGE],
            Self::Wrap => &[],
        };
        let begins = || {
            let (length, rest) = message.split_first_chunk()?;
            rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
        };
        begins().is_some_and(|begin| labels.iter().any(|label| label.as_bytes() == begin))
    }
}

/// A message's content key, CEK in protocol section 4. Zeroized on drop; `Debug` shows nothing of it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ContentKey([u8; Self::LEN]);

impl ContentKey {
    /// Length, in bytes.
    pub const LEN: usize = 32;

    /// Takes what RSA-OAEP gave; `None` when that is no content key, which counts as a wrap that does not open.
    ///
    /// The caller zeroizes its own copy.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey")
    }
}

impl fmt::Debug for RsaJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sign { key, .. } => write!(f, "Sign({key:?})"),
            Self::Unwrap { key, .. } => write!(f, "Unwrap({key:?})"),
            Self::Generate(usage) => write!(f, "Generate({usage:?})"),
        }
    }
}

impl fmt::Debug for RsaOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(_) => f.write_str("Signature"),
            // Not even whether there is one: that is step 7's business.
            Self::ContentKey(_) => f.write_str("ContentKey"),
            Self::Made(public) => write!(f, "Made({:?})", public.kid()),
        }
    }
}
