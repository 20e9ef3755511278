//! `sealwire admin migrate`: the embedded store becomes one in MongoDB.
//!
//! Never may both be served, or mail would go into one and be looked for in the other. So the embedded store is taken out of service
//! when its copy is complete, and only then the copy is released. A crash between the two leaves neither: both say what to do, which is
//! to run the command again.

use sealwire_store::Tally;

use super::{AdminError, in_words, progress::Progress, transfer};
use crate::{app, config::Config};

/// Moves the store; says what it holds and where the old one lies.
pub(super) async fn migrate(config: &Config) -> Result<String, AdminError> {
    if !config.store.is_shared() {
        return Err(AdminError::NoTarget);
    }
    // Locked from here on: no server can be started on it.
    let departing = app::open_departing(config)?;
    let mut import = app::open_import(config).await?;
    let mut export = departing.export().map_err(AdminError::Read)?;
    let (mut tally, mut progress) = (Tally::default(), Progress::of("moving"));
    loop {
        let pieces = export.next().await.map_err(AdminError::Read)?;
        if pieces.is_empty() {
            break;
        }
        pieces.iter().for_each(|piece| tally.add(piece));
        import.put(pieces).await.map_err(AdminError::Write)?;
        progress.report(&tally.counts());
    }
    drop(export);
    transfer::check(&mut *import, &tally).await?;
    let retired = departing.retire().map_err(AdminError::Retire)?;
    import.release().await.map_err(AdminError::Write)?;
    Ok(format!(
        "moved {}; read back and compared. Nodes may be started on MongoDB; the old store lies in {}, and is not served any more",
        in_words(&tally.counts()),
        retired.display(),
    ))
}
