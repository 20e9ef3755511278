//! Opening (protocol section 4): the recipient's checks, in their order.

use std::fmt;

use rand_core::CryptoRng;
use sealwire_protocol::signed::{
    Header, IV_LEN, Kind, MAX_RECIPIENTS, Recipient, SUITE_RSA_OAEP_4096_AES_256_GCM, message_input, sha256, wrap_label,
};
use sealwire_protocol::spki::Spki;
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};

use crate::content::{self, COMMITMENT_LEN, TAG_LEN};
use crate::keys::WrapKey;
use crate::manifest::SenderKey;
use crate::padding::unpad;
use crate::payload::{Lane, Payload};
use crate::provider::{ContentKey, RsaJob};
use crate::verify::verify;

const MINUTE: u64 = 60 * 1000;
/// How old a message may be, in milliseconds.
pub const MAX_AGE: u64 = 45 * 24 * 60 * MINUTE;
/// How far ahead of the corrected local clock a message may be, in milliseconds.
pub const MAX_AHEAD: u64 = 5 * MINUTE;

/// An envelope as the server delivers it to one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The cipher suite.
    pub suite: u8,
    /// The message.
    pub message_id: MessageId,
    /// When it was sealed, in milliseconds since 1970.
    pub timestamp: u64,
    /// Who sent it, says the server; the signature decides.
    pub from: Username,
    /// From which device.
    pub from_device: DeviceId,
    /// The addressee, whose name is the conversation's.
    pub to: Username,
    /// The devices that it was sealed for.
    pub recipients: Vec<Recipient>,
    /// The initialisation vector.
    pub iv: [u8; IV_LEN],
    /// Commitment and ciphertext.
    pub encrypted_message: Vec<u8>,
    /// This device's wrap of the content key.
    pub wrap: Vec<u8>,
    /// SHA-256 of every recipient's wrap, in the order of the recipients.
    pub wrap_hashes: Vec<[u8; 32]>,
    /// The sender's signature.
    pub signature: Vec<u8>,
}

/// What the receiving device knows: its own names and keys, its pins, and what it has seen.
pub trait Receiver {
    /// The account's name.
    fn username(&self) -> &Username;

    /// The device's id.
    fn device(&self) -> &DeviceId;

    /// Whether the device still holds the wrap key with this id.
    fn holds(&self, kid: &Kid) -> bool;

    /// The sender's device signing key, from the chain of the identity key pinned for that name
    /// ([`Chain::sender_key`](crate::manifest::Chain::sender_key)).
    ///
    /// # Errors
    /// [`NoSenderKey`] says whether another look at the server's `keys` may still find it.
    fn sender_key(&self, from: &Username, device: &DeviceId, timestamp: u64) -> Result<SenderKey, NoSenderKey>;

    /// Whether a message of this device with this id has been opened before.
    fn has_seen(&self, from_device: &DeviceId, message_id: &MessageId) -> bool;
}

/// A receiver whose wrap keys lie in this process: it can [`open`] in one call.
pub trait KeyHolder: Receiver {
    /// The wrap key with this id; there when [`Receiver::holds`] it.
    fn wrap_key(&self, kid: &Kid) -> Option<&WrapKey>;
}

/// Why there is no key to verify a sender with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSenderKey {
    /// The newest manifests are known, and the device is in none that counts.
    Unknown,
    /// The manifests could not be fetched yet.
    Undecided,
}

/// An opened message: its sender is proven, its payload authentic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Everything outside of the ciphertext, now verified.
    pub header: Header,
    /// Whether the sending device is still listed.
    pub sender: SenderKey,
    /// What was said.
    pub payload: Payload,
}

/// Why an envelope was not opened. The steps are those of section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Step 1: a suite, length or count that no envelope has.
    #[error("not the shape of an envelope")]
    Shape,
    /// Step 2: not for this device, or its recipients are out of order or none of this conversation's.
    #[error("not addressed to this device")]
    NotForMe,
    /// Step 2: for this device, but under a wrap key that it does not hold (any more).
    #[error("sealed for a key that this device does not hold")]
    WrapKeyGone,
    /// Step 3: no pinned identity vouches for the sending device.
    #[error("the sending device is not known")]
    UnknownSender,
    /// Step 3 cannot be decided yet: store the envelope as it came, acknowledge, try again.
    #[error("the sending device cannot be looked up yet")]
    Undecided,
    /// Step 4: opened before.
    #[error("this message has been opened before")]
    Replay,
    /// Step 4: older than [`MAX_AGE`].
    #[error("the message is too old")]
    TooOld,
    /// Step 4: more than [`MAX_AHEAD`] ahead: store the envelope as it came, acknowledge, try again.
    #[error("the message's time lies ahead")]
    Ahead,
    /// Step 5: not the wrap that its list names.
    #[error("the wrapped key is not the listed one")]
    WrapMismatch,
    /// Step 6: the sender did not sign this.
    #[error("the signature is not the sender's")]
    BadSignature,
    /// Steps 7 to 10, all alike: the sender signed something that does not open.
    #[error("undecryptable")]
    Undecryptable,
}

impl OpenError {
    /// Whether the envelope is kept as it came and tried again, rather than stored as failed.
    pub fn is_for_later(self) -> bool {
        matches!(self, Self::Undecided | Self::Ahead)
    }
}

/// An envelope that has passed steps 1 to 6: its sender is proven, and the content key is yet to be unwrapped.
///
/// `Debug` shows who sent it and nothing of what was said.
pub struct Checked {
    header: Header,
    hdr: Vec<u8>,
    sender: SenderKey,
    lane: Lane,
    iv: [u8; IV_LEN],
    encrypted_message: Vec<u8>,
    key: Kid,
    label: [u8; 32],
    wrap: Vec<u8>,
}

/// Opens an envelope. `now` is the local clock corrected by the server's, in milliseconds since 1970; `rng` blinds the
/// private operation.
///
/// The caller goes on with step 11: message, replay mark and counter in one transaction.
///
/// # Errors
/// The first of the checks that failed.
pub fn open<R: CryptoRng + ?Sized>(
    rng: &mut R,
    receiver: &impl KeyHolder,
    lane: Lane,
    now: u64,
    envelope: &Delivered,
) -> Result<Opened, OpenError> {
    let checked = check(receiver, lane, now, envelope)?;
    let key = receiver.wrap_key(&checked.key).ok_or(OpenError::WrapKeyGone)?;
    let content_key = key.unwrap_key(rng, &checked.label, &checked.wrap);
    checked.finish(content_key)
}

/// Steps 1 to 6, all that can be done without a private key. `now` is the local clock corrected by the server's, in
/// milliseconds since 1970.
///
/// # Errors
/// The first of the checks that failed.
pub fn check(receiver: &impl Receiver, lane: Lane, now: u64, envelope: &Delivered) -> Result<Checked, OpenError> {
    check_shape(envelope)?;
    let index = check_addressing(receiver, envelope)?;
    let sender = look_up_sender(receiver, envelope)?;
    check_is_new(receiver, now, envelope)?;
    if sha256(&envelope.wrap) != envelope.wrap_hashes[index] {
        return Err(OpenError::WrapMismatch);
    }
    let header = envelope.header(sender.spki());
    let hdr = header.to_bytes();
    check_signature(sender.spki(), &hdr, envelope)?;
    let me = &envelope.recipients[index];
    Ok(Checked {
        sender,
        lane,
        iv: envelope.iv,
        encrypted_message: envelope.encrypted_message.clone(),
        key: me.dwk_kid,
        label: wrap_label(&hdr, me),
        wrap: envelope.wrap.clone(),
        header,
        hdr,
    })
}

impl Checked {
    /// The job of step 7.
    pub fn job(&self) -> RsaJob {
        RsaJob::Unwrap { key: self.key, label: self.label, wrap: self.wrap.clone() }
    }

    /// Steps 7 to 10, with what the job gave.
    ///
    /// # Errors
    /// [`OpenError::Undecryptable`], whichever of them failed.
    pub fn finish(self, content_key: Option<ContentKey>) -> Result<Opened, OpenError> {
        let payload = content_key.and_then(|key| self.decrypt(&key)).ok_or(OpenError::Undecryptable)?;
        Ok(Opened { header: self.header, sender: self.sender, payload })
    }

    /// Steps 8 to 10. Which of them failed is nobody's business.
    fn decrypt(&self, content_key: &ContentKey) -> Option<Payload> {
        let padded = content::decrypt(content_key.bytes(), &self.hdr, &self.iv, &self.encrypted_message)?;
        Payload::from_bytes(unpad(&padded)?).filter(|payload| payload.suits(self.lane))
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checked").field("header", &self.header).field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// Step 1.
fn check_shape(envelope: &Delivered) -> Result<(), OpenError> {
    let good = envelope.suite == SUITE_RSA_OAEP_4096_AES_256_GCM
        && (1..=MAX_RECIPIENTS).contains(&envelope.recipients.len())
        && envelope.wrap_hashes.len() == envelope.recipients.len()
        && envelope.wrap.len() == Spki::MODULUS_LEN
        && envelope.signature.len() == Spki::MODULUS_LEN
        && envelope.encrypted_message.len() > COMMITMENT_LEN + TAG_LEN;
    if good { Ok(()) } else { Err(OpenError::Shape) }
}

/// Step 2: this device's place among the recipients.
fn check_addressing(receiver: &impl Receiver, envelope: &Delivered) -> Result<usize, OpenError> {
    let (name, device) = (receiver.username(), receiver.device());
    let of_the_two = |recipient: &Recipient| [&envelope.to, &envelope.from].contains(&&recipient.username);
    let good = [&envelope.to, &envelope.from].contains(&name)
        && envelope.recipients.iter().all(of_the_two)
        && envelope.recipients.is_sorted_by(|a, b| a.order() < b.order())
        && envelope.from_device != *device;
    if !good {
        return Err(OpenError::NotForMe);
    }
    let index = envelope.recipients.iter().position(|recipient| recipient.order() == (name, device));
    let index = index.ok_or(OpenError::NotForMe)?;
    if receiver.holds(&envelope.recipients[index].dwk_kid) { Ok(index) } else { Err(OpenError::WrapKeyGone) }
}

/// Step 3.
fn look_up_sender(receiver: &impl Receiver, envelope: &Delivered) -> Result<SenderKey, OpenError> {
    receiver.sender_key(&envelope.from, &envelope.from_device, envelope.timestamp).map_err(|why| match why {
        NoSenderKey::Unknown => OpenError::UnknownSender,
        NoSenderKey::Undecided => OpenError::Undecided,
    })
}

/// Step 4.
fn check_is_new(receiver: &impl Receiver, now: u64, envelope: &Delivered) -> Result<(), OpenError> {
    if receiver.has_seen(&envelope.from_device, &envelope.message_id) {
        return Err(OpenError::Replay);
    }
    match envelope.timestamp {
        then if then > now.saturating_add(MAX_AHEAD) => Err(OpenError::Ahead),
        then if then < now.saturating_sub(MAX_AGE) => Err(OpenError::TooOld),
        _ => Ok(()),
    }
}

/// Step 6.
fn check_signature(key: &Spki, hdr: &[u8], envelope: &Delivered) -> Result<(), OpenError> {
    let input = message_input(hdr, &envelope.iv, &envelope.encrypted_message, &envelope.wrap_hashes);
    verify(key, &input, &envelope.signature).map_err(|_| OpenError::BadSignature)
}

impl Delivered {
    /// The header as the sender signed it; the sender's key is not delivered, but known by its pin.
    fn header(&self, dsk: &Spki) -> Header {
        Header {
            suite: self.suite,
            message_id: self.message_id,
            timestamp: self.timestamp,
            from: self.from.clone(),
            from_device: self.from_device,
            dsk_kid: dsk.kid(),
            kind: Kind::Direct,
            to: self.to.clone(),
            recipients: self.recipients.clone(),
        }
    }
}
