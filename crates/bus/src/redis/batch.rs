//! What travels in one publish: a version, who has sent it and under which number (see [`Sequence`](crate::sequence::Sequence)),
//! then each frame with its length before it. Numbers are big-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::NodeId;

/// Rises with every change that an older node would misread; it passes over what it does not know, which its next batch in
/// a version that it knows shows as a gap.
const VERSION: u8 = 1;

/// Version, node, number.
const HEADER: usize = 1 + 8 + 8;

/// Frames of one node for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) from: NodeId,
    pub(super) number: u64,
    pub(super) frames: Vec<Bytes>,
}

impl Batch {
    pub(super) fn to_bytes(&self) -> Bytes {
        let length = HEADER + self.frames.iter().map(|frame| 4 + frame.len()).sum::<usize>();
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put_u8(VERSION);
        bytes.put_u64(self.from.0);
        bytes.put_u64(self.number);
        for frame in &self.frames {
            bytes.put_u32(frame.len().try_into().expect("a frame is far smaller than what may wait"));
            bytes.extend_from_slice(frame);
        }
        bytes.freeze()
    }

    /// Reads a batch; nothing if it is none of this version.
    pub(super) fn from_bytes(mut bytes: Bytes) -> Option<Self> {
        if bytes.try_get_u8() != Ok(VERSION) {
            return None;
        }
        let mut batch =
            Self { from: NodeId(bytes.try_get_u64().ok()?), number: bytes.try_get_u64().ok()?, frames: vec![] };
        while bytes.has_remaining() {
            let length = bytes.try_get_u32().ok()? as usize;
            if length > bytes.len() {
                return None;
            }
            batch.frames.push(bytes.split_to(length));
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Batch {
        let frames = [&b"one"[..], b"", b"three"].map(Bytes::from_static).to_vec();
        Batch { from: NodeId(u64::MAX - 1), number: 7, frames }
    }

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        assert_eq!(Batch::from_bytes(batch().to_bytes()), Some(batch()));
        assert_eq!(batch().to_bytes().len(), HEADER + 3 * 4 + 8);
    }

    #[test]
    fn what_is_cut_short_is_no_longer_the_same_and_another_version_is_none() {
        let bytes = batch().to_bytes();
        for length in 0..bytes.len() {
            assert_ne!(Batch::from_bytes(bytes.slice(..length)), Some(batch()), "{length}");
        }
        assert_eq!(Batch::from_bytes(bytes.slice(..HEADER + 3)), None);
        let mut other = BytesMut::from(&bytes[..]);
        other[0] = VERSION + 1;
        assert_eq!(Batch::from_bytes(other.freeze()), None);
    }
}
