//! The broker as the server starts, uses and stops it.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use actix::{Actor, Arbiter};
use bytes::BytesMut;
use parking_lot::Mutex;
use sealwire_bus::Bus;
use sealwire_store::{Store, StoreError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::health::{self, Health, StoreHealth};
use crate::in_time;
use crate::metrics::{Metric, Samples, SessionCounts};
use crate::node::Node;
use crate::presence::{Directory, Dismiss, Presence};
use crate::quota::Quotas;
use crate::roster::Roster;
use crate::router::{Life, Link, Router};
use crate::session::rendezvous::Slots;
use crate::session::{self, Attempts, Place, Session, Upgraded};
use crate::settings::Settings;
use crate::spool::{Bounds, Spool, SpoolQueue};
use crate::verify::{Verifier, stranger_key};

/// How often a drain looks whether all has come to rest.
const POLL: Duration = Duration::from_millis(5);

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who connects, as the HTTP edge has found.
pub struct Peer {
    /// The origin that the client has reached us by; it signs this at its log-in.
    pub origin: String,
    /// Where the client connects from, behind trusted proxies by their word.
    pub address: IpAddr,
    /// Dropped when the connection has ended.
    pub guard: Box<dyn Any + Send>,
}

/// The broker. Clones are the same broker.
#[derive(Clone)]
pub struct Broker {
    node: Arc<Node>,
}

impl Broker {
    /// Starts the actors, within a running actix system. With a bus the node is one of a cluster; all nodes of it share the
    /// store.
    ///
    /// # Errors
    /// [`StartError`] when the store does not answer.
    pub async fn start(
        settings: Settings,
        store: Arc<dyn Store>,
        bus: Option<Arc<dyn Bus>>,
    ) -> Result<Self, StartError> {
        let clock = Arc::new(Clock::new(store.highest_order().await?));
        let directory = Arc::new(Directory::default());
        let spool = Arc::new(SpoolQueue::new(Bounds::default()));
        let runtime = Handle::current();
        let link = |bus| Arc::new(Link::new(bus, clock.clone(), directory.clone(), spool.clone(), runtime));
        let link = bus.map(link);
        let quotas = Arc::new(Quotas::new(settings.limits.clone(), clock.clone()));
        start_spool(&spool, &store, &directory, link.clone(), settings.timing.store);
        let roster = Arc::new(Roster::new(store.clone(), link.clone()));
        let slots = Slots::new(settings.limits.rendezvous_entries, settings.timing.rendezvous);
        let slots = Arc::new(Mutex::new(slots));
        let presence = Presence {
            directory: directory.clone(),
            store: store.clone(),
            roster: roster.clone(),
            quotas: quotas.clone(),
            slots: slots.clone(),
            clock: clock.clone(),
            link: link.clone(),
            patience: settings.timing.store,
            mail_life: settings.timing.mail_life,
            sweep: settings.timing.sweep,
            sweeping: false,
        };
        let presence = presence.start();
        let threads = available_parallelism().map_or(2, usize::from);
        let (waiting, patience) = (settings.limits.verifications_waiting, settings.timing.verification);
        let stranger = stranger_key(crate::random()).expect("a key made of any bytes is well formed");
        let node = Node {
            router: Router { directory: directory.clone(), spool: spool.clone(), link: link.clone() },
            link: link.clone(),
            roster,
            verifier: Verifier::new(threads, waiting, patience, stranger),
            counts: SessionCounts::default(),
            nobody: "nobody".parse().expect("a well-formed name"),
            connections: AtomicUsize::new(0),
            greeting: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            crowd: AtomicUsize::new(0),
            store_record: Mutex::default(),
            watchers: Arc::default(),
            slots,
            backup_attempts: Attempts::new(settings.limits.backups_per_hour),
            settings,
            clock,
            store,
            directory,
            presence,
            spool,
            quotas,
        };
        let node = Arc::new(node);
        node.set_clock().await;
        if let Some(link) = link {
            join(&node, link).await;
        }
        Ok(Self { node })
    }

    /// Begins a session on this thread, within an actix system. The edge has checked Host, Origin, subprotocol and the
    /// address, and has answered the upgrade; `early` is what the peer has sent behind its request.
    pub fn connect(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, early: BytesMut, peer: Peer) {
        let node = self.node.clone();
        let (clock, limits) = (node.clock.clone(), node.settings.limits.clone());
        node.counts.connections.add_one();
        // Counted and permitted for as long as the socket exists.
        let held = (Place::take(&node, |node| &node.connections), peer.guard);
        session::start(Upgraded { stream: Box::new(stream), early }, clock, &limits, held, |socket| {
            Session::new(node, peer.origin, peer.address, socket)
        });
    }

    /// Whether no more connections are taken that have not logged in.
    pub fn is_full(&self) -> bool {
        self.node.greeting.load(Ordering::Relaxed) >= self.node.settings.limits.greeting_connections
    }

    /// Whether the broker is about to go.
    pub fn is_draining(&self) -> bool {
        self.node.draining.load(Ordering::Acquire)
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.node.connections.load(Ordering::Relaxed)
    }

    /// Returns when there are no connections.
    pub async fn deserted(&self) {
        while self.connections() > 0 {
            tokio::time::sleep(POLL).await;
        }
    }

    /// How the node is. The store is asked at most once a second, however often a stranger does, and waited for no longer
    /// than a second.
    pub async fn health(&self) -> Health {
        let asked = self.node.clock.now().mono;
        if self.node.store_record.lock().ask(asked) {
            let node = self.node.clone();
            // It goes on when nobody waits for it any more: a slow answer is one too.
            let asking = tokio::spawn(async move {
                let answer = in_time(node.settings.timing.store, node.store.highest_order()).await;
                node.store_record.lock().answered(asked, answer.is_ok());
            });
            // Late or not, what is known then is told.
            let _ = tokio::time::timeout(health::PATIENCE, asking).await;
        }
        let silent = self.node.store_record.lock().silent_for(self.node.clock.now().mono);
        let store = match silent {
            Some(time) => StoreHealth::Silent(time),
            None if self.node.spool.commits_fail() => StoreHealth::RefusesCommits,
            None => StoreHealth::Answers,
        };
        let bus = self.node.link.as_ref().map(|link| link.health());
        Health::new(self.is_draining(), store, bus, self.node.settings.timing.store_gone)
    }

    /// Says what the broker has counted and what it holds now.
    pub fn observe(&self, samples: &mut Samples) {
        let node = &self.node;
        samples.gauge(Metric::Draining, &[], usize::from(self.is_draining()));
        samples.gauge(Metric::Connections, &[], self.connections());
        samples.gauge(Metric::ConnectionsGreeting, &[], node.greeting.load(Ordering::Relaxed));
        node.counts.observe(samples);
        node.directory.observe(samples);
        node.spool.observe(samples);
        node.verifier.observe(samples);
        if let Some(link) = &node.link {
            link.observe(samples);
        }
    }

    /// Says that the broker is about to go: [`Broker::is_draining`] from here on.
    pub fn announce_drain(&self) {
        if !self.node.draining.swap(true, Ordering::AcqRel) {
            self.node.crowd.store(self.connections(), Ordering::Release);
        }
    }

    /// Asks every client to come back later, stores what they have not acknowledged, and returns when all of it is
    /// committed, or after `limit`; what has a status is stored also then.
    pub async fn drain(&self, limit: Duration) {
        self.announce_drain();
        let drained = tokio::time::timeout(limit, async {
            if let Err(error) = self.node.presence.send(Dismiss).await {
                tracing::error!(%error, "the sessions could not be dismissed");
            }
            let at_rest = || self.node.spool.is_idle() && self.node.link.as_ref().is_none_or(|link| link.is_settled());
            while !at_rest() {
                tokio::time::sleep(POLL).await;
            }
        });
        if drained.await.is_err() {
            tracing::warn!("not everything was stored in time; the senders keep what has no status");
        }
        let Some(link) = &self.node.link else { return };
        link.say_good_bye();
        if let Err(error) = link.bus.release().await {
            tracing::warn!(%error, "the other nodes will see only in some seconds that this one is gone");
        }
    }
}

/// Makes the node one of a cluster.
async fn join(node: &Arc<Node>, link: Arc<Link>) {
    let telling = link.clone();
    node.directory.tells(move |device, connection| telling.leave(device, connection));
    let telling = link.clone();
    node.watchers.tells(move |name| telling.people.change(name));
    Life::start(node.clone(), link).await;
}

/// The spool has a thread of its own, so that telling the outcome of a large commit does not keep connections waiting.
fn start_spool(
    queue: &Arc<SpoolQueue>,
    store: &Arc<dyn Store>,
    directory: &Arc<Directory>,
    link: Option<Arc<Link>>,
    patience: Duration,
) {
    let spool = Spool { queue: queue.clone(), store: store.clone(), directory: directory.clone(), link, patience };
    Spool::start_in_arbiter(&Arbiter::new().handle(), |_| spool);
}
