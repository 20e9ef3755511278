//! `passphrase`: what unlocks the profile from now on.

use sealwire_client::vault::OsKeyring;
use serde_json::json;

use super::print;
use crate::arguments::{Arguments, Passphrase};
use crate::exit::Failure;
use crate::{profile, unlock};

pub(crate) fn run(arguments: &Arguments, command: &Passphrase) -> Result<(), Failure> {
    let mut profile = profile::open_existing(arguments)?;
    if command.keyring {
        profile.use_keyring(&OsKeyring)?;
    } else {
        let new = unlock::new_passphrase(command.new_passphrase_file.as_deref())?;
        profile.change_passphrase(&new, Some(&OsKeyring))?;
    }
    let directory = profile.directory().display().to_string();
    let object = json!({ "profile": directory, "lockedBy": profile.locked_by().name() });
    print(arguments.json, &object, || {
        let lock = if command.keyring { "the system's keyring" } else { "the new passphrase" };
        format!("{directory} is locked by {lock} from now on")
    })
}
