//! What only the inside can bring about: a full disk, rows that are not well formed, plans of queries.

use bytes::Bytes;
use sealwire_protocol::Kid;
use tempfile::TempDir;

use super::*;
use crate::conformance::{device, message, name};
use crate::{Appended, Fingerprint, Mail, Place, WrapRecord};

fn open() -> (TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    (dir, store)
}

fn mail(n: u64) -> Mail {
    Mail {
        device: device(1),
        key: MailKey { from_device: device(2), message_id: message(n) },
        from: name("bob"),
        own: false,
        order: n,
        accepted_at: n,
        fingerprint: Fingerprint { header: n, content: n },
        shared: vec![7; 1_000].into(),
        wrap: Bytes::new(),
    }
}

fn batch(numbers: std::ops::Range<u64>) -> Batch {
    Batch { appends: numbers.map(mail).collect(), ..Batch::default() }
}

async fn total(store: &SqliteStore) -> u64 {
    let Place { messages, bytes } = store.usage(&device(1), &name("bob")).await.unwrap().total;
    assert_eq!(bytes, messages * 1_000);
    let front = store.front(&device(1), HashSet::new(), usize::MAX, usize::MAX).await.unwrap();
    assert_eq!(front.mail.len() as u64, messages);
    messages
}

/// Runs SQL on the connection that writes.
async fn sql(store: &SqliteStore, script: &'static str) {
    store.writer.run(move |writer| writer.connection().execute_batch(script).map_err(error::running)).await.unwrap();
}

async fn pragma(store: &SqliteStore, name: &'static str) -> String {
    let read = move |row: &rusqlite::Row<'_>| {
        row.get_ref(0).map(|value| value.as_str().map_or_else(|_| value.as_i64().unwrap().to_string(), str::to_owned))
    };
    let asked =
        move |writer: &mut Writer| writer.connection().pragma_query_value(None, name, read).map_err(error::running);
    store.writer.run(asked).await.unwrap()
}

fn account(username: &str, id: u64) -> NewAccount {
    let document = Bytes::from_static(b"document");
    NewAccount {
        username: name(username),
        aik: document.clone(),
        manifest: ManifestRecord { version: 1, hash: [1; 32], document: document.clone() },
        devices: vec![(device(id), document.clone())],
        wrap: (device(id), WrapRecord { seq: 1, kid: Kid([1; 32]), document }),
        created_at: 10,
    }
}

#[tokio::test]
async fn the_connection_that_writes_is_set_up_as_its_page_says() {
    let (_dir, store) = open();
    for (name, value) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("page_size", "4096"),
        ("wal_autocheckpoint", "8192"),
        ("journal_size_limit", "67108864"),
        ("mmap_size", "0"),
        ("cache_size", "-16384"),
        ("temp_store", "2"),
        ("cell_size_check", "1"),
        ("trusted_schema", "0"),
        ("foreign_keys", "1"),
        ("user_version", "3"),
    ] {
        assert_eq!(pragma(&store, name).await, value, "{name}");
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_passes() {
    let (_dir, store) = open();
    store.execute(batch(0..10)).await.unwrap();
    assert_eq!(total(&store).await, 10);
    sql(&store, "PRAGMA max_page_count = 1").await; // No more than there are.
    let error = store.execute(batch(5..500)).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("disk is full")), "{error}");
    assert_eq!(total(&store).await, 10);
    sql(&store, "PRAGMA max_page_count = 4294967294").await;
    let appended = store.execute(batch(5..500)).await.unwrap().appended;
    assert!(appended[..5].iter().all(|outcome| matches!(outcome, Appended::Repeat(_))));
    assert!(appended[5..].iter().all(|outcome| *outcome == Appended::Stored));
    assert_eq!(total(&store).await, 500);
}

#[tokio::test]
async fn a_row_that_is_not_well_formed_is_damage() {
    let (_dir, store) = open();
    store.execute(batch(0..1)).await.unwrap();
    sql(&store, "UPDATE mail SET from_name = 'Not A Name'").await;
    let front = store.front(&device(1), HashSet::new(), 1, 1).await;
    assert!(matches!(front, Err(StoreError::Damaged(text)) if !text.contains("Not A Name")));
    sql(&store, "UPDATE mail SET from_name = 'bob', from_device = x'00'").await;
    let except = HashSet::from([mail(1).key]);
    assert!(matches!(store.front(&device(1), except, 1, 1).await, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn what_is_asked_often_has_an_index() {
    let (_dir, store) = open();
    let plan = |query: &'static str| {
        store.read(move |connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}"))?;
            let lines = statement.query_map([], |row| row.get::<_, String>(3))?;
            lines.collect::<Result<Vec<_>, _>>().map(|lines| lines.join("; "))
        })
    };
    for query in [
        "SELECT id, from_device, message, size FROM mail WHERE device = x'00' ORDER BY ord, message, from_device",
        "SELECT from_name, own, count(*), sum(size) FROM mail WHERE device = x'00' GROUP BY from_name, own",
        "SELECT max(ord) FROM mail WHERE device = x'00'",
    ] {
        let plan = plan(query).await.unwrap();
        assert!(plan.contains("USING COVERING INDEX mail_front (device=?)"), "{query}: {plan}");
    }
    for query in [
        "SELECT header FROM mail WHERE from_device = x'00' AND message = x'00' AND device = x'00'",
        "SELECT device, header, content FROM mail WHERE from_device = x'00' AND message = x'00'",
    ] {
        let plan = plan(query).await.unwrap();
        assert!(plan.contains("USING INDEX mail_copy (message=? AND from_device=?"), "{query}: {plan}");
    }
    for (query, index) in [
        ("DELETE FROM mail WHERE device = x'00'", "USING INDEX mail_front (device=?)"),
        ("SELECT id FROM notices WHERE made_at < 1 ORDER BY made_at LIMIT 9", "notices_by_age (made_at<?)"),
        ("DELETE FROM notices WHERE device = x'00'", "notices_of_device (device=?)"),
        ("SELECT message FROM notices WHERE device = x'00' ORDER BY id LIMIT 9", "notices_of_device (device=?)"),
        ("SELECT id, accepted_at FROM mail ORDER BY id", "SCAN mail"),
    ] {
        let plan = plan(query).await.unwrap();
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
}

#[tokio::test]
async fn a_time_that_waits_goes_with_the_next_transaction() {
    let (_dir, store) = open();
    store.create_account(account("alice", 1)).await.unwrap();
    store.device_seen(&device(1), 500).await.unwrap();
    assert!(!store.seen.is_empty());
    store.execute(batch(0..1)).await.unwrap();
    assert!(store.seen.is_empty());
    let devices = store.account(&name("alice")).await.unwrap().unwrap().devices;
    assert_eq!(devices[0].last_seen, 500);
}

#[tokio::test]
async fn reads_do_not_wait_for_a_write_under_way() {
    let (_dir, store) = open();
    store.execute(batch(0..3)).await.unwrap();
    assert_eq!(total(&store).await, 3);
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (finish, may_finish) = std::sync::mpsc::sync_channel::<()>(0);
    let write = store.writer.run(move |_| {
        begun.send(()).unwrap();
        may_finish.recv().map_err(|_| StoreError::Damaged("nobody let it finish".to_owned()))
    });
    let read = async {
        has_begun.await.unwrap();
        assert_eq!(total(&store).await, 3);
        assert_eq!(store.news(&device(1), 0).await.unwrap().missed, 0);
        finish.send(()).unwrap();
    };
    let (written, ()) = tokio::join!(write, read);
    written.unwrap();
}
