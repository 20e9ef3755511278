//! The profile: a directory with all that a device is, keeps and owes, in one SQLite file.
//!
//! * The directory has mode 0700 and its files 0600. **Private keys and messages lie in it in plain**: whoever can read
//!   the file is the device. Encryption at rest comes with a later version.
//! * One process at a time has a profile open; a second one is refused at once.
//! * Every change is one transaction with `synchronous=FULL`: what a method returned from survives a loss of power.

mod account;
mod incoming;
mod outgoing;
mod people;
mod schema;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

pub use account::{Account, DeviceKeys, NewAccount};
pub use incoming::{Body, Incoming, Received};
pub use outgoing::{Content, Outgoing};

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
    /// Nobody is registered with it.
    #[error("this profile has no account yet; register a name first")]
    NoAccount,
    /// Somebody is registered with it already.
    #[error("this profile belongs to {0} already; choose another --profile for another account")]
    HasAccount(String),
    /// A key that cannot be read.
    #[error("the profile's private keys cannot be read: {0}")]
    Keys(String),
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

/// An open profile. The lock on it is held until this is dropped.
#[derive(Debug)]
pub struct Profile {
    directory: PathBuf,
    database: Connection,
    _lock: File,
}

impl Profile {
    /// Opens a profile, and makes it where there is none.
    ///
    /// # Errors
    /// [`ProfileError`] when it cannot be used, is in use, or is of a later version.
    pub fn open(directory: &Path) -> Result<Self, ProfileError> {
        let files = |reason: io::Error| ProfileError::Files { path: directory.to_owned(), reason: reason.to_string() };
        make_private_directory(directory).map_err(files)?;
        let lock = open_private_file(&directory.join("lock")).map_err(files)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ProfileError::InUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => return Err(files(error)),
        }
        let path = directory.join("profile.db");
        // SQLite gives its own files the mode of the database.
        drop(open_private_file(&path).map_err(files)?);
        let mut database = Connection::open(&path)?;
        database.pragma_update(None, "journal_mode", "WAL")?;
        database.pragma_update(None, "synchronous", "FULL")?;
        database.pragma_update(None, "foreign_keys", "ON")?;
        database.pragma_update(None, "secure_delete", "ON")?;
        schema::migrate(&mut database)?;
        Ok(Self { directory: directory.to_owned(), database, _lock: lock })
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
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
#[path = "tests.rs"]
mod tests;
