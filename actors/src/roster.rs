//! The accounts that sessions work with, as last read from the store. On a node alone only this node changes them, so an
//! entry holds until [`Roster::forget`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use sealwire_protocol::Username;
use sealwire_store::{Account, Store, StoreError};

/// How many accounts are kept at hand; one with one device takes about 4 KiB.
const KEPT: usize = 20_000;

/// The accounts at hand.
pub(crate) struct Roster {
    store: Arc<dyn Store>,
    accounts: Cache<Username, Arc<Account>>,
    /// Rises with every change, so that a read which began before one does not bring the old state back.
    changes: AtomicU64,
}

impl Roster {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, accounts: Cache::new(KEPT), changes: AtomicU64::new(0) }
    }

    /// The account, if it is at hand.
    pub(crate) fn at_hand(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts.get(name)
    }

    /// The account, from the store where it is not at hand; `None` when nobody has the name.
    pub(crate) async fn find(&self, name: &Username) -> Result<Option<Arc<Account>>, StoreError> {
        if let Some(account) = self.at_hand(name.as_str()) {
            return Ok(Some(account));
        }
        let changes = self.changes.load(Ordering::Acquire);
        let account = self.store.account(name).await?.map(Arc::new);
        if let Some(account) = &account
            && self.changes.load(Ordering::Acquire) == changes
        {
            self.accounts.insert(name.clone(), account.clone());
            if self.changes.load(Ordering::Acquire) != changes {
                self.accounts.remove(name);
            }
        }
        Ok(account)
    }

    /// The account has changed.
    pub(crate) fn forget(&self, name: &Username) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.accounts.remove(name);
    }
}
