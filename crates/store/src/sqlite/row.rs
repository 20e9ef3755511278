//! What a column holds, checked when it is read: a value that is not well formed means a damaged file.

use bytes::Bytes;
use rusqlite::types::{FromSql, FromSqlError, Type, ValueRef};
use rusqlite::{Error, Row};
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};

/// Ids and hashes.
fn array<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; N]> {
    row.get(column)
}

pub(super) fn device(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceId> {
    DeviceId::from_bytes(array(row, column)?).map_err(|error| malformed(column, Type::Blob, error))
}

pub(super) fn message(row: &Row<'_>, column: usize) -> rusqlite::Result<MessageId> {
    MessageId::from_bytes(array(row, column)?).map_err(|error| malformed(column, Type::Blob, error))
}

pub(super) fn username(row: &Row<'_>, column: usize) -> rusqlite::Result<Username> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| malformed(column, Type::Text, error))
}

pub(super) fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; 32]> {
    array(row, column)
}

pub(super) fn kid(row: &Row<'_>, column: usize) -> rusqlite::Result<Kid> {
    array(row, column).map(Kid)
}

pub(super) fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get_ref(column)?.as_blob().map(Bytes::copy_from_slice).map_err(Error::from)
}

/// A number that was written with [`bits`].
pub(super) fn from_bits(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

/// A number of which only equality matters in SQL: every value of 64 bits has a place.
pub(super) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// A number that SQL compares. Times and versions never come near the limit.
pub(super) fn ordered(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that is never negative.
pub(super) struct Unsigned(pub(super) u64);

impl FromSql for Unsigned {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Self).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(|Unsigned(number)| number)
}

fn malformed(column: usize, kind: Type, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(column, kind, Box::new(error))
}
