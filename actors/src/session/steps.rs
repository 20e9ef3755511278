//! A message's way through the parts of two sessions that decide, without the actors around them: what the instruction counts
//! (`benches/instructions`) drive.
//!
//! Built with the feature `counted` alone. The parts are private and stay so: what is public here takes numbers and gives
//! nothing back that a part is made of.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sealwire_protocol::frames::Status;
use sealwire_protocol::{DeviceId, MessageId};
use sealwire_store::{Fingerprint, Front, Mail, MailKey};

use super::inbox::{Event, Inbox, Parcel, Reply};
use super::receiving::{Acked, Effect, Receiving, WindowLimits};
use super::sending::{Answer, Sending};
use crate::clock::Now;

const NOW: Now = Now { wall: 0, mono: 0 };

/// Leaves that many parcels in an inbox and takes them out, one at a time.
pub struct HandOver {
    inbox: Arc<Inbox>,
    parcels: Vec<Parcel>,
}

impl HandOver {
    /// Makes the parcels.
    pub fn new(parcels: u64) -> Self {
        let inbox = Inbox::new();
        let parcel = |n| Parcel { mail: mail(n), reply: Reply::Session { inbox: inbox.clone(), ticket: n, copy: 0 } };
        let parcels = (1..=parcels).rev().map(parcel).collect();
        Self { inbox, parcels }
    }

    /// Does it; the next parcel in each call. True while there was one and it arrived.
    pub fn step(&mut self) -> bool {
        let Some(parcel) = self.parcels.pop() else { return false };
        self.inbox.offer(parcel).is_taken() && self.inbox.take().parcels.len() == 1
    }
}

/// Messages between two sessions: accepted by the one, handed over by the other, acknowledged, told to the one.
pub struct Exchange {
    mail: Vec<Arc<Mail>>,
    sending: Sending,
    sender: Arc<Inbox>,
    receiving: Receiving,
    receiver: Arc<Inbox>,
    effects: Vec<Effect>,
}

impl Exchange {
    /// Makes the messages. The receiving session has read its mailbox, which is empty, so it hands over.
    pub fn new(messages: u64) -> Self {
        let limits =
            WindowLimits { messages: 256, bytes: 1024 * 1024, patience: Duration::from_secs(2), clustered: false };
        let receiver = Inbox::new();
        let mut receiving = Receiving::new(limits, receiver.clone());
        let mut effects = Vec::new();
        receiving.may_read(&mut effects);
        receiving.front(Some(Front::default()), NOW, &mut effects);
        effects.clear();
        Self {
            mail: (1..=messages).rev().map(mail).collect(),
            sending: Sending::default(),
            sender: Inbox::new(),
            receiving,
            receiver,
            effects,
        }
    }

    /// The next message, to its status. True while there was one and it was delivered.
    pub fn step(&mut self) -> bool {
        let Some(mail) = self.mail.pop() else { return false };
        let message_id = mail.key.message_id;
        let ticket = self.sending.accept(message_id, mail.fingerprint, 1, 0, 0);
        let reply = Reply::Session { inbox: self.sender.clone(), ticket, copy: 0 };
        let taken = self.receiver.offer(Parcel { mail, reply });
        for parcel in self.receiver.take().parcels {
            self.receiving.parcel(parcel, NOW, &mut self.effects);
        }
        let Some(Effect::Deliver { seq, .. }) = self.effects.pop() else { return false };
        let acked = self.receiving.ack(seq, &mut self.effects);
        for effect in self.effects.drain(..) {
            if let Effect::Decided { reply, verdict } = effect {
                reply.send(verdict);
            }
        }
        let mut answer = None;
        for event in self.sender.take().events {
            if let Event::Outcome { ticket, copy, verdict } = event {
                answer = self.sending.decided(ticket, copy, verdict);
            }
        }
        self.sending.take_finished().for_each(drop);
        let told = answer == Some(Answer::Status(message_id, Status::Delivered));
        taken.is_taken() && acked == Acked::Forward && told
    }
}

fn device(last: u8) -> DeviceId {
    format!("0198c0de-0000-7000-8000-0000000000{last:02x}").parse().expect("a well-formed id")
}

fn message_id(n: u64) -> MessageId {
    format!("0198c0de-1111-7000-8000-{n:012x}").parse().expect("a well-formed id")
}

fn mail(n: u64) -> Arc<Mail> {
    Arc::new(Mail {
        device: device(0xb1),
        key: MailKey { from_device: device(0xa1), message_id: message_id(n) },
        from: "alice".parse().expect("a well-formed name"),
        own: false,
        order: n,
        accepted_at: 0,
        fingerprint: Fingerprint { header: n, content: n },
        shared: Bytes::from(vec![b's'; 1_600]),
        wrap: Bytes::from(vec![b'w'; 684]),
    })
}
