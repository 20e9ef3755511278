//! The program that answers: one run for each message.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use sealwire_client::{MAX_TEXT, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::exit::Failure;

/// What came of asking the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It printed this.
    Words(String),
    /// It went well, and printed nothing: there is nothing to say.
    Nothing,
    /// It did not go well, for this reason.
    Failed(String),
}

/// Runs the program. What was written comes on its standard input and is neither in its arguments nor in its environment, where
/// other users of the machine might look.
///
/// # Errors
/// When there is no such program: it would be missing for every message.
pub(super) async fn ask(
    command: &[String],
    message: &Message,
    text: &str,
    patience: Duration,
) -> Result<Answer, Failure> {
    let (program, arguments) = command.split_first().expect("the command line demands a program");
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
        .env("SEALWIRE_FROM", message.from.as_str())
        .env("SEALWIRE_MESSAGE_ID", message.message_id.to_string())
        .env("SEALWIRE_TIMESTAMP", message.timestamp.to_string())
        .env("SEALWIRE_REQUEST", if message.request { "1" } else { "0" });
    let child = command.spawn().map_err(|error| Failure::failed(format!("cannot run {program}: {error}")))?;
    Ok(match timeout(patience, converse(child, text)).await {
        Ok(Ok((status, output))) => understood(status, output),
        Ok(Err(error)) => Answer::Failed(format!("the program cannot be spoken to: {error}")),
        Err(_) => Answer::Failed(format!("the program took longer than {} s", patience.as_secs())),
    })
}

async fn converse(mut child: Child, text: &str) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut stdin = child.stdin.take().expect("it is piped");
    let stdout = child.stdout.take().expect("it is piped");
    let write = async move {
        // A program may answer without reading to the end.
        match stdin.write_all(format!("{text}\n").as_bytes()).await {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    };
    let mut output = Vec::new();
    let mut limited = stdout.take(MAX_TEXT as u64 + 1);
    let (written, read) = tokio::join!(write, limited.read_to_end(&mut output));
    written.and(read)?;
    // Whatever it would still print has nowhere to go.
    drop(limited);
    Ok((child.wait().await?, output))
}

fn understood(status: ExitStatus, output: Vec<u8>) -> Answer {
    if !status.success() {
        return Answer::Failed(format!("the program ended with {status}"));
    }
    if output.len() > MAX_TEXT {
        return Answer::Failed(format!("the program printed more than the {MAX_TEXT} bytes of a message"));
    }
    match String::from_utf8(output) {
        Ok(words) if words.trim().is_empty() => Answer::Nothing,
        Ok(words) => Answer::Words(words.trim_end_matches(['\n', '\r']).to_owned()),
        Err(_) => Answer::Failed("the program printed something that is no text (UTF-8)".to_owned()),
    }
}
