//! `listen`: messages as they come.

use std::collections::BTreeSet;

use sealwire_client::{Client, Error, Event, Events, Message};
use sealwire_protocol::Username;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{UNKNOWN_KIND, stop, tell, unwritten};
use crate::arguments::{Arguments, Listen};
use crate::exit::{Code, Failure};
use crate::profile;
use crate::terminal::{complain, harmless, harmless_json, say, utc};

pub(crate) async fn run(arguments: &Arguments, command: &Listen) -> Result<(), Failure> {
    let (client, mut events) = profile::start(arguments)?;
    let outcome = listen(&client, &mut events, command, arguments.json).await;
    stop(client, events).await;
    outcome
}

async fn listen(client: &Client, events: &mut Events, command: &Listen, as_json: bool) -> Result<(), Failure> {
    let deadline = command.timeout.map(|timeout| Instant::now() + timeout);
    let mut left = command.count;
    let mut was_online = false;
    let mut strangers = BTreeSet::new();
    while left != Some(0) {
        let timed_out = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Message(message)) => {
                    say(&line(&message, as_json)).map_err(unwritten)?;
                    if message.request && !as_json && strangers.insert(message.from.clone()) {
                        introduce(&message.from);
                    }
                    client.shown(&message).await?;
                    left = left.map(|left| left - 1);
                }
                Some(event) => {
                    was_online |= matches!(event, Event::Online);
                    tell(&event);
                }
                None => return Err(client.trouble().unwrap_or(Error::Stopped).into()),
            },
            () = timed_out => return out_of_time(client, left, was_online),
            _ = tokio::signal::ctrl_c() => return interrupted(left),
        }
    }
    Ok(())
}

/// A stranger has written: says what can be done, once for each.
fn introduce(name: &Username) {
    complain(&format!(
        "{name} is a stranger to you. To hear of them: contacts accept {name}, or answer; to hear no more: block {name}"
    ));
}

fn out_of_time(client: &Client, left: Option<u64>, was_online: bool) -> Result<(), Failure> {
    match (client.trouble(), left) {
        (Some(trouble), _) if !was_online => Err(trouble.into()),
        (_, Some(left)) => Err(Failure::new(Code::TimedOut, format!("{left} messages did not come in time"))),
        (_, None) => Ok(()),
    }
}

fn interrupted(left: Option<u64>) -> Result<(), Failure> {
    match left {
        Some(left) => Err(Failure::failed(format!("interrupted; {left} messages had not come"))),
        None => Ok(()),
    }
}

fn line(message: &Message, as_json: bool) -> String {
    if as_json {
        return harmless_json(&json!({
            "from": message.from,
            "fromDevice": message.from_device,
            "to": message.to,
            "messageId": message.message_id,
            "counter": message.counter,
            "timestamp": message.timestamp,
            "text": message.text,
            "fromRemovedDevice": message.from_removed_device,
            "request": message.request,
            "muted": message.muted,
        }));
    }
    let marks = [
        (message.request, " (a stranger)"),
        (message.muted, " (muted)"),
        (message.from_removed_device, " (from a device that was removed)"),
    ];
    let marks: String = marks.iter().filter(|(holds, _)| *holds).map(|(_, words)| *words).collect();
    let text = message.text.as_deref().map_or_else(|| UNKNOWN_KIND.to_owned(), harmless);
    format!("{} {}{marks}: {text}", utc(message.timestamp), message.from)
}
