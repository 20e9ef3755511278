//! `safety`: the number that two people compare, what came of comparing it, and a key that has changed.

use sealwire_client::client::{changed_safety, pinned_safety};
use sealwire_client::{Client, Error, Events};
use sealwire_protocol::Username;
use serde_json::json;
use tokio::time::timeout;

use super::{print, stop, telling};
use crate::arguments::{Arguments, Safety};
use crate::exit::{Code, Failure};
use crate::terminal::complain;
use crate::{ask, profile};

/// What there is to compare.
struct Numbers {
    name: Username,
    /// By the keys that are believed.
    believed: String,
    /// By another identity key that the server shows.
    changed: Option<String>,
    from_server: bool,
    verified: bool,
}

pub(crate) async fn run(arguments: &Arguments, command: &Safety) -> Result<(), Failure> {
    if command.verify && !command.yes && !ask::somebody_is_there() {
        let words = "there is no terminal to ask on; when the numbers were compared and are equal, add --yes";
        return Err(Failure::new(Code::Usage, words));
    }
    let (client, mut events) = profile::start(arguments)?;
    let outcome = work(&client, &mut events, arguments, command).await;
    stop(client, events).await;
    outcome
}

async fn work(client: &Client, events: &mut Events, arguments: &Arguments, command: &Safety) -> Result<(), Failure> {
    let mut numbers = look(client, events, command).await?;
    if command.accept_change {
        accept(client, &mut numbers).await?;
    } else if numbers.changed.is_some() {
        show(&numbers, arguments.json)?;
        return Err(changed(&numbers.name));
    } else if command.verify {
        if !command.yes && !agreed(&numbers)? {
            return Err(Failure::new(Code::Security, not_equal(&numbers.name)));
        }
        decide(client, &mut numbers, true).await?;
    } else if command.unverify {
        decide(client, &mut numbers, false).await?;
    }
    show(&numbers, arguments.json)
}

/// The numbers by what the server shows, or without it by what was seen before.
async fn look(client: &Client, events: &mut Events, command: &Safety) -> Result<Numbers, Failure> {
    let asking = async {
        match client.online_within(command.timeout).await {
            Ok(()) => timeout(command.timeout, client.safety(&command.name)).await.ok(),
            Err(error) if error.is_passing() => None,
            Err(error) => Some(Err(error)),
        }
    };
    let answer = telling(events, asking).await;
    let name = command.name.clone();
    let stored = client.profile(move |profile| {
        Ok::<_, Error>((
            pinned_safety(profile, &name)?,
            changed_safety(profile, &name)?,
            profile.contact(&name)?.verified,
        ))
    });
    let (pinned, changed, verified) = stored.await??;
    let from_server = answer.is_some();
    let believed = match answer {
        Some(Ok(number)) => number,
        // Both numbers are known: that says more than the refusal alone.
        Some(Err(error)) => pinned.filter(|_| changed.is_some()).ok_or(error)?,
        None => {
            let trouble = client.trouble().map(|error| error.to_string());
            let reason = trouble.unwrap_or_else(|| "the server did not answer in time".to_owned());
            let pinned = pinned.ok_or_else(|| Failure::new(Code::NoConnection, reason.clone()))?;
            complain(&format!("{reason}; this is by the keys that were seen before"));
            pinned
        }
    };
    let text = |number: sealwire_client::SafetyNumber| number.to_string();
    let name = command.name.clone();
    Ok(Numbers { name, believed: text(believed), changed: changed.map(text), from_server, verified })
}

fn agreed(numbers: &Numbers) -> Result<bool, Failure> {
    let Numbers { name, believed, .. } = numbers;
    complain(&format!(
        "Ask {name}, by voice or in person and not through this chat, for the number that `sealwire-chat safety` shows \
         them for you. Yours is:\n{believed}"
    ));
    ask::yes("Are the two equal, in every digit?")
}

fn not_equal(name: &Username) -> String {
    format!(
        "nothing was marked. If the numbers differ, somebody may stand between you and {name}: write nothing that others \
         may not read, and tell the operator of the server"
    )
}

async fn decide(client: &Client, numbers: &mut Numbers, verified: bool) -> Result<(), Failure> {
    let name = numbers.name.clone();
    client.profile(move |profile| profile.set_verified(&name, verified)).await??;
    numbers.verified = verified;
    Ok(())
}

/// Believes the key that the server shows now.
async fn accept(client: &Client, numbers: &mut Numbers) -> Result<(), Failure> {
    let name = &numbers.name;
    let Some(changed) = numbers.changed.take() else {
        return Err(Failure::failed(format!("the key of {name} has not changed; there is nothing to accept")));
    };
    client.accept_identity(name).await?;
    complain(&format!(
        "the new key of {name} is believed from now on, and is not verified; compare the numbers: safety {name} --verify"
    ));
    (numbers.believed, numbers.verified) = (changed, false);
    Ok(())
}

fn show(numbers: &Numbers, as_json: bool) -> Result<(), Failure> {
    let Numbers { name, believed, changed, from_server, verified } = numbers;
    let object = json!({
        "name": name,
        "safetyNumber": believed,
        "newSafetyNumber": changed,
        "fromServer": from_server,
        "verified": verified,
    });
    print(as_json, &object, || match changed {
        None => believed.clone(),
        Some(changed) => format!("by the key known so far  {believed}\nby the key shown now     {changed}"),
    })
}

fn changed(name: &Username) -> Failure {
    let words = format!(
        "SECURITY WARNING: the server shows another key for {name} than this device knows, and an account never changes its \
         key by itself. Either the name was given away anew, or somebody stands between you and {name}. Nothing is sent to \
         {name} until you have decided. Ask {name}, by voice or in person, for the number that they see for you. Only if it \
         is the second one, type: sealwire-chat safety {name} --accept-change"
    );
    Failure::new(Code::Security, words)
}
