//! Every key and channel; all begin with the prefix, so a user of Redis can be kept to them.

use sealwire_protocol::{DeviceId, Username};

use crate::{NodeId, Place};

#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    fn key(&self, kind: &str, of: impl std::fmt::Display) -> String {
        format!("{}{kind}:{of}", self.prefix)
    }

    /// The channel that a node hears.
    pub(super) fn channel(&self, node: NodeId) -> String {
        self.key("node", node)
    }

    /// The ends of all leases.
    pub(super) fn leases(&self) -> String {
        format!("{}leases", self.prefix)
    }

    pub(super) fn entry(&self, device: &DeviceId) -> String {
        self.key("device", device)
    }

    pub(super) fn shown(&self, name: &Username) -> String {
        self.key("shown", name)
    }

    pub(super) fn watched(&self, name: &Username) -> String {
        self.key("watched", name)
    }

    pub(super) fn count(&self, of: &str) -> String {
        self.key("count", of)
    }

    /// The ends of all sides of slots.
    pub(super) fn slots(&self) -> String {
        format!("{}slots", self.prefix)
    }

    pub(super) fn slot(&self, slot: &[u8; 16], side: u8) -> String {
        self.key("slot", side_name(slot, side))
    }

    /// A key that holds nothing.
    pub(super) fn probe(&self, node: NodeId) -> String {
        self.key("probe", node)
    }
}

/// A side's name among all sides.
pub(super) fn side_name(slot: &[u8; 16], side: u8) -> String {
    format!("{:032x}:{side}", u128::from_be_bytes(*slot))
}

/// A number of fixed width, so that texts compare like numbers.
pub(super) fn fixed(number: u64) -> String {
    format!("{number:016x}")
}

/// What an entry holds: `node:connection`.
pub(super) fn entry(place: Place) -> String {
    format!("{}:{}", place.node, fixed(place.connection))
}

pub(super) fn parse_entry(entry: &str) -> Option<Place> {
    let (node, connection) = entry.split_once(':')?;
    Some(Place { node: parse_node(node)?, connection: u64::from_str_radix(connection, 16).ok()? })
}

fn parse_node(node: &str) -> Option<NodeId> {
    u64::from_str_radix(node, 16).ok().map(NodeId)
}

/// The nodes among these, in ascending order.
pub(super) fn parse_nodes(nodes: &[String]) -> Vec<NodeId> {
    let mut nodes: Vec<_> = nodes.iter().filter_map(|node| parse_node(node)).collect();
    nodes.sort_unstable();
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for (node, connection) in [(0, 0), (1, 2), (u64::MAX, u64::MAX)] {
            let place = Place { node: NodeId(node), connection };
            assert_eq!(parse_entry(&entry(place)), Some(place));
            assert_eq!(entry(place).len(), 33);
        }
        assert_eq!(parse_entry("what else"), None);
    }
}
