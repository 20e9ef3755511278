//! What one device hands to another: when it links it, and in a backup (protocol section 5). The JSON inside of what
//! is sealed, with the limits that are kept when it is written and read. Fields that are not known are ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sealwire_protocol::base64::{Array, Base64, Blob};
use sealwire_protocol::frames::ManifestFrame;
use sealwire_protocol::ids::{DeviceId, Username};
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::characters::{is_joiner, steers};

/// The longest JSON of one side of a slot, in bytes: sealed it has 64 KiB.
pub const MAX_SIDE: usize = 64 * 1024 - 28;
/// The longest JSON of a backup, in bytes: sealed it has 256 KiB.
pub const MAX_BACKUP: usize = 256 * 1024 - 29;
/// The longest name of a device, in characters.
pub const MAX_DEVICE_NAME: usize = 64;
/// How much of one side the manifests may fill, in bytes. The newest goes in whatever its length.
const MANIFESTS: usize = MAX_SIDE / 2;

/// Data that opened, but does not hold what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// No JSON of the expected form, or too long.
    #[error("what was handed over is not of the protocol's form")]
    Form,
    /// Even without a single pin it is too long.
    #[error("there is more to hand over than the server takes")]
    TooLong,
}

/// Side 1: what a new device says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewDevice {
    /// Its id.
    pub device_id: DeviceId,
    /// What its owner calls it; to be shown as [`device_name`] gives it.
    pub device_name: String,
    /// SPKI DER of its signing key.
    pub dsk: Blob,
}

/// Side 2: what an old device hands to the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// Whose account it is.
    pub username: Username,
    /// SPKI DER of the account identity key.
    pub aik: Blob,
    /// The account's manifests up to the one that lists the new device, oldest first; of a long chain the last ones.
    pub manifests: Vec<ManifestFrame>,
    /// Whom the old device believes.
    #[serde(default, deserialize_with = "known_names")]
    pub pins: BTreeMap<Username, Pin>,
    /// What the person has decided.
    #[serde(default)]
    pub settings: Settings,
    /// The account identity key, if the person said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aik_private: Option<Secret>,
}

/// A backup: what an account is recovered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// The account identity key.
    pub aik_private: Secret,
    /// Version of the newest manifest when the backup was made.
    pub version: u64,
    /// Its hash. A chain that does not hold it is refused.
    pub hash: Array<32>,
    /// Whom the device believed.
    #[serde(default, deserialize_with = "known_names")]
    pub pins: BTreeMap<Username, Pin>,
    /// What the person had decided.
    #[serde(default)]
    pub settings: Settings,
}

/// What is believed of one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// SPKI DER of its identity key.
    pub aik: Blob,
    /// Version of the newest manifest that was seen.
    pub version: u64,
    /// Its hash.
    pub hash: Array<32>,
    /// Whether the two people compared their safety number.
    #[serde(default)]
    pub verified: bool,
}

/// What a person has decided about others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Nothing of theirs is shown.
    #[serde(default, deserialize_with = "known_set")]
    pub blocked: BTreeSet<Username>,
    /// They make no noise.
    #[serde(default, deserialize_with = "known_set")]
    pub muted: BTreeSet<Username>,
    /// Their messages are no requests any more.
    #[serde(default, deserialize_with = "known_set")]
    pub accepted: BTreeSet<Username>,
}

/// Secret bytes, Base64 in JSON. Zeroized on drop; `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Zeroizing<Vec<u8>>);

impl NewDevice {
    /// The JSON to seal.
    ///
    /// # Errors
    /// [`HandoverError::TooLong`] when the name is far too long.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, HandoverError> {
        write(self, MAX_SIDE)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`HandoverError::Form`].
    pub fn from_json(json: &[u8]) -> Result<Self, HandoverError> {
        read(json, MAX_SIDE)
    }
}

impl Handover {
    /// The JSON to seal. Of a long chain only the newest manifests go in; where the pins do not all fit, those that were
    /// verified go first: who is left out is met anew.
    ///
    /// # Errors
    /// [`HandoverError::TooLong`] when even the newest manifest and the settings do not fit.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, HandoverError> {
        let bare = Self { manifests: newest_within(&self.manifests, MANIFESTS), pins: BTreeMap::new(), ..self.clone() };
        let room = MAX_SIDE.checked_sub(write(&bare, MAX_SIDE)?.len()).ok_or(HandoverError::TooLong)?;
        write(&Self { pins: pins_within(&self.pins, room), ..bare }, MAX_SIDE)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`HandoverError::Form`].
    pub fn from_json(json: &[u8]) -> Result<Self, HandoverError> {
        read(json, MAX_SIDE)
    }
}

impl Backup {
    /// The JSON to seal. Where the pins do not all fit, those that were verified go first.
    ///
    /// # Errors
    /// [`HandoverError::TooLong`] when the settings do not fit.
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, HandoverError> {
        let bare = Self { pins: BTreeMap::new(), ..self.clone() };
        let room = MAX_BACKUP.checked_sub(write(&bare, MAX_BACKUP)?.len()).ok_or(HandoverError::TooLong)?;
        write(&Self { pins: pins_within(&self.pins, room), ..bare }, MAX_BACKUP)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`HandoverError::Form`].
    pub fn from_json(json: &[u8]) -> Result<Self, HandoverError> {
        read(json, MAX_BACKUP)
    }
}

/// A device's name as it may be shown and stored: without characters that steer or hide, at most
/// [`MAX_DEVICE_NAME`] of the others, and never empty.
pub fn device_name(text: &str) -> String {
    let visible = |c: &char| !steers(*c) && !is_joiner(*c);
    let words: Vec<_> = text.split_whitespace().collect();
    let name: String = words.join(" ").chars().filter(visible).take(MAX_DEVICE_NAME).collect();
    match name.trim() {
        "" => "unnamed device".to_owned(),
        name => name.to_owned(),
    }
}

fn write<T: Serialize>(value: &T, limit: usize) -> Result<Zeroizing<Vec<u8>>, HandoverError> {
    // Room for all of it from the start: growing would leave copies of a secret behind.
    let mut json = Zeroizing::new(Vec::with_capacity(limit));
    serde_json::to_writer(&mut *json, value).expect("these have string keys and no failing Serialize");
    if json.len() <= limit { Ok(json) } else { Err(HandoverError::TooLong) }
}

fn read<T: DeserializeOwned>(json: &[u8], limit: usize) -> Result<T, HandoverError> {
    let value = (json.len() <= limit).then(|| serde_json::from_slice(json).ok()).flatten();
    value.ok_or(HandoverError::Form)
}

fn length(value: &impl Serialize) -> usize {
    serde_json::to_string(value).expect("these have string keys and no failing Serialize").len()
}

fn newest_within(manifests: &[ManifestFrame], room: usize) -> Vec<ManifestFrame> {
    let mut used = 0;
    let fits = |frame: &&ManifestFrame| {
        let first = used == 0;
        used += length(frame) + 1;
        first || used <= room
    };
    let mut newest: Vec<_> = manifests.iter().rev().take_while(fits).cloned().collect();
    newest.reverse();
    newest
}

fn pins_within(pins: &BTreeMap<Username, Pin>, room: usize) -> BTreeMap<Username, Pin> {
    let mut order: Vec<_> = pins.iter().collect();
    order.sort_by_key(|(_, pin)| !pin.verified);
    let mut used = 0;
    let fits = |(name, pin): &(&Username, &Pin)| {
        // Quotes, colon, comma.
        used += name.as_str().len() + 4 + length(pin);
        used <= room
    };
    order.into_iter().take_while(fits).map(|(name, pin)| (name.clone(), pin.clone())).collect()
}

/// A name of a form that a later version knows is left out, and costs none of the others.
fn known_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Username, Pin>, D::Error> {
    let pins = BTreeMap::<String, Pin>::deserialize(deserializer)?;
    Ok(pins.into_iter().filter_map(|(name, pin)| Some((name.parse().ok()?, pin))).collect())
}

fn known_set<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Username>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Base64::encode(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Base64::deserialize(deserializer).map(|text| Self(Zeroizing::new(text.decode())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
#[path = "handover_tests.rs"]
mod tests;
