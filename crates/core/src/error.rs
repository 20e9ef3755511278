//! What can go wrong, in words for the person who is to do something about it.

use std::time::Duration;

use sealwire_protocol::ErrorCode;
use sealwire_protocol::frames::ErrorFrame;
use sealwire_protocol::ids::Username;

use crate::backoff::asked;
use crate::enrolment::EnrolError;
use crate::handshake::ChallengeError;
use crate::pins::PinError;
use crate::storage::StorageError;

/// Why something could not be done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// What is kept on this machine.
    #[error(transparent)]
    Profile(#[from] StorageError),
    /// The server could not be reached, or did not stay; trying again later may help.
    #[error("{0}")]
    Connect(String),
    /// The server asks to come back later.
    #[error("the server takes no connections now; it asks to come back in {} s", .0.as_secs())]
    Busy(Duration),
    /// The server refused a request for good.
    #[error("the server refused: {message} ({code})")]
    Refused {
        /// Its code.
        code: ErrorCode,
        /// Its text.
        message: String,
    },
    /// The server ended the connection and wants no other one.
    #[error("{0}")]
    Closed(String),
    /// The server's challenge must not be answered.
    #[error("{0}; nothing was signed")]
    Challenge(#[from] ChallengeError),
    /// Somebody's keys are not what they were: this may be an attack.
    #[error("security: {reason} ({name}); nothing is sent to {name}")]
    Untrusted {
        /// Whose keys.
        name: Username,
        /// What is wrong with them.
        reason: PinError,
    },
    /// Nobody has this name.
    #[error("nobody on this server is called {0}")]
    UnknownUser(Username),
    /// The addressee has no device that could receive; for oneself: none but this one.
    #[error("{0} has no other device that could receive it")]
    NobodyToSendTo(Username),
    /// A text that does not fit into a message.
    #[error("a text of {0} bytes is too long for one message; at most {MAX_TEXT} bytes fit")]
    TooLong(usize),
    /// The message was refused and given up.
    #[error("the message was given up: {message} ({code})")]
    GivenUp {
        /// The server's code.
        code: ErrorCode,
        /// The server's text.
        message: String,
    },
    /// One has blocked this person.
    #[error("{0} is blocked; unblock {0} first, to write again")]
    Blocked(Username),
    /// This device is the account's no more.
    #[error(
        "this device was removed from the account, or the account was deleted or banned; what is stored here can still be \
         exported"
    )]
    Removed,
    /// The server does not let this device log in: it does not know it, or not any more. It does not tell which.
    #[error(
        "the server does not know this device (auth_failed): it was removed, the account was deleted, this is another \
         server, or the server was set back to a time before this device came. Start a device of the account that is left, \
         and link this machine anew with it; without one, recover the account by its recovery code; each in a new \
         --profile. What is stored here can still be read and exported"
    )]
    NotKnown,
    /// A device does not come to an account, or does not leave it.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The client has been stopped.
    #[error("the client has been stopped")]
    Stopped,
}

/// The longest text of a message, in bytes: sealed for 64 devices it still fits into a frame.
pub const MAX_TEXT: usize = 512 * 1024;

impl Error {
    /// Whether trying again later, with nothing changed, can help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Busy(_))
    }

    /// What this means for a log-in with a device that the server has let in before.
    #[must_use]
    pub fn at_log_in(self) -> Self {
        match self {
            Self::Refused { code: ErrorCode::AuthFailed, .. } => Self::NotKnown,
            other => other,
        }
    }

    /// What an `error` frame means that answers a log-in or a registration.
    pub fn of_entry(frame: ErrorFrame) -> Self {
        let ErrorFrame { code, message, retry_after_ms, .. } = frame;
        // A challenge that ran out and a code of a later version say nothing against the account.
        let passes = code.may_have_arrived()
            || matches!(code, ErrorCode::AuthTimeout | ErrorCode::SessionExpired | ErrorCode::Unknown);
        match retry_after_ms {
            _ if !passes => Self::Refused { code, message },
            Some(wait) => Self::Busy(asked(wait)),
            None => Self::Connect(format!("the server lets nobody in now: {message} ({code})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(code: ErrorCode, retry_after_ms: Option<u64>) -> Error {
        let json =
            serde_json::json!({ "type": "error", "code": code.name(), "message": "m", "retryAfterMs": retry_after_ms });
        match serde_json::from_value(json).unwrap() {
            sealwire_protocol::frames::ServerFrame::Error(frame) => Error::of_entry(*frame),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_log_in_that_came_too_late_is_tried_again() {
        for code in [
            ErrorCode::AuthTimeout,
            ErrorCode::SessionExpired,
            ErrorCode::Unknown,
            ErrorCode::ServerBusy,
            ErrorCode::StoreUnavailable,
            ErrorCode::Internal,
            ErrorCode::RateLimited,
        ] {
            assert!(entry(code, None).is_passing(), "{code}");
        }
    }

    #[test]
    fn a_log_in_that_is_refused_for_good_is_not() {
        for code in [ErrorCode::AuthFailed, ErrorCode::Banned, ErrorCode::UsernameTaken, ErrorCode::KeyInvalid] {
            assert!(!entry(code, Some(1)).is_passing(), "{code}");
        }
    }

    #[test]
    fn the_time_that_a_server_names_is_believed_up_to_an_hour() {
        assert!(matches!(entry(ErrorCode::ServerBusy, Some(u64::MAX)), Error::Busy(d) if d.as_secs() == 3_600));
        assert!(matches!(entry(ErrorCode::ServerBusy, Some(50)), Error::Busy(d) if d.as_millis() == 50));
    }
}
