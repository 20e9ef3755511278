//! From SQLite's errors to the store's. Texts hold SQLite's own words and numbers, never a value of a row.

use rusqlite::{Error, ErrorCode};

use crate::StoreError;

/// What an error means while the store is running.
pub(super) fn running(error: Error) -> StoreError {
    match code(&error) {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(describe(&error)),
        Some(ErrorCode::DiskFull) => StoreError::Unavailable(format!("the disk is full ({})", describe(&error))),
        Some(_) => StoreError::Unavailable(describe(&error)),
        None => StoreError::Damaged(describe(&error)),
    }
}

/// Whether only this row is at fault, and SQLite has undone the statement and nothing else.
pub(super) fn is_of_one_row(error: &Error) -> bool {
    matches!(code(error), Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch))
}

/// SQLite's result code; `None` for a value that could not be read as what its column is for.
pub(super) fn code(error: &Error) -> Option<ErrorCode> {
    match error {
        Error::SqliteFailure(inner, _) | Error::SqlInputError { error: inner, .. } => Some(inner.code),
        _ => None,
    }
}

/// SQLite's words for a result code, or which kind of value a column held.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::SqliteFailure(inner, _) | Error::SqlInputError { error: inner, .. } => {
            format!("SQLite error {}: {}", inner.extended_code, rusqlite::ffi::code_to_str(inner.extended_code))
        }
        Error::FromSqlConversionFailure(column, kind, _) | Error::InvalidColumnType(column, _, kind) => {
            format!("column {column} holds an unexpected value of type {kind}")
        }
        _ => "a row is not of the shape that the schema gives it".to_owned(),
    }
}
