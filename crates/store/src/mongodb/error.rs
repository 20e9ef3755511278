//! From the driver's errors to the store's. Texts hold the server's numbers and names of errors, never its messages: those
//! repeat values, and a URL has a password in it.

use mongodb::error::{Error, ErrorKind, WriteFailure};

use super::value::Malformed;
use crate::StoreError;

/// A value stands twice where it may stand once.
const DUPLICATE_KEY: i32 = 11_000;

/// What an error means while the store is running.
pub(super) fn running(error: Error) -> StoreError {
    match error.get_custom::<Malformed>() {
        Some(Malformed(field)) => {
            StoreError::Damaged(format!("the field {field:?} of a document is not as it should be"))
        }
        None => StoreError::Unavailable(describe(&error)),
    }
}

/// What happened, without a value of any document.
pub(super) fn describe(error: &Error) -> String {
    if let Some((code, name)) = code(error) {
        return format!("MongoDB error {code} ({name})");
    }
    match &*error.kind {
        ErrorKind::Io(cause) => format!("the connection failed ({})", cause.kind()),
        ErrorKind::ServerSelection { .. } => "no member of the replica set is reachable and primary".to_owned(),
        ErrorKind::ConnectionPoolCleared { .. } => "the connections to a member were given up".to_owned(),
        ErrorKind::Authentication { .. } => "MongoDB refuses user name or password".to_owned(),
        ErrorKind::InvalidTlsConfig { .. } => "the files for TLS cannot be used".to_owned(),
        ErrorKind::DnsResolve { .. } => "the names of the members cannot be resolved".to_owned(),
        ErrorKind::IncompatibleServer { .. } | ErrorKind::SessionsNotSupported => "this MongoDB is too old".to_owned(),
        ErrorKind::Transaction { .. } => "a transaction did not go through".to_owned(),
        _ => "MongoDB gave an answer that the driver does not understand".to_owned(),
    }
}

/// The server's number and name of an error.
fn code(error: &Error) -> Option<(i32, &str)> {
    match &*error.kind {
        ErrorKind::Command(command) => Some((command.code, &command.code_name)),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some((write.code, name(write.code_name.as_deref()))),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some((concern.code, &concern.code_name)),
        ErrorKind::InsertMany(many) => match (&many.write_concern_error, &many.write_errors) {
            (Some(concern), _) => Some((concern.code, &concern.code_name)),
            (None, Some(writes)) => writes.first().map(|write| (write.code, name(write.code_name.as_deref()))),
            (None, None) => None,
        },
        _ => None,
    }
}

fn name(name: Option<&str>) -> &str {
    name.unwrap_or("a write that was refused")
}

/// Whether a unique index has refused a write.
pub(super) fn is_duplicate(error: &Error) -> bool {
    code(error).is_some_and(|(code, _)| code == DUPLICATE_KEY)
}

/// Whether the number is that of a write that a unique index has refused.
pub(super) fn is_duplicate_code(code: i32) -> bool {
    code == DUPLICATE_KEY
}

/// Whether the server has answered with this number.
pub(super) fn has_code(error: &Error, wanted: i32) -> bool {
    code(error).is_some_and(|(code, _)| code == wanted)
}
