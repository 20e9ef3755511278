//! What a client tells.

use std::ops::RangeInclusive;

use sealwire_protocol::frames::Status;
use sealwire_protocol::ids::{DeviceId, MessageId, Username};

use crate::chain::Fork;
use crate::error::Error;
use crate::pins::PinError;

/// A message for the person.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub(super) position: i64,
    /// Who wrote it.
    pub from: Username,
    /// On which device.
    pub from_device: DeviceId,
    /// To whom it was written: oneself, or somebody else when it comes from an own device.
    pub to: Username,
    /// Its id.
    pub message_id: MessageId,
    /// Its number in the conversation, from that device.
    pub counter: u64,
    /// When it was written, by the writer's clock, in milliseconds since 1970.
    pub timestamp: u64,
    /// The text; `None` when it is of a kind that this version does not know.
    pub text: Option<String>,
    /// The device has been removed from the account since.
    pub from_removed_device: bool,
    /// A stranger's: one never wrote to them, nor accepted them.
    pub request: bool,
    /// Its writer is muted: it comes without a sign.
    pub muted: bool,
}

impl Message {
    /// Names it in the storage.
    pub fn position(&self) -> i64 {
        self.position
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message({} from {}, counter {})", self.message_id, self.from, self.counter)
    }
}

/// What a client has to tell.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message, in the order of its conversation. Say [`Command::Shown`](super::Command::Shown) when the person
    /// has seen it.
    Message(Message),
    /// Messages with these counters may be missing.
    Missing {
        /// Whose.
        from: Username,
        /// In which conversation.
        to: Username,
        /// Which.
        counters: RangeInclusive<u64>,
    },
    /// What has become of a message that was sent.
    Status {
        /// Which.
        message_id: MessageId,
        /// Queued, delivered or expired.
        status: Status,
    },
    /// Something is wrong with somebody's keys or history: perhaps an attack.
    Alarm(Alarm),
    /// A message arrived that could not be opened; it is kept as failed.
    Unreadable {
        /// Whose it claims to be.
        from: Username,
        /// Its id.
        message_id: MessageId,
        /// What did not hold.
        reason: String,
    },
    /// So many messages for this device were lost: its mailbox was full, or they waited there for longer than the server
    /// keeps them.
    MailboxOverflow(u64),
    /// A device is written to with a key that should have been replaced so many days ago: it has been away.
    OldKey {
        /// Whose device.
        name: Username,
        /// Days since the key's end.
        days: u64,
    },
    /// Somebody's devices are others than before; one's own name too.
    DevicesChanged {
        /// Whose.
        name: Username,
        /// Which came in.
        added: Vec<DeviceId>,
        /// Which went.
        removed: Vec<DeviceId>,
        /// Whether they are one's own.
        own: bool,
    },
    /// Somebody who is watched came or went, as far as they let others see it. Of no meaning once the connection is lost.
    Presence {
        /// Who.
        name: Username,
        /// Whether a device of theirs is connected.
        online: bool,
    },
    /// Somebody is typing, or was a moment ago: it is told again every few seconds for as long as it lasts.
    Typing {
        /// Who.
        from: Username,
    },
    /// The client is logged in.
    Online,
    /// The connection is lost; the client comes back by itself.
    Offline(Error),
}

/// A security warning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// The server's answer for a name contradicts what is known.
    #[error("the keys shown for {name} are refused: {reason}")]
    Keys {
        /// Whose.
        name: Username,
        /// Why.
        reason: PinError,
    },
    /// A device wrote two histories.
    #[error("a device of {from} has written two histories: {fork:?} at message {counter}")]
    Fork {
        /// Whose device.
        from: Username,
        /// Where.
        counter: u64,
        /// How.
        fork: Fork,
    },
    /// A message is sealed to a key of this device that was replaced over nine days before: its sender was shown old keys.
    #[error("{from} has been shown a key of this device that was replaced long before")]
    OldKeyUsed {
        /// Who.
        from: Username,
    },
    /// Somebody believes in a list of devices that the server does not show here.
    #[error("{from} has been shown other devices of {of} than this device has")]
    OtherManifest {
        /// Who.
        from: Username,
        /// Whose list.
        of: Username,
    },
}
