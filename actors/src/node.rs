//! What every session of the node shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix::Addr;
use parking_lot::Mutex;
use sealwire_bus::frames::Frame;
use sealwire_protocol::{DeviceId, Username};
use sealwire_store::Store;

use crate::clock::{Clock, millis};
use crate::health::StoreRecord;
use crate::metrics::SessionCounts;
use crate::presence::{Directory, Presence, Watchers};
use crate::quota::Quotas;
use crate::roster::Roster;
use crate::router::{Link, Router};
use crate::session::rendezvous::Slots;
use crate::session::{Attempts, Event, settle};
use crate::settings::Settings;
use crate::spool::SpoolQueue;
use crate::verify::Verifier;

/// The shared parts of the broker.
pub(crate) struct Node {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<Clock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) presence: Addr<Presence>,
    pub(crate) spool: Arc<SpoolQueue>,
    pub(crate) router: Router,
    /// To the other nodes, if there are any.
    pub(crate) link: Option<Arc<Link>>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) verifier: Verifier,
    pub(crate) counts: SessionCounts,
    /// Who is here as others may see it.
    pub(crate) watchers: Arc<Watchers>,
    /// Where new devices and old ones meet.
    pub(crate) slots: Arc<Mutex<Slots>>,
    pub(crate) backup_attempts: Attempts,
    /// Stands in for a name that is none, so that a log-in with it costs the same work.
    pub(crate) nobody: Username,
    /// Connections, and those of them that have not logged in.
    pub(crate) connections: AtomicUsize,
    pub(crate) greeting: AtomicUsize,
    /// The node is about to go.
    pub(crate) draining: AtomicBool,
    /// How many connections there were then: so many come back.
    pub(crate) crowd: AtomicUsize,
    /// What is known of the store's answers.
    pub(crate) store_record: Mutex<StoreRecord>,
}

/// How many milliseconds the others get for each client that this node sends to them.
const LOG_IN: u64 = 1;
/// How far the clock may be off before the operator is told, in milliseconds.
const OFF: u64 = 1_000;

/// Never 0: it is what a random number is taken by.
fn spread(crowd: u64, longest: u64) -> u64 {
    crowd.saturating_mul(LOG_IN).min(longest).max(1)
}

impl Node {
    /// What the store holds of an account has changed: here and at the other nodes nobody goes by what was before.
    pub(crate) fn changed(&self, username: &Username) {
        self.roster.forget(username);
        if let Some(link) = &self.link {
            link.broadcast(&Frame::Changed { username: username.clone() });
        }
    }

    /// Another node has changed an account, perhaps: sends devices away that it lists no longer, and shows the others by what
    /// it says now.
    pub(crate) async fn look_again(&self, username: &Username) {
        let here = self.directory.of(username);
        if here.is_empty() {
            return;
        }
        let account = match crate::in_time(self.settings.timing.store, self.roster.find(username)).await {
            Ok(account) => account,
            // It is looked at again before long, and who comes back is checked.
            Err(error) => return tracing::warn!(%error, "an account could not be checked"),
        };
        let lists =
            |device: &DeviceId| account.as_ref().is_some_and(|a| a.devices.iter().any(|known| known.id == *device));
        here.iter().filter(|(device, _)| !lists(device)).for_each(|(_, session)| session.tell(Event::Revoked));
        if let Err(error) = settle(self, &self.quotas.of(username), username).await {
            tracing::warn!(%error, "whether presence is shared could not be read");
        }
    }

    /// Over how many milliseconds the clients come back that are sent away: few need not wait as long as many.
    pub(crate) fn spread(&self) -> u64 {
        let crowd = self.crowd.load(Ordering::Acquire) as u64;
        spread(crowd, millis(self.settings.timing.reconnect))
    }

    /// Whether a device is connected, here or at another node, as far as is known without asking.
    pub(crate) fn is_connected(&self, device: &DeviceId) -> bool {
        self.directory.is_connected(device) || self.link.as_ref().is_some_and(|link| link.place(device).is_some())
    }

    /// Goes by the store's clock, if it has one of its own.
    pub(crate) async fn set_clock(&self) {
        let asked = self.clock.now();
        match crate::in_time(self.settings.timing.store, self.store.time()).await {
            Ok(Some(time)) => {
                let off = self.clock.set(time, asked);
                if off > OFF {
                    tracing::warn!(milliseconds = off, "this node's clock differs from the store's, which goes first");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the store's clock could not be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_come_back_sooner_than_many() {
        let of = |crowd| spread(crowd, 2_000);
        assert_eq!((of(0), of(70), of(20_000), spread(500, 0)), (1, 70, 2_000, 1));
    }
}
