//! Checks of how full a mailbox is, and of what it has lost.

use std::sync::Arc;

use super::fixtures::{append, change, create, device, execute, extend, mail, name, remove};
use crate::{Batch, Mail, Place, Store, Usage};

async fn usage<S: Store>(store: &S, of: u64, from: &str) -> Usage {
    store.usage(&device(of), &name(from)).await.expect("the store knows a usage")
}

/// A usage of so many messages of 15 bytes.
fn full(total: u64, from_sender: u64) -> Usage {
    let place = |messages| Place { messages, bytes: 15 * messages };
    Usage { total: place(total), from_sender: place(from_sender) }
}

fn from(sender: &str, mail: Mail) -> Mail {
    Mail { from: name(sender), ..mail }
}

/// By [`Mail::size`], per mailbox and sender.
pub async fn usage_counts_messages_and_bytes<S: Store>(store: Arc<S>) {
    let long = Mail { shared: vec![1; 985].into(), ..from("bob", mail(1, 3, 3)) };
    append(&*store, vec![mail(1, 1, 1), mail(1, 2, 2), long, mail(2, 4, 4)]).await;
    let total = Place { messages: 3, bytes: 1_020 };
    assert_eq!(usage(&*store, 1, "alice").await, Usage { total, ..full(0, 2) });
    let from_sender = Place { messages: 1, bytes: 990 };
    assert_eq!(usage(&*store, 1, "bob").await, Usage { total, from_sender });
    assert_eq!(usage(&*store, 1, "carol").await, Usage { total, ..Usage::default() });
    assert_eq!(usage(&*store, 3, "alice").await, Usage::default());
}

/// Asked before and after every change, so that a remembered count is found out.
pub async fn usage_follows_appends_and_removals<S: Store>(store: Arc<S>) {
    assert_eq!(usage(&*store, 1, "alice").await, full(0, 0));
    append(&*store, vec![mail(1, 1, 1), from("bob", mail(1, 2, 2)), mail(1, 3, 3)]).await;
    assert_eq!(usage(&*store, 1, "alice").await, full(3, 2));
    assert_eq!(usage(&*store, 1, "bob").await, full(3, 1));
    remove(&*store, 1, &[2, 3, 99]).await;
    assert_eq!(usage(&*store, 1, "alice").await, full(1, 1));
    assert_eq!(usage(&*store, 1, "bob").await, full(1, 0));
    remove(&*store, 1, &[1]).await;
    assert_eq!(usage(&*store, 1, "alice").await, full(0, 0));
    append(&*store, vec![mail(1, 1, 1)]).await;
    assert_eq!(usage(&*store, 1, "alice").await, full(1, 1));
}

/// They fill the mailbox all the same.
pub async fn own_copies_are_not_a_senders_share<S: Store>(store: Arc<S>) {
    let own = |id| Mail { own: true, ..mail(1, id, id) };
    append(&*store, vec![own(1), mail(1, 2, 2)]).await;
    assert_eq!(usage(&*store, 1, "alice").await, full(2, 1));
    append(&*store, vec![own(3)]).await;
    assert_eq!(usage(&*store, 1, "alice").await, full(3, 1));
    remove(&*store, 1, &[1]).await;
    assert_eq!(usage(&*store, 1, "alice").await, full(2, 1));
    remove(&*store, 1, &[2]).await;
    assert_eq!(usage(&*store, 1, "alice").await, full(1, 0));
}

/// Only what is held counts.
pub async fn a_repeat_and_a_failure_take_no_room<S: Store>(store: Arc<S>) {
    assert_eq!(usage(&*store, 1, "alice").await, full(0, 0));
    append(&*store, vec![mail(1, 1, 1), mail(1, 1, 1), mail(1, 2, Mail::MAX_ORDER + 1)]).await;
    assert_eq!(usage(&*store, 1, "alice").await, full(1, 1));
}

/// One entry each, added up over batches; what was told is taken off, what came meanwhile stays.
pub async fn missed_copies_are_counted_until_forgotten<S: Store>(store: Arc<S>) {
    let missed = |n| {
        let store = Arc::clone(&store);
        async move { store.news(&device(n), 0).await.expect("the store knows what was missed").missed }
    };
    assert_eq!(missed(1).await, 0);
    let batch = |devices: &[u64]| Batch { missed: devices.iter().map(|n| device(*n)).collect(), ..Batch::default() };
    execute(&*store, batch(&[1, 2, 1])).await;
    execute(&*store, batch(&[1, 1, 1])).await;
    assert_eq!((missed(1).await, missed(2).await), (5, 1));
    store.forget_missed(&device(1), 3).await.expect("the store forgets");
    assert_eq!((missed(1).await, missed(2).await), (2, 1));
    store.forget_missed(&device(1), 0).await.expect("the store forgets");
    store.forget_missed(&device(1), 2).await.expect("the store forgets");
    assert_eq!((missed(1).await, missed(2).await), (0, 1));
}

/// Nobody will ask for it.
pub async fn a_removed_device_misses_nothing<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1, 2]).await;
    extend(&*store, change("alice", 2, &[1])).await;
    execute(&*store, Batch { missed: vec![device(1), device(2)], ..Batch::default() }).await;
    let missed = async |of| store.news(&device(of), 0).await.expect("the store counts").missed;
    assert_eq!((missed(1).await, missed(2).await), (1, 0));
}

/// Not fewer than none, and later ones count from there.
pub async fn forgetting_more_than_was_missed_leaves_none<S: Store>(store: Arc<S>) {
    store.forget_missed(&device(1), 1).await.expect("no error");
    for _ in 0..2 {
        execute(&*store, Batch { missed: vec![device(1)], ..Batch::default() }).await;
        assert_eq!(store.news(&device(1), 0).await.expect("no error").missed, 1);
        store.forget_missed(&device(1), u64::MAX).await.expect("no error");
        assert_eq!(store.news(&device(1), 0).await.expect("no error").missed, 0);
    }
}
