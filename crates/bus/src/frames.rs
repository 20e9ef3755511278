//! What nodes say to each other, and its bytes: a version, then the frame in postcard's encoding. Nodes of neighbouring
//! releases run side by side during an upgrade, so a frame that is not understood is passed over by its hearer and costs its
//! sender a time-out, never a message.

use bytes::Bytes;
use sealwire_protocol::{DeviceId, MessageId, Username};
use serde::{Deserialize, Serialize};

/// The version of the encoding. Rises with every change that an older node would misread.
pub const VERSION: u8 = 1;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// A copy for a device that is connected at the hearer.
    Parcel {
        /// As the sender counts its parcels; named in the [`Frame::Outcome`].
        id: u64,
        /// The connection that it is for, and no other one.
        connection: u64,
        /// The copy.
        copy: Box<Copy>,
    },
    /// What became of a parcel.
    Outcome {
        /// Which.
        id: u64,
        /// What.
        verdict: Verdict,
    },
    /// Whoever refused parcels with this token takes new ones: all that were sent before are given up.
    Resume {
        /// From [`Verdict::Refused`].
        token: u64,
    },
    /// The store holds mail for a device that is connected at the hearer.
    Nudge {
        /// Named in the answer.
        id: u64,
        /// Whose mailbox.
        #[serde(with = "raw::device")]
        device: DeviceId,
    },
    /// The session of the device knows, or there is none.
    Nudged {
        /// Of the [`Frame::Nudge`].
        id: u64,
    },
    /// The device has connected at the sender: this connection is to let go.
    TakeOver {
        /// Named in the answer.
        id: u64,
        /// Whose.
        #[serde(with = "raw::device")]
        device: DeviceId,
        /// Which.
        connection: u64,
    },
    /// The connection has let go and committed what it held, or was not there.
    LetGo {
        /// Of the [`Frame::TakeOver`].
        id: u64,
    },
    /// What the store holds of an account has changed.
    Changed {
        /// Whose.
        username: Username,
    },
    /// A message of a device that is connected at the hearer has reached a device of its addressee after all.
    Delivered {
        /// The device that sent it.
        #[serde(with = "raw::device")]
        device: DeviceId,
        /// Which.
        #[serde(with = "raw::message")]
        message_id: MessageId,
    },
    /// A message of a device that is connected at the hearer was not fetched in time.
    Expired {
        /// The device that sent it.
        #[serde(with = "raw::device")]
        device: DeviceId,
        /// Which.
        #[serde(with = "raw::message")]
        message_id: MessageId,
    },
    /// An envelope that is never stored.
    Signal {
        /// Whom it is for.
        #[serde(with = "raw::device")]
        device: DeviceId,
        /// What all its devices share.
        shared: Bytes,
        /// The device's wrapped key in Base64.
        wrap: String,
    },
    /// Somebody can be seen at the sender, or no more.
    Presence {
        /// Who.
        username: Username,
        /// Whether.
        online: bool,
    },
    /// The sender lives. Also tells of a gap when nothing else follows.
    Tick,
    /// The sender is about to end, and all that it held is stored. Nothing follows.
    Leaving,
}

/// A copy of a message, as `sealwire_store::Mail` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Whose mailbox it belongs in.
    #[serde(with = "raw::device")]
    pub device: DeviceId,
    /// The device that sent it.
    #[serde(with = "raw::device")]
    pub from_device: DeviceId,
    /// The id that this device gave it.
    #[serde(with = "raw::message")]
    pub message_id: MessageId,
    /// Who sent it.
    pub from: Username,
    /// Whether it is for another device of the sender.
    pub own: bool,
    /// The ordering key.
    pub order: u64,
    /// When it was accepted, milliseconds since 1970.
    pub accepted_at: u64,
    /// To recognise a repeat: of timestamp, addressee and recipients.
    pub header: u64,
    /// To recognise a repeat: of the sealed bytes.
    pub content: u64,
    /// What all copies have in common.
    pub shared: Bytes,
    /// This device's own part.
    pub wrap: Bytes,
}

/// What became of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The device has acknowledged it.
    Delivered,
    /// The store holds it.
    Stored,
    /// The device was removed, and the copy is of no use to anybody.
    Missed,
    /// The id was used for other bytes.
    Conflict,
    /// Neither handed over nor stored, as far as is known.
    Failed,
    /// The connection is not there any more: the sender decides.
    NotHere,
    /// Something that the sender sent before is missing, so this would overtake it: the sender decides, and says
    /// [`Frame::Resume`] once it has given up what it sent before.
    Refused {
        /// Named in the `Resume`.
        token: u64,
    },
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Of a newer or older release.
    #[error("a frame of version {0}; this node speaks version {VERSION}")]
    Version(u8),
    /// Not what it should be.
    #[error("a frame that cannot be read")]
    Damaged,
}

impl Frame {
    /// The bytes of a frame.
    pub fn to_bytes(&self) -> Bytes {
        let bytes = postcard::to_extend(self, vec![VERSION]);
        bytes.expect("a vector takes every frame, and frames have no failing Serialize").into()
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`FrameError`] says why it is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FrameError> {
        match bytes.split_first() {
            Some((&VERSION, frame)) => postcard::from_bytes(frame).map_err(|_| FrameError::Damaged),
            Some((&version, _)) => Err(FrameError::Version(version)),
            None => Err(FrameError::Damaged),
        }
    }
}

/// Ids as their 16 bytes.
mod raw {
    macro_rules! raw_id {
        ($name:ident, $id:ident) => {
            pub(super) mod $name {
                use sealwire_protocol::$id;
                use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

                pub(crate) fn serialize<S: Serializer>(id: &$id, serializer: S) -> Result<S::Ok, S::Error> {
                    id.as_bytes().serialize(serializer)
                }

                pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$id, D::Error> {
                    $id::from_bytes(<[u8; 16]>::deserialize(deserializer)?).map_err(de::Error::custom)
                }
            }
        };
    }

    raw_id!(device, DeviceId);
    raw_id!(message, MessageId);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel() -> Frame {
        let id = [7_u8; 10];
        let copy = Copy {
            device: DeviceId::new_v7(1, id),
            from_device: DeviceId::new_v7(2, id),
            message_id: MessageId::new_v7(3, id),
            from: "alice".parse().unwrap(),
            own: false,
            order: u64::MAX,
            accepted_at: 5,
            header: 6,
            content: 7,
            shared: vec![8; 900].into(),
            wrap: vec![9; 684].into(),
        };
        Frame::Parcel { id: 1, connection: 2, copy: Box::new(copy) }
    }

    #[test]
    fn a_frame_is_read_as_it_was_written_and_takes_little_more_than_its_content() {
        let bytes = parcel().to_bytes();
        assert_eq!(Frame::from_bytes(&bytes), Ok(parcel()));
        assert!(bytes.len() < 900 + 684 + 120, "{}", bytes.len());
        for frame in [Frame::Tick, Frame::Leaving, Frame::Outcome { id: 9, verdict: Verdict::Refused { token: 3 } }] {
            assert_eq!(Frame::from_bytes(&frame.to_bytes()), Ok(frame));
        }
    }

    #[test]
    fn what_is_no_frame_is_told_from_one_of_another_version() {
        let bytes = parcel().to_bytes();
        for length in 0..bytes.len() {
            assert!(Frame::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        assert_eq!(Frame::from_bytes(&[VERSION + 1, 0]), Err(FrameError::Version(VERSION + 1)));
        assert_eq!(Frame::from_bytes(&[VERSION, 200]), Err(FrameError::Damaged));
    }
}
