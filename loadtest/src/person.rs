//! Who takes part: accounts with their devices, and what these say to be let in (protocol sections 3 and 5).

use sealwire_protocol::base64::{Array, Blob};
use sealwire_protocol::frames::{
    Auth, Challenge, ClientFrame, Link, ManifestDeviceFrame, ManifestFrame, Register, Request, WrapFrame,
};
use sealwire_protocol::signed::{AuthIn, Manifest, ManifestDevice, Purpose, WrapCert, sha256};
use sealwire_protocol::{DeviceId, Kid, Username};

use crate::keys::{Key, Pool};

const DAY: u64 = 24 * 60 * 60 * 1000;

/// An account.
#[derive(Debug)]
pub(crate) struct Person {
    name: Username,
    /// Ascending.
    devices: Vec<DeviceId>,
    /// Where the account's keys begin in the pool.
    first_key: usize,
    /// When the account was made, in milliseconds since 1970.
    made_at: u64,
}

/// A message to be signed, and the number in the pool of the key that does.
#[derive(Debug)]
pub(crate) struct ToSign {
    pub(crate) key: usize,
    pub(crate) message: Vec<u8>,
}

/// An answer to a challenge that waits for its signatures.
#[derive(Debug)]
pub(crate) struct Entering {
    purpose: Purpose,
    client_nonce: [u8; 32],
}

impl Person {
    /// The most keys that an account with this number of devices needs.
    pub(crate) fn keys_needed(devices: usize) -> usize {
        1 + 2 * devices
    }

    /// The `number`th account of a run. The same tag and number always give the same name and devices.
    pub(crate) fn new(tag: &str, number: usize, devices: usize, made_at: u64) -> Self {
        let name = format!("lt-{tag}-{number}").parse().expect("a checked tag and a number make a name");
        let device = |n: usize| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&sha256(format!("{tag} {number} {n}").as_bytes())[..16]);
            // A UUID of version 4, RFC 9562, section 5.4.
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            DeviceId::from_bytes(bytes).expect("version and variant were set")
        };
        let mut devices: Vec<_> = (0..devices).map(device).collect();
        devices.sort();
        Self { name, devices, first_key: number, made_at }
    }

    /// The account's name.
    pub(crate) fn name(&self) -> &Username {
        &self.name
    }

    /// The devices, in the order in which an envelope lists them.
    pub(crate) fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    /// The signing key of a device.
    pub(crate) fn dsk<'a>(&self, pool: &'a Pool, device: usize) -> &'a Key {
        pool.key(self.dsk_number(device))
    }

    /// The wrap key of a device.
    pub(crate) fn dwk<'a>(&self, pool: &'a Pool, device: usize) -> &'a Key {
        pool.key(self.dsk_number(device) + 1)
    }

    fn dsk_number(&self, device: usize) -> usize {
        self.first_key + 1 + 2 * device
    }

    /// Begins the answer to a challenge; `nonce` is fresh. The signatures that it needs come in this order.
    pub(crate) fn enter(
        &self,
        pool: &Pool,
        device: usize,
        purpose: Purpose,
        challenge: &Challenge,
        nonce: [u8; 32],
    ) -> (Entering, Vec<ToSign>) {
        let dsk = self.dsk(pool, device).public().kid();
        let auth = AuthIn {
            purpose,
            origin: &challenge.origin,
            channel_id: &challenge.channel_id.0,
            server_nonce: &challenge.nonce.0,
            client_nonce: &nonce,
            expires_at: challenge.expires_at,
            username: &self.name,
            device: &self.devices[device],
            dsk_kid: &dsk,
        };
        let key = self.dsk_number(device);
        let mut to_sign = vec![ToSign { key, message: auth.to_bytes() }];
        if purpose != Purpose::LogIn {
            let cert = self.certificate(pool, device);
            to_sign.push(ToSign { key, message: cert.to_bytes(&self.name, &self.devices[device]) });
        }
        if purpose == Purpose::Register {
            let manifest = self.manifest(pool).to_bytes(&self.name, pool.key(self.first_key).public());
            to_sign.push(ToSign { key: self.first_key, message: manifest });
        }
        (Entering { purpose, client_nonce: nonce }, to_sign)
    }

    /// The frame that answers the challenge, with the signatures that [`Self::enter`] asked for.
    pub(crate) fn answer(&self, pool: &Pool, device: usize, entering: &Entering, signatures: Vec<Vec<u8>>) -> String {
        let mut signatures = signatures.into_iter().map(Blob);
        let mut signature = || signatures.next().expect("there is one for each message to sign");
        let username = self.name.as_str().to_owned();
        let (device_id, client_nonce) = (self.devices[device], Array(entering.client_nonce));
        let auth = signature();
        let request = match entering.purpose {
            Purpose::LogIn => Request::Auth(Box::new(Auth { username, device_id, client_nonce, signature: auth })),
            Purpose::Link => {
                let wrap = self.wrap_frame(pool, device, signature());
                Request::Link(Box::new(Link { username, device_id, client_nonce, wrap, signature: auth }))
            }
            Purpose::Register => Request::Register(Box::new(Register {
                username,
                device_id,
                client_nonce,
                aik: Blob(pool.key(self.first_key).public().as_bytes().to_vec()),
                wrap: self.wrap_frame(pool, device, signature()),
                manifest: self.manifest_frame(pool, signature()),
                invite: None,
                signature: auth,
            })),
        };
        ClientFrame::from(request).to_json()
    }

    fn manifest(&self, pool: &Pool) -> Manifest {
        let device = |(n, id): (usize, &DeviceId)| ManifestDevice {
            id: *id,
            dsk: self.dsk(pool, n).public().clone(),
            added_at: self.made_at,
            capabilities: 0,
        };
        let devices = self.devices.iter().enumerate().map(device).collect();
        Manifest { version: 1, prev_hash: [0; 32], issued_at: self.made_at, devices }
    }

    fn manifest_frame(&self, pool: &Pool, signature: Blob) -> ManifestFrame {
        let Manifest { version, prev_hash, issued_at, devices } = self.manifest(pool);
        let device = |device: ManifestDevice| ManifestDeviceFrame {
            id: device.id,
            dsk: Blob(device.dsk.as_bytes().to_vec()),
            added_at: device.added_at,
            capabilities: device.capabilities,
        };
        let devices = devices.into_iter().map(device).collect();
        ManifestFrame { version, prev_hash: Array(prev_hash), issued_at, devices, signature }
    }

    fn certificate(&self, pool: &Pool, device: usize) -> WrapCert {
        let dwk = self.dwk(pool, device).public().clone();
        WrapCert { seq: 1, dwk, not_before: self.made_at, not_after: self.made_at + 7 * DAY }
    }

    fn wrap_frame(&self, pool: &Pool, device: usize, signature: Blob) -> WrapFrame {
        let WrapCert { seq, dwk, not_before, not_after } = self.certificate(pool, device);
        WrapFrame { seq, dwk: Blob(dwk.as_bytes().to_vec()), not_before, not_after, signature }
    }

    /// The id of a device's wrap key.
    pub(crate) fn dwk_kid(&self, pool: &Pool, device: usize) -> Kid {
        self.dwk(pool, device).public().kid()
    }
}
