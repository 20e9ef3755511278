//! Checks of how accounts change: chains that grow, devices that come and go, and the end of an account.

use std::sync::Arc;

use super::fixtures::{
    account, append, change, create, device, execute, extend, hash, ids, mail, name, new_account, removing,
};
use crate::{
    BackupRecord, Batch, Created, Device, Extended, Mail, MailKey, ManifestChange, ManifestRecord, Place, Store,
    WrapPut, WrapRecord,
};

async fn devices<S: Store>(store: &S, username: &str) -> Vec<Device> {
    account(store, username).await.devices
}

fn known<T: PartialEq + std::fmt::Debug>(of: &[T], all: usize) {
    assert_eq!(of.len(), all, "{of:?}");
}

/// The newest link, the whole chain, and the devices ascending by id; a new one has neither a key nor a time.
pub async fn a_link_makes_its_devices_those_of_the_account<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[2]).await;
    let before = account(&*store, "alice").await;
    let link = change("alice", 2, &[1, 2, 3]);
    assert_eq!(extend(&*store, link.clone()).await, removing(&[]));
    let after = account(&*store, "alice").await;
    assert_eq!((&after.manifest, &after.aik), (&link.manifest, &before.aik));
    let new = |n: usize| Device {
        id: link.devices[n].0,
        dsk: link.devices[n].1.clone(),
        wrap: None,
        replaced: vec![],
        last_seen: 0,
    };
    assert_eq!(after.devices, [new(0), before.devices[0].clone(), new(2)]);
    let chain = store.manifests(&name("alice"), 0, 10).await.expect("the store reads manifests");
    assert_eq!(chain, [before.manifest, link.manifest]);
}

/// Also when they stay as they are: keys, times and mail of a device that stays are kept.
pub async fn a_device_that_stays_loses_nothing<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1, 2]).await;
    store.device_seen(&device(1), 7_000).await.expect("the time is noted");
    append(&*store, vec![mail(1, 1, 1)]).await;
    execute(&*store, Batch { missed: vec![device(1)], ..Batch::default() }).await;
    let before = devices(&*store, "alice").await;
    assert_eq!(extend(&*store, change("alice", 2, &[1, 2])).await, removing(&[]));
    assert_eq!(devices(&*store, "alice").await, before);
    assert_eq!(ids(&*store, 1).await, [1]);
    assert_eq!(store.news(&device(1), 0).await.expect("the store counts").missed, 1);
}

/// And nothing else: neither a later link nor one that was made for another chain.
pub async fn a_link_fits_the_newest_one_only<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1]).await;
    extend(&*store, change("alice", 2, &[1, 2])).await;
    let before = account(&*store, "alice").await;
    let odd = |version, previous, own| ManifestChange {
        previous,
        manifest: ManifestRecord { hash: own, ..change("alice", version, &[1]).manifest },
        ..change("alice", version, &[1])
    };
    for misfit in [
        odd(4, hash(2), hash(4)),
        odd(4, hash(3), hash(4)),
        odd(3, hash(1), hash(3)),
        odd(2, hash(1), [9; 32]),
        odd(1, [0; 32], [9; 32]),
        odd(3, hash(3), hash(2)),
    ] {
        assert_eq!(extend(&*store, misfit).await, Extended::Conflict);
    }
    assert_eq!(account(&*store, "alice").await, before);
    assert_eq!(extend(&*store, change("alice", 3, &[1])).await, removing(&[2]));
}

/// Any link that the chain holds is; it changes nothing.
pub async fn a_link_that_is_held_is_a_repeat<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1]).await;
    extend(&*store, change("alice", 2, &[1, 2])).await;
    assert_eq!(extend(&*store, change("alice", 2, &[1, 2])).await, Extended::Repeat);
    extend(&*store, change("alice", 3, &[1])).await;
    let before = account(&*store, "alice").await;
    assert_eq!(extend(&*store, change("alice", 2, &[1, 2])).await, Extended::Repeat);
    assert_eq!(extend(&*store, change("alice", 3, &[1])).await, Extended::Repeat);
    assert_eq!(account(&*store, "alice").await, before);
}

/// There is nothing to extend.
pub async fn an_unknown_name_has_nothing_to_extend<S: Store>(store: Arc<S>) {
    assert_eq!(extend(&*store, change("nobody", 2, &[1])).await, Extended::Unknown);
    assert_eq!(extend(&*store, change("nobody", 2, &[])).await, Extended::Unknown);
    create(&*store, "alice", &[1]).await;
}

/// Not another account's, not twice the same, and never again one that was removed.
pub async fn a_link_lists_no_device_that_is_taken<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1, 2]).await;
    create(&*store, "bob", &[5]).await;
    assert_eq!(extend(&*store, change("alice", 2, &[1])).await, removing(&[2]));
    let before = account(&*store, "alice").await;
    for taken in [&[1, 5][..], &[1, 2], &[3, 2], &[1, 3, 3], &[1, 1]] {
        assert_eq!(extend(&*store, change("alice", 3, taken)).await, Extended::DeviceTaken, "{taken:?}");
        assert_eq!(account(&*store, "alice").await, before);
    }
    assert_eq!(extend(&*store, change("bob", 2, &[2, 5])).await, Extended::DeviceTaken);
    assert_eq!(store.create_account(new_account("carol", &[2])).await.expect("an answer"), Created::DeviceTaken);
    assert_eq!(extend(&*store, change("alice", 3, &[1, 3])).await, removing(&[]));
}

/// Keys, mail, counts: a mailbox that was asked for before is empty after, and others stand.
pub async fn a_removed_device_loses_all_that_was_its<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1, 2]).await;
    append(&*store, vec![mail(1, 1, 1), mail(2, 1, 1), mail(2, 2, 2)]).await;
    execute(&*store, Batch { missed: vec![device(1), device(2)], ..Batch::default() }).await;
    let used = async |n| store.usage(&device(n), &name("alice")).await.expect("the store knows a usage").total.messages;
    assert_eq!((used(1).await, used(2).await), (1, 2));
    assert_eq!(extend(&*store, change("alice", 2, &[1])).await, removing(&[2]));
    known(&devices(&*store, "alice").await, 1);
    assert_eq!((ids(&*store, 1).await, ids(&*store, 2).await), (vec![1], vec![]));
    assert_eq!((used(1).await, used(2).await), (1, 0));
    let missed = async |n| store.news(&device(n), 0).await.expect("the store counts").missed;
    assert_eq!((missed(1).await, missed(2).await), (1, 0));
    known(&store.find(&mail(1, 1, 1).key).await.expect("the store finds copies"), 1);
    let wrap = WrapRecord { seq: 1, kid: new_account("alice", &[1]).wrap.1.kid, document: "wrap".into() };
    assert_eq!(store.put_wrap(&device(2), wrap, 1).await.expect("an answer"), WrapPut::Unknown);
    store.device_seen(&device(2), 9_000).await.expect("no error");
}

/// A link that lists no device: all that was the account's is gone, and what it sent to others stays.
pub async fn an_account_without_devices_is_gone<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1, 2]).await;
    create(&*store, "bob", &[3]).await;
    let sent = Mail { key: MailKey { from_device: device(1), ..mail(3, 7, 7).key }, ..mail(3, 7, 7) };
    append(&*store, vec![mail(1, 1, 1), mail(2, 1, 1), sent.clone()]).await;
    execute(&*store, Batch { missed: vec![device(1)], ..Batch::default() }).await;
    let backup = BackupRecord { id: [1; 32], data: "sealed".into(), at: 1 };
    store.put_backup(&name("alice"), backup).await.expect("the backup is kept");
    assert_eq!(extend(&*store, change("alice", 2, &[])).await, removing(&[1, 2]));

    assert_eq!(store.account(&name("alice")).await.expect("the store reads"), None);
    assert_eq!(store.manifests(&name("alice"), 0, 10).await.expect("the store reads"), []);
    assert_eq!(store.backups(&name("alice")).await.expect("the store reads"), []);
    assert_eq!((ids(&*store, 1).await, ids(&*store, 2).await), (vec![], vec![]));
    assert_eq!(store.news(&device(1), 0).await.expect("the store counts").missed, 0);
    let usage = store.usage(&device(1), &name("alice")).await.expect("the store knows a usage");
    assert_eq!(usage.total, Place::default());
    known(&store.find(&sent.key).await.expect("the store finds copies"), 1);
    known(&devices(&*store, "bob").await, 1);
}

/// The name and the ids are never given again, and only the last link is known.
pub async fn a_deleted_account_comes_not_back<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1, 2]).await;
    extend(&*store, change("alice", 2, &[1])).await;
    extend(&*store, change("alice", 3, &[])).await;
    let created = async |username, n| {
        let created = store.create_account(new_account(username, &[n])).await;
        created.expect("the store answers")
    };
    assert_eq!(created("alice", 9).await, Created::NameTaken);
    assert_eq!(created("bob", 1).await, Created::DeviceTaken);
    assert_eq!(created("bob", 2).await, Created::DeviceTaken);
    assert_eq!(created("bob", 9).await, Created::Yes);
    assert_eq!(extend(&*store, change("alice", 3, &[])).await, Extended::Repeat);
    assert_eq!(extend(&*store, change("alice", 2, &[1])).await, Extended::Unknown);
    assert_eq!(extend(&*store, change("alice", 4, &[8])).await, Extended::Unknown);
    store.set_presence_shared(&name("alice"), true).await.expect("no error");
    store.put_backup(&name("alice"), BackupRecord { id: [1; 32], data: "x".into(), at: 1 }).await.expect("no error");
    assert_eq!(store.backups(&name("alice")).await.expect("the store reads"), []);
    assert_eq!(store.account(&name("alice")).await.expect("the store reads"), None);
}

/// False at first, then as it was set, whatever becomes of the chain.
pub async fn presence_is_shared_only_when_asked<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1]).await;
    create(&*store, "bob", &[2]).await;
    let share = async |who: &str, shared| {
        store.set_presence_shared(&name(who), shared).await.expect("the store keeps it");
    };
    assert!(!account(&*store, "alice").await.shares_presence);
    share("alice", true).await;
    share("nobody", true).await;
    extend(&*store, change("alice", 2, &[1, 3])).await;
    assert!(account(&*store, "alice").await.shares_presence);
    assert!(!account(&*store, "bob").await.shares_presence);
    share("alice", false).await;
    assert!(!account(&*store, "alice").await.shares_presence);
}
