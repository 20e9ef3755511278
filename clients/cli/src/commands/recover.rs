//! `recover` and `recovery-code`: the way back when all devices are lost.

use sealwire_client::enrol::recover::{self, Found};
use sealwire_client::enrol::recovery_code::{self, Standing};
use sealwire_client::enrol::{self};
use sealwire_client::profile::ProfileError;
use sealwire_client::{Profile, Server};
use serde_json::json;

use super::unwritten;
use crate::arguments::{Arguments, Recover, RecoveryCode};
use crate::exit::{Code, Failure};
use crate::keeping::Keeping;
use crate::progress::Shown;
use crate::terminal::{complain, say};
use crate::{ask, profile};

const REPEAT: &str = "type the same again later: it goes on where it ended";

pub(crate) async fn recover(arguments: &Arguments, command: &Recover) -> Result<(), Failure> {
    let usage = || Failure::new(Code::Usage, "to recover an account, name the --server");
    let server = arguments.server.as_ref().ok_or_else(usage)?;
    let mut profile = profile::open(arguments)?;
    match profile.account() {
        Err(ProfileError::NoAccount) => {}
        Err(error) => return Err(error.into()),
        Ok(account) => return Err(ProfileError::HasAccount(account.username.to_string()).into()),
    }
    let shown = Shown::new();
    let outcome = match enrol::pending(&profile)? {
        Some(name) if name == command.name => {
            let work = recover::resume(&mut profile, server, command.timeout, |step| shown.step(step));
            shown.until(work).await.map(drop)
        }
        Some(name) => {
            let text = format!("this profile has begun to come to the account of {name}");
            return Err(Failure::failed(text).and("choose another --profile"));
        }
        None => {
            let found = find(server, command).await?;
            let remove_others = command.remove_others || ask_to_remove(&found)?;
            let step = |step| shown.step(step);
            shown.until(recover::recover(&mut profile, server, found, remove_others, command.timeout, step)).await
        }
    };
    outcome.map_err(|error| if error.is_passing() { Failure::from(error).and(REPEAT) } else { error.into() })?;
    tell(arguments, &profile)
}

async fn find(server: &Server, command: &Recover) -> Result<Found, Failure> {
    let line = match &command.code_file {
        Some(file) => ask::first_line_of(file)?,
        None if ask::somebody_is_there() => ask::line(&format!("The recovery code of {}: ", command.name))?,
        None => ask::first_line_of_input()?,
    };
    let code = line.parse().map_err(|error| Failure::new(Code::Usage, format!("{error}; nothing was asked")))?;
    let found = recover::find(server, &command.name, &code, command.timeout).await?;
    complain(&format!(
        "found the account of {}: {} on its list, {} known to it",
        command.name,
        counted(found.devices().len(), "device", "devices"),
        counted(found.people(), "person", "people"),
    ));
    Ok(found)
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn ask_to_remove(found: &Found) -> Result<bool, Failure> {
    if !ask::somebody_is_there() || found.devices().is_empty() {
        return Ok(false);
    }
    ask::yes("Remove the other devices from the account? Say yes if they are lost or stolen")
}

fn tell(arguments: &Arguments, profile: &Profile) -> Result<(), Failure> {
    let account = profile.account()?;
    let people = profile.pins()?.len();
    let line = match arguments.json {
        true => json!({
            "name": account.username, "device": account.device, "server": account.server, "people": people,
        })
        .to_string(),
        false => {
            format!("recovered {} on {}: {}", account.username, account.server, counted(people, "person", "people"))
        }
    };
    say(&line).map_err(unwritten)?;
    complain("Messages from before are not in a backup: import an exported history, or link a device that has them.");
    Ok(())
}

pub(crate) async fn recovery_code(arguments: &Arguments, command: &RecoveryCode) -> Result<(), Failure> {
    let mut profile = profile::open_registered(arguments)?;
    let server = profile::server(arguments, &profile)?;
    let standing = recovery_code::standing(&profile)?;
    let is_new = !matches!(standing, Standing::Unconfirmed(_));
    if standing != Standing::Confirmed {
        let keeping = Keeping::of(command.recovery_code_file.as_deref(), "")?;
        keeping.check()?;
        let code = match standing {
            Standing::Unconfirmed(code) | Standing::New(code) => code,
            _ => recovery_code::begin(&mut profile)?,
        };
        if let Err(failure) = keeping.hand_over(&code) {
            recovery_code::give_up(&mut profile)?;
            return Err(failure);
        }
        recovery_code::confirmed(&mut profile)?;
    }
    if is_new {
        let done = recovery_code::finish(&mut profile, &server, command.timeout).await;
        let unfinished = "the code before is still the good one; type the same again: the new one is kept for it";
        done.map_err(|error| Failure::from(error).and(unfinished))?;
    }
    let line = match arguments.json {
        true => json!({ "name": profile.account()?.username, "new": is_new }).to_string(),
        false if is_new => "the new recovery code is good; the one before is not renewed any more".to_owned(),
        false => "the recovery code is confirmed".to_owned(),
    };
    say(&line).map_err(unwritten)
}
