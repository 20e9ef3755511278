//! The embedded store's files: what survives a clean end, who may read them, and what is said about files that cannot be
//! used.
#![expect(clippy::unwrap_used, reason = "a test stops where it finds something wrong")]

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use rusqlite::Connection;
use sealwire_protocol::Kid;
use sealwire_store::conformance::{device, message, name};
use sealwire_store::{
    Accounts, BackupRecord, Backups, Batch, Created, Departing, Fingerprint, Mail, MailKey, Mailboxes, ManifestRecord,
    NewAccount, Notice, SqliteStore, StoreError, WrapRecord,
};
use tempfile::TempDir;

fn account() -> NewAccount {
    let document = Bytes::from_static(b"document");
    NewAccount {
        username: name("alice"),
        aik: document.clone(),
        manifest: ManifestRecord { version: 1, hash: [1; 32], document: document.clone() },
        devices: vec![(device(1), document.clone())],
        wrap: (device(1), WrapRecord { seq: 1, kid: Kid([2; 32]), document }),
        created_at: 10,
    }
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
        wrap: vec![8; 512].into(),
    }
}

#[tokio::test]
async fn a_store_that_was_moved_away_is_not_served_and_not_lost() {
    let dir = used_directory().await;
    let leaving = Departing::take(dir.path()).unwrap();
    let refused = |error: StoreError, why: &str| {
        assert!(matches!(&error, StoreError::Open(_)) && error.to_string().contains(why), "{error}");
    };
    refused(SqliteStore::open(dir.path()).unwrap_err(), "another sealwire server is using it");
    let mut export = leaving.export().unwrap();
    assert!(!export.next().await.unwrap().is_empty());
    drop(export);
    leaving.retire().unwrap();
    drop(leaving);
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(files.len() == 2 && files.contains(&"sealwire.db.migrated".into()), "{files:?}");
    refused(SqliteStore::open(dir.path()).unwrap_err(), "was moved to MongoDB");
    refused(SqliteStore::export(dir.path()).err().unwrap(), "there is no store");

    // A migration that did not come to its end is done again, and whoever changes his mind renames the file back.
    Departing::take(dir.path()).unwrap().retire().unwrap();
    fs::rename(dir.path().join("sealwire.db.migrated"), dir.path().join("sealwire.db")).unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    assert!(store.account(&name("alice")).await.unwrap().is_some());
    assert_eq!(store.highest_order().await.unwrap(), 100);
}

/// A directory with a database that holds an account and enough mail for many pages, cleanly closed.
async fn used_directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fill(&SqliteStore::open(dir.path()).unwrap()).await;
    dir
}

async fn fill(store: &SqliteStore) {
    assert_eq!(store.create_account(account()).await.unwrap(), Created::Yes);
    let batch = Batch { appends: (1..=100).map(mail).collect(), missed: vec![device(1)], ..Batch::default() };
    store.execute(batch).await.unwrap();
}

fn database(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("sealwire.db")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

/// Opens and expects an error that names the directory and holds all of `words`.
fn refused(dir: &Path, words: &[&str]) -> StoreError {
    let error = SqliteStore::open(dir).expect_err("the store cannot be used");
    let text = error.to_string();
    assert!(text.contains(dir.to_str().unwrap()), "the path is missing: {text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is missing: {text}"));
    error
}

fn is_damaged(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged(_))
}

#[tokio::test]
async fn everything_survives_closing_and_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    fill(&store).await;
    store.device_seen(&device(1), 5_000).await.unwrap();
    let ask = async |store: &SqliteStore| {
        (
            store.account(&name("alice")).await.unwrap(),
            store.manifests(&name("alice"), 0, 10).await.unwrap(),
            store.front(&device(1), HashSet::new(), usize::MAX, usize::MAX).await.unwrap(),
            store.usage(&device(1), &name("bob")).await.unwrap(),
            store.news(&device(1), 0).await.unwrap().missed,
            store.highest_order().await.unwrap(),
        )
    };
    let before = ask(&store).await;
    assert_eq!(before.0.as_ref().unwrap().devices[0].last_seen, 5_000);
    drop(store);
    let store = SqliteStore::open(dir.path()).unwrap();
    assert_eq!(ask(&store).await, before);
    assert_eq!(store.create_account(account()).await.unwrap(), Created::NameTaken);
}

#[tokio::test]
async fn directory_and_files_are_their_owners_only() {
    let base = tempfile::tempdir().unwrap();
    let dir = base.path().join("new").join("data");
    let store = SqliteStore::open(&dir).unwrap();
    fill(&store).await;
    assert_eq!((mode(&dir), mode(dir.parent().unwrap())), (0o700, 0o700));
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 4, "database, lock, log and its index: {files:?}");
    files.iter().for_each(|file| assert_eq!(mode(file), 0o600, "{}", file.display()));
}

#[tokio::test]
async fn a_clean_end_folds_the_log_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).unwrap();
    fill(&store).await;
    let log = dir.path().join("sealwire.db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    drop(store);
    assert!(!log.exists());
}

#[tokio::test]
async fn a_second_server_on_the_same_directory_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let first = SqliteStore::open(dir.path()).unwrap();
    let error = refused(dir.path(), &["locked", "another sealwire server", "--data-dir"]);
    assert!(matches!(error, StoreError::Open(_)));
    fill(&first).await;
    drop(first);
    assert!(SqliteStore::open(dir.path()).is_ok());
}

#[tokio::test]
async fn a_database_that_another_program_holds_is_named_as_locked() {
    let dir = used_directory().await;
    let other = Connection::open(database(&dir)).unwrap();
    other.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    refused(dir.path(), &["locked by another program", "Close"]);
    drop(other);
    assert!(SqliteStore::open(dir.path()).is_ok());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(database(&dir), "Dear diary, ".repeat(1_000)).unwrap();
    assert!(is_damaged(&refused(dir.path(), &["no sound database", "backup"])));
}

#[tokio::test]
async fn a_database_that_was_cut_off_is_damaged_and_never_taken_for_a_new_one() {
    for length in [0, 50, 511, 512, 4_096, 40_960] {
        let dir = used_directory().await;
        OpenOptions::new().write(true).open(database(&dir)).unwrap().set_len(length).unwrap();
        assert!(is_damaged(&refused(dir.path(), &["no sound database", "backup"])), "cut at {length}");
        assert_eq!(fs::metadata(database(&dir)).unwrap().len(), length, "and it is left as it is");
    }
}

#[tokio::test]
async fn a_database_with_a_page_of_noise_is_damaged() {
    let dir = used_directory().await;
    let file = OpenOptions::new().write(true).open(database(&dir)).unwrap();
    file.write_all_at(&[0xa5; 4_096], 20 * 4_096).unwrap();
    assert!(is_damaged(&refused(dir.path(), &["no sound database", "backup"])));
}

#[tokio::test]
async fn the_log_of_a_lost_database_is_not_given_to_a_new_one() {
    let dir = used_directory().await;
    fs::rename(database(&dir), dir.path().join("sealwire.db-wal")).unwrap();
    assert!(is_damaged(&refused(dir.path(), &["sealwire.db is missing", "sealwire.db-wal", "start empty"])));
}

#[tokio::test]
async fn a_start_that_was_cut_short_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("sealwire.db.new"), "half a page").unwrap();
    fs::write(dir.path().join("sealwire.db.new-wal"), "noise").unwrap();
    fill(&SqliteStore::open(dir.path()).unwrap()).await;
    let left: HashSet<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, HashSet::from(["sealwire.db".into(), "sealwire.lock".into()]));
}

/// What version 1 has left: alice with devices 1 and 2, the first of which has a key and mail from device 2.
fn directory_of_version_1() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let old = Connection::open(database(&dir)).unwrap();
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    old.pragma_update(None, "application_id", 0x5345_414c).unwrap();
    old.execute_batch(include_str!("../src/sqlite/migrations/1.sql")).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    let [one, two] = [1, 2].map(device);
    let key = (one.as_bytes(), [2_u8; 32]);
    old.execute_batch(
        "INSERT INTO accounts VALUES (1, 'alice', x'aa', 10, NULL);
         INSERT INTO manifests VALUES (1, 1, zeroblob(32), x'bb');",
    )
    .unwrap();
    old.execute(
        "INSERT INTO devices VALUES (?1, 1, x'cc', 10, NULL), (?2, 1, x'dd', 0, NULL)",
        [one.as_bytes(), two.as_bytes()],
    )
    .unwrap();
    old.execute("INSERT INTO wraps VALUES (?1, 1, ?2, x'ee', NULL)", key).unwrap();
    let mail = (one.as_bytes(), message(5).as_bytes().to_owned(), two.as_bytes());
    old.execute("INSERT INTO mail VALUES (1, ?1, 7, ?2, ?3, 'bob', 0, 2, 10, 1, 1, x'11', x'22')", mail).unwrap();
    old.execute("INSERT INTO missed VALUES (?1, 3)", [one.as_bytes()]).unwrap();
    dir
}

#[tokio::test]
async fn a_database_of_version_1_goes_on_with_all_that_it_holds() {
    let dir = directory_of_version_1();
    let store = SqliteStore::open(dir.path()).unwrap();
    let alice = store.account(&name("alice")).await.unwrap().unwrap();
    let wrap = WrapRecord { seq: 1, kid: Kid([2; 32]), document: vec![0xee].into() };
    assert_eq!((alice.devices[0].wrap.clone(), alice.devices[0].last_seen), (Some(wrap), 10));
    assert_eq!((alice.devices.len(), alice.shares_presence, &alice.aik[..]), (2, false, &[0xaa][..]));
    assert_eq!(store.news(&device(1), 0).await.unwrap().missed, 3);
    assert_eq!(store.usage(&device(1), &name("bob")).await.unwrap().from_sender.messages, 1);

    store.set_presence_shared(&name("alice"), true).await.unwrap();
    let backup = BackupRecord { id: [1; 32], data: Bytes::from_static(b"sealed"), at: 20 };
    store.put_backup(&name("alice"), backup.clone()).await.unwrap();
    let notice = Notice { device: device(2), message_id: message(5) };
    assert_eq!(store.expire(11, 10).await.unwrap().notices, [notice]);
    drop(store);
    let store = SqliteStore::open(dir.path()).unwrap();
    assert!(store.account(&name("alice")).await.unwrap().unwrap().shares_presence);
    assert_eq!(store.backups(&name("alice")).await.unwrap(), [backup]);
    assert_eq!(store.news(&device(2), 10).await.unwrap().notices, [message(5)]);
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let dir = used_directory().await;
    Connection::open(database(&dir)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = refused(dir.path(), &["newer sealwire", "version 99", "up to version 3", "backup"]);
    assert!(matches!(error, StoreError::Open(_)));
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    Connection::open(database(&dir)).unwrap().execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    refused(dir.path(), &["another program", "--data-dir"]);
}

#[test]
fn a_path_that_is_no_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    File::create(dir.path().join("file")).unwrap();
    refused(&dir.path().join("file"), &["data directory"]);
    refused(&dir.path().join("file").join("data"), &["create the data directory"]);
}

/// Set in the process that has no privileges: the directory to be opened there.
const UNPRIVILEGED: &str = "SEALWIRE_STORE_UNPRIVILEGED";

/// Checks a directory as a user whom permissions stop. The superuser is not stopped, so it has a test of this program done
/// again by another process that is nobody's.
fn unprivileged(test: &str, dir: &Path, check: impl FnOnce(&Path)) {
    let base = tempfile::tempdir().unwrap();
    if fs::metadata(base.path()).unwrap().uid() != 0 {
        return check(dir);
    }
    // The program may lie where nobody may go.
    fs::set_permissions(base.path(), Permissions::from_mode(0o755)).unwrap();
    let program = base.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut again = Command::new(program);
    again.args(["--exact", test]).env(UNPRIVILEGED, dir).uid(65_534).gid(65_534).current_dir("/");
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A used directory with these permissions, for everybody; given back before it is removed.
async fn with_modes(test: &str, directory: u32, database_file: u32, lock: u32, check: fn(&Path)) {
    if let Some(dir) = std::env::var_os(UNPRIVILEGED) {
        return check(Path::new(&dir));
    }
    let dir = used_directory().await;
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    set(&database(&dir), database_file);
    set(&dir.path().join("sealwire.lock"), lock);
    set(dir.path(), directory);
    unprivileged(test, dir.path(), check);
    set(dir.path(), 0o700);
}

#[tokio::test]
async fn a_database_that_may_only_be_read_is_named() {
    let check = |dir: &Path| drop(refused(dir, &["cannot write the database", "sealwire.db", "right to write"]));
    with_modes("a_database_that_may_only_be_read_is_named", 0o777, 0o444, 0o666, check).await;
}

#[tokio::test]
async fn a_directory_that_may_only_be_read_is_named() {
    let check = |dir: &Path| drop(refused(dir, &["cannot be written", "right to write it and its directory"]));
    with_modes("a_directory_that_may_only_be_read_is_named", 0o555, 0o666, 0o666, check).await;
}

#[tokio::test]
async fn a_directory_whose_lock_may_only_be_read_is_named() {
    let check = |dir: &Path| drop(refused(dir, &["cannot write in the data directory", "right to write"]));
    with_modes("a_directory_whose_lock_may_only_be_read_is_named", 0o777, 0o666, 0o444, check).await;
}
