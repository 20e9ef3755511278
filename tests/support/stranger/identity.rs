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
const KEYS: usize = 8;

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

fn pool(n: usize) -> Vec<u8> {
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
        let mut who = Self {
            name: name.parse().expect("a username"),
            device,
            aik: IdentityKey::from_pkcs8(&pool(first)).expect("a key of the pool"),
            dsk: SigningKey::from_pkcs8(&pool(first + 1)).expect("a key of the pool"),
            dwk: WrapKey::from_pkcs8(&pool(first + 2)).expect("a key of the pool"),
            registration: Value::Null,
        };
        who.registration = who.keys();
        who
    }

    /// Manifest and wrap certificate as `register` carries them.
    fn keys(&self) -> Value {
        let (at, rng) = (now(), &mut rand::rng());
        let device = ManifestDevice { id: self.device, dsk: self.dsk.public().clone(), added_at: at, capabilities: 0 };
        let manifest = Manifest { version: 1, prev_hash: [0; 32], issued_at: at, devices: vec![device] };
        let manifest = self.aik.sign_manifest(rng, &self.name, manifest).expect("well formed");
        let cert = WrapCert { seq: 1, dwk: self.dwk.public().clone(), not_before: at, not_after: at + 7 * DAY };
        let cert = self.dsk.certify(rng, &self.name, &self.device, cert);
        json!({
            "manifest": {
                "version": 1,
                "prevHash": b64([0; 32]),
                "issuedAt": at,
                "devices": [{
                    "id": self.device.to_string(),
                    "dsk": b64(self.dsk.public().as_bytes()),
                    "addedAt": at,
                    "capabilities": 0,
                }],
                "signature": b64(manifest.signature),
            },
            "wrap": {
                "seq": 1,
                "dwk": b64(self.dwk.public().as_bytes()),
                "notBefore": at,
                "notAfter": at + 7 * DAY,
                "signature": b64(cert.signature),
            },
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

    /// The same, by a client that has dialled `origin`, whatever the challenge says.
    pub fn auth_for_origin(&self, challenge: &Value, origin: &str) -> Value {
        let (client_nonce, signature) = self.sign(challenge, Purpose::LogIn, origin);
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
        (b64(client_nonce), b64(self.dsk.sign_auth(&mut rand::rng(), &auth)))
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
pub(super) fn fresh_message_id() -> MessageId {
    MessageId::new_v7(now(), rand::random())
}
