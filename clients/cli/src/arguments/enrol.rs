//! By which a device comes to an account.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
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
