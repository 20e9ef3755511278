//! What a new device and an old one tell each other by way of the server, which learns nothing from it (protocol section
//! 5, "Linking a device").

use std::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::code::LinkCode;
use crate::content::{open_with_iv, seal_with_iv};

const SLOT: &[u8] = b"sealwire/v1 link-slot";
const KEY: &[u8] = b"sealwire/v1 link-key";
const SLOT_LEN: usize = 16;

/// Who left the data of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The device that is to be linked.
    New = 1,
    /// The device that links it.
    Old = 2,
}

impl Side {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Sealed data that is not what it should be: another code, another slot or side, or changed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed data does not open with this code")]
pub struct NotSealedHere;

/// What follows from a linking code. Zeroized on drop; `Debug` shows nothing of it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct LinkSecrets {
    slot: [u8; SLOT_LEN],
    key: [u8; 32],
}

impl LinkSecrets {
    /// Derives slot and key: HKDF-SHA256 with an empty salt over the code's bytes.
    pub fn of(code: &LinkCode) -> Self {
        let kdf = Hkdf::<Sha256>::new(Some(b""), code.as_bytes());
        let mut secrets = Self { slot: [0; SLOT_LEN], key: [0; 32] };
        kdf.expand(SLOT, &mut secrets.slot).expect("16 bytes are within the KDF's reach");
        kdf.expand(KEY, &mut secrets.key).expect("32 bytes are within the KDF's reach");
        secrets
    }

    /// Where at the server the two devices meet.
    pub fn slot(&self) -> &[u8; SLOT_LEN] {
        &self.slot
    }

    /// Seals one side's JSON: iv || AES-256-GCM(linkKey, iv, AAD = slot || side, JSON).
    pub fn seal<R: CryptoRng + ?Sized>(&self, rng: &mut R, side: Side, json: &[u8]) -> Vec<u8> {
        seal_with_iv(rng, &self.key, &self.aad(side), json)
    }

    /// Opens one side's JSON.
    ///
    /// # Errors
    /// [`NotSealedHere`]; nothing of the data is to be believed then.
    pub fn open(&self, side: Side, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotSealedHere> {
        open_with_iv(&self.key, &self.aad(side), data).ok_or(NotSealedHere)
    }

    fn aad(&self, side: Side) -> [u8; SLOT_LEN + 1] {
        let mut aad = [side.number(); SLOT_LEN + 1];
        aad[..SLOT_LEN].copy_from_slice(&self.slot);
        aad
    }
}

impl fmt::Debug for LinkSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use getrandom::SysRng;
    use rand_core::UnwrapErr;

    fn secrets(code: &str) -> LinkSecrets {
        LinkSecrets::of(&code.parse().unwrap())
    }

    fn rng() -> UnwrapErr<SysRng> {
        UnwrapErr(SysRng)
    }

    const CODE: &str = "01AB2-CDE3F-GHJ4K-MNP5Q-RST6V-Z";

    #[test]
    fn each_side_reads_what_the_other_wrote() {
        let (new, old) = (secrets(CODE), secrets(&CODE.to_lowercase()));
        for side in [Side::New, Side::Old] {
            let data = new.seal(&mut rng(), side, b"{}");
            assert_eq!(old.open(side, &data).unwrap().as_slice(), b"{}");
        }
    }

    #[test]
    fn data_of_another_side_slot_or_code_does_not_open() {
        let ours = secrets(CODE);
        let data = ours.seal(&mut rng(), Side::New, b"{}");
        assert_eq!(ours.open(Side::Old, &data), Err(NotSealedHere));
        assert_eq!(secrets("11AB2-CDE3F-GHJ4K-MNP5Q-RST6V-Z").open(Side::New, &data), Err(NotSealedHere));
        let moved = LinkSecrets { slot: [9; SLOT_LEN], key: ours.key };
        assert_eq!(moved.open(Side::New, &data), Err(NotSealedHere));
    }

    #[test]
    fn no_byte_can_be_changed_or_left_out() {
        let ours = secrets(CODE);
        let data = ours.seal(&mut rng(), Side::Old, b"{\"username\":\"alice\"}");
        for i in 0..data.len() {
            let mut changed = data.clone();
            changed[i] ^= 1;
            assert_eq!(ours.open(Side::Old, &changed), Err(NotSealedHere), "byte {i}");
            assert_eq!(ours.open(Side::Old, &data[..i]), Err(NotSealedHere), "cut at {i}");
        }
        assert_eq!(ours.open(Side::Old, &[&data[..], &[0]].concat()), Err(NotSealedHere));
    }

    #[test]
    fn the_same_data_is_never_sealed_into_the_same_bytes() {
        let ours = secrets(CODE);
        assert_ne!(ours.seal(&mut rng(), Side::New, b"{}"), ours.seal(&mut rng(), Side::New, b"{}"));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", secrets(CODE)), "LinkSecrets");
    }
}
