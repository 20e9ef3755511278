//! The mail of devices that are away.

use std::collections::HashSet;
use std::ops::Add;

use async_trait::async_trait;
use bytes::Bytes;
use sealwire_protocol::{DeviceId, MessageId, Username};

use crate::StoreError;

/// One queue of undelivered messages per device.
///
/// # Contract
/// * [`execute`](Mailboxes::execute) returns only when everything that it reports would survive the loss of power.
/// * A mailbox is ordered by [`Mail::order`], equal ones by message id. It is always read from the front.
/// * A copy is known by ([device](Mail::device), [sending device](MailKey::from_device), [message](MailKey::message_id)).
///   Appending it again while it is held says so, and changes nothing but this: it is held under the lowest order that it
///   came with. A sender that has moved to another node sends again what the first one may still be storing. Were the later
///   order kept, what the first one stores behind it would sort before it.
/// * Whoever sees an append sees those before it in its batch, each under an order as low as it was given there.
/// * Removal names messages, never a range, so mail that arrives late and sorts early is not removed unseen.
/// * Nothing is ever dropped to make room: limits are the caller's, by [`usage`](Mailboxes::usage).
/// * Mail goes in three ways only: by a removal that names it, by [`expire`](Mailboxes::expire), and with its device
///   ([`extend_manifest`](crate::Accounts::extend_manifest)). What is appended for a device after its removal (it was on
///   its way) is nobody's, and expires.
/// * A read that begins after a write has returned sees it, from whatever task.
#[async_trait]
pub trait Mailboxes: Send + Sync + 'static {
    /// Executes a batch and makes it durable as a whole (one fsync, one transaction). Appends come first, then removals.
    ///
    /// # Errors
    /// On an error nothing is promised: parts of the batch may be there. Appending and removing again is always safe.
    async fn execute(&self, batch: Batch) -> Result<BatchOutcome, StoreError>;

    /// The first messages of a mailbox in order, passing over those in `except`: at most `max_messages`, and no
    /// further ones once `max_bytes` of [`Mail::size`] are reached (one message comes however large it is).
    async fn front(
        &self,
        device: &DeviceId,
        except: HashSet<MailKey>,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Front, StoreError>;

    /// The copies of one message that any mailbox holds.
    async fn find(&self, key: &MailKey) -> Result<Vec<Held>, StoreError>;

    /// How full a mailbox is, and how much of it is from one sender.
    ///
    /// It may be asked for each message: where several nodes share a store, it may miss for ten seconds what another node
    /// has changed, and so may be too low or too high.
    async fn usage(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError>;

    /// The same, not more than a second behind other nodes: for whoever would refuse mail because the mailbox is full, or
    /// shows the number to somebody.
    async fn recount(&self, device: &DeviceId, from: &Username) -> Result<Usage, StoreError>;

    /// What a device is to be told when it comes: how many copies it has lost, and at most `limit` of its messages that
    /// have expired, as of one moment.
    async fn news(&self, device: &DeviceId, limit: usize) -> Result<News, StoreError>;

    /// Takes `count` off [`missed`](News::missed): the device has been told.
    async fn forget_missed(&self, device: &DeviceId, count: u64) -> Result<(), StoreError>;

    /// Which of these devices have mail, each once, in any order.
    async fn with_mail(&self, devices: Vec<DeviceId>) -> Result<Vec<DeviceId>, StoreError>;

    /// Milliseconds since 1970 by the store's own clock, by which the nodes that share it set theirs; `None` where it has none
    /// but that of the node.
    async fn time(&self) -> Result<Option<u64>, StoreError>;

    /// The highest [`Mail::order`] that any mailbox holds, or 0: a clock that was set back must not sort new mail
    /// before old.
    async fn highest_order(&self) -> Result<u64, StoreError>;

    /// Takes out copies that were [accepted](Mail::accepted_at) before `before`, in the order in which they arrived, at
    /// most `limit`, and counts each as [missed](News::missed) by the device that it was for. Says for which messages
    /// thereby the last copy for a device of the addressee has gone (copies for the sender's [own](Mail::own) devices do
    /// not count, neither as expired nor as left), and keeps a notice of each for the device that sent it. A device that
    /// was removed has neither. Copies, counts and notices change together and are durable.
    ///
    /// It says nothing of how the copies before the last one went: if another device has fetched one, the sender has
    /// heard `delivered` long ago.
    ///
    /// The mail is read from the earliest arrival on, and no further than to the first [`EXPIRY_REACH`] copies that are
    /// not due, so a call with nothing to do is cheap. A copy that was accepted under a clock that was behind goes when
    /// its turn comes; a row of so many that were accepted under a clock that was ahead keeps back what arrived
    /// behind it, until it is fetched or due. So mail may stay longer than it should, and none goes early but what the
    /// clock was behind.
    ///
    /// Notices that nobody has fetched are dropped by the first call whose `before` is over [`NOTICE_LIFE`] after that of
    /// the call that made them, at most `limit` by one call.
    async fn expire(&self, before: u64, limit: usize) -> Result<Expired, StoreError>;

    /// Drops notices: the device has been told. One that is not there is no error. Durable.
    async fn forget_notices(&self, device: &DeviceId, messages: Vec<MessageId>) -> Result<(), StoreError>;
}

/// How many copies that are not due [`expire`](Mailboxes::expire) passes over.
pub const EXPIRY_REACH: usize = 100;

/// How long a notice waits for its device, in milliseconds: 30 days.
pub const NOTICE_LIFE: u64 = 30 * 24 * 60 * 60 * 1_000;

/// What a device is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Copies for this device that were lost to a full mailbox ([`Batch::missed`]) or have [expired](Mailboxes::expire),
    /// since [`forget_missed`](Mailboxes::forget_missed).
    pub missed: u64,
    /// Messages of this device that have [expired](Mailboxes::expire) and of which it has not been told, oldest notice
    /// first.
    pub notices: Vec<MessageId>,
}

/// What one call has [taken out](Mailboxes::expire).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many copies. As many as the limit: there may be more.
    pub copies: usize,
    /// The messages of which the senders are to be told.
    pub notices: Vec<Notice>,
}

/// A message that has [expired](Mailboxes::expire).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Notice {
    /// The device that sent it.
    pub device: DeviceId,
    /// The id that this device gave it.
    pub message_id: MessageId,
}

/// What names a message, whichever device its copies are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailKey {
    /// The device that sent it.
    pub from_device: DeviceId,
    /// The id that this device gave it.
    pub message_id: MessageId,
}

/// Tells the same message from another one under the same id. Not a cryptographic hash: a sender can only fool itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Of timestamp, addressee and recipients.
    pub header: u64,
    /// Of the sealed bytes.
    pub content: u64,
}

/// One device's copy of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Whose mailbox it belongs in.
    pub device: DeviceId,
    /// The message.
    pub key: MailKey,
    /// Who sent it.
    pub from: Username,
    /// Whether the copy is for another device of the sender, so that it does not count as one sender's share.
    pub own: bool,
    /// The ordering key that the sender's session gave on acceptance; strictly rising there. At most
    /// [`MAX_ORDER`](Self::MAX_ORDER).
    pub order: u64,
    /// When it was accepted, milliseconds since 1970. A store need not tell times beyond `i64::MAX` apart.
    pub accepted_at: u64,
    /// To recognise a repeat.
    pub fingerprint: Fingerprint,
    /// What all copies have in common. Opaque here; one buffer, however many copies.
    pub shared: Bytes,
    /// This device's own part (its wrapped key). Opaque here.
    pub wrap: Bytes,
}

impl Mail {
    /// The highest order that a store can hold: databases count in signed integers of 64 bits. An append beyond it is
    /// [`Failed`](Appended::Failed).
    pub const MAX_ORDER: u64 = i64::MAX as u64;

    /// What the copy counts for in limits, in bytes.
    pub fn size(&self) -> usize {
        self.shared.len() + self.wrap.len()
    }

    /// Whether it can be written into a frame.
    pub fn is_text(&self) -> bool {
        str::from_utf8(&self.shared).is_ok() && str::from_utf8(&self.wrap).is_ok()
    }
}

/// Changes that become durable together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Copies to add.
    pub appends: Vec<Mail>,
    /// Copies to take out.
    pub removals: Vec<Removal>,
    /// Devices that lose a copy because their mailbox is full, one entry each. Nothing is counted for one that was removed.
    pub missed: Vec<DeviceId>,
}

/// A copy to take out of a mailbox. One that is not there is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Removal {
    /// Whose mailbox.
    pub device: DeviceId,
    /// Which message.
    pub key: MailKey,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOutcome {
    /// One for each append, in its order. No row's outcome stands for another's.
    pub appended: Vec<Appended>,
}

/// What became of one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is held now.
    Stored,
    /// The mailbox held this message already, perhaps under a higher order. The fingerprint is the held one's.
    Repeat(Fingerprint),
    /// It is not known to be held.
    Failed,
}

/// The first messages of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Front {
    /// In order.
    pub mail: Vec<Mail>,
    /// Whether the mailbox holds more than these and those passed over.
    pub more: bool,
}

/// A copy that a mailbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Whose mailbox.
    pub device: DeviceId,
    /// To tell a repeat from a conflict.
    pub fingerprint: Fingerprint,
}

/// How full a mailbox is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All of it.
    pub total: Place,
    /// What is from the sender that was asked for, copies for one's own devices left out.
    pub from_sender: Place,
}

/// A share of a mailbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Messages.
    pub messages: u64,
    /// Bytes, by [`Mail::size`].
    pub bytes: u64,
}

impl Place {
    /// Counts one message of `bytes`.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }
}

impl Add for Place {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { messages: self.messages + other.messages, bytes: self.bytes + other.bytes }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { total: self.total + other.total, from_sender: self.from_sender + other.from_sender }
    }
}
