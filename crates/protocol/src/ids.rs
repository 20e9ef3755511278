//! Names and identifiers (protocol section 2). A value of one of these types is well formed.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::{Uuid, Variant};

use crate::base64::Base64;

/// Why a text is no identifier. The text itself is never repeated: it came from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not `[a-z0-9]` with single `.`, `_` or `-` between, 3 to 32 bytes.
    #[error("a username is 3 to 32 of a-z and 0-9, with single '.', '_' or '-' between")]
    Username,
    /// Not a lower-case, hyphenated UUID of version 4 or 7.
    #[error("an id is a lower-case, hyphenated UUID of version 7 or 4")]
    Uuid,
}

/// The name of an account: lower-case ASCII, 3 to 32 bytes, `[a-z0-9]` with single `.`, `_` or `-` between.
///
/// Cheap to clone. Whether a name is [reserved](Username::is_reserved) matters at registration only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(Arc<str>);

/// Names that could pass for the service itself; never given to a person.
const RESERVED: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "api",
    "bot",
    "channel",
    "everyone",
    "health",
    "help",
    "here",
    "hostmaster",
    "info",
    "mail",
    "me",
    "moderator",
    "noreply",
    "no-reply",
    "nobody-home",
    "null",
    "official",
    "operator",
    "owner",
    "postmaster",
    "root",
    "sealwire",
    "security",
    "self",
    "server",
    "service",
    "staff",
    "status",
    "support",
    "sysadmin",
    "system",
    "undefined",
    "webmaster",
];

impl Username {
    /// Shortest name, in bytes.
    pub const MIN: usize = 3;
    /// Longest name, in bytes.
    pub const MAX: usize = 32;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is kept for the service (`admin`, `support`, ...), so that nobody may register it.
    pub fn is_reserved(&self) -> bool {
        RESERVED.contains(&self.as_str())
    }
}

impl FromStr for Username {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bytes = text.as_bytes();
        let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let separator = |b: &u8| matches!(b, b'.' | b'_' | b'-');
        let ends = |b: Option<&u8>| b.is_some_and(alphanumeric);
        let good = (Self::MIN..=Self::MAX).contains(&bytes.len())
            && bytes.iter().all(|b| alphanumeric(b) || separator(b))
            && ends(bytes.first())
            && ends(bytes.last())
            && !bytes.windows(2).any(|pair| pair.iter().all(separator));
        good.then(|| Self(text.into())).ok_or(IdError::Username)
    }
}

// Sound: `Arc<str>` hashes and compares as the text does.
impl Borrow<str> for Username {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Username {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Username {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Makes an identifier readable from a JSON string by its `FromStr`.
macro_rules! deserialize_from_str {
    ($id:ty, $what:literal) => {
        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl de::Visitor<'_> for Text {
                    type Value = $id;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$id, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

deserialize_from_str!(Username, "a username");

/// Reads a UUID in the one form that the protocol knows: 36 lower-case characters, version 4 or 7.
fn parse_uuid(text: &str) -> Result<Uuid, IdError> {
    let canonical = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
    let uuid = canonical.then(|| Uuid::try_parse(text).ok()).flatten().ok_or(IdError::Uuid)?;
    let known = matches!(uuid.get_version_num(), 4 | 7) && uuid.get_variant() == Variant::RFC4122;
    known.then_some(uuid).ok_or(IdError::Uuid)
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $id:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $id(Uuid);

        impl $id {
            /// Writes the text into `room`.
            pub(crate) fn encode<'a>(&self, room: &'a mut [u8; 36]) -> &'a str {
                self.0.as_hyphenated().encode_lower(room)
            }

            /// The 16 bytes that are signed and stored.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// From the 16 bytes, as read back from a store.
            ///
            /// # Errors
            /// [`IdError::Uuid`] when they are no UUID of version 4 or 7.
            pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, IdError> {
                let uuid = Uuid::from_bytes(bytes);
                let known = matches!(uuid.get_version_num(), 4 | 7) && uuid.get_variant() == Variant::RFC4122;
                known.then_some(Self(uuid)).ok_or(IdError::Uuid)
            }

            /// A version 7 id (RFC 9562, section 5.7) from a time in milliseconds since 1970 and ten random bytes.
            pub fn new_v7(millis: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }
        }

        impl FromStr for $id {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_uuid(text).map(Self)
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.encode(&mut [0; 36]))
            }
        }

        deserialize_from_str!($id, $what);
    };
}

uuid_id!(
    /// One device of an account. Unique over all accounts, and never used again once removed.
    DeviceId,
    "a device id"
);
uuid_id!(
    /// One message, as its sending device named it. Unique per sending device.
    MessageId,
    "a message id"
);

/// The key id of a public key: SHA-256 of its SPKI DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kid(pub [u8; 32]);

impl Kid {
    /// The id of the key with this SPKI DER.
    pub fn of(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }

    /// The 32 bytes that are signed.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl Serialize for Kid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Base64::encode(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Kid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Base64::deserialize(deserializer)?.decode_array().map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_three_to_thirty_two_of_its_alphabet() {
        for good in ["bob", "a.b", "a-b_c.d", "0x0", &"a".repeat(32)] {
            assert_eq!(good.parse::<Username>().map(|u| u.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "ab", "Bob", "a..b", "a._b", ".ab", "ab.", "a b", "böb", "a@b.c", &"a".repeat(33)] {
            assert_eq!(bad.parse::<Username>(), Err(IdError::Username), "{bad}");
        }
    }

    #[test]
    fn names_of_the_service_are_reserved() {
        assert!("admin".parse::<Username>().is_ok_and(|u| u.is_reserved()));
        assert!("alice".parse::<Username>().is_ok_and(|u| !u.is_reserved()));
    }

    #[test]
    fn an_id_is_a_lower_case_hyphenated_uuid_of_version_four_or_seven() {
        for good in ["0198c0de-0000-7000-8000-0000000000a1", "f47ac10b-58cc-4372-a567-0e02b2c3d479"] {
            assert_eq!(good.parse::<DeviceId>().map(|d| d.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "0198C0DE-0000-7000-8000-0000000000A1",
            "0198c0de000070008000-0000000000a1",
            "0198c0de-0000-1000-8000-0000000000a1",
            "0198c0de-0000-7000-c000-0000000000a1",
            "00000000-0000-0000-0000-000000000000",
            "{0198c0de-0000-7000-8000-0000000000a1}",
        ] {
            assert_eq!(bad.parse::<MessageId>(), Err(IdError::Uuid), "{bad}");
        }
    }
}
