//! What the recorded process does, and what a store that has done the first so many of it must hold.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use sealwire_protocol::Kid;
use sealwire_store::conformance::{device, message, name};
use sealwire_store::{
    Account, Appended, Batch, Created, Fingerprint, Front, Held, Mail, MailKey, ManifestRecord, NewAccount, Removal,
    SqliteStore, Store, StoreError, Usage, WrapRecord,
};

pub(crate) const STEPS: usize = 60;
const MAILBOXES: std::ops::Range<u64> = 1..5;

/// How the process opens its store.
pub(crate) type Open = fn(&Path) -> Result<SqliteStore, StoreError>;

/// Does a step. Step `n` is the same in every process.
pub(crate) async fn try_to_perform(store: &impl Store, n: usize) -> Result<(), StoreError> {
    match n % 10 {
        4 => assert_eq!(store.create_account(account(n)).await?, Created::Yes),
        9 => store.forget_missed(&device(1 + n as u64 % 3), 2).await?,
        _ => drop(store.execute(batch(n as u64)).await?),
    }
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
    Batch { appends, removals: removals.collect(), missed: vec![device(1 + n % 3)] }
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

fn account(n: usize) -> NewAccount {
    let id = device(1_000 + n as u64);
    let document = Bytes::from(vec![n as u8; 2_000]);
    NewAccount {
        username: name(&format!("user-{n}")),
        aik: document.clone(),
        manifest: ManifestRecord { version: 1, hash: [n as u8; 32], document: document.clone() },
        devices: vec![(id, document.clone())],
        wrap: (id, WrapRecord { seq: 1, kid: Kid([n as u8; 32]), document }),
        created_at: 5,
    }
}

/// Everything that a store can be asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    fronts: Vec<Front>,
    usages: Vec<Usage>,
    missed: Vec<u64>,
    accounts: Vec<Option<Account>>,
    held: Vec<Held>,
    highest: u64,
}

impl Content {
    pub(crate) async fn of(store: &impl Store) -> Result<Self, StoreError> {
        let (mut fronts, mut usages, mut missed, mut accounts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for device in MAILBOXES.map(device) {
            fronts.push(store.front(&device, HashSet::new(), usize::MAX, usize::MAX).await?);
            usages.push(store.usage(&device, &name("alice")).await?);
            missed.push(store.missed(&device).await?);
        }
        for n in (1..=STEPS).filter(|n| n % 10 == 4) {
            accounts.push(store.account(&account(n).username).await?);
        }
        let held = store.find(&mail(1, 0).key).await?;
        Ok(Self { fronts, usages, missed, accounts, held, highest: store.highest_order().await? })
    }
}
