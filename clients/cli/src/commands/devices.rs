//! `devices`: which devices the account has; letting one in, and removing some.

use std::fmt::Write as _;

use sealwire_client::enrol::devices::{self, Device};
use sealwire_client::enrol::{EnrolError, approve};
use sealwire_client::{Error, Profile, Server};
use sealwire_protocol::{DeviceId, Kid};
use serde_json::json;

use super::print;
use crate::arguments::{Arguments, DeleteAccount, Devices, DevicesAction, DevicesLink, DevicesRemove};
use crate::exit::{Code, Failure};
use crate::terminal::{complain, utc};
use crate::{ask, profile};

pub(crate) async fn run(arguments: &Arguments, command: &Devices) -> Result<(), Failure> {
    let mut profile = profile::open_registered(arguments)?;
    let server = profile::server(arguments, &profile)?;
    match &command.action {
        None => list(arguments, command, &mut profile, &server).await,
        Some(DevicesAction::Link(link)) => approve(arguments, command, link, &mut profile, &server).await,
        Some(DevicesAction::Remove(remove)) => self::remove(arguments, command, remove, &mut profile, &server).await,
    }
}

async fn list(arguments: &Arguments, command: &Devices, profile: &mut Profile, server: &Server) -> Result<(), Failure> {
    match devices::refresh(profile, server, command.timeout).await {
        Err(error) if error.is_passing() => complain(&format!("{error}; this is how the account was seen last")),
        refreshed => refreshed?,
    }
    for device in devices::list(profile)? {
        let Device { id, added_at, is_this, certified_until } = device;
        let object = json!({ "device": id, "addedAt": added_at, "this": is_this, "certifiedUntil": certified_until });
        print(arguments.json, &object, || {
            let until =
                certified_until.map_or("never seen with a key".to_owned(), |until| format!("key until {}", utc(until)));
            let this = if is_this { "  (this one)" } else { "" };
            format!("{id}  added {}  {until}{this}", utc(added_at))
        })?;
    }
    Ok(())
}

async fn approve(
    arguments: &Arguments,
    command: &Devices,
    link: &DevicesLink,
    profile: &mut Profile,
    server: &Server,
) -> Result<(), Failure> {
    if profile.keys()?.aik.is_none() {
        return Err(Error::from(EnrolError::NoIdentity).into());
    }
    let line = match &link.code {
        Some(code) => code.clone().into(),
        None if ask::somebody_is_there() => ask::line("The code that the new device shows: ")?,
        None => ask::first_line_of_input()?,
    };
    let code = line.parse().map_err(|error| Failure::new(Code::Usage, format!("{error}; nothing was changed")))?;
    let waiting = approve::look(profile, server, &code, command.timeout).await?;
    let key = hex(&waiting.key());
    complain(&format!(
        "This device waits to be linked:\n  name  {}\n  id    {}\n  key   {key}",
        waiting.name(),
        waiting.device()
    ));
    let gets = match link.with_identity {
        true => "It will read and write everything as you, and link and remove devices.",
        false => "It will read and write everything as you.",
    };
    if !link.yes && !ask_yes(&format!("{gets} Link it?"))? {
        return Err(Failure::failed("nothing was linked"));
    }
    approve::approve(profile, server, &waiting, link.with_identity, command.timeout).await?;
    let object = json!({ "device": waiting.device(), "deviceName": waiting.name(), "key": key });
    print(arguments.json, &object, || format!("linked {}", waiting.name()))
}

async fn remove(
    arguments: &Arguments,
    command: &Devices,
    remove: &DevicesRemove,
    profile: &mut Profile,
    server: &Server,
) -> Result<(), Failure> {
    devices::refresh(profile, server, command.timeout).await?;
    let listed = devices::list(profile)?;
    let ids: Vec<DeviceId> = remove.ids.iter().map(|id| which(&listed, id)).collect::<Result<_, _>>()?;
    let names: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let what = format!("Remove {}? A removed device is cut off at once and never returns.", names.join(", "));
    if !remove.yes && !ask_yes(&what)? {
        return Err(Failure::failed("nothing was removed"));
    }
    devices::remove(profile, server, &ids, command.timeout).await?;
    for id in ids {
        print(arguments.json, &json!({ "device": id, "removed": true }), || format!("removed {id}"))?;
    }
    Ok(())
}

/// The one device whose id begins so.
fn which(listed: &[Device], beginning: &str) -> Result<DeviceId, Failure> {
    let beginning = beginning.to_lowercase();
    let mut these = listed.iter().filter(|device| device.id.to_string().starts_with(&beginning));
    match (these.next(), these.next()) {
        (Some(device), None) => Ok(device.id),
        (None, _) => {
            Err(Failure::new(Code::Usage, "no device of the account has an id that begins so; `devices` lists them"))
        }
        (Some(_), Some(_)) => Err(Failure::new(Code::Usage, "several devices have ids that begin so; give more of it")),
    }
}

fn ask_yes(question: &str) -> Result<bool, Failure> {
    if ask::somebody_is_there() {
        return ask::yes(question);
    }
    Err(Failure::new(Code::Usage, "there is no terminal to ask on; say --yes if it is meant so"))
}

pub(crate) async fn delete_account(arguments: &Arguments, command: &DeleteAccount) -> Result<(), Failure> {
    let mut profile = profile::open_registered(arguments)?;
    let server = profile::server(arguments, &profile)?;
    let name = profile.account()?.username;
    if !command.yes {
        if !ask::somebody_is_there() {
            return Err(Failure::new(Code::Usage, "there is no terminal to ask on; say --yes if it is meant so"));
        }
        complain(&format!(
            "This deletes the account {name} with everything that the server has of it, on all its devices, for ever: nobody \
             will have this name again. The history on this machine stays."
        ));
        if ask::line("Type the name to go on: ")?.trim() != name.as_str() {
            return Err(Failure::failed("nothing was deleted"));
        }
    }
    let deleted = devices::delete_account(&mut profile, &server, command.timeout).await;
    deleted.map_err(|error| {
        let again = "it may have been deleted: type the same again to be sure";
        if error.is_passing() { Failure::from(error).and(again) } else { error.into() }
    })?;
    print(arguments.json, &json!({ "name": name, "deleted": true }), || format!("the account {name} is deleted"))
}

fn hex(kid: &Kid) -> String {
    kid.as_bytes().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_is_enough_where_no_other_has_it() {
        let device = |n: u64| {
            let id = DeviceId::new_v7(n << 16, [7; 10]);
            Device { id, added_at: 0, is_this: false, certified_until: None }
        };
        let listed = [device(0x0012_3400), device(0x0012_35ff), device(0x0077_0000)];
        for device in &listed {
            assert_eq!(which(&listed, &device.id.to_string().to_uppercase()).unwrap(), device.id);
        }
        assert_eq!(which(&listed, "0077").unwrap(), listed[2].id);
        for bad in ["0012", "", "f", "nonsense"] {
            assert!(which(&listed, bad).is_err(), "{bad}");
        }
    }
}
