//! Base64 as the protocol writes it: RFC 4648 section 4, padded and canonical.

use std::borrow::Cow;
use std::fmt;

use base64_simd::{AsOut as _, STANDARD};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use crate::frames::RSA_BYTES;

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
        Base64(Cow::Owned(STANDARD.encode_to_string(bytes)))
    }

    /// Takes a text that is already Base64.
    ///
    /// # Errors
    /// [`Base64Error`] when it is not, or not canonical.
    pub fn from_text(text: Cow<'a, str>) -> Result<Self, Base64Error> {
        if STANDARD.check(text.as_bytes()).is_ok() { Ok(Self(text)) } else { Err(Base64Error) }
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
        STANDARD.decode_to_vec(self.0.as_bytes()).expect(CHECKED)
    }

    /// Gives the bytes to `read`, without an allocation where they are as few as those of a wrapped key.
    pub(crate) fn with_decoded<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        let mut room = [0; RSA_BYTES];
        if self.decoded_len() > room.len() {
            return read(&self.decode());
        }
        read(STANDARD.decode(self.0.as_bytes(), room.as_mut_slice().as_out()).expect(CHECKED))
    }

    /// The bytes of a field with a fixed length.
    ///
    /// # Errors
    /// [`Base64Error`] when there are not exactly `N`.
    pub fn decode_array<const N: usize>(&self) -> Result<[u8; N], Base64Error> {
        if self.decoded_len() != N {
            return Err(Base64Error);
        }
        let mut array = [0; N];
        STANDARD.decode(self.0.as_bytes(), array.as_mut_slice().as_out()).expect(CHECKED);
        Ok(array)
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Base64<'static> {
        Base64(Cow::Owned(self.0.into_owned()))
    }
}

/// Why no value fails to be decoded.
const CHECKED: &str = "checked when the value was made";

/// How long the text of 32 bytes is.
pub(crate) const DIGEST_TEXT: usize = 44;

/// Encodes 32 bytes without an allocation.
pub(crate) fn encode_digest<'a>(digest: &[u8; 32], text: &'a mut [u8; DIGEST_TEXT]) -> &'a str {
    STANDARD.encode_as_str(digest, text.as_mut_slice().as_out())
}

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
        serializer.serialize_str(&STANDARD.encode_to_string(&self.0))
    }
}

impl<const N: usize> Serialize for Array<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode_to_string(self.0))
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
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as STRICT;
    use proptest::prelude::*;
    use proptest::sample::Index;

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

    /// What another library says of a text. It refuses what is not canonical.
    fn decoded(text: &str) -> Result<Vec<u8>, Base64Error> {
        STRICT.decode(text).map_err(|_| Base64Error)
    }

    /// Long and short, since the library looks at many symbols at a time and at the last ones singly.
    #[test]
    fn each_byte_is_a_symbol_or_is_not() {
        let good = "A".repeat(200);
        for (byte, at) in (0..128).flat_map(|byte| (0..200).map(move |at| (byte, at))) {
            let mut text = good.clone();
            text.replace_range(at..=at, char::from(byte).encode_utf8(&mut [0; 4]));
            let text = Base64::from_text(text.as_str().into()).map(|text| text.decode());
            let symbol = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') || (byte == b'=' && at == 199);
            assert_eq!(text.is_ok(), symbol, "{byte} at {at}");
        }
        for text in ["é".repeat(100), format!("{good}éé"), format!("éé{good}")] {
            assert!(Base64::from_text(text.as_str().into()).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_the_library_decodes(text in "[A-Za-z0-9+/=]{0,12}") {
            let ours = Base64::from_text(text.as_str().into()).map(|text| text.decode());
            prop_assert_eq!(ours, decoded(&text));
        }

        #[test]
        fn a_damaged_text_is_taken_when_the_library_takes_it(
            bytes in proptest::collection::vec(any::<u8>(), 1..1_200),
            place: Index,
            from_end in 0..6_usize,
            by in "[A-Za-z0-9+/= é_-]{0,2}",
        ) {
            let good = STRICT.encode(&bytes);
            let near_end = good.len().saturating_sub(from_end).saturating_sub(1);
            for at in [place.index(good.len()), near_end] {
                let mut text = good.clone();
                text.replace_range(at..=at, &by);
                let ours = Base64::from_text(text.as_str().into()).map(|text| text.decode());
                prop_assert_eq!(ours, decoded(&text));
            }
        }

        #[test]
        fn what_is_encoded_is_what_the_library_encodes(bytes in proptest::collection::vec(any::<u8>(), 0..1_200)) {
            prop_assert_eq!(Base64::encode(&bytes).0, STRICT.encode(&bytes));
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
