//! What every session of the node shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use actix::Addr;
use parking_lot::Mutex;
use sealwire_protocol::Username;
use sealwire_store::Store;

use crate::clock::Clock;
use crate::health::StoreRecord;
use crate::metrics::SessionCounts;
use crate::presence::{Directory, Presence, Watchers};
use crate::quota::Quotas;
use crate::roster::Roster;
use crate::router::Router;
use crate::session::Attempts;
use crate::session::rendezvous::Slots;
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
    /// What is known of the store's answers.
    pub(crate) store_record: Mutex<StoreRecord>,
}
