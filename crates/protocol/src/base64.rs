//! Base64 as the protocol writes it: RFC 4648 section 4, padded and canonical.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// A text that is no Base64, or holds another number of bytes than its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not canonical, padded Base64 (RFC 4648, section 4) of the expected length")]
pub struct Base64Error;

/// Bytes in their Base64 form, borrowed from a frame where possible.
///
/// The form is kept so that the server can pass ciphertext on without decoding and encoding it again. It is
/// canonical: two different texts are two different byte strings.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Base64<'a>(Cow<'a, str>);

impl<'a> Base64<'a> {
    /// Encodes bytes.
    pub fn encode(bytes: &[u8]) -> Base64<'static> {
        Base64(Cow::Owned(STANDARD.encode(bytes)))
    }

    /// Takes a text that is already Base64.
    ///
    /// # Errors
    /// [`Base64Error`] when it is not, or not canonical.
    pub fn from_text(text: Cow<'a, str>) -> Result<Self, Base64Error> {
        if is_canonical(text.as_bytes()) { Ok(Self(text)) } else { Err(Base64Error) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many bytes the text stands for.
    pub fn decoded_len(&self) -> usize {
        let padding = self.0.bytes().rev().take(2).filter(|b| *b == b'=').count();
        self.0.len() / 4 * 3 - padding
    }

    /// The bytes.
    pub fn decode(&self) -> Vec<u8> {
        STANDARD.decode(self.0.as_bytes()).expect("checked when the value was made")
    }

    /// Gives the bytes to `read`, without an allocation where they are as few as those of a wrapped key.
    pub(crate) fn with_decoded<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        // 512 bytes are 684 symbols, which the engine wants whole quanta for.
        let mut room = [0; 516];
        match STANDARD.decode_slice(self.0.as_bytes(), &mut room) {
            Ok(length) => read(&room[..length]),
            Err(_) => read(&self.decode()),
        }
    }

    /// The bytes of a field with a fixed length.
    ///
    /// # Errors
    /// [`Base64Error`] when there are not exactly `N`.
    pub fn decode_array<const N: usize>(&self) -> Result<[u8; N], Base64Error> {
        if self.decoded_len() != N {
            return Err(Base64Error);
        }
        decode_into_array(&self.0)
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Base64<'static> {
        Base64(Cow::Owned(self.0.into_owned()))
    }
}

/// How long the text of 32 bytes is.
pub(crate) const DIGEST_TEXT: usize = 44;

/// Encodes 32 bytes without an allocation.
pub(crate) fn encode_digest<'a>(digest: &[u8; 32], text: &'a mut [u8; DIGEST_TEXT]) -> &'a str {
    STANDARD.encode_slice(digest, text).expect("the room is of the right length");
    str::from_utf8(text).expect("Base64 is ASCII")
}

/// Decodes a text that stands for exactly `N` bytes, without an allocation for the short fields of a frame.
fn decode_into_array<const N: usize>(text: &str) -> Result<[u8; N], Base64Error> {
    // The engine wants room for whole quanta; the longest array of the protocol has 32 bytes.
    let mut room = [0; 48];
    if N > 32 {
        return STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Base64Error);
    }
    let length = STANDARD.decode_slice(text, &mut room).map_err(|_| Base64Error)?;
    room[..length].try_into().map_err(|_| Base64Error)
}

/// Whether a text is padded, canonical Base64: whole quanta, `=` only at the end, no stray bits before it.
fn is_canonical(text: &[u8]) -> bool {
    let symbols = match text {
        [head @ .., b'=', b'='] => head,
        [head @ .., b'='] => head,
        all => all,
    };
    let stray_bits = match text.len() - symbols.len() {
        0 => 0,
        1 => 0b11,
        _ => 0b1111,
    };
    text.len().is_multiple_of(4)
        && all_symbols(symbols)
        && symbols
            .last()
            .is_none_or(|last| ALPHABET.iter().position(|b| b == last).is_some_and(|v| v & stray_bits == 0))
}

/// Without a table and without a branch, so that the compiler looks at many bytes at a time: every ciphertext passes here.
fn all_symbols(text: &[u8]) -> bool {
    let within = |b: u8, first: u8, count: u8| b.wrapping_sub(first) < count;
    let is_symbol = |b: u8| within(b | 0x20, b'a', 26) | within(b, b'0', 10) | (b == b'+') | (b == b'/');
    text.iter().fold(true, |all, b| all & is_symbol(*b))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl fmt::Debug for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64({} bytes)", self.decoded_len())
    }
}

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Base64<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> de::Visitor<'de> for Text {
            type Value = Base64<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Base64")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Base64::from_text(Cow::Borrowed(text)).map_err(E::custom)
            }

            // A text with JSON escapes (`\/`) cannot be borrowed.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Base64::from_text(Cow::Owned(text.to_owned())).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Bytes of any length, decoded; Base64 in JSON.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Blob(pub Vec<u8>);

/// Bytes of a fixed length (nonces, hashes), decoded; Base64 in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Array<const N: usize>(pub [u8; N]);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl<const N: usize> fmt::Debug for Array<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array({N} bytes)")
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<const N: usize> Serialize for Array<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Base64::deserialize(deserializer).map(|text| Self(text.decode()))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Array<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Base64::deserialize(deserializer)?.decode_array().map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_canonical_form_is_taken() {
        for good in ["", "AA==", "AAA=", "AAAA", "+/+/"] {
            assert!(Base64::from_text(good.into()).is_ok(), "{good}");
        }
        for bad in [
            "A", "AA", "AAA", "AB==", "AAB=", "A===", "====", "=", "AA=A", "AAAA=", "AA==AAAA", "-_-_", "AA= ", "AA\n=",
        ] {
            assert!(Base64::from_text(bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_byte_is_a_symbol_or_is_not() {
        for byte in 0..=u8::MAX {
            assert_eq!(all_symbols(&[byte; 40]), ALPHABET.contains(&byte), "{byte}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_the_library_decodes(text in "[A-Za-z0-9+/=]{0,12}") {
            prop_assert_eq!(Base64::from_text(text.as_str().into()).is_ok(), STANDARD.decode(&text).is_ok());
        }

        #[test]
        fn what_is_lent_is_what_is_decoded(bytes in proptest::collection::vec(any::<u8>(), 0..1_200)) {
            let text = Base64::encode(&bytes);
            prop_assert_eq!(text.with_decoded(<[u8]>::to_vec), bytes);
        }

        #[test]
        fn a_digest_is_encoded_as_any_bytes_are(digest: [u8; 32]) {
            let (mut room, text) = ([0; DIGEST_TEXT], Base64::encode(&digest));
            prop_assert_eq!(encode_digest(&digest, &mut room), text.as_str());
        }

        #[test]
        fn length_is_known_without_decoding(bytes: Vec<u8>) {
            let text = Base64::encode(&bytes);
            prop_assert_eq!(text.decoded_len(), bytes.len());
            prop_assert_eq!(text.decode(), bytes);
        }
    }
}
