//! Changes of several documents that must be made together.

use std::time::Duration;

use async_trait::async_trait;
use mongodb::ClientSession;
use mongodb::error::{Error, Result, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::options::ReadConcern;

use super::schema::Collections;

/// The longest pause before another try.
const LONGEST_PAUSE: Duration = Duration::from_millis(64);

/// What a transaction does. It may be done several times, of which one counts.
#[async_trait]
pub(super) trait Work: Sync {
    type Output: Send;

    async fn run(&self, on: &Collections, session: &mut ClientSession) -> Result<Self::Output>;
}

/// Does it, again and again while others are in its way; the caller limits the time. All of it sees one moment (snapshot),
/// and what it has read and another one changes before it commits ends it if it writes there too.
pub(super) async fn transact<W: Work>(on: &Collections, work: &W) -> Result<W::Output> {
    let mut session = on.client.start_session().await?;
    let mut pause = Duration::from_millis(1);
    loop {
        match attempt(on, &mut session, work).await {
            Err(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => {}
            outcome => return outcome,
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

async fn attempt<W: Work>(on: &Collections, session: &mut ClientSession, work: &W) -> Result<W::Output> {
    // The write concern is the client's: the commit waits for the majority's journals.
    session.start_transaction().read_concern(ReadConcern::snapshot()).await?;
    match work.run(on, session).await {
        // Also one that has only read: then the majority has what it saw.
        Ok(output) => commit(session).await.map(|()| output),
        Err(error) => {
            // The first error says more than that of the abort, and a transaction that nobody ends ends by itself.
            let _ = session.abort_transaction().await;
            Err(error)
        }
    }
}

/// A commit of which nothing was heard is repeated: it is done once, however often it is asked for.
async fn commit(session: &mut ClientSession) -> Result<()> {
    loop {
        match session.commit_transaction().await {
            Err(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) && may_help(&error) => {}
            outcome => return outcome,
        }
    }
}

/// Waiting for the majority again is the caller's to decide; a connection that broke is not.
fn may_help(error: &Error) -> bool {
    !matches!(&*error.kind, mongodb::error::ErrorKind::Write(_))
}
