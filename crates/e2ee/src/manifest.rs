//! Device manifests and their chain (protocol section 3).

use rand_core::CryptoRng;
use sealwire_protocol::signed::{Manifest, ManifestError};
use sealwire_protocol::spki::Spki;
use sealwire_protocol::{DeviceId, Kid, Username};

use crate::keys::IdentityKey;
use crate::provider::RsaJob;
use crate::verify::{BadSignature, verify};

/// A manifest with its account's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// What is signed.
    pub manifest: Manifest,
    /// The account identity key's signature over it.
    pub signature: Vec<u8>,
}

/// A manifest that its account is yet to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedManifest {
    manifest: Manifest,
    aik_kid: Kid,
    to_sign: Vec<u8>,
}

/// Why a manifest does not continue a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// It breaks a rule of its own, or is not the next one.
    #[error(transparent)]
    Rule(#[from] ManifestError),
    /// The pinned identity key did not sign it.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Another manifest than the known one under its version: somebody shows two people different keys.
    #[error("another manifest is known under this version")]
    Fork,
}

/// What a manifest did to a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is the newest now.
    Added,
    /// It had been there before.
    Known,
}

/// A device's key as the sender of a message (section 4, step 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderKey {
    /// The newest manifest lists the device.
    Current(Spki),
    /// The device was listed when the message was sent, and has been removed since.
    Removed(Spki),
}

impl SenderKey {
    /// The device signing key.
    pub fn spki(&self) -> &Spki {
        match self {
            Self::Current(key) | Self::Removed(key) => key,
        }
    }
}

impl IdentityKey {
    /// Signs a manifest of this key's account.
    ///
    /// # Errors
    /// The rule that the manifest breaks by itself.
    pub fn sign_manifest<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        username: &Username,
        manifest: Manifest,
    ) -> Result<SignedManifest, ManifestError> {
        let unsigned = UnsignedManifest::new(username, self.public(), manifest)?;
        let signature = self.sign(rng, &unsigned.to_sign);
        Ok(unsigned.finish(signature))
    }
}

impl UnsignedManifest {
    /// Of the account whose identity key is `aik`.
    ///
    /// # Errors
    /// The rule that the manifest breaks by itself.
    pub fn new(username: &Username, aik: &Spki, manifest: Manifest) -> Result<Self, ManifestError> {
        manifest.check_shape()?;
        Ok(Self { to_sign: manifest.to_bytes(username, aik), manifest, aik_kid: aik.kid() })
    }

    /// The job that signs it.
    pub fn job(&self) -> RsaJob {
        RsaJob::Sign { key: self.aik_kid, message: self.to_sign.clone() }
    }

    /// Takes the job's signature.
    pub fn finish(self, signature: Vec<u8>) -> SignedManifest {
        SignedManifest { manifest: self.manifest, signature }
    }
}

impl SignedManifest {
    /// Checks shape and signature; gives the manifest's hash.
    ///
    /// # Errors
    /// [`ChainError`] says what does not hold.
    pub fn verify(&self, username: &Username, aik: &Spki) -> Result<[u8; 32], ChainError> {
        self.manifest.check_shape()?;
        let bytes = self.manifest.to_bytes(username, aik);
        verify(aik, &bytes, &self.signature)?;
        Ok(Manifest::hash(&bytes))
    }
}

/// The verified manifests of one account from version 1 on, under the identity key pinned for its name.
#[derive(Debug, Clone)]
pub struct Chain {
    username: Username,
    aik: Spki,
    /// Never empty; index is version - 1.
    links: Vec<Link>,
    removed: Vec<DeviceId>,
}

#[derive(Debug, Clone)]
struct Link {
    signed: SignedManifest,
    hash: [u8; 32],
}

impl Chain {
    /// Begins the chain of an account with its first manifest.
    ///
    /// # Errors
    /// [`ChainError`] when that is not version 1, or not signed by `aik`.
    pub fn start(username: Username, aik: Spki, first: SignedManifest) -> Result<Self, ChainError> {
        let hash = first.verify(&username, &aik)?;
        if first.manifest.version != 1 {
            return Err(ManifestError::Version.into());
        }
        Ok(Self { username, aik, links: vec![Link { signed: first, hash }], removed: Vec::new() })
    }

    /// Continues the chain. A manifest that it already holds changes nothing.
    ///
    /// # Errors
    /// [`ChainError`]; the chain stays as it was.
    pub fn extend(&mut self, next: SignedManifest) -> Result<Step, ChainError> {
        let hash = next.verify(&self.username, &self.aik)?;
        if let Some(known) = self.link(next.manifest.version) {
            return if known.hash == hash { Ok(Step::Known) } else { Err(ChainError::Fork) };
        }
        let newest = self.newest_link();
        next.manifest.follows(&newest.signed.manifest, &newest.hash)?;
        if next.manifest.has_any_of(&self.removed) {
            return Err(ManifestError::DeviceReturned.into());
        }
        self.removed.extend(next.manifest.removed_since(&self.links[self.links.len() - 1].signed.manifest));
        self.links.push(Link { signed: next, hash });
        Ok(Step::Added)
    }

    /// Whose chain it is.
    pub fn username(&self) -> &Username {
        &self.username
    }

    /// The pinned identity key.
    pub fn aik(&self) -> &Spki {
        &self.aik
    }

    /// The newest manifest.
    pub fn newest(&self) -> &Manifest {
        &self.newest_link().signed.manifest
    }

    /// The newest manifest's hash: what messages carry as the sender's belief.
    pub fn newest_hash(&self) -> [u8; 32] {
        self.newest_link().hash
    }

    /// Whether a hash that a message carries is that of a manifest in this chain.
    pub fn knows(&self, hash: &[u8; 32]) -> bool {
        self.links.iter().any(|link| link.hash == *hash)
    }

    /// The manifests with their signatures, oldest first: what a device stores, and hands to the server when that
    /// knows fewer.
    pub fn manifests(&self) -> impl ExactSizeIterator<Item = &SignedManifest> {
        self.links.iter().map(|link| &link.signed)
    }

    /// The key that a message of this device and time is verified with (section 4, step 3): that of the newest
    /// manifest, or of an earlier one if the first without the device was issued after the message.
    ///
    /// `None` when the chain, as far as it is known, does not have it.
    pub fn sender_key(&self, device: &DeviceId, timestamp: u64) -> Option<SenderKey> {
        let last = self.links.iter().rposition(|link| link.signed.manifest.device(device).is_some())?;
        let key = self.links[last].signed.manifest.device(device)?.dsk.clone();
        match self.links.get(last + 1) {
            None => Some(SenderKey::Current(key)),
            Some(without) => (without.signed.manifest.issued_at > timestamp).then_some(SenderKey::Removed(key)),
        }
    }

    fn link(&self, version: u64) -> Option<&Link> {
        usize::try_from(version.checked_sub(1)?).ok().and_then(|index| self.links.get(index))
    }

    fn newest_link(&self) -> &Link {
        self.links.last().expect("a chain is never empty")
    }
}
