//! What a person sees: conversations, what was said in them, and with whom.

use std::fmt;

use sealwire_protocol::frames::Status;
use sealwire_protocol::ids::{DeviceId, MessageId, Username};

/// How far a message has come, or that it came from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryState {
    /// It was delivered to this device: by somebody else, or by another device of one's own.
    Received,
    /// It lies in this device's outbox.
    Waiting,
    /// The server has it.
    Queued,
    /// A device of the addressee has it.
    Delivered,
    /// No device of the addressee took it in time.
    Expired,
    /// It was given up, and will not be sent.
    Failed,
}

impl EntryState {
    /// The word that is stored and exported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    /// The state that has this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Received, Self::Waiting, Self::Queued, Self::Delivered, Self::Expired, Self::Failed];
        all.into_iter().find(|state| state.name() == name)
    }

    /// Whether a status says less than is known: what has been delivered has not expired, whatever became of its copies for
    /// other devices, and `queued` is what a server says first.
    pub fn goes_back(self, status: Status) -> bool {
        match self {
            Self::Delivered => status != Status::Delivered,
            Self::Expired => status == Status::Queued,
            _ => false,
        }
    }

    /// What a status makes of a message's state, if anything. What was given up stays so.
    pub fn after(self, status: Status) -> Option<Self> {
        match (self, status) {
            (Self::Failed | Self::Delivered, _) => None,
            (_, Status::Queued) => Some(Self::Queued),
            (_, Status::Delivered) => Some(Self::Delivered),
            (_, Status::Expired) => Some(Self::Expired),
        }
    }
}

/// A message in a conversation. `Debug` does not show what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Names it in this profile. It says nothing of the order on screen.
    pub position: i64,
    /// The other person; oneself for notes to oneself.
    pub peer: Username,
    /// Who wrote it.
    pub from: Username,
    /// Whether that is oneself, on whatever device.
    pub own: bool,
    /// On which device it was written.
    pub from_device: DeviceId,
    /// Its id.
    pub message_id: MessageId,
    /// What it says; `None` when it is of a kind that this version does not know.
    pub text: Option<String>,
    /// When it was written, by the writer's clock, in milliseconds since 1970.
    pub timestamp: u64,
    /// How far it has come.
    pub state: EntryState,
    /// The device it was written on has been removed from its account since.
    pub from_removed_device: bool,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}: {} from {}, {:?})", self.position, self.message_id, self.from, self.state)
    }
}

/// A person and what was said with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// With whom; oneself for notes to oneself.
    pub peer: Username,
    /// How many of their messages were never shown.
    pub unread: u64,
    /// The last message, if there is one.
    pub last: Option<Entry>,
    /// What was decided about the person.
    pub contact: Contact,
}

/// What was decided about a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub name: Username,
    /// The safety number was compared.
    pub verified: bool,
    /// Nothing of theirs is kept or shown, and nothing is sent to them.
    pub blocked: bool,
    /// Their messages come without a sign.
    pub muted: bool,
    /// Whether one wants to hear of them.
    pub standing: Standing,
    /// The server shows another identity key than the one that is believed; nothing is sent until that is decided.
    pub changed_key: bool,
}

impl Contact {
    /// Of somebody about whom nothing was decided.
    pub fn stranger(name: Username) -> Self {
        Self { name, verified: false, blocked: false, muted: false, standing: Standing::Request, changed_key: false }
    }
}

/// Whether one wants to hear of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// They may have written; one never wrote to them, nor accepted them.
    Request,
    /// One wrote to them, or accepted them.
    Accepted,
}

/// The text in a message's body; `None` when it is of a kind that this version does not know.
pub fn text_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Content {
        Text { text: String },
    }

    serde_json::from_slice(body).ok().map(|Content::Text { text }| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_back_by_its_name() {
        for name in ["received", "waiting", "queued", "delivered", "expired", "failed"] {
            assert_eq!(EntryState::from_name(name).unwrap().name(), name);
        }
        assert_eq!(EntryState::from_name("lost"), None);
    }

    #[test]
    fn only_what_is_known_to_be_text_is_text() {
        assert_eq!(text_of(br#"{"kind":"text","text":"hi","more":1}"#).as_deref(), Some("hi"));
        for body in [&br#"{"kind":"poem","text":"hi"}"#[..], b"hi", b""] {
            assert_eq!(text_of(body), None);
        }
    }
}
