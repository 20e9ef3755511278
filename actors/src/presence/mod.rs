//! Presence: owns the directory of sessions, notes when devices were last here, and sends everybody away when the node
//! goes.

mod directory;
mod messages;
mod sweep;
mod watchers;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
pub(crate) use directory::{Departure, Directory, Gone};
pub(crate) use messages::{Dismiss, Seen};
use parking_lot::Mutex;
use sealwire_store::Store;
use sweep::Sweep;
pub(crate) use watchers::{Here, Watchers, Watching};

use crate::clock::{Clock, millis};
use crate::quota::Quotas;
use crate::roster::Roster;
use crate::router::Link;
use crate::session::rendezvous::Slots;
use crate::session::{BACKUP_LIFE, Event};

/// How often what is kept in memory per user and slot is looked through for what may be forgotten.
const FORGET: Duration = Duration::from_secs(60);
/// How many devices may wait to be noted as seen; the note is a hint, so more are dropped.
const MAILBOX: usize = 1_024;

/// The presence actor.
pub(crate) struct Presence {
    pub(crate) directory: Arc<Directory>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) slots: Arc<Mutex<Slots>>,
    pub(crate) clock: Arc<Clock>,
    /// To the other nodes, if there are any.
    pub(crate) link: Option<Arc<Link>>,
    /// How long a request of the store may take.
    pub(crate) patience: Duration,
    /// How long undelivered mail is kept, and how often the store is looked through for what is over.
    pub(crate) mail_life: Duration,
    pub(crate) sweep: Duration,
    /// It is being looked through.
    pub(crate) sweeping: bool,
}

impl Presence {
    /// Takes out what is over, unless that is under way.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.sweeping, true) {
            return;
        }
        let now = self.clock.now().wall;
        let sweep = Sweep {
            store: self.store.clone(),
            directory: self.directory.clone(),
            link: self.link.clone(),
            patience: self.patience,
            mail_before: now.saturating_sub(millis(self.mail_life)),
            backups_before: now.saturating_sub(BACKUP_LIFE),
        };
        let swept = async move { sweep.run().await };
        ctx.spawn(swept.into_actor(self).map(|outcome, presence, _| {
            presence.sweeping = false;
            if let Err(error) = outcome {
                tracing::warn!(%error, "what is over could not be taken out; trying again");
            }
        }));
    }

    /// Forgets what is kept in memory for those who are not here any more.
    fn forget(&self) {
        self.quotas.sweep();
        self.slots.lock().forget(self.clock.now().mono);
    }
}

impl Actor for Presence {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(FORGET, |presence, _| presence.forget());
        ctx.run_interval(self.sweep, Self::sweep);
    }
}

impl Handler<Seen> for Presence {
    type Result = ();

    fn handle(&mut self, seen: Seen, ctx: &mut Self::Context) {
        let store = self.store.clone();
        let noted = async move { store.device_seen(&seen.device, seen.at).await.map(|()| seen.username) };
        ctx.spawn(noted.into_actor(self).map(|noted, presence, _| match noted {
            Ok(username) => presence.roster.forget(&username),
            Err(error) => tracing::warn!(%error, "could not note when a device was here"),
        }));
    }
}

impl Handler<Dismiss> for Presence {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Dismiss, _: &mut Self::Context) -> Self::Result {
        let directory = self.directory.clone();
        Box::pin(async move {
            // A session that logs in meanwhile is found by the next round.
            loop {
                let sessions = directory.all();
                if sessions.is_empty() {
                    return;
                }
                for session in &sessions {
                    session.tell(Event::Leave);
                }
                for session in &sessions {
                    session.gone.wait().await;
                }
            }
        })
    }
}
