//! An embedded store that is moved into another one.

use std::path::{Path, PathBuf};

use super::connection;
use super::export::SqliteExport;
use super::files::DataDir;
use crate::StoreError;
use crate::dump::Export;

/// The store of a data directory that no server uses while this value lives, and none any more once it is
/// [retired](Self::retire).
#[derive(Debug)]
pub struct Departing {
    dir: DataDir,
    database: PathBuf,
}

impl Departing {
    /// Takes the store of a data directory, served up to now, or retired by a migration that did not come to its end. Brings its
    /// schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Open`] when there is none, or a server is using it; [`StoreError::Damaged`] when it is not sound. The text says
    /// how to go on.
    pub fn take(dir: &Path) -> Result<Self, StoreError> {
        // Looked for first: taking a directory makes it.
        DataDir::database_to_move(dir)?;
        let taken = DataDir::take(dir)?;
        let database = DataDir::database_to_move(dir)?;
        connection::settle(&database)?;
        Ok(Self { dir: taken, database })
    }

    /// Reads it out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn export(&self) -> Result<Box<dyn Export>, StoreError> {
        Ok(Box::new(SqliteExport::open(&self.database)?))
    }

    /// Takes it out of service for good, durably: it lies under another name, and a server that is started on its directory says so.
    /// No export of it may be open. Gives the file.
    ///
    /// # Errors
    /// When it cannot be renamed, or another program is using it; then it is not known whether it is retired.
    pub fn retire(&self) -> Result<PathBuf, StoreError> {
        connection::settle(&self.database)?;
        self.dir.retire(&self.database)
    }
}
