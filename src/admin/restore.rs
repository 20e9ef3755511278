//! `sealwire admin restore`: fills an empty store from a backup.

use std::{
    fs::File,
    io::{BufReader, Seek},
    path::Path,
};

use sealwire_store::{DumpReader, StoreError, Tally};

use super::{AdminError, in_words, place, progress::Progress, transfer};
use crate::{app, config::Config};

/// Bytes that are read by one call of the system.
const BUFFER: usize = 1 << 20;

/// Reads the whole backup before anything is written, then fills the store and compares; says what it holds.
pub(super) async fn restore(config: &Config, path: &Path) -> Result<String, AdminError> {
    let failed = |source| AdminError::File { path: path.to_owned(), source };
    let unfit = |source: StoreError| AdminError::Backup { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let expected = transfer::read_file(BufReader::with_capacity(BUFFER, &file)).map_err(unfit)?;
    file.rewind().map_err(failed)?;

    let mut import = app::open_import(config).await?;
    let mut reader = DumpReader::begin(BufReader::with_capacity(BUFFER, &file)).map_err(unfit)?;
    let (mut tally, mut progress) = (Tally::default(), Progress::of("filling the store"));
    loop {
        let pieces = reader.pieces().map_err(unfit)?;
        if pieces.is_empty() {
            break;
        }
        pieces.iter().for_each(|piece| tally.add(piece));
        import.put(pieces).await.map_err(AdminError::Write)?;
        progress.report(&tally.counts());
    }
    // Somebody may have written to the file meanwhile.
    if tally != expected {
        return Err(AdminError::Different);
    }
    transfer::check(&mut *import, &tally).await?;
    import.release().await.map_err(AdminError::Write)?;
    let holds = in_words(&tally.counts());
    Ok(format!("restored {holds}, into {}; read back and compared. Servers may be started on it", place(config)))
}
