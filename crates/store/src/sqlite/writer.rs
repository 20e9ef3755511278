//! What the writing thread owns and does. Every method that returns `Ok` has committed and synced.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use sealwire_protocol::{DeviceId, Username};

use super::mailboxes::Executed;
use super::seen::Seen;
use super::usage::Counters;
use super::{accounts, error, mailboxes, worker};
use crate::{Batch, BatchOutcome, Created, NewAccount, StoreError, Usage};

pub(super) struct Writer {
    connection: Connection,
    counters: Arc<Mutex<Counters>>,
    seen: Arc<Seen>,
}

/// How a transaction that went well ends.
enum End {
    Commit,
    Rollback,
}

impl Writer {
    pub(super) fn new(connection: Connection, counters: Arc<Mutex<Counters>>, seen: Arc<Seen>) -> Self {
        Self { connection, counters, seen }
    }

    pub(super) fn execute(&mut self, batch: &Batch) -> Result<BatchOutcome, StoreError> {
        let executed = self.transaction(|transaction| Ok((mailboxes::execute(transaction, batch)?, End::Commit)));
        let mut counters = self.counters.lock();
        match executed {
            Ok(Executed { appended, changes }) => {
                counters.apply(&changes);
                Ok(BatchOutcome { appended })
            }
            // Whether a commit that failed shows after all is not known here: count again.
            Err(error) => {
                batch.appends.iter().for_each(|mail| counters.forget(&mail.device));
                batch.removals.iter().for_each(|removal| counters.forget(&removal.device));
                Err(error)
            }
        }
    }

    /// Counts a mailbox that has not been counted, or not since it was forgotten.
    pub(super) fn usage(&mut self, device: DeviceId, from: &Username) -> Result<Usage, StoreError> {
        // Somebody may have asked for the same one just before.
        if let Some(usage) = self.counters.lock().usage(&device, from) {
            return Ok(usage);
        }
        let count = mailboxes::count(&self.connection, &device).map_err(error::running)?;
        let mut counters = self.counters.lock();
        counters.insert(device, count);
        Ok(counters.usage(&device, from).expect("it was inserted under this lock, as the one asked for last"))
    }

    pub(super) fn create_account(&mut self, account: &NewAccount) -> Result<Created, StoreError> {
        self.transaction(|transaction| {
            let created = accounts::create(transaction, account)?;
            Ok((created, if created == Created::Yes { End::Commit } else { End::Rollback }))
        })
    }

    pub(super) fn forget_missed(&mut self, device: &DeviceId, count: u64) -> Result<(), StoreError> {
        self.transaction(|transaction| Ok((mailboxes::forget_missed(transaction, device, count)?, End::Commit)))
    }

    /// Runs a transaction, and takes along the times that wait.
    fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<(T, End)>,
    ) -> Result<T, StoreError> {
        let seen = self.seen.to_write();
        let result = transact(&mut self.connection, |transaction| {
            let (result, end) = work(transaction)?;
            if matches!(end, End::Commit) {
                seen.iter().try_for_each(|(device, at)| accounts::seen(transaction, device, *at))?;
            }
            Ok((result, end))
        });
        let (result, end) = result.map_err(|failure| {
            let failure = error::running(failure);
            tracing::error!(error = %failure, "the store could not commit");
            failure
        })?;
        if matches!(end, End::Commit) {
            self.seen.written(&seen);
        }
        Ok(result)
    }

    fn write_seen(&mut self) {
        if !self.seen.is_empty() {
            // It is in the log, and the times wait on.
            let _ = self.transaction(|_| Ok(((), End::Commit)));
        }
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// What goes wrong on the way rolls back.
fn transact<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<(T, End)>,
) -> rusqlite::Result<(T, End)> {
    // Immediate: a lock that another process holds shows at once, not at the first write.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (result, end) = work(&transaction)?;
    match end {
        End::Commit => transaction.commit()?,
        End::Rollback => transaction.rollback()?,
    }
    Ok((result, end))
}

impl worker::State for Writer {
    fn idle(&mut self) {
        self.write_seen();
    }

    fn close(&mut self) {
        self.write_seen();
    }
}
