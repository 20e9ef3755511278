//! PAYLOAD: what the ciphertext holds (protocol section 4).

use std::fmt;

use sealwire_protocol::signed::push_lp;
use zeroize::Zeroizing;

const FORMAT: u8 = 1;

/// What a payload's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ContentType {
    /// Content, in JSON.
    Content = 1,
    /// Control: between clients, not shown.
    Control = 2,
}

/// Which frame carries an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// `message`: stored, acknowledged, counted 1, 2, 3 ... in its conversation.
    Message,
    /// `signal`: never stored, counter 0 outside the chain.
    Signal,
}

/// The plaintext of a message. `Debug` shows neither the body nor what the sender believes.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// What the body is.
    pub content_type: ContentType,
    /// The message's number in its conversation, per sending device.
    pub counter: u64,
    /// The chain over the messages before (`sealwire_protocol::signed::chain`); zeros in the first.
    pub previous: [u8; 32],
    /// The hash of the sender's own manifest, as the sender believes.
    pub self_manifest: [u8; 32],
    /// The hash of the addressee's manifest, as the sender believes.
    pub peer_manifest: [u8; 32],
    /// The content. Zeroized on drop.
    pub body: Zeroizing<Vec<u8>>,
}

impl Payload {
    /// Length of everything but the body, in bytes.
    pub const OVERHEAD: usize = 1 + 1 + 8 + 3 * 32 + 4;

    /// PAYLOAD, not padded.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(Self::OVERHEAD + self.body.len()));
        out.extend_from_slice(&[FORMAT, self.content_type as u8]);
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.extend_from_slice(&self.previous);
        out.extend_from_slice(&self.self_manifest);
        out.extend_from_slice(&self.peer_manifest);
        push_lp(&mut out, &self.body);
        out
    }

    /// Reads PAYLOAD. Nothing may follow the body.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [FORMAT, content_type] = take(&mut rest)? else { return None };
        let payload = Self {
            content_type: match content_type {
                1 => ContentType::Content,
                2 => ContentType::Control,
                _ => return None,
            },
            counter: u64::from_be_bytes(take(&mut rest)?),
            previous: take(&mut rest)?,
            self_manifest: take(&mut rest)?,
            peer_manifest: take(&mut rest)?,
            body: {
                let length = u32::from_be_bytes(take(&mut rest)?);
                (usize::try_from(length) == Ok(rest.len())).then(|| Zeroizing::new(rest.to_vec()))?
            },
        };
        Some(payload)
    }

    /// Whether counter and previous can be those of a payload in this lane.
    pub(crate) fn suits(&self, lane: Lane) -> bool {
        let begins_a_chain = self.previous == [0; 32];
        match (lane, self.counter) {
            (Lane::Message, 0) => false,
            (Lane::Message, 1) | (Lane::Signal, 0) => begins_a_chain,
            (Lane::Message, _) => true,
            (Lane::Signal, _) => false,
        }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("content_type", &self.content_type)
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(counter: u64, previous: u8, body: &[u8]) -> Payload {
        Payload {
            content_type: ContentType::Content,
            counter,
            previous: [previous; 32],
            self_manifest: [2; 32],
            peer_manifest: [3; 32],
            body: body.to_vec().into(),
        }
    }

    #[test]
    fn nothing_follows_the_body_and_nothing_is_missing() {
        let bytes = payload(1, 0, b"body").to_bytes();
        assert_eq!(bytes.len(), Payload::OVERHEAD + 4);
        assert_eq!(Payload::from_bytes(&[&bytes[..], &[0]].concat()), None);
        for length in 0..bytes.len() {
            assert_eq!(Payload::from_bytes(&bytes[..length]), None, "{length}");
        }
    }

    #[test]
    fn another_format_or_content_type_is_refused() {
        let bytes = payload(1, 0, b"body").to_bytes();
        for (at, value) in [(0, 0), (0, 2), (1, 0), (1, 3), (1, 255)] {
            let mut changed = bytes.clone();
            changed[at] = value;
            assert_eq!(Payload::from_bytes(&changed), None);
        }
    }

    #[test]
    fn messages_count_from_one_and_signals_do_not_count() {
        for (lane, counter, previous, good) in [
            (Lane::Message, 1, 0, true),
            (Lane::Message, 1, 9, false),
            (Lane::Message, 2, 9, true),
            (Lane::Message, 0, 0, false),
            (Lane::Signal, 0, 0, true),
            (Lane::Signal, 0, 9, false),
            (Lane::Signal, 1, 0, false),
        ] {
            assert_eq!(payload(counter, previous, b"").suits(lane), good, "{lane:?} {counter} {previous}");
        }
    }

    #[test]
    fn debug_shows_no_word_of_the_body() {
        insta::assert_snapshot!(format!("{:?}", payload(7, 0, b"secret words")), @"Payload { content_type: Content, counter: 7, .. }");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(counter: u64, body: Vec<u8>) {
            let payload = payload(counter, 5, &body);
            prop_assert_eq!(Payload::from_bytes(&payload.to_bytes()), Some(payload));
        }

        #[test]
        fn no_bytes_crash_the_reader(bytes: Vec<u8>) {
            if let Some(payload) = Payload::from_bytes(&bytes) {
                prop_assert_eq!(&payload.to_bytes()[..], &bytes[..]);
            }
        }
    }
}
