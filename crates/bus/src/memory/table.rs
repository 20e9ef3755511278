//! What all nodes share, and how long it counts. Pure: the time is an argument, in milliseconds since the hub began.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sealwire_protocol::{DeviceId, Username};

use crate::{ENTRY, LEASE, NodeId, Place, Renewal, SharedRate, SlotPut};

/// Something with an end.
type Until<T> = (T, u64);

#[derive(Debug, Default)]
pub(super) struct Table {
    leases: HashMap<NodeId, u64>,
    entries: HashMap<DeviceId, Until<Place>>,
    shown: HashMap<Username, HashMap<NodeId, u64>>,
    watched: HashMap<Username, HashMap<NodeId, u64>>,
    counts: HashMap<String, VecDeque<u64>>,
    slots: HashMap<([u8; 16], u8), Until<Bytes>>,
}

pub(super) fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

impl Table {
    fn lives(&self, node: NodeId, now: u64) -> bool {
        self.leases.get(&node).is_some_and(|ends| *ends > now)
    }

    fn place(&self, device: &DeviceId, now: u64) -> Option<Place> {
        let (place, ends) = *self.entries.get(device)?;
        (ends > now && self.lives(place.node, now)).then_some(place)
    }

    pub(super) fn renew(&mut self, node: NodeId, now: u64) -> Renewal {
        let held = self.lives(node, now);
        self.leases.retain(|_, ends| *ends > now);
        let mut peers: Vec<_> = self.leases.keys().copied().filter(|peer| *peer != node).collect();
        peers.sort_unstable();
        self.leases.insert(node, now + millis(LEASE));
        Renewal { peers, held }
    }

    pub(super) fn release(&mut self, node: NodeId) {
        self.leases.remove(&node);
    }

    pub(super) fn enter(&mut self, device: DeviceId, place: Place, now: u64) -> Option<Place> {
        let predecessor = self.place(&device, now);
        self.entries.insert(device, (place, now + millis(ENTRY)));
        predecessor.filter(|before| before.node != place.node)
    }

    pub(super) fn leave(&mut self, device: &DeviceId, place: Place) {
        if self.entries.get(device).is_some_and(|(entered, _)| *entered == place) {
            self.entries.remove(device);
        }
    }

    /// Whether an entry of another node stands in the way.
    pub(super) fn enter_again(&mut self, device: DeviceId, place: Place, now: u64) -> bool {
        match self.place(&device, now) {
            Some(other) if other.node != place.node => return true,
            Some(own) if own.connection > place.connection => return false,
            _ => {}
        }
        self.entries.insert(device, (place, now + millis(ENTRY)));
        false
    }

    pub(super) fn find(&self, devices: &[DeviceId], now: u64) -> Vec<Option<Place>> {
        devices.iter().map(|device| self.place(device, now)).collect()
    }

    pub(super) fn show(&mut self, name: &Username, node: NodeId, online: bool, now: u64) -> Vec<NodeId> {
        note(&mut self.shown, name, node, online, now);
        self.others(&self.watched, name, node, now)
    }

    pub(super) fn watch(&mut self, name: &Username, node: NodeId, watches: bool, now: u64) -> Vec<NodeId> {
        note(&mut self.watched, name, node, watches, now);
        self.others(&self.shown, name, node, now)
    }

    fn others(
        &self,
        of: &HashMap<Username, HashMap<NodeId, u64>>,
        name: &Username,
        node: NodeId,
        now: u64,
    ) -> Vec<NodeId> {
        let noted = of.get(name).into_iter().flatten();
        let counts = |(other, ends): &(&NodeId, &u64)| **ends > now && **other != node && self.lives(**other, now);
        let mut nodes: Vec<_> = noted.filter(counts).map(|(other, _)| *other).collect();
        nodes.sort_unstable();
        nodes
    }

    pub(super) fn count(&mut self, key: &str, rate: SharedRate, now: u64) -> Result<(), u64> {
        let period = millis(rate.period);
        let times = self.counts.entry(key.to_owned()).or_default();
        while times.front().is_some_and(|time| time + period <= now) {
            times.pop_front();
        }
        match times.front() {
            Some(oldest) if times.len() >= rate.limit as usize => Err(oldest + period - now),
            _ => {
                times.push_back(now);
                Ok(())
            }
        }
    }

    pub(super) fn put_slot(&mut self, place: ([u8; 16], u8), side: Until<Bytes>, most: usize, now: u64) -> SlotPut {
        self.slots.retain(|_, (_, ends)| *ends > now);
        if self.slots.contains_key(&place) {
            return SlotPut::Filled;
        }
        if self.slots.len() >= most {
            return SlotPut::TooMany;
        }
        self.slots.insert(place, side);
        SlotPut::Yes
    }

    pub(super) fn take_slot(&self, place: ([u8; 16], u8), now: u64) -> Option<Bytes> {
        self.slots.get(&place).filter(|(_, ends)| *ends > now).map(|(data, _)| data.clone())
    }
}

fn note(of: &mut HashMap<Username, HashMap<NodeId, u64>>, name: &Username, node: NodeId, is: bool, now: u64) {
    let nodes = of.entry(name.clone()).or_default();
    if is {
        nodes.insert(node, now + millis(ENTRY));
    } else {
        nodes.remove(&node);
    }
    nodes.retain(|_, ends| *ends > now);
    if nodes.is_empty() {
        of.remove(name);
    }
}
