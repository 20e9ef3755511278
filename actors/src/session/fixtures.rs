//! Parcels and keys for the tests of the pure parts.

use std::sync::Arc;

use sealwire_protocol::{DeviceId, MessageId};
use sealwire_store::{Fingerprint, Mail, MailKey};

use super::inbox::{Inbox, Parcel, Reply};

pub(crate) fn device(last: u8) -> DeviceId {
    format!("0198c0de-0000-7000-8000-0000000000{last:02x}").parse().unwrap()
}

pub(crate) fn message_id(n: u64) -> MessageId {
    format!("0198c0de-1111-7000-8000-{n:012x}").parse().unwrap()
}

pub(crate) fn key(n: u64) -> MailKey {
    MailKey { from_device: device(0xa1), message_id: message_id(n) }
}

/// Alice's `n`th message to Bob's device; the ordering key is `n`.
pub(crate) fn mail(n: u64) -> Mail {
    Mail {
        device: device(0xb1),
        key: key(n),
        from: "alice".parse().unwrap(),
        own: false,
        order: n,
        accepted_at: 0,
        fingerprint: Fingerprint { header: n, content: n },
        shared: vec![b's'; 90].into(),
        wrap: vec![b'w'; 10].into(),
    }
}

/// The same with somebody who waits for its outcome: ticket `n`.
pub(crate) fn parcel(n: u64) -> Parcel {
    Parcel { mail: Arc::new(mail(n)), reply: Reply::Session { inbox: Inbox::new(), ticket: n, copy: 0 } }
}
