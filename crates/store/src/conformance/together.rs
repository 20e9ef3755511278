//! Checks with many tasks at once.

use std::collections::HashSet;
use std::sync::Arc;

use sealwire_protocol::Kid;

use super::fixtures::{account, append, change, create, extend, ids, mail, name, new_account, remove, removing};
use crate::conformance::device;
use crate::{Appended, Created, Extended, Place, Store, WrapRecord};

const TASKS: u64 = 8;

/// Runs a task for each number, and gives the results in any order.
async fn together<S: Store, T, F>(store: &Arc<S>, task: impl Fn(Arc<S>, u64) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (1..=TASKS).map(|n| tokio::spawn(task(Arc::clone(store), n))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("the task checks and does not panic"));
    }
    results
}

/// A read that begins after a write has returned sees it. Every task writes to a mailbox of its own and to one that all
/// share, and reads both after each write.
pub async fn tasks_see_what_other_tasks_have_written<S: Store>(store: Arc<S>) {
    together(&store, |store, task| async move {
        for round in 0..10 {
            let id = task * 1_000 + round;
            append(&*store, vec![mail(task, id, round), mail(99, id, round)]).await;
            assert_eq!(ids(&*store, task).await, [id]);
            assert!(ids(&*store, 99).await.contains(&id));
            let usage = store.usage(&device(task), &name("alice")).await.expect("the store knows a usage");
            assert_eq!(usage.total, Place { messages: 1, bytes: 15 });
            remove(&*store, task, &[id]).await;
            assert_eq!(ids(&*store, task).await, Vec::<u64>::new());
        }
    })
    .await;
    let usage = store.usage(&device(99), &name("alice")).await.expect("the store knows a usage");
    assert_eq!(usage.from_sender, Place { messages: TASKS * 10, bytes: TASKS * 10 * 15 });
    assert_eq!(ids(&*store, 99).await.len() as u64, TASKS * 10);
}

/// And it is the one who was told so.
pub async fn of_many_who_want_one_name_one_gets_it<S: Store>(store: Arc<S>) {
    let created = together(&store, |store, task| async move {
        (task, store.create_account(new_account("alice", &[task])).await.expect("the store answers"))
    })
    .await;
    let winners: Vec<_> = created.iter().filter(|(_, created)| *created == Created::Yes).collect();
    assert_eq!(winners.len(), 1);
    let account = store.account(&name("alice")).await.expect("the store reads").expect("it was made");
    assert_eq!(account.devices[0].id, device(winners[0].0));
}

/// Compare and set: the others find another link there.
pub async fn of_many_links_for_one_place_one_is_taken<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[100]).await;
    let extended = together(&store, |store, task| async move {
        let mut link = change("alice", 2, &[100, task]);
        link.manifest.hash = [task as u8; 32];
        (task, extend(&*store, link).await)
    })
    .await;
    let winners: Vec<_> = extended.iter().filter(|(_, extended)| *extended == removing(&[])).collect();
    assert_eq!(winners.len(), 1);
    assert!(extended.iter().filter(|(_, extended)| *extended == Extended::Conflict).count() as u64 == TASKS - 1);
    let account = account(&*store, "alice").await;
    assert_eq!((account.manifest.hash, account.devices[0].id), ([winners[0].0 as u8; 32], device(winners[0].0)));
}

/// One key takes the place, whatever the order.
pub async fn of_many_keys_the_highest_is_the_newest<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[100]).await;
    extend(&*store, change("alice", 2, &[100, 101])).await;
    together(&store, |store, task| async move {
        let wrap = WrapRecord { seq: task, kid: Kid([task as u8; 32]), document: "wrap".into() };
        store.put_wrap(&device(101), wrap, task).await.expect("the store answers")
    })
    .await;
    let newest = account(&*store, "alice").await.devices[1].wrap.clone();
    assert_eq!(newest.map(|wrap| wrap.seq), Some(TASKS));
}

/// Each copy goes once, and each message makes one notice.
pub async fn of_many_who_expire_mail_one_says_so<S: Store>(store: Arc<S>) {
    append(&*store, (1..=40).map(|n| mail(n % 3, n, n)).collect()).await;
    let expired =
        together(
            &store,
            |store, _| async move { store.expire(2_000, 7).await.expect("the store takes out what is due") },
        )
        .await;
    let all: Vec<_> = expired.into_iter().flat_map(|expired| expired.notices).collect();
    assert_eq!(all.len(), 40);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 40);
    assert_eq!(store.news(&device(100), 100).await.expect("the store reads notices").notices.len(), 40);
}

/// The others are repeats.
pub async fn of_many_equal_appends_one_is_stored<S: Store>(store: Arc<S>) {
    let outcomes = together(&store, |store, _| async move { append(&*store, vec![mail(1, 1, 1)]).await[0] }).await;
    let stored = outcomes.iter().filter(|outcome| **outcome == Appended::Stored).count();
    let repeats = outcomes.iter().filter(|o| **o == Appended::Repeat(mail(1, 1, 1).fingerprint)).count();
    assert_eq!((stored, repeats as u64), (1, TASKS - 1));
}
