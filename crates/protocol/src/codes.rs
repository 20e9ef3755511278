//! Error and close codes (protocol section 7): the only place where they are written. The tables of `docs/protocol.md`
//! are generated from here.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! error_codes {
    ($($code:ident, $name:literal, $meaning:literal, $advice:literal;)+) => {
        /// What an `error` frame says. A code never changes its meaning and never returns for another one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(
                #[doc = $meaning]
                #[serde(rename = $name)]
                $code,
            )+
            /// A code of a later version; clients treat it like a refusal.
            #[serde(other, skip_serializing)]
            Unknown,
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The code on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                    Self::Unknown => "unknown",
                }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$code => $meaning,)+
                    Self::Unknown => "a code of a later version",
                }
            }

            /// What a client does about it.
            pub fn advice(self) -> &'static str {
                match self {
                    $(Self::$code => $advice,)+
                    Self::Unknown => "treat it like a refusal",
                }
            }
        }
    };
}

error_codes! {
    BadRequest, "bad_request", "The frame is not JSON, or not of the shape that its type has.", "Mend the client; five within 60 s close the connection with 4400.";
    UnsupportedType, "unsupported_type", "The server does not know this `type`.", "Do without the feature; the server is older.";
    TooLarge, "too_large", "The message would exceed a frame on its way to the device.", "Send it as an encrypted file, or split it.";
    NotAuthenticated, "not_authenticated", "This frame needs a log-in first.", "Answer the challenge, then send it again.";
    AuthFailed, "auth_failed", "The log-in was not accepted: unknown name, unknown device or bad signature; which one is not told.", "Check name and device; try no more than a few times.";
    AuthTimeout, "auth_timeout", "The log-in came too late for its challenge.", "Connect again and answer at once.";
    SessionExpired, "session_expired", "The hour of this session is over and was not prolonged.", "Connect again.";
    UsernameTaken, "username_taken", "Somebody has, or had, this name.", "Choose another.";
    UsernameInvalid, "username_invalid", "The name is not of the form that names have, or is reserved.", "Choose another: 3 to 32 of a-z and 0-9, with single '.', '_' or '-' between.";
    KeyInvalid, "key_invalid", "A key, certificate, manifest or signature over one of them is not as the protocol says.", "Mend the client: RSA-4096, e = 65537, SPKI of 550 bytes, certificates in date.";
    ManifestConflict, "manifest_conflict", "The manifest does not follow the one that the server holds.", "Fetch the links between, check them, sign the next version.";
    UnknownUser, "unknown_user", "Nobody has this name.", "Check the name.";
    StaleDevices, "stale_devices", "The recipients are not the present devices and keys of the two people; `devices` lists them.", "Check the lists, seal the same body again under the same id.";
    TimestampOutOfRange, "timestamp_out_of_range", "The timestamp lies over 7 days back or over 5 minutes ahead.", "Correct the clock by `serverTime`, seal the same body again under the same id.";
    DuplicateConflict, "duplicate_conflict", "This message id was used for other bytes.", "Use a fresh id for every message.";
    RateLimited, "rate_limited", "Too many of these in a short time.", "Wait `retryAfterMs`, then send the same bytes again.";
    MailboxFull, "mailbox_full", "No device of the addressee can take the message: the mailbox is full.", "Keep it and try again when the addressee has been online.";
    Banned, "banned", "The account or address is banned.", "Speak to the operator.";
    LimitExceeded, "limit_exceeded", "A limit of this connection or account is reached.", "Ask for less; see the limits of `session`.";
    ServerBusy, "server_busy", "The server has more to do than it can now.", "Wait, then send the same bytes again.";
    StoreUnavailable, "store_unavailable", "The server cannot store now.", "Wait, then send the same bytes again.";
    Internal, "internal", "The server made a mistake; its log has more.", "Wait, then send the same bytes again.";
}

impl ErrorCode {
    /// Whether the message that was refused may have arrived all the same, so that the same bytes are to be sent again.
    pub fn may_have_arrived(self) -> bool {
        matches!(self, Self::RateLimited | Self::ServerBusy | Self::StoreUnavailable | Self::Internal)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! close_codes {
    ($($code:ident = $number:literal, $name:literal, $meaning:literal, $reconnect:literal;)+) => {
        /// Why a connection ends (WebSocket close codes; RFC 6455 section 7.4, and the protocol's own from 4400).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum CloseCode {
            $(
                #[doc = $meaning]
                $code = $number,
            )+
        }

        impl CloseCode {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The code of this number, if the protocol has it.
            pub fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$code),)+
                    _ => None,
                }
            }

            /// Its short name, which is the reason on the wire and the label of a metric.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$code => $meaning,)+
                }
            }

            /// Whether a client comes back by itself (with full jitter, 1 s doubling to 60 s).
            pub fn reconnect(self) -> bool {
                match self {
                    $(Self::$code => $reconnect,)+
                }
            }
        }
    };
}

close_codes! {
    Normal = 1000, "normal", "Done.", true;
    GoingAway = 1001, "going_away", "The other side is going away.", true;
    Unsupported = 1003, "unsupported_data", "Binary frames are not spoken here.", true;
    InvalidText = 1007, "invalid_text", "A text frame was not UTF-8.", true;
    TooLarge = 1009, "too_large", "A frame was over 1 MiB.", true;
    Restart = 1012, "restart", "The node is about to go.", true;
    Protocol = 4400, "protocol", "The WebSocket or the frames were not as the protocol says.", false;
    Authentication = 4401, "authentication", "The log-in failed, or too much came before it.", false;
    Revoked = 4403, "revoked", "The account is banned, or the device was removed.", false;
    SessionExpired = 4407, "session_expired", "The session was not prolonged.", true;
    Silent = 4408, "silent", "Nothing was heard for too long, also before the log-in.", true;
    Replaced = 4409, "replaced", "A newer connection of the same device took over.", false;
    SlowConsumer = 4410, "slow_consumer", "The peer did not read; its mail stays queued.", true;
    ClientTooOld = 4426, "client_too_old", "This client's version is no longer spoken.", false;
    Rate = 4429, "rate", "Too much in a short time, in spite of warnings.", true;
}

impl CloseCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// The table of error codes as `docs/protocol.md` shows it.
pub fn error_table() -> String {
    let rows = ErrorCode::ALL.iter().map(|code| format!("| `{code}` | {} | {} |\n", code.meaning(), code.advice()));
    format!("| code | meaning | what the client does |\n| --- | --- | --- |\n{}", rows.collect::<String>())
}

/// The table of close codes as `docs/protocol.md` shows it.
pub fn close_table() -> String {
    let yes_no = |yes| if yes { "yes" } else { "no" };
    let rows = CloseCode::ALL.iter().map(|code| {
        let (number, name, meaning, again) = (code.number(), code.name(), code.meaning(), yes_no(code.reconnect()));
        format!("| {number} | `{name}` | {meaning} | {again} |\n")
    });
    format!("| code | name | meaning | reconnect |\n| --- | --- | --- | --- |\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_they_are_named() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
        assert_eq!(serde_json::from_str::<ErrorCode>("\"of_tomorrow\"").unwrap(), ErrorCode::Unknown);
    }

    #[test]
    fn only_the_named_closes_ask_a_client_to_stay_away() {
        let stay_away = |n: u16| (4400..=4406).contains(&n) || n == 4409 || n == 4426;
        for code in CloseCode::ALL.iter() {
            assert_eq!(code.reconnect(), !stay_away(code.number()), "{code:?}");
            assert_eq!(CloseCode::from_number(code.number()), Some(*code));
        }
    }
}
