//! Public keys (protocol section 2): RSA-4096 with e = 65537 in the rsaEncryption form of SPKI, and no other.

use std::fmt;
use std::sync::Arc;

use crate::ids::Kid;

/// Everything of the SPKI before the modulus; its bytes are the same for every key that is taken.
///
/// SEQUENCE (546) { SEQUENCE (13) { OID rsaEncryption, NULL }, BIT STRING (527) { SEQUENCE (522) { INTEGER (513) 00
const PREFIX: [u8; 33] = [
    0x30, 0x82, 0x02, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    0x03, 0x82, 0x02, 0x0f, 0x00, 0x30, 0x82, 0x02, 0x0a, 0x02, 0x82, 0x02, 0x01, 0x00,
];
/// What follows the modulus: INTEGER 65537.
const SUFFIX: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
/// SEQUENCE { OID rsaEncryption, NULL }, in which every RSA key of whatever size begins.
const ALGORITHM: &[u8] = PREFIX.split_at(4).1.split_at(15).0;

/// Why bytes are no public key of this protocol. The bytes themselves are never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the DER of an RSA key in the rsaEncryption form.
    #[error("a key is SPKI DER in the rsaEncryption form, 550 bytes")]
    Form,
    /// An RSA key of another size.
    #[error("a key has a modulus of 4096 bits, this one has {bits}")]
    Size {
        /// The size found, in bits.
        bits: usize,
    },
    /// An RSA-4096 key with a public exponent that is not 65537.
    #[error("a key has the public exponent 65537")]
    Exponent,
    /// An even modulus: no product of two primes.
    #[error("a modulus is odd")]
    EvenModulus,
}

/// A public key: the 550 bytes of its SPKI DER. Cheap to clone; a value has the right form, size and exponent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Spki(Arc<[u8]>);

impl Spki {
    /// Length of the DER, in bytes.
    pub const LEN: usize = PREFIX.len() + Self::MODULUS_LEN + SUFFIX.len();
    /// Length of the modulus, in bytes; also that of every signature and wrap.
    pub const MODULUS_LEN: usize = 512;

    /// Reads a public key.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, KeyError> {
        let modulus = der.strip_prefix(&PREFIX).and_then(|rest| rest.strip_suffix(&SUFFIX));
        let Some(modulus) = modulus.filter(|m| m.len() == Self::MODULUS_LEN) else { return Err(diagnose(der)) };
        if modulus[0] & 0x80 == 0 {
            return Err(KeyError::Form);
        }
        if modulus[Self::MODULUS_LEN - 1] & 1 == 0 {
            return Err(KeyError::EvenModulus);
        }
        Ok(Self(der.into()))
    }

    /// The SPKI DER.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The modulus, big-endian.
    pub fn modulus(&self) -> &[u8] {
        &self.0[PREFIX.len()..PREFIX.len() + Self::MODULUS_LEN]
    }

    /// The key's id.
    pub fn kid(&self) -> Kid {
        Kid::of(&self.0)
    }
}

impl fmt::Debug for Spki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spki({:?})", self.kid())
    }
}

/// Names what keeps bytes from being a key of ours.
fn diagnose(der: &[u8]) -> KeyError {
    let Some((modulus, exponent)) = rsa_integers(der) else { return KeyError::Form };
    let leading_zeros = modulus.first().map_or(0, |b| b.leading_zeros() as usize);
    match modulus.len() * 8 - leading_zeros {
        bits if bits != Spki::MODULUS_LEN * 8 => KeyError::Size { bits },
        _ if exponent != &SUFFIX[2..] => KeyError::Exponent,
        _ => KeyError::Form,
    }
}

/// Modulus (without its sign byte) and exponent of an RSA key of any size.
fn rsa_integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (spki, []) = element(der, 0x30)? else { return None };
    let (bits, []) = element(spki.strip_prefix(ALGORITHM)?, 0x03)? else { return None };
    let (key, []) = element(bits.strip_prefix(&[0])?, 0x30)? else { return None };
    let (modulus, rest) = element(key, 0x02)?;
    let (exponent, []) = element(rest, 0x02)? else { return None };
    Some((modulus.strip_prefix(&[0]).unwrap_or(modulus), exponent))
}

/// Contents of the DER element with this tag at the front, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der.strip_prefix(&[tag])? {
        [length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Vec<u8> {
        let modulus = [0xc5; Spki::MODULUS_LEN];
        [&PREFIX[..], &modulus, &SUFFIX].concat()
    }

    fn of_size(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, contents: &[u8]| {
            let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
            [&[tag, 0x82, length[0], length[1]], contents].concat()
        };
        let modulus = wrap(0x02, &[&[0], modulus].concat());
        let exponent = [&[0x02, u8::try_from(exponent.len()).unwrap()], exponent].concat();
        let bits = [&[0], &wrap(0x30, &[modulus, exponent].concat())[..]].concat();
        wrap(0x30, &[ALGORITHM, &wrap(0x03, &bits)].concat())
    }

    #[test]
    fn the_one_form_of_key_is_taken() {
        let der = key();
        assert_eq!(of_size(&[0xc5; 512], &[1, 0, 1]), der);
        let spki = Spki::parse(&der).unwrap();
        assert_eq!(spki.as_bytes(), der);
        assert_eq!(spki.modulus(), [0xc5; 512]);
        assert_eq!(der.len(), Spki::LEN);
        assert_eq!(Spki::LEN, 550);
    }

    #[test]
    fn another_size_is_named() {
        for bits in [1024, 2048, 3072, 4088, 8192] {
            let der = of_size(&vec![0x81; bits / 8], &[1, 0, 1]);
            assert_eq!(Spki::parse(&der), Err(KeyError::Size { bits }));
        }
        let mut short = key();
        short[PREFIX.len()] = 0x7f;
        assert_eq!(Spki::parse(&short), Err(KeyError::Form), "a modulus of 4095 bits has no sign byte in DER");
    }

    #[test]
    fn another_exponent_is_named() {
        for exponent in [&[3][..], &[1], &[17], &[1, 0, 3], &[1, 0, 0, 0, 1]] {
            assert_eq!(Spki::parse(&of_size(&[0xc5; 512], exponent)), Err(KeyError::Exponent));
        }
    }

    #[test]
    fn an_even_modulus_is_refused() {
        let mut der = key();
        der[PREFIX.len() + Spki::MODULUS_LEN - 1] = 0xc4;
        assert_eq!(Spki::parse(&der), Err(KeyError::EvenModulus));
    }

    #[test]
    fn bytes_of_another_form_are_refused() {
        let pss_form = {
            let mut der = key();
            der[16] = 0x0a;
            der
        };
        let longer = [key(), vec![0]].concat();
        for bad in [&[][..], &[0x30], &key()[..549], &longer, &pss_form, &[0xff; 550]] {
            assert_eq!(Spki::parse(bad), Err(KeyError::Form));
        }
    }

    #[test]
    fn every_changed_byte_outside_the_modulus_is_refused() {
        for at in (0..PREFIX.len()).chain(Spki::LEN - SUFFIX.len()..Spki::LEN) {
            let mut der = key();
            der[at] ^= 0x01;
            assert!(Spki::parse(&der).is_err(), "byte {at}");
        }
    }
}
