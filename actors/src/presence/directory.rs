//! Who is connected where: a concurrent map that every session reads without asking an actor.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as MapEntry;
use sealwire_protocol::{DeviceId, Username};
use tokio::sync::Notify;

use crate::metrics::{Metric, Samples};
use crate::session::{Inbox, Load};

/// Signals that a session has left for good. Cheap to wait for, by any number of successors, and small, since every session has one.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    gone: AtomicBool,
    told: Notify,
}

impl Gone {
    fn set(&self) {
        // Release, for the Acquire of who waits: what the session has committed before is seen after.
        self.gone.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Returns when the session has left.
    pub(crate) async fn wait(&self) {
        // From here on it is woken by `set`, polled or not: one that comes after the look below is not missed.
        let told = self.told.notified();
        if !self.gone.load(Ordering::Acquire) {
            told.await;
        }
    }
}

#[derive(Clone)]
struct Entry {
    connection: u64,
    username: Username,
    inbox: Arc<Inbox>,
}

/// Whom to tell of a connection.
type Teller = Box<dyn Fn(DeviceId, u64) + Send + Sync>;

/// The directory of the sessions of this node.
#[derive(Default)]
pub(crate) struct Directory {
    entries: DashMap<DeviceId, Entry, foldhash::quality::RandomState>,
    last_connection: AtomicU64,
    /// Tells the other nodes that a connection has ended.
    tells: OnceLock<Teller>,
}

impl Directory {
    /// The session of a device. It may have ended already; its inbox knows.
    pub(crate) fn find(&self, device: &DeviceId) -> Option<Arc<Inbox>> {
        self.entries.get(device).map(|entry| entry.inbox.clone())
    }

    /// Names whom to tell of connections that end.
    pub(crate) fn tells(&self, tell: impl Fn(DeviceId, u64) + Send + Sync + 'static) {
        if self.tells.set(Box::new(tell)).is_err() {
            tracing::error!("the directory was told twice whom to tell");
        }
    }

    /// The session of a device, if it is this one.
    pub(crate) fn find_connection(&self, device: &DeviceId, connection: u64) -> Option<Arc<Inbox>> {
        self.entries.get(device).filter(|entry| entry.connection == connection).map(|entry| entry.inbox.clone())
    }

    /// The sessions of somebody's devices.
    pub(crate) fn of(&self, username: &Username) -> Vec<(DeviceId, Arc<Inbox>)> {
        let theirs = self.entries.iter().filter(|entry| entry.username == *username);
        theirs.map(|entry| (*entry.key(), entry.inbox.clone())).collect()
    }

    /// Everybody who has a session.
    pub(crate) fn names(&self) -> HashSet<Username> {
        self.entries.iter().map(|entry| entry.username.clone()).collect()
    }

    /// Every device that has a session, and which.
    pub(crate) fn connections(&self) -> Vec<(DeviceId, u64)> {
        self.entries.iter().map(|entry| (*entry.key(), entry.connection)).collect()
    }

    /// Whether a device has a session.
    pub(crate) fn is_connected(&self, device: &DeviceId) -> bool {
        self.entries.contains_key(device)
    }

    /// Enters a session in place of the one that the device has. Gives the right to leave, and the predecessor.
    pub(crate) fn enter(
        self: &Arc<Self>,
        device: DeviceId,
        username: Username,
        inbox: Arc<Inbox>,
    ) -> (Departure, Option<Arc<Inbox>>) {
        let connection = self.last_connection.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Entry { connection, username, inbox: inbox.clone() };
        let predecessor = self.entries.insert(device, entry).map(|entry| entry.inbox);
        (Departure { directory: self.clone(), device, connection, inbox }, predecessor)
    }

    /// Takes a session out, unless another one has taken its place.
    fn leave(&self, device: DeviceId, connection: u64) {
        if let MapEntry::Occupied(entry) = self.entries.entry(device)
            && entry.get().connection == connection
        {
            entry.remove();
        }
        if let Some(tell) = self.tells.get() {
            tell(device, connection);
        }
    }

    /// Says how many sessions there are and what they hold. Looks at each, once; nothing is counted on a message's way.
    pub(crate) fn observe(&self, samples: &mut Samples) {
        let mut sum = Load::default();
        let (mut sessions, mut draining, mut parcels) = (0, 0, 0);
        for entry in &self.entries {
            let load = entry.inbox.load();
            sessions += 1;
            draining += usize::from(load.draining);
            sum.in_flight += load.in_flight;
            sum.undecided += load.undecided;
            parcels += entry.inbox.parcels();
        }
        samples.gauge(Metric::Sessions, &[], sessions);
        samples.gauge(Metric::SessionsDraining, &[], draining);
        samples.gauge(Metric::CopiesInFlight, &[], sum.in_flight);
        samples.gauge(Metric::MessagesUndecided, &[], sum.undecided);
        samples.gauge(Metric::InboxParcels, &[], parcels);
    }

    /// Says to every session that the store may hold mail for it.
    pub(crate) fn nudge_all(&self) {
        self.entries.iter().for_each(|entry| entry.inbox.nudge());
    }

    /// Every session.
    pub(crate) fn all(&self) -> Vec<Arc<Inbox>> {
        self.entries.iter().map(|entry| entry.inbox.clone()).collect()
    }
}

/// A session's way out of the directory. Dropping the last clone of its `Arc` is the departure: whatever is still to be
/// committed holds one, so a session commits first and leaves second, and its successor reads the mailbox third.
pub(crate) struct Departure {
    directory: Arc<Directory>,
    device: DeviceId,
    connection: u64,
    inbox: Arc<Inbox>,
}

impl Departure {
    /// The connection, as the directory counts them.
    pub(crate) fn connection(&self) -> u64 {
        self.connection
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.directory.leave(self.device, self.connection);
        self.inbox.gone.set();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::fixtures::device;

    fn bob() -> Username {
        "bob".parse().unwrap()
    }

    #[test]
    fn a_session_that_was_replaced_leaves_its_successor_in_place() {
        let directory = Arc::new(Directory::default());
        let (old, new) = (Inbox::new(), Inbox::new());
        let (old_departure, none) = directory.enter(device(1), bob(), old.clone());
        let (new_departure, predecessor) = directory.enter(device(1), bob(), new.clone());
        assert!(none.is_none() && predecessor.is_some_and(|inbox| Arc::ptr_eq(&inbox, &old)));
        drop(old_departure);
        assert!(directory.find(&device(1)).is_some_and(|inbox| Arc::ptr_eq(&inbox, &new)));
        drop(new_departure);
        assert!(directory.all().is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_for_a_departure_is_told_also_when_it_has_been() {
        let directory = Arc::new(Directory::default());
        let inbox = Inbox::new();
        let (departure, _) = directory.enter(device(1), bob(), inbox.clone());
        let waiting = tokio::spawn({
            let inbox = inbox.clone();
            async move { inbox.gone.wait().await }
        });
        drop(departure);
        waiting.await.expect("the task ends");
        inbox.gone.wait().await;
    }
}
