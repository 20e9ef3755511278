//! `register`: keys, a name, and what the account comes back with when all is lost.

use sealwire_client::Profile;
use sealwire_client::enrol::recovery_code::{self, Standing};
use sealwire_client::register::register;
use sealwire_protocol::ErrorCode;
use serde_json::json;

use super::unwritten;
use crate::arguments::{Arguments, Register};
use crate::exit::{Code, Failure};
use crate::keeping::Keeping;
use crate::profile;
use crate::progress::Shown;
use crate::terminal::{complain, say};

pub(crate) async fn run(arguments: &Arguments, command: &Register) -> Result<(), Failure> {
    let usage = || Failure::new(Code::Usage, "to register, name the --server");
    let server = arguments.server.as_ref().ok_or_else(usage)?;
    let keeping = match command.no_recovery_code {
        true => None,
        false => {
            Some(Keeping::of(command.recovery_code_file.as_deref(), ", or do without a way back: --no-recovery-code")?)
        }
    };
    let mut profile = profile::open(arguments)?;
    if !is_unfinished(&profile, command)? {
        match &keeping {
            Some(keeping) => {
                keeping.check()?;
                recovery_code::prepare(&mut profile, &command.name)?;
            }
            None => recovery_code::do_without(&mut profile)?,
        }
        let shown = Shown::new();
        let work = register(&mut profile, server, &command.name, command.timeout, |step| shown.step(step));
        shown.until(work).await.map_err(explain)?;
    }
    let account = profile.account()?;
    let line = match arguments.json {
        true => json!({ "name": account.username, "device": account.device, "server": account.server }).to_string(),
        false => format!("registered {} on {server}", account.username),
    };
    say(&line).map_err(unwritten)?;
    if let (Some(keeping), Standing::Unconfirmed(code)) = (&keeping, recovery_code::standing(&profile)?) {
        keeping.hand_over(&code)?;
        recovery_code::confirmed(&mut profile)?;
    }
    complain(&format!(
        "Your keys and messages lie in {}, encrypted. Whoever has that directory and what unlocks it is you.",
        profile.directory().display()
    ));
    Ok(())
}

/// Whether an earlier `register` of this name ended before the recovery code was confirmed.
fn is_unfinished(profile: &Profile, command: &Register) -> Result<bool, Failure> {
    let is_registered = profile.account().is_ok_and(|account| account.username == command.name);
    Ok(is_registered && matches!(recovery_code::standing(profile)?, Standing::Unconfirmed(_)))
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
