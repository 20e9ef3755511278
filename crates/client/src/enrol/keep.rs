//! The backup is renewed for as long as a client runs.

use std::time::Duration;

use sealwire_protocol::frames::ServerFrame;

use super::recovery_code::{own_due, was_put};
use super::visit::wrong_answer;
use crate::client::Client;
use crate::error::Error;

/// How long a client that stays connected gathers changes before it renews the backup.
const GATHER: Duration = Duration::from_secs(30);

/// Renews the backup if something of it has changed, and this device is the one that renews it; says whether it did.
///
/// # Errors
/// As for [`Client::request`]; it is tried again by the next call.
pub async fn renew_backup(client: &Client) -> Result<bool, Error> {
    if client.profile(own_due).await??.is_none() {
        return Ok(false);
    }
    // The list of devices that another device's newer code came with is known once the server has shown it on this connection;
    // a safety number, also one's own, waits for that.
    client.safety(&client.account().username).await?;
    let Some((put, digest)) = client.profile(own_due).await?? else { return Ok(false) };
    let ServerFrame::Backup(_) = client.request(put).await? else { return Err(wrong_answer()) };
    client.profile(move |profile| was_put(profile, digest)).await??;
    Ok(true)
}

/// Renews the backup for as long as the client runs, not more often than twice a minute.
pub async fn keep_backup(client: Client) {
    while client.online().await.is_ok() {
        if let Err(error) = renew_backup(&client).await {
            tracing::info!(%error, "the backup is renewed later");
        }
        tokio::time::sleep(GATHER).await;
    }
}
