//! A node of the simulation: the real parts, with steps in place of the actors around them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sealwire_bus::{Arrival, Bus, MemoryBus, MemoryHub};
use sealwire_protocol::DeviceId;
use sealwire_store::{BatchOutcome, Mailboxes, MemoryStore};
use tokio::runtime::Handle;

use crate::clock::{Clock, Now};
use crate::presence::Directory;
use crate::router::{Hearer, Link, Router};
use crate::session::Event;
use crate::spool::{Bounds, Spool, SpoolQueue, Work};

pub(super) fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory store answers at once")
}

/// A node, as far as copies go through it.
pub(super) struct Site {
    pub(super) bus: Arc<MemoryBus>,
    pub(super) clock: Arc<Clock>,
    pub(super) directory: Arc<Directory>,
    pub(super) queue: Arc<SpoolQueue>,
    pub(super) spool: Spool,
    pub(super) link: Arc<Link>,
    pub(super) router: Router,
    pub(super) hearer: Hearer,
    pub(super) commit: Option<Commit>,
    pub(super) cut: bool,
}

pub(super) enum Commit {
    Begun(Work),
    Durable(Work, BatchOutcome),
}

impl Site {
    pub(super) async fn new(hub: &MemoryHub, store: &Arc<MemoryStore>) -> Self {
        let bus = Arc::new(hub.join());
        let clock = Arc::new(Clock::new(0));
        let (directory, queue) =
            (Arc::new(Directory::default()), Arc::new(SpoolQueue::new(Bounds { batch: 3, ..Bounds::default() })));
        let link = Arc::new(Link::new(bus.clone(), clock.clone(), directory.clone(), queue.clone(), Handle::current()));
        let leaving = link.clone();
        directory.tells(move |device, connection| leaving.leave(device, connection));
        let spool = Spool {
            queue: queue.clone(),
            store: store.clone(),
            directory: directory.clone(),
            link: Some(link.clone()),
            patience: Duration::from_secs(1),
        };
        let router = Router { directory: directory.clone(), spool: queue.clone(), link: Some(link.clone()) };
        let hearer = Hearer::new(link.clone());
        let site = Self { bus, clock, directory, queue, spool, link, router, hearer, commit: None, cut: false };
        site.renew().await;
        site
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// As `Life` does it.
    pub(super) async fn renew(&self) {
        let asked = self.now();
        let Ok(renewal) = self.bus.renew().await else { return };
        let back = !self.link.lease.is_held(asked) || !renewal.held;
        self.link.set_peers(renewal.peers);
        if back {
            let taken = self.bus.enter_again(&self.directory.connections()).await.unwrap_or_default();
            taken.iter().filter_map(|d| self.directory.find(d)).for_each(|session| session.tell(Event::Replaced));
        }
        self.link.lease.renew(asked);
        if back {
            self.directory.nudge_all();
        }
    }

    pub(super) async fn pump(&self) {
        while let Some(arrival) = self.bus.try_next() {
            match arrival {
                Arrival::Frames { from, gap, frames } => {
                    self.link.note_peer(from);
                    if gap {
                        self.hearer.missing(from);
                    }
                    frames.iter().for_each(|frame| _ = self.hearer.hear(from, frame));
                }
                Arrival::Connected => {
                    self.link.lease.lose();
                    self.renew().await;
                }
                Arrival::Disconnected => {
                    self.link.lease.lose();
                    self.link.give_up(|_| true);
                    self.directory.nudge_all();
                }
            }
        }
    }

    pub(super) fn commit(&mut self, store: &MemoryStore) {
        self.commit = match self.commit.take() {
            None => self.queue.next().map(Commit::Begun),
            Some(Commit::Begun(work)) => {
                let outcome = ready(store.execute(work.batch())).expect("the memory store takes everything");
                Some(Commit::Durable(work, outcome))
            }
            Some(Commit::Durable(work, outcome)) => {
                self.spool.committed(work, &outcome);
                None
            }
        }
    }
}

impl Site {
    /// A node that does not count for the others asks the store who has mail.
    pub(super) async fn bus_less_look(&self, store: &MemoryStore, devices: Vec<DeviceId>) -> Vec<DeviceId> {
        store.with_mail(devices).await.expect("the memory store answers")
    }
}
