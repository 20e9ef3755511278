//! MANIFEST: the list of an account's devices, signed by its identity key (protocol section 3).

use super::{label, push_count, push_lp, sha256};
use crate::ids::{DeviceId, Username};
use crate::spki::Spki;

/// The most devices an account has.
pub const MAX_DEVICES: usize = 10;

/// One link of the chain of an account's device lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// 1, then rising by exactly one.
    pub version: u64,
    /// The hash of the manifest before; zeros in version 1.
    pub prev_hash: [u8; 32],
    /// When it was signed, in milliseconds since 1970.
    pub issued_at: u64,
    /// The devices, sorted by id. None: the account is being deleted.
    pub devices: Vec<ManifestDevice>,
}

/// A device in a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDevice {
    /// The device.
    pub id: DeviceId,
    /// Its signing key, the same for as long as it is listed.
    pub dsk: Spki,
    /// When it was added, in milliseconds since 1970.
    pub added_at: u64,
    /// 0 in version 1; unknown bits are ignored.
    pub capabilities: u32,
}

/// A rule that a manifest breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MAX_DEVICES`].
    #[error("a manifest lists 0 to {MAX_DEVICES} devices")]
    TooManyDevices,
    /// Devices out of order, or one twice.
    #[error("a manifest's devices are sorted by id, each once")]
    Unsorted,
    /// Version 0, or not the one after the earlier manifest's.
    #[error("a manifest's version starts at 1 and rises by exactly one")]
    Version,
    /// Not the earlier manifest's hash, or not zeros in version 1.
    #[error("a manifest names the hash of the one before, zeros in version 1")]
    PrevHash,
    /// A device with another signing key than before.
    #[error("a device keeps its signing key")]
    DskChanged,
    /// A device that an earlier manifest had removed.
    #[error("a device id never returns once removed")]
    DeviceReturned,
}

impl Manifest {
    /// The bytes that the account identity key `aik` of `username` signs.
    pub fn to_bytes(&self, username: &Username, aik: &Spki) -> Vec<u8> {
        let mut out = Vec::with_capacity(700 + self.devices.len() * 600);
        push_lp(&mut out, label::MANIFEST.as_bytes());
        push_lp(&mut out, username.as_str().as_bytes());
        push_lp(&mut out, aik.as_bytes());
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.prev_hash);
        out.extend_from_slice(&self.issued_at.to_be_bytes());
        push_count(&mut out, self.devices.len());
        for device in &self.devices {
            out.extend_from_slice(device.id.as_bytes());
            push_lp(&mut out, device.dsk.as_bytes());
            out.extend_from_slice(&device.added_at.to_be_bytes());
            out.extend_from_slice(&device.capabilities.to_be_bytes());
        }
        out
    }

    /// The hash by which the next manifest, a pin and a message name this one; `bytes` are [`Self::to_bytes`].
    pub fn hash(bytes: &[u8]) -> [u8; 32] {
        sha256(bytes)
    }

    /// The device with this id.
    pub fn device(&self, id: &DeviceId) -> Option<&ManifestDevice> {
        self.devices.iter().find(|device| device.id == *id)
    }

    /// Checks what can be seen of a manifest alone.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check_shape(&self) -> Result<(), ManifestError> {
        if self.devices.len() > MAX_DEVICES {
            return Err(ManifestError::TooManyDevices);
        }
        if !self.devices.is_sorted_by(|a, b| a.id < b.id) {
            return Err(ManifestError::Unsorted);
        }
        match self.version {
            0 => Err(ManifestError::Version),
            1 if self.prev_hash != [0; 32] => Err(ManifestError::PrevHash),
            _ => Ok(()),
        }
    }

    /// Checks that this manifest is the next after `earlier`, whose hash is `earlier_hash`.
    ///
    /// That no device returns which a still earlier manifest removed needs the whole chain: see
    /// [`Self::has_any_of`].
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn follows(&self, earlier: &Manifest, earlier_hash: &[u8; 32]) -> Result<(), ManifestError> {
        if earlier.version.checked_add(1) != Some(self.version) {
            return Err(ManifestError::Version);
        }
        if self.prev_hash != *earlier_hash {
            return Err(ManifestError::PrevHash);
        }
        let keeps_its_key = |device: &ManifestDevice| earlier.device(&device.id).is_none_or(|e| e.dsk == device.dsk);
        if self.devices.iter().all(keeps_its_key) { Ok(()) } else { Err(ManifestError::DskChanged) }
    }

    /// The ids of `earlier` that this manifest, the next one, no longer lists: they must never return.
    pub fn removed_since<'a>(&'a self, earlier: &'a Manifest) -> impl Iterator<Item = DeviceId> + 'a {
        earlier.devices.iter().map(|device| device.id).filter(|id| self.device(id).is_none())
    }

    /// Whether it lists a device that the account had removed before (`removed` as collected by
    /// [`Self::removed_since`]).
    pub fn has_any_of(&self, removed: &[DeviceId]) -> bool {
        removed.iter().any(|id| self.device(id).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> Spki {
        let mut der = include_bytes!("../../tests/vectors/rsa4096.spki.der").to_vec();
        der[100] = fill;
        Spki::parse(&der).unwrap()
    }

    fn device(n: u8, dsk: u8) -> ManifestDevice {
        ManifestDevice { id: DeviceId::new_v7(u64::from(n), [0; 10]), dsk: key(dsk), added_at: 1, capabilities: 0 }
    }

    fn manifest(version: u64, prev_hash: [u8; 32], devices: &[ManifestDevice]) -> Manifest {
        Manifest { version, prev_hash, issued_at: 5, devices: devices.to_vec() }
    }

    #[test]
    fn no_device_and_ten_devices_are_fine_eleven_are_not() {
        let all: Vec<_> = (1..=11).map(|n| device(n, n)).collect();
        assert_eq!(manifest(1, [0; 32], &[]).check_shape(), Ok(()));
        assert_eq!(manifest(1, [0; 32], &all[..10]).check_shape(), Ok(()));
        assert_eq!(manifest(1, [0; 32], &all).check_shape(), Err(ManifestError::TooManyDevices));
    }

    #[test]
    fn devices_are_strictly_sorted() {
        for bad in [[device(2, 1), device(1, 2)], [device(1, 1), device(1, 1)]] {
            assert_eq!(manifest(1, [0; 32], &bad).check_shape(), Err(ManifestError::Unsorted));
        }
    }

    #[test]
    fn the_first_version_is_one_behind_zeros() {
        assert_eq!(manifest(0, [0; 32], &[]).check_shape(), Err(ManifestError::Version));
        assert_eq!(manifest(1, [1; 32], &[]).check_shape(), Err(ManifestError::PrevHash));
        assert_eq!(manifest(2, [1; 32], &[]).check_shape(), Ok(()));
    }

    #[test]
    fn the_next_version_rises_by_one_and_names_the_hash_before() {
        let first = manifest(1, [0; 32], &[device(1, 1)]);
        let hash = [7; 32];
        assert_eq!(manifest(2, hash, &[device(1, 1), device(2, 2)]).follows(&first, &hash), Ok(()));
        for version in [0, 1, 3, u64::MAX] {
            assert_eq!(manifest(version, hash, &[]).follows(&first, &hash), Err(ManifestError::Version));
        }
        assert_eq!(manifest(2, [8; 32], &[]).follows(&first, &hash), Err(ManifestError::PrevHash));
        let last = manifest(u64::MAX, hash, &[]);
        assert_eq!(manifest(0, hash, &[]).follows(&last, &hash), Err(ManifestError::Version));
    }

    #[test]
    fn a_device_keeps_its_signing_key() {
        let first = manifest(1, [0; 32], &[device(1, 1)]);
        let second = manifest(2, [7; 32], &[device(1, 2)]);
        assert_eq!(second.follows(&first, &[7; 32]), Err(ManifestError::DskChanged));
    }

    #[test]
    fn who_was_removed_is_known_and_recognised() {
        let first = manifest(1, [0; 32], &[device(1, 1), device(2, 2)]);
        let second = manifest(2, [7; 32], &[device(1, 1)]);
        let removed: Vec<_> = second.removed_since(&first).collect();
        assert_eq!(removed, [device(2, 2).id]);
        assert!(manifest(3, [7; 32], &[device(2, 2)]).has_any_of(&removed));
        assert!(!second.has_any_of(&removed));
    }
}
