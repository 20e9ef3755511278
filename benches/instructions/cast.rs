//! Who takes part, and what they send. Neither keys nor messages differ from run to run.

use std::time::SystemTime;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256};
use bytes::Bytes;
use sealwire_protocol::base64::{Array, Base64, Blob};
use sealwire_protocol::frames::{
    Auth, Challenge, ClientFrame, IV_BYTES, Message, RSA_BYTES, Recipient, Request, Wrapped,
};
use sealwire_protocol::signed::{AuthIn, Purpose};
use sealwire_protocol::spki::Spki;
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};
use sealwire_store::{Created, ManifestRecord, NewAccount, Store, WrapPut, WrapRecord};

/// Length of a short text with its commitment, padding and tag.
const SEALED_BYTES: usize = 336;

/// An account.
pub(crate) struct Person {
    pub(crate) name: Username,
    /// Ascending.
    pub(crate) devices: Vec<DeviceId>,
}

impl Person {
    fn new(name: &str, first: u8, devices: u8) -> Self {
        let device = |last| format!("0198c0de-0000-7000-8000-0000000000{last:02x}").parse().expect("a well-formed id");
        let name = name.parse().expect("a well-formed name");
        Self { name, devices: (first..first + devices).map(device).collect() }
    }

    /// Who sends.
    pub(crate) fn alice() -> Self {
        Self::new("alice", 0xa0, 1)
    }

    /// Who receives, with so many devices.
    pub(crate) fn bob(devices: u8) -> Self {
        Self::new("bob", 0xb0, devices)
    }

    /// The id of a device's wrap key, which nobody has.
    fn wrap_kid(device: &DeviceId) -> Kid {
        Kid::of(device.as_bytes())
    }

    /// Makes the account. The store looks into neither manifest nor certificate.
    pub(crate) async fn register(&self, key: &Key, store: &dyn Store) {
        let document = Bytes::from_static(b"{}");
        let dsk = Bytes::copy_from_slice(key.public.as_bytes());
        let wrap = |device| WrapRecord { seq: 1, kid: Self::wrap_kid(device), document: document.clone() };
        let account = NewAccount {
            username: self.name.clone(),
            aik: dsk.clone(),
            manifest: ManifestRecord { version: 1, hash: [0; 32], document: document.clone() },
            devices: self.devices.iter().map(|device| (*device, dsk.clone())).collect(),
            wrap: (self.devices[0], wrap(&self.devices[0])),
            created_at: now(),
        };
        assert_eq!(store.create_account(account).await.expect("the store answers"), Created::Yes);
        for device in &self.devices[1..] {
            let put = store.put_wrap(device, wrap(device), now()).await.expect("the store answers");
            assert_eq!(put, WrapPut::Yes);
        }
    }

    /// Answers a challenge on one of the devices.
    pub(crate) fn auth(&self, device: DeviceId, key: &Key, challenge: &Challenge) -> String {
        let (client_nonce, dsk_kid) = ([7; 32], key.public.kid());
        let signed = AuthIn {
            purpose: Purpose::LogIn,
            origin: &challenge.origin,
            channel_id: &challenge.channel_id.0,
            server_nonce: &challenge.nonce.0,
            client_nonce: &client_nonce,
            expires_at: challenge.expires_at,
            username: &self.name,
            device: &device,
            dsk_kid: &dsk_kid,
        };
        let auth = Auth {
            username: self.name.as_str().to_owned(),
            device_id: device,
            client_nonce: Array(client_nonce),
            signature: Blob(key.sign(&signed.to_bytes())),
        };
        ClientFrame::from(Request::Auth(Box::new(auth))).to_json()
    }
}

/// The signing key of everybody.
pub(crate) struct Key {
    pair: KeyPair,
    public: Spki,
}

impl Key {
    /// One of the keys that stand in the repository.
    pub(crate) fn read() -> Self {
        let pair = KeyPair::from_pkcs8(include_bytes!("../../tests/keys/k0.der")).expect("a key");
        let der = pair.public_key().as_der().expect("a key that was read can be written");
        let public = Spki::parse(der.as_ref()).expect("a key as the protocol wants it");
        Self { pair, public }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; RSA_BYTES];
        let signed = self.pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.expect("a 4096-bit key signs anything");
        signature
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_millis()).expect("it is not yet the year 500 million")
}

/// The `n`th message's id.
pub(crate) fn message_id(n: u64) -> MessageId {
    format!("0198c0de-1111-7000-8000-{n:012x}").parse().expect("a well-formed id")
}

/// The `n`th `message` frame, for all devices of `to`. Nobody could open it, and the server cannot tell.
pub(crate) fn letter(to: &Person, n: u64) -> String {
    let bytes = |length: usize| (0..length).map(|at| (at * 31 + 7) as u8).collect::<Vec<u8>>();
    let (name, key) = (to.name.as_str(), Base64::encode(&bytes(RSA_BYTES)));
    let recipient = |device: &DeviceId| Recipient { u: name.into(), d: *device, k: Person::wrap_kid(device) };
    let wrapped = |device: &DeviceId| Wrapped { u: name.into(), d: *device, w: key.clone() };
    let alone = to.devices.len() == 1;
    let message = Message {
        message_id: message_id(n),
        to: name.into(),
        encrypted_message: Base64::encode(&bytes(SEALED_BYTES)),
        iv: Base64::encode(&bytes(IV_BYTES)),
        timestamp: now(),
        signature: Base64::encode(&bytes(RSA_BYTES)),
        suite: 1,
        recipients: to.devices.iter().map(recipient).collect(),
        encrypted_key: alone.then(|| key.clone()),
        encrypted_keys: (!alone).then(|| to.devices.iter().map(wrapped).collect()),
    };
    ClientFrame::from(Request::Message(Box::new(message))).to_json()
}
