//! The data directory: who may read it, who uses it, and what of it survives the loss of power.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::StoreError;

/// The database in the data directory.
pub(super) const DATABASE: &str = "sealwire.db";
/// The database while it is being made.
pub(super) const NEW_DATABASE: &str = "sealwire.db.new";
/// A database that is being filled from a backup.
const RESTORED_DATABASE: &str = "sealwire.db.restoring";
/// A database that was moved into another store, and is not to be served again.
const RETIRED_DATABASE: &str = "sealwire.db.migrated";
const LOCK: &str = "sealwire.lock";
/// A page of SQLite has 512 bytes or more, so no database is shorter.
const SHORTEST: u64 = 512;

/// A data directory that no other server uses while this value lives.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, readable by its owner only, and takes it into possession.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| cannot("create the data directory", path, &error))?;
        let lock = path.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock);
        let file = file.map_err(|error| cannot("write in the data directory", path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Open(format!(
                "the data directory {} is locked: another sealwire server is using it. Stop that one, or give this one a \
                 data directory of its own (--data-dir)",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(cannot("lock the data directory", path, &error)),
        }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    pub(super) fn new_database(&self) -> PathBuf {
        self.path.join(NEW_DATABASE)
    }

    /// Whether there is a database, which is then writable and not cut off at once.
    pub(super) fn has_database(&self) -> Result<bool, StoreError> {
        let path = self.database();
        match OpenOptions::new().read(true).write(true).open(&path).and_then(|file| file.metadata()) {
            Ok(metadata) if metadata.len() < SHORTEST => Err(damaged(&path, "it is cut off after its first bytes")),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => self.refuse_orphans().map(|()| false),
            Err(error) => Err(cannot("write the database", &path, &error)),
        }
    }

    /// Makes durable what a process that was killed has written and not synced. SQLite takes a transaction at the end of the
    /// log for committed if it is complete, wherever it lies; a repeat that is recognised by it is a promise.
    pub(super) fn sync_what_is_there(&self) -> Result<(), StoreError> {
        let database = self.database();
        let sync = |path: &Path| match File::open(path).and_then(|file| file.sync_all()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(cannot("sync", path, &error)),
            _ => Ok(()),
        };
        [with_suffix(&database, "-wal"), database, self.path.clone()].iter().try_for_each(|path| sync(path))?;
        sync_ancestors(&self.path).map_err(|error| cannot("sync what is above", &self.path, &error))
    }

    /// A new database next to the log of a lost one would be taken apart by it; next to one that was half restored, or moved
    /// away, it would hide that people's accounts are elsewhere.
    fn refuse_orphans(&self) -> Result<(), StoreError> {
        self.refuse_others()?;
        let database = self.database();
        let log = with_suffix(&database, "-wal");
        if !log.exists() {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "{} is missing, but its log {} is there. Put the database back where it was; to start empty, move the log \
             away",
            database.display(),
            log.display()
        )))
    }

    /// Removes what a server that was stopped at its first start may have left, and makes the empty file that only its
    /// owner may read; SQLite gives its own files the same mode.
    pub(super) fn start_new_database(&self) -> Result<PathBuf, StoreError> {
        start(self.new_database())
    }

    /// Gives a database that is complete and closed its name: it is there as a whole or not at all.
    pub(super) fn finish_new_database(&self) -> Result<(), StoreError> {
        self.finish(&self.new_database())
    }

    fn finish(&self, from: &Path) -> Result<(), StoreError> {
        let to = self.database();
        let finish = File::open(from)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(from, &to))
            .and_then(|()| sync_directory(&self.path));
        finish.map_err(|error| cannot("create the database", &to, &error))
    }
}

/// What is done by an operator's commands, and what they leave.
impl DataDir {
    /// The embedded store of a directory that may be in use.
    pub(super) fn database_in(path: &Path) -> Result<PathBuf, StoreError> {
        let database = path.join(DATABASE);
        if database.exists() {
            return Ok(database);
        }
        Err(StoreError::Open(format!(
            "there is no store in {}: {DATABASE} is missing. Name its directory (--data-dir)",
            path.display()
        )))
    }

    /// The database that is to be moved into another store: the one that is served, or the one that a migration which did not come
    /// to its end has retired already.
    pub(super) fn database_to_move(path: &Path) -> Result<PathBuf, StoreError> {
        let retired = path.join(RETIRED_DATABASE);
        match (Self::database_in(path), retired.exists()) {
            (Ok(_), true) => Err(StoreError::Open(format!(
                "{} holds a store, and {RETIRED_DATABASE}, which was moved before. Move the one away that is not to be migrated",
                path.display()
            ))),
            (Err(_), true) => Ok(retired),
            (found, false) => found,
        }
    }

    /// Takes a database that is closed out of service, durably.
    pub(super) fn retire(&self, database: &Path) -> Result<PathBuf, StoreError> {
        let retired = self.path.join(RETIRED_DATABASE);
        if database != retired {
            let renamed = fs::rename(database, &retired).and_then(|()| sync_directory(&self.path));
            renamed.map_err(|error| cannot("rename", database, &error))?;
        }
        Ok(retired)
    }

    /// Makes the empty file for a database that is to be restored, throwing away what a restore that was cut off has left.
    pub(super) fn start_restored_database(&self) -> Result<PathBuf, StoreError> {
        let database = self.database();
        if database.exists() || with_suffix(&database, "-wal").exists() {
            return Err(StoreError::Open(format!(
                "{} holds a store already, and nothing was changed. Name an empty directory (--data-dir), or move what lies \
                 there away",
                self.path.display()
            )));
        }
        let path = start(self.path.join(RESTORED_DATABASE))?;
        // From now on a loss of power leaves what is known for half restored, and no empty directory.
        let synced = sync_directory(&self.path).and_then(|()| sync_ancestors(&self.path));
        synced.map_err(|error| cannot("sync", &self.path, &error))?;
        Ok(path)
    }

    /// Makes a restored database durable that is complete and closed.
    pub(super) fn sync_restored_database(&self) -> Result<(), StoreError> {
        let path = self.path.join(RESTORED_DATABASE);
        File::open(&path).and_then(|file| file.sync_all()).map_err(|error| cannot("sync", &path, &error))
    }

    /// Gives a restored database its name: from now on it is the store.
    pub(super) fn finish_restored_database(&self) -> Result<(), StoreError> {
        self.finish(&self.path.join(RESTORED_DATABASE))?;
        sync_ancestors(&self.path).map_err(|error| cannot("sync what is above", &self.path, &error))
    }

    fn refuse_others(&self) -> Result<(), StoreError> {
        let path = self.path.display();
        let why = if self.path.join(RESTORED_DATABASE).exists() {
            format!(
                "a restore into {path} has not come to its end, so it is not served. Run `sealwire admin restore` again; to start \
                 empty, remove {RESTORED_DATABASE} there"
            )
        } else if self.path.join(RETIRED_DATABASE).exists() {
            format!(
                "the store in {path} was moved to MongoDB by `sealwire admin migrate`, so it is not served any more. Set store.url, or \
                 run the migration again if it has failed; to start empty, move {RETIRED_DATABASE} away"
            )
        } else {
            return Ok(());
        };
        Err(StoreError::Open(why))
    }
}

fn start(path: PathBuf) -> Result<PathBuf, StoreError> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        remove_if_there(&with_suffix(&path, suffix)).map_err(|error| cannot("replace", &path, &error))?;
    }
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
    file.map_err(|error| cannot("create the database", &path, &error))?;
    Ok(path)
}

/// The path with something added to its last component.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// An error about a file that is not what it should be, with what to do about it.
pub(super) fn damaged(path: &Path, how: &str) -> StoreError {
    StoreError::Damaged(format!(
        "{} is no sound database: {how}. Restore it from a backup, or move it (with its -wal file) away to start empty",
        path.display()
    ))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> StoreError {
    let advice = match error.kind() {
        ErrorKind::PermissionDenied => "Give the user that runs the server the right to write there",
        ErrorKind::ReadOnlyFilesystem => {
            "The file system is mounted read-only: mount it writable, or choose another data directory (--data-dir)"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Make room on the disk",
        _ => "Check the path and the disk",
    };
    StoreError::Open(format!("cannot {what} {}: {error}. {advice}", path.display()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the name of a directory durable, and of those above it, some of which may be new. One that may not be read, or
/// whose file system cannot sync it, is none of those.
fn sync_ancestors(path: &Path) -> io::Result<()> {
    let above = path.ancestors().skip(1).map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    above.map(sync_directory).try_for_each(|synced| match synced {
        Err(error) if !matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput) => Err(error),
        _ => Ok(()),
    })
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
