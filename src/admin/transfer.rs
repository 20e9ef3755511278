//! From one store into another, or through to the end.

use std::io::Read;

use sealwire_store::{DumpReader, Export, Import, StoreError, Tally};

use super::{AdminError, progress::Progress};

/// Reads a store out to its end, only to compare.
pub(super) async fn read_through(export: &mut dyn Export, step: &'static str) -> Result<Tally, AdminError> {
    let (mut tally, mut progress) = (Tally::default(), Progress::of(step));
    loop {
        let pieces = export.next().await.map_err(AdminError::Read)?;
        if pieces.is_empty() {
            return Ok(tally);
        }
        pieces.iter().for_each(|piece| tally.add(piece));
        progress.report(&tally.counts());
    }
}

/// Reads a backup to its end, which is how it shows that it is whole.
pub(super) fn read_file(from: impl Read) -> Result<Tally, StoreError> {
    let (mut tally, mut progress) = (Tally::default(), Progress::of("checking the backup"));
    let mut reader = DumpReader::begin(from)?;
    loop {
        let pieces = reader.pieces()?;
        if pieces.is_empty() {
            return Ok(tally);
        }
        pieces.iter().for_each(|piece| tally.add(piece));
        progress.report(&tally.counts());
    }
}

/// Reads back what was put into a store, and compares it with what it should be.
pub(super) async fn check(import: &mut dyn Import, put: &Tally) -> Result<(), AdminError> {
    let mut back = import.read_back().await.map_err(AdminError::Write)?;
    let found = read_through(&mut *back, "comparing").await?;
    if found == *put { Ok(()) } else { Err(AdminError::Different) }
}
