//! What waits for the store. Bounded in number and bytes; what does not fit is failed at once, so that its sender keeps it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use actix::Recipient;
use parking_lot::Mutex;
use sealwire_protocol::{DeviceId, Username};
use sealwire_store::{Appended, Batch, Mail, MailKey, Place, Removal, Usage};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::counts::SpoolCounts;
use super::messages::Commit;
use crate::metrics::{Metric, Samples, Stored, StoredAs};
use crate::presence::Departure;
use crate::session::{Event, Inbox, Replies, Reply, Verdict};

/// Bounds of the queue and of one batch.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Entries that may wait.
    pub(crate) entries: usize,
    /// Bytes that may wait.
    pub(crate) bytes: usize,
    /// Entries of one batch.
    pub(crate) batch: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries: 65_536, bytes: 256 * 1024 * 1024, batch: 2_048 }
    }
}

/// A copy on its way into a mailbox.
pub(crate) struct Append {
    pub(crate) mail: Arc<Mail>,
    pub(crate) replies: Replies,
    /// The session of the mailbox's device, when it is the one that appends.
    pub(crate) by: Option<Arc<Inbox>>,
    /// The session that appends, which leaves the directory no earlier than this is committed.
    pub(crate) departure: Option<Arc<Departure>>,
    /// Why it goes to the store.
    pub(crate) cause: Stored,
}

impl Append {
    /// From which device, to which.
    fn pair(&self) -> (DeviceId, DeviceId) {
        (self.mail.key.from_device, self.mail.device)
    }

    /// The copy is committed: who has appended it may leave.
    pub(super) fn committed(&mut self) {
        self.departure = None;
    }

    /// Tells everybody what became of the copy: first the device's session, then the senders, so that a sender who
    /// knows of the copy cannot get ahead of it.
    pub(crate) fn decided(self, outcome: Appended, verdict: Verdict) {
        if let Some(session) = &self.by {
            session.tell(Event::Appended { key: self.mail.key, order: self.mail.order, outcome });
        }
        for reply in &self.replies {
            reply.send(verdict);
        }
    }

    fn failed(self) {
        self.decided(Appended::Failed, Verdict::Failed);
    }
}

/// An acknowledged copy on its way out of a mailbox.
pub(crate) struct Remove {
    pub(crate) removal: Removal,
    /// The session that is told.
    pub(crate) by: Arc<Inbox>,
    /// Whether the sending device is told that its message has arrived.
    pub(crate) news: bool,
    /// That session's departure: its successor should not be given the copy once more.
    #[expect(dead_code, reason = "it is held, and acts when it is dropped")]
    pub(crate) departure: Option<Arc<Departure>>,
}

/// A copy that a full mailbox loses.
pub(crate) struct Miss {
    pub(crate) device: DeviceId,
    /// Who waits for it to be counted.
    pub(crate) reply: Reply,
}

/// What is committed together.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) appends: Vec<Append>,
    pub(crate) removals: Vec<Remove>,
    pub(crate) missed: Vec<Miss>,
}

impl Work {
    pub(super) fn len(&self) -> usize {
        self.appends.len() + self.removals.len() + self.missed.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The store's part of it.
    pub(crate) fn batch(&self) -> Batch {
        Batch {
            appends: self.appends.iter().map(|append| Mail::clone(&append.mail)).collect(),
            removals: self.removals.iter().map(|remove| remove.removal).collect(),
            missed: self.missed.iter().map(|miss| miss.device).collect(),
        }
    }

    /// Tells the sessions whose copies are out.
    pub(crate) fn removed(removals: &[Remove]) {
        for run in removals.chunk_by(|a, b| Arc::ptr_eq(&a.by, &b.by)) {
            let keys: Vec<MailKey> = run.iter().map(|remove| remove.removal.key).collect();
            run[0].by.tell(Event::Removed(keys));
        }
    }

    /// Nothing of it is known to have happened. Removals are given back: a device has the copies, so they are tried again.
    pub(crate) fn failed(self) -> Vec<Remove> {
        self.appends.into_iter().for_each(Append::failed);
        self.missed.iter().for_each(|miss| miss.reply.send(Verdict::Failed));
        self.removals
    }
}

/// Copies for a device that are on their way into its mailbox: waiting here, or in the commit that is under way.
#[derive(Default)]
struct Pending {
    usage: Usage,
    senders: HashMap<Username, Place>,
}

/// Adds a copy to a place, or takes it out.
fn count(place: &mut Place, mail: &Mail, add: bool) {
    let bytes = mail.size() as u64;
    *place = match add {
        true => Place { messages: place.messages + 1, bytes: place.bytes + bytes },
        false => Place { messages: place.messages.saturating_sub(1), bytes: place.bytes.saturating_sub(bytes) },
    };
}

impl Pending {
    fn count(&mut self, mail: &Mail, add: bool) {
        count(&mut self.usage.total, mail, add);
        if mail.own {
            return;
        }
        let share = self.senders.entry(mail.from.clone()).or_default();
        count(share, mail, add);
        if share.messages == 0 {
            self.senders.remove(&mail.from);
        }
    }
}

#[derive(Default)]
struct Waiting {
    work: Work,
    bytes: usize,
    pending: HashMap<DeviceId, Pending>,
    /// A commit is under way, or the actor has been woken for one.
    busy: bool,
}

/// The shared side of the spool.
pub(crate) struct SpoolQueue {
    bounds: Bounds,
    waiting: Mutex<Waiting>,
    actor: OnceLock<Recipient<Commit>>,
    pub(super) counts: SpoolCounts,
    /// Notified when copies have been decided.
    decided: Notify,
}

impl SpoolQueue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let counts = SpoolCounts::default();
        Self { bounds, waiting: Mutex::default(), actor: OnceLock::new(), counts, decided: Notify::new() }
    }

    pub(super) fn wakes(&self, actor: Recipient<Commit>) {
        if self.actor.set(actor).is_err() {
            tracing::error!("the spool was given two actors");
        }
    }

    /// Puts a copy into the queue.
    pub(crate) fn append(&self, append: Append) {
        self.counts.causes.add(append.cause);
        let size = append.mail.size();
        let mut waiting = self.waiting.lock();
        if waiting.work.len() >= self.bounds.entries || waiting.bytes + size > self.bounds.bytes {
            drop(waiting);
            self.counts.appends.add(StoredAs::NoRoom);
            return append.failed();
        }
        waiting.bytes += size;
        waiting.pending.entry(append.mail.device).or_default().count(&append.mail, true);
        waiting.work.appends.push(append);
        self.wake(waiting);
    }

    /// Puts a removal into the queue. When the queue is full it is dropped: the device gets the copy once more when it
    /// comes back, and passes over it.
    pub(crate) fn remove(&self, remove: Remove) {
        let mut waiting = self.waiting.lock();
        if waiting.work.len() >= self.bounds.entries {
            drop(waiting);
            return Work::removed(&[remove]);
        }
        waiting.work.removals.push(remove);
        self.wake(waiting);
    }

    /// Puts removals that failed back in front, without waking anybody.
    pub(super) fn give_back(&self, mut removals: Vec<Remove>) {
        let mut waiting = self.waiting.lock();
        removals.append(&mut waiting.work.removals);
        waiting.work.removals = removals;
    }

    /// Counts a copy that a full mailbox loses.
    pub(crate) fn miss(&self, miss: Miss) {
        let mut waiting = self.waiting.lock();
        if waiting.work.len() >= self.bounds.entries {
            drop(waiting);
            return miss.reply.send(Verdict::Failed);
        }
        waiting.work.missed.push(miss);
        self.wake(waiting);
    }

    fn wake(&self, mut waiting: parking_lot::MutexGuard<'_, Waiting>) {
        if std::mem::replace(&mut waiting.busy, true) {
            return;
        }
        drop(waiting);
        if let Some(actor) = self.actor.get() {
            // One `Commit` at a time is under way, so the mailbox cannot be full.
            let _ = actor.try_send(Commit);
        }
    }

    /// The next batch, in the order of arrival; `None` when there is nothing, and the next arrival wakes the actor.
    pub(crate) fn next(&self) -> Option<Work> {
        let mut waiting = self.waiting.lock();
        if waiting.work.is_empty() {
            waiting.busy = false;
            return None;
        }
        let Waiting { work: all, bytes, .. } = &mut *waiting;
        let take = |len: usize| len.min(self.bounds.batch);
        let work = Work {
            appends: all.appends.drain(..take(all.appends.len())).collect(),
            removals: all.removals.drain(..take(all.removals.len())).collect(),
            missed: all.missed.drain(..take(all.missed.len())).collect(),
        };
        *bytes -= work.appends.iter().map(|append| append.mail.size()).sum::<usize>();
        Some(work)
    }

    /// Takes out what waits behind copies of a commit that failed, from the same device to the same one: stored now, it would be
    /// ahead of what its sender sends again, perhaps by a connection that does not know of it.
    pub(super) fn take_behind(&self, failed: &[Append]) -> Vec<Append> {
        let pairs: HashSet<_> = failed.iter().map(Append::pair).collect();
        let mut waiting = self.waiting.lock();
        let all = std::mem::take(&mut waiting.work.appends);
        let (behind, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|append| pairs.contains(&append.pair()));
        waiting.work.appends = rest;
        waiting.bytes -= behind.iter().map(|append| append.mail.size()).sum::<usize>();
        behind
    }

    /// The copies of a batch have been decided: they are in the store, or nowhere.
    pub(crate) fn decided(&self, appends: &[Append]) {
        let mut waiting = self.waiting.lock();
        for Append { mail, .. } in appends {
            if let Entry::Occupied(mut pending) = waiting.pending.entry(mail.device) {
                pending.get_mut().count(mail, false);
                if pending.get().usage.total.messages == 0 {
                    pending.remove();
                }
            }
        }
        drop(waiting);
        self.decided.notify_waiters();
    }

    /// Returns when copies are decided after this call.
    pub(crate) fn next_decision(&self) -> Notified<'_> {
        self.decided.notified()
    }

    /// What is on its way into a mailbox, and how much of it from one sender.
    pub(crate) fn pending(&self, device: &DeviceId, from: &Username) -> Usage {
        let waiting = self.waiting.lock();
        let pending = waiting.pending.get(device);
        let from_sender = |pending: &Pending| pending.senders.get(from).copied().unwrap_or_default();
        pending.map_or_else(Usage::default, |pending| Usage { from_sender: from_sender(pending), ..pending.usage })
    }

    /// Says what has gone through the spool and what waits.
    pub(crate) fn observe(&self, samples: &mut Samples) {
        let (entries, bytes) = {
            let waiting = self.waiting.lock();
            (waiting.work.len(), waiting.bytes)
        };
        samples.gauge(Metric::SpoolEntries, &[], entries);
        samples.gauge(Metric::SpoolBytes, &[], bytes);
        self.counts.observe(samples);
    }

    /// Whether the last commit was not made.
    pub(crate) fn commits_fail(&self) -> bool {
        self.counts.last_failed()
    }

    /// Whether everything that was put in has been decided.
    pub(crate) fn is_idle(&self) -> bool {
        !self.waiting.lock().busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixtures::parcel;

    fn append(n: u64) -> (Append, Arc<Inbox>) {
        let parcel = parcel(n);
        let Reply::Session { inbox, .. } = &parcel.reply else {
            unreachable!("a parcel of the fixtures has a session")
        };
        let inbox = inbox.clone();
        (
            Append {
                mail: parcel.mail,
                replies: smallvec::smallvec![parcel.reply],
                by: None,
                departure: None,
                cause: Stored::Away,
            },
            inbox,
        )
    }

    #[test]
    fn what_does_not_fit_is_failed_at_once_and_the_rest_keeps_its_order() {
        let queue = SpoolQueue::new(Bounds { entries: 2, bytes: 1_000, batch: 1 });
        let mut refused = Vec::new();
        for n in 1..=3 {
            let (entry, inbox) = append(n);
            queue.append(entry);
            refused.push(!inbox.take().events.is_empty());
        }
        assert_eq!(refused, [false, false, true]);
        let orders: Vec<u64> = std::iter::from_fn(|| queue.next()).map(|work| work.appends[0].mail.order).collect();
        assert_eq!(orders, [1, 2]);
        assert!(queue.is_idle());
    }

    #[test]
    fn what_waits_behind_a_copy_that_failed_goes_with_it() {
        let queue = SpoolQueue::new(Bounds { entries: 10, bytes: 1_000, batch: 1 });
        let from_another = |n: u64| {
            let (entry, _) = append(n);
            let key = MailKey { from_device: crate::session::fixtures::device(0xcc), ..entry.mail.key };
            Append { mail: Mail { key, ..Mail::clone(&entry.mail) }.into(), ..entry }
        };
        queue.append(append(1).0);
        queue.append(from_another(2));
        queue.append(append(3).0);
        let failed = queue.next().expect("a batch of one");
        let behind: Vec<u64> = queue.take_behind(&failed.appends).iter().map(|append| append.mail.order).collect();
        let rest: Vec<u64> = std::iter::from_fn(|| queue.next()).map(|work| work.appends[0].mail.order).collect();
        assert_eq!((behind, rest, queue.waiting.lock().bytes), (vec![3], vec![2], 0));
    }

    #[test]
    fn a_copy_is_on_its_way_until_it_is_decided() {
        let queue = SpoolQueue::new(Bounds::default());
        let (device, alice, carl) = (append(1).0.mail.device, "alice".parse().unwrap(), "carl".parse().unwrap());
        (1..=3).for_each(|n| queue.append(append(n).0));
        let own = Append { mail: Mail { own: true, ..Mail::clone(&append(4).0.mail) }.into(), ..append(4).0 };
        queue.append(own);
        let work = queue.next().unwrap();
        let places = |usage: Usage| (usage.total.messages, usage.from_sender.messages);
        assert_eq!(places(queue.pending(&device, &alice)), (4, 3));
        assert_eq!(places(queue.pending(&device, &carl)), (4, 0));
        queue.decided(&work.appends[..2]);
        assert_eq!(queue.pending(&device, &alice).total, Place { messages: 2, bytes: 200 });
        queue.decided(&work.appends[2..]);
        assert!(queue.waiting.lock().pending.is_empty());
    }

    #[test]
    fn the_bound_on_bytes_counts_what_waits() {
        let queue = SpoolQueue::new(Bounds { entries: 10, bytes: 150, batch: 10 });
        queue.append(append(1).0);
        let (second, inbox) = append(2);
        queue.append(second);
        assert_eq!(inbox.take().events.len(), 1);
        assert!(queue.next().is_some());
        let (third, inbox) = append(3);
        queue.append(third);
        assert!(inbox.take().events.is_empty());
    }
}
