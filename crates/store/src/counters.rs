//! How full mailboxes are, counted in memory, so that asking is a look-up and not a walk through the mailbox.
//!
//! A mailbox is counted through when somebody asks for the first time; from then on its store adds and takes off what it has
//! committed. Mailboxes that nobody has asked for in a while are forgotten, and counted again when they are asked for.
//! A store may put a stamp on each count, by which it tells whether the count still serves.

use std::collections::HashMap;

use sealwire_protocol::{DeviceId, Username};

use crate::{Place, Usage};

/// Counters kept, one for each mailbox and one for each sender with mail in it. At about 100 bytes each, 25 MB.
const MOST_COUNTERS: usize = 250_000;

/// A copy that has come or gone.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) device: DeviceId,
    pub(crate) from: Username,
    pub(crate) own: bool,
    pub(crate) size: u64,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Added,
    Removed,
}

/// The counters of some mailboxes.
#[derive(Debug)]
pub(crate) struct Counters<S = ()> {
    mailboxes: HashMap<DeviceId, Count<S>>,
    /// Counters in all mailboxes.
    kept: usize,
    most: usize,
    /// Rises with every question, to tell who has been asked for lately.
    now: u64,
}

/// What one mailbox holds.
#[derive(Debug, Default)]
pub(crate) struct Count<S = ()> {
    pub(crate) stamp: S,
    total: Place,
    /// Nobody in it has an empty share.
    senders: HashMap<Username, Place>,
    asked: u64,
}

impl<S> Default for Counters<S> {
    fn default() -> Self {
        Self::with_room_for(MOST_COUNTERS)
    }
}

impl<S> Counters<S> {
    fn with_room_for(most: usize) -> Self {
        Self { mailboxes: HashMap::new(), kept: 0, most, now: 0 }
    }

    /// The usage of a mailbox, if it has been counted.
    pub(crate) fn usage(&mut self, device: &DeviceId, from: &Username) -> Option<Usage> {
        self.usage_if(device, from, |_| true)
    }

    /// The same, if the count's stamp is good.
    pub(crate) fn usage_if(&mut self, device: &DeviceId, from: &Username, good: impl Fn(&S) -> bool) -> Option<Usage> {
        self.now += 1;
        let count = self.mailboxes.get_mut(device).filter(|count| good(&count.stamp))?;
        count.asked = self.now;
        Some(Usage { total: count.total, from_sender: count.senders.get(from).copied().unwrap_or_default() })
    }

    /// Keeps what has been counted, and forgets others if there is no room.
    pub(crate) fn insert(&mut self, device: DeviceId, mut count: Count<S>) {
        self.forget(&device);
        self.now += 1;
        count.asked = self.now;
        self.kept += count.counters();
        self.mailboxes.insert(device, count);
        if self.kept > self.most {
            self.forget_idle_half();
        }
    }

    /// Takes over what has been committed.
    pub(crate) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            if let Some(count) = self.mailboxes.get_mut(&change.device) {
                let before = count.counters();
                count.apply(change);
                self.kept = self.kept - before + count.counters();
            }
        }
    }

    /// Drops the counters of a mailbox; it will be counted again.
    pub(crate) fn forget(&mut self, device: &DeviceId) {
        if let Some(count) = self.mailboxes.remove(device) {
            self.kept -= count.counters();
        }
    }

    /// Drops the counters of all mailboxes.
    pub(crate) fn forget_all(&mut self) {
        self.mailboxes.clear();
        self.kept = 0;
    }

    /// Half at once, so that finding out who is idle costs little for each one forgotten.
    fn forget_idle_half(&mut self) {
        let mut asked: Vec<u64> = self.mailboxes.values().map(|count| count.asked).collect();
        let middle = asked.len() / 2;
        let (_, median, _) = asked.select_nth_unstable(middle);
        let oldest_kept = *median;
        self.mailboxes.retain(|_, count| count.asked >= oldest_kept);
        self.kept = self.mailboxes.values().map(Count::counters).sum();
    }
}

impl<S> Count<S> {
    /// An empty mailbox.
    pub(crate) fn new(stamp: S) -> Self {
        Self { stamp, total: Place::default(), senders: HashMap::new(), asked: 0 }
    }

    /// Adds what one sender has in the mailbox.
    pub(crate) fn add(&mut self, from: Username, own: bool, place: Place) {
        self.total.messages += place.messages;
        self.total.bytes += place.bytes;
        if !own {
            let share = self.senders.entry(from).or_default();
            share.messages += place.messages;
            share.bytes += place.bytes;
        }
    }

    fn counters(&self) -> usize {
        1 + self.senders.len()
    }

    fn apply(&mut self, change: &Change) {
        let place = Place { messages: 1, bytes: change.size };
        match change.kind {
            Kind::Added => self.add(change.from.clone(), change.own, place),
            Kind::Removed => self.take_off(&change.from, change.own, place),
        }
    }

    fn take_off(&mut self, from: &Username, own: bool, place: Place) {
        subtract(&mut self.total, place);
        let Some(share) = self.senders.get_mut(from).filter(|_| !own) else { return };
        subtract(share, place);
        if share.messages == 0 {
            self.senders.remove(from);
        }
    }
}

fn subtract(from: &mut Place, place: Place) {
    from.messages = from.messages.saturating_sub(place.messages);
    from.bytes = from.bytes.saturating_sub(place.bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(n: u64) -> DeviceId {
        DeviceId::new_v7(n, [0; 10])
    }

    fn name(text: &str) -> Username {
        text.parse().unwrap()
    }

    fn change(kind: Kind, own: bool) -> Change {
        Change { device: device(1), from: name("alice"), own, size: 10, kind }
    }

    #[test]
    fn a_mailbox_that_was_not_counted_stays_unknown() {
        let mut counters: Counters = Counters::default();
        counters.apply(&[change(Kind::Added, false)]);
        assert_eq!(counters.usage(&device(1), &name("alice")), None);
    }

    #[test]
    fn a_sender_with_nothing_left_takes_no_room() {
        let mut counters: Counters = Counters::default();
        counters.insert(device(1), Count::default());
        counters.apply(&[change(Kind::Added, false), change(Kind::Added, true)]);
        assert_eq!(counters.kept, 2);
        let usage = counters.usage(&device(1), &name("alice")).unwrap();
        assert_eq!((usage.total.messages, usage.from_sender.messages), (2, 1));
        counters.apply(&[change(Kind::Removed, false), change(Kind::Removed, true)]);
        assert_eq!(counters.kept, 1);
        assert_eq!(counters.usage(&device(1), &name("alice")), Some(Usage::default()));
    }

    #[test]
    fn mailboxes_that_nobody_asks_for_are_forgotten_first() {
        let mut counters: Counters = Counters::with_room_for(10);
        for n in 0..10 {
            counters.insert(device(n), Count::default());
        }
        assert!(counters.usage(&device(0), &name("alice")).is_some());
        counters.insert(device(10), Count::default());
        assert!(counters.kept <= 10 && counters.kept == counters.mailboxes.len());
        assert!(counters.mailboxes.contains_key(&device(0)) && counters.mailboxes.contains_key(&device(10)));
        assert!(!counters.mailboxes.contains_key(&device(1)));
    }
}
