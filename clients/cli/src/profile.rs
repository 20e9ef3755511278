//! Which profile, and which server.

use std::env;
use std::path::{Path, PathBuf};

use sealwire_client::enrol::keep_backup;
use sealwire_client::profile::ProfileError;
use sealwire_client::{Client, Events, Profile, Server};

use crate::arguments::Arguments;
use crate::exit::{Code, Failure};
use crate::unlock::Person;

/// The profile that is meant: by option or variable, else `$XDG_DATA_HOME/sealwire/default`, else
/// `~/.local/share/sealwire/default`.
pub(crate) fn directory(arguments: &Arguments) -> Result<PathBuf, Failure> {
    if let Some(directory) = &arguments.profile {
        return Ok(directory.clone());
    }
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    let data = data.ok_or_else(|| Failure::new(Code::Usage, "there is no home directory; name a --profile"))?;
    Ok(data.join("sealwire").join("default"))
}

/// Opens the profile, and makes it where there is none.
pub(crate) fn open(arguments: &Arguments) -> Result<Profile, Failure> {
    Ok(Profile::open(&directory(arguments)?, &mut Person::of(arguments))?)
}

/// What to type where nobody is registered.
pub(crate) const HOW_TO_BEGIN: &str = "type: sealwire-chat --server URL register NAME";

/// Whether a directory holds a profile.
pub(crate) fn is_there(directory: &Path) -> bool {
    directory.join("profile.db").exists()
}

/// Opens a profile that is there, also one without an account, or whose account was deleted.
pub(crate) fn open_existing(arguments: &Arguments) -> Result<Profile, Failure> {
    let directory = directory(arguments)?;
    if !is_there(&directory) {
        let text = format!("there is no profile in {}", directory.display());
        return Err(Failure::failed(text).and(HOW_TO_BEGIN));
    }
    Ok(Profile::open(&directory, &mut Person::of(arguments))?)
}

/// Opens the profile of somebody who is registered; makes none.
pub(crate) fn open_registered(arguments: &Arguments) -> Result<Profile, Failure> {
    let profile = open_existing(arguments)?;
    match profile.account() {
        Ok(_) => Ok(profile),
        Err(error @ ProfileError::NoAccount) => Err(Failure::from(error).and(HOW_TO_BEGIN)),
        Err(error) => Err(error.into()),
    }
}

/// Starts a client on the profile, with the server that is named or remembered.
pub(crate) fn start(arguments: &Arguments) -> Result<(Client, Events), Failure> {
    let profile = open_registered(arguments)?;
    let server = server(arguments, &profile)?;
    let (client, events) = Client::start(profile, server)?;
    tokio::spawn(keep_backup(client.clone()));
    Ok((client, events))
}

/// The server that is named, else the one that is remembered.
pub(crate) fn server(arguments: &Arguments, profile: &Profile) -> Result<Server, Failure> {
    arguments.server.clone().map_or_else(|| remembered(profile), Ok)
}

fn remembered(profile: &Profile) -> Result<Server, Failure> {
    let unreadable = |_| Failure::new(Code::Usage, "the profile's server cannot be read; name a --server");
    profile.account()?.server.parse().map_err(unreadable)
}
