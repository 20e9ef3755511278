//! What has arrived and was not fetched yet. Pure.

use std::collections::VecDeque;

use super::batch::Batch;
use crate::Arrival;
use crate::sequence::Sequence;

/// How many frames may wait, and how many bytes of them; a batch that comes then is dropped, which the next one shows.
const FRAMES: usize = 64 * 1024;
const BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    arrivals: VecDeque<Arrival>,
    frames: usize,
    bytes: usize,
    sequence: Sequence,
}

fn bytes(frames: &[bytes::Bytes]) -> usize {
    frames.iter().map(bytes::Bytes::len).sum()
}

impl Inbox {
    /// Takes a batch; false when there is no room for it.
    pub(super) fn push(&mut self, batch: Batch) -> bool {
        if self.frames + batch.frames.len() > FRAMES || self.bytes + bytes(&batch.frames) > BYTES {
            return false;
        }
        let Batch { from, number, frames } = batch;
        if let Some(gap) = self.sequence.take(from, number) {
            self.frames += frames.len();
            self.bytes += bytes(&frames);
            self.arrivals.push_back(Arrival::Frames { from, gap, frames });
        }
        true
    }

    pub(super) fn linked(&mut self) {
        self.sequence.doubt();
        self.arrivals.push_back(Arrival::Connected);
    }

    pub(super) fn cut(&mut self) {
        // Nothing was heard in between: the one before the last, that this node is cut off, still holds. So what is never
        // fetched does not grow either.
        match self.arrivals.back() {
            Some(Arrival::Connected) if self.arrivals.len() > 1 => drop(self.arrivals.pop_back()),
            _ => self.arrivals.push_back(Arrival::Disconnected),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Arrival> {
        let arrival = self.arrivals.pop_front()?;
        if let Arrival::Frames { frames, .. } = &arrival {
            self.frames -= frames.len();
            self.bytes -= bytes(frames);
        }
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::NodeId;

    const A: NodeId = NodeId(1);

    fn batch(number: u64, size: usize) -> Batch {
        Batch { from: A, number, frames: vec![vec![0; size].into()] }
    }

    fn frames(gap: bool, size: usize) -> Option<Arrival> {
        Some(Arrival::Frames { from: A, gap, frames: vec![Bytes::from(vec![0; size])] })
    }

    #[test]
    fn what_finds_no_room_makes_a_gap() {
        let mut inbox = Inbox::default();
        assert!(inbox.push(batch(1, BYTES)));
        assert!(!inbox.push(batch(2, 1)));
        assert_eq!(inbox.pop(), frames(false, BYTES));
        assert!(inbox.push(batch(3, 1)));
        assert_eq!((inbox.pop(), inbox.pop()), (frames(true, 1), None));
        let many = Batch { from: A, number: 4, frames: vec![Bytes::new(); FRAMES] };
        assert!(inbox.push(many) && !inbox.push(batch(5, 0)));
    }

    #[test]
    fn a_repeat_is_not_told() {
        let mut inbox = Inbox::default();
        assert!(inbox.push(batch(1, 1)) && inbox.push(batch(1, 1)));
        assert_eq!((inbox.pop(), inbox.pop()), (frames(false, 1), None));
    }

    #[test]
    fn what_comes_after_a_cut_may_come_after_a_gap() {
        let mut inbox = Inbox::default();
        inbox.linked();
        inbox.push(batch(1, 1));
        inbox.cut();
        inbox.linked();
        inbox.push(batch(2, 2));
        let told: Vec<_> = std::iter::from_fn(|| inbox.pop()).collect();
        let expected =
            [Some(Arrival::Connected), frames(false, 1), Some(Arrival::Disconnected), Some(Arrival::Connected)];
        assert_eq!(told, expected.into_iter().chain([frames(true, 2)]).flatten().collect::<Vec<_>>());
    }

    #[test]
    fn cuts_that_nobody_is_told_of_take_no_room() {
        let mut inbox = Inbox::default();
        for _ in 0..100 {
            inbox.linked();
            inbox.cut();
        }
        assert_eq!(inbox.arrivals, [Arrival::Connected, Arrival::Disconnected]);
        inbox.linked();
        let told: Vec<_> = std::iter::from_fn(|| inbox.pop()).collect();
        assert_eq!(told, [Arrival::Connected, Arrival::Disconnected, Arrival::Connected]);
    }
}
