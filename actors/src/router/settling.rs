//! What follows a commit: the device of each copy that is not here is looked for at the other nodes and nudged, and only then
//! the sender is told. It could be at another node by then, and what it sends there must not get ahead of the copy.
//!
//! Where nobody can be asked, or the node that is asked does not answer, every node looks for mail by itself before long: one
//! without a lease, and one that misses another ([`silence`](super::silence)). Until then the sender is not told.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use sealwire_bus::Place;
use sealwire_protocol::DeviceId;
use sealwire_store::Appended;

use super::link::{Link, QUESTION};
use crate::session::Verdict;
use crate::spool::Append;

/// How long a node that leaves waits for its nudges to be answered: the copies are safe.
const NUDGED: Duration = Duration::from_secs(2);
/// Within this time every node has looked for mail by itself: it misses another one after 3 s, and looks every 5 s.
const LOOKED: Duration = Duration::from_secs(10);

/// Copies that were committed, with what there is to tell of them.
type Stored = Vec<(Append, Appended, Verdict)>;

/// What is counted by [`Link::is_settled`], until it is dropped.
struct Settling(Arc<Link>);

impl Settling {
    fn of(link: &Arc<Link>) -> Self {
        link.settling.fetch_add(1, Ordering::AcqRel);
        Self(link.clone())
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.settling.fetch_sub(1, Ordering::AcqRel);
    }
}

fn tell(stored: Stored) {
    stored.into_iter().for_each(|(append, outcome, verdict)| append.decided(outcome, verdict));
}

/// What waits for long is told without its bytes, which would add up.
fn lighten(stored: &mut Stored) {
    for (append, ..) in stored {
        (append.mail.shared, append.mail.wrap) = (Bytes::new(), Bytes::new());
    }
}

impl Link {
    /// Looks, past every cache, for the devices of copies that were committed and that are not here, and nudges them. Whoever
    /// waits for the copies is told after that.
    pub(crate) fn settle(self: &Arc<Self>, stored: Stored) {
        let settling = Settling::of(self);
        self.runtime.spawn(self.clone().find_and_nudge(stored, settling));
    }

    /// Whether nothing that was stored waits for its device to be found.
    pub(crate) fn is_settled(&self) -> bool {
        self.settling.load(Ordering::Acquire) == 0
    }

    async fn find_and_nudge(self: Arc<Self>, mut stored: Stored, settling: Settling) {
        let mut settling = Some(settling);
        let mut devices: Vec<DeviceId> = stored.iter().map(|(append, ..)| append.mail.device).collect();
        devices.sort_unstable();
        devices.dedup();
        let places = match self.find(&devices).await {
            Ok(places) => places,
            Err(error) => {
                tracing::debug!(%error, "nobody can be nudged now");
                settling = None;
                lighten(&mut stored);
                self.find_later(&devices).await
            }
        };
        let found: HashMap<DeviceId, Place> =
            devices.into_iter().zip(places).filter_map(|(device, place)| Some((device, place?))).collect();
        let (mut found_ones, others): (Stored, Stored) =
            stored.into_iter().partition(|(append, ..)| found.contains_key(&append.mail.device));
        tell(others);
        let nudge = |(device, place)| self.runtime.spawn(self.clone().nudge(device, place));
        let mut answered = pin!(join_all(found.into_iter().map(nudge)));
        if self.clock.within(NUDGED, answered.as_mut()).await.is_none() {
            drop(settling);
            lighten(&mut found_ones);
            let _ = self.clock.within(LOOKED.saturating_sub(NUDGED), answered).await;
        }
        tell(found_ones);
    }

    /// Asks again until there is an answer, or every node has looked for mail by itself.
    async fn find_later(&self, devices: &[DeviceId]) -> Vec<Option<Place>> {
        let until = self.mono().saturating_add(crate::clock::millis(LOOKED));
        while self.mono() < until {
            self.clock.sleep(QUESTION).await;
            if let Ok(places) = self.find(devices).await {
                return places;
            }
        }
        Vec::new()
    }
}
