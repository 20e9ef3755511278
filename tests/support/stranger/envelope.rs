//! Envelopes as JSON: sealed ones, and cheap ones of the right shape that nobody can open. The server cannot tell them apart.

use sealwire_e2ee::{ContentType, Draft, Lane, Payload, Target, seal};
use sealwire_protocol::MessageId;
use serde_json::{Value, json};

use super::identity::{Identity, b64, fresh_message_id};
use super::now;

/// RSA-4096: the length of a wrap and of a signature.
const RSA: usize = 512;

fn random(length: usize) -> Vec<u8> {
    (0..length).map(|_| rand::random()).collect()
}

/// A `message` frame of the right shape for somebody's one device, filled with random bytes.
pub fn dummy(to: &Identity) -> Value {
    dummy_of(to, 256)
}

/// The same with a ciphertext of this many bytes.
pub fn dummy_of(to: &Identity, length: usize) -> Value {
    json!({
        "type": "message",
        "messageId": fresh_message_id().to_string(),
        "to": to.name.as_str(),
        "encryptedMessage": b64(random(length)),
        "iv": b64(random(12)),
        "timestamp": now(),
        "signature": b64(random(RSA)),
        "suite": 1,
        "recipients": [to.recipient()],
        "encryptedKey": b64(random(RSA)),
    })
}

/// The same for several devices of both sides; `to` is the first one's name.
pub fn dummy_for(devices: &[&Identity]) -> Value {
    let mut frame = dummy(devices[0]);
    let mut sorted = devices.to_vec();
    sorted.sort_by_key(|device| (device.name.as_str().to_owned(), device.device));
    frame["recipients"] = sorted.iter().map(|device| device.recipient()).collect();
    if let (true, Some(fields)) = (sorted.len() > 1, frame.as_object_mut()) {
        fields.remove("encryptedKey");
        let wrap = |device: &&Identity| json!({ "u": device.name.as_str(), "d": device.device.to_string(), "w": b64(random(RSA)) });
        fields.insert("encryptedKeys".to_owned(), sorted.iter().map(wrap).collect());
    }
    frame
}

/// A `message` frame that `to` can open, the `counter`th in its conversation.
///
/// # Panics
/// When it cannot be sealed.
pub fn sealed(from: &Identity, to: &Identity, body: &str, counter: u64, previous: [u8; 32]) -> (MessageId, Value) {
    let message_id = fresh_message_id();
    let payload = Payload {
        content_type: ContentType::Content,
        counter,
        previous,
        self_manifest: [0; 32],
        peer_manifest: [0; 32],
        body: json!({ "kind": "text", "text": body }).to_string().into_bytes().into(),
    };
    let target = Target { username: to.name.clone(), device: to.device, dwk: to.dwk.public().clone() };
    let draft = Draft {
        lane: Lane::Message,
        message_id,
        timestamp: now(),
        from: &from.name,
        from_device: from.device,
        to: &to.name,
        targets: &[target],
        payload: &payload,
    };
    let sealed = seal(&mut rand::rng(), &from.dsk, &draft).expect("a draft that follows the rules");
    let frame = json!({
        "type": "message",
        "messageId": message_id.to_string(),
        "to": to.name.as_str(),
        "encryptedMessage": b64(&sealed.encrypted_message),
        "iv": b64(sealed.iv),
        "timestamp": sealed.header.timestamp,
        "signature": b64(&sealed.signature),
        "suite": 1,
        "recipients": [to.recipient()],
        "encryptedKey": b64(&sealed.wraps[0]),
    });
    (message_id, frame)
}
