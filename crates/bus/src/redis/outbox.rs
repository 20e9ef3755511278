//! What waits to be published. Pure.

use std::collections::HashMap;
use std::mem;

use bytes::Bytes;

use super::batch::Batch;
use crate::NodeId;

/// How many frames may wait, and how many bytes of them; what comes then is refused. Enough for a second of a busy node.
const FRAMES: usize = 32 * 1024;
const BYTES: usize = 32 * 1024 * 1024;

/// How many bytes of frames go into one batch, unless a single one is larger: Redis does nothing else while it handles it.
const BATCH: usize = 512 * 1024;

/// The frames for each node. Refuses all while there is no link.
#[derive(Debug)]
pub(super) struct Outbox {
    node: NodeId,
    linked: bool,
    /// Also of nodes that are gone, 32 bytes for each: they are few, and a number must never be given twice.
    lanes: HashMap<NodeId, Lane>,
    frames: usize,
    bytes: usize,
    /// What was taken has not gone yet.
    under_way: bool,
}

#[derive(Debug, Default)]
struct Lane {
    /// Of the last batch.
    number: u64,
    waiting: Vec<Bytes>,
}

impl Outbox {
    pub(super) fn new(node: NodeId) -> Self {
        Self { node, linked: false, lanes: HashMap::new(), frames: 0, bytes: 0, under_way: false }
    }

    /// Queues a frame, if there is a link and room.
    pub(super) fn push(&mut self, to: NodeId, frame: Bytes) -> bool {
        if !self.linked || self.frames >= FRAMES || self.bytes + frame.len() > BYTES {
            return false;
        }
        self.frames += 1;
        self.bytes += frame.len();
        self.lanes.entry(to).or_default().waiting.push(frame);
        true
    }

    /// How many frames wait.
    pub(super) fn waiting(&self) -> usize {
        self.frames
    }

    /// Nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.frames == 0 && !self.under_way
    }

    /// What was taken has gone, or is lost.
    pub(super) fn done(&mut self) {
        self.under_way = false;
    }

    /// Takes out a batch for each node for which something waits; until [`Outbox::done`] they are under way.
    pub(super) fn take(&mut self) -> Vec<(NodeId, Batch)> {
        let lanes = self.lanes.iter_mut().filter(|(_, lane)| !lane.waiting.is_empty());
        let batches: Vec<_> = lanes.map(|(to, lane)| (*to, lane.take(self.node))).collect();
        for frame in batches.iter().flat_map(|(_, batch)| &batch.frames) {
            self.frames -= 1;
            self.bytes -= frame.len();
        }
        self.under_way = !batches.is_empty();
        batches
    }

    /// Takes frames from now on.
    pub(super) fn link(&mut self) {
        self.linked = true;
    }

    /// Drops what waits, and a number for each node, so that each finds out. Gives how many frames were dropped.
    pub(super) fn cut(&mut self) -> usize {
        self.linked = false;
        self.under_way = false;
        for lane in self.lanes.values_mut() {
            lane.waiting = Vec::new();
            lane.number += 1;
        }
        self.bytes = 0;
        mem::take(&mut self.frames)
    }
}

impl Lane {
    fn take(&mut self, from: NodeId) -> Batch {
        let mut bytes = 0;
        let fits = |frame: &&Bytes| {
            bytes += frame.len();
            bytes <= BATCH
        };
        let count = self.waiting.iter().take_while(fits).count().max(1);
        let rest = self.waiting.split_off(count);
        self.number += 1;
        Batch { from, number: self.number, frames: mem::replace(&mut self.waiting, rest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const C: NodeId = NodeId(3);

    fn linked() -> Outbox {
        let mut outbox = Outbox::new(A);
        outbox.link();
        outbox
    }

    /// For whom, under which number, how many.
    fn taken(outbox: &mut Outbox) -> Vec<(NodeId, u64, usize)> {
        let mut batches: Vec<_> =
            outbox.take().into_iter().map(|(to, batch)| (to, batch.number, batch.frames.len())).collect();
        batches.sort_unstable();
        batches
    }

    #[test]
    fn what_waits_for_a_node_goes_together() {
        let mut outbox = linked();
        for to in [B, C, B, B] {
            assert!(outbox.push(to, Bytes::new()));
        }
        assert_eq!(outbox.waiting(), 4);
        assert_eq!(taken(&mut outbox), [(B, 1, 3), (C, 1, 1)]);
        assert!(outbox.waiting() == 0 && !outbox.is_idle());
        outbox.done();
        assert!(outbox.is_idle() && taken(&mut outbox).is_empty());
        assert!(outbox.push(B, Bytes::new()));
        assert_eq!(taken(&mut outbox), [(B, 2, 1)]);
    }

    #[test]
    fn a_batch_ends_where_it_gets_large() {
        let mut outbox = linked();
        for size in [BATCH / 2, BATCH / 2, 1, BATCH * 2, 1] {
            assert!(outbox.push(B, vec![0; size].into()));
        }
        let counts: Vec<_> = (0..4).map(|_| taken(&mut outbox)).collect();
        assert_eq!(counts, [vec![(B, 1, 2)], vec![(B, 2, 1)], vec![(B, 3, 1)], vec![(B, 4, 1)]]);
    }

    #[test]
    fn too_much_is_refused_in_frames_and_in_bytes() {
        let mut outbox = linked();
        assert!((0..FRAMES).all(|_| outbox.push(B, Bytes::new())));
        assert!(!outbox.push(C, Bytes::new()));
        outbox.take();
        assert!(outbox.push(C, vec![0; BYTES].into()));
        assert!(!outbox.push(B, vec![0; 1].into()));
        outbox.take();
        assert!(outbox.push(B, vec![0; 1].into()));
    }

    #[test]
    fn without_a_link_nothing_is_taken() {
        assert!(!Outbox::new(A).push(B, Bytes::new()));
    }

    #[test]
    fn a_cut_drops_what_waits_and_leaves_out_a_number() {
        let mut outbox = linked();
        outbox.push(B, Bytes::new());
        assert_eq!(taken(&mut outbox), [(B, 1, 1)]);
        outbox.push(B, Bytes::new());
        outbox.push(C, Bytes::new());
        assert_eq!(outbox.cut(), 2);
        assert!(!outbox.push(B, Bytes::new()));
        outbox.link();
        assert!(outbox.push(B, Bytes::new()) && outbox.push(C, Bytes::new()));
        assert_eq!(taken(&mut outbox), [(B, 3, 1), (C, 2, 1)]);
    }
}
