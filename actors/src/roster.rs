//! The accounts that sessions work with, as last read from the store. On a node alone only this node changes them, so an
//! entry holds until [`Roster::forget`]. In a cluster the others tell of their changes, which may be lost: an entry holds for
//! half a minute at most, and for none while this node is cut off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use sealwire_protocol::Username;
use sealwire_store::{Account, Store, StoreError};

use crate::router::Link;

/// How many accounts are kept at hand; one with one device takes about 3 KiB.
const KEPT: usize = 20_000;

/// How long an account is at hand in a cluster.
const BELIEVED: Duration = Duration::from_secs(30);

/// The accounts at hand.
pub(crate) struct Roster {
    store: Arc<dyn Store>,
    accounts: Cache<Username, (Arc<Account>, Instant)>,
    /// To the other nodes, if there are any.
    link: Option<Arc<Link>>,
    /// Rises with every change, so that a read which began before one does not bring the old state back. Locked while an
    /// account is put at hand or taken away: an old one must not be there for an instant either, since whoever has just
    /// entered the directory relies on what is at hand. Who only looks does not take it.
    changes: Mutex<u64>,
}

impl Roster {
    pub(crate) fn new(store: Arc<dyn Store>, link: Option<Arc<Link>>) -> Self {
        Self { store, accounts: Cache::new(KEPT), link, changes: Mutex::default() }
    }

    /// The account [without its manifest's document](lean), if it is at hand.
    pub(crate) fn at_hand(&self, name: &str) -> Option<Arc<Account>> {
        let (account, read) = self.accounts.get(name)?;
        let holds = self.link.as_ref().is_none_or(|link| link.is_up() && read.elapsed() < BELIEVED);
        holds.then_some(account)
    }

    /// The account [without its manifest's document](lean), from the store where it is not at hand; `None` when nobody has
    /// the name.
    pub(crate) async fn find(&self, name: &Username) -> Result<Option<Arc<Account>>, StoreError> {
        if let Some(account) = self.at_hand(name.as_str()) {
            return Ok(Some(account));
        }
        let (before, read) = (*self.changes.lock(), Instant::now());
        let account = self.store.account(name).await?.map(|account| Arc::new(lean(account)));
        if let Some(account) = &account {
            self.keep(name, account, before, read);
        }
        Ok(account)
    }

    /// Puts an account at hand that was read after so many changes, unless there has been another one since.
    fn keep(&self, name: &Username, account: &Arc<Account>, read_after: u64, read: Instant) {
        let changes = self.changes.lock();
        if *changes == read_after {
            self.accounts.insert(name.clone(), (account.clone(), read));
        }
    }

    /// The account has changed.
    pub(crate) fn forget(&self, name: &Username) {
        let mut changes = self.changes.lock();
        *changes += 1;
        self.accounts.remove(name);
    }

    /// Any account may have changed.
    pub(crate) fn forget_all(&self) {
        let mut changes = self.changes.lock();
        *changes += 1;
        self.accounts.clear();
    }
}

/// An account without what takes room and nobody asks of it here: the document of its newest manifest. Whoever hands manifests
/// out reads the chain from the store.
fn lean(mut account: Account) -> Account {
    account.manifest.document = Bytes::new();
    account.devices.shrink_to_fit();
    account
}

#[cfg(test)]
mod tests {
    use sealwire_store::{Accounts, ManifestRecord, MemoryStore, NewAccount, WrapRecord};

    use super::*;
    use crate::session::fixtures::device;

    async fn roster_with_alice() -> (Roster, Username) {
        let (store, alice): (_, Username) = (Arc::new(MemoryStore::new()), "alice".parse().unwrap());
        let account = NewAccount {
            username: alice.clone(),
            aik: "identity".into(),
            manifest: ManifestRecord { version: 1, hash: [1; 32], document: "manifest".into() },
            devices: vec![(device(1), "key".into())],
            wrap: (device(1), WrapRecord { seq: 1, kid: sealwire_protocol::Kid([1; 32]), document: "wrap".into() }),
            created_at: 1,
        };
        store.create_account(account).await.unwrap();
        (Roster::new(store, None), alice)
    }

    #[tokio::test]
    async fn what_was_read_is_at_hand_until_it_changes() {
        let (roster, alice) = roster_with_alice().await;
        let read = roster.find(&alice).await.unwrap().unwrap();
        assert!(roster.at_hand("alice").is_some_and(|at_hand| Arc::ptr_eq(&at_hand, &read)));
        assert!(read.manifest.document.is_empty() && read.manifest.hash == [1; 32]);
        roster.forget(&alice);
        assert!(roster.at_hand("alice").is_none());
    }

    /// At every moment between two steps of a reader: it holds what it has read and not put at hand yet while an account
    /// changes.
    #[tokio::test]
    async fn what_was_read_before_a_change_is_never_at_hand_after_it() {
        let (roster, alice) = roster_with_alice().await;
        let before = *roster.changes.lock();
        let old = roster.store.account(&alice).await.unwrap().map(Arc::new).unwrap();
        roster.forget(&alice);
        roster.keep(&alice, &old, before, Instant::now());
        assert!(roster.at_hand("alice").is_none());
    }
}
