//! A session as the sending side of its device: messages that it accepted and whose copies are not all decided.
//!
//! A message has one first status, and only when each of its copies is acknowledged, stored or counted as missed.
//! While this session is storing a copy for a device, later ones for that device are stored behind it: otherwise a
//! session that came meanwhile would hand the later one over first.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use sealwire_protocol::frames::Status;
use sealwire_protocol::{DeviceId, ErrorCode, MessageId};
use sealwire_store::Fingerprint;

use super::inbox::Verdict;
use super::recents::conflicts;
use super::remembered::{Number, Remembered, Rising};
use crate::metrics::FirstStatus;

/// How many messages of one connection may be undecided; more are answered `server_busy`.
pub(crate) const UNDECIDED: usize = 4_096;
/// How many messages of earlier connections a session remembers as arrived: as many as may be sent again at once.
const NEWS: usize = 256;
/// How many of its messages a session remembers to answer repeats.
const REMEMBERED: usize = 4_096;

/// What the sender is told about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its first status, or the later `delivered`.
    Status(MessageId, Status),
    /// It was refused after all.
    Error(MessageId, ErrorCode),
}

/// How a message compares with those that this connection has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Not sent before, or sealed anew.
    No,
    /// The same, and its first status is still to come.
    Undecided,
    /// The same; this was its status.
    Decided(Status),
    /// Other bytes under the same id.
    Conflict,
}

#[derive(Debug)]
struct Undecided {
    message_id: MessageId,
    /// Among what was sent.
    number: Number,
    /// A bit for each copy without a verdict.
    open: u64,
    /// A bit for each copy for another device of the sender: it does not make the message `delivered`.
    own: u64,
    /// The copies that this session has given to the store, and for which device; few messages have any.
    storing: Vec<(u8, DeviceId)>,
    delivered: bool,
    refused: Option<ErrorCode>,
    accepted: u64,
}

/// Numbers that rise by one are spread well as they are.
type ByTicket = HashMap<u64, Undecided, foldhash::fast::RandomState>;

/// The sending side of a session.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    last_ticket: u64,
    undecided: ByTicket,
    /// Devices for which this session is storing, and how many copies.
    storing: HashMap<DeviceId, u32>,
    sent: Remembered<MessageId, (Fingerprint, Option<Status>), REMEMBERED>,
    /// The ids of these.
    ids: Rising<MessageId>,
    /// Messages of earlier connections that were told to have arrived.
    news: VecDeque<MessageId>,
    /// Since it was asked last.
    finished: Vec<Finished>,
}

/// A message that has its first status, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) status: FirstStatus,
    /// When it was accepted, in microseconds.
    pub(crate) accepted: u64,
}

impl Sending {
    /// Looks up whether this connection has sent the message before.
    pub(crate) fn repeat(&self, message_id: &MessageId, fingerprint: Fingerprint) -> Repeat {
        if self.ids.is_above(message_id) {
            return Repeat::No;
        }
        match self.sent.get(message_id) {
            Some((known, _)) if conflicts(*known, fingerprint) => Repeat::Conflict,
            Some((known, status)) if *known == fingerprint => status.map_or(Repeat::Undecided, Repeat::Decided),
            _ => Repeat::No,
        }
    }

    /// How many messages have no status yet.
    pub(crate) fn undecided(&self) -> usize {
        self.undecided.len()
    }

    /// The messages that have got their first status since this was asked last.
    pub(crate) fn take_finished(&mut self) -> impl Iterator<Item = Finished> + '_ {
        self.finished.drain(..)
    }

    /// Whether one more message can be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.undecided.len() < UNDECIDED
    }

    /// Takes a message with so many copies, at most 64, of which those in `own` (a bit for each) are for devices of the sender
    /// beside. Gives the ticket that their outcomes will carry. `now` is in microseconds.
    pub(crate) fn accept(
        &mut self,
        message_id: MessageId,
        fingerprint: Fingerprint,
        copies: usize,
        own: u64,
        now: u64,
    ) -> u64 {
        debug_assert!((1..=64).contains(&copies), "checked by the message's shape");
        self.last_ticket += 1;
        let open = u64::MAX >> (64 - copies.clamp(1, 64));
        let delivered = self.news.contains(&message_id);
        let sent = (fingerprint, None);
        let number = match self.ids.is_above(&message_id) {
            true => self.sent.insert_new(message_id, sent),
            false => self.sent.insert(message_id, sent),
        };
        self.ids.note(message_id);
        let (storing, refused) = (Vec::new(), None);
        let message = Undecided { message_id, number, open, own, storing, delivered, refused, accepted: now };
        self.undecided.insert(self.last_ticket, message);
        self.last_ticket
    }

    /// Whether a copy for this device must go to the store, behind an earlier one that is on its way there.
    pub(crate) fn is_storing(&self, device: &DeviceId) -> bool {
        self.storing.contains_key(device)
    }

    /// A copy for this device was given to the store by this session.
    pub(crate) fn storing(&mut self, ticket: u64, copy: u8, device: DeviceId) {
        let Some(message) = self.undecided.get_mut(&ticket) else { return };
        let open = 1_u64.checked_shl(copy.into()).is_some_and(|bit| message.open & bit != 0);
        if open && message.storing.iter().all(|(storing, _)| *storing != copy) {
            message.storing.push((copy, device));
            *self.storing.entry(device).or_default() += 1;
        }
    }

    /// A copy was decided. Gives an answer when it was the message's last; a second verdict on a copy is passed over.
    pub(crate) fn decided(&mut self, ticket: u64, copy: u8, verdict: Verdict) -> Option<Answer> {
        let Entry::Occupied(mut entry) = self.undecided.entry(ticket) else { return None };
        let message = entry.get_mut();
        let bit = 1_u64.checked_shl(copy.into())?;
        if message.open & bit == 0 {
            return None;
        }
        message.open &= !bit;
        match verdict {
            Verdict::Delivered => message.delivered |= message.own & bit == 0,
            Verdict::Stored | Verdict::Missed => {}
            Verdict::Conflict => message.refused = Some(ErrorCode::DuplicateConflict),
            Verdict::Failed => _ = message.refused.get_or_insert(ErrorCode::StoreUnavailable),
        }
        let stored = message.storing.iter().position(|(storing, _)| *storing == copy);
        let stored = stored.map(|at| message.storing.swap_remove(at).1);
        let done = (message.open == 0).then(|| entry.remove());
        if let Some(device) = stored {
            self.stored(device);
        }
        done.map(|message| self.finish(message))
    }

    fn stored(&mut self, device: DeviceId) {
        if let Some(count) = self.storing.get_mut(&device) {
            *count -= 1;
            if *count == 0 {
                self.storing.remove(&device);
            }
        }
    }

    fn finish(&mut self, message: Undecided) -> Answer {
        let Undecided { message_id: id, number, delivered, refused, accepted, .. } = message;
        if let Some(code) = refused {
            // It is not kept as it came, so that it is new when it comes again.
            self.sent.forget(&id);
            self.finished.push(Finished { status: FirstStatus::Refused, accepted });
            return Answer::Error(id, code);
        }
        let (status, first) = match delivered {
            true => (Status::Delivered, FirstStatus::Delivered),
            false => (Status::Queued, FirstStatus::Queued),
        };
        self.finished.push(Finished { status: first, accepted });
        if let Some(sent) = self.sent.at(number, &id) {
            sent.1 = Some(status);
        }
        Answer::Status(id, status)
    }

    /// A message that was `queued` has reached a device of its addressee. At most one `delivered` follows a `queued`.
    pub(crate) fn delivered_later(&mut self, message_id: MessageId) -> Option<Answer> {
        match self.sent.get_mut(&message_id) {
            Some((_, Some(Status::Delivered))) => None,
            Some((_, status @ Some(_))) => {
                *status = Some(Status::Delivered);
                Some(Answer::Status(message_id, Status::Delivered))
            }
            // A repeat that is undecided: its first status says it.
            Some((_, None)) => {
                let same = |message: &&mut Undecided| message.message_id == message_id;
                self.undecided.values_mut().filter(same).for_each(|message| message.delivered = true);
                None
            }
            // Sent on an earlier connection. A repeat may be on its way, and is then answered alike.
            None => {
                self.news.push_back(message_id);
                if self.news.len() > NEWS {
                    self.news.pop_front();
                }
                Some(Answer::Status(message_id, Status::Delivered))
            }
        }
    }

    /// No device of the addressee has fetched a message in time. What is known to have arrived elsewhere has not expired.
    pub(crate) fn expired(&self, message_id: MessageId) -> Option<Answer> {
        let arrived = matches!(self.sent.get(&message_id), Some((_, Some(Status::Delivered))));
        (!arrived && !self.news.contains(&message_id)).then_some(Answer::Status(message_id, Status::Expired))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixtures::{device, message_id};

    #[test]
    fn what_has_arrived_does_not_expire() {
        let (mut sending, ticket) = with_copies(&[(1, false)]);
        sending.decided(ticket, 0, Verdict::Stored);
        assert_eq!(sending.expired(message_id(1)), Some(Answer::Status(message_id(1), Status::Expired)));
        sending.delivered_later(message_id(1));
        assert_eq!(sending.expired(message_id(1)), None);
    }

    const PRINT: Fingerprint = Fingerprint { header: 1, content: 1 };

    fn with_copies(copies: &[(u8, bool)]) -> (Sending, u64) {
        let mut sending = Sending::default();
        let own = copies.iter().enumerate().fold(0, |all, (copy, (_, own))| all | u64::from(*own) << copy);
        let ticket = sending.accept(message_id(1), PRINT, copies.len(), own, 5);
        (sending, ticket)
    }

    #[test]
    fn a_message_is_finished_once_with_its_first_status() {
        for (verdict, status) in [
            (Verdict::Delivered, FirstStatus::Delivered),
            (Verdict::Stored, FirstStatus::Queued),
            (Verdict::Missed, FirstStatus::Queued),
            (Verdict::Failed, FirstStatus::Refused),
        ] {
            let (mut sending, ticket) = with_copies(&[(1, false), (2, false)]);
            sending.decided(ticket, 0, verdict);
            assert_eq!((sending.take_finished().count(), sending.undecided()), (0, 1));
            sending.decided(ticket, 1, verdict);
            let finished: Vec<Finished> = sending.take_finished().collect();
            assert_eq!(finished, [Finished { status, accepted: 5 }]);
            sending.delivered_later(message_id(1));
            assert_eq!((sending.take_finished().count(), sending.undecided()), (0, 0));
        }
    }

    #[test]
    fn the_first_status_waits_for_every_copy() {
        let (mut sending, ticket) = with_copies(&[(1, false), (2, false), (3, true)]);
        assert_eq!(sending.decided(ticket, 2, Verdict::Delivered), None);
        assert_eq!(sending.decided(ticket, 0, Verdict::Stored), None);
        assert_eq!(sending.repeat(&message_id(1), PRINT), Repeat::Undecided);
        let answer = sending.decided(ticket, 1, Verdict::Delivered);
        assert_eq!(answer, Some(Answer::Status(message_id(1), Status::Delivered)));
        assert_eq!(sending.repeat(&message_id(1), PRINT), Repeat::Decided(Status::Delivered));
    }

    #[test]
    fn an_own_device_does_not_make_a_message_delivered() {
        let (mut sending, ticket) = with_copies(&[(1, false), (2, true)]);
        sending.decided(ticket, 1, Verdict::Delivered);
        let answer = sending.decided(ticket, 0, Verdict::Stored);
        assert_eq!(answer, Some(Answer::Status(message_id(1), Status::Queued)));
        assert_eq!(sending.delivered_later(message_id(1)), Some(Answer::Status(message_id(1), Status::Delivered)));
        assert_eq!(sending.delivered_later(message_id(1)), None);
    }

    #[test]
    fn a_second_verdict_on_a_copy_changes_nothing() {
        let (mut sending, ticket) = with_copies(&[(1, false), (2, false)]);
        assert_eq!(sending.decided(ticket, 0, Verdict::Delivered), None);
        assert_eq!(sending.decided(ticket, 0, Verdict::Stored), None);
        assert!(sending.decided(ticket, 1, Verdict::Stored).is_some());
        assert_eq!(sending.decided(ticket, 1, Verdict::Failed), None);
    }

    #[test]
    fn what_was_not_stored_is_new_when_it_comes_again() {
        let (mut sending, ticket) = with_copies(&[(1, false), (2, false)]);
        sending.decided(ticket, 0, Verdict::Stored);
        let answer = sending.decided(ticket, 1, Verdict::Failed);
        assert_eq!(answer, Some(Answer::Error(message_id(1), ErrorCode::StoreUnavailable)));
        assert_eq!(sending.repeat(&message_id(1), PRINT), Repeat::No);
    }

    #[test]
    fn later_copies_for_a_device_are_stored_behind_one_that_is_being_stored() {
        let (mut sending, ticket) = with_copies(&[(1, false)]);
        assert!(!sending.is_storing(&device(1)));
        sending.storing(ticket, 0, device(1));
        sending.storing(ticket, 0, device(1));
        assert!(sending.is_storing(&device(1)) && !sending.is_storing(&device(2)));
        sending.decided(ticket, 0, Verdict::Stored);
        assert!(!sending.is_storing(&device(1)));
    }

    #[test]
    fn other_bytes_under_the_same_id_conflict_and_a_message_sealed_anew_does_not() {
        let (sending, _) = with_copies(&[(1, false)]);
        let print = |header, content| Fingerprint { header, content };
        assert_eq!(sending.repeat(&message_id(1), print(1, 2)), Repeat::Conflict);
        assert_eq!(sending.repeat(&message_id(1), print(2, 2)), Repeat::No);
        assert_eq!(sending.repeat(&message_id(2), print(1, 1)), Repeat::No);
    }

    #[test]
    fn a_repeat_of_what_has_arrived_is_never_only_queued() {
        let (mut sending, ticket) = with_copies(&[(1, false)]);
        assert_eq!(sending.delivered_later(message_id(1)), None);
        let answer = sending.decided(ticket, 0, Verdict::Stored);
        assert_eq!(answer, Some(Answer::Status(message_id(1), Status::Delivered)));

        let mut later = Sending::default();
        assert_eq!(later.delivered_later(message_id(1)), Some(Answer::Status(message_id(1), Status::Delivered)));
        let ticket = later.accept(message_id(1), PRINT, 1, 0, 0);
        assert_eq!(later.decided(ticket, 0, Verdict::Stored), Some(Answer::Status(message_id(1), Status::Delivered)));
    }

    #[test]
    fn sixty_four_copies_are_all_waited_for() {
        let copies: Vec<_> = (0..64).map(|d| (d, false)).collect();
        let (mut sending, ticket) = with_copies(&copies);
        let answers: Vec<_> = (0..64).filter_map(|c| sending.decided(ticket, c, Verdict::Stored)).collect();
        assert_eq!(answers.len(), 1);
    }
}
