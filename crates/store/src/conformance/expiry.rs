//! Checks of mail that nobody fetches, and of the notices of it. The mail of these checks is from device 100.

use std::sync::Arc;

use super::fixtures::{NONE, append, change, create, device, extend, ids, key, mail, message, name, remove};
use crate::{Appended, EXPIRY_REACH, Mail, MailKey, NOTICE_LIFE, Notice, Place, Store};

/// Message `id` to device `to`, accepted at `at`.
fn at(at: u64, to: u64, id: u64) -> Mail {
    Mail { accepted_at: at, ..mail(to, id, id) }
}

/// The same for another device of the sender.
fn own(mail: Mail) -> Mail {
    Mail { own: true, ..mail }
}

/// Expires without a limit, and gives the messages of the notices.
async fn expire<S: Store>(store: &S, before: u64) -> Vec<u64> {
    expire_some(store, before, usize::MAX).await
}

async fn expire_some<S: Store>(store: &S, before: u64, limit: usize) -> Vec<u64> {
    let expired = store.expire(before, limit).await.expect("the store takes out what is due");
    numbers(expired.notices.iter().map(|notice| {
        assert_eq!(notice.device, device(100));
        notice.message_id
    }))
}

async fn notices<S: Store>(store: &S) -> Vec<u64> {
    numbers(store.news(&device(100), usize::MAX).await.expect("the store reads notices").notices.into_iter())
}

fn numbers(messages: impl Iterator<Item = sealwire_protocol::MessageId>) -> Vec<u64> {
    messages.map(|id| (0..1_000).find(|n| message(*n) == id).expect("checks use small numbers")).collect()
}

/// Strictly before, from every mailbox; a usage follows.
pub async fn mail_accepted_before_a_time_expires<S: Store>(store: Arc<S>) {
    append(&*store, vec![at(10, 1, 1), at(20, 1, 2), at(30, 1, 3), at(15, 2, 4), at(i64::MAX as u64, 2, 5)]).await;
    let used = async || store.usage(&device(1), &name("alice")).await.expect("the store knows a usage");
    assert_eq!(used().await.from_sender, Place { messages: 3, bytes: 45 });
    assert_eq!(expire(&*store, 10).await, NONE);
    assert_eq!(expire(&*store, 20).await, [1, 4]);
    assert_eq!((ids(&*store, 1).await, ids(&*store, 2).await), (vec![2, 3], vec![5]));
    assert_eq!(used().await.from_sender, Place { messages: 2, bytes: 30 });
    assert_eq!(expire(&*store, 20).await, NONE);
    assert_eq!(notices(&*store).await, [1, 4]);
    assert_eq!(append(&*store, vec![at(40, 1, 1)]).await, [Appended::Stored]);
}

/// The earliest arrivals first, whatever their order.
pub async fn expiry_ends_at_its_limit<S: Store>(store: Arc<S>) {
    append(&*store, vec![Mail { order: 9, ..at(3, 1, 1) }, at(2, 1, 2), at(1, 2, 3)]).await;
    assert_eq!(expire_some(&*store, 10, 0).await, NONE);
    assert_eq!(expire_some(&*store, 10, 2).await, [1, 2]);
    assert_eq!((ids(&*store, 1).await, ids(&*store, 2).await), (vec![], vec![3]));
    assert_eq!(expire_some(&*store, 10, 2).await, [3]);
}

/// So that whoever sweeps knows whether there may be more: also of copies that make no notice.
pub async fn expiry_says_how_many_copies_it_took<S: Store>(store: Arc<S>) {
    append(&*store, vec![own(at(1, 1, 1)), own(at(1, 1, 2)), at(1, 2, 3), at(50, 1, 4)]).await;
    let copies = async |limit| store.expire(10, limit).await.expect("the store takes out what is due").copies;
    assert_eq!([copies(2).await, copies(2).await, copies(2).await], [2, 1, 0]);
}

/// Like those lost to a full mailbox, and the sender's own ones too: each is a gap in what the device sees.
pub async fn an_expired_copy_is_missed_by_its_device<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[3, 4]).await;
    extend(&*store, change("alice", 2, &[3])).await;
    let missed = async |of| store.news(&device(of), 0).await.expect("the store counts").missed;
    append(&*store, vec![at(1, 1, 1), own(at(1, 2, 1)), at(1, 1, 2), at(50, 1, 3), at(1, 4, 4)]).await;
    expire(&*store, 10).await;
    assert_eq!((missed(1).await, missed(2).await), (2, 1));
    assert_eq!(missed(4).await, 0, "a removed device misses nothing");
    store.forget_missed(&device(1), 2).await.expect("the store forgets");
    expire(&*store, 60).await;
    assert_eq!((missed(1).await, missed(2).await), (1, 1));
}

/// As long as a device of the addressee may still fetch the message, there is no notice.
pub async fn the_last_copy_of_the_addressee_makes_the_notice<S: Store>(store: Arc<S>) {
    append(&*store, vec![at(1, 1, 1), at(1, 2, 1), at(1, 3, 1)]).await;
    assert_eq!(expire_some(&*store, 10, 2).await, NONE);
    assert_eq!(notices(&*store).await, NONE);
    assert_eq!(expire_some(&*store, 10, 2).await, [1]);
    assert_eq!(notices(&*store).await, [1]);
}

/// Neither as expired nor as left.
pub async fn own_copies_make_no_notice<S: Store>(store: Arc<S>) {
    append(&*store, vec![own(at(1, 1, 1)), at(1, 2, 2), own(at(50, 1, 2))]).await;
    assert_eq!(expire(&*store, 10).await, [2]);
    assert_eq!(ids(&*store, 1).await, [2]);
    assert_eq!(expire(&*store, 60).await, NONE);
    assert_eq!(ids(&*store, 1).await, NONE);
    assert_eq!(notices(&*store).await, [2]);
}

/// What was fetched has not expired; a message that one device has fetched and another one has not is said to have, and
/// whoever tells the sender knows what it has heard before.
pub async fn mail_that_was_fetched_makes_no_notice<S: Store>(store: Arc<S>) {
    append(&*store, vec![at(1, 1, 1), own(at(1, 3, 1)), at(1, 1, 2), at(1, 2, 2)]).await;
    remove(&*store, 1, &[1, 2]).await;
    assert_eq!(expire(&*store, 10).await, [2]);
    assert_eq!(notices(&*store).await, [2]);
}

/// One id from two devices is two messages.
pub async fn a_notice_is_for_the_device_that_sent<S: Store>(store: Arc<S>) {
    let other = Mail { key: MailKey { from_device: device(101), message_id: message(1) }, ..at(1, 1, 1) };
    append(&*store, vec![at(90, 1, 1), other]).await;
    let expired = store.expire(50, 10).await.expect("the store takes out what is due");
    assert_eq!(expired.notices, [Notice { device: device(101), message_id: message(1) }]);
    assert_eq!(notices(&*store).await, NONE);
    assert_eq!(store.news(&device(101), 10).await.expect("the store reads notices").notices, [message(1)]);
}

/// Oldest first, at most so many, until they are forgotten.
pub async fn notices_wait_until_they_are_forgotten<S: Store>(store: Arc<S>) {
    append(&*store, vec![at(1, 1, 3), at(1, 1, 1), at(2, 1, 2)]).await;
    expire(&*store, 2).await;
    expire(&*store, 3).await;
    assert_eq!(notices(&*store).await, [3, 1, 2]);
    let some = store.news(&device(100), 2).await.expect("the store reads notices").notices;
    assert_eq!(some, [message(3), message(1)]);
    let forget = async |of, messages: &[u64]| {
        let messages = messages.iter().map(|n| message(*n)).collect();
        store.forget_notices(&device(of), messages).await.expect("the store forgets");
    };
    forget(100, &[3, 9]).await;
    forget(101, &[1]).await;
    forget(100, &[]).await;
    assert_eq!(notices(&*store).await, [1, 2]);
    forget(100, &[2, 1, 3]).await;
    assert_eq!(notices(&*store).await, NONE);
}

/// One for each message, as old as the last time that it expired.
pub async fn a_message_that_expires_again_has_one_notice<S: Store>(store: Arc<S>) {
    for before in [10, 20] {
        append(&*store, vec![at(5, 1, 1), at(5, 1, before)]).await;
        assert_eq!(expire(&*store, before).await, [1, before]);
    }
    assert_eq!(notices(&*store).await, [10, 1, 20]);
}

/// Thirty days after they were made, and with the device that they are for.
pub async fn notices_that_nobody_fetches_are_dropped<S: Store>(store: Arc<S>) {
    append(&*store, vec![at(1, 1, 1), at(11, 1, 2)]).await;
    expire(&*store, 10).await;
    expire(&*store, 20).await;
    expire(&*store, 10 + NOTICE_LIFE).await;
    assert_eq!(notices(&*store).await, [1, 2]);
    expire_some(&*store, 11 + NOTICE_LIFE, 0).await;
    assert_eq!(notices(&*store).await, [1, 2]);
    expire(&*store, 11 + NOTICE_LIFE).await;
    assert_eq!(notices(&*store).await, [2]);
}

/// Those that wait go with it, and no new ones are made.
pub async fn a_removed_device_has_no_notices<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[99, 100]).await;
    append(&*store, vec![at(1, 1, 1), at(50, 1, 2)]).await;
    assert_eq!(expire(&*store, 10).await, [1]);
    extend(&*store, change("alice", 2, &[99])).await;
    assert_eq!(notices(&*store).await, NONE);
    assert_eq!(expire(&*store, 60).await, NONE);
    assert_eq!(ids(&*store, 1).await, NONE);
    assert_eq!(notices(&*store).await, NONE);
}

/// Mail that is not due, from a clock that was ahead, is passed over.
pub async fn mail_from_the_future_does_not_stop_expiry<S: Store>(store: Arc<S>) {
    let ahead = (1..EXPIRY_REACH as u64).map(|n| at(9_000, 1, n));
    append(&*store, ahead.chain([at(1, 2, 500)]).collect()).await;
    assert_eq!(expire(&*store, 10).await, [500]);
    assert!(store.find(&key(500)).await.expect("the store finds copies").is_empty());
    assert_eq!(ids(&*store, 1).await.len(), EXPIRY_REACH - 1);
}
