//! By which a device comes to an account.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sealwire_protocol::Username;

use super::seconds;

#[derive(Debug, Args)]
pub(crate) struct Register {
    /// The name: 3 to 32 of a-z and 0-9, with single '.', '_' or '-' between.
    #[arg(value_name = "NAME")]
    pub(crate) name: Username,

    /// Write the recovery code into this new file, which nobody else can read, instead of showing it and asking it back.
    #[arg(long, value_name = "FILE", conflicts_with = "no_recovery_code")]
    pub(crate) recovery_code_file: Option<PathBuf>,

    /// Make no recovery code: when this device is lost, so is the account.
    #[arg(long)]
    pub(crate) no_recovery_code: bool,

    /// How long to try, in seconds, once the keys are made.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The name of the account.
    #[arg(value_name = "NAME")]
    pub(crate) name: Username,

    /// A file whose first line is the recovery code. Without one, the code is asked for on the terminal, or read from
    /// standard input where that is none.
    #[arg(long, value_name = "FILE")]
    pub(crate) code_file: Option<PathBuf>,

    /// Remove all other devices from the account: they are lost, or somebody else's by now. Without it, a person at a
    /// terminal is asked, and a script keeps them.
    #[arg(long)]
    pub(crate) remove_others: bool,

    /// How long to try to reach the server, in seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct RecoveryCode {
    /// Write the code into this new file, which nobody else can read, instead of showing it and asking it back.
    #[arg(long, value_name = "FILE")]
    pub(crate) recovery_code_file: Option<PathBuf>,

    /// How long to try to reach the server, in seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Link {
    /// What the other device shows this one as [default: sealwire-chat and the system].
    #[arg(long, value_name = "NAME")]
    pub(crate) device_name: Option<String>,

    /// How long to try to reach the server, in seconds; the code is good for ten minutes.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Devices {
    #[command(subcommand)]
    pub(crate) action: Option<DevicesAction>,

    /// How long to try to reach the server, in seconds.
    #[arg(long, global = true, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevicesAction {
    /// Let a new device into the account: type `link` there, and enter here the code that it shows.
    ///
    /// With --json: device, deviceName, key (the id of its signing key).
    Link(DevicesLink),
    /// Remove devices from the account. They are cut off at once, and never return.
    ///
    /// With --json: device, removed.
    Remove(DevicesRemove),
}

#[derive(Debug, Args)]
pub(crate) struct DevicesLink {
    /// The code that the new device shows; asked for, or read from standard input, if it is not given.
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,

    /// Give it the account's identity key, so that it can link and remove devices itself.
    #[arg(long)]
    pub(crate) with_identity: bool,

    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesRemove {
    /// Which, as `devices` lists them; the beginning of an id is enough where no other has the same.
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,

    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteAccount {
    /// Do not ask for the name to be typed.
    #[arg(long)]
    pub(crate) yes: bool,

    /// How long to try to reach the server, in seconds.
    #[arg(long, value_name = "S", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}
