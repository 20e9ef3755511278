//! What follows a commit: the device of each copy that is not here is looked for at the other nodes and nudged, and only then
//! the sender is told. It could be at another node by then, and what it sends there must not get ahead of the copy.
//!
//! Where nobody can be asked, or the node that is asked does not answer, the sender is told all the same: the copy is safe. Its
//! next connection looks for it before it sends anything to the same device ([`Link::nudge_ahead`]), and nodes look for mail by
//! themselves: one without a lease, and one that misses another ([`silence`](super::silence)).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use sealwire_bus::Place;
use sealwire_protocol::DeviceId;
use sealwire_store::Appended;

use super::link::Link;
use crate::session::Verdict;
use crate::spool::Append;

/// How long a status waits for a nudge to be answered.
const NUDGED: Duration = Duration::from_secs(2);

/// Copies that were committed, with what there is to tell of them.
type Stored = Vec<(Append, Appended, Verdict)>;

fn tell(stored: Stored) {
    stored.into_iter().for_each(|(append, outcome, verdict)| append.decided(outcome, verdict));
}

impl Link {
    /// Looks, past every cache, for the devices of copies that were committed and that are not here, and nudges them. Whoever
    /// waits for the copies is told after that, but not much later.
    pub(crate) fn settle(self: &Arc<Self>, stored: Stored) {
        self.settling.fetch_add(1, Ordering::AcqRel);
        self.runtime.spawn(self.clone().find_and_nudge(stored));
    }

    /// Whether nothing that was stored waits for its device to be found.
    pub(crate) fn is_settled(&self) -> bool {
        self.settling.load(Ordering::Acquire) == 0
    }

    async fn find_and_nudge(self: Arc<Self>, stored: Stored) {
        let mut devices: Vec<DeviceId> = stored.iter().map(|(append, ..)| append.mail.device).collect();
        devices.sort_unstable();
        devices.dedup();
        let places = self.find(&devices).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "nobody could be nudged; nodes look for mail by themselves");
            Vec::new()
        });
        let found: HashMap<DeviceId, Place> =
            devices.into_iter().zip(places).filter_map(|(device, place)| Some((device, place?))).collect();
        let (found_ones, others): (Stored, Stored) =
            stored.into_iter().partition(|(append, ..)| found.contains_key(&append.mail.device));
        tell(others);
        let nudge = |(device, place)| self.runtime.spawn(self.clone().nudge(device, place));
        let _ = self.clock.within(NUDGED, join_all(found.into_iter().map(nudge))).await;
        tell(found_ones);
        self.settling.fetch_sub(1, Ordering::AcqRel);
    }
}
