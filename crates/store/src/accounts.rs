//! Accounts, their chain of device manifests, and the wrap keys of their devices.

use async_trait::async_trait;
use bytes::Bytes;
use sealwire_protocol::{DeviceId, Kid, Username};

use crate::StoreError;

/// Accounts and public keys.
///
/// # Contract
/// * A name is given once, for ever: also the name of a deleted account is taken.
/// * A device id belongs to one account for ever, and never returns once a manifest has removed it.
/// * What a method has returned `Ok` for survives the loss of power.
/// * A read that begins after a write has returned sees it, from whatever task.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Makes an account with the first link of its manifest chain and its first device's wrap key, all or nothing.
    async fn create_account(&self, account: NewAccount) -> Result<Created, StoreError>;

    /// Adds the next link to a chain, if the newest one is still the one that it was made for (compare and set), and
    /// makes the devices of the account those of the change, all or nothing.
    ///
    /// * A device that is listed already keeps its signing key, its wrap keys and its mail; that its key is the same is
    ///   the caller's to check. A new one has neither a wrap key nor a time yet.
    /// * A device that is listed no longer is removed for good: its wrap keys, mailbox,
    ///   [missed](crate::News::missed) count and [notices](crate::News::notices) are gone; its id stays
    ///   taken.
    /// * A change that lists no device deletes the account: keys, manifests, backups and all that its devices had are
    ///   gone, and it is not found any more. What stays: the name and the device ids, so that nobody gets them, the last
    ///   link's version and hash, so that a repeat is recognised, and the mail that it has sent to others.
    async fn extend_manifest(&self, change: ManifestChange) -> Result<Extended, StoreError>;

    /// Gives a device its first wrap key, or its next one: the one before is then [replaced](Device::replaced) at `at`
    /// (milliseconds since 1970), and the device has been seen then, in one: a device that has a key can receive, so
    /// it must not fall out of the lists because a crash came before the note that it was here. Keys that were replaced over
    /// nine days before `at` may be forgotten: a message is at most seven days old, and a replaced key counts for two more.
    async fn put_wrap(&self, device: &DeviceId, wrap: WrapRecord, at: u64) -> Result<WrapPut, StoreError>;

    /// Whether others may see when somebody of this name is online; false at first. An unknown name is no error.
    async fn set_presence_shared(&self, username: &Username, shared: bool) -> Result<(), StoreError>;

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

/// How long a replaced wrap key is remembered, in milliseconds: nine days.
pub(crate) const REPLACED_WRAP_LIFE: u64 = 9 * 24 * 60 * 60 * 1_000;

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
    /// The name has been given before, also if its account is deleted; nothing changed.
    NameTaken,
    /// One of the device ids has been given before, or is listed twice; nothing changed.
    DeviceTaken,
}

/// The next link of a manifest chain, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestChange {
    /// Whose.
    pub username: Username,
    /// The hash of the link before.
    pub previous: [u8; 32],
    /// The link; its version is one above that of the link before.
    pub manifest: ManifestRecord,
    /// All devices that it lists, in its order, each with the SPKI DER of its signing key; none deletes the account.
    pub devices: Vec<(DeviceId, Bytes)>,
    /// Milliseconds since 1970.
    pub at: u64,
}

/// What became of a [`ManifestChange`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extended {
    /// It is the newest link now.
    Yes {
        /// The devices that it has removed, ascending by id.
        removed: Vec<DeviceId>,
    },
    /// The chain holds this very link already (version and hash), as its newest or further back; nothing changed.
    Repeat,
    /// The newest link is another one than this was made for; nothing changed.
    Conflict,
    /// A device that it lists was removed before, belongs to another account, or is listed twice; nothing changed.
    DeviceTaken,
    /// Nobody has this name, or its account is deleted; nothing changed.
    Unknown,
}

/// What became of a wrap key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrapPut {
    /// It is the device's newest one now.
    Yes,
    /// It is already (the same `seq` and key id); nothing changed.
    Repeat,
    /// The device has another one whose `seq` is the same or higher; nothing changed.
    Old,
    /// There is no such device, or it was removed; nothing changed.
    Unknown,
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
    /// Whether others may see when one of them is connected.
    pub shares_presence: bool,
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
