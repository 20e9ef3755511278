//! Profiles of real clients, and the passphrase that all of them have in these tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sealwire_client::Profile;
use sealwire_client::profile::DeviceKeys;
use sealwire_client::register::register_with_keys;
use sealwire_client::vault::Passphrase;
use sealwire_e2ee::{IdentityKey, SigningKey, WrapKey};
use sealwire_protocol::DeviceId;

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
    let Identity { name, aik, dsk, dwk, .. } = Identity::new(name);
    let keys = DeviceKeys { aik: Some(aik), dsk, dwk };
    let mut profile = open(path);
    let server = server.parse().expect("a server's origin");
    register_with_keys(&mut profile, &server, &name, &keys, PATIENCE).await.expect("the name is free");
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
