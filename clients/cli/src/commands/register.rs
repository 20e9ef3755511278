//! `register`: keys and a name.

use std::cell::Cell;
use std::time::Duration;

use sealwire_client::register::{Progress, register};
use sealwire_protocol::ErrorCode;
use serde_json::json;
use tokio::time::interval;

use super::unwritten;
use crate::arguments::{Arguments, Register};
use crate::exit::{Code, Failure};
use crate::profile;
use crate::terminal::{complain, draw, say, somebody_watches};

const SPINNER: [&str; 4] = ["|", "/", "-", "\\"];

pub(crate) async fn run(arguments: &Arguments, command: &Register) -> Result<(), Failure> {
    let usage = || Failure::new(Code::Usage, "to register, name the --server");
    let server = arguments.server.as_ref().ok_or_else(usage)?;
    let mut profile = profile::open(arguments)?;
    let step = Cell::new(Progress::Connecting);
    let watched = somebody_watches();
    let progress = |now| {
        step.set(now);
        if !watched {
            complain(&words(now));
        }
    };
    let work = register(&mut profile, server, &command.name, command.timeout, progress);
    let mut work = Box::pin(work);
    let mut ticks = interval(Duration::from_millis(150));
    let mut turn = 0;
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            _ = ticks.tick(), if watched => {
                turn = (turn + 1) % SPINNER.len();
                draw(&format!("{} {}", SPINNER[turn], words(step.get())));
            }
        }
    };
    drop(work);
    if watched {
        draw("");
    }
    outcome.map_err(explain)?;
    let account = profile.account()?;
    let line = match arguments.json {
        true => json!({ "name": account.username, "device": account.device, "server": account.server }).to_string(),
        false => format!("registered {} on {server}", account.username),
    };
    say(&line).map_err(unwritten)?;
    complain(&format!(
        "Your keys and messages lie in {}, encrypted. Whoever has that directory and what unlocks it is you.",
        profile.directory().display()
    ));
    Ok(())
}

fn words(step: Progress) -> String {
    match step {
        Progress::MakingKeys => "making three RSA-4096 keys; this takes from seconds to a minute".to_owned(),
        Progress::KeysMade(made) => format!("{made} of 3 keys made"),
        Progress::KeysFound => "using the keys that were made before".to_owned(),
        Progress::Connecting => "connecting".to_owned(),
        Progress::Registering => "registering".to_owned(),
    }
}

fn explain(error: sealwire_client::Error) -> Failure {
    use sealwire_client::Error::Refused;
    let taken = matches!(error, Refused { code: ErrorCode::UsernameTaken | ErrorCode::UsernameInvalid, .. });
    let passing = error.is_passing();
    let failure = Failure::from(error);
    match (taken, passing) {
        (true, _) => failure.and("your keys are kept for it"),
        (_, true) => failure.and("your keys are kept; type the same again later"),
        _ => failure,
    }
}
