//! What a client keeps: the contract between [`Core`](crate::Core) and whatever holds its data.
//!
//! Every method is synchronous, and every change is **one transaction that is durable when the method returns**: after a crash
//! it has happened as a whole or not at all. Everything that a client promises to a server or to a person hangs on this: an
//! acknowledgement is sent after [`Storage::take_in`], a message after [`Storage::store_sealed`].
//!
//! A program keeps it in SQLite. A browser does so as well, over synchronous access handles of the origin's private file
//! system, which exist in workers: the client's logic runs in one. [`MemoryStorage`] is for tests, and for clients that are to
//! keep nothing. [`conformance`] holds what is said here, and runs on each of them.

pub mod conformance;
mod memory;

use std::fmt;
use std::sync::Arc;

use sealwire_protocol::frames::{Delivered, Keys, Status, WrapFrame};
use sealwire_protocol::ids::{DeviceId, Kid, MessageId, Username};
use sealwire_protocol::spki::Spki;
use zeroize::Zeroizing;

use crate::chain::{Link, Neighbours};
use crate::conversation::Contact;
use crate::handover::Pin;
use crate::pins::Person;

pub use memory::MemoryStorage;

/// What a storage says that failed: its own error, which the core hands on and does not look into.
#[derive(Debug, Clone)]
pub struct StorageError(Arc<dyn std::error::Error + Send + Sync>);

impl StorageError {
    /// Of the storage's own error.
    pub fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }

    /// The storage's own error, if it is of this type.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for StorageError {}

type Result<T> = std::result::Result<T, StorageError>;

/// A registered account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub username: Username,
    /// This device.
    pub device: DeviceId,
    /// The server's address.
    pub server: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, {})", self.username, self.device)
    }
}

/// A wrap key of this device, without its private half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCert {
    /// Its id.
    pub kid: Kid,
    /// Its certificate; `None` before a registration was prepared.
    pub cert: Option<WrapFrame>,
    /// Whether the server has accepted it.
    pub accepted: bool,
    /// When the server accepted a later one, in milliseconds since 1970.
    pub replaced_at: Option<u64>,
}

/// A message that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: Username,
    /// From which device.
    pub from_device: DeviceId,
    /// The conversation: to whom it was sent.
    pub to: Username,
    /// Its place in the chain of that device in that conversation.
    pub link: Link,
    /// When it was sealed, in milliseconds since 1970.
    pub timestamp: u64,
    /// Whether it is content for a person, not control between clients.
    pub is_content: bool,
    /// What it says. Not shown by `Debug`.
    pub body: Body,
    /// Whether the sending device has been removed since.
    pub from_removed_device: bool,
}

/// The content of a message; `Debug` shows its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// What becomes of a delivered envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// It was opened: message, replay mark and counter are stored.
    Opened(Box<Received>),
    /// It does not open, for good: stored as failed, without a replay mark.
    Failed {
        /// Whose it claims to be.
        from: Username,
        /// From which device, as claimed.
        from_device: DeviceId,
        /// Its id.
        message_id: MessageId,
        /// Its time, in milliseconds since 1970.
        timestamp: u64,
        /// What did not hold.
        reason: String,
    },
    /// Its sender or its time cannot be decided on yet: stored as it came.
    Deferred(Box<Delivered>),
}

/// A message that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Names it in this storage.
    pub position: i64,
    /// Its sender is blocked: what it says was not kept, and nothing of it is for the person.
    pub silenced: bool,
}

/// What is said in a message, before it is sealed.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// JSON for the other side's person.
    Content(Vec<u8>),
    /// Nothing, in the place of a message that was given up.
    EmptyControl,
}

impl Content {
    /// What the payload's body is.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Content(body) => body,
            Self::EmptyControl => &[],
        }
    }

    /// Whether it is for a person.
    pub fn is_content(&self) -> bool {
        matches!(self, Self::Content(_))
    }
}

/// A message in the outbox.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// To whom, which names the conversation.
    pub to: Username,
    /// Its place in the chain.
    pub link: Link,
    /// What it says.
    pub content: Content,
    /// The frame to send, once sealed; the same bytes until the first status.
    pub frame: Option<String>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing({} to {})", self.link.message_id, self.to)
    }
}

/// What [`Core`](crate::Core) needs kept. Times are milliseconds since 1970.
///
/// Each method may fail with the storage's own error; then nothing has changed, and the client stops: it must not promise
/// what it cannot keep.
#[expect(clippy::missing_errors_doc, reason = "the same for all, as said above")]
pub trait Storage {
    /// The account, once it is registered.
    fn account(&self) -> Result<Account>;
    /// The public half of the device's signing key.
    fn signing_key(&self) -> Result<Spki>;

    /// All wrap keys, oldest first.
    fn wrap_keys(&self) -> Result<Vec<StoredCert>>;
    /// A new wrap key with its certificate is kept, the private half too: the server is told of it only afterwards.
    fn add_wrap_key(&mut self, kid: &Kid, cert: &WrapFrame, now: u64) -> Result<()>;
    /// The server has accepted a wrap key at this time: those with a lower number are replaced.
    fn wrap_key_accepted(&mut self, kid: &Kid, at: u64) -> Result<()>;
    /// The server has forgotten what it accepted: keys with a higher number than `seq` are not accepted, and none from this
    /// number on is replaced.
    fn wrap_keys_forgotten(&mut self, seq: u64) -> Result<()>;
    /// A wrap key is erased for good.
    fn erase_wrap_key(&mut self, kid: &Kid) -> Result<()>;

    /// What is believed of a name, if it was ever looked up.
    fn person(&self, name: &Username) -> Result<Option<Person>>;
    /// What another device of one's own believed of a name. The first look-up of the name must hold it.
    fn pin(&self, name: &Username) -> Result<Option<Pin>>;
    /// Stores what is believed of a name. It only grows.
    fn store_person(&mut self, person: &Person) -> Result<()>;
    /// What was decided about somebody. Of a stranger nothing is: a request.
    fn contact(&self, name: &Username) -> Result<Contact>;
    /// Whether nothing of theirs is kept or shown from now on.
    fn set_blocked(&mut self, name: &Username, blocked: bool) -> Result<()>;
    /// The people who show another identity key that was not decided on.
    fn changed_people(&self) -> Result<Vec<Username>>;
    /// The keys that the server showed for a name and that are not believed.
    fn changed_key(&self, name: &Username) -> Result<Option<Keys>>;
    /// The server shows another identity key for a name: this is kept until the person has decided.
    fn set_changed_key(&mut self, name: &Username, shown: &Keys) -> Result<()>;
    /// The server shows the believed keys again.
    fn forget_changed_key(&mut self, name: &Username) -> Result<()>;
    /// Believes other keys of a name from now on, in place of all before; they are not verified, and there is no changed key.
    fn accept_identity(&mut self, person: &Person) -> Result<()>;
    /// A small decision by name; `None` when there is none.
    fn flag(&self, key: &str) -> Result<Option<bool>>;
    /// Stores a small decision, or takes it away.
    fn set_flag(&mut self, key: &str, value: Option<bool>) -> Result<()>;

    /// Stores what was delivered, all in one transaction, in order; `done` are envelopes that had been deferred and are
    /// decided on now. Gives one [`Taken`] for each message that was opened. Whoever has written is known from then on, and
    /// whoever was written to by another device of one's own is accepted. Of blocked people the replay mark and the place in
    /// the chain are stored, and nothing else.
    fn take_in(&mut self, incoming: &[Incoming], done: &[i64]) -> Result<Vec<Taken>>;
    /// Whether a message of this name and device has been opened before; known for ever. A server can give one account's
    /// device id to another: without the name, that one's messages could pass for these.
    fn has_seen(&self, from: &Username, device: &DeviceId, id: &MessageId) -> Result<bool>;
    /// What is known around a place in the chain of a device in a conversation; of several messages at one place the first
    /// that came.
    fn neighbours(&self, from: &Username, device: &DeviceId, to: &Username, counter: u64) -> Result<Neighbours>;
    /// The counter after the highest that was shown of a device in a conversation.
    fn next_to_show(&self, from: &Username, device: &DeviceId, to: &Username) -> Result<Option<u64>>;
    /// The messages that were never shown, with their positions, oldest first.
    fn unshown(&self) -> Result<Vec<(i64, Received)>>;
    /// Messages were shown.
    fn mark_shown(&mut self, positions: &[i64]) -> Result<()>;
    /// The envelopes that wait for a decision, with their positions, oldest first.
    fn deferred(&self) -> Result<Vec<(i64, Delivered)>>;

    /// Puts messages into the outbox, written at this time, and gives them their places in their chains. Whoever is written
    /// to is accepted.
    fn enqueue(&mut self, messages: &[(Username, MessageId, Content)], at: u64) -> Result<Vec<Link>>;
    /// The ids in the outbox in order: to whom, whether each is sealed, and whether it stands for one that was given up.
    fn outbox(&self) -> Result<Vec<(Username, MessageId, bool, bool)>>;
    /// A message in the outbox.
    fn outgoing(&self, id: &MessageId) -> Result<Option<Outgoing>>;
    /// Stores the bytes of sealed messages, with the time that each carries. What is not in the outbox is passed over.
    fn store_sealed(&mut self, frames: &[(MessageId, u64, String)]) -> Result<()>;
    /// Messages of this device had a status: they leave the outbox. Gives those of which it is to be believed: what has been
    /// delivered has neither expired nor is it queued, what has expired is not queued, and what was never sent has no status.
    fn settle(&mut self, ids: &[MessageId], status: Status) -> Result<Vec<MessageId>>;
    /// A message is given up: an empty control takes its id and counter, yet to be sealed.
    fn replace(&mut self, id: &MessageId) -> Result<()>;
    /// A message leaves the outbox without a status. Its place in the chain is lost.
    fn drop_outgoing(&mut self, id: &MessageId) -> Result<()>;
    /// The last messages of a conversation, of which nothing ever left this device, are taken out, the last first; their places
    /// in the chain are given out again.
    fn withdraw(&mut self, ids: &[MessageId]) -> Result<()>;
}
