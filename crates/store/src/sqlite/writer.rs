//! What the writing thread owns and does. Every method that returns `Ok` has committed and synced.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use sealwire_protocol::{DeviceId, MessageId, Username};

use super::expiry::Sweep;
use super::mailboxes::Executed;
use super::seen::Seen;
use super::{accounts, backups, changes, connection, error, expiry, mailboxes, worker};
use crate::counters::Counters;
use crate::{
    BackupRecord, Batch, BatchOutcome, Created, Expired, Extended, ManifestChange, NewAccount, StoreError, Usage,
    WrapPut, WrapRecord,
};

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

impl End {
    fn commit_if(changed: bool) -> Self {
        if changed { Self::Commit } else { Self::Rollback }
    }
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
            Ok((created, End::commit_if(created == Created::Yes)))
        })
    }

    pub(super) fn extend_manifest(&mut self, change: &ManifestChange) -> Result<Extended, StoreError> {
        let extended = self.transaction(|transaction| {
            let extended = changes::extend(transaction, change)?;
            let end = End::commit_if(matches!(extended, Extended::Yes { .. }));
            Ok((extended, end))
        });
        let mut counters = self.counters.lock();
        match &extended {
            Ok(Extended::Yes { removed }) => removed.iter().for_each(|device| counters.forget(device)),
            Ok(_) => {}
            // Whose mailboxes went, if the commit shows after all, is not known here: count again.
            Err(_) => counters.forget_all(),
        }
        extended
    }

    pub(super) fn put_wrap(&mut self, device: &DeviceId, wrap: &WrapRecord, at: u64) -> Result<WrapPut, StoreError> {
        self.transaction(|transaction| {
            let put = changes::put_wrap(transaction, device, wrap, at)?;
            Ok((put, End::commit_if(put == WrapPut::Yes)))
        })
    }

    pub(super) fn share_presence(&mut self, username: &Username, shared: bool) -> Result<(), StoreError> {
        self.transaction(|transaction| Ok((accounts::share_presence(transaction, username, shared)?, End::Commit)))
    }

    pub(super) fn put_backup(&mut self, username: &Username, backup: &BackupRecord) -> Result<(), StoreError> {
        self.transaction(|transaction| Ok(((), End::commit_if(backups::put(transaction, username, backup)?))))
    }

    pub(super) fn erase_replaced_backups(&mut self, before: u64, limit: usize) -> Result<usize, StoreError> {
        self.transaction(|transaction| {
            let erased = backups::erase_replaced(transaction, before, limit)?;
            Ok((erased, End::commit_if(erased > 0)))
        })
    }

    pub(super) fn expire(&mut self, before: u64, limit: usize) -> Result<Expired, StoreError> {
        let sweep = self.transaction(|transaction| {
            let sweep = expiry::expire(transaction, before, limit)?;
            let end = End::commit_if(sweep.changed);
            Ok((sweep, end))
        });
        let mut counters = self.counters.lock();
        match sweep {
            Ok(Sweep { notices, changes, .. }) => {
                counters.apply(&changes);
                Ok(Expired { copies: changes.len(), notices })
            }
            // As above.
            Err(error) => {
                counters.forget_all();
                Err(error)
            }
        }
    }

    pub(super) fn forget_notices(&mut self, device: &DeviceId, messages: &[MessageId]) -> Result<(), StoreError> {
        self.transaction(|transaction| Ok((expiry::forget(transaction, device, messages)?, End::Commit)))
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
    fn rest(&mut self) {
        connection::rest(&self.connection);
    }

    fn idle(&mut self) {
        self.write_seen();
    }

    fn close(&mut self) {
        self.write_seen();
    }
}
