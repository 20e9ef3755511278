//! `send`: one message, or one for each line.

use std::io::{self, Read};

use sealwire_client::{Client, Error, Sent};
use serde_json::json;
use tokio::time::timeout;

use super::{stop, telling, unwritten};
use crate::arguments::{Arguments, Send};
use crate::exit::{Code, Failure, code_of};
use crate::terminal::harmless_json;
use crate::{profile, terminal};

pub(crate) async fn run(arguments: &Arguments, command: &Send) -> Result<(), Failure> {
    let texts = texts(command)?;
    let (client, mut events) = profile::start(arguments)?;
    let outcome = telling(&mut events, send(&client, command, &texts, arguments.json)).await;
    stop(client, events).await;
    outcome
}

fn texts(command: &Send) -> Result<Vec<String>, Failure> {
    let from_stdin = command.text == ["-"];
    if command.lines && !from_stdin {
        return Err(Failure::new(Code::Usage, "--lines goes with `-`: the lines come from standard input"));
    }
    if !from_stdin {
        return Ok(vec![command.text.join(" ")]);
    }
    let mut input = String::new();
    let unreadable = |error| Failure::failed(format!("cannot read standard input: {error}"));
    io::stdin().lock().read_to_string(&mut input).map_err(unreadable)?;
    if command.lines {
        return Ok(input.lines().map(str::to_owned).collect());
    }
    // The last line's end belongs to the terminal, not to the message.
    Ok(vec![input.strip_suffix('\n').unwrap_or(&input).to_owned()])
}

async fn send(client: &Client, command: &Send, texts: &[String], as_json: bool) -> Result<(), Failure> {
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let sent = client.send_all(&command.name, &texts).await?;
    let mut first_failure = None;
    for mut message in sent {
        match timeout(command.timeout, message.first_status()).await {
            Ok(Ok(status)) => report(command, &message, status.as_str(), None, as_json)?,
            Ok(Err(error)) if stays_in_outbox(&error) => return Err(unsent(code_of(&error), &error.to_string())),
            Ok(Err(error)) => {
                report(command, &message, "failed", Some(&error), as_json)?;
                first_failure.get_or_insert(error);
            }
            Err(_) => return Err(unsent(Code::TimedOut, &reason(client, &message))),
        }
    }
    first_failure.map_or(Ok(()), |error| Err(error.into()))
}

fn report(command: &Send, message: &Sent, status: &str, reason: Option<&Error>, as_json: bool) -> Result<(), Failure> {
    if !as_json {
        return terminal::say(status).map_err(unwritten);
    }
    let mut object = json!({ "to": command.name, "messageId": message.message_id(), "status": status });
    if let Some(reason) = reason {
        object["reason"] = reason.to_string().into();
    }
    terminal::say(&harmless_json(&object)).map_err(unwritten)
}

/// Whether the message is still to be sent, by a later command.
fn stays_in_outbox(error: &Error) -> bool {
    !matches!(error, Error::GivenUp { .. } | Error::UnknownUser(_) | Error::Untrusted { .. } | Error::NobodyToSendTo(_))
}

fn reason(client: &Client, message: &Sent) -> String {
    match (client.trouble(), message.held_by()) {
        (Some(trouble), _) => trouble.to_string(),
        (None, Some(code)) => format!("the server asks to wait ({code})"),
        (None, None) => "the server gave no status in time".to_owned(),
    }
}

fn unsent(code: Code, reason: &str) -> Failure {
    Failure::new(code, reason).and("the message stays in the outbox and goes out with the next command that connects")
}
