//! Profiles of real clients, and the passphrase that all of them have in these tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sealwire_client::pins::Person;
use sealwire_client::profile::{DeviceKeys, NewAccount};
use sealwire_client::register::register_with_keys;
use sealwire_client::vault::Passphrase;
use sealwire_client::{Client, Profile};
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::DeviceId;
use sealwire_protocol::frames::ServerFrame;
use sealwire_protocol::signed::Manifest;
use serde_json::{Value, json};

use crate::Server;
use crate::stranger::{Identity, PATIENCE, key_of_pool, now};

const PASSPHRASE: &str = "correct horse battery staple";

/// A file with the passphrase, for `--passphrase-file`; made in this directory where it is not there yet.
pub fn passphrase_file(directory: &Path) -> PathBuf {
    let path = directory.join("passphrase");
    if !path.exists() {
        fs::write(&path, format!("{PASSPHRASE}\n")).expect("a file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
    }
    path
}

/// Opens a profile, or makes it.
pub fn open(path: &Path) -> Profile {
    Profile::open(path, &mut Passphrase::new(PASSPHRASE)).expect("the profile opens")
}

/// Registers a name on a server (its origin) with keys of the pool, and gives the profile.
///
/// # Panics
/// When the server refuses.
pub async fn register(path: &Path, server: &str, name: &str) -> Profile {
    register_as(path, server, &Identity::new(name)).await
}

/// Registers a name with the keys and the device of this identity.
///
/// # Panics
/// When the server refuses.
pub async fn register_as(path: &Path, server: &str, who: &Identity) -> Profile {
    let mut profile = open(path);
    let keys = keys_of(who);
    profile.store_keys(&who.device, &keys, now()).expect("the profile is empty");
    let server = server.parse().expect("a server's origin");
    register_with_keys(&mut profile, &server, &who.name, &keys, PATIENCE).await.expect("the name is free");
    profile
}

/// The keys of somebody's `n`th device; of the first one with the account's identity key.
///
/// # Panics
/// When the pool of keys cannot be read.
pub fn keys(n: usize) -> DeviceKeys {
    DeviceKeys {
        aik: (n == 0).then(|| IdentityKey::from_pkcs8(&key_of_pool(0)).expect("a key of the pool")),
        dsk: SigningKey::from_pkcs8(&key_of_pool(2 * n + 1)).expect("a key of the pool"),
        dwk: WrapKey::from_pkcs8(&key_of_pool(2 * n + 2)).expect("a key of the pool"),
    }
}

/// Makes a profile that has keys already, so that nobody waits for them; as an attempt leaves it that ended early.
///
/// # Panics
/// When it cannot be made.
pub fn with_keys(path: &Path, n: usize) {
    let device = DeviceId::new_v7(now(), rand::random());
    open(path).store_keys(&device, &keys(n), now()).expect("keys can be stored");
}

/// Makes the profile of a further device of an account, whose keys and id are this identity's: `old`, a device that is
/// listed, has its newest manifest, and the account's identity key signs the next one.
///
/// # Panics
/// When the server refuses.
pub async fn link_as(path: &Path, server: &Server, old: &Client, who: &Identity) -> Profile {
    let name = who.name.clone();
    let known = old.profile(move |profile| profile.person(&name)).await.expect("the old device runs");
    let chain = known.expect("its profile can be read").expect("it knows itself").chain().clone();
    let mut devices = chain.newest().devices.clone();
    devices.push(who.listed());
    devices.sort_by_key(|device| device.id);
    let (version, prev_hash) = (chain.newest().version + 1, chain.newest_hash());
    let manifest = who.manifest_frame(&Manifest { version, prev_hash, issued_at: now(), devices });

    let mut wire = server.dial().await;
    wire.expect("challenge").await;
    let listed = json!({ "type": "devices", "username": who.name.as_str(), "manifest": manifest });
    assert_eq!(wire.ask(&listed).await["version"], version);
    let challenge = wire.ask(&json!({ "type": "challenge" })).await;
    wire.send_frame(&who.link(&challenge)).await;
    wire.expect("session").await;
    let shown = wire.ask(&json!({ "type": "keys", "username": who.name.as_str() })).await;
    let ServerFrame::Keys(shown) = serde_json::from_value(shown).expect("a frame of the server") else {
        panic!("the server does not show the account's keys")
    };
    let (own, _) = Person::first(&shown, now()).expect("one's own keys");

    let mut profile = open(path);
    let read = |frame: Value| serde_json::from_value(frame).expect("a manifest");
    let wrap = serde_json::from_value(who.first_wrap().clone()).expect("a certificate");
    let new = NewAccount { username: who.name.clone(), manifest: read(manifest), wrap };
    let done = profile.store_keys(&who.device, &keys_of(who), now());
    let done = done.and_then(|()| profile.prepare(&server.origin(), &new));
    done.and_then(|()| profile.store_person(&own)).and_then(|()| profile.registered()).expect("the profile is written");
    profile
}

fn keys_of(who: &Identity) -> DeviceKeys {
    DeviceKeys {
        aik: Some(IdentityKey::from_pkcs8(&who.aik.to_pkcs8()).expect("a key")),
        dsk: SigningKey::from_pkcs8(&who.dsk.to_pkcs8()).expect("a key"),
        dwk: WrapKey::from_pkcs8(&who.dwk.to_pkcs8()).expect("a key"),
    }
}
