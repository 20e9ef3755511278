//! How the program ends: a sentence for the person, a number for the script.

use std::fmt;
use std::process::ExitCode;

use sealwire_client::Error;
use sealwire_client::enrol::EnrolError;

/// The exit codes, as `--help` and README list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Failed = 1,
    Usage = 2,
    NoConnection = 3,
    Refused = 4,
    TimedOut = 5,
    Security = 6,
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    text: String,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::new(Code::Failed, text)
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code as u8)
    }

    /// The same, with how to go on.
    pub(crate) fn and(self, advice: &str) -> Self {
        Self { text: format!("{}; {advice}", self.text), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(code_of(&error), error.to_string())
    }
}

impl From<sealwire_client::profile::ProfileError> for Failure {
    fn from(error: sealwire_client::profile::ProfileError) -> Self {
        Error::from(error).into()
    }
}

pub(crate) fn code_of(error: &Error) -> Code {
    match error {
        Error::Profile(_) | Error::NobodyToSendTo(_) | Error::Blocked(_) | Error::Stopped => Code::Failed,
        Error::TooLong(_) => Code::Usage,
        Error::Connect(_) | Error::Busy(_) => Code::NoConnection,
        Error::Refused { .. }
        | Error::Closed(_)
        | Error::Removed
        | Error::NotKnown
        | Error::UnknownUser(_)
        | Error::GivenUp { .. } => Code::Refused,
        Error::Enrol(error) if error.is_security() => Code::Security,
        Error::Enrol(EnrolError::WrongCode(_) | EnrolError::NotLetIn(_)) => Code::Refused,
        Error::Enrol(_) => Code::Failed,
        Error::Challenge(_) | Error::Untrusted { .. } => Code::Security,
    }
}
