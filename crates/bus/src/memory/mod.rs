//! A bus between nodes of one process, for tests: with a clock that they move, and faults on command.

mod table;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use sealwire_protocol::{DeviceId, Username};
use tokio::sync::Notify;

use self::table::{Table, millis};
use crate::sequence::Sequence;
use crate::{Arrival, Bus, BusError, NodeId, Place, Renewal, SharedRate, SlotPut};

/// How many frames may wait for a node; what comes then is refused.
const WAITING: usize = 8192;

/// What links the nodes.
///
/// Its clock stands still unless it is moved, so no lease ends by itself. One lock holds all of it: what a node is told is in
/// the order in which things happened.
#[derive(Debug, Clone, Default)]
pub struct MemoryHub {
    hub: Arc<Mutex<Hub>>,
}

#[derive(Debug, Default)]
struct Hub {
    now: u64,
    frozen: bool,
    table: Table,
    nodes: HashMap<NodeId, Node>,
    /// The number of the last frame from one node to another.
    numbers: HashMap<(NodeId, NodeId), u64>,
    /// How many more frames from one node to another get lost.
    losses: HashMap<(NodeId, NodeId), usize>,
    cut: HashSet<NodeId>,
    /// What was sent while nothing moved.
    held: VecDeque<Sent>,
}

#[derive(Debug)]
struct Node {
    arrivals: VecDeque<Arrival>,
    waiting: usize,
    sequence: Sequence,
    notify: Arc<Notify>,
}

#[derive(Debug)]
struct Sent {
    from: NodeId,
    to: NodeId,
    number: u64,
    frame: Bytes,
}

impl MemoryHub {
    /// A hub without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another node: the first is 1, the next 2. Its first arrival is that it is connected.
    pub fn join(&self) -> MemoryBus {
        let mut hub = self.hub.lock();
        let node = NodeId(hub.nodes.len() as u64 + 1);
        let notify = Arc::new(Notify::new());
        let arrivals = VecDeque::from([Arrival::Connected]);
        let state = Node { arrivals, waiting: 0, sequence: Sequence::default(), notify: Arc::clone(&notify) };
        hub.nodes.insert(node, state);
        MemoryBus { node, hub: Arc::clone(&self.hub), notify }
    }

    /// Moves the bus's clock on.
    pub fn advance(&self, by: Duration) {
        self.hub.lock().now += millis(by);
    }

    /// The next so many frames from one node to another get lost, in addition to those that are to get lost already.
    pub fn lose(&self, from: NodeId, to: NodeId, frames: usize) {
        *self.hub.lock().losses.entry((from, to)).or_default() += frames;
    }

    /// Cuts a node off: it is told so, hears nothing, can send nothing, and is answered nothing.
    pub fn cut(&self, node: NodeId) {
        self.hub.lock().cut(node);
    }

    /// Links a node again that was cut off, and tells it so.
    pub fn link(&self, node: NodeId) {
        self.hub.lock().link(node);
    }

    /// Nothing moves and nothing is answered until [`MemoryHub::thaw`]; nobody is told. What is sent meanwhile waits.
    pub fn freeze(&self) {
        self.hub.lock().frozen = true;
    }

    /// Everything moves again: what has waited arrives first.
    pub fn thaw(&self) {
        let mut hub = self.hub.lock();
        hub.frozen = false;
        while let Some(sent) = hub.held.pop_front() {
            hub.arrive(sent);
        }
    }

    /// Everything that the nodes share is forgotten, and each node that was linked is cut off and linked again: a server that
    /// was killed and has started empty.
    pub fn restart_empty(&self) {
        let mut hub = self.hub.lock();
        hub.table = Table::default();
        hub.held.clear();
        hub.frozen = false;
        let linked: Vec<_> = hub.nodes.keys().copied().filter(|node| !hub.cut.contains(node)).collect();
        for node in linked {
            hub.cut(node);
            hub.link(node);
        }
    }
}

impl Hub {
    fn tell(&mut self, node: NodeId, arrival: Arrival) {
        let Some(node) = self.nodes.get_mut(&node) else { return };
        node.arrivals.push_back(arrival);
        node.notify.notify_one();
    }

    fn cut(&mut self, node: NodeId) {
        if self.cut.insert(node) {
            self.tell(node, Arrival::Disconnected);
        }
    }

    fn link(&mut self, node: NodeId) {
        if !self.cut.remove(&node) {
            return;
        }
        // A number that nothing is sent under shows the hearers that the sender was away.
        self.numbers.iter_mut().filter(|((from, _), _)| *from == node).for_each(|(_, number)| *number += 1);
        if let Some(hearer) = self.nodes.get_mut(&node) {
            hearer.sequence.doubt();
        }
        self.tell(node, Arrival::Connected);
    }

    fn send(&mut self, from: NodeId, to: NodeId, frame: Bytes) -> bool {
        let waiting = self.nodes.get(&to).map_or(0, |node| node.waiting) + self.held.len();
        if self.cut.contains(&from) || waiting >= WAITING {
            return false;
        }
        let number = self.numbers.entry((from, to)).or_default();
        *number += 1;
        let sent = Sent { from, to, number: *number, frame };
        let loss = self.losses.get_mut(&(from, to)).filter(|frames| **frames > 0);
        match loss {
            Some(frames) => *frames -= 1,
            None if self.frozen => self.held.push_back(sent),
            None => self.arrive(sent),
        }
        true
    }

    fn arrive(&mut self, sent: Sent) {
        let Sent { from, to, number, frame } = sent;
        if self.cut.contains(&to) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&to) else { return };
        let Some(gap) = node.sequence.take(from, number) else { return };
        node.waiting += 1;
        match node.arrivals.back_mut() {
            Some(Arrival::Frames { from: last, frames, .. }) if *last == from && !gap => frames.push(frame),
            _ => node.arrivals.push_back(Arrival::Frames { from, gap, frames: vec![frame] }),
        }
        node.notify.notify_one();
    }
}

/// A node's end of a [`MemoryHub`].
#[derive(Debug)]
pub struct MemoryBus {
    node: NodeId,
    hub: Arc<Mutex<Hub>>,
    notify: Arc<Notify>,
}

impl MemoryBus {
    /// What [`Bus::next`] would give, if it is there already.
    pub fn try_next(&self) -> Option<Arrival> {
        let mut hub = self.hub.lock();
        let node = hub.nodes.get_mut(&self.node).expect("a node never leaves the hub");
        let arrival = node.arrivals.pop_front()?;
        if let Arrival::Frames { frames, .. } = &arrival {
            node.waiting -= frames.len();
        }
        Some(arrival)
    }

    fn place(&self, connection: u64) -> Place {
        Place { node: self.node, connection }
    }

    /// Does something to the table at the present time, unless nothing is answered.
    fn ask<T>(&self, question: impl FnOnce(&mut Table, u64) -> T) -> Result<T, BusError> {
        let mut hub = self.hub.lock();
        if hub.frozen || hub.cut.contains(&self.node) {
            return Err(BusError::Unavailable("a test wants it so".to_owned()));
        }
        let now = hub.now;
        Ok(question(&mut hub.table, now))
    }
}

#[async_trait]
impl Bus for MemoryBus {
    fn node(&self) -> NodeId {
        self.node
    }

    fn send(&self, to: NodeId, frame: Bytes) -> bool {
        self.hub.lock().send(self.node, to, frame)
    }

    async fn next(&self) -> Arrival {
        loop {
            if let Some(arrival) = self.try_next() {
                return arrival;
            }
            self.notify.notified().await;
        }
    }

    async fn renew(&self) -> Result<Renewal, BusError> {
        self.ask(|table, now| table.renew(self.node, now))
    }

    async fn release(&self) -> Result<(), BusError> {
        self.ask(|table, _| table.release(self.node))
    }

    async fn enter(&self, device: &DeviceId, connection: u64) -> Result<Option<Place>, BusError> {
        self.ask(|table, now| table.enter(*device, self.place(connection), now))
    }

    async fn leave(&self, device: &DeviceId, connection: u64) -> Result<(), BusError> {
        self.ask(|table, _| table.leave(device, self.place(connection)))
    }

    async fn enter_again(&self, entries: &[(DeviceId, u64)]) -> Result<Vec<DeviceId>, BusError> {
        let stays = |table: &mut Table, now, (device, connection): &(DeviceId, u64)| {
            table.enter_again(*device, self.place(*connection), now).then_some(*device)
        };
        self.ask(|table, now| entries.iter().filter_map(|entry| stays(table, now, entry)).collect())
    }

    async fn find(&self, devices: &[DeviceId]) -> Result<Vec<Option<Place>>, BusError> {
        self.ask(|table, now| table.find(devices, now))
    }

    async fn show(&self, name: &Username, online: bool) -> Result<Vec<NodeId>, BusError> {
        self.ask(|table, now| table.show(name, self.node, online, now))
    }

    async fn watch(&self, name: &Username, watches: bool) -> Result<Vec<NodeId>, BusError> {
        self.ask(|table, now| table.watch(name, self.node, watches, now))
    }

    async fn count(&self, key: &str, rate: SharedRate) -> Result<Result<(), u64>, BusError> {
        self.ask(|table, now| table.count(key, rate, now))
    }

    async fn put_slot(
        &self,
        slot: &[u8; 16],
        side: u8,
        data: Bytes,
        life: Duration,
        most: usize,
    ) -> Result<SlotPut, BusError> {
        self.ask(|table, now| table.put_slot((*slot, side), (data, now + millis(life)), most, now))
    }

    async fn take_slot(&self, slot: &[u8; 16], side: u8) -> Result<Option<Bytes>, BusError> {
        self.ask(|table, now| table.take_slot((*slot, side), now))
    }
}
