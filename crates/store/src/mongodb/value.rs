//! What a field of a document holds, checked when it is read: a value that is not well formed means damaged data.

use bytes::Bytes;
use mongodb::bson::{Binary, Bson, RawDocument, spec::BinarySubtype};
use mongodb::error::{Error, Result};
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};

use crate::{Fingerprint, MailKey};

/// Ids, hashes, sealed bytes.
pub(super) fn binary(bytes: impl Into<Vec<u8>>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.into() }
}

pub(super) fn device(id: &DeviceId) -> Binary {
    binary(*id.as_bytes())
}

pub(super) fn devices<'a>(ids: impl IntoIterator<Item = &'a DeviceId>) -> Vec<Binary> {
    ids.into_iter().map(device).collect()
}

/// What [`device`] has written.
pub(super) fn device_id(value: &Bson) -> Result<DeviceId> {
    let bytes = match value {
        Bson::Binary(binary) => binary.bytes.as_slice().try_into().ok(),
        _ => None,
    };
    let id = bytes.and_then(|bytes| DeviceId::from_bytes(bytes).ok());
    id.ok_or_else(|| Error::custom(Malformed("device")))
}

/// A number of which only equality matters to the database: every value of 64 bits has a place.
pub(super) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// A number that the database compares. Times and versions never come near the limit.
pub(super) fn ordered(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Names a copy: its message, the device that sent it, the device that it is for. The message goes first: its id begins
/// with the time (UUID version 7, mostly), so what is new lies on the same few pages of the index, whoever sent it.
pub(super) fn copy(key: &MailKey, of: &DeviceId) -> Binary {
    binary(copy_bytes(key, of.as_bytes()))
}

/// The range of names of all copies of one message.
pub(super) fn copies(key: &MailKey) -> (Binary, Binary) {
    (binary(copy_bytes(key, &[0; 16])), binary(copy_bytes(key, &[0xff; 16])))
}

fn copy_bytes(key: &MailKey, of: &[u8; 16]) -> Vec<u8> {
    [&key.message_id.as_bytes()[..], key.from_device.as_bytes(), of].concat()
}

/// What this program has not written so.
#[derive(Debug)]
pub(super) struct Malformed(pub(super) &'static str);

/// A document as it was read.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a RawDocument);

impl<'a> Fields<'a> {
    fn or_malformed<T, E>(field: &'static str, value: std::result::Result<T, E>) -> Result<T> {
        value.map_err(|_| Error::custom(Malformed(field)))
    }

    fn slice(self, field: &'static str) -> Result<&'a [u8]> {
        Self::or_malformed(field, self.0.get_binary(field)).map(|binary| binary.bytes)
    }

    pub(super) fn bytes(self, field: &'static str) -> Result<Bytes> {
        self.slice(field).map(Bytes::copy_from_slice)
    }

    pub(super) fn array<const N: usize>(self, field: &'static str) -> Result<[u8; N]> {
        Self::or_malformed(field, self.slice(field)?.try_into())
    }

    pub(super) fn device(self, field: &'static str) -> Result<DeviceId> {
        Self::or_malformed(field, DeviceId::from_bytes(self.array(field)?))
    }

    pub(super) fn message(self, field: &'static str) -> Result<MessageId> {
        Self::or_malformed(field, MessageId::from_bytes(self.array(field)?))
    }

    pub(super) fn kid(self, field: &'static str) -> Result<Kid> {
        self.array(field).map(Kid)
    }

    pub(super) fn username(self, field: &'static str) -> Result<Username> {
        Self::or_malformed(field, Self::or_malformed(field, self.0.get_str(field))?.parse())
    }

    pub(super) fn flag(self, field: &'static str) -> Result<bool> {
        Self::or_malformed(field, self.0.get_bool(field))
    }

    /// A number that was written with [`bits`].
    pub(super) fn raw_number(self, field: &'static str) -> Result<u64> {
        Self::or_malformed(field, self.0.get_i64(field)).map(i64::cast_unsigned)
    }

    /// A number that was written with [`ordered`].
    pub(super) fn number(self, field: &'static str) -> Result<u64> {
        Self::or_malformed(field, u64::try_from(Self::or_malformed(field, self.0.get_i64(field))?))
    }

    pub(super) fn has(self, field: &'static str) -> Result<bool> {
        Self::or_malformed(field, self.0.get(field)).map(|value| value.is_some())
    }

    /// A document in this one, if it is there.
    pub(super) fn inner(self, field: &'static str) -> Result<Option<Self>> {
        if !self.has(field)? {
            return Ok(None);
        }
        Self::or_malformed(field, self.0.get_document(field)).map(Self).map(Some)
    }

    /// A document in this one, which must be there.
    pub(super) fn part(self, field: &'static str) -> Result<Self> {
        self.inner(field)?.ok_or_else(|| Error::custom(Malformed(field)))
    }

    /// The documents of an array.
    pub(super) fn parts(self, field: &'static str) -> Result<Vec<Self>> {
        let all = Self::or_malformed(field, self.0.get_array(field))?;
        all.into_iter()
            .map(|value| {
                let value = Self::or_malformed(field, value)?;
                value.as_document().map(Self).ok_or_else(|| Error::custom(Malformed(field)))
            })
            .collect()
    }

    /// The ids of an array.
    pub(super) fn device_ids(self, field: &'static str) -> Result<Vec<DeviceId>> {
        let all = Self::or_malformed(field, self.0.get_array(field))?;
        all.into_iter()
            .map(|value| {
                let value = Self::or_malformed(field, value)?;
                let bytes = value.as_binary().and_then(|binary| binary.bytes.try_into().ok());
                let id = bytes.and_then(|bytes| DeviceId::from_bytes(bytes).ok());
                id.ok_or_else(|| Error::custom(Malformed(field)))
            })
            .collect()
    }

    /// What [`copy`] has written.
    pub(super) fn copy(self, field: &'static str) -> Result<(MailKey, DeviceId)> {
        let bytes: [u8; 48] = self.array(field)?;
        let id = |n: usize| bytes[16 * n..16 * (n + 1)].try_into().expect("a third of 48 bytes is 16");
        let message_id = Self::or_malformed(field, MessageId::from_bytes(id(0)))?;
        let from_device = Self::or_malformed(field, DeviceId::from_bytes(id(1)))?;
        let device = Self::or_malformed(field, DeviceId::from_bytes(id(2)))?;
        Ok((MailKey { from_device, message_id }, device))
    }

    pub(super) fn fingerprint(self) -> Result<Fingerprint> {
        Ok(Fingerprint { header: self.raw_number("header")?, content: self.raw_number("content")? })
    }
}
