//! Checks of what batches do: appends, repeats, removals.

use std::sync::Arc;

use super::fixtures::{all, append, device, execute, ids, key, mail, message, remove};
use crate::{Appended, Batch, Fingerprint, Held, Mail, MailKey, Removal, Store};

/// In a later batch and in the same one.
pub async fn a_repeat_is_no_second_copy_and_says_so<S: Store>(store: Arc<S>) {
    let held = mail(1, 1, 10);
    let repeat = Appended::Repeat(held.fingerprint);
    assert_eq!(append(&*store, vec![held.clone(), held.clone()]).await, [Appended::Stored, repeat]);
    let again = Mail { order: 50, ..held.clone() };
    assert_eq!(append(&*store, vec![again, mail(1, 2, 11)]).await, [repeat, Appended::Stored]);
    assert_eq!(all(&*store, 1).await, [held, mail(1, 2, 11)]);
}

/// What was stored behind the first is not to get ahead of it because the repeat came first.
pub async fn a_copy_is_held_under_the_lowest_order_that_it_came_with<S: Store>(store: Arc<S>) {
    append(&*store, vec![mail(1, 1, 20), mail(1, 2, 30), mail(1, 3, 5)]).await;
    let earlier = [1, 2, 4].map(|n| mail(1, n, 10 + n));
    let repeat = |n: u64| Appended::Repeat(mail(1, n, 0).fingerprint);
    assert_eq!(append(&*store, earlier.to_vec()).await, [repeat(1), repeat(2), Appended::Stored]);
    assert_eq!(ids(&*store, 1).await, [3, 1, 2, 4]);
    assert_eq!(all(&*store, 1).await[1], mail(1, 1, 11), "nothing else of it has changed");
    remove(&*store, 1, &[1]).await;
    assert_eq!(ids(&*store, 1).await, [3, 2, 4]);
}

/// The caller tells a repeat from a conflict by it.
pub async fn a_repeat_with_other_content_gets_the_held_fingerprint<S: Store>(store: Arc<S>) {
    let held = mail(1, 1, 10);
    append(&*store, vec![held.clone()]).await;
    let other =
        Mail { fingerprint: Fingerprint { header: 1, content: 2 }, shared: b"other".as_slice().into(), ..held.clone() };
    assert_eq!(append(&*store, vec![other]).await, [Appended::Repeat(held.fingerprint)]);
    assert_eq!(all(&*store, 1).await, [held]);
}

/// Each device has a copy of its own.
pub async fn one_message_for_two_devices_is_no_repeat<S: Store>(store: Arc<S>) {
    assert_eq!(append(&*store, vec![mail(1, 1, 1), mail(2, 1, 1)]).await, [Appended::Stored; 2]);
    remove(&*store, 1, &[1]).await;
    assert_eq!((ids(&*store, 1).await, ids(&*store, 2).await), (vec![], vec![1]));
}

/// A message id is the sending device's own.
pub async fn one_id_from_two_devices_names_two_messages<S: Store>(store: Arc<S>) {
    let other = Mail { key: MailKey { from_device: device(101), message_id: message(1) }, ..mail(1, 1, 2) };
    assert_eq!(append(&*store, vec![mail(1, 1, 1), other.clone()]).await, [Appended::Stored; 2]);
    remove(&*store, 1, &[1]).await;
    assert_eq!(all(&*store, 1).await, [other]);
}

/// No row's outcome stands for another's.
pub async fn a_row_that_fails_fails_alone<S: Store>(store: Arc<S>) {
    let impossible = mail(1, 2, Mail::MAX_ORDER + 1);
    let outcome = append(&*store, vec![mail(1, 1, 1), impossible, mail(1, 3, 3), mail(1, 1, 1)]).await;
    let repeat = Appended::Repeat(mail(1, 1, 1).fingerprint);
    assert_eq!(outcome, [Appended::Stored, Appended::Failed, Appended::Stored, repeat]);
    assert_eq!(ids(&*store, 1).await, [1, 3]);
}

/// And nothing else: not what has arrived before it in order.
pub async fn removal_takes_what_it_names<S: Store>(store: Arc<S>) {
    append(&*store, (1..=4).map(|n| mail(1, n, n)).collect()).await;
    remove(&*store, 1, &[4, 2]).await;
    assert_eq!(ids(&*store, 1).await, [1, 3]);
}

/// Neither a message that never was, nor one that is gone, nor one of another mailbox.
pub async fn removing_what_is_not_there_is_no_error<S: Store>(store: Arc<S>) {
    append(&*store, vec![mail(1, 1, 1), mail(1, 2, 2)]).await;
    remove(&*store, 1, &[1, 1, 99]).await;
    remove(&*store, 1, &[1]).await;
    remove(&*store, 2, &[2]).await;
    assert_eq!(ids(&*store, 1).await, [2]);
}

/// A copy that is appended and removed by one batch is gone.
pub async fn appends_come_before_removals<S: Store>(store: Arc<S>) {
    let removals = vec![Removal { device: device(1), key: key(1) }];
    let batch = Batch { appends: vec![mail(1, 1, 1), mail(1, 2, 2)], removals, ..Batch::default() };
    assert_eq!(execute(&*store, batch).await.appended, [Appended::Stored; 2]);
    assert_eq!(ids(&*store, 1).await, [2]);
}

/// Only while it is held is it a repeat.
pub async fn what_was_removed_can_be_appended_again<S: Store>(store: Arc<S>) {
    append(&*store, vec![mail(1, 1, 1)]).await;
    remove(&*store, 1, &[1]).await;
    assert_eq!(append(&*store, vec![mail(1, 1, 7)]).await, [Appended::Stored]);
    assert_eq!(all(&*store, 1).await, [mail(1, 1, 7)]);
}

/// It has no outcomes.
pub async fn an_empty_batch_does_nothing<S: Store>(store: Arc<S>) {
    assert_eq!(execute(&*store, Batch::default()).await.appended, []);
}

/// Every mailbox with a copy of just this message, each with the fingerprint that it holds.
pub async fn find_names_every_holder<S: Store>(store: Arc<S>) {
    let odd = Mail { fingerprint: Fingerprint { header: 5, content: 6 }, ..mail(3, 1, 1) };
    append(&*store, vec![mail(1, 1, 1), mail(2, 1, 9), odd.clone(), mail(4, 2, 1)]).await;
    let find = || async {
        let mut held = store.find(&key(1)).await.expect("the store finds copies");
        held.sort_by_key(|held| held.device);
        held
    };
    let holder = |mail: &Mail| Held { device: mail.device, fingerprint: mail.fingerprint };
    assert_eq!(find().await, [holder(&mail(1, 1, 1)), holder(&mail(2, 1, 9)), holder(&odd)]);
    remove(&*store, 2, &[1]).await;
    assert_eq!(find().await, [holder(&mail(1, 1, 1)), holder(&odd)]);
    assert_eq!(store.find(&key(99)).await.expect("no error"), []);
}

/// 0 when there is none; it sinks again when the mail is gone.
pub async fn the_highest_order_is_of_any_mailbox<S: Store>(store: Arc<S>) {
    let highest = || async { store.highest_order().await.expect("the store knows its highest order") };
    assert_eq!(highest().await, 0);
    append(&*store, vec![mail(1, 1, 10), mail(2, 2, 30), mail(3, 3, 20), mail(2, 4, 5)]).await;
    assert_eq!(highest().await, 30);
    remove(&*store, 2, &[2]).await;
    assert_eq!(highest().await, 20);
    append(&*store, vec![mail(9, 9, Mail::MAX_ORDER)]).await;
    assert_eq!(highest().await, Mail::MAX_ORDER);
}

/// Each once, however often it is asked for, and only those that have mail.
pub async fn the_devices_with_mail_are_named<S: Store>(store: Arc<S>) {
    let with_mail = |asked: &[u64]| {
        let (store, asked) = (Arc::clone(&store), asked.iter().map(|n| device(*n)).collect());
        async move {
            let mut found = store.with_mail(asked).await.expect("the store knows who has mail");
            found.sort_unstable();
            found
        }
    };
    append(&*store, vec![mail(1, 1, 10), mail(2, 2, 20), mail(2, 3, 30), mail(3, 4, 40)]).await;
    assert_eq!(with_mail(&[3, 2, 4, 2]).await, [device(2), device(3)]);
    remove(&*store, 2, &[2, 3]).await;
    assert_eq!(with_mail(&[1, 2]).await, [device(1)]);
    assert_eq!(with_mail(&[]).await, []);
}

/// It is some time of this century, if there is one, and does not stand still for long.
pub async fn a_store_with_a_clock_knows_the_time<S: Store>(store: Arc<S>) {
    let time = || async { store.time().await.expect("the store answers") };
    let Some(first) = time().await else { return };
    assert!((1_700_000_000_000..4_200_000_000_000).contains(&first), "{first}");
    let goes = async {
        while time().await.is_none_or(|next| next <= first) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), goes).await.expect("the store's clock goes");
}
