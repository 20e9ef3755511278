//! Presence: owns the directory of sessions, notes when devices were last here, and sends everybody away when the node
//! goes.

mod directory;
mod messages;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
pub(crate) use directory::{Departure, Directory, Gone};
pub(crate) use messages::{Dismiss, Seen};
use sealwire_store::Store;

use crate::quota::Quotas;
use crate::roster::Roster;
use crate::session::Event;

/// How often what is kept per user is looked through for what may be forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// How many devices may wait to be noted as seen; the note is a hint, so more are dropped.
const MAILBOX: usize = 1_024;

/// The presence actor.
pub(crate) struct Presence {
    pub(crate) directory: Arc<Directory>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) quotas: Arc<Quotas>,
}

impl Actor for Presence {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(SWEEP, |presence, _| presence.quotas.sweep());
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
