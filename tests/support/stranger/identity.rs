//! Who a stranger is: a name, a device and its three keys; and what it signs with them (protocol sections 3 and 5).

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::signed::{AuthIn, Manifest, ManifestDevice, Purpose, WrapCert};
use sealwire_protocol::{DeviceId, MessageId, Username};
use serde_json::{Value, json};

use super::now;

const DAY: u64 = 24 * 60 * 60 * 1000;
const KEYS: usize = 20;

/// Base64 as the protocol writes it.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Reads the Base64 text of a field.
///
/// # Panics
/// When it is none.
pub fn unb64(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("a string")).expect("Base64")
}

/// A private key of the pool, PKCS#8; they repeat after the last.
///
/// # Panics
/// When the pool cannot be read.
pub fn key_of_pool(n: usize) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("keys/k{}.der", n % KEYS));
    fs::read(path).expect("the key pool is part of the repository")
}

/// A name, a device, and their private keys.
#[derive(Debug)]
pub struct Identity {
    /// The account's name.
    pub name: Username,
    /// The device.
    pub device: DeviceId,
    /// Account identity key.
    pub aik: IdentityKey,
    /// Device signing key.
    pub dsk: SigningKey,
    /// Device wrap key.
    pub dwk: WrapKey,
    /// Where its keys lie in the pool.
    first: usize,
    /// When the device was made.
    added_at: u64,
    /// Fixed when it is made, so that a second registration says the same as the first.
    registration: Value,
}

impl Identity {
    /// Somebody new. Keys come from the pool: distinct within an account, shared between accounts.
    ///
    /// # Panics
    /// When the name has not the protocol's form.
    pub fn new(name: &str) -> Self {
        Self::with_device(name, DeviceId::new_v7(now(), rand::random()))
    }

    /// Somebody new whose device has this id.
    ///
    /// # Panics
    /// When the name has not the protocol's form.
    pub fn with_device(name: &str, device: DeviceId) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let first = 3 * NEXT.fetch_add(1, Ordering::Relaxed);
        Self::of_pool(name, device, first, first + 1)
    }

    /// The identity key is the pool's key `aik`, the device's keys are the two from `first` on.
    pub(crate) fn of_pool(name: &str, device: DeviceId, aik: usize, first: usize) -> Self {
        let mut who = Self {
            name: name.parse().expect("a username"),
            device,
            aik: IdentityKey::from_pkcs8(&key_of_pool(aik)).expect("a key of the pool"),
            dsk: SigningKey::from_pkcs8(&key_of_pool(first)).expect("a key of the pool"),
            dwk: WrapKey::from_pkcs8(&key_of_pool(first + 1)).expect("a key of the pool"),
            first: aik,
            added_at: now(),
            registration: Value::Null,
        };
        who.registration = who.keys();
        who
    }

    /// The `n`th further device of the same account, which no manifest lists yet; 1 is the first.
    pub fn sibling(&self, n: usize) -> Self {
        Self::of_pool(self.name.as_str(), DeviceId::new_v7(now(), rand::random()), self.first, self.first + 1 + 2 * n)
    }

    /// A key of the pool that neither this device nor its first three siblings have.
    ///
    /// # Panics
    /// When the pool cannot be read.
    pub fn another_wrap_key(&self) -> WrapKey {
        WrapKey::from_pkcs8(&key_of_pool(self.first + 15)).expect("a key of the pool")
    }

    /// This device in a manifest.
    pub fn listed(&self) -> ManifestDevice {
        ManifestDevice { id: self.device, dsk: self.dsk.public().clone(), added_at: self.added_at, capabilities: 0 }
    }

    /// Version 1 of the account's manifests, as this device has registered it.
    pub fn first_manifest(&self) -> Manifest {
        Manifest { version: 1, prev_hash: [0; 32], issued_at: self.added_at, devices: vec![self.listed()] }
    }

    /// The hash by which the next manifest names this one.
    pub fn hash(&self, manifest: &Manifest) -> [u8; 32] {
        Manifest::hash(&manifest.to_bytes(&self.name, self.aik.public()))
    }

    /// The manifest after `last` that lists these devices.
    pub fn next_manifest(&self, last: &Manifest, devices: &[&Identity]) -> Manifest {
        let mut devices: Vec<_> = devices.iter().map(|device| device.listed()).collect();
        devices.sort_by_key(|device| device.id);
        Manifest { version: last.version + 1, prev_hash: self.hash(last), issued_at: now(), devices }
    }

    /// A manifest as frames carry it, signed by the account's identity key.
    pub fn manifest_frame(&self, manifest: &Manifest) -> Value {
        // One that breaks the rules by itself is refused before its signature is looked at.
        let signed = self.aik.sign_manifest(&mut rand::rng(), &self.name, manifest.clone());
        let signature = signed.map_or_else(|_| vec![0; 512], |signed| signed.signature);
        let device = |device: &ManifestDevice| {
            json!({
                "id": device.id.to_string(),
                "dsk": b64(device.dsk.as_bytes()),
                "addedAt": device.added_at,
                "capabilities": device.capabilities,
            })
        };
        json!({
            "version": manifest.version,
            "prevHash": b64(manifest.prev_hash),
            "issuedAt": manifest.issued_at,
            "devices": manifest.devices.iter().map(device).collect::<Vec<_>>(),
            "signature": b64(signature),
        })
    }

    /// A certificate of a wrap key, as frames carry it.
    pub fn wrap_frame(&self, seq: u64, key: &WrapKey, not_before: u64, not_after: u64) -> Value {
        let cert = WrapCert { seq, dwk: key.public().clone(), not_before, not_after };
        let signature = self.dsk.certify(&mut rand::rng(), &self.name, &self.device, cert).signature;
        json!({
            "seq": seq,
            "dwk": b64(key.public().as_bytes()),
            "notBefore": not_before,
            "notAfter": not_after,
            "signature": b64(signature),
        })
    }

    /// The first certificate of the device's wrap key.
    pub fn first_wrap(&self) -> &Value {
        &self.registration["wrap"]
    }

    /// The answer to a challenge by which a listed device logs in for the first time.
    pub fn link(&self, challenge: &Value) -> Value {
        let (client_nonce, signature) = self.sign(challenge, Purpose::Link, text(challenge, "origin"));
        json!({
            "type": "link",
            "username": self.name.as_str(),
            "deviceId": self.device.to_string(),
            "clientNonce": client_nonce,
            "wrap": self.registration["wrap"],
            "signature": signature,
        })
    }

    /// Manifest and wrap certificate as `register` carries them.
    fn keys(&self) -> Value {
        json!({
            "manifest": self.manifest_frame(&self.first_manifest()),
            "wrap": self.wrap_frame(1, &self.dwk, self.added_at, self.added_at + 7 * DAY),
        })
    }

    /// The answer to a challenge that registers this account.
    pub fn register(&self, challenge: &Value) -> Value {
        let (client_nonce, signature) = self.sign(challenge, Purpose::Register, text(challenge, "origin"));
        json!({
            "type": "register",
            "username": self.name.as_str(),
            "deviceId": self.device.to_string(),
            "clientNonce": client_nonce,
            "aik": b64(self.aik.public().as_bytes()),
            "manifest": self.registration["manifest"],
            "wrap": self.registration["wrap"],
            "signature": signature,
        })
    }

    /// The answer to a challenge that logs this device in.
    pub fn auth(&self, challenge: &Value) -> Value {
        self.auth_for_origin(challenge, text(challenge, "origin"))
    }

    /// The same, signed by `sign` with the device's key: where hundreds come at once, this library's own signing is the whole
    /// machine's work in a build that is not optimised.
    pub fn auth_signed_by(&self, challenge: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Value {
        let origin = text(challenge, "origin");
        let (client_nonce, signature) = self.signed(challenge, Purpose::LogIn, origin, |auth| sign(&auth.to_bytes()));
        self.auth_frame(&client_nonce, &signature)
    }

    /// The same, by a client that has dialled `origin`, whatever the challenge says.
    pub fn auth_for_origin(&self, challenge: &Value, origin: &str) -> Value {
        let (client_nonce, signature) = self.sign(challenge, Purpose::LogIn, origin);
        self.auth_frame(&client_nonce, &signature)
    }

    fn auth_frame(&self, client_nonce: &str, signature: &str) -> Value {
        json!({
            "type": "auth",
            "username": self.name.as_str(),
            "deviceId": self.device.to_string(),
            "clientNonce": client_nonce,
            "signature": signature,
        })
    }

    /// A fresh client nonce and the signature over AUTHIN.
    fn sign(&self, challenge: &Value, purpose: Purpose, origin: &str) -> (String, String) {
        self.signed(challenge, purpose, origin, |auth| self.dsk.sign_auth(&mut rand::rng(), auth))
    }

    fn signed(
        &self,
        challenge: &Value,
        purpose: Purpose,
        origin: &str,
        sign: impl FnOnce(&AuthIn<'_>) -> Vec<u8>,
    ) -> (String, String) {
        let client_nonce: [u8; 32] = rand::random();
        let auth = AuthIn {
            purpose,
            origin,
            channel_id: &unb64(&challenge["channelId"]).try_into().expect("16 bytes"),
            server_nonce: &unb64(&challenge["nonce"]).try_into().expect("32 bytes"),
            client_nonce: &client_nonce,
            expires_at: challenge["expiresAt"].as_u64().expect("a time"),
            username: &self.name,
            device: &self.device,
            dsk_kid: self.dsk.kid(),
        };
        (b64(client_nonce), b64(sign(&auth)))
    }

    /// This device as an entry of `recipients`.
    pub fn recipient(&self) -> Value {
        json!({ "u": self.name.as_str(), "d": self.device.to_string(), "k": b64(self.dwk.kid().as_bytes()) })
    }
}

fn text<'a>(frame: &'a Value, field: &str) -> &'a str {
    frame[field].as_str().expect("a string")
}

/// An id that no message has had.
pub(crate) fn fresh_message_id() -> MessageId {
    MessageId::new_v7(now(), rand::random())
}
