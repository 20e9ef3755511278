//! Checks of wrap keys that are replaced.

use std::sync::Arc;

use sealwire_protocol::Kid;

use super::fixtures::{account, change, create, device, extend, name, new_account, removing};
use crate::accounts::REPLACED_WRAP_LIFE;
use crate::{Created, Device, NewAccount, Store, WrapPut, WrapRecord};

fn wrap(seq: u64, kid: u8) -> WrapRecord {
    WrapRecord { seq, kid: Kid([kid; 32]), document: format!("wrap {seq}").into() }
}

async fn put<S: Store>(store: &S, of: u64, wrap: WrapRecord, at: u64) -> WrapPut {
    store.put_wrap(&device(of), wrap, at).await.expect("the store answers")
}

/// Alice with device 1, whose first key has `seq` 1.
async fn alice<S: Store>(store: &S) {
    let new = new_account("alice", &[1]);
    let new = NewAccount { wrap: (device(1), wrap(1, 1)), ..new };
    assert_eq!(store.create_account(new).await.expect("the store makes an account"), Created::Yes);
}

async fn first<S: Store>(store: &S) -> Device {
    account(store, "alice").await.devices[0].clone()
}

/// The newest one is the device's; those before it come newest first, each with the time of its replacement, also when a
/// clock went back.
pub async fn replaced_keys_come_newest_first_with_their_time<S: Store>(store: Arc<S>) {
    alice(&*store).await;
    for (seq, at) in [(2, 5_000), (7, 9_000), (8, 8_000), (u64::MAX, 8_500)] {
        assert_eq!(put(&*store, 1, wrap(seq, seq as u8), at).await, WrapPut::Yes);
    }
    let device = first(&*store).await;
    assert_eq!(device.wrap, Some(wrap(u64::MAX, 255)));
    let kid = |n| Kid([n; 32]);
    assert_eq!(device.replaced, [(kid(8), 8_500), (kid(7), 8_000), (kid(2), 9_000), (kid(1), 5_000)]);
}

/// And the first key of a device that a link has added, which replaces nothing. With its key it has been seen: whoever has a
/// key and was never seen would be in no list after a crash.
pub async fn a_new_device_gets_its_first_key<S: Store>(store: Arc<S>) {
    alice(&*store).await;
    extend(&*store, change("alice", 2, &[1, 2])).await;
    assert_eq!(put(&*store, 2, wrap(3, 3), 5_000).await, WrapPut::Yes);
    let devices = account(&*store, "alice").await.devices;
    assert_eq!(
        (devices[1].wrap.clone(), devices[1].replaced.len(), devices[1].last_seen),
        (Some(wrap(3, 3)), 0, 5_000)
    );
    assert_eq!(devices[0].wrap, Some(wrap(1, 1)));
}

/// A repeat and what is not newer change nothing.
pub async fn a_key_must_rise_above_the_last<S: Store>(store: Arc<S>) {
    alice(&*store).await;
    put(&*store, 1, wrap(5, 5), 5_000).await;
    let before = first(&*store).await;
    assert_eq!(put(&*store, 1, wrap(5, 5), 6_000).await, WrapPut::Repeat);
    for (seq, kid) in [(5, 6), (4, 4), (1, 1), (0, 5)] {
        assert_eq!(put(&*store, 1, wrap(seq, kid), 6_000).await, WrapPut::Old);
    }
    assert_eq!(first(&*store).await, before);
}

/// Nobody has it.
pub async fn a_key_of_an_unknown_device_is_not_kept<S: Store>(store: Arc<S>) {
    assert_eq!(put(&*store, 9, wrap(1, 1), 5_000).await, WrapPut::Unknown);
    create(&*store, "alice", &[9]).await;
    assert_eq!(account(&*store, "alice").await.devices[0].wrap, Some(new_account("alice", &[9]).wrap.1));
    assert_eq!(store.account(&name("bob")).await.expect("the store reads"), None);
}

/// A key that was replaced within nine days is still known.
pub async fn replaced_keys_are_known_for_as_long_as_they_may_be_used<S: Store>(store: Arc<S>) {
    alice(&*store).await;
    put(&*store, 1, wrap(2, 2), 1_000).await;
    put(&*store, 1, wrap(3, 3), 2_000).await;
    put(&*store, 1, wrap(4, 4), 1_000 + REPLACED_WRAP_LIFE).await;
    let known: Vec<_> = first(&*store).await.replaced.iter().map(|(kid, _)| kid.0[0]).collect();
    assert_eq!(known, [3, 2, 1]);
    put(&*store, 1, wrap(5, 5), 1_001 + REPLACED_WRAP_LIFE).await;
    let known: Vec<_> = first(&*store).await.replaced.iter().map(|(kid, _)| kid.0[0]).take(3).collect();
    assert_eq!(known, [4, 3, 2]);
}

/// Whatever else the account has listed before.
pub async fn what_is_noted_of_a_device_is_noted_of_no_other<S: Store>(store: Arc<S>) {
    create(&*store, "alice", &[1, 2, 3]).await;
    assert_eq!(extend(&*store, change("alice", 2, &[2, 3])).await, removing(&[1]));
    store.device_seen(&device(3), 5_000).await.expect("the store notes it");
    assert_eq!(put(&*store, 3, wrap(1, 7), 4_000).await, WrapPut::Yes);
    let account = account(&*store, "alice").await;
    let noted: Vec<_> =
        account.devices.iter().map(|device| (device.id, device.last_seen, device.wrap.clone())).collect();
    assert_eq!(noted, [(device(2), 0, None), (device(3), 5_000, Some(wrap(1, 7)))]);
}
