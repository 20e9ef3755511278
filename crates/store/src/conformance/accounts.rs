//! Checks of [`Accounts`](crate::Accounts).

use std::sync::Arc;

use sealwire_protocol::Username;

use super::fixtures::{device, name, new_account};
use crate::{Account, Created, Device, NewAccount, Store};

async fn create<S: Store>(store: &S, account: NewAccount) -> Created {
    store.create_account(account).await.expect("the store makes an account")
}

async fn read<S: Store>(store: &S, username: &Username) -> Option<Account> {
    store.account(username).await.expect("the store reads an account")
}

async fn last_seen<S: Store>(store: &S) -> u64 {
    read(store, &name("alice")).await.expect("it was made").devices[0].last_seen
}

/// Everything given is there again, devices ascending by id, only the one that registered with a key and a time.
pub async fn an_account_comes_back_as_it_was_made<S: Store>(store: Arc<S>) {
    let new = new_account("alice", &[3, 1, 2]);
    assert_eq!(create(&*store, new.clone()).await, Created::Yes);
    let unused = |n: usize| Device {
        id: new.devices[n].0,
        dsk: new.devices[n].1.clone(),
        wrap: None,
        replaced: Vec::new(),
        last_seen: 0,
    };
    let registered = Device { wrap: Some(new.wrap.1.clone()), last_seen: 1_000, ..unused(0) };
    let expected = Account {
        username: new.username.clone(),
        aik: new.aik.clone(),
        manifest: new.manifest.clone(),
        devices: vec![unused(1), unused(2), registered],
        shares_presence: false,
    };
    assert_eq!(read(&*store, &new.username).await, Some(expected));
}

/// A look-up gives `None`, or nothing, rather than an error.
pub async fn an_unknown_name_has_no_account_and_no_manifests<S: Store>(store: Arc<S>) {
    create(&*store, new_account("alice", &[1])).await;
    assert_eq!(read(&*store, &name("bob")).await, None);
    assert_eq!(store.manifests(&name("bob"), 0, 10).await.expect("no error"), vec![]);
}

/// The second one to want a name is refused, with whatever devices.
pub async fn a_name_is_given_once<S: Store>(store: Arc<S>) {
    let first = new_account("alice", &[1]);
    assert_eq!(create(&*store, first.clone()).await, Created::Yes);
    assert_eq!(create(&*store, new_account("alice", &[2])).await, Created::NameTaken);
    assert_eq!(create(&*store, first.clone()).await, Created::NameTaken);
    assert_eq!(read(&*store, &name("alice")).await.expect("it was made").devices[0].id, device(1));
}

/// An account that lists another one's device, or one device twice, is refused.
pub async fn a_device_id_belongs_to_one_account<S: Store>(store: Arc<S>) {
    assert_eq!(create(&*store, new_account("alice", &[1, 2])).await, Created::Yes);
    assert_eq!(create(&*store, new_account("bob", &[3, 2])).await, Created::DeviceTaken);
    assert_eq!(create(&*store, new_account("carol", &[4, 4])).await, Created::DeviceTaken);
    assert_eq!(read(&*store, &name("bob")).await, None);
    assert_eq!(read(&*store, &name("carol")).await, None);
}

/// All or nothing: name and devices of a refused account are still to be had.
pub async fn a_refused_account_leaves_nothing_behind<S: Store>(store: Arc<S>) {
    create(&*store, new_account("alice", &[1])).await;
    assert_eq!(create(&*store, new_account("bob", &[2, 1])).await, Created::DeviceTaken);
    assert_eq!(store.manifests(&name("bob"), 0, 10).await.expect("no error"), vec![]);
    assert_eq!(create(&*store, new_account("bob", &[2])).await, Created::Yes);
}

/// Links with a version above `since`, at most `limit`.
pub async fn manifests_begin_after_since_and_end_at_the_limit<S: Store>(store: Arc<S>) {
    let new = new_account("alice", &[1]);
    create(&*store, new.clone()).await;
    let manifests = |since, limit| {
        let store = Arc::clone(&store);
        async move { store.manifests(&name("alice"), since, limit).await.expect("the store reads manifests") }
    };
    assert_eq!(manifests(0, 50).await, vec![new.manifest.clone()]);
    assert_eq!(manifests(0, usize::MAX).await, vec![new.manifest]);
    assert_eq!(manifests(0, 0).await, vec![]);
    assert_eq!(manifests(1, 50).await, vec![]);
    assert_eq!(manifests(u64::MAX, 50).await, vec![]);
}

/// The time moves forward only, also from before the account was made, and is seen by the next read.
pub async fn a_device_is_seen_at_the_latest_time_given<S: Store>(store: Arc<S>) {
    create(&*store, new_account("alice", &[1])).await;
    for (given, expected) in [(500, 1_000), (3_000, 3_000), (2_000, 3_000), (3_001, 3_001)] {
        store.device_seen(&device(1), given).await.expect("the time is noted");
        assert_eq!(last_seen(&*store).await, expected);
        // Whatever else is written meanwhile.
        create(&*store, new_account(&format!("user-{given}"), &[given])).await;
        assert_eq!(last_seen(&*store).await, expected);
    }
}

/// Nothing is known of it, and nothing becomes of it.
pub async fn an_unknown_device_that_was_seen_is_no_error<S: Store>(store: Arc<S>) {
    store.device_seen(&device(9), 5_000).await.expect("no error");
    create(&*store, new_account("bob", &[2])).await;
    assert_eq!(create(&*store, new_account("alice", &[9])).await, Created::Yes);
    assert_eq!(last_seen(&*store).await, 1_000);
}
