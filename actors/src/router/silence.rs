//! Nodes that have fallen silent without a good-bye. One that is cut off from the bus may still take messages, and cannot tell
//! anybody what it has stored. So whoever misses a node looks for mail by itself for a while.

use std::collections::HashMap;

use sealwire_bus::NodeId;

use super::link::Link;

/// How long a node says nothing before it is missed, in milliseconds: it says something every second.
const SILENT: u64 = 3_000;
/// For how long it is missed. One that was killed comes back as another.
const MISSED: u64 = 300_000;

/// When each node was heard last, on the monotonic clock.
#[derive(Debug, Default)]
pub(super) struct Heard(HashMap<NodeId, u64>);

impl Heard {
    pub(super) fn note(&mut self, node: NodeId, now: u64) {
        self.0.insert(node, now);
    }

    /// It has said good-bye: nobody misses it.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.0.remove(&node);
    }

    fn misses_somebody(&mut self, now: u64) -> bool {
        self.0.retain(|_, at| now.saturating_sub(*at) < MISSED);
        self.0.values().any(|at| now.saturating_sub(*at) > SILENT)
    }
}

impl Link {
    /// Whether a node has been silent for seconds, and may be storing mail of which nobody is told.
    pub(crate) fn misses_somebody(&self) -> bool {
        self.heard.lock().misses_somebody(self.mono())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_node_is_missed_for_a_while_unless_it_has_said_good_bye() {
        let mut heard = Heard::default();
        heard.note(NodeId(1), 1_000);
        assert!(!heard.misses_somebody(4_000) && heard.misses_somebody(4_001));
        heard.note(NodeId(1), 5_000);
        assert!(!heard.misses_somebody(8_000) && heard.misses_somebody(304_999));
        assert!(!heard.misses_somebody(305_000) && heard.0.is_empty());
        heard.note(NodeId(2), 400_000);
        heard.forget(NodeId(2));
        assert!(!heard.misses_somebody(500_000));
    }
}
