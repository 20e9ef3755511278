//! People, devices and mail for the checks.

use std::collections::HashSet;

use bytes::Bytes;
use sealwire_protocol::{DeviceId, Kid, MessageId, Username};

use crate::{
    Account, Appended, Batch, BatchOutcome, Created, Extended, Fingerprint, Front, Mail, MailKey, ManifestChange,
    ManifestRecord, NewAccount, Removal, Store, WrapRecord,
};

/// No messages.
pub(super) const NONE: [u64; 0] = [];

/// A name that is well formed.
///
/// # Panics
/// When it is not.
pub fn name(text: &str) -> Username {
    text.parse().expect("the check gives a good name")
}

/// The device of this number; they ascend like their numbers.
pub fn device(number: u64) -> DeviceId {
    DeviceId::new_v7(number, [7; 10])
}

/// The message id of this number; they ascend like their numbers.
pub fn message(number: u64) -> MessageId {
    MessageId::new_v7(number, [9; 10])
}

/// An account with these devices, the first of which registers it at time 1,000.
pub(super) fn new_account(username: &str, devices: &[u64]) -> NewAccount {
    let document = |what: &str| Bytes::from(format!("{what} of {username}"));
    let listed = devices.iter().map(|n| (device(*n), document(&format!("key {n}")))).collect();
    NewAccount {
        username: name(username),
        aik: document("identity"),
        manifest: ManifestRecord { version: 1, hash: [0xab; 32], document: document("manifest") },
        devices: listed,
        wrap: (
            device(devices[0]),
            WrapRecord { seq: u64::MAX, kid: Kid::of(username.as_bytes()), document: document("wrap") },
        ),
        created_at: 1_000,
    }
}

/// Makes [`new_account`].
pub(super) async fn create(store: &impl Store, username: &str, devices: &[u64]) {
    let created = store.create_account(new_account(username, devices)).await.expect("the store makes an account");
    assert_eq!(created, Created::Yes);
}

/// The hash of [`new_account`]'s manifest and of those that follow it.
pub(super) fn hash(version: u64) -> [u8; 32] {
    if version == 1 { [0xab; 32] } else { [u8::try_from(version).expect("checks make few versions"); 32] }
}

/// Link `version` for [`new_account`], listing these devices, at 10,000 times its version.
pub(super) fn change(username: &str, version: u64, devices: &[u64]) -> ManifestChange {
    let document = |what: String| Bytes::from(format!("{what} of {username}"));
    ManifestChange {
        username: name(username),
        previous: hash(version - 1),
        manifest: ManifestRecord { version, hash: hash(version), document: document(format!("manifest {version}")) },
        devices: devices.iter().map(|n| (device(*n), document(format!("key {n}")))).collect(),
        at: 10_000 * version,
    }
}

pub(super) async fn extend(store: &impl Store, change: ManifestChange) -> Extended {
    store.extend_manifest(change).await.expect("the store answers a change")
}

/// What [`extend`] answers when all is well.
pub(super) fn removing(devices: &[u64]) -> Extended {
    Extended::Yes { removed: devices.iter().map(|n| device(*n)).collect() }
}

/// An account that is there.
pub(super) async fn account(store: &impl Store, username: &str) -> Account {
    store.account(&name(username)).await.expect("the store reads an account").expect("it was made")
}

/// Message `id` from device 100 of alice to `to`, of order `order`, with 15 bytes.
pub(super) fn mail(to: u64, id: u64, order: u64) -> Mail {
    Mail {
        device: device(to),
        key: key(id),
        from: name("alice"),
        own: false,
        order,
        accepted_at: 1_234,
        fingerprint: Fingerprint { header: u64::MAX - id, content: id },
        shared: Bytes::from_static(b"ciphertext"),
        wrap: Bytes::from_static(b"a key"),
    }
}

/// Names what [`mail`] makes.
pub(super) fn key(id: u64) -> MailKey {
    MailKey { from_device: device(100), message_id: message(id) }
}

pub(super) async fn append(store: &impl Store, appends: Vec<Mail>) -> Vec<Appended> {
    execute(store, Batch { appends, ..Batch::default() }).await.appended
}

pub(super) async fn remove(store: &impl Store, from: u64, ids: &[u64]) {
    let removals = ids.iter().map(|id| Removal { device: device(from), key: key(*id) }).collect();
    execute(store, Batch { removals, ..Batch::default() }).await;
}

pub(super) async fn execute(store: &impl Store, batch: Batch) -> BatchOutcome {
    store.execute(batch).await.expect("the store executes a batch")
}

/// All of a mailbox.
pub(super) async fn all(store: &impl Store, of: u64) -> Vec<Mail> {
    let front = front(store, of, &[], usize::MAX, usize::MAX).await;
    assert!(!front.more, "a read without limits shows everything");
    front.mail
}

/// The messages of a mailbox by the numbers that [`mail`] was given.
pub(super) async fn ids(store: &impl Store, of: u64) -> Vec<u64> {
    all(store, of).await.iter().map(|mail| mail.fingerprint.content).collect()
}

pub(super) async fn front(store: &impl Store, of: u64, except: &[u64], messages: usize, bytes: usize) -> Front {
    let except: HashSet<MailKey> = except.iter().map(|id| key(*id)).collect();
    store.front(&device(of), except, messages, bytes).await.expect("the store reads a mailbox")
}
