//! The system's own keyring: the Secret Service of a Linux desktop (over D-Bus, without a C library), the Keychain of macOS, the
//! Credential Manager of Windows.

use zeroize::Zeroizing;

use super::unlock::Keyring;

/// Under what the entries of all profiles stand; each has its own id.
const SERVICE: &str = "sealwire";

/// The keyring of whoever is logged in, if one answers: a machine without a desktop has none.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsKeyring;

impl Keyring for OsKeyring {
    fn get(&self, id: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        match entry(id)?.get_secret() {
            Ok(secret) => Ok(Some(Zeroizing::new(secret))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(words(&error)),
        }
    }

    fn set(&self, id: &str, secret: &[u8]) -> Result<(), String> {
        entry(id)?.set_secret(secret).map_err(|error| words(&error))
    }

    fn delete(&self, id: &str) -> Result<(), String> {
        match entry(id)?.delete_credential() {
            Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
            Err(error) => Err(words(&error)),
        }
    }
}

fn entry(id: &str) -> Result<keyring::Entry, String> {
    keyring::Entry::new(SERVICE, id).map_err(|error| words(&error))
}

fn words(error: &keyring::Error) -> String {
    match error {
        keyring::Error::NoDefaultStore => "no keyring answers".to_owned(),
        error => format!("the keyring answers: {error}"),
    }
}
