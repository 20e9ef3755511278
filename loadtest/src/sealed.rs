//! Messages that are signed, delivered and opened for real: one in a thousand, so that what is measured is known to be what
//! people would get. They are sealed before the measurement begins and opened after it, since both take milliseconds.

use std::collections::{HashMap, HashSet};

use sealwire_e2ee::manifest::SenderKey;
use sealwire_e2ee::open::{NoSenderKey, check};
use sealwire_e2ee::{ContentType, Delivered, Draft, Lane, Payload, Receiver, RsaJob, Target, prepare};
use sealwire_protocol::base64::Base64;
use sealwire_protocol::frames::{ClientFrame, Message, Recipient, Request, ServerFrame, Wrapped};
use sealwire_protocol::{DeviceId, Kid, MessageId, Username, signed};

use crate::keys::{Key, Pool};
use crate::letter::behind_type;
use crate::person::Person;

/// One in this many is sealed.
const EVERY: u64 = 1_000;
/// Lines begin at different places in the thousand.
const STRIDE: u64 = 617;

/// Whether a message is one that is sealed for real, if there is one in stock.
pub(crate) fn is_planned(line: u32, number: u32) -> bool {
    (u64::from(number) - 1 + u64::from(line) * STRIDE).is_multiple_of(EVERY)
}

/// Sealed messages in stock, and those that came and are to be opened.
#[derive(Default)]
pub(crate) struct Stock {
    ready: HashMap<(u32, u32), Vec<u8>>,
    sent: HashSet<(u32, u32)>,
    came: Vec<(u32, Vec<u8>)>,
}

/// What became of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proof {
    /// Sealed and sent.
    pub(crate) sealed: u64,
    /// Copies that came and were opened.
    pub(crate) opened: u64,
    /// Copies that did not open, with the reason.
    pub(crate) failed: Vec<String>,
}

/// Who writes to whom on a line.
#[derive(Clone, Copy)]
pub(crate) struct Between<'a> {
    pub(crate) from: &'a Person,
    pub(crate) to: &'a Person,
}

impl Stock {
    /// Whether there is room for more: what is sealed is kept in memory, and the run waits for it.
    pub(crate) fn has_room(&self) -> bool {
        self.ready.len() < 500
    }

    /// Seals a message.
    pub(crate) fn add(&mut self, pool: &Pool, between: Between<'_>, place: (u32, u32), id: MessageId, now: u64) {
        self.ready.insert(place, seal(pool, between, place.1, id, now));
    }

    /// The message that was sealed for this place, if there is one.
    pub(crate) fn take(&mut self, line: u32, number: u32) -> Option<Vec<u8>> {
        if !is_planned(line, number) {
            return None;
        }
        let found = self.ready.remove(&(line, number))?;
        self.sent.insert((line, number));
        Some(found)
    }

    /// Keeps a delivery at this seat to be opened later, if it was sealed.
    pub(crate) fn came(&mut self, seat: u32, line: u32, number: u32, text: &[u8]) {
        if is_planned(line, number) && self.sent.contains(&(line, number)) {
            self.came.push((seat, text.to_vec()));
        }
    }

    /// Opens what came.
    pub(crate) fn open_all<'a>(
        self,
        pool: &Pool,
        now: u64,
        seat: impl Fn(u32) -> (&'a Person, usize),
        person: impl Fn(&Username) -> Option<&'a Person>,
    ) -> Proof {
        let mut proof = Proof { sealed: self.sent.len() as u64, ..Proof::default() };
        for (at, text) in &self.came {
            let (me, device) = seat(*at);
            match open(pool, me, device, text, now, &person) {
                Ok(()) => proof.opened += 1,
                Err(reason) => proof.failed.push(reason),
            }
        }
        proof
    }
}

fn seal(pool: &Pool, between: Between<'_>, number: u32, id: MessageId, now: u64) -> Vec<u8> {
    let Between { from, to } = between;
    let target = |(n, device): (usize, &DeviceId)| Target {
        username: to.name().clone(),
        device: *device,
        dwk: to.dwk(pool, n).public().clone(),
    };
    let payload = Payload {
        content_type: ContentType::Content,
        counter: number.into(),
        // Nobody follows the chain here; only its first link has a form of its own.
        previous: [u8::from(number > 1); 32],
        self_manifest: [0; 32],
        peer_manifest: [0; 32],
        body: br#"{"kind":"text","text":"load"}"#.to_vec().into(),
    };
    let draft = Draft {
        lane: Lane::Message,
        message_id: id,
        timestamp: now,
        from: from.name(),
        from_device: from.devices()[0],
        to: to.name(),
        targets: &to.devices().iter().enumerate().map(target).collect::<Vec<_>>(),
        payload: &payload,
    };
    let dsk = from.dsk(pool, 0);
    let unsigned = prepare(&mut rand::rng(), &dsk.public().kid(), &draft).expect("the draft follows the rules");
    let signature = sign(dsk, unsigned.job());
    let sealed = unsigned.finish(signature);
    let json = frame(&sealed, to.name());
    behind_type(&json).expect("a frame begins with its type").to_vec()
}

fn sign(key: &Key, job: RsaJob) -> Vec<u8> {
    match job {
        RsaJob::Sign { message, .. } => key.sign(&message),
        RsaJob::Unwrap { .. } | RsaJob::Generate(_) => unreachable!("sealing asks for a signature"),
    }
}

fn frame(sealed: &sealwire_e2ee::Sealed, to: &Username) -> String {
    let recipient = |entry: &signed::Recipient| Recipient {
        u: entry.username.as_str().to_owned().into(),
        d: entry.device,
        k: entry.dwk_kid,
    };
    let wrapped = |(entry, wrap): (&signed::Recipient, &Vec<u8>)| Wrapped {
        u: entry.username.as_str().to_owned().into(),
        d: entry.device,
        w: Base64::encode(wrap),
    };
    let (recipients, wraps) = (&sealed.header.recipients, &sealed.wraps);
    let one = wraps.len() == 1;
    let message = Message {
        message_id: sealed.header.message_id,
        to: to.as_str().into(),
        encrypted_message: Base64::encode(&sealed.encrypted_message),
        iv: Base64::encode(&sealed.iv),
        timestamp: sealed.header.timestamp,
        signature: Base64::encode(&sealed.signature),
        suite: sealed.header.suite,
        recipients: recipients.iter().map(recipient).collect(),
        encrypted_key: one.then(|| Base64::encode(&wraps[0])),
        encrypted_keys: (!one).then(|| recipients.iter().zip(wraps).map(wrapped).collect()),
    };
    ClientFrame::from(Request::Message(Box::new(message))).to_json()
}

/// What a device knows when it opens a message.
struct Eyes<'a> {
    me: &'a Person,
    device: usize,
    kid: Kid,
    sender: SenderKey,
}

impl Receiver for Eyes<'_> {
    fn username(&self) -> &Username {
        self.me.name()
    }

    fn device(&self) -> &DeviceId {
        &self.me.devices()[self.device]
    }

    fn holds(&self, kid: &Kid) -> bool {
        *kid == self.kid
    }

    fn sender_key(&self, _: &Username, _: &DeviceId, _: u64) -> Result<SenderKey, NoSenderKey> {
        Ok(self.sender.clone())
    }

    fn has_seen(&self, _: &DeviceId, _: &MessageId) -> bool {
        false
    }
}

/// Opens a delivery.
fn open<'a>(
    pool: &Pool,
    me: &Person,
    device: usize,
    text: &[u8],
    now: u64,
    person: &impl Fn(&Username) -> Option<&'a Person>,
) -> Result<(), String> {
    let Ok(ServerFrame::Message(message)) = serde_json::from_slice(text) else {
        return Err("a delivery is not a `message` of the protocol".to_owned());
    };
    let failed = |why: &dyn std::fmt::Display| format!("message {}: {why}", message.message_id);
    let from = person(&message.from).ok_or_else(|| failed(&"from somebody who takes no part"))?;
    let sender = SenderKey::Current(from.dsk(pool, 0).public().clone());
    let eyes = Eyes { me, device, kid: me.dwk_kid(pool, device), sender };
    let envelope = Delivered {
        suite: message.suite,
        message_id: message.message_id,
        timestamp: message.timestamp,
        from: message.from.clone(),
        from_device: message.from_device,
        to: message.to.clone(),
        recipients: message
            .recipients
            .iter()
            .map(|entry| signed::Recipient { username: entry.u.clone(), device: entry.d, dwk_kid: entry.k })
            .collect(),
        iv: message.iv.0,
        encrypted_message: message.encrypted_message.0.clone(),
        wrap: message.encrypted_key.0.clone(),
        wrap_hashes: message.recipients.iter().map(|entry| entry.h.0).collect(),
        signature: message.signature.0.clone(),
    };
    let checked = check(&eyes, Lane::Message, now, &envelope).map_err(|error| failed(&error))?;
    let content_key = match checked.job() {
        RsaJob::Unwrap { label, wrap, .. } => me.dwk(pool, device).unwrap_key(&label, &wrap),
        RsaJob::Sign { .. } | RsaJob::Generate(_) => None,
    };
    checked.finish(content_key).map_err(|error| failed(&error))?;
    Ok(())
}
