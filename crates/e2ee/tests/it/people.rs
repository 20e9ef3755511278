//! The people of the tests and their devices, with keys from the pool in `tests/keys`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use sealwire_e2ee::manifest::SenderKey;
use sealwire_e2ee::{
    ContentType, Delivered, Draft, KeyHolder, Lane, NoSenderKey, OpenError, Opened, Payload, Receiver, Sealed,
    SigningKey, Target, WrapKey, open, seal,
};
use sealwire_protocol::signed::sha256;
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};

/// When all of it happens, in milliseconds since 1970.
pub(crate) const NOW: u64 = 1_790_000_000_000;

/// The system's generator.
pub(crate) fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A private key of the pool, in PKCS#8 DER.
pub(crate) fn pool(n: usize) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/keys/k{n}.der"))).unwrap()
}

pub(crate) fn name(text: &str) -> Username {
    text.parse().unwrap()
}

pub(crate) fn device(n: u8) -> DeviceId {
    DeviceId::new_v7(NOW, [n; 10])
}

/// A device that sends.
pub(crate) struct Sender {
    pub(crate) name: Username,
    pub(crate) device: DeviceId,
    pub(crate) key: SigningKey,
}

/// A device that receives, and what it knows and has seen.
pub(crate) struct Device {
    pub(crate) name: Username,
    pub(crate) device: DeviceId,
    pub(crate) keys: HashMap<Kid, WrapKey>,
    pub(crate) senders: HashMap<DeviceId, Result<SenderKey, NoSenderKey>>,
    pub(crate) seen: Vec<(DeviceId, MessageId)>,
}

impl Receiver for Device {
    fn username(&self) -> &Username {
        &self.name
    }

    fn device(&self) -> &DeviceId {
        &self.device
    }

    fn holds(&self, kid: &Kid) -> bool {
        self.keys.contains_key(kid)
    }

    fn sender_key(&self, _: &Username, device: &DeviceId, _: u64) -> Result<SenderKey, NoSenderKey> {
        self.senders.get(device).cloned().unwrap_or(Err(NoSenderKey::Unknown))
    }

    fn has_seen(&self, from_device: &DeviceId, message_id: &MessageId) -> bool {
        self.seen.contains(&(*from_device, *message_id))
    }
}

impl KeyHolder for Device {
    fn wrap_key(&self, kid: &Kid) -> Option<&WrapKey> {
        self.keys.get(kid)
    }
}

impl Device {
    pub(crate) fn new(name_: &str, device_: u8, key: usize) -> Self {
        let key = WrapKey::from_pkcs8(&pool(key)).unwrap();
        let senders = [&*ALICE, &*MALLORY]
            .map(|sender| (sender.device, Ok(SenderKey::Current(sender.key.public().clone()))))
            .into();
        let keys = [(*key.kid(), key)].into();
        Self { name: name(name_), device: device(device_), keys, senders, seen: Vec::new() }
    }

    pub(crate) fn key(&self) -> &WrapKey {
        self.keys.values().next().unwrap()
    }

    pub(crate) fn target(&self) -> Target {
        Target { username: self.name.clone(), device: self.device, dwk: self.key().public().clone() }
    }

    pub(crate) fn open(&self, envelope: &Delivered) -> Result<Opened, OpenError> {
        self.open_at(NOW, envelope)
    }

    pub(crate) fn open_at(&self, now: u64, envelope: &Delivered) -> Result<Opened, OpenError> {
        open(&mut rng(), self, Lane::Message, now, envelope)
    }
}

fn sender(name_: &str, device_: u8, key: usize) -> Sender {
    Sender { name: name(name_), device: device(device_), key: SigningKey::from_pkcs8(&pool(key)).unwrap() }
}

pub(crate) static ALICE: LazyLock<Sender> = LazyLock::new(|| sender("alice", 0xa1, 0));
pub(crate) static MALLORY: LazyLock<Sender> = LazyLock::new(|| sender("mallory", 0xe1, 1));
pub(crate) static ALICES_OTHER: LazyLock<Device> = LazyLock::new(|| Device::new("alice", 0xa2, 2));
pub(crate) static BOB: LazyLock<Device> = LazyLock::new(|| Device::new("bob", 0xb1, 3));
pub(crate) static BOBS_OTHER: LazyLock<Device> = LazyLock::new(|| Device::new("bob", 0xb2, 4));
pub(crate) static CAROL: LazyLock<Device> = LazyLock::new(|| Device::new("carol", 0xc1, 5));

pub(crate) fn payload(body: &[u8]) -> Payload {
    Payload {
        content_type: ContentType::Content,
        counter: 1,
        previous: [0; 32],
        self_manifest: [1; 32],
        peer_manifest: [2; 32],
        body: body.to_vec().into(),
    }
}

/// A message of Alice to Bob, for Alice's other device and both of Bob's.
pub(crate) fn message(payload: &Payload) -> Sealed {
    let targets = [BOBS_OTHER.target(), ALICES_OTHER.target(), BOB.target()];
    seal(&mut rng(), &ALICE.key, &draft(&targets, payload)).unwrap()
}

pub(crate) fn draft<'a>(targets: &'a [Target], payload: &'a Payload) -> Draft<'a> {
    Draft {
        lane: Lane::Message,
        message_id: MessageId::new_v7(NOW, [7; 10]),
        timestamp: NOW,
        from: &ALICE.name,
        from_device: ALICE.device,
        to: &BOB.name,
        targets,
        payload,
    }
}

/// What the server delivers of an envelope to the recipient at this place.
pub(crate) fn delivered(sealed: &Sealed, index: usize) -> Delivered {
    let header = sealed.header.clone();
    Delivered {
        suite: header.suite,
        message_id: header.message_id,
        timestamp: header.timestamp,
        from: header.from,
        from_device: header.from_device,
        to: header.to,
        recipients: header.recipients,
        iv: sealed.iv,
        encrypted_message: sealed.encrypted_message.clone(),
        wrap: sealed.wraps[index].clone(),
        wrap_hashes: sealed.wraps.iter().map(|wrap| sha256(wrap)).collect(),
        signature: sealed.signature.clone(),
    }
}

/// The places of the three devices that [`message`] is sealed for.
pub(crate) const AT_ALICES_OTHER: usize = 0;
pub(crate) const AT_BOB: usize = 1;
pub(crate) const AT_BOBS_OTHER: usize = 2;
