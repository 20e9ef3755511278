//! Encryption at rest: how single values of a profile are sealed, and where the key for that comes from.
//!
//! * `Vault` seals values under keys that are derived from the profile's one random key.
//! * The file `profile.key` holds that key wrapped: by a key in the system's keyring, or by one that Argon2id (RFC 9106)
//!   makes from a passphrase. [`Unlock`] says who is asked.
//!
//! Everything is AES-256-GCM-SIV (RFC 8452), which keeps its promises also if a nonce should ever repeat. What is only
//! read back has a random nonce, and its place as associated data: a value that is moved to another row or column does
//! not open. Names and key ids, which must be looked up and joined, are sealed under a key of their own with a fixed
//! nonce: equal ones look equal, and nothing else can be told from them. Names are padded, so that their length is not
//! seen either.
//!
//! (`SQLCipher`, which encrypts whole files, would need OpenSSL, and Cargo's features would carry it into the server's
//! SQLite.)

mod key_file;
mod os_keyring;
mod unlock;

use std::fmt;

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use getrandom::SysRng;
use hkdf::Hkdf;
use rand_core::{Rng, UnwrapErr};
use sealwire_protocol::ids::{Kid, Username};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::profile::ProfileError;

pub(crate) use key_file::KeyFile;
pub use os_keyring::OsKeyring;
pub use unlock::{Ask, Keyring, LockedBy, MIN_PASSPHRASE, Passphrase, Unlock};

const NONCE_LEN: usize = 12;
/// Names are padded with zeros to a multiple of this.
const NAME_BLOCK: usize = 32;

/// The one key that all of a profile is sealed with. Zeroized on drop.
#[derive(Clone)]
pub(crate) struct ProfileKey(Zeroizing<[u8; 32]>);

impl ProfileKey {
    fn random() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        UnwrapErr(SysRng).fill_bytes(&mut key[..]);
        Self(key)
    }

    fn derive(&self, use_: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let kdf = Hkdf::<Sha256>::new(None, &self.0[..]);
        kdf.expand(use_.as_bytes(), &mut key[..]).expect("32 bytes are one block of the KDF");
        key
    }
}

impl fmt::Debug for ProfileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProfileKey")
    }
}

/// Seals and opens the values of a profile. Its keys are zeroized on drop.
pub(crate) struct Vault {
    names: Aes256GcmSiv,
    values: Aes256GcmSiv,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    pub(crate) fn new(key: &ProfileKey) -> Self {
        Self {
            names: cipher(&key.derive("sealwire profile names")),
            values: cipher(&key.derive("sealwire profile values")),
        }
    }

    /// Seals a value for its place (table and column) and row.
    pub(crate) fn seal(&self, place: &str, row: &[u8], plain: &[u8]) -> Vec<u8> {
        seal(&self.values, &place_and_row(place, row), plain)
    }

    /// Opens what [`Self::seal`] sealed for the same place and row.
    pub(crate) fn open(&self, place: &str, row: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProfileError> {
        let opened = open(&self.values, &place_and_row(place, row), sealed);
        opened.ok_or_else(|| ProfileError::Database(format!("{place} has been damaged or moved")))
    }

    /// Like [`Self::open`], for text.
    pub(crate) fn open_text(&self, place: &str, row: &[u8], sealed: &[u8]) -> Result<Zeroizing<String>, ProfileError> {
        let text = std::str::from_utf8(&self.open(place, row, sealed)?).map(str::to_owned);
        text.map(Zeroizing::new).map_err(|_| ProfileError::Database(format!("{place} is no text")))
    }

    /// A name, always the same in this profile.
    pub(crate) fn name(&self, name: &Username) -> Vec<u8> {
        let mut padded = name.as_str().as_bytes().to_vec();
        padded.resize(padded.len().next_multiple_of(NAME_BLOCK), 0);
        self.fixed("name", &padded)
    }

    /// The name that [`Self::name`] sealed.
    pub(crate) fn open_name(&self, sealed: &[u8]) -> Result<Username, ProfileError> {
        let damaged = || ProfileError::Database("a name cannot be read back".to_owned());
        let aad = Payload { msg: sealed, aad: b"name" };
        let padded = self.names.decrypt(&Nonce::default(), aad).map_err(|_| damaged())?;
        let text = std::str::from_utf8(&padded).map_err(|_| damaged())?;
        text.trim_end_matches('\0').parse().map_err(|_| damaged())
    }

    /// A key's id, always the same in this profile.
    pub(crate) fn kid(&self, kid: &Kid) -> Vec<u8> {
        self.fixed("kid", kid.as_bytes())
    }

    fn fixed(&self, what: &str, plain: &[u8]) -> Vec<u8> {
        let payload = Payload { msg: plain, aad: what.as_bytes() };
        self.names.encrypt(&Nonce::default(), payload).expect("a name is far below the cipher's limit")
    }
}

fn cipher(key: &[u8; 32]) -> Aes256GcmSiv {
    Aes256GcmSiv::new(key.into())
}

fn place_and_row(place: &str, row: &[u8]) -> Vec<u8> {
    // Places hold no zero byte, so no two pairs give the same bytes.
    [place.as_bytes(), &[0], row].concat()
}

fn seal(cipher: &Aes256GcmSiv, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    UnwrapErr(SysRng).fill_bytes(&mut nonce);
    let mut sealed = nonce.to_vec();
    let payload = Payload { msg: plain, aad };
    let ciphertext = cipher.encrypt((&nonce).into(), payload).expect("a value is far below the cipher's limit");
    sealed.extend_from_slice(&ciphertext);
    sealed
}

fn open(cipher: &Aes256GcmSiv, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>()?;
    cipher.decrypt(nonce.into(), Payload { msg: ciphertext, aad }).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vault() -> Vault {
        Vault::new(&ProfileKey(Zeroizing::new([7; 32])))
    }

    #[test]
    fn equal_names_look_equal_and_show_neither_letters_nor_length() {
        let vault = vault();
        let names: Vec<Username> =
            ["bob", "bobby", "a-very-long-name-of-32-characters"].map(|n| n[..n.len().min(32)].parse().unwrap()).into();
        let sealed: Vec<_> = names.iter().map(|name| vault.name(name)).collect();
        assert!(sealed.iter().all(|one| one.len() == sealed[0].len()));
        assert_ne!(sealed[0], sealed[1]);
        for (name, sealed) in names.iter().zip(&sealed) {
            assert_eq!(vault.name(name), *sealed);
            assert_eq!(vault.open_name(sealed).unwrap(), *name);
        }
        let other = Vault::new(&ProfileKey(Zeroizing::new([8; 32])));
        assert_ne!(other.name(&names[0]), sealed[0]);
        assert!(other.open_name(&sealed[0]).is_err());
    }

    #[test]
    fn a_value_opens_at_its_own_place_only() {
        let vault = vault();
        let sealed = vault.seal("messages.body", b"row 1", b"words");
        assert_eq!(vault.open("messages.body", b"row 1", &sealed).unwrap().as_slice(), b"words");
        assert!(vault.open("messages.body", b"row 2", &sealed).is_err());
        assert!(vault.open("outbox.frame", b"row 1", &sealed).is_err());
        assert_ne!(vault.seal("messages.body", b"row 1", b"words"), sealed);
    }

    #[test]
    fn nothing_is_shown_by_debug() {
        assert_eq!(format!("{:?} {:?}", vault(), ProfileKey::random()), "Vault ProfileKey");
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(plain: Vec<u8>, at: usize, bit in 0_u8..8) {
            let vault = vault();
            let mut sealed = vault.seal("a", b"b", &plain);
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert!(vault.open("a", b"b", &sealed).is_err());
        }
    }
}
