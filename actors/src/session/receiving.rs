//! A session as the receiving side of its device: what is in flight, and whether new mail is handed over or stored.
//!
//! The rules, and why order and the promise hold (docs/architecture.md, "A message's way"):
//!
//! * Only this state decides between handing over and storing, so nothing overtakes within the session.
//! * `Live` hands over. `Draining` stores new mail behind what the mailbox holds, and sends from the front of it.
//! * A read of the mailbox is a snapshot. Mail that is being appended while it is under way may be missing from it, so
//!   only what sorts below every such append ([`Read::floor`]) is sent from it; the rest comes with the next read.
//! * It turns `Live` only when a read shows nothing more, no append of its own is under way and nobody has nudged.
//! * What leaves the window unacknowledged is appended before anybody is told anything.
//! * In a cluster nothing is appended behind what only the window holds: that is appended first. The device may come back at
//!   a node which does not see this session, as when this one is frozen, and would be given the later message first.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sealwire_store::{Appended, Front, Mail, MailKey};
use smallvec::smallvec;

use super::inbox::{Inbox, Parcel, Replies, Reply, Verdict};
use super::recents::{Fate, Recents, Seen};
use super::remembered::Number;
use crate::clock::{Now, millis};
use crate::metrics::Stored;

/// How much may be in flight to a device, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct WindowLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// How long a device may leave a message unacknowledged before the message is stored.
    pub(crate) patience: Duration,
    /// Other nodes read the mailbox too.
    pub(crate) clustered: bool,
}

/// What the session's shell is to do.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Send the message to the device under this `seq`.
    Deliver { seq: u64, mail: Arc<Mail> },
    /// Put the copy into the mailbox, tell these and this session.
    Append { mail: Arc<Mail>, replies: Replies, cause: Stored },
    /// Take an acknowledged copy out of the mailbox and tell this session; with `news`, also the sending device, if it is
    /// connected, that a message which was `queued` has arrived.
    Remove { key: MailKey, news: bool },
    /// Read the front of the mailbox.
    Read { except: HashSet<MailKey>, max_messages: usize, max_bytes: usize },
    /// Try to read again a little later: the store does not answer.
    ReadLater,
    /// Tell a sender.
    Decided { reply: Reply, verdict: Verdict },
    /// The backlog has been sent for the first time.
    BacklogSent,
}

#[derive(Debug)]
struct InFlight {
    seq: u64,
    key: MailKey,
    /// Among what is remembered.
    number: Number,
    size: usize,
    /// Whether it is a copy for one of the sender's own devices.
    own: bool,
    sent_at: u64,
    hold: Hold,
}

/// Who else has a message that is in flight.
#[derive(Debug)]
enum Hold {
    /// Nobody: these wait for its outcome.
    Here { mail: Arc<Mail>, replies: Replies },
    /// The mailbox, or it is on its way there.
    Mailbox,
}

#[derive(Debug)]
enum Mode {
    Live,
    Draining,
}

/// A read of the mailbox that is under way.
#[derive(Debug)]
struct Read {
    /// The lowest ordering key that was being appended at any time since the read began.
    floor: Option<u64>,
}

/// What the shell needs to know about an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acked {
    /// It moved the window.
    Forward,
    /// It said nothing new.
    Nothing,
    /// It names a message that was not sent: `bad_request`.
    Beyond,
}

/// The receiving side of a session.
pub(crate) struct Receiving {
    limits: WindowLimits,
    shared: Arc<Inbox>,
    mode: Mode,
    window: VecDeque<InFlight>,
    window_bytes: usize,
    last_seq: u64,
    /// Ordering keys of appends of this session that are under way, and how many of each.
    appending: BTreeMap<u64, u32>,
    /// Acknowledged, but perhaps still in the mailbox.
    removing: HashSet<MailKey>,
    read: Option<Read>,
    /// Whether there may be mail that no read has shown yet.
    unseen: bool,
    /// Reading makes no sense until an append of our own has been decided.
    await_append: bool,
    /// Reading makes no sense until the device has acknowledged something.
    await_room: bool,
    /// Whether the predecessor has committed what it held, so that a read sees it.
    may_read: bool,
    backlog_sent: bool,
    /// The device was removed from its account.
    revoked: bool,
}

impl Receiving {
    /// The side of a session that has just begun. It reads nothing until [`Receiving::may_read`].
    pub(crate) fn new(limits: WindowLimits, shared: Arc<Inbox>) -> Self {
        Self {
            limits,
            shared,
            mode: Mode::Draining,
            window: VecDeque::new(),
            window_bytes: 0,
            last_seq: 0,
            appending: BTreeMap::new(),
            removing: HashSet::new(),
            read: None,
            unseen: true,
            await_append: false,
            await_room: false,
            may_read: false,
            backlog_sent: false,
            revoked: false,
        }
    }

    fn recents(&self) -> &Mutex<Recents> {
        &self.shared.recents
    }

    /// Whether new mail is stored.
    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.mode, Mode::Draining)
    }

    /// How many copies the device has not acknowledged.
    pub(crate) fn in_flight(&self) -> usize {
        self.window.len()
    }

    /// Whether nothing is known of the mailbox yet.
    pub(crate) fn has_not_begun(&self) -> bool {
        self.last_seq == 0 && !self.backlog_sent
    }

    /// The device was removed: what comes from here on is lost to it, and is not stored for nobody.
    pub(crate) fn revoke(&mut self) {
        self.revoked = true;
    }

    /// The predecessor's mail is in the mailbox by now.
    pub(crate) fn may_read(&mut self, effects: &mut Vec<Effect>) {
        self.may_read = true;
        self.read_if_due(effects);
    }

    /// The mailbox may hold something that this session has not seen. To be called before the parcels that came with it.
    pub(crate) fn nudge(&mut self) {
        self.unseen = true;
        self.mode = Mode::Draining;
    }

    /// A copy from a sender's session.
    pub(crate) fn parcel(&mut self, parcel: Parcel, now: Now, effects: &mut Vec<Effect>) {
        let Parcel { mail, reply } = parcel;
        if self.revoked {
            return effects.push(Effect::Decided { reply, verdict: Verdict::Missed });
        }
        let seen = self.recents().lock().seen(&mail.key, mail.fingerprint);
        match seen {
            Seen::Conflict => effects.push(Effect::Decided { reply, verdict: Verdict::Conflict }),
            Seen::Before(Fate::Acknowledged) => effects.push(Effect::Decided { reply, verdict: Verdict::Delivered }),
            Seen::Before(Fate::InFlight) => self.wait_for(mail, reply, effects),
            // The store answers a repeat like the first, once the first is there.
            Seen::Before(Fate::Stored) => self.append(mail, smallvec![reply], Stored::Repeat, effects),
            Seen::Never if !self.is_draining() && self.has_room(mail.size()) => {
                self.hand_over(mail, reply, now, effects)
            }
            Seen::Never => {
                let cause = if self.is_draining() { Stored::Behind } else { Stored::Full };
                self.mode = Mode::Draining;
                self.unseen = true;
                if self.limits.clustered {
                    self.spill(Stored::Before, effects);
                }
                self.recents().lock().note(mail.key, mail.fingerprint, Fate::Stored);
                self.append(mail, smallvec![reply], cause, effects);
            }
        }
    }

    /// A repeat of what is in flight waits with the first, or for the store.
    fn wait_for(&mut self, mail: Arc<Mail>, reply: Reply, effects: &mut Vec<Effect>) {
        match self.window.iter_mut().find(|sent| sent.key == mail.key) {
            Some(InFlight { hold: Hold::Here { replies, .. }, .. }) => replies.push(reply),
            _ => self.append(mail, smallvec![reply], Stored::Repeat, effects),
        }
    }

    fn has_room(&self, size: usize) -> bool {
        let bytes = self.window_bytes + size <= self.limits.bytes || self.window.is_empty();
        bytes && self.window.len() < self.limits.messages
    }

    fn hand_over(&mut self, mail: Arc<Mail>, reply: Reply, now: Now, effects: &mut Vec<Effect>) {
        let hold = Hold::Here { mail: mail.clone(), replies: smallvec![reply] };
        self.send(mail, hold, now, effects);
    }

    fn send(&mut self, mail: Arc<Mail>, hold: Hold, now: Now, effects: &mut Vec<Effect>) {
        let number = self.recents().lock().note(mail.key, mail.fingerprint, Fate::InFlight);
        self.last_seq += 1;
        let (size, seq) = (mail.size(), self.last_seq);
        let sent = InFlight { seq, key: mail.key, number, size, own: mail.own, sent_at: now.mono, hold };
        self.window_bytes += size;
        self.window.push_back(sent);
        effects.push(Effect::Deliver { seq: self.last_seq, mail });
    }

    fn append(&mut self, mail: Arc<Mail>, replies: Replies, cause: Stored, effects: &mut Vec<Effect>) {
        *self.appending.entry(mail.order).or_default() += 1;
        if let Some(read) = &mut self.read {
            read.floor = Some(read.floor.map_or(mail.order, |floor| floor.min(mail.order)));
        }
        effects.push(Effect::Append { mail, replies, cause });
    }

    /// An append of this session was decided. Whoever waited for it has been told.
    pub(crate) fn appended(&mut self, key: MailKey, order: u64, outcome: Appended, effects: &mut Vec<Effect>) {
        if let Some(count) = self.appending.get_mut(&order) {
            *count -= 1;
            if *count == 0 {
                self.appending.remove(&order);
            }
        }
        let in_flight = self.window.iter().any(|sent| sent.key == key);
        if outcome == Appended::Failed && !in_flight {
            // The sender was told so, and sends it again: as a new message.
            self.recents().lock().forget(&key);
        }
        self.await_append = false;
        self.unseen = true;
        self.read_if_due(effects);
    }

    /// Copies that were acknowledged are out of the mailbox.
    pub(crate) fn removed(&mut self, keys: &[MailKey]) {
        for key in keys {
            self.removing.remove(key);
        }
    }

    /// The device has stored everything up to `seq`.
    pub(crate) fn ack(&mut self, seq: u64, effects: &mut Vec<Effect>) -> Acked {
        if seq > self.last_seq {
            return Acked::Beyond;
        }
        if self.window.front().is_none_or(|oldest| oldest.seq > seq) {
            return Acked::Nothing;
        }
        self.await_room = false;
        while let Some(sent) = self.window.pop_front_if(|sent| sent.seq <= seq) {
            self.window_bytes -= sent.size;
            self.acknowledged(sent, effects);
        }
        self.read_if_due(effects);
        Acked::Forward
    }

    fn acknowledged(&mut self, sent: InFlight, effects: &mut Vec<Effect>) {
        self.recents().lock().set(sent.number, &sent.key, Fate::Acknowledged);
        match sent.hold {
            Hold::Here { replies, .. } => {
                effects.extend(replies.into_iter().map(|reply| Effect::Decided { reply, verdict: Verdict::Delivered }));
            }
            Hold::Mailbox => {
                self.removing.insert(sent.key);
                effects.push(Effect::Remove { key: sent.key, news: !sent.own });
            }
        }
    }

    /// Stores what the device has left unacknowledged for too long; new mail goes behind it.
    pub(crate) fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.next_deadline().is_none_or(|due| due > now.mono) {
            return;
        }
        self.mode = Mode::Draining;
        self.unseen = true;
        self.spill(Stored::Silent, effects);
    }

    /// Stores what only the window holds, in its order.
    fn spill(&mut self, cause: Stored, effects: &mut Vec<Effect>) {
        for (mail, replies) in self.take_undecided() {
            self.append(mail, replies, cause, effects);
        }
    }

    /// When [`Receiving::tick`] has something to do, on the monotonic clock.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let waited_for = |sent: &&InFlight| matches!(&sent.hold, Hold::Here { replies, .. } if !replies.is_empty());
        self.window.iter().find(waited_for).map(|sent| sent.sent_at.saturating_add(millis(self.limits.patience)))
    }

    /// Everything in flight whose senders wait, in order; from here on it counts as stored.
    fn take_undecided(&mut self) -> Vec<(Arc<Mail>, Replies)> {
        let holds = self.window.iter_mut().map(|sent| std::mem::replace(&mut sent.hold, Hold::Mailbox));
        let undecided = holds.filter_map(|hold| match hold {
            Hold::Here { mail, replies } => Some((mail, replies)),
            Hold::Mailbox => None,
        });
        undecided.collect()
    }

    /// Ends the side: what is in flight and undecided, to be stored in this order.
    pub(crate) fn end(&mut self) -> Vec<(Arc<Mail>, Replies)> {
        self.take_undecided()
    }

    /// What a read of the mailbox has shown; `None` when the store did not answer.
    pub(crate) fn front(&mut self, front: Option<Front>, now: Now, effects: &mut Vec<Effect>) {
        let Some(read) = self.read.take() else { return };
        let Some(front) = front else {
            self.unseen = true;
            effects.push(Effect::ReadLater);
            return;
        };
        let (mail, more) = (front.mail, front.more);
        let whole = self.send_from(mail, &read, now, effects);
        let stuck = whole == Sent::UntilFloor || (whole == Sent::All && !more);
        self.await_append = stuck && !self.appending.is_empty();
        self.await_room = whole == Sent::UntilFull;
        self.unseen |= whole != Sent::All || more || !self.appending.is_empty();
        if self.unseen {
            self.read_if_due(effects);
            return;
        }
        self.mode = Mode::Live;
        if !std::mem::replace(&mut self.backlog_sent, true) {
            effects.push(Effect::BacklogSent);
        }
    }

    fn send_from(&mut self, mail: Vec<Mail>, read: &Read, now: Now, effects: &mut Vec<Effect>) -> Sent {
        for mail in mail {
            if read.floor.is_some_and(|floor| mail.order >= floor) {
                return Sent::UntilFloor;
            }
            if self.removing.contains(&mail.key) || self.window.iter().any(|sent| sent.key == mail.key) {
                continue;
            }
            if self.recents().lock().seen(&mail.key, mail.fingerprint) == Seen::Before(Fate::Acknowledged) {
                // A copy that was stored although the device has it: a late repeat.
                self.removing.insert(mail.key);
                effects.push(Effect::Remove { key: mail.key, news: false });
                continue;
            }
            if !self.has_room(mail.size()) {
                return Sent::UntilFull;
            }
            self.send(Arc::new(mail), Hold::Mailbox, now, effects);
        }
        Sent::All
    }

    /// The time to try again has come.
    pub(crate) fn read_again(&mut self, effects: &mut Vec<Effect>) {
        self.read_if_due(effects);
    }

    /// Reads when there may be something to send and half the window is free, so that reads are large.
    pub(crate) fn read_if_due(&mut self, effects: &mut Vec<Effect>) {
        let room = self.window.len() * 2 <= self.limits.messages && self.window_bytes * 2 <= self.limits.bytes;
        let idle = self.read.is_none() && self.may_read && !self.await_append && !self.await_room;
        if !(self.is_draining() && self.unseen && idle && room) {
            return;
        }
        self.unseen = false;
        self.read = Some(Read { floor: self.appending.keys().next().copied() });
        let in_flight = self.window.iter().map(|sent| sent.key);
        effects.push(Effect::Read {
            except: in_flight.chain(self.removing.iter().copied()).collect(),
            max_messages: self.limits.messages - self.window.len(),
            max_bytes: self.limits.bytes - self.window_bytes.min(self.limits.bytes),
        });
    }
}

/// How far a read could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    /// The window is full; the next acknowledgement reads again.
    UntilFull,
    /// The rest may lack mail that is being appended.
    UntilFloor,
}

#[cfg(test)]
#[path = "receiving_tests.rs"]
mod tests;
