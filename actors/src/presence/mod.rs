//! Presence: owns the directory of sessions, notes when devices were last here, and sends everybody away when the node
//! goes.

mod directory;
mod messages;
mod watchers;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
pub(crate) use directory::{Departure, Directory, Gone};
pub(crate) use messages::{Dismiss, Seen};
use sealwire_store::{Store, StoreError};
pub(crate) use watchers::{Here, Watchers, Watching};

use crate::clock::{Clock, millis};
use crate::quota::Quotas;
use crate::roster::Roster;
use crate::session::Event;

/// How often what is kept per user is looked through for what may be forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// How many copies one transaction takes out at most, and how many of them follow each other before the next sweep.
const EXPIRY_BATCH: usize = 500;
const EXPIRY_ROUNDS: usize = 100;
/// How many devices may wait to be noted as seen; the note is a hint, so more are dropped.
const MAILBOX: usize = 1_024;

/// The presence actor.
pub(crate) struct Presence {
    pub(crate) directory: Arc<Directory>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) clock: Arc<Clock>,
    /// How long undelivered mail is kept, and how often it is looked through.
    pub(crate) mail_life: Duration,
    pub(crate) sweep: Duration,
    /// Mail is being looked through.
    pub(crate) expiring: bool,
}

impl Presence {
    /// Takes out mail that nobody has fetched in time, and tells the senders that are here; the others are told when they
    /// come.
    fn expire(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.expiring, true) {
            return;
        }
        let (store, directory) = (self.store.clone(), self.directory.clone());
        let before = self.clock.now().wall.saturating_sub(millis(self.mail_life));
        let expire = async move {
            for _ in 0..EXPIRY_ROUNDS {
                let notices = store.expire(before, EXPIRY_BATCH).await?;
                for notice in &notices {
                    if let Some(sender) = directory.find(&notice.device) {
                        sender.tell(Event::Expired(notice.message_id));
                    }
                }
                if notices.is_empty() {
                    break;
                }
            }
            Ok::<(), StoreError>(())
        };
        ctx.spawn(expire.into_actor(self).map(|outcome, presence, _| {
            presence.expiring = false;
            if let Err(error) = outcome {
                tracing::warn!(%error, "mail that is over could not be taken out; trying again");
            }
        }));
    }
}

impl Actor for Presence {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(SWEEP, |presence, _| presence.quotas.sweep());
        ctx.run_interval(self.sweep, Self::expire);
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
