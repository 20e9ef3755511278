//! How many mails a second the embedded store takes in and gives out again on this disk.
//!
//! ```text
//! cargo run --release -p sealwire-store --example append_rate [DIR]
//! ```
//!
//! Batches of 500 copies of about 1.6 KB, for 10,000 mailboxes, one fsync each; then every mailbox is read from the front
//! and emptied. DIR (a fresh directory under the system's temporary one, if it is not given) should lie on the disk in
//! question.
#![expect(clippy::print_stdout, reason = "a report is what this program is for")]

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealwire_store::{Batch, Fingerprint, Mail, MailKey, Removal, SqliteStore, Store};

const MAILBOXES: u64 = 10_000;
const BATCHES: u64 = 400;
const BATCH: u64 = 500;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let store = SqliteStore::open(given.as_deref().unwrap_or(temporary.path()))?;
    append(&store).await?;
    drain(&store).await?;
    let closing = Instant::now();
    drop(store);
    println!("closing: {:.2?}", closing.elapsed());
    Ok(())
}

async fn append(store: &impl Store) -> Result<(), Box<dyn std::error::Error>> {
    let content = Bytes::from(vec![0x5a; 1100]);
    let batches: Vec<Batch> = (0..BATCHES).map(|n| batch(n, &content)).collect();
    let mut times = Vec::new();
    let start = Instant::now();
    for batch in batches {
        let one = Instant::now();
        store.execute(batch).await?;
        times.push(one.elapsed());
    }
    report("appends", BATCHES * BATCH, start.elapsed());
    times.sort_unstable();
    println!("a batch: median {:.2?}, 99 of 100 within {:.2?}", times[times.len() / 2], times[times.len() * 99 / 100]);
    Ok(())
}

fn batch(number: u64, content: &Bytes) -> Batch {
    Batch { appends: (0..BATCH).map(|n| mail(number * BATCH + n, content)).collect(), ..Batch::default() }
}

/// Spreads senders and addressees over the mailboxes.
fn mail(n: u64, content: &Bytes) -> Mail {
    let id = |n: u64| {
        let mut random = [0; 10];
        random[2..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        random
    };
    let now = 1_700_000_000_000 + n;
    let sender = n.wrapping_mul(7919) % MAILBOXES;
    Mail {
        device: sealwire_protocol::DeviceId::new_v7(1, id(n.wrapping_mul(104_729) % MAILBOXES)),
        key: MailKey {
            from_device: sealwire_protocol::DeviceId::new_v7(1, id(sender)),
            message_id: sealwire_protocol::MessageId::new_v7(now, id(n)),
        },
        from: format!("user-{sender}").parse().expect("a username"),
        own: false,
        order: now,
        accepted_at: now,
        fingerprint: Fingerprint { header: n, content: n },
        shared: content.clone(),
        wrap: Bytes::from_static(&[0x77; 512]),
    }
}

async fn drain(store: &impl Store) -> Result<(), Box<dyn std::error::Error>> {
    let devices: Vec<_> = (0..MAILBOXES).map(|n| mail(n, &Bytes::new()).device).collect();
    let (mut drained, start) = (0, Instant::now());
    let mut removals = Vec::new();
    for device in devices {
        let front = store.front(&device, HashSet::new(), 256, 1 << 20).await?;
        drained += front.mail.len() as u64;
        removals.extend(front.mail.iter().map(|mail| Removal { device, key: mail.key }));
        if removals.len() as u64 >= BATCH {
            store.execute(Batch { removals: std::mem::take(&mut removals), ..Batch::default() }).await?;
        }
    }
    store.execute(Batch { removals, ..Batch::default() }).await?;
    report("drains (read, then removed)", drained, start.elapsed());
    Ok(())
}

fn report(what: &str, count: u64, took: Duration) {
    println!("{what}: {count} in {took:.2?}, {:.0} a second", count as f64 / took.as_secs_f64());
}
