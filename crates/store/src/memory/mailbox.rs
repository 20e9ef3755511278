//! One mailbox in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use sealwire_protocol::{DeviceId, MessageId, Username};

use crate::{Appended, Front, Mail, MailKey, Usage};

/// The sending device comes last in the key only to tell two devices' messages under one id and order apart.
type Position = (u64, MessageId, DeviceId);

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    mail: BTreeMap<Position, Kept>,
    positions: HashMap<MailKey, Position>,
}

/// A copy, and which of all copies in the store it was to arrive.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) arrival: u64,
    pub(super) mail: Mail,
}

impl Mailbox {
    /// The copy of a message.
    pub(super) fn get(&self, key: &MailKey) -> Option<&Mail> {
        self.positions.get(key).and_then(|position| self.mail.get(position)).map(|kept| &kept.mail)
    }

    /// All of it.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.mail.values()
    }

    pub(super) fn append(&mut self, mail: Mail, arrival: u64) -> Appended {
        if mail.order > Mail::MAX_ORDER {
            return Appended::Failed;
        }
        if let Some(position) = self.positions.get(&mail.key).copied() {
            return self.repeat(position, mail.order);
        }
        let position = (mail.order, mail.key.message_id, mail.key.from_device);
        self.positions.insert(mail.key, position);
        self.mail.insert(position, Kept { arrival, mail });
        Appended::Stored
    }

    /// A copy is held under the lowest order that it came with.
    fn repeat(&mut self, held: Position, order: u64) -> Appended {
        let mut kept = self.mail.remove(&held).expect("a position names a copy");
        kept.mail.order = kept.mail.order.min(order);
        let fingerprint = kept.mail.fingerprint;
        let position = (kept.mail.order, kept.mail.key.message_id, kept.mail.key.from_device);
        self.positions.insert(kept.mail.key, position);
        self.mail.insert(position, kept);
        Appended::Repeat(fingerprint)
    }

    pub(super) fn remove(&mut self, key: &MailKey) {
        if let Some(position) = self.positions.remove(key) {
            self.mail.remove(&position);
        }
    }

    pub(super) fn front(&self, except: &HashSet<MailKey>, max_messages: usize, max_bytes: usize) -> Front {
        let mut front = Front::default();
        let mut bytes = 0;
        for mail in self.kept().map(|kept| &kept.mail).filter(|mail| !except.contains(&mail.key)) {
            if front.mail.len() >= max_messages || (bytes >= max_bytes && !front.mail.is_empty()) {
                front.more = true;
                break;
            }
            bytes += mail.size();
            front.mail.push(mail.clone());
        }
        front
    }

    pub(super) fn usage(&self, from: &Username) -> Usage {
        let mut usage = Usage::default();
        for mail in self.kept().map(|kept| &kept.mail) {
            usage.total.add(mail.size() as u64);
            if !mail.own && mail.from == *from {
                usage.from_sender.add(mail.size() as u64);
            }
        }
        usage
    }

    pub(super) fn highest_order(&self) -> Option<u64> {
        self.mail.keys().next_back().map(|(order, ..)| *order)
    }
}
