//! How a hearer finds out what it has missed.

use std::collections::HashMap;

use crate::NodeId;

/// What a node has heard of the others: each numbers what it sends to this node, from 1 and without an end, so whatever is
/// missing shows with the next that comes.
///
/// Holds 16 bytes for each node that was ever heard; a node that starts again is another one, but they are few.
#[derive(Debug, Default)]
pub struct Sequence {
    heard: HashMap<NodeId, Heard>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    number: u64,
    /// This node has been cut off since.
    doubtful: bool,
}

impl Sequence {
    /// Takes note of what a node has sent under this number. Gives whether something before it is missing, or may be; nothing
    /// when it has come too late: what comes after it was taken already, so it counts as lost.
    pub fn take(&mut self, from: NodeId, number: u64) -> Option<bool> {
        let last = self.heard.get(&from).copied().unwrap_or(Heard { number: 0, doubtful: false });
        if number <= last.number {
            return None;
        }
        self.heard.insert(from, Heard { number, doubtful: false });
        Some(last.doubtful || number != last.number + 1)
    }

    /// This node has been cut off: whatever comes next from a node may come after something that was missed.
    pub fn doubt(&mut self) {
        self.heard.values_mut().for_each(|heard| heard.doubtful = true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    #[test]
    fn numbers_that_follow_each_other_make_no_gap() {
        let mut sequence = Sequence::default();
        assert_eq!([1, 2, 3].map(|number| sequence.take(A, number)), [Some(false); 3]);
        assert_eq!(sequence.take(B, 1), Some(false));
    }

    #[test]
    fn a_missing_number_shows_once() {
        let mut sequence = Sequence::default();
        assert_eq!([1, 3, 4].map(|number| sequence.take(A, number)), [Some(false), Some(true), Some(false)]);
    }

    #[test]
    fn a_node_that_is_heard_for_the_first_time_may_have_said_more_before() {
        assert_eq!(Sequence::default().take(A, 2), Some(true));
    }

    #[test]
    fn what_comes_too_late_or_twice_is_not_taken() {
        let mut sequence = Sequence::default();
        assert_eq!([3, 2, 3, 4].map(|number| sequence.take(A, number)), [Some(true), None, None, Some(false)]);
    }

    #[test]
    fn after_a_cut_each_node_is_doubted_once() {
        let mut sequence = Sequence::default();
        sequence.take(A, 1);
        sequence.doubt();
        assert_eq!([2, 3].map(|number| sequence.take(A, number)), [Some(true), Some(false)]);
        assert_eq!(sequence.take(B, 1), Some(false), "nothing was sent to this node before");
    }
}
