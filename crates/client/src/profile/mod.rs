//! The profile: a directory with all that a device is, keeps and owes, in one SQLite file and a key file.
//!
//! * Encrypted at rest, by [`crate::vault`]: keys, names, texts, frames, reasons, the server's address, settings. Whoever
//!   reads the files, and cannot unlock them, sees **how much and when, not who and what**: how many people, conversations and
//!   messages there are, times, sizes, states, ids of messages and devices (random, but known to the server), counters and
//!   hashes of chains, the names of settings, and which rows belong to the same person, without the name.
//! * The directory has mode 0700 and its files 0600.
//! * One process at a time has a profile open; a second one is refused at once.
//! * Every change is one transaction with `synchronous=FULL`: what a method returned from survives a loss of power.

mod account;
mod archive;
mod contacts;
mod handed;
mod history;
mod incoming;
mod outgoing;
mod people;
mod schema;
mod settings;
mod wrap_keys;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::vault::{KeyFile, Keyring, LockedBy, ProfileKey, Unlock, Vault};

pub use account::{DeviceKeys, NewAccount};
pub use archive::Imported;
pub use handed::Arrived;
pub use sealwire_core::storage::{Account, Body, Content, Incoming, Outgoing, Received, Taken};
pub use wrap_keys::StoredWrapKey;

/// What is wrong with a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The directory or a file in it cannot be made or opened.
    #[error("cannot use the profile {}: {reason}", .path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// Another process has it open.
    #[error("the profile {} is in use by another process; end that one, or choose another --profile", .0.display())]
    InUse(PathBuf),
    /// Written by a later version of this program.
    #[error("the profile is of a later version ({found}) than this program knows ({known}); use the newer program")]
    Newer {
        /// The file's version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// There is a database, but no key file.
    #[error(
        "{} is missing, without which the profile cannot be opened: put it back from a copy, or choose another --profile \
         and recover the account there",
        .0.display()
    )]
    NoKeyFile(PathBuf),
    /// Nobody can unlock it, or not in this way.
    #[error("{0}")]
    Locked(String),
    /// The passphrase is another one.
    #[error("the passphrase is wrong; nothing was changed")]
    WrongPassphrase,
    /// Nobody is registered with it.
    #[error("this profile has no account yet; register a name first")]
    NoAccount,
    /// Somebody is registered with it already.
    #[error("this profile belongs to {0} already; choose another --profile for another account")]
    HasAccount(String),
    /// The account has been deleted.
    #[error("the account {0} has been deleted; its history can still be exported")]
    Deleted(String),
    /// A key that cannot be read.
    #[error("the profile's private keys cannot be read: {0}")]
    Keys(String),
    /// A history file that cannot be read or written.
    #[error("{0}")]
    Archive(String),
    /// What is stored makes no sense, or SQLite cannot read or write it.
    #[error("the profile's database failed: {0}")]
    Database(String),
}

impl From<rusqlite::Error> for ProfileError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

fn damaged(what: &str) -> ProfileError {
    ProfileError::Database(format!("{what} cannot be read back"))
}

/// JSON of one of our own types.
fn json(value: &impl serde::Serialize) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(serde_json::to_vec(value).expect("our types have string keys and no failing Serialize"))
}

/// An open profile. The lock on it is held, and its key in memory, until this is dropped.
#[derive(Debug)]
pub struct Profile {
    directory: PathBuf,
    database: Connection,
    vault: Vault,
    key: ProfileKey,
    key_file: KeyFile,
    _lock: File,
}

impl Profile {
    /// Opens a profile, and makes it where there is none. A new one is locked by the keyring where there is one that
    /// answers, else by a passphrase; later it is opened by whatever locks it.
    ///
    /// # Errors
    /// [`ProfileError`] when it cannot be used or unlocked, is in use, or is of a later version. Nothing is lost then.
    pub fn open(directory: &Path, unlock: &mut dyn Unlock) -> Result<Self, ProfileError> {
        let files = |reason: io::Error| ProfileError::Files { path: directory.to_owned(), reason: reason.to_string() };
        make_private_directory(directory).map_err(files)?;
        let lock = open_private_file(&directory.join("lock")).map_err(files)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ProfileError::InUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => return Err(files(error)),
        }
        let path = directory.join("profile.db");
        let (key_file, key) = unlocked(directory, &path, unlock)?;
        // SQLite gives its own files the mode of the database.
        drop(open_private_file(&path).map_err(files)?);
        let mut database = Connection::open(&path)?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        database.pragma_update(None, "foreign_keys", "ON")?;
        database.pragma_update(None, "secure_delete", "ON")?;
        schema::migrate(&mut database)?;
        let vault = Vault::new(&key);
        Ok(Self { directory: directory.to_owned(), database, vault, key, key_file, _lock: lock })
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it is locked by.
    pub fn locked_by(&self) -> LockedBy {
        self.key_file.locked_by()
    }

    /// Locks it by another passphrase from now on, whatever locked it before; a keyring is relieved of its part.
    ///
    /// # Errors
    /// [`ProfileError::Locked`] when the passphrase is too short; [`ProfileError::Files`]. The old lock is good then.
    pub fn change_passphrase(&mut self, new: &str, keyring: Option<&dyn Keyring>) -> Result<(), ProfileError> {
        let file = self.key_file.with_passphrase(new, &self.key)?;
        self.relock(file, keyring)
    }

    /// Locks it by the keyring from now on, whatever locked it before.
    ///
    /// # Errors
    /// [`ProfileError::Locked`] when the keyring does not take it; [`ProfileError::Files`]. The old lock is good then.
    pub fn use_keyring(&mut self, keyring: &dyn Keyring) -> Result<(), ProfileError> {
        let file = KeyFile::with_keyring(keyring, &self.key)?;
        self.relock(file, Some(keyring))
    }

    fn relock(&mut self, file: KeyFile, keyring: Option<&dyn Keyring>) -> Result<(), ProfileError> {
        file.store(&self.directory)?;
        std::mem::replace(&mut self.key_file, file).leave(keyring);
        Ok(())
    }
}

fn unlocked(directory: &Path, database: &Path, unlock: &mut dyn Unlock) -> Result<(KeyFile, ProfileKey), ProfileError> {
    if let Some(file) = KeyFile::load(directory)? {
        let key = file.unlock(unlock)?;
        return Ok((file, key));
    }
    if fs::metadata(database).is_ok_and(|database| database.len() > 0) {
        return Err(ProfileError::NoKeyFile(directory.join("profile.key")));
    }
    // The key is on disk before anything is sealed with it.
    let (file, key) = KeyFile::create(unlock)?;
    file.store(directory)?;
    Ok((file, key))
}

#[cfg(unix)]
fn make_private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(unix)]
fn open_private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(not(unix))]
fn make_private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(not(unix))]
fn open_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod history_tests;
#[cfg(test)]
#[path = "rest_tests.rs"]
mod rest_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
#[path = "tests.rs"]
mod tests;
