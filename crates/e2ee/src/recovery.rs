//! What an account is recovered with when every device is lost (protocol section 5, "Recovery").

use std::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sealwire_protocol::Username;
use sealwire_protocol::signed::push_lp;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::code::RecoveryCode;
use crate::content::{open_with_iv, seal_with_iv};
use crate::linking::NotSealedHere;

const ID: &[u8] = b"sealwire/v1 backup-id";
const KEY: &[u8] = b"sealwire/v1 backup-key";
const LABEL: &[u8] = b"sealwire/v1 backup";
/// The first byte of a backup: how the rest is sealed.
const FORMAT: u8 = 1;

/// What follows from a recovery code and the account's name. Zeroized on drop; `Debug` shows nothing of it.
///
/// A device keeps these, not the code: they seal later backups, and open no other account's.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RecoverySecrets {
    id: [u8; 32],
    key: [u8; 32],
}

impl RecoverySecrets {
    /// Derives id and key: HKDF-SHA256 with lp(username) as salt over the code's bytes.
    pub fn of(code: &RecoveryCode, username: &Username) -> Self {
        let mut salt = Vec::with_capacity(4 + Username::MAX);
        push_lp(&mut salt, username.as_str().as_bytes());
        let kdf = Hkdf::<Sha256>::new(Some(&salt), code.as_bytes());
        let mut secrets = Self { id: [0; 32], key: [0; 32] };
        kdf.expand(ID, &mut secrets.id).expect("32 bytes are one block of the KDF");
        kdf.expand(KEY, &mut secrets.key).expect("32 bytes are one block of the KDF");
        secrets
    }

    /// As a device stored them: [`Self::backup_id`] and [`Self::backup_key`].
    pub fn from_parts(id: [u8; 32], key: [u8; 32]) -> Self {
        Self { id, key }
    }

    /// By what the server finds the backup. Whoever knows it may fetch the sealed backup: it is a secret too.
    pub fn backup_id(&self) -> &[u8; 32] {
        &self.id
    }

    /// What seals the backup: for the device's own storage.
    pub fn backup_key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Seals a backup's JSON: u8 1 || iv || AES-256-GCM(backupKey, iv, AAD = lp(label) || lp(username), JSON).
    pub fn seal<R: CryptoRng + ?Sized>(&self, rng: &mut R, username: &Username, json: &[u8]) -> Vec<u8> {
        let mut data = vec![FORMAT];
        data.extend_from_slice(&seal_with_iv(rng, &self.key, &aad(username), json));
        data
    }

    /// Opens a backup's JSON.
    ///
    /// # Errors
    /// [`NotSealedHere`]; nothing of the data is to be believed then.
    pub fn open(&self, username: &Username, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        let (format, sealed) = data.split_first().ok_or(NotSealedHere)?;
        let json = (*format == FORMAT).then(|| open_with_iv(&self.key, &aad(username), sealed));
        json.flatten().ok_or(NotSealedHere)
    }
}

fn aad(username: &Username) -> Vec<u8> {
    let mut aad = Vec::with_capacity(8 + LABEL.len() + Username::MAX);
    push_lp(&mut aad, LABEL);
    push_lp(&mut aad, username.as_str().as_bytes());
    aad
}

impl fmt::Debug for RecoverySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoverySecrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use getrandom::SysRng;
    use rand_core::UnwrapErr;

    const CODE: &str = "01AB2-CDE3F-GHJ4K-MNP5Q-RST6V-WXYZ0";

    fn alice() -> Username {
        "alice".parse().unwrap()
    }

    fn secrets(code: &str, username: &Username) -> RecoverySecrets {
        RecoverySecrets::of(&code.parse().unwrap(), username)
    }

    fn sealed() -> Vec<u8> {
        secrets(CODE, &alice()).seal(&mut UnwrapErr(SysRng), &alice(), b"{\"version\":3}")
    }

    #[test]
    fn the_code_alone_opens_the_backup_on_an_empty_machine() {
        let data = sealed();
        let again = secrets(&CODE.to_lowercase().replace('-', " "), &alice());
        assert_eq!(again.open(&alice(), &data).unwrap().as_slice(), b"{\"version\":3}");
        let stored = RecoverySecrets::from_parts(*again.backup_id(), *again.backup_key());
        assert!(stored.open(&alice(), &data).is_ok());
    }

    #[test]
    fn a_backup_opens_for_its_own_account_and_code_only() {
        let data = sealed();
        let bob: Username = "bob".parse().unwrap();
        assert_eq!(secrets(CODE, &bob).open(&bob, &data), Err(NotSealedHere));
        assert_eq!(secrets(CODE, &alice()).open(&bob, &data), Err(NotSealedHere));
        assert_eq!(secrets(&CODE.replace('W', "X"), &alice()).open(&alice(), &data), Err(NotSealedHere));
        assert_ne!(secrets(CODE, &alice()).backup_id(), secrets(CODE, &bob).backup_id());
    }

    #[test]
    fn no_byte_can_be_changed_or_left_out() {
        let (ours, data) = (secrets(CODE, &alice()), sealed());
        for i in 0..data.len() {
            let mut changed = data.clone();
            changed[i] ^= 1;
            assert_eq!(ours.open(&alice(), &changed), Err(NotSealedHere), "byte {i}");
            assert_eq!(ours.open(&alice(), &data[..i]), Err(NotSealedHere), "cut at {i}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", secrets(CODE, &alice())), "RecoverySecrets");
    }
}
