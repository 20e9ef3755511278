//! Checks of [`Backups`](crate::Backups).

use std::sync::Arc;

use super::fixtures::{create, name};
use crate::{BackupRecord, Store};

fn backup(id: u8, data: &'static str, at: u64) -> BackupRecord {
    BackupRecord { id: [id; 32], data: data.into(), at }
}

async fn put<S: Store>(store: &S, backup: BackupRecord) {
    store.put_backup(&name("alice"), backup).await.expect("the backup is kept");
}

async fn all<S: Store>(store: &S, username: &str) -> Vec<BackupRecord> {
    store.backups(&name(username)).await.expect("the store reads backups")
}

/// The newest and the one before, which carries the time when it was replaced.
pub async fn the_newest_backup_and_the_one_before_are_kept<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1]).await;
    assert_eq!(all(&*store, "alice").await, []);
    put(&*store, backup(1, "one", 100)).await;
    assert_eq!(all(&*store, "alice").await, [backup(1, "one", 100)]);
    put(&*store, backup(2, "two", 200)).await;
    assert_eq!(all(&*store, "alice").await, [backup(2, "two", 200), backup(1, "one", 200)]);
    put(&*store, backup(3, "three", 300)).await;
    assert_eq!(all(&*store, "alice").await, [backup(3, "three", 300), backup(2, "two", 300)]);
}

/// A backup that is kept up to date does not push out the one under the code before.
pub async fn a_backup_under_the_newest_id_replaces_it<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1]).await;
    put(&*store, backup(1, "one", 100)).await;
    put(&*store, backup(1, "one, newer", 150)).await;
    assert_eq!(all(&*store, "alice").await, [backup(1, "one, newer", 150)]);
    put(&*store, backup(2, "two", 200)).await;
    put(&*store, backup(2, "two, newer", 250)).await;
    assert_eq!(all(&*store, "alice").await, [backup(2, "two, newer", 250), backup(1, "one, newer", 200)]);
}

/// They change places, and no id is there twice.
pub async fn a_backup_under_the_id_before_is_the_newest_again<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1]).await;
    put(&*store, backup(1, "one", 100)).await;
    put(&*store, backup(2, "two", 200)).await;
    put(&*store, backup(1, "one again", 300)).await;
    assert_eq!(all(&*store, "alice").await, [backup(1, "one again", 300), backup(2, "two", 300)]);
}

/// Not the newest, and not before its time.
pub async fn a_backup_that_was_replaced_is_erased_in_time<S: Store>(store: Arc<S>) {
    for (who, of) in [("alice", 1), ("bob", 2)] {
        create(&*store, who, &[of]).await;
    }
    put(&*store, backup(1, "one", 100)).await;
    put(&*store, backup(2, "two", 200)).await;
    store.put_backup(&name("bob"), backup(1, "one", 50)).await.expect("the backup is kept");
    let erase = async |before, limit| store.erase_replaced_backups(before, limit).await.expect("the store erases");
    assert_eq!((erase(200, 9).await, erase(201, 0).await, all(&*store, "alice").await.len()), (0, 0, 2));
    assert_eq!((erase(201, 9).await, erase(900, 9).await), (1, 0));
    assert_eq!(all(&*store, "alice").await, [backup(2, "two", 200)]);
    assert_eq!(all(&*store, "bob").await, [backup(1, "one", 50)]);
    put(&*store, backup(3, "three", 300)).await;
    assert_eq!(all(&*store, "alice").await, [backup(3, "three", 300), backup(2, "two", 300)]);
}

/// Each account has its own, of any size, and an unknown name none.
pub async fn backups_are_of_one_account<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1]).await;
    create(&*store, "bob", &[2]).await;
    let large = BackupRecord { data: vec![7; 256 << 10].into(), ..backup(1, "", 100) };
    put(&*store, large.clone()).await;
    store.put_backup(&name("nobody"), backup(1, "x", 1)).await.expect("no error");
    assert_eq!(all(&*store, "alice").await, [large]);
    assert_eq!(all(&*store, "bob").await, []);
    assert_eq!(all(&*store, "nobody").await, []);
    create(&*store, "nobody", &[3]).await;
    assert_eq!(all(&*store, "nobody").await, []);
}
