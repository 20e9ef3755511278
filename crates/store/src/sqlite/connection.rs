//! Opening the database: how SQLite is set up, and what is checked before anything is promised.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::files::{DataDir, damaged};
use super::{error, schema};
use crate::StoreError;

/// Whether commits wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// Every commit is synced before it returns.
    Full,
    /// Nothing is: only for the test that shows that the loss of power would be noticed.
    Off,
}

/// Statements kept ready per connection; there are fewer of them.
const STATEMENTS: usize = 64;

/// Largest file that is checked page by page at start, about a second's work. A larger one is checked by its header, its
/// length and its schema, and any other damage shows when it is read.
const CHECKED_AT_START: u64 = 256 << 20;

/// Opens the database of a data directory for writing, after making, checking and migrating it as needed.
pub(super) fn open_writer(dir: &DataDir, sync: Sync) -> Result<Connection, StoreError> {
    if !dir.has_database()? {
        create(dir)?;
    }
    dir.sync_what_is_there()?;
    let path = dir.database();
    let mut connection = connect(&path, sync)?;
    check(&connection, &path)?;
    schema::migrate(&mut connection).map_err(|error| while_opening(&path, &error))?;
    Ok(connection)
}

/// Opens a second connection, which only reads. The writer must be open.
pub(super) fn open_reader(dir: &DataDir) -> Result<Connection, StoreError> {
    let path = dir.database();
    let connection = connect(&path, Sync::Full)?;
    pragmas(&connection, &[("query_only", "ON")]).map_err(|error| while_opening(&path, &error))?;
    Ok(connection)
}

/// Opens a database that another process may be using, to read what it holds now.
pub(super) fn open_snapshot(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, Sync::Full)?;
    let version = check_owner(&connection, path)?;
    if version < schema::VERSION {
        return Err(StoreError::Open(format!(
            "{} was written by an older sealwire: its schema has version {version}, this program reads version {}. Start this \
             version's server on it once, or use the older program",
            path.display(),
            schema::VERSION
        )));
    }
    pragmas(&connection, &[("query_only", "ON")]).map_err(|error| while_opening(path, &error))?;
    // The moment is that of the first read.
    let begun = connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema");
    begun.map_err(|error| while_opening(path, &error))?;
    Ok(connection)
}

/// Makes a database that is filled at once, and synced when it is complete.
pub(super) fn create_unsynced(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = connect(path, Sync::Off)?;
    schema::create(&mut connection).map_err(|error| while_opening(path, &error))?;
    Ok(connection)
}

/// Brings a database that nobody serves up to date, and leaves it in one file.
pub(super) fn settle(path: &Path) -> Result<(), StoreError> {
    let mut connection = connect(path, Sync::Full)?;
    check(&connection, path)?;
    schema::migrate(&mut connection).map_err(|error| while_opening(path, &error))?;
    close(connection, path)
}

/// Checks a database from end to end and closes it, everything in one file.
pub(super) fn close_checked(connection: Connection, path: &Path) -> Result<(), StoreError> {
    check_all(&connection, path, "PRAGMA integrity_check(1)")?;
    close(connection, path)
}

/// Gives back the pages that are cached, up to 16 MiB for a connection. The system has them at hand still, so that reading them
/// again costs microseconds.
pub(super) fn rest(connection: &Connection) {
    // Without the memory the store works as before.
    if let Err(error) = connection.release_memory() {
        tracing::debug!(%error, "the store could not give memory back");
    }
}

/// Folds the log in. SQLite does so by itself when the last connection goes, and says nothing if it cannot.
fn close(connection: Connection, path: &Path) -> Result<(), StoreError> {
    let folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    if folded.map_err(|error| while_opening(path, &error))? != 0 {
        return Err(StoreError::Open(format!(
            "{} is in use by another program. Close what has it open, a database shell or a backup",
            path.display()
        )));
    }
    connection.close().map_err(|(_, error)| while_opening(path, &error))
}

/// Makes the database under another name, complete with schema and mode, and only then gives it its own: one that has
/// the right name and no content is damaged for certain, and never taken for a new one.
fn create(dir: &DataDir) -> Result<(), StoreError> {
    let path = dir.start_new_database()?;
    let mut connection = connect(&path, Sync::Full)?;
    schema::create(&mut connection).map_err(|error| while_opening(&path, &error))?;
    connection.close().map_err(|(_, error)| while_opening(&path, &error))?;
    dir.finish_new_database()
}

fn connect(path: &Path, sync: Sync) -> Result<Connection, StoreError> {
    // Without SQLITE_OPEN_CREATE: a database that is not there was checked for before, and made by `create`.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| while_opening(path, &error))?;
    set_up(&connection, sync).map_err(|error| while_opening(path, &error))?;
    Ok(connection)
}

/// * `page_size` 4 KiB: a commit writes whole pages to the log, and each append touches a page of either index at some
///   place of its own, so small pages write less; two messages still fit in one.
/// * `wal_autocheckpoint` 8192 pages (32 MiB): copying the log back costs two syncs and writes each changed page once,
///   however often it changed since. A larger log makes that rarer but longer, and recovery after a crash slower.
/// * `journal_size_limit` 64 MiB: what a burst has made longer is cut off again.
/// * `mmap_size` 0: an I/O error of a mapped page is a SIGBUS, one of a read is an error; and pages are cached anyway.
/// * `cache_size` 16 MiB per connection: the pages of the indexes that are in use. A connection that rests has none.
/// * `temp_store` in memory: nothing of a message lies in a file of its own.
/// * `cell_size_check`, `trusted_schema` off: a damaged or forged file is found out rather than believed.
fn set_up(connection: &Connection, sync: Sync) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Another process (a backup, somebody's shell) may hold a lock for a moment.
    connection.busy_timeout(Duration::from_secs(2))?;
    pragmas(
        connection,
        &[
            ("page_size", "4096"),
            ("journal_mode", "WAL"),
            ("synchronous", if sync == Sync::Full { "FULL" } else { "OFF" }),
            ("wal_autocheckpoint", "8192"),
            ("journal_size_limit", "67108864"),
            ("mmap_size", "0"),
            ("cache_size", "-16384"),
            ("temp_store", "MEMORY"),
            ("cell_size_check", "ON"),
            ("trusted_schema", "OFF"),
            ("foreign_keys", "ON"),
        ],
    )
}

fn pragmas(connection: &Connection, settings: &[(&str, &str)]) -> rusqlite::Result<()> {
    settings.iter().try_for_each(|(name, value)| connection.pragma_update(None, name, value))
}

fn integer(connection: &Connection, path: &Path, name: &str) -> Result<i64, StoreError> {
    let number = connection.pragma_query_value(None, name, |row| row.get(0));
    number.map_err(|error| while_opening(path, &error))
}

/// Refuses a file that is another program's or of a later version; gives its version.
fn check_owner(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    if integer(connection, path, "application_id")? != schema::APPLICATION_ID {
        return Err(StoreError::Open(format!(
            "{} is a database of another program. Choose another data directory (--data-dir)",
            path.display()
        )));
    }
    let version = integer(connection, path, "user_version")?;
    if version > schema::VERSION {
        return Err(StoreError::Open(format!(
            "{} was written by a newer sealwire: its schema has version {version}, this program knows up to version {}. \
             Install the newer program again, or restore a backup from before the upgrade",
            path.display(),
            schema::VERSION
        )));
    }
    Ok(version)
}

/// Refuses a file that is another program's, of a later version, or damaged.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    check_owner(connection, path)?;
    let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    if mode.map_err(|error| while_opening(path, &error))? != "wal" {
        return Err(StoreError::Open(format!(
            "{} lies on a file system without shared memory, a network's perhaps. Choose a data directory on a local \
             disk (--data-dir)",
            path.display()
        )));
    }
    let size = u64::try_from(integer(connection, path, "page_count")?).unwrap_or(0) * 4096;
    if size > CHECKED_AT_START { Ok(()) } else { check_all(connection, path, "PRAGMA quick_check(1)") }
}

fn check_all(connection: &Connection, path: &Path, how: &str) -> Result<(), StoreError> {
    let finding = connection.query_row(how, [], |row| row.get::<_, String>(0));
    let finding = finding.map_err(|error| while_opening(path, &error))?;
    if finding == "ok" { Ok(()) } else { Err(damaged(path, &format!("its check says \"{finding}\""))) }
}

fn while_opening(path: &Path, error: &rusqlite::Error) -> StoreError {
    let words = error::describe(error);
    let path_shown = path.display();
    match error::code(error) {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => damaged(path, &words),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Open(format!(
            "{path_shown} is locked by another program ({words}). Close what has it open, a database shell or a backup"
        )),
        Some(ErrorCode::DiskFull) => StoreError::Open(format!("{path_shown}: the disk is full. Make room on it")),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => StoreError::Open(format!(
            "{path_shown} cannot be written ({words}). Give the user that runs the server the right to write it and its \
             directory"
        )),
        Some(_) => StoreError::Open(format!("cannot open {path_shown}: {words}. Check the disk")),
    }
}
