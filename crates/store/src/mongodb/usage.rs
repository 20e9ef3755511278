//! How full mailboxes are, as this node knows it.
//!
//! Counters that lie in the database and change with the copies would cost a write for each append, and a transaction to be
//! true after a crash. So each node counts a mailbox through when somebody asks, in an index that holds all it takes, and from
//! then on adds what it has appended itself. What other nodes change it learns when it counts again, [`LIFE`] later at the
//! latest; whoever is about to refuse mail because a mailbox is full asks for a count that is [`FRESH`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sealwire_protocol::{DeviceId, Username};

use crate::counters::{Change, Count, Counters, Kind};
use crate::{Appended, Batch, Mail, Usage};

/// How long a count serves.
const LIFE: Duration = Duration::from_secs(10);

/// How old a count may be that lets mail be refused. A mailbox that is full costs at most one count in this time.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// Counts under way: more would only take the database from those who write.
const TURNS: usize = 16;

/// When a mailbox was counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    at: Instant,
    /// Whether no batch of this node was on its way to the mailbox meanwhile. Otherwise the count may hold what is added once
    /// more, or not hold it, and serves for a second only.
    exact: bool,
}

/// The counts of this node.
#[derive(Debug, Default)]
pub(super) struct Usages {
    state: Mutex<State>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

#[derive(Debug, Default)]
struct State {
    counters: Counters<Stamp>,
    /// Batches on their way, for each mailbox.
    under_way: HashMap<DeviceId, usize>,
    /// Mailboxes that are being counted, and whether no batch has begun or ended there meanwhile.
    counting: HashMap<DeviceId, bool>,
}

impl Usages {
    /// What is known, if it was counted at most `age` ago.
    pub(super) fn known(&self, device: &DeviceId, from: &Username, now: Instant, age: Duration) -> Option<Usage> {
        let serves = |stamp: &Stamp| {
            let life = if stamp.exact { LIFE } else { FRESH };
            now.saturating_duration_since(stamp.at) < life.min(age)
        };
        self.state.lock().counters.usage_if(device, from, serves)
    }

    /// One at a time counts a mailbox; whoever has waited looks again first.
    pub(super) async fn turn(&self, device: &DeviceId) -> tokio::sync::MutexGuard<'_, ()> {
        let turn = usize::from(device.as_bytes()[15]) % TURNS;
        self.turns[turn].lock().await
    }

    /// To be called before a mailbox is counted.
    pub(super) fn begin_count(&self, device: &DeviceId, now: Instant) -> Instant {
        let mut state = self.state.lock();
        let quiet = !state.under_way.contains_key(device);
        state.counting.insert(*device, quiet);
        now
    }

    /// Takes over a count that was begun at `begun`, and answers from it.
    pub(super) fn end_count(&self, device: &DeviceId, from: &Username, mut count: Count<Stamp>) -> Usage {
        let mut state = self.state.lock();
        count.stamp.exact = state.counting.remove(device).unwrap_or(false);
        state.counters.insert(*device, count);
        state.counters.usage(device, from).expect("it was inserted under this lock, as the one asked for last")
    }

    /// To be called before a batch is executed; dropping it without [`done`](UnderWay::done) makes its mailboxes unknown.
    pub(super) fn begin(&self, batch: &Batch) -> UnderWay<'_> {
        let appends = batch.appends.iter().map(|mail| mail.device);
        let mut devices: Vec<_> = appends.chain(batch.removals.iter().map(|removal| removal.device)).collect();
        devices.sort_unstable();
        devices.dedup();
        let mut state = self.state.lock();
        for device in &devices {
            *state.under_way.entry(*device).or_default() += 1;
            state.disturb(device);
        }
        UnderWay { usages: self, devices }
    }

    /// These mailboxes are to be counted again.
    pub(super) fn forget<'a>(&self, devices: impl IntoIterator<Item = &'a DeviceId>) {
        let mut state = self.state.lock();
        for device in devices {
            state.disturb(device);
            state.counters.forget(device);
        }
    }
}

impl State {
    fn disturb(&mut self, device: &DeviceId) {
        if let Some(quiet) = self.counting.get_mut(device) {
            *quiet = false;
        }
    }
}

impl Stamp {
    pub(super) fn at(at: Instant) -> Self {
        Self { at, exact: false }
    }
}

/// A batch on its way.
pub(super) struct UnderWay<'a> {
    usages: &'a Usages,
    devices: Vec<DeviceId>,
}

impl UnderWay<'_> {
    /// Takes over what a batch has done. How large a copy was that it has removed is not known, so those mailboxes are
    /// counted again when somebody asks: that is rare, since nobody asks while the device itself is there.
    pub(super) fn done(mut self, batch: &Batch, appended: &[Appended]) {
        let devices = std::mem::take(&mut self.devices);
        let mut state = self.usages.state.lock();
        let stored = batch.appends.iter().zip(appended).filter(|(_, outcome)| **outcome == Appended::Stored);
        let changes: Vec<_> = stored.map(|(mail, _)| added(mail)).collect();
        state.counters.apply(&changes);
        batch.removals.iter().for_each(|removal| state.counters.forget(&removal.device));
        state.end(&devices);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.devices.is_empty() {
            return;
        }
        let mut state = self.usages.state.lock();
        self.devices.iter().for_each(|device| state.counters.forget(device));
        state.end(&self.devices);
    }
}

impl State {
    fn end(&mut self, devices: &[DeviceId]) {
        for device in devices {
            self.disturb(device);
            if let Some(batches) = self.under_way.get_mut(device) {
                *batches -= 1;
                if *batches == 0 {
                    self.under_way.remove(device);
                }
            }
        }
    }
}

fn added(mail: &Mail) -> Change {
    Change { device: mail.device, from: mail.from.clone(), own: mail.own, size: mail.size() as u64, kind: Kind::Added }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{device, message, name};
    use crate::{Fingerprint, MailKey, Removal};

    fn batch() -> Batch {
        let key = MailKey { from_device: device(9), message_id: message(1) };
        let mail = Mail {
            device: device(1),
            key,
            from: name("alice"),
            own: false,
            order: 1,
            accepted_at: 1,
            fingerprint: Fingerprint { header: 1, content: 1 },
            shared: "twelve bytes".into(),
            wrap: "".into(),
        };
        Batch { appends: vec![mail], ..Batch::default() }
    }

    fn counted(usages: &Usages, now: Instant) {
        let begun = usages.begin_count(&device(1), now);
        usages.end_count(&device(1), &name("alice"), Count::new(Stamp::at(begun)));
    }

    fn known(usages: &Usages, now: Instant, age: Duration) -> Option<u64> {
        usages.known(&device(1), &name("alice"), now, age).map(|usage| usage.total.messages)
    }

    #[test]
    fn a_count_serves_for_ten_seconds_and_follows_what_this_node_appends() {
        let (usages, now) = (Usages::default(), Instant::now());
        counted(&usages, now);
        usages.begin(&batch()).done(&batch(), &[Appended::Stored]);
        assert_eq!(known(&usages, now + LIFE - Duration::from_millis(1), LIFE), Some(1));
        assert_eq!(known(&usages, now + LIFE, LIFE), None);
        assert_eq!(known(&usages, now + FRESH, FRESH), None);
    }

    #[test]
    fn a_count_during_which_a_batch_was_under_way_serves_for_a_second() {
        let (usages, now) = (Usages::default(), Instant::now());
        let under_way = usages.begin(&batch());
        counted(&usages, now);
        under_way.done(&batch(), &[Appended::Stored]);
        assert_eq!(known(&usages, now + FRESH, LIFE), None);
        // Also one that began and ended meanwhile.
        let begun = usages.begin_count(&device(1), now);
        usages.begin(&batch()).done(&batch(), &[Appended::Stored]);
        usages.end_count(&device(1), &name("alice"), Count::new(Stamp::at(begun)));
        assert_eq!(known(&usages, now, LIFE), Some(0));
        assert_eq!(known(&usages, now + FRESH, LIFE), None);
    }

    #[test]
    fn a_mailbox_whose_batch_was_given_up_or_removed_from_it_is_unknown() {
        let (usages, now) = (Usages::default(), Instant::now());
        counted(&usages, now);
        drop(usages.begin(&batch()));
        assert_eq!(known(&usages, now, LIFE), None);
        counted(&usages, now);
        let removal = Removal { device: device(1), key: batch().appends[0].key };
        let removing = Batch { removals: vec![removal], ..Batch::default() };
        usages.begin(&removing).done(&removing, &[]);
        assert_eq!(known(&usages, now, LIFE), None);
        assert!(usages.state.lock().under_way.is_empty());
    }
}
