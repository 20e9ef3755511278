//! A session's shared side: what other tasks leave for it, and what they may ask of it without waiting.
//!
//! An actor's own mailbox would lose what is in it when the actor ends. This one is emptied under the same lock that
//! closes it, so whatever was accepted is either handled or spilled. A wake-up is sent only when none is under way,
//! so a burst of parcels costs one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use sealwire_protocol::{DeviceId, MessageId, Username};
use sealwire_store::{Appended, Mail, MailKey};
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::recents::Recents;
use crate::presence::Gone;
use crate::router;

/// How many parcels wait for a session before senders store instead, or wait. The session takes all of them in one turn.
const PARCELS: usize = 1_024;
/// How many signals wait for a session; more are dropped, as a signal may be.
const SIGNALS: usize = 64;
/// The same in bytes; one is taken however large it is.
const SIGNAL_BYTES: usize = 256 * 1024;

/// A copy on its way to a device's session.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    /// The copy, as it would be stored.
    pub(crate) mail: Arc<Mail>,
    /// Who waits for its outcome.
    pub(crate) reply: Reply,
}

/// Who waits for the outcome of a copy; almost always one.
pub(crate) type Replies = SmallVec<[Reply; 1]>;

/// Where the outcome of one copy goes.
#[derive(Clone)]
pub(crate) enum Reply {
    /// To the sender's session.
    Session {
        /// What it is told through.
        inbox: Arc<Inbox>,
        /// The message, as the session counts them.
        ticket: u64,
        /// Which of its copies.
        copy: u8,
    },
    /// To another node.
    Node(Arc<router::Waiting>),
    /// To the stream of copies to another node that this one has left for the store.
    Stream {
        /// Whose stream.
        link: Arc<router::Link>,
        /// Which.
        device: DeviceId,
    },
}

impl Reply {
    /// Tells what became of the copy.
    pub(crate) fn send(&self, verdict: Verdict) {
        match self {
            Self::Session { inbox, ticket, copy } => {
                inbox.tell(Event::Outcome { ticket: *ticket, copy: *copy, verdict });
            }
            Self::Node(node) => node.send(verdict),
            Self::Stream { link, device } => link.stored(*device),
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session { ticket, copy, .. } => write!(f, "Reply({ticket}/{copy})"),
            Self::Node(_) => f.write_str("Reply(to a node)"),
            Self::Stream { .. } => f.write_str("Reply(to a stream)"),
        }
    }
}

/// What became of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The device has acknowledged it.
    Delivered,
    /// The store holds it.
    Stored,
    /// It was lost to a full mailbox, and the store has counted that.
    Missed,
    /// The id was used for other bytes.
    Conflict,
    /// Neither handed over nor stored, as far as is known.
    Failed,
}

/// What a session is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// A copy of a message that this session accepted was decided.
    Outcome { ticket: u64, copy: u8, verdict: Verdict },
    /// A copy that this session has put into its own device's mailbox was decided.
    Appended { key: MailKey, order: u64, outcome: Appended },
    /// Copies that this session's device acknowledged are out of the store.
    Removed(Vec<MailKey>),
    /// A message that was `queued` has reached a device of its addressee.
    DeliveredLater(MessageId),
    /// A message was not fetched in time by any device of its addressee.
    Expired(MessageId),
    /// A newer connection of the same device takes over.
    Replaced,
    /// The device was removed from its account.
    Revoked,
    /// The node is about to go.
    Leave,
}

/// How an offer was taken. What was not taken is given back: the caller stores it.
#[derive(Debug)]
pub(crate) enum Offer {
    /// The session decides about it.
    Taken,
    /// Too many are waiting. The session has been nudged.
    Full(Parcel),
    /// The session has ended.
    Closed(Parcel),
}

impl Offer {
    /// Whether the session decides about it.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Taken)
    }
}

/// Everything that was left for a session since it last looked.
#[derive(Default)]
pub(crate) struct Taken {
    /// In the order of arrival.
    pub(crate) parcels: Vec<Parcel>,
    /// In the order of arrival.
    pub(crate) events: Vec<Event>,
    /// The store may hold mail that this session has not seen. Handled before any parcel is handed over.
    pub(crate) nudged: bool,
    /// In the order of arrival; at most [`SIGNALS`].
    pub(crate) signals: Vec<Signal>,
    /// Who came or went of those whom this session watches: the last that is known of each.
    pub(crate) presence: HashMap<Username, bool>,
}

/// An envelope that is never stored.
#[derive(Debug, Clone)]
pub(crate) struct Signal {
    /// What all its devices share.
    pub(crate) shared: Bytes,
    /// The device's wrapped key in Base64.
    pub(crate) wrap: String,
}

impl Signal {
    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.shared.len() + self.wrap.len()
    }
}

/// How a session stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// New mail is stored rather than handed over.
    pub(crate) draining: bool,
    /// Copies that its device has not acknowledged.
    pub(crate) in_flight: usize,
    /// Messages of its device that have no status yet.
    pub(crate) undecided: usize,
}

/// The shared side of a session.
pub(crate) struct Inbox {
    room: usize,
    waiting: Mutex<Waiting>,
    /// What the device was given lately, for whoever must recognise a repeat.
    pub(crate) recents: Mutex<Recents>,
    /// Whether new mail is stored rather than handed over, as of the last turn.
    draining: AtomicBool,
    /// For the metrics, as of the last turn.
    in_flight: AtomicUsize,
    undecided: AtomicUsize,
    /// Signals that the session has left for good and what it held is committed.
    pub(crate) gone: Gone,
    /// Signals that it has taken what waited.
    emptied: Notify,
}

#[derive(Default)]
struct Waiting {
    closed: bool,
    /// Something was left since the session last took.
    word: bool,
    /// Wakes the session.
    waker: Option<Waker>,
    taken: Taken,
}

impl Inbox {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_room(PARCELS)
    }

    /// An inbox for so many parcels.
    pub(crate) fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self {
            room,
            waiting: Mutex::default(),
            recents: Mutex::default(),
            draining: AtomicBool::new(true),
            in_flight: AtomicUsize::new(0),
            undecided: AtomicUsize::new(0),
            gone: Gone::default(),
            emptied: Notify::new(),
        })
    }

    /// Whether something was left since the session last took; if not, it is woken when something is.
    pub(crate) fn poll_word(&self, cx: &Context<'_>) -> bool {
        let mut waiting = self.waiting.lock();
        if !waiting.word && waiting.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            waiting.waker = Some(cx.waker().clone());
        }
        waiting.word
    }

    /// Whether parcels are taken without anything else; so they are by a session that has ended, which refuses them.
    pub(crate) fn has_room(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.closed || waiting.taken.parcels.len() < self.room
    }

    /// Returns when there is room.
    pub(crate) async fn room(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.has_room() {
                return;
            }
            emptied.await;
        }
    }

    /// Offers a parcel for which there was room a moment ago: it is not [`Offer::Full`] now.
    pub(crate) fn push(&self, parcel: Parcel) -> Offer {
        self.take_in(parcel, usize::MAX)
    }

    /// Offers a parcel.
    pub(crate) fn offer(&self, parcel: Parcel) -> Offer {
        self.take_in(parcel, self.room)
    }

    fn take_in(&self, parcel: Parcel, room: usize) -> Offer {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Offer::Closed(parcel);
        }
        if waiting.taken.parcels.len() >= room {
            waiting.taken.nudged = true;
            return Offer::Full(parcel);
        }
        waiting.taken.parcels.push(parcel);
        self.wake(waiting);
        Offer::Taken
    }

    /// Tells the session something. What is told to a session that has ended is of no use to anybody. The number of
    /// events is bounded by what the session itself has under way.
    pub(crate) fn tell(&self, event: Event) {
        let mut waiting = self.waiting.lock();
        if !waiting.closed {
            waiting.taken.events.push(event);
            self.wake(waiting);
        }
    }

    /// Leaves word that somebody came or went, in place of what was left of the same name.
    pub(crate) fn presence(&self, name: &Username, online: bool) {
        let mut waiting = self.waiting.lock();
        if !waiting.closed {
            waiting.taken.presence.insert(name.clone(), online);
            self.wake(waiting);
        }
    }

    /// Leaves a signal, if there is room.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut waiting = self.waiting.lock();
        let signals = &waiting.taken.signals;
        let bytes = signals.iter().map(Signal::size).sum::<usize>() + signal.size();
        let room = signals.is_empty() || (signals.len() < SIGNALS && bytes <= SIGNAL_BYTES);
        if !waiting.closed && room {
            waiting.taken.signals.push(signal);
            self.wake(waiting);
        }
    }

    /// Whether the session has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.waiting.lock().closed
    }

    /// Says that the store holds mail for this device.
    pub(crate) fn nudge(&self) {
        let mut waiting = self.waiting.lock();
        waiting.taken.nudged = true;
        if !waiting.closed {
            self.wake(waiting);
        }
    }

    fn wake(&self, mut waiting: parking_lot::MutexGuard<'_, Waiting>) {
        waiting.word = true;
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes everything that has been left.
    pub(crate) fn take(&self) -> Taken {
        let mut waiting = self.waiting.lock();
        waiting.word = false;
        self.note_emptied(&waiting);
        std::mem::take(&mut waiting.taken)
    }

    fn note_emptied(&self, waiting: &Waiting) {
        if waiting.taken.parcels.len() >= self.room {
            self.emptied.notify_waiters();
        }
    }

    /// Takes everything but the signals: they stay for later, within their bounds.
    pub(crate) fn take_all_but_signals(&self) -> Taken {
        let mut waiting = self.waiting.lock();
        waiting.word = false;
        self.note_emptied(&waiting);
        let mut taken = std::mem::take(&mut waiting.taken);
        waiting.taken.signals = std::mem::take(&mut taken.signals);
        taken
    }

    /// Takes everything for the last time: nothing is accepted any more.
    pub(crate) fn close(&self) -> Taken {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.waker = None;
        self.note_emptied(&waiting);
        std::mem::take(&mut waiting.taken)
    }

    /// Says how the session stands at the end of a turn.
    pub(crate) fn set_load(&self, Load { draining, in_flight, undecided }: Load) {
        self.draining.store(draining, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.undecided.store(undecided, Ordering::Relaxed);
    }

    /// How the session stood at the end of its last turn.
    pub(crate) fn load(&self) -> Load {
        Load {
            draining: self.is_draining(),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            undecided: self.undecided.load(Ordering::Relaxed),
        }
    }

    /// How many parcels wait for the session.
    pub(crate) fn parcels(&self) -> usize {
        self.waiting.lock().taken.parcels.len()
    }

    /// Whether new mail for this device goes into its mailbox, as far as is known without asking.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixtures::parcel;

    #[test]
    fn a_full_inbox_nudges_and_leaves_the_parcel_to_the_sender() {
        let inbox = Inbox::new();
        for n in 0..PARCELS {
            assert!(inbox.offer(parcel(n as u64)).is_taken());
        }
        assert!(matches!(inbox.offer(parcel(9_999)), Offer::Full(back) if back.mail.order == 9_999));
        let taken = inbox.take();
        assert!(taken.nudged && taken.parcels.len() == PARCELS);
        assert!(inbox.offer(parcel(1)).is_taken());
    }

    #[tokio::test]
    async fn who_waits_for_room_goes_on_when_the_session_has_taken_what_waited_or_has_ended() {
        for end in [false, true] {
            let inbox = Inbox::with_room(1);
            inbox.room().await;
            assert!(inbox.push(parcel(1)).is_taken());
            assert!(!inbox.has_room() && inbox.push(parcel(2)).is_taken());
            assert!(matches!(inbox.offer(parcel(3)), Offer::Full(_)));
            let waiter = tokio::spawn({
                let inbox = inbox.clone();
                async move { inbox.room().await }
            });
            tokio::task::yield_now().await;
            assert!(!waiter.is_finished());
            let taken = if end { inbox.close() } else { inbox.take() };
            assert_eq!(taken.parcels.len(), 2);
            waiter.await.expect("it goes on");
            assert_eq!(inbox.push(parcel(4)).is_taken(), !end);
        }
    }

    #[test]
    fn closing_gives_back_what_was_accepted_and_accepts_no_more() {
        let inbox = Inbox::new();
        assert!(inbox.offer(parcel(1)).is_taken());
        assert_eq!(inbox.close().parcels.len(), 1);
        assert!(matches!(inbox.offer(parcel(2)), Offer::Closed(_)));
        assert!(inbox.take().parcels.is_empty());
    }

    #[test]
    fn signals_that_wait_are_bounded_in_number_and_in_bytes() {
        let waiting = |count: usize, size: usize| {
            let inbox = Inbox::new();
            let signal = Signal { shared: vec![b's'; size].into(), wrap: String::new() };
            (0..count).for_each(|_| inbox.signal(signal.clone()));
            assert!(inbox.take_all_but_signals().signals.is_empty());
            inbox.signal(signal);
            inbox.take().signals.len()
        };
        assert_eq!((waiting(SIGNALS, 10), waiting(3, 10)), (SIGNALS, 4));
        assert_eq!(waiting(10, 100 * 1024), 2);
        assert_eq!((waiting(1, 1024 * 1024), waiting(0, 1024 * 1024)), (1, 1));
    }
}
