//! `safety`: the number that two people compare.

use sealwire_client::client::pinned_safety;
use serde_json::json;
use tokio::time::timeout;

use super::{stop, telling, unwritten};
use crate::arguments::{Arguments, Safety};
use crate::exit::Failure;
use crate::{profile, terminal};

pub(crate) async fn run(arguments: &Arguments, command: &Safety) -> Result<(), Failure> {
    let (client, mut events) = profile::start(arguments)?;
    let asking = async {
        match client.online_within(command.timeout).await {
            Ok(()) => timeout(command.timeout, client.safety(&command.name)).await.ok(),
            Err(error) if error.is_passing() => None,
            Err(error) => Some(Err(error)),
        }
    };
    let outcome = telling(&mut events, asking).await;
    let trouble = client.trouble();
    stop(client, events).await;
    let (number, from_server) = match outcome {
        Some(number) => (number?, true),
        None => {
            let pinned = pinned_safety(&profile::open_registered(arguments)?, &command.name)?;
            let reason = trouble.map_or_else(|| "the server did not answer in time".to_owned(), |e| e.to_string());
            let unknown = || Failure::new(crate::exit::Code::NoConnection, reason.clone());
            let number = pinned.ok_or_else(unknown)?;
            terminal::complain(&format!("{reason}; this is by the keys that were seen before"));
            (number, false)
        }
    };
    let number = number.to_string();
    let line = match arguments.json {
        true => json!({ "name": command.name, "safetyNumber": number, "fromServer": from_server }).to_string(),
        false => number,
    };
    terminal::say(&line).map_err(unwritten)
}
