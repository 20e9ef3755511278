//! Opening (protocol section 4): the recipient's checks, in their order.

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

    /// The device's wrap key with this id, if it still holds it.
    fn wrap_key(&self, kid: &Kid) -> Option<&WrapKey>;

    /// The sender's device signing key, from the chain of the identity key pinned for that name
    /// ([`Chain::sender_key`](crate::manifest::Chain::sender_key)).
    ///
    /// # Errors
    /// [`NoSenderKey`] says whether another look at the server's `keys` may still find it.
    fn sender_key(&self, from: &Username, device: &DeviceId, timestamp: u64) -> Result<SenderKey, NoSenderKey>;

    /// Whether a message of this device with this id has been opened before.
    fn has_seen(&self, from_device: &DeviceId, message_id: &MessageId) -> bool;
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

/// Opens an envelope. `now` is the local clock corrected by the server's, in milliseconds since 1970; `rng` blinds the
/// private operation.
///
/// The caller goes on with step 11: message, replay mark and counter in one transaction.
///
/// # Errors
/// The first of the checks that failed.
pub fn open<R: CryptoRng + ?Sized>(
    rng: &mut R,
    receiver: &impl Receiver,
    lane: Lane,
    now: u64,
    envelope: &Delivered,
) -> Result<Opened, OpenError> {
    check_shape(envelope)?;
    let me = check_addressing(receiver, envelope)?;
    let sender = look_up_sender(receiver, envelope)?;
    check_is_new(receiver, now, envelope)?;
    if sha256(&envelope.wrap) != envelope.wrap_hashes[me.index] {
        return Err(OpenError::WrapMismatch);
    }
    let header = envelope.header(sender.spki());
    let hdr = header.to_bytes();
    check_signature(sender.spki(), &hdr, envelope)?;
    let payload = decrypt(rng, &me, &hdr, lane, envelope).ok_or(OpenError::Undecryptable)?;
    Ok(Opened { header, sender, payload })
}

/// This device's place among the recipients, and its key.
struct Addressed<'a> {
    index: usize,
    recipient: &'a Recipient,
    key: &'a WrapKey,
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

/// Step 2.
fn check_addressing<'a>(receiver: &'a impl Receiver, envelope: &'a Delivered) -> Result<Addressed<'a>, OpenError> {
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
    let recipient = &envelope.recipients[index];
    let key = receiver.wrap_key(&recipient.dwk_kid).ok_or(OpenError::WrapKeyGone)?;
    Ok(Addressed { index, recipient, key })
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

/// Steps 7 to 10. Which of them failed is nobody's business.
fn decrypt<R: CryptoRng + ?Sized>(
    rng: &mut R,
    me: &Addressed<'_>,
    hdr: &[u8],
    lane: Lane,
    envelope: &Delivered,
) -> Option<Payload> {
    let content_key = me.key.unwrap_key(rng, &wrap_label(hdr, me.recipient), &envelope.wrap)?;
    let padded = content::decrypt(&content_key, hdr, &envelope.iv, &envelope.encrypted_message)?;
    Payload::from_bytes(unpad(&padded)?).filter(|payload| payload.suits(lane))
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
