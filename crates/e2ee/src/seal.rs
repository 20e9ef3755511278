//! Sealing (protocol section 4, suite 1).

use rand_core::CryptoRng;
use sealwire_protocol::signed::{
    Header, IV_LEN, Kind, MAX_RECIPIENTS, Recipient, SUITE_RSA_OAEP_4096_AES_256_GCM, message_input, sha256, wrap_label,
};
use sealwire_protocol::spki::Spki;
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};
use zeroize::Zeroizing;

use crate::keys::SigningKey;
use crate::padding::pad;
use crate::payload::{Lane, Payload};
use crate::provider::RsaJob;
use crate::{content, rsa};

/// A device to seal for, with the wrap key of its newest certificate.
#[derive(Debug, Clone)]
pub struct Target {
    /// Whose device.
    pub username: Username,
    /// Which device.
    pub device: DeviceId,
    /// Its wrap key, checked by [`SignedWrapCert::check`](crate::certificate::SignedWrapCert::check).
    pub dwk: Spki,
}

/// A message before it is sealed.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// Which frame will carry it.
    pub lane: Lane,
    /// Its id.
    pub message_id: MessageId,
    /// The sender's corrected clock, in milliseconds since 1970.
    pub timestamp: u64,
    /// Who sends it.
    pub from: &'a Username,
    /// From which device.
    pub from_device: DeviceId,
    /// The addressee; oneself is allowed.
    pub to: &'a Username,
    /// Every device of the addressee and every other device of the sender, in any order.
    pub targets: &'a [Target],
    /// What is said.
    pub payload: &'a Payload,
}

/// An envelope, ready to send. The same bytes are sent again after a lost connection: seal once, store, then send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Everything outside of the ciphertext.
    pub header: Header,
    /// The initialisation vector.
    pub iv: [u8; IV_LEN],
    /// Commitment and ciphertext.
    pub encrypted_message: Vec<u8>,
    /// The wrapped content key for each recipient, in the header's order.
    pub wraps: Vec<Vec<u8>>,
    /// The signature over all of it.
    pub signature: Vec<u8>,
}

/// An envelope that its sending device is yet to sign. Its content key is gone: nothing secret is left in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    header: Header,
    iv: [u8; IV_LEN],
    encrypted_message: Vec<u8>,
    wraps: Vec<Vec<u8>>,
    to_sign: Vec<u8>,
}

/// A draft that no receiver would accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No target, more than [`MAX_RECIPIENTS`], or one twice.
    #[error("an envelope is sealed for 1 to {MAX_RECIPIENTS} devices, each once")]
    Targets,
    /// A target that is neither the addressee's nor the sender's device.
    #[error("an envelope is sealed for devices of its addressee and its sender only")]
    Stranger,
    /// The sending device among the targets.
    #[error("the sending device is never a recipient")]
    SendingDevice,
    /// Counter or previous of the other lane.
    #[error("a message counts from 1, a signal has the counter 0")]
    Counter,
}

/// Seals a draft with the sending device's key.
///
/// # Errors
/// [`SealError`] when no receiver would accept it.
pub fn seal<R: CryptoRng + ?Sized>(rng: &mut R, key: &SigningKey, draft: &Draft<'_>) -> Result<Sealed, SealError> {
    let unsigned = prepare(rng, key.kid(), draft)?;
    let signature = key.sign(rng, &unsigned.to_sign);
    Ok(unsigned.finish(signature))
}

/// Seals a draft but for the signature of the sending device, whose signing key is `dsk_kid`.
///
/// # Errors
/// [`SealError`] when no receiver would accept it.
pub fn prepare<R: CryptoRng + ?Sized>(rng: &mut R, dsk_kid: &Kid, draft: &Draft<'_>) -> Result<Unsigned, SealError> {
    check(draft)?;
    let mut targets: Vec<_> = draft.targets.iter().collect();
    targets.sort_by_key(|target| (&target.username, &target.device));
    let header = header(dsk_kid, draft, &targets);
    if !header.has_recipients_in_order() {
        return Err(SealError::Targets);
    }
    let hdr = header.to_bytes();
    let content_key = random_content_key(rng);
    let mut iv = [0; IV_LEN];
    rng.fill_bytes(&mut iv);
    let encrypted_message = content::encrypt(&content_key, &hdr, &iv, &pad(&draft.payload.to_bytes()));
    let wraps: Vec<_> = header
        .recipients
        .iter()
        .zip(&targets)
        .map(|(recipient, target)| rsa::encrypt(rng, &target.dwk, &wrap_label(&hdr, recipient), &content_key))
        .collect();
    let hashes: Vec<_> = wraps.iter().map(|wrap| sha256(wrap)).collect();
    let to_sign = message_input(&hdr, &iv, &encrypted_message, &hashes);
    Ok(Unsigned { header, iv, encrypted_message, wraps, to_sign })
}

impl Unsigned {
    /// The job that signs it.
    pub fn job(&self) -> RsaJob {
        RsaJob::Sign { key: self.header.dsk_kid, message: self.to_sign.clone() }
    }

    /// Takes the job's signature.
    pub fn finish(self, signature: Vec<u8>) -> Sealed {
        let Self { header, iv, encrypted_message, wraps, to_sign: _ } = self;
        Sealed { header, iv, encrypted_message, wraps, signature }
    }
}

fn check(draft: &Draft<'_>) -> Result<(), SealError> {
    let ours = |target: &Target| target.username == *draft.to || target.username == *draft.from;
    if !draft.targets.iter().all(ours) {
        return Err(SealError::Stranger);
    }
    if draft.targets.iter().any(|target| target.device == draft.from_device) {
        return Err(SealError::SendingDevice);
    }
    if draft.payload.suits(draft.lane) { Ok(()) } else { Err(SealError::Counter) }
}

fn header(dsk_kid: &Kid, draft: &Draft<'_>, targets: &[&Target]) -> Header {
    let recipient = |target: &&Target| Recipient {
        username: target.username.clone(),
        device: target.device,
        dwk_kid: target.dwk.kid(),
    };
    Header {
        suite: SUITE_RSA_OAEP_4096_AES_256_GCM,
        message_id: draft.message_id,
        timestamp: draft.timestamp,
        from: draft.from.clone(),
        from_device: draft.from_device,
        dsk_kid: *dsk_kid,
        kind: Kind::Direct,
        to: draft.to.clone(),
        recipients: targets.iter().map(recipient).collect(),
    }
}

fn random_content_key<R: CryptoRng + ?Sized>(rng: &mut R) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut key[..]);
    key
}
