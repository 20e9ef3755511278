//! `sealwire admin backup`: everything that the store holds at one moment, in a file.

use std::{
    io::{self, BufReader, BufWriter, Seek, Write},
    path::Path,
};

use sealwire_store::{DumpWriter, Export, Tally};

use super::{AdminError, in_words, new_file::NewFile, place, progress::Progress, transfer};
use crate::{app, config::Config};

/// Bytes that are gathered for one call of the system.
const BUFFER: usize = 1 << 20;

/// Writes the backup, reads it again, and gives it its name; says what it holds.
pub(super) async fn backup(config: &Config, path: &Path) -> Result<String, AdminError> {
    let new = NewFile::begin(path)?;
    let mut export = app::open_export(config).await?;
    let failed = |source| AdminError::File { path: path.to_owned(), source };
    let written = write(&mut *export, &new, failed).await?;
    let mut file = new.file();
    let bytes = file.rewind().and_then(|()| file.metadata()).map_err(failed)?.len();
    let found = transfer::read_file(BufReader::with_capacity(BUFFER, file))
        .map_err(|source| AdminError::Backup { path: path.to_owned(), source })?;
    if found != written {
        return Err(AdminError::Different);
    }
    new.finish()?;
    let holds = in_words(&written.counts());
    let store = place(config);
    Ok(format!("{}: {holds}, from {store}; {bytes} bytes, read again and compared", path.display()))
}

async fn write(
    export: &mut dyn Export,
    new: &NewFile,
    failed: impl Fn(io::Error) -> AdminError + Copy,
) -> Result<Tally, AdminError> {
    let (mut tally, mut progress) = (Tally::default(), Progress::of("writing the backup"));
    let mut writer = DumpWriter::begin(BufWriter::with_capacity(BUFFER, new.file())).map_err(failed)?;
    loop {
        let pieces = export.next().await.map_err(AdminError::Read)?;
        if pieces.is_empty() {
            break;
        }
        for piece in &pieces {
            tally.add(piece);
            writer.add(piece).map_err(failed)?;
        }
        progress.report(&tally.counts());
    }
    let (mut buffered, _) = writer.end().map_err(failed)?;
    buffered.flush().and_then(|()| new.file().sync_all()).map_err(failed)?;
    Ok(tally)
}
