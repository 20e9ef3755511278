//! Manifests and wrap certificates as JSON carries them. What is signed is in [`crate::signed`].

use serde::{Deserialize, Serialize};

use crate::base64::{Array, Blob};
use crate::ids::DeviceId;

/// A signed device manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestFrame {
    /// 1, 2, 3 ...
    pub version: u64,
    /// Hash of the manifest before it; zeros in version 1.
    pub prev_hash: Array<32>,
    /// Milliseconds since 1970.
    pub issued_at: u64,
    /// Ascending by id.
    pub devices: Vec<ManifestDeviceFrame>,
    /// RSA-PSS by the account identity key.
    pub signature: Blob,
}

/// A device in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestDeviceFrame {
    /// Its id.
    pub id: DeviceId,
    /// SPKI DER of its signing key.
    pub dsk: Blob,
    /// Milliseconds since 1970.
    pub added_at: u64,
    /// 0 in version 1.
    pub capabilities: u32,
}

/// A certified wrap key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WrapFrame {
    /// Starts at 1 and rises.
    pub seq: u64,
    /// SPKI DER of the wrap key.
    pub dwk: Blob,
    /// Milliseconds since 1970.
    pub not_before: u64,
    /// Milliseconds since 1970.
    pub not_after: u64,
    /// RSA-PSS by the device signing key.
    pub signature: Blob,
}

/// A device that can receive, with its newest wrap key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceWrap {
    /// The device.
    pub id: DeviceId,
    /// Its certified wrap key.
    pub wrap: WrapFrame,
}
