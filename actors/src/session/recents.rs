//! What a device was given lately, to recognise repeats by (sending device, message id).

use sealwire_protocol::MessageId;
use sealwire_store::{Fingerprint, MailKey};

use super::remembered::{Number, Remembered, Rising};

/// How many messages a session remembers (protocol section 6).
const REMEMBERED: usize = 4_096;

/// Where a message is, as far as this session knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Sent to the device on this connection, not acknowledged.
    InFlight,
    /// Acknowledged by the device on this connection.
    Acknowledged,
    /// On its way into the store, or there.
    Stored,
}

/// How a message compares with what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Not remembered.
    Never,
    /// The same message, or the same id sealed anew.
    Before(Fate),
    /// The same id, recipients and timestamp with other bytes.
    Conflict,
}

/// Whether a message under a known id is the one that is known, or another one. A message that was sealed anew, for
/// other recipients or with another timestamp, counts as the one that is known.
pub(crate) fn conflicts(known: Fingerprint, new: Fingerprint) -> bool {
    known.header == new.header && known.content != new.content
}

/// The latest messages of a session. Grows with use; bounded.
#[derive(Debug, Default)]
pub(crate) struct Recents {
    known: Remembered<MailKey, (Fingerprint, Fate), REMEMBERED>,
    /// The ids of these, whoever has sent them: few write to a device at a time, and their clocks go alike.
    ids: Rising<MessageId>,
}

impl Recents {
    /// Looks a message up.
    pub(crate) fn seen(&self, key: &MailKey, fingerprint: Fingerprint) -> Seen {
        if self.ids.is_above(&key.message_id) {
            return Seen::Never;
        }
        match self.known.get(key) {
            None => Seen::Never,
            Some((known, _)) if conflicts(*known, fingerprint) => Seen::Conflict,
            Some((_, fate)) => Seen::Before(*fate),
        }
    }

    /// Whether a message is remembered.
    pub(crate) fn holds(&self, key: &MailKey) -> bool {
        self.known.get(key).is_some()
    }

    /// Remembers a message, or notes its new fate. Gives its number.
    pub(crate) fn note(&mut self, key: MailKey, fingerprint: Fingerprint, fate: Fate) -> Number {
        let new = self.ids.is_above(&key.message_id);
        self.ids.note(key.message_id);
        match new {
            true => self.known.insert_new(key, (fingerprint, fate)),
            false => self.known.insert(key, (fingerprint, fate)),
        }
    }

    /// Notes the new fate of a message that is remembered under this number.
    pub(crate) fn set(&mut self, number: Number, key: &MailKey, fate: Fate) {
        if let Some(known) = self.known.at(number, key) {
            known.1 = fate;
        }
    }

    /// Forgets a message that was not kept, so that it is new when it comes again.
    pub(crate) fn forget(&mut self, key: &MailKey) {
        self.known.forget(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixtures::key;

    fn print(header: u64, content: u64) -> Fingerprint {
        Fingerprint { header, content }
    }

    #[test]
    fn only_other_bytes_under_the_same_header_conflict() {
        let mut recents = Recents::default();
        recents.note(key(1), print(1, 1), Fate::InFlight);
        assert_eq!(recents.seen(&key(1), print(1, 1)), Seen::Before(Fate::InFlight));
        assert_eq!(recents.seen(&key(1), print(2, 2)), Seen::Before(Fate::InFlight));
        assert_eq!(recents.seen(&key(1), print(1, 2)), Seen::Conflict);
        assert_eq!(recents.seen(&key(2), print(1, 1)), Seen::Never);
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recents = Recents::default();
        for n in 0..=REMEMBERED as u64 {
            recents.note(key(n), print(n, n), Fate::Acknowledged);
        }
        assert!(!recents.holds(&key(0)) && recents.holds(&key(1)));
        assert!(recents.holds(&key(REMEMBERED as u64)));
    }
}
