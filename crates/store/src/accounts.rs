//! Accounts, their chain of device manifests, and the wrap keys of their devices.

use async_trait::async_trait;
use bytes::Bytes;
use sealwire_protocol::{DeviceId, Kid, Username};

use crate::StoreError;

/// Accounts and public keys.
///
/// # Contract
/// * A name is given once, for ever: also the name of a deleted account is taken.
/// * A device id belongs to one account for ever.
/// * What a method has returned `Ok` for survives the loss of power.
/// * A read that begins after a write has returned sees it, from whatever task.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Makes an account with the first link of its manifest chain and its first device's wrap key, all or nothing.
    async fn create_account(&self, account: NewAccount) -> Result<Created, StoreError>;

    /// The account of this name with the devices of its newest manifest; `None` when nobody has it.
    async fn account(&self, username: &Username) -> Result<Option<Account>, StoreError>;

    /// The links of a manifest chain whose version is above `since`, oldest first, at most `limit`. Empty for an
    /// unknown name.
    async fn manifests(&self, username: &Username, since: u64, limit: usize)
    -> Result<Vec<ManifestRecord>, StoreError>;

    /// Notes that a device was connected at `at` (milliseconds since 1970). Never moves back; an unknown device is
    /// no error. It may be lost with a crash.
    async fn device_seen(&self, device: &DeviceId, at: u64) -> Result<(), StoreError>;
}

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Its name.
    pub username: Username,
    /// SPKI DER of the account identity key.
    pub aik: Bytes,
    /// Version 1 of its manifest chain.
    pub manifest: ManifestRecord,
    /// The devices that the manifest lists, in its order.
    pub devices: Vec<(DeviceId, Bytes)>,
    /// The device that registers (one of `devices`), and its wrap key.
    pub wrap: (DeviceId, WrapRecord),
    /// Milliseconds since 1970.
    pub created_at: u64,
}

/// What became of a new account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It exists now.
    Yes,
    /// The name has been given before, or one of the device ids has.
    Taken,
}

/// One link of a manifest chain. The store keeps it and does not look inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRecord {
    /// 1, 2, 3 ...
    pub version: u64,
    /// SHA-256 of the signed bytes.
    pub hash: [u8; 32],
    /// The manifest as the server hands it out (JSON).
    pub document: Bytes,
}

/// A certified wrap key. The store keeps it and does not look inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrapRecord {
    /// Rises with every rotation.
    pub seq: u64,
    /// Id of the key.
    pub kid: Kid,
    /// The certificate as the server hands it out (JSON).
    pub document: Bytes,
}

/// An account as its newest manifest has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub username: Username,
    /// SPKI DER of the account identity key.
    pub aik: Bytes,
    /// The newest link of the chain.
    pub manifest: ManifestRecord,
    /// The devices of the newest manifest, ascending by id.
    pub devices: Vec<Device>,
}

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// SPKI DER of its signing key.
    pub dsk: Bytes,
    /// Its newest wrap key; `None` until it has logged in for the first time.
    pub wrap: Option<WrapRecord>,
    /// Wrap keys that it has replaced, newest first, each with the time of the replacement (milliseconds since 1970).
    /// Older ones than a message can still be wrapped to may be missing.
    pub replaced: Vec<(Kid, u64)>,
    /// When it was last connected, milliseconds since 1970: for the device that registered at first the account's
    /// beginning, for the others 0 until they have been.
    pub last_seen: u64,
}
