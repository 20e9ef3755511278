//! `profile.key`: a profile's key, wrapped. JSON, so that a person sees by what it is locked.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use sealwire_protocol::base64::{Array, Blob};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::unlock::{Ask, Keyring, LockedBy, MIN_PASSPHRASE, Unlock};
use super::{ProfileKey, cipher, open, seal};
use crate::profile::ProfileError;

const VERSION: u32 = 1;
const NAME: &str = "profile.key";
/// RFC 9106, section 4: the second recommendation.
const ARGON2: (u32, u32, u32) = (64 * 1024, 3, 4);
/// What a file may ask this machine for: memory in KiB, passes, lanes.
const MOST: (u32, u32, u32) = (1024 * 1024, 64, 64);

/// What stands in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyFile {
    version: u32,
    /// Names the profile in a keyring.
    id: String,
    lock: Lock,
    /// The profile's key, sealed under the lock's.
    key: Blob,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", deny_unknown_fields)]
enum Lock {
    Keyring {},
    #[serde(rename_all = "camelCase")]
    Passphrase {
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        salt: Array<16>,
    },
}

impl KeyFile {
    /// Reads the file of a profile; `None` when there is none.
    pub(crate) fn load(directory: &Path) -> Result<Option<Self>, ProfileError> {
        let path = directory.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ProfileError::Files { path, reason: error.to_string() }),
        };
        let unreadable = |reason: String| ProfileError::Files { path: path.clone(), reason };
        let file: Self = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if file.version != VERSION {
            return Err(ProfileError::Newer { found: file.version.into(), known: VERSION.into() });
        }
        Ok(Some(file))
    }

    /// Writes the file in place of an earlier one: after a loss of power there is the one or the other.
    pub(crate) fn store(&self, directory: &Path) -> Result<(), ProfileError> {
        let write = || {
            let new = directory.join("profile.key.new");
            let mut file = private_file(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            fs::rename(new, directory.join(NAME))?;
            sync_directory(directory)
        };
        write()
            .map_err(|error: io::Error| ProfileError::Files { path: directory.join(NAME), reason: error.to_string() })
    }

    /// A new key, locked by the keyring where one answers, else by a passphrase.
    pub(crate) fn create(unlock: &mut dyn Unlock) -> Result<(Self, ProfileKey), ProfileError> {
        let key = ProfileKey::random();
        let id = new_id();
        if let Some(keyring) = unlock.keyring()
            && let Ok(file) = Self::locked_by_keyring(keyring, &id, &key)
        {
            return Ok((file, key));
        }
        let passphrase = unlock.passphrase(Ask::New)?;
        Ok((Self::locked_by_passphrase(&passphrase, id, &key)?, key))
    }

    /// The key, with the help of whoever can unlock it.
    pub(crate) fn unlock(&self, unlock: &mut dyn Unlock) -> Result<ProfileKey, ProfileError> {
        match &self.lock {
            Lock::Keyring {} => {
                let locked = |reason: &str| {
                    ProfileError::Locked(format!("this profile's key lies in the system's keyring, but {reason}"))
                };
                let advice = "this run uses a passphrase; leave out the passphrase file";
                let keyring = unlock.keyring().ok_or_else(|| locked(advice))?;
                let secret = keyring.get(&self.id).map_err(|reason| locked(&reason))?;
                let secret =
                    secret.ok_or_else(|| locked("it is not there; log in as the person who made the profile"))?;
                let secret: &[u8; 32] = secret.as_slice().try_into().map_err(|_| locked("what is there is no key"))?;
                self.unwrap(secret).ok_or_else(|| locked("what is there is another key"))
            }
            Lock::Passphrase { memory_kib, passes, lanes, salt } => {
                let passphrase = unlock.passphrase(Ask::Existing)?;
                let secret = stretch(&passphrase, &salt.0, (*memory_kib, *passes, *lanes))?;
                self.unwrap(&secret).ok_or(ProfileError::WrongPassphrase)
            }
        }
    }

    pub(crate) fn locked_by(&self) -> LockedBy {
        match self.lock {
            Lock::Keyring {} => LockedBy::Keyring,
            Lock::Passphrase { .. } => LockedBy::Passphrase,
        }
    }

    /// The same key, locked by a new passphrase.
    pub(crate) fn with_passphrase(&self, passphrase: &str, key: &ProfileKey) -> Result<Self, ProfileError> {
        Self::locked_by_passphrase(passphrase, new_id(), key)
    }

    /// The same key, locked by a keyring.
    pub(crate) fn with_keyring(keyring: &dyn Keyring, key: &ProfileKey) -> Result<Self, ProfileError> {
        let unusable = |reason| ProfileError::Locked(format!("the system's keyring does not take the key: {reason}"));
        Self::locked_by_keyring(keyring, &new_id(), key).map_err(unusable)
    }

    /// Removes what a keyring holds for this file, which has been replaced.
    pub(crate) fn leave(&self, keyring: Option<&dyn Keyring>) {
        if let (Lock::Keyring {}, Some(keyring)) = (&self.lock, keyring)
            && let Err(reason) = keyring.delete(&self.id)
        {
            tracing::warn!(%reason, "the keyring still holds a key that is of no use any more");
        }
    }

    fn locked_by_keyring(keyring: &dyn Keyring, id: &str, key: &ProfileKey) -> Result<Self, String> {
        let secret = ProfileKey::random().0;
        keyring.set(id, &secret[..])?;
        // A keyring that forgets would cost the profile.
        if keyring.get(id)?.is_none_or(|back| back.as_slice() != &secret[..]) {
            return Err("it gives back something else than it was given".to_owned());
        }
        Ok(Self::wrap(id.to_owned(), Lock::Keyring {}, &secret, key))
    }

    fn locked_by_passphrase(passphrase: &str, id: String, key: &ProfileKey) -> Result<Self, ProfileError> {
        if passphrase.chars().count() < MIN_PASSPHRASE {
            let words = format!("a passphrase has at least {MIN_PASSPHRASE} characters; choose a longer one");
            return Err(ProfileError::Locked(words));
        }
        let mut salt = [0; 16];
        UnwrapErr(SysRng).fill_bytes(&mut salt);
        let secret = stretch(passphrase, &salt, ARGON2)?;
        let (memory_kib, passes, lanes) = ARGON2;
        Ok(Self::wrap(id, Lock::Passphrase { memory_kib, passes, lanes, salt: Array(salt) }, &secret, key))
    }

    fn wrap(id: String, lock: Lock, secret: &[u8; 32], key: &ProfileKey) -> Self {
        let sealed = seal(&cipher(secret), &aad(&id), &key.0[..]);
        Self { version: VERSION, id, lock, key: Blob(sealed) }
    }

    fn unwrap(&self, secret: &[u8; 32]) -> Option<ProfileKey> {
        let key = open(&cipher(secret), &aad(&self.id), &self.key.0)?;
        Some(ProfileKey(Zeroizing::new(key.as_slice().try_into().ok()?)))
    }
}

fn aad(id: &str) -> Vec<u8> {
    [b"sealwire profile key\0", id.as_bytes()].concat()
}

fn new_id() -> String {
    let mut random = [0; 16];
    UnwrapErr(SysRng).fill_bytes(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Argon2id.
fn stretch(
    passphrase: &str,
    salt: &[u8; 16],
    (memory, passes, lanes): (u32, u32, u32),
) -> Result<Zeroizing<[u8; 32]>, ProfileError> {
    let unusable = |reason: String| ProfileError::Keys(format!("{NAME} asks for {reason}"));
    if memory > MOST.0 || passes > MOST.1 || lanes > MOST.2 {
        return Err(unusable(format!("{memory} KiB, {passes} passes and {lanes} lanes, which is too much")));
    }
    let params = Params::new(memory, passes, lanes, Some(32)).map_err(|error| unusable(error.to_string()))?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut key[..])
        .map_err(|error| unusable(error.to_string()))?;
    Ok(key)
}

#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<File> {
    File::create(path)
}

/// Makes a rename last. Where directories cannot be opened as files, the system sees to it.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
#[path = "key_file_tests.rs"]
mod tests;
