//! What the recorded process does, and what a store that has done the first so many of it must hold.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use sealwire_protocol::{DeviceId, Kid, MessageId};
use sealwire_store::conformance::{device, message, name};
use sealwire_store::{
    Account, Appended, BackupRecord, Batch, Created, Extended, Fingerprint, Front, Held, Mail, MailKey, ManifestChange,
    ManifestRecord, NewAccount, Removal, SqliteStore, Store, StoreError, Usage, WrapPut, WrapRecord,
};

pub(crate) const STEPS: usize = 60;
const MAILBOXES: std::ops::Range<u64> = 1..5;
/// Devices that lose copies and stay: a removed one misses nothing.
const LOSING: std::ops::Range<u64> = 5..8;

/// How the process opens its store.
pub(crate) type Open = fn(&Path) -> Result<SqliteStore, StoreError>;

/// Does a step. Step `n` is the same in every process.
pub(crate) async fn try_to_perform(store: &impl Store, n: usize) -> Result<(), StoreError> {
    let round = n - n % 20;
    let (first, second) = (round + 4, round + 14);
    match n % 20 {
        4 | 14 => assert_eq!(store.create_account(account(n)).await?, Created::Yes),
        5 => extended(store, link(first, 2, &[own_device(first), mailbox_of(first)]), &[]).await?,
        6 => assert_eq!(store.put_wrap(&mailbox_of(first), wrap(n, 1), n as u64).await?, WrapPut::Yes),
        8 => store.put_backup(&account(first).username, backup(n)).await?,
        9 | 19 => store.forget_missed(&device(LOSING.start + (n as u64 + 1) % 3), 2).await?,
        10 => store.put_backup(&account(first).username, backup(n)).await?,
        11 => store.set_presence_shared(&account(first).username, true).await?,
        12 => drop(store.expire(n as u64 - 5, 6).await?),
        13 => store.forget_notices(&device(100), (1..n as u64).map(|n| message(n * 10)).collect()).await?,
        15 => assert_eq!(store.put_wrap(&own_device(second), wrap(n, 2), n as u64).await?, WrapPut::Yes),
        16 => extended(store, link(first, 3, &[own_device(first)]), &[mailbox_of(first)]).await?,
        18 => extended(store, link(second, 2, &[]), &[own_device(second)]).await?,
        _ => drop(store.execute(batch(n as u64)).await?),
    }
    Ok(())
}

async fn extended(store: &impl Store, link: ManifestChange, removed: &[DeviceId]) -> Result<(), StoreError> {
    let extended = store.extend_manifest(link).await?;
    assert_eq!(extended, Extended::Yes { removed: removed.to_vec() });
    Ok(())
}

/// Sends again what a step has appended: the store must know it. (Only for steps that are batches.)
pub(crate) async fn append_again(store: &impl Store, n: usize) {
    let appends = batch(n as u64).appends;
    let outcome = store.execute(Batch { appends, ..Batch::default() }).await.unwrap();
    assert!(outcome.appended.iter().all(|outcome| matches!(outcome, Appended::Repeat(_))), "{outcome:?}");
}

/// Copies back what the log holds, as the store does by itself once the log is long enough, and a clean end.
pub(crate) fn between(directory: &Path, store: SqliteStore, open: Open, n: usize) -> SqliteStore {
    match n % 15 {
        6 => {
            let connection = rusqlite::Connection::open(directory.join("sealwire.db")).unwrap();
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
            store
        }
        13 => {
            drop(store);
            open(directory).unwrap()
        }
        _ => store,
    }
}

/// Appends to several mailboxes, some out of order and some long enough for pages of their own; removes some of what
/// earlier steps have appended.
fn batch(n: u64) -> Batch {
    let appends = (0..3 + n % 4).map(|i| mail(n, i)).collect();
    let removals = (0..n % 3).map(|i| {
        let gone = mail(n.saturating_sub(2 + i), i);
        Removal { device: gone.device, key: gone.key }
    });
    Batch { appends, removals: removals.collect(), missed: vec![device(LOSING.start + n % 3)] }
}

fn mail(n: u64, i: u64) -> Mail {
    let length = if (n + i).is_multiple_of(7) { 9_000 } else { 400 + 150 * i as usize };
    Mail {
        device: device(MAILBOXES.start + (n + i) % 4),
        key: MailKey { from_device: device(100 + i % 2), message_id: message(n * 10 + i) },
        from: name(if i.is_multiple_of(2) { "alice" } else { "bob" }),
        own: false,
        order: n * 10 + 9 - i,
        accepted_at: n,
        fingerprint: Fingerprint { header: n, content: i },
        shared: vec![(n * 16 + i) as u8; length].into(),
        wrap: Bytes::from_static(&[0x77; 512]),
    }
}

/// The account of step `n`, with a device of its own.
fn account(n: usize) -> NewAccount {
    let id = own_device(n);
    let document = Bytes::from(vec![n as u8; 2_000]);
    NewAccount {
        username: name(&format!("user-{n}")),
        aik: document.clone(),
        manifest: ManifestRecord { version: 1, hash: [n as u8; 32], document: document.clone() },
        devices: vec![(id, document)],
        wrap: (id, wrap(n, 1)),
        created_at: 5,
    }
}

fn own_device(n: usize) -> DeviceId {
    device(1_000 + n as u64)
}

/// One of the devices with mail, which the account of step `n` gets and loses again.
fn mailbox_of(n: usize) -> DeviceId {
    device(MAILBOXES.start + n as u64 / 20)
}

fn wrap(n: usize, seq: u64) -> WrapRecord {
    WrapRecord { seq, kid: Kid([n as u8; 32]), document: vec![n as u8; 2_000].into() }
}

fn backup(n: usize) -> BackupRecord {
    BackupRecord { id: [n as u8; 32], data: vec![n as u8; 20_000].into(), at: n as u64 }
}

/// Link `version` of the account of step `n`.
fn link(n: usize, version: u64, devices: &[DeviceId]) -> ManifestChange {
    let new = account(n);
    let hash = |version| [n as u8 + version as u8 - 1; 32];
    ManifestChange {
        username: new.username,
        previous: hash(version - 1),
        manifest: ManifestRecord { version, hash: hash(version), document: new.aik.clone() },
        devices: devices.iter().map(|id| (*id, new.aik.clone())).collect(),
        at: n as u64,
    }
}

/// Everything that a store can be asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    fronts: Vec<Front>,
    usages: Vec<Usage>,
    missed: Vec<u64>,
    accounts: Vec<(Option<Account>, Vec<ManifestRecord>, Vec<BackupRecord>)>,
    notices: Vec<Vec<MessageId>>,
    held: Vec<Held>,
    highest: u64,
}

impl Content {
    pub(crate) async fn of(store: &impl Store) -> Result<Self, StoreError> {
        let (mut fronts, mut usages, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut accounts, mut notices) = (Vec::new(), Vec::new());
        for device in MAILBOXES.map(device) {
            fronts.push(store.front(&device, HashSet::new(), usize::MAX, usize::MAX).await?);
            usages.push(store.usage(&device, &name("alice")).await?);
        }
        for device in MAILBOXES.chain(LOSING).map(device) {
            missed.push(store.news(&device, 0).await?.missed);
        }
        for n in (1..=STEPS).filter(|n| n % 10 == 4) {
            let username = account(n).username;
            let chain = store.manifests(&username, 0, 10).await?;
            accounts.push((store.account(&username).await?, chain, store.backups(&username).await?));
        }
        for sender in [100, 101].map(device) {
            notices.push(store.news(&sender, usize::MAX).await?.notices);
        }
        let held = store.find(&mail(STEPS as u64, 0).key).await?;
        Ok(Self { fronts, usages, missed, accounts, notices, held, highest: store.highest_order().await? })
    }
}
