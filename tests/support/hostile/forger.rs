//! Somebody with private keys who seals and signs what no client of ours would, or plays an account that does not exist.

use sealwire_e2ee::{ContentType, Draft as Sealing, Lane, Payload, Target, seal};
use sealwire_protocol::signed::{Manifest, ManifestDevice, chain, sha256};
use sealwire_protocol::{DeviceId, MessageId, Username};
use serde_json::{Value, json};

use crate::stranger::{Identity, b64, fresh_message_id, now, unb64};

/// Somebody with the private keys of an account and one device.
#[derive(Debug)]
pub struct Forger {
    /// The keys.
    pub who: Identity,
}

/// What is sealed, where it differs from a first message of an honest device.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What it says.
    pub text: String,
    /// Its place in the chain.
    pub counter: u64,
    /// What came before it.
    pub previous: [u8; 32],
    /// Its id.
    pub message_id: MessageId,
    /// When it was sealed.
    pub timestamp: u64,
    /// Which devices the sender believes to have.
    pub self_manifest: [u8; 32],
    /// Which devices the sender believes the addressee to have.
    pub peer_manifest: [u8; 32],
}

impl Draft {
    /// A first message.
    pub fn first(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            counter: 1,
            previous: [0; 32],
            message_id: fresh_message_id(),
            timestamp: now(),
            self_manifest: [0; 32],
            peer_manifest: [0; 32],
        }
    }

    /// The message after this one.
    #[must_use]
    pub fn then(&self, text: &str) -> Self {
        let previous = chain(&self.previous, self.counter, &self.message_id);
        let (message_id, text) = (fresh_message_id(), text.to_owned());
        Self { text, counter: self.counter + 1, previous, message_id, timestamp: now(), ..self.clone() }
    }

    /// Believing in these manifests of sender and addressee.
    #[must_use]
    pub fn believing(self, own: [u8; 32], peers: [u8; 32]) -> Self {
        Self { self_manifest: own, peer_manifest: peers, ..self }
    }
}

impl Forger {
    /// With the three keys of the pool from `first_key` on.
    pub fn new(name: &Username, device: DeviceId, first_key: usize) -> Self {
        Self { who: Identity::of_pool(name.as_str(), device, first_key, first_key + 1) }
    }

    /// An account that the server does not have, with its own keys; to be shown by [`shown`].
    pub fn stranger(name: &str, first_key: usize) -> Self {
        let device = DeviceId::new_v7(now(), rand::random());
        Self { who: Identity::of_pool(name, device, first_key, first_key + 1) }
    }

    /// A `message` frame of this device as a server delivers it to `to`'s.
    ///
    /// # Panics
    /// When it cannot be sealed.
    pub fn seals(&self, to: &Identity, draft: &Draft) -> Value {
        let payload = Payload {
            content_type: ContentType::Content,
            counter: draft.counter,
            previous: draft.previous,
            self_manifest: draft.self_manifest,
            peer_manifest: draft.peer_manifest,
            body: json!({ "kind": "text", "text": draft.text }).to_string().into_bytes().into(),
        };
        let target = Target { username: to.name.clone(), device: to.device, dwk: to.dwk.public().clone() };
        let sealing = Sealing {
            lane: Lane::Message,
            message_id: draft.message_id,
            timestamp: draft.timestamp,
            from: &self.who.name,
            from_device: self.who.device,
            to: &to.name,
            targets: &[target],
            payload: &payload,
        };
        let sealed = seal(&mut rand::rng(), &self.who.dsk, &sealing).expect("a draft that follows the rules");
        let mut recipient = to.recipient();
        recipient["h"] = b64(sha256(&sealed.wraps[0])).into();
        json!({
            "type": "message",
            "from": self.who.name.as_str(),
            "fromDevice": self.who.device.to_string(),
            "messageId": draft.message_id.to_string(),
            "to": to.name.as_str(),
            "encryptedMessage": b64(&sealed.encrypted_message),
            "iv": b64(sealed.iv),
            "timestamp": draft.timestamp,
            "signature": b64(&sealed.signature),
            "suite": 1,
            "recipients": [recipient],
            "encryptedKey": b64(&sealed.wraps[0]),
        })
    }

    /// The hash of a manifest of this account that a frame carries.
    ///
    /// # Panics
    /// When it is none.
    pub fn hash(&self, manifest: &Value) -> [u8; 32] {
        self.who.hash(&read(manifest))
    }

    /// A frame with the manifest after `last` in which `change` has changed something, signed by this account.
    pub fn next_manifest(&self, last: &Value, change: impl FnOnce(&mut Manifest)) -> Value {
        let last = read(last);
        let prev_hash = self.who.hash(&last);
        let mut next = Manifest { version: last.version + 1, prev_hash, issued_at: now(), ..last };
        change(&mut next);
        next.devices.sort_by_key(|device| device.id);
        self.who.manifest_frame(&next)
    }

    /// A manifest with a change, but the same version, signed by this account.
    pub fn other_manifest(&self, manifest: &Value, change: impl FnOnce(&mut Manifest)) -> Value {
        let mut other = read(manifest);
        change(&mut other);
        self.who.manifest_frame(&other)
    }
}

/// The answer to `keys` that shows the account of `who` with these manifests and wrap certificates.
pub fn shown(who: &Identity, manifests: &[Value], certificates: &[(DeviceId, Value)]) -> Value {
    let device = |(id, wrap): &(DeviceId, Value)| json!({ "id": id.to_string(), "wrap": wrap });
    json!({
        "type": "keys",
        "username": who.name.as_str(),
        "aik": b64(who.aik.public().as_bytes()),
        "manifests": manifests,
        "devices": certificates.iter().map(device).collect::<Vec<_>>(),
    })
}

fn read(manifest: &Value) -> Manifest {
    let number = |value: &Value| value.as_u64().expect("a number");
    let device = |device: &Value| ManifestDevice {
        id: device["id"].as_str().expect("a string").parse().expect("a device id"),
        dsk: sealwire_protocol::spki::Spki::parse(&unb64(&device["dsk"])).expect("a key"),
        added_at: number(&device["addedAt"]),
        capabilities: u32::try_from(number(&device["capabilities"])).expect("32 bits"),
    };
    Manifest {
        version: number(&manifest["version"]),
        prev_hash: unb64(&manifest["prevHash"]).try_into().expect("32 bytes"),
        issued_at: number(&manifest["issuedAt"]),
        devices: manifest["devices"].as_array().expect("a list").iter().map(device).collect(),
    }
}
