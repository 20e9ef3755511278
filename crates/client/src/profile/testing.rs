//! Profiles for unit tests: unlocked by a keyring in memory, which costs no time.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use rusqlite::params;
use sealwire_protocol::ids::{DeviceId, Username};
use zeroize::Zeroizing;

use super::{Profile, ProfileError};
use crate::vault::{Ask, Keyring, Unlock};

static SECRETS: LazyLock<Mutex<HashMap<String, Vec<u8>>>> = LazyLock::new(Mutex::default);

struct InMemory;

impl Keyring for InMemory {
    fn get(&self, id: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        Ok(SECRETS.lock().unwrap().get(id).cloned().map(Zeroizing::new))
    }

    fn set(&self, id: &str, secret: &[u8]) -> Result<(), String> {
        SECRETS.lock().unwrap().insert(id.to_owned(), secret.to_vec());
        Ok(())
    }

    fn delete(&self, id: &str) -> Result<(), String> {
        SECRETS.lock().unwrap().remove(id);
        Ok(())
    }
}

impl Unlock for InMemory {
    fn keyring(&self) -> Option<&dyn Keyring> {
        Some(self)
    }

    fn passphrase(&mut self, _ask: Ask) -> Result<Zeroizing<String>, ProfileError> {
        Err(ProfileError::Locked("nobody is asked in these tests".to_owned()))
    }
}

/// Opens a profile.
pub(crate) fn open(directory: &Path) -> Result<Profile, ProfileError> {
    Profile::open(directory, &mut InMemory)
}

/// Makes a profile that is registered, and has no keys.
pub(crate) fn registered(directory: &Path, username: &Username, device: &DeviceId) -> Profile {
    let profile = open(directory).unwrap();
    let server = profile.vault.seal("account.server", &[], b"wss://chat.example.org");
    let sql = "INSERT INTO account (only_one, server, username, device, registered) VALUES (1, ?1, ?2, ?3, 1)";
    let values = params![server, profile.vault.name(username), device.as_bytes().as_slice()];
    profile.database.execute(sql, values).unwrap();
    profile
}
