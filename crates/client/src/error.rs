//! What can go wrong: the core's errors, into which a profile's own are packed.

use sealwire_core::storage::StorageError;

use crate::profile::ProfileError;

pub use sealwire_core::error::{Error, MAX_TEXT};

impl From<ProfileError> for StorageError {
    fn from(error: ProfileError) -> Self {
        Self::new(error)
    }
}

impl From<ProfileError> for Error {
    fn from(error: ProfileError) -> Self {
        Self::Profile(error.into())
    }
}
