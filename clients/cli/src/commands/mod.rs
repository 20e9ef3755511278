//! One file per command.

pub(crate) mod archive;
pub(crate) mod bot;
pub(crate) mod contacts;
pub(crate) mod devices;
pub(crate) mod doctor;
pub(crate) mod history;
pub(crate) mod link;
pub(crate) mod listen;
pub(crate) mod passphrase;
pub(crate) mod recover;
pub(crate) mod register;
pub(crate) mod safety;
pub(crate) mod send;
pub(crate) mod shell;
mod warnings;
pub(crate) mod whoami;

use std::io;
use std::time::Duration;

use sealwire_client::enrol::renew_backup;
use sealwire_client::{Client, Event, Events};
use serde_json::Value;
use tokio::time::timeout;

use crate::exit::Failure;
use crate::terminal::{complain, harmless_json, say};

/// How long a command that is over waits for the backup to be renewed.
const LAST_BACKUP: Duration = Duration::from_secs(5);
/// Stands for the text of a message that a later version wrote.
const UNKNOWN_KIND: &str = "(of a kind that this version does not know)";

/// Writes one answer to standard output: an object for scripts, or words.
fn print(as_json: bool, object: &Value, words: impl FnOnce() -> String) -> Result<(), Failure> {
    say(&if as_json { harmless_json(object) } else { words() }).map_err(unwritten)
}

/// Standard output is gone: nobody reads on.
fn unwritten(error: io::Error) -> Failure {
    Failure::failed(format!("cannot write: {error}"))
}

/// Does some work with a client, and tells meanwhile what is not a message. Messages are kept for `listen`.
async fn telling<T>(events: &mut Events, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            Some(event) = events.next() => tell(&event),
        }
    }
}

/// Ends a client, and tells what it had left to tell: a warning must not be lost because the work was done.
async fn stop(client: Client, mut events: Events) {
    // What the command has changed belongs into the backup now: the next command may come in a year.
    if client.online_within(Duration::ZERO).await.is_ok() {
        // What fails is made up for by the next command that connects.
        let _ = telling(&mut events, timeout(LAST_BACKUP, renew_backup(&client))).await;
    }
    telling(&mut events, client.stop()).await;
    while let Some(event) = events.next().await {
        tell(&event);
    }
}

/// Tells on standard error what is not a message.
fn tell(event: &Event) {
    if let Some(words) = warnings::in_words(event) {
        complain(&words);
    }
}
