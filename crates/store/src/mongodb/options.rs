//! How the driver is set up, and what a URL may say of it.

use std::time::Duration;

use mongodb::options::{Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};

use crate::StoreError;

/// Where there is none in the URL's path.
const DATABASE: &str = "sealwire";

/// How long a member may take to answer a connection, or a look at its health.
const CONNECT: Duration = Duration::from_secs(2);

/// How often the members are looked at: a new primary is found this soon.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Connections to a member that may work at once. A node has one batch under way at a time, and reads that are short; more
/// would let a storm of reconnects crowd out the writes of other nodes.
const CONNECTIONS: u32 = 32;

/// A name for the database's log and lists of connections.
const APP_NAME: &str = "sealwire";

/// Reads the URL and lays over it what the contract needs, whatever the URL says.
pub(super) async fn client(url: &str, patience: Duration) -> Result<(ClientOptions, String), StoreError> {
    if !url.starts_with("mongodb://") {
        // A host that stands in DNS only would need a resolver of its own in the server.
        return Err(refused("it does not begin with mongodb:// (mongodb+srv:// is not known here; name the members)"));
    }
    let mut options = ClientOptions::parse(url).await.map_err(|_| {
        refused("expected mongodb://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?replicaSet=NAME, other signs in user name and password as %XX")
    })?;
    options.app_name = Some(APP_NAME.to_owned());
    // Ends before the patience with the whole request does, so that what is said is that no member was reachable.
    options.server_selection_timeout = Some(patience * 9 / 10);
    options.connect_timeout = Some(CONNECT);
    options.heartbeat_freq = Some(HEARTBEAT);
    options.max_pool_size = Some(options.max_pool_size.unwrap_or(CONNECTIONS));
    options.retry_writes = Some(true);
    options.retry_reads = Some(true);
    // What is acknowledged is in the journals of a majority: it survives the loss of power, and of the primary.
    let written = WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(patience).build();
    options.write_concern = Some(written);
    // From the primary, and only what a majority has: what another primary could take back is not shown. A write is
    // acknowledged when the primary knows that a majority has it, and from then on its reads of this kind show it; so a read
    // that begins after a write has returned sees it, from whatever node. One gap is left: for the seconds until it notices, a
    // primary that was cut off from the others may answer reads with what was true before. `linearizable` would close it and
    // cost each read a write's round to the majority. What the gap could hide is mail that another node has stored; it
    // nudges the device's session until that has answered, and each node asks again every 30 s, so the gap costs time only.
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    let database = options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned());
    Ok((options, database))
}

fn refused(why: &str) -> StoreError {
    StoreError::Open(format!("the URL of the store cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(url: &str) -> String {
        client(url, CONNECT).await.expect_err("the URL is refused").to_string()
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_used_is_refused_without_its_password() {
        for url in [
            "mongodb://alice:hunter2@host:99999/db",
            "mongodb://alice:hunt%er2@host/db",
            "mongodb://alice:hunter2@host/db?w",
            "mongodb+srv://alice:hunter2@host/db",
            "postgres://alice:hunter2@host/db",
        ] {
            let text = refusal(url).await;
            assert!(!text.contains("hunt") && !text.contains("alice"), "{text}");
        }
    }

    #[tokio::test]
    async fn what_the_contract_needs_is_laid_over_the_url() {
        let url = "mongodb://host/chat?w=1&journal=false&readPreference=secondary&retryWrites=false";
        let (options, database) = client(url, CONNECT).await.expect("a good URL");
        let written = options.write_concern.expect("it is set");
        assert_eq!((written.w, written.journal), (Some(Acknowledgment::Majority), Some(true)));
        assert_eq!(options.selection_criteria, Some(SelectionCriteria::ReadPreference(ReadPreference::Primary)));
        assert_eq!((options.retry_writes, database.as_str()), (Some(true), "chat"));
        assert_eq!(client("mongodb://host", CONNECT).await.expect("a good URL").1, "sealwire");
    }
}
