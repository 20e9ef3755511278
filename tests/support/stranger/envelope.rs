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
    Writing { from, to: &[to], timestamp: now(), manifests: [[0; 32]; 2], counter, previous }.sealed(body)
}

/// How a message is written.
#[derive(Debug)]
pub struct Writing<'a> {
    /// By whom.
    pub from: &'a Identity,
    /// For which devices; the first one's name is the addressee.
    pub to: &'a [&'a Identity],
    /// When, by the writer's clock.
    pub timestamp: u64,
    /// The hashes of the manifests that the writer believes in, the own one first.
    pub manifests: [[u8; 32]; 2],
    /// Which one in its conversation.
    pub counter: u64,
    /// What it names as the one before.
    pub previous: [u8; 32],
}

impl Writing<'_> {
    /// The `message` frame of a text.
    ///
    /// # Panics
    /// When it cannot be sealed.
    pub fn sealed(&self, text: &str) -> (MessageId, Value) {
        let message_id = fresh_message_id();
        let mut to = self.to.to_vec();
        to.sort_by_key(|device| (device.name.as_str().to_owned(), device.device));
        let payload = Payload {
            content_type: ContentType::Content,
            counter: self.counter,
            previous: self.previous,
            self_manifest: self.manifests[0],
            peer_manifest: self.manifests[1],
            body: json!({ "kind": "text", "text": text }).to_string().into_bytes().into(),
        };
        let target =
            |to: &&Identity| Target { username: to.name.clone(), device: to.device, dwk: to.dwk.public().clone() };
        let draft = Draft {
            lane: Lane::Message,
            message_id,
            timestamp: self.timestamp,
            from: &self.from.name,
            from_device: self.from.device,
            to: &self.to[0].name,
            targets: &to.iter().map(target).collect::<Vec<_>>(),
            payload: &payload,
        };
        let sealed = seal(&mut rand::rng(), &self.from.dsk, &draft).expect("a draft that follows the rules");
        let mut frame = json!({
            "type": "message",
            "messageId": message_id.to_string(),
            "to": self.to[0].name.as_str(),
            "encryptedMessage": b64(&sealed.encrypted_message),
            "iv": b64(sealed.iv),
            "timestamp": sealed.header.timestamp,
            "signature": b64(&sealed.signature),
            "suite": 1,
            "recipients": to.iter().map(|to| to.recipient()).collect::<Vec<_>>(),
        });
        let wrap = |(to, wrap): (&&Identity, &Vec<u8>)| json!({ "u": to.name.as_str(), "d": to.device.to_string(), "w": b64(wrap) });
        match &sealed.wraps[..] {
            [wrap] => frame["encryptedKey"] = b64(wrap).into(),
            wraps => frame["encryptedKeys"] = to.iter().zip(wraps).map(wrap).collect(),
        }
        (message_id, frame)
    }
}
