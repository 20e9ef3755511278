//! The words that the broker's labels may have.

use sealwire_protocol::{CloseCode, ErrorCode};

use super::Label;

/// A label with its values: an enum, with a word for each.
///
/// ```
/// sealwire_actors::label! {
///     /// A colour.
///     pub enum Colour: "colour";
///     #[doc = "Like blood."]
///     Red = "red",
/// }
/// ```
#[macro_export]
macro_rules! label {
    (
        $(#[$attribute:meta])*
        $visible:vis enum $Name:ident: $label:literal;
        $( #[doc = $meaning:literal] $Value:ident = $word:literal, )+
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visible enum $Name { $( #[doc = $meaning] $Value, )+ }

        impl $crate::metrics::Label for $Name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$( Self::$Value, )+];

            fn word(self) -> &'static str {
                match self { $( Self::$Value => $word, )+ }
            }
        }
    };
}

label! {
    /// What a message's sender was told first.
    pub(crate) enum FirstStatus: "status";
    #[doc = "Handed over and acknowledged."]
    Delivered = "delivered",
    #[doc = "Stored, or missed by a device whose mailbox is full while another one has it."]
    Queued = "queued",
    #[doc = "Accepted, and then refused: the store did not take it."]
    Refused = "refused",
}

label! {
    /// Why a copy went to the store.
    pub(crate) enum Stored: "cause";
    #[doc = "Its device has no session here."]
    Away = "away",
    #[doc = "Its device's mailbox holds earlier mail, or some is on its way there."]
    Behind = "behind",
    #[doc = "Too much was in flight to its device already."]
    Full = "full",
    #[doc = "It was in flight when a later one had to be stored, in a cluster: what is stored must not be read without it."]
    Before = "before",
    #[doc = "Its device did not acknowledge it in time."]
    Silent = "silent",
    #[doc = "It was in flight to a device whose session ended."]
    Ended = "ended",
    #[doc = "Another node, at which its device was, has not taken it, or has not answered in time."]
    Elsewhere = "elsewhere",
    #[doc = "It repeats one that is, or was, on its way to the store."]
    Repeat = "repeat",
}

label! {
    /// What became of a copy that went to the store.
    pub(crate) enum StoredAs: "outcome";
    #[doc = "The store holds it now."]
    New = "stored",
    #[doc = "The store held it already."]
    Known = "repeat",
    #[doc = "It is not known to be held; its sender sends it again."]
    Failed = "failed",
    #[doc = "The spool had no room for it."]
    NoRoom = "no_room",
}

label! {
    /// A limit that was hit.
    pub(crate) enum Limit: "limit";
    #[doc = "Messages of a user in a minute."]
    Messages = "messages",
    #[doc = "Frames of a connection in a second."]
    Frames = "frames",
    #[doc = "Signals of a connection in a minute."]
    Signals = "signals",
    #[doc = "Everything else that is counted: look-ups, devices, links, rotations, backups, changes of what is shared."]
    Others = "others",
}

label! {
    /// What became of signature checks that were asked for.
    pub(crate) enum Verified: "outcome";
    #[doc = "They were made."]
    Checked = "checked",
    #[doc = "No thread came free in time, or too many waited."]
    Busy = "busy",
}

/// What became of a log-in, a first log-in of a device, or a registration: accepted, or the error that it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogIn {
    Accepted,
    Refused(ErrorCode),
}

impl Label for LogIn {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[
        Self::Accepted,
        Self::Refused(ErrorCode::AuthFailed),
        Self::Refused(ErrorCode::AuthTimeout),
        Self::Refused(ErrorCode::KeyInvalid),
        Self::Refused(ErrorCode::UsernameInvalid),
        Self::Refused(ErrorCode::UsernameTaken),
        Self::Refused(ErrorCode::LimitExceeded),
        Self::Refused(ErrorCode::ServerBusy),
        Self::Refused(ErrorCode::StoreUnavailable),
        Self::Refused(ErrorCode::Internal),
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused(code) => code.name(),
        }
    }
}

impl Label for ErrorCode {
    const NAME: &'static str = "code";
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Label for CloseCode {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}
