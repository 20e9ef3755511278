//! The link between the nodes of a cluster: who is connected where, frames from node to node, and the few counts and slots
//! that must hold for all nodes together.
//!
//! [`Bus`] is the contract. It is a hint and may lose anything; the store is the truth, and losing the bus costs latency,
//! never a message. A node alone has none. What the nodes say to each other is in [`frames`].

pub mod conformance;
pub mod frames;
mod memory;
mod redis;
pub mod sequence;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sealwire_protocol::{DeviceId, Username};
use serde::{Deserialize, Serialize};

pub use crate::memory::{MemoryBus, MemoryHub};
pub use crate::redis::{RedisBus, RedisOptions};

/// How long a lease lives after its last renewal: what a node whose lease is gone has entered counts no more.
pub const LEASE: Duration = Duration::from_secs(15);

/// How long an entry of a device, of somebody who can be seen, or of a node that watches, lives after it was last written.
pub const ENTRY: Duration = Duration::from_secs(120);

/// A node, from its start to its end: random, so a node that starts again is another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a device is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// The connection, as that node counts them; never used twice by it.
    pub connection: u64,
}

/// Why a bus did not do what it was asked. Texts are for the operator's log: no names of people, no passwords.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// It cannot be used as configured: says why and how to go on.
    #[error("{0}")]
    Open(String),
    /// It does not answer now.
    #[error("the bus is not available: {0}")]
    Unavailable(String),
}

/// What a node is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Frames of another node, in the order in which it sent them.
    Frames {
        /// The node that sent them.
        from: NodeId,
        /// Something that this node sent before is missing, or may be.
        gap: bool,
        /// As they were given to [`Bus::send`].
        frames: Vec<Bytes>,
    },
    /// The node hears from here on. What was sent to it before may be lost. The first arrival of every node.
    Connected,
    /// The node hears nothing until [`Arrival::Connected`]; it is being tried again.
    Disconnected,
}

/// What a renewal has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The other nodes whose leases live, in ascending order.
    pub peers: Vec<NodeId>,
    /// Whether this node's lease was still there. If not, its entries counted for nobody meanwhile, and may be gone.
    pub held: bool,
}

/// What became of a side of a linking slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotPut {
    /// It is kept.
    Yes,
    /// The side was filled before; nothing changed.
    Filled,
    /// There are as many sides as may be; nothing changed.
    TooMany,
}

/// A rate that holds over all nodes: at most `limit` events in any stretch of `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedRate {
    /// Events; at least 1.
    pub limit: u32,
    /// The stretch.
    pub period: Duration,
}

/// What a node's end of the link has done since its start, for metrics. Frames unless it says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BusStats {
    /// Whether the node is connected.
    pub linked: bool,
    /// How many times it has been connected.
    pub links: u64,
    /// Published.
    pub sent: u64,
    /// Publishes; a busy link needs far fewer than frames.
    pub publishes: u64,
    /// Bytes in the publishes.
    pub bytes: u64,
    /// Of those that were published: nobody heard them.
    pub unheard: u64,
    /// Heard.
    pub received: u64,
    /// Refused, or dropped: for want of a link or of room, or with a publish that failed.
    pub dropped: u64,
    /// Queued at this moment.
    pub waiting: u64,
}

/// A node's end of the link.
///
/// # Contract
/// * Frames from one node to another arrive in the order in which they were sent, each at most once. What is missing before
///   some is told with them ([`Arrival::Frames::gap`]): frames that were lost; and whenever the sender or
///   the hearer has been cut off since the last ones. A gap may be told without need. The first frames of a node that this
///   one has never heard of carry no gap when they are the first that it has sent to this one.
/// * Frames that wait for a node go together in one publish, so a busy link needs far fewer publishes than frames.
/// * An entry counts while the lease of its node lives, and not a moment longer.
/// * Each method but [`send`](Bus::send) and [`next`](Bus::next) gives up within a time limit of its own (a few seconds).
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// This node.
    fn node(&self) -> NodeId;

    /// Queues a frame for a node. False when it cannot go: nothing is connected, or too much waits already (in frames or in
    /// bytes). True promises nothing.
    fn send(&self, to: NodeId, frame: Bytes) -> bool;

    /// Counters for metrics; all zero where nothing is counted.
    fn stats(&self) -> BusStats {
        BusStats::default()
    }

    /// The next arrival. For one caller. Nothing is lost when the future is dropped.
    async fn next(&self) -> Arrival;

    /// Renews this node's lease for [`LEASE`], or takes it anew.
    async fn renew(&self) -> Result<Renewal, BusError>;

    /// Gives the lease up, once what was queued has gone: this node is about to go.
    async fn release(&self) -> Result<(), BusError>;

    /// Enters a connection of this node as the device's one, in place of whatever is entered. Gives the place of the
    /// predecessor, if it is on another node and counts.
    async fn enter(&self, device: &DeviceId, connection: u64) -> Result<Option<Place>, BusError>;

    /// Takes the entry out, if it is still this connection's (compare and delete).
    async fn leave(&self, device: &DeviceId, connection: u64) -> Result<(), BusError>;

    /// Enters connections of this node again that may have been lost, or whose time is nearly over (entries end
    /// [`ENTRY`] after they were written). Where an entry of another node counts, that one stays; so does that of a later
    /// connection (a higher one) of this node. Gives the devices that another node keeps.
    async fn enter_again(&self, entries: &[(DeviceId, u64)]) -> Result<Vec<DeviceId>, BusError>;

    /// Where devices are connected, one answer for each, as of one moment; only places that count.
    async fn find(&self, devices: &[DeviceId]) -> Result<Vec<Option<Place>>, BusError>;

    /// Says whether somebody can be seen to be at this node. Gives the other nodes that watch this name, in ascending order.
    async fn show(&self, name: &Username, online: bool) -> Result<Vec<NodeId>, BusError>;

    /// Says whether this node watches a name. Gives the other nodes at which it can be seen. Whoever is shown after this is
    /// given this node among the watchers. Both kinds of entry end [`ENTRY`] after they were written, unless written again.
    async fn watch(&self, name: &Username, watches: bool) -> Result<Vec<NodeId>, BusError>;

    /// Counts an event under a key, by the bus's own clock. The inner error: milliseconds until one would be taken; this one
    /// is not counted then.
    async fn count(&self, key: &str, rate: SharedRate) -> Result<Result<(), u64>, BusError>;

    /// Fills a side of a linking slot for so long, if it is empty and there are fewer than `most` sides.
    async fn put_slot(
        &self,
        slot: &[u8; 16],
        side: u8,
        data: Bytes,
        life: Duration,
        most: usize,
    ) -> Result<SlotPut, BusError>;

    /// Reads a side of a linking slot.
    async fn take_slot(&self, slot: &[u8; 16], side: u8) -> Result<Option<Bytes>, BusError>;
}
