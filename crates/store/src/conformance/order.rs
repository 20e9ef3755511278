//! Checks of the front of a mailbox: order, limits, what is passed over.

use std::sync::Arc;

use sealwire_protocol::DeviceId;

use super::fixtures::{all, append, device, front, ids, mail, message};
use crate::{Front, Mail, MailKey, Store};

fn contents(front: &Front) -> Vec<u64> {
    front.mail.iter().map(|mail| mail.fingerprint.content).collect()
}

/// Whatever the order of arrival, within a batch and over several.
pub async fn a_mailbox_is_ordered_by_order<S: Store>(store: Arc<S>) {
    append(&*store, vec![mail(1, 10, 5), mail(1, 11, 1), mail(1, 12, Mail::MAX_ORDER)]).await;
    append(&*store, vec![mail(1, 13, 0), mail(1, 14, 3)]).await;
    assert_eq!(ids(&*store, 1).await, [13, 11, 14, 10, 12]);
}

/// Message ids decide between equal orders; one id from two devices is still two messages.
pub async fn equal_orders_are_ordered_by_message_id<S: Store>(store: Arc<S>) {
    append(&*store, vec![mail(1, 3, 7), mail(1, 1, 7), mail(1, 2, 7)]).await;
    assert_eq!(ids(&*store, 1).await, [1, 2, 3]);
    let other = MailKey { from_device: DeviceId::new_v7(50, [0; 10]), message_id: message(2) };
    append(&*store, vec![Mail { key: other, ..mail(1, 20, 7) }]).await;
    assert_eq!(ids(&*store, 1).await.len(), 4);
    assert_eq!(all(&*store, 1).await[3].key.message_id, message(3));
}

/// A mailbox is always read from the front, so what another node's slower clock has ordered is not overlooked.
pub async fn late_mail_with_a_lower_order_comes_first<S: Store>(store: Arc<S>) {
    append(&*store, vec![mail(1, 1, 100), mail(1, 2, 101)]).await;
    assert_eq!(contents(&front(&*store, 1, &[], 1, usize::MAX).await), [1]);
    append(&*store, vec![mail(1, 3, 99)]).await;
    assert_eq!(contents(&front(&*store, 1, &[], 1, usize::MAX).await), [3]);
    assert_eq!(contents(&front(&*store, 1, &[1], 10, usize::MAX).await), [3, 2]);
}

/// What is excepted takes no place of the others, wherever it stands; names of no mail except nothing.
pub async fn the_front_passes_over_what_is_excepted<S: Store>(store: Arc<S>) {
    append(&*store, (1..=6).map(|n| mail(1, n, n)).collect()).await;
    assert_eq!(contents(&front(&*store, 1, &[1, 3, 99], 3, usize::MAX).await), [2, 4, 5]);
    assert_eq!(contents(&front(&*store, 1, &[1, 2, 3, 4, 5, 6], 3, usize::MAX).await), Vec::<u64>::new());
}

/// At most so many, and `more` says that there are.
pub async fn the_front_ends_at_max_messages<S: Store>(store: Arc<S>) {
    append(&*store, (1..=3).map(|n| mail(1, n, n)).collect()).await;
    for (limit, expected, more) in [(0, vec![], true), (2, vec![1, 2], true), (3, vec![1, 2, 3], false)] {
        let front = front(&*store, 1, &[], limit, usize::MAX).await;
        assert_eq!((contents(&front), front.more), (expected, more));
    }
}

/// No further ones once so many bytes are reached; one message comes however large it is. Each has 15 bytes.
pub async fn the_front_ends_at_max_bytes<S: Store>(store: Arc<S>) {
    append(&*store, (1..=3).map(|n| mail(1, n, n)).collect()).await;
    for (limit, expected) in [(0, 1), (1, 1), (15, 1), (16, 2), (30, 2), (31, 3), (45, 3)] {
        let front = front(&*store, 1, &[], 10, limit).await;
        assert_eq!((front.mail.len(), front.more), (expected, expected < 3), "at {limit} bytes");
    }
}

/// Mail that was passed over is not more, neither before nor behind the last that is shown.
pub async fn more_is_said_only_of_what_was_not_passed_over<S: Store>(store: Arc<S>) {
    append(&*store, (1..=4).map(|n| mail(1, n, n)).collect()).await;
    assert!(!front(&*store, 1, &[1, 4], 2, usize::MAX).await.more);
    assert!(front(&*store, 1, &[1, 3], 1, usize::MAX).await.more);
    assert!(!front(&*store, 2, &[], 1, usize::MAX).await.more);
}

/// Every field, with extreme values.
pub async fn mail_comes_back_as_it_was_appended<S: Store>(store: Arc<S>) {
    let large = Mail { shared: vec![0xa5; 300_000].into(), accepted_at: i64::MAX as u64, own: true, ..mail(1, 1, 1) };
    let empty = Mail { shared: vec![].into(), wrap: vec![].into(), accepted_at: 0, ..mail(1, 2, Mail::MAX_ORDER) };
    append(&*store, vec![large.clone(), empty.clone()]).await;
    assert_eq!(all(&*store, 1).await, [large, empty]);
}

/// One queue per device.
pub async fn a_mailbox_shows_only_its_own_mail<S: Store>(store: Arc<S>) {
    append(&*store, vec![mail(1, 1, 1), mail(2, 2, 1), mail(2, 3, 0)]).await;
    assert_eq!(ids(&*store, 1).await, [1]);
    assert_eq!(ids(&*store, 2).await, [3, 2]);
    assert!(all(&*store, 2).await.iter().all(|mail| mail.device == device(2)));
    assert_eq!(ids(&*store, 3).await, Vec::<u64>::new());
}
