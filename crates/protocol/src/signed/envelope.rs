//! The header of an envelope and the strings over it (protocol section 4).

use super::{label, push_count, push_lp, sha256};
use crate::ids::{DeviceId, Kid, MessageId, Username};

/// Suite 1: RSA-OAEP-4096, AES-256-GCM, SHA-256; the only one of version 1.
pub const SUITE_RSA_OAEP_4096_AES_256_GCM: u8 = 1;
/// The most recipient devices of one envelope.
pub const MAX_RECIPIENTS: usize = 64;
/// Length of the initialisation vector, in bytes.
pub const IV_LEN: usize = 12;

/// What an envelope is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A person. The only kind of version 1, and not sent.
    Direct = 1,
    /// A group.
    Group = 2,
}

/// A device that an envelope is sealed for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// Whose device.
    pub username: Username,
    /// Which device.
    pub device: DeviceId,
    /// The wrap key that the content key is wrapped to.
    pub dwk_kid: Kid,
}

impl Recipient {
    /// What a list of recipients is sorted by, strictly ascending.
    pub fn order(&self) -> (&Username, &DeviceId) {
        (&self.username, &self.device)
    }
}

/// HDR: everything about an envelope that stands outside of its ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The cipher suite.
    pub suite: u8,
    /// The message.
    pub message_id: MessageId,
    /// When it was sealed, in milliseconds since 1970.
    pub timestamp: u64,
    /// Who sends it.
    pub from: Username,
    /// From which device.
    pub from_device: DeviceId,
    /// The device signing key that signs it.
    pub dsk_kid: Kid,
    /// What it is sent to.
    pub kind: Kind,
    /// The addressee, whose name is the conversation's.
    pub to: Username,
    /// The devices that it is sealed for.
    pub recipients: Vec<Recipient>,
}

impl Header {
    /// HDR as it is authenticated, hashed and signed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192 + self.recipients.len() * 84);
        push_lp(&mut out, label::HEADER.as_bytes());
        out.push(self.suite);
        out.extend_from_slice(self.message_id.as_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        push_lp(&mut out, self.from.as_str().as_bytes());
        out.extend_from_slice(self.from_device.as_bytes());
        out.extend_from_slice(self.dsk_kid.as_bytes());
        out.push(self.kind as u8);
        push_lp(&mut out, self.to.as_str().as_bytes());
        push_count(&mut out, self.recipients.len());
        for recipient in &self.recipients {
            push_recipient(&mut out, recipient);
        }
        out
    }

    /// Whether the recipients are 1 to [`MAX_RECIPIENTS`] and strictly ascending by name and device.
    pub fn has_recipients_in_order(&self) -> bool {
        (1..=MAX_RECIPIENTS).contains(&self.recipients.len())
            && self.recipients.is_sorted_by(|a, b| a.order() < b.order())
    }
}

fn push_recipient(out: &mut Vec<u8>, recipient: &Recipient) {
    push_lp(out, recipient.username.as_str().as_bytes());
    out.extend_from_slice(recipient.device.as_bytes());
    out.extend_from_slice(recipient.dwk_kid.as_bytes());
}

/// The OAEP label that ties a wrap to its envelope and its recipient; `hdr` is [`Header::to_bytes`].
pub fn wrap_label(hdr: &[u8], recipient: &Recipient) -> [u8; 32] {
    let mut out = Vec::with_capacity(hdr.len() + 128);
    push_lp(&mut out, label::WRAP.as_bytes());
    out.extend_from_slice(hdr);
    push_recipient(&mut out, recipient);
    sha256(&out)
}

/// The bytes that the sender's device signing key signs; `hdr` is [`Header::to_bytes`], `wrap_hashes` the SHA-256 of
/// each wrap in the order of the recipients.
pub fn message_input(hdr: &[u8], iv: &[u8; IV_LEN], encrypted_message: &[u8], wrap_hashes: &[[u8; 32]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(hdr.len() + 112 + wrap_hashes.len() * 32);
    push_lp(&mut out, label::MESSAGE.as_bytes());
    out.extend_from_slice(hdr);
    out.extend_from_slice(iv);
    out.extend_from_slice(&sha256(encrypted_message));
    // The place of an MLS message's hash (suites 2 and 3).
    out.extend_from_slice(&sha256(b""));
    push_count(&mut out, wrap_hashes.len());
    out.extend_from_slice(wrap_hashes.as_flattened());
    out
}

/// The `previous` of a device's next message in a conversation, from the one, the counter and the id of its last.
/// The first message's `previous` is zeros.
pub fn chain(previous: &[u8; 32], counter: u64, message_id: &MessageId) -> [u8; 32] {
    let mut out = Vec::with_capacity(96);
    push_lp(&mut out, label::CHAIN.as_bytes());
    out.extend_from_slice(previous);
    out.extend_from_slice(&counter.to_be_bytes());
    out.extend_from_slice(message_id.as_bytes());
    sha256(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(name: &str, device: u8) -> Recipient {
        let device = DeviceId::new_v7(u64::from(device), [0; 10]);
        Recipient { username: name.parse().unwrap(), device, dwk_kid: Kid([device.as_bytes()[5]; 32]) }
    }

    fn header(recipients: Vec<Recipient>) -> Header {
        Header {
            suite: SUITE_RSA_OAEP_4096_AES_256_GCM,
            message_id: MessageId::new_v7(1, [0; 10]),
            timestamp: 1,
            from: "alice".parse().unwrap(),
            from_device: DeviceId::new_v7(1, [0; 10]),
            dsk_kid: Kid([0; 32]),
            kind: Kind::Direct,
            to: "bob".parse().unwrap(),
            recipients,
        }
    }

    #[test]
    fn recipients_ascend_by_name_then_device_each_once() {
        let good = vec![recipient("alice", 9), recipient("bob", 1), recipient("bob", 2), recipient("bob.x", 0)];
        assert!(header(good.clone()).has_recipients_in_order());
        for (a, b) in [(0, 1), (1, 2), (2, 3)] {
            let mut bad = good.clone();
            bad.swap(a, b);
            assert!(!header(bad).has_recipients_in_order());
        }
        let other_key = Recipient { dwk_kid: Kid([9; 32]), ..recipient("bob", 1) };
        assert!(!header(vec![recipient("bob", 1), other_key]).has_recipients_in_order());
    }

    #[test]
    fn there_are_one_to_sixty_four_recipients() {
        let many = |n: u8| (0..n).map(|device| recipient("bob", device)).collect();
        assert!(!header(vec![]).has_recipients_in_order());
        assert!(header(many(64)).has_recipients_in_order());
        assert!(!header(many(65)).has_recipients_in_order());
    }
}
