//! What opens a profile: a keyring of the system's, or a passphrase.

use std::fmt;

use zeroize::Zeroizing;

use crate::profile::ProfileError;

/// The fewest characters of a new passphrase.
pub const MIN_PASSPHRASE: usize = 8;

/// For what a passphrase is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// It is to be chosen; a person is asked twice.
    New,
    /// It was chosen before.
    Existing,
}

/// What a profile is locked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockedBy {
    /// The system's keyring.
    Keyring,
    /// A passphrase.
    Passphrase,
}

impl LockedBy {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::Passphrase => "passphrase",
        }
    }
}

/// Where secrets of a few bytes are kept for a person who is logged in.
pub trait Keyring {
    /// The secret that is stored under this name; `None` when there is none.
    ///
    /// # Errors
    /// Why the keyring does not answer, in words.
    fn get(&self, id: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String>;

    /// Stores a secret.
    ///
    /// # Errors
    /// Why the keyring does not take it, in words.
    fn set(&self, id: &str, secret: &[u8]) -> Result<(), String>;

    /// Removes a secret. One that is not there is no error.
    ///
    /// # Errors
    /// Why the keyring does not answer, in words.
    fn delete(&self, id: &str) -> Result<(), String>;
}

/// Who is asked when a profile is opened.
pub trait Unlock {
    /// The keyring to use, if one may be used at all.
    fn keyring(&self) -> Option<&dyn Keyring>;

    /// Asks for the passphrase.
    ///
    /// # Errors
    /// [`ProfileError::Locked`] when there is nobody to ask, with what to do about it.
    fn passphrase(&mut self, ask: Ask) -> Result<Zeroizing<String>, ProfileError>;
}

/// A passphrase that is known already; the keyring is not used. `Debug` hides it.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// This passphrase.
    pub fn new(passphrase: &str) -> Self {
        Self(Zeroizing::new(passphrase.to_owned()))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Unlock for Passphrase {
    fn keyring(&self) -> Option<&dyn Keyring> {
        None
    }

    fn passphrase(&mut self, _ask: Ask) -> Result<Zeroizing<String>, ProfileError> {
        Ok(self.0.clone())
    }
}
