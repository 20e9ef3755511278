//! The spool: the way into the store. What arrives while a commit runs goes into the next one, so many messages share
//! one fsync. The store only executes batches; whom to tell of their outcomes is known here.

mod counts;
mod messages;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
pub(crate) use messages::Commit;
pub(crate) use queue::{Append, Bounds, Miss, Remove, SpoolQueue, Work};
use sealwire_protocol::DeviceId;
use sealwire_store::{Appended, BatchOutcome, Store, StoreError};

use crate::presence::Directory;
use crate::router::{Link, News};
use crate::session::{Verdict, conflicts};

/// How long to leave a store alone that has failed, when only removals wait for it.
const PAUSE: Duration = Duration::from_millis(250);

/// The spool actor.
pub(crate) struct Spool {
    pub(crate) queue: Arc<SpoolQueue>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) directory: Arc<Directory>,
    /// To the other nodes, if there are any.
    pub(crate) link: Option<Arc<Link>>,
    /// How long a commit may take; then its copies count as failed.
    pub(crate) patience: Duration,
}

impl Actor for Spool {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.queue.wakes(ctx.address().recipient());
    }
}

impl Handler<Commit> for Spool {
    type Result = ();

    fn handle(&mut self, _: Commit, ctx: &mut Self::Context) {
        self.commit_next(ctx);
    }
}

impl Spool {
    fn commit_next(&self, ctx: &mut Context<Self>) {
        let Some(work) = self.queue.next() else { return };
        let (store, batch, patience) = (self.store.clone(), work.batch(), self.patience);
        let commit = async move {
            let commit = tokio::time::timeout(patience, store.execute(batch)).await;
            commit.unwrap_or_else(|_| Err(StoreError::Unavailable("a commit took too long".to_owned())))
        };
        ctx.spawn(commit.into_actor(self).map(move |outcome, spool, ctx| match outcome {
            Ok(outcome) => {
                spool.committed(work, &outcome);
                spool.commit_next(ctx);
            }
            Err(error) => spool.failed(work, &error, ctx),
        }));
    }

    pub(crate) fn committed(&self, work: Work, outcome: &BatchOutcome) {
        self.queue.counts.committed(&work, outcome);
        self.queue.decided(&work.appends);
        let outcomes = outcome.appended.iter().copied().chain(std::iter::repeat(Appended::Failed));
        let abroad: Vec<_> = work
            .appends
            .into_iter()
            .zip(outcomes)
            .filter_map(|(append, outcome)| self.appended(append, outcome))
            .collect();
        if let Some(link) = &self.link
            && !abroad.is_empty()
        {
            link.settle(abroad);
        }
        Work::removed(&work.removals);
        let news =
            work.removals.iter().filter(|remove| remove.news).filter_map(|remove| self.tell_sender(remove)).collect();
        if let Some(link) = &self.link {
            link.tell_devices(news);
        }
        work.missed.iter().for_each(|miss| miss.reply.send(Verdict::Missed));
    }

    /// Whoever stores looks presence up again after the commit and nudges the session found there: the device may have
    /// connected, and read its mailbox, in between. Gives back what must be looked for at other nodes before it is told.
    fn appended(&self, mut append: Append, outcome: Appended) -> Option<(Append, Appended, Verdict)> {
        let verdict = match outcome {
            Appended::Stored => Verdict::Stored,
            Appended::Repeat(known) if conflicts(known, append.mail.fingerprint) => Verdict::Conflict,
            Appended::Repeat(_) => Verdict::Stored,
            Appended::Failed => Verdict::Failed,
        };
        append.committed();
        let present = self.directory.find(&append.mail.device);
        if let Some(present) = &present
            && !append.by.as_ref().is_some_and(|by| Arc::ptr_eq(by, present))
        {
            present.nudge();
        }
        // One that has ended may have a successor elsewhere.
        let is_here = present.is_some_and(|present| !present.is_closed());
        if self.link.is_some() && !is_here && outcome != Appended::Failed {
            return Some((append, outcome, verdict));
        }
        append.decided(outcome, verdict);
        None
    }

    /// Told only once the copy is out of the mailbox: after a crash the news may be missing, but does not come twice.
    /// Gives what is to be told at another node.
    fn tell_sender(&self, remove: &Remove) -> Option<(DeviceId, News)> {
        let key = remove.removal.key;
        let news = News::Delivered(key.message_id);
        match self.directory.find(&key.from_device) {
            Some(sender) => {
                sender.tell(news.event());
                None
            }
            None => Some((key.from_device, news)),
        }
    }

    fn failed(&self, mut work: Work, error: &StoreError, ctx: &mut Context<Self>) {
        work.appends.extend(self.queue.take_behind(&work.appends));
        tracing::error!(%error, appends = work.appends.len(), "a commit failed; the senders keep what was in it");
        self.queue.counts.not_committed(&work);
        self.queue.decided(&work.appends);
        self.queue.give_back(work.failed());
        ctx.run_later(PAUSE, |spool, ctx| spool.commit_next(ctx));
    }
}
