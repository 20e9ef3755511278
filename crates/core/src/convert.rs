//! Between frames, as JSON carries them, and what is signed and sealed.

use std::borrow::Cow;

use sealwire_e2ee::certificate::SignedWrapCert;
use sealwire_e2ee::manifest::SignedManifest;
use sealwire_e2ee::{Delivered, Sealed};
use sealwire_protocol::base64::{Array, Base64, Blob};
use sealwire_protocol::frames::{self, ClientFrame, ManifestDeviceFrame, ManifestFrame, Request, WrapFrame};
use sealwire_protocol::signed::{Manifest, ManifestDevice, Recipient, WrapCert};
use sealwire_protocol::spki::{KeyError, Spki};

/// A manifest as a frame carries it. Nothing of it is checked but the form of its keys.
///
/// # Errors
/// [`KeyError`] when one of the keys is none.
pub fn manifest_from_frame(frame: &ManifestFrame) -> Result<SignedManifest, KeyError> {
    let device = |device: &ManifestDeviceFrame| {
        let dsk = Spki::parse(&device.dsk.0)?;
        Ok(ManifestDevice { id: device.id, dsk, added_at: device.added_at, capabilities: device.capabilities })
    };
    let devices = frame.devices.iter().map(device).collect::<Result<_, KeyError>>()?;
    let (version, prev_hash, issued_at) = (frame.version, frame.prev_hash.0, frame.issued_at);
    let manifest = Manifest { version, prev_hash, issued_at, devices };
    Ok(SignedManifest { manifest, signature: frame.signature.0.clone() })
}

/// A manifest as a frame carries it.
pub fn manifest_to_frame(signed: &SignedManifest) -> ManifestFrame {
    let manifest = &signed.manifest;
    let device = |device: &ManifestDevice| ManifestDeviceFrame {
        id: device.id,
        dsk: Blob(device.dsk.as_bytes().to_vec()),
        added_at: device.added_at,
        capabilities: device.capabilities,
    };
    ManifestFrame {
        version: manifest.version,
        prev_hash: Array(manifest.prev_hash),
        issued_at: manifest.issued_at,
        devices: manifest.devices.iter().map(device).collect(),
        signature: Blob(signed.signature.clone()),
    }
}

/// A wrap certificate as a frame carries it. Nothing of it is checked but the form of its key.
///
/// # Errors
/// [`KeyError`] when the key is none.
pub fn cert_from_frame(frame: &WrapFrame) -> Result<SignedWrapCert, KeyError> {
    let dwk = Spki::parse(&frame.dwk.0)?;
    let cert = WrapCert { seq: frame.seq, dwk, not_before: frame.not_before, not_after: frame.not_after };
    Ok(SignedWrapCert { cert, signature: frame.signature.0.clone() })
}

/// A wrap certificate as a frame carries it.
pub fn cert_to_frame(signed: &SignedWrapCert) -> WrapFrame {
    WrapFrame {
        seq: signed.cert.seq,
        dwk: Blob(signed.cert.dwk.as_bytes().to_vec()),
        not_before: signed.cert.not_before,
        not_after: signed.cert.not_after,
        signature: Blob(signed.signature.clone()),
    }
}

/// The envelope of a delivered message.
pub fn envelope(frame: &frames::Delivered) -> Delivered {
    let recipient = |r: &frames::DeliveredRecipient| Recipient { username: r.u.clone(), device: r.d, dwk_kid: r.k };
    Delivered {
        suite: frame.suite,
        message_id: frame.message_id,
        timestamp: frame.timestamp,
        from: frame.from.clone(),
        from_device: frame.from_device,
        to: frame.to.clone(),
        recipients: frame.recipients.iter().map(recipient).collect(),
        iv: frame.iv.0,
        encrypted_message: frame.encrypted_message.0.clone(),
        wrap: frame.encrypted_key.0.clone(),
        wrap_hashes: frame.recipients.iter().map(|recipient| recipient.h.0).collect(),
        signature: frame.signature.0.clone(),
    }
}

/// The `message` frame of a sealed envelope: the bytes that are stored, and sent as often as it takes. Its `id` is the
/// message's, so that every error finds its message.
pub fn message_frame(sealed: &Sealed) -> String {
    let id = Some(Cow::Owned(sealed.header.message_id.to_string()));
    ClientFrame { id, ack: None, request: Request::Message(Box::new(frame_of(sealed))) }.to_json()
}

/// The `signal` frame of a sealed envelope. It has no `id`: whether it arrives is nobody's concern.
pub fn signal_frame(sealed: &Sealed) -> String {
    ClientFrame::from(Request::Signal(Box::new(frame_of(sealed)))).to_json()
}

fn frame_of(sealed: &Sealed) -> frames::Message<'_> {
    let header = &sealed.header;
    let recipient =
        |r: &Recipient| frames::Recipient { u: r.username.as_str().to_owned().into(), d: r.device, k: r.dwk_kid };
    let wrapped = |(r, wrap): (&Recipient, &Vec<u8>)| frames::Wrapped {
        u: r.username.as_str().to_owned().into(),
        d: r.device,
        w: Base64::encode(wrap),
    };
    let (one, many) = match sealed.wraps.as_slice() {
        [only] => (Some(Base64::encode(only)), None),
        wraps => (None, Some(header.recipients.iter().zip(wraps).map(wrapped).collect())),
    };
    frames::Message {
        message_id: header.message_id,
        to: Cow::Borrowed(header.to.as_str()),
        encrypted_message: Base64::encode(&sealed.encrypted_message),
        iv: Base64::encode(&sealed.iv),
        timestamp: header.timestamp,
        signature: Base64::encode(&sealed.signature),
        suite: header.suite,
        recipients: header.recipients.iter().map(recipient).collect(),
        encrypted_key: one,
        encrypted_keys: many,
    }
}
