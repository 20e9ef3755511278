//! `whoami`: who this profile is, without asking anybody.

use std::fmt::Write as _;

use serde_json::json;

use super::unwritten;
use crate::arguments::Arguments;
use crate::exit::Failure;
use crate::{profile, terminal};

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let profile = profile::open_registered(arguments)?;
    let account = profile.account()?;
    let me = profile.person(&account.username)?;
    let me = me.ok_or_else(|| Failure::failed("the profile does not know its own identity key"))?;
    let mut kid = String::new();
    for byte in me.chain().aik().kid().as_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(kid, "{byte:02x}");
    }
    let outbox = profile.outbox()?.len();
    if arguments.json {
        let object = json!({
            "name": account.username,
            "device": account.device,
            "identity": kid,
            "server": account.server,
            "profile": profile.directory().display().to_string(),
            "outbox": outbox,
        });
        return terminal::say(&terminal::harmless_json(&object)).map_err(unwritten);
    }
    let lines = [
        format!("name      {}", account.username),
        format!("device    {}", account.device),
        format!("identity  {kid}"),
        format!("server    {}", account.server),
        format!("profile   {}", profile.directory().display()),
        format!("outbox    {outbox} unsent"),
    ];
    terminal::say(&lines.join("\n")).map_err(unwritten)
}
