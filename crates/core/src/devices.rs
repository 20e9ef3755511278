//! The next list of an account's devices, and what a new device checks before it believes what it was handed (protocol
//! sections 3 and 5). Keys, time and randomness come in as arguments.

use rand_core::CryptoRng;
use sealwire_e2ee::manifest::{Chain, ChainError, SignedManifest};
use sealwire_e2ee::{IdentityKey, PrivateKeyError};
use sealwire_protocol::frames::ManifestFrame;
use sealwire_protocol::ids::{DeviceId, Username};
use sealwire_protocol::signed::{Manifest, ManifestDevice, ManifestError};
use sealwire_protocol::spki::{KeyError, Spki};

use crate::convert::manifest_from_frame;
use crate::handover::{Backup, Handover, Secret};

/// What is to become of an account's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A device comes in, with its signing key.
    Add(DeviceId, Spki),
    /// These go, and never return.
    Remove(Vec<DeviceId>),
    /// One comes in and these go: recovery.
    Replace {
        /// Who comes in.
        device: DeviceId,
        /// Its signing key.
        dsk: Spki,
        /// Who goes.
        remove: Vec<DeviceId>,
    },
    /// All go: the account is deleted.
    Leave,
}

/// Why a change cannot be made, or what was handed over is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DevicesError {
    /// The manifest would break a rule, such as the one of ten devices.
    #[error("the list of devices cannot be changed so: {0}")]
    Rule(#[from] ManifestError),
    /// The manifests do not hold together.
    #[error("the account's lists of devices do not hold: {0}")]
    Chain(#[from] ChainError),
    /// A public key that is none.
    #[error("a key is not of the protocol's form: {0}")]
    Key(#[from] KeyError),
    /// A private key that is none.
    #[error("the identity key cannot be read: {0}")]
    Private(#[from] PrivateKeyError),
    /// The identity key is not the account's.
    #[error("the identity key is not the one of this account")]
    OtherIdentity,
    /// No manifest was handed over.
    #[error("no list of devices was handed over")]
    NoManifest,
    /// A device that is not listed.
    #[error("this device is not on the account's list of devices")]
    NotListed,
    /// The server shows a chain without the manifest that is known: older, or another.
    #[error("the server shows an older or another list of devices than the one that is known")]
    GoneBack,
    /// To delete the account is another change.
    #[error("an account keeps at least one device; to give it up, delete the account")]
    LastDevice,
}

/// What a new device was handed, checked as far as that goes without the server.
#[derive(Debug)]
pub struct Linked {
    /// Whose account it is.
    pub username: Username,
    /// The account identity key.
    pub aik: Spki,
    /// Hash of the newest manifest: what the server shows later must hold it.
    pub hash: [u8; 32],
    /// The private half of the identity key, if it was handed over.
    pub identity: Option<IdentityKey>,
}

/// Signs the manifest after the newest one of `chain`; `now` is the corrected clock.
///
/// # Errors
/// [`DevicesError`] when the change breaks a rule, or the key is not the account's.
pub fn next_manifest<R: CryptoRng + ?Sized>(
    rng: &mut R,
    chain: &Chain,
    identity: &IdentityKey,
    change: &Change,
    now: u64,
) -> Result<SignedManifest, DevicesError> {
    if identity.public() != chain.aik() {
        return Err(DevicesError::OtherIdentity);
    }
    let newest = chain.newest();
    let manifest = Manifest {
        version: newest.version.checked_add(1).ok_or(ManifestError::Version)?,
        prev_hash: chain.newest_hash(),
        // A clock that went back must not make a device that was removed look as if it had gone earlier.
        issued_at: now.max(newest.issued_at),
        devices: devices_after(&newest.devices, change, now)?,
    };
    let signed = identity.sign_manifest(rng, chain.username(), manifest)?;
    // What the server and all others will check: nothing is sent that they would refuse.
    chain.clone().extend(signed.clone())?;
    Ok(signed)
}

fn devices_after(before: &[ManifestDevice], change: &Change, now: u64) -> Result<Vec<ManifestDevice>, DevicesError> {
    let (added, removed): (_, &[DeviceId]) = match change {
        Change::Add(id, dsk) => (Some((id, dsk)), &[]),
        Change::Remove(ids) => (None, ids),
        Change::Replace { device, dsk, remove } => (Some((device, dsk)), remove),
        Change::Leave => return Ok(Vec::new()),
    };
    if removed.iter().any(|id| !before.iter().any(|device| device.id == *id)) {
        return Err(DevicesError::NotListed);
    }
    let mut devices: Vec<_> = before.iter().filter(|device| !removed.contains(&device.id)).cloned().collect();
    if let Some((id, dsk)) = added {
        devices.push(ManifestDevice { id: *id, dsk: dsk.clone(), added_at: now, capabilities: 0 });
    }
    devices.sort_by_key(|device| device.id);
    if devices.is_empty() { Err(DevicesError::LastDevice) } else { Ok(devices) }
}

/// Checks what an old device handed to this one: manifests that follow each other under its identity key, of which the
/// newest lists this device with its own signing key.
///
/// # Errors
/// [`DevicesError`] says what does not hold; nothing of it is to be believed then.
pub fn check_handover(handover: &Handover, device: &DeviceId, dsk: &Spki) -> Result<Linked, DevicesError> {
    let aik = Spki::parse(&handover.aik.0)?;
    let mut last: Option<(SignedManifest, [u8; 32])> = None;
    for frame in &handover.manifests {
        let signed = manifest_from_frame(frame)?;
        let hash = signed.verify(&handover.username, &aik)?;
        if let Some((earlier, earlier_hash)) = &last {
            signed.manifest.follows(&earlier.manifest, earlier_hash)?;
        }
        last = Some((signed, hash));
    }
    let (newest, hash) = last.ok_or(DevicesError::NoManifest)?;
    check_listed(&newest.manifest, device, dsk)?;
    let identity = handover.aik_private.as_ref().map(|secret| read_identity(secret, &aik)).transpose()?;
    Ok(Linked { username: handover.username.clone(), aik, hash, identity })
}

/// Checks what the server shows of the account against what the old device handed over.
///
/// # Errors
/// [`DevicesError::OtherIdentity`], [`DevicesError::GoneBack`], or [`DevicesError::NotListed`] when this device has been
/// removed in the meantime.
pub fn check_shown(linked: &Linked, shown: &Chain, device: &DeviceId, dsk: &Spki) -> Result<(), DevicesError> {
    if *shown.aik() != linked.aik {
        return Err(DevicesError::OtherIdentity);
    }
    if !shown.knows(&linked.hash) {
        return Err(DevicesError::GoneBack);
    }
    check_listed(shown.newest(), device, dsk)
}

fn check_listed(manifest: &Manifest, device: &DeviceId, dsk: &Spki) -> Result<(), DevicesError> {
    let listed = manifest.device(device).is_some_and(|listed| listed.dsk == *dsk);
    if listed { Ok(()) } else { Err(DevicesError::NotListed) }
}

/// Checks a backup against the manifests that the server showed with it: they are the chain of the backup's own identity
/// key, whatever key the server names, and hold the manifest that was the newest when the backup was made.
///
/// # Errors
/// [`DevicesError`] says what does not hold; nothing of it is to be believed then.
pub fn check_backup(
    username: &Username,
    backup: &Backup,
    manifests: &[ManifestFrame],
) -> Result<(Chain, IdentityKey), DevicesError> {
    let identity = IdentityKey::from_pkcs8(&backup.aik_private.0)?;
    let chain = whole_chain(username, identity.public().clone(), manifests)?;
    let known = chain.newest().version >= backup.version && chain.knows(&backup.hash.0);
    if known { Ok((chain, identity)) } else { Err(DevicesError::GoneBack) }
}

/// The chain of an identity key, from its first manifest on.
///
/// # Errors
/// [`DevicesError`] says what does not hold.
pub fn whole_chain(username: &Username, aik: Spki, manifests: &[ManifestFrame]) -> Result<Chain, DevicesError> {
    let mut manifests = manifests.iter().map(manifest_from_frame);
    let first = manifests.next().ok_or(DevicesError::NoManifest)??;
    let mut chain = Chain::start(username.clone(), aik, first)?;
    for manifest in manifests {
        chain.extend(manifest?)?;
    }
    Ok(chain)
}

fn read_identity(secret: &Secret, aik: &Spki) -> Result<IdentityKey, DevicesError> {
    let identity = IdentityKey::from_pkcs8(&secret.0)?;
    if identity.public() == aik { Ok(identity) } else { Err(DevicesError::OtherIdentity) }
}

#[cfg(test)]
#[path = "devices_tests.rs"]
mod tests;
