//! What an operator does to a store as a whole: `sealwire admin backup`, `restore` and `migrate`.
//!
//! A store is read out, and one is filled, by the traits of `sealwire-store`; which ones they are, `app` knows. What came over is
//! always read again and compared before anybody is told that it went well.

mod backup;
mod migrate;
mod new_file;
mod progress;
mod restore;
mod transfer;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use sealwire_store::{Counts, StoreError};
use thiserror::Error;

use crate::{app::RunError, arguments::AdminCommand, config::Config};

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum AdminError {
    /// A store cannot be opened.
    #[error("{0}")]
    Open(#[from] RunError),
    /// It can, and does not give what it holds.
    #[error("the store cannot be read out: {0}. Nothing was kept of what was read")]
    Read(#[source] StoreError),
    /// The other one does not take it.
    #[error("the store cannot be filled: {0}. No server will use what is there; run the command again")]
    Write(#[source] StoreError),
    /// The embedded store cannot be put aside.
    #[error(
        "the embedded store cannot be taken out of service: {0}. What was moved is not used; run the command again"
    )]
    Retire(#[source] StoreError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is a file already.
    #[error("{} is there already, and was not touched. Name another file", .0.display())]
    Exists(PathBuf),
    /// Two backups into one file.
    #[error("another backup is being written to {}", .0.display())]
    Busy(PathBuf),
    /// It is no backup, or not a whole one.
    #[error("{}: {source}", path.display())]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: StoreError,
    },
    /// What was written is not what was read.
    #[error(
        "what was read back is not what was written, so it is not used. Check the disk and the memory of this machine, and that \
         nobody else has written there; then run the command again"
    )]
    Different,
    /// A migration without a place to go to.
    #[error("store.url names no MongoDB to move the embedded store into")]
    NoTarget,
}

impl AdminError {
    /// Whether arguments or configuration are at fault.
    pub(crate) fn is_misuse(&self) -> bool {
        matches!(self, Self::NoTarget | Self::Open(RunError::KeepsNothing))
    }
}

/// Carries a command out, and says on standard output what it has done. Blocks until then.
///
/// # Errors
///
/// See [`AdminError`].
pub(crate) fn run(command: &AdminCommand, config: &Config) -> Result<(), AdminError> {
    // The driver of MongoDB works in threads of its own while this one reads and writes files.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(RunError::System)?;
    let done = runtime.block_on(async {
        match command {
            AdminCommand::Backup { file, .. } => backup::backup(config, file).await,
            AdminCommand::Restore { file, .. } => restore::restore(config, file).await,
            AdminCommand::Migrate { .. } => migrate::migrate(config).await,
        }
    })?;
    // Nobody has to read it, so a closed pipe is no fault.
    let _ = writeln!(io::stdout(), "{done}");
    Ok(())
}

/// The store that the configuration names, in words; nothing of its URL.
fn place(config: &Config) -> String {
    if config.store.is_shared() {
        "the MongoDB that store.url names".to_owned()
    } else {
        config.store.data_dir.display().to_string()
    }
}

/// What a store holds, in words; no names.
fn in_words(counts: &Counts) -> String {
    format!(
        "{} with {}, {} waiting ({} bytes), {}",
        numbered(counts.accounts, "account"),
        numbered(counts.devices, "device"),
        numbered(counts.mail, "message"),
        counts.mail_bytes,
        numbered(counts.backups, "sealed backup"),
    )
}

fn numbered(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
