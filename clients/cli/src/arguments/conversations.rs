//! What may be typed to read conversations, to decide about people, and to keep what was said.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealwire_protocol::{MessageId, Username};

#[derive(Debug, Args)]
pub(crate) struct History {
    /// With whom; without a name, all conversations are listed, the newest first.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<Username>,

    /// At most so many messages, the last ones.
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,

    /// Those before this message.
    #[arg(long, value_name = "ID", requires = "name", conflicts_with = "search")]
    pub(crate) before: Option<MessageId>,

    /// Those in which this stands, whatever the case of its letters; without NAME in all conversations but those with
    /// blocked people.
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Contacts {
    #[command(subcommand)]
    pub(crate) decision: Option<Decision>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Decision {
    /// Hear of somebody who wrote without being known: their messages are no requests any more.
    Accept(Whom),
    /// Let somebody's messages come without a sign.
    Mute(Whom),
    /// Let somebody's messages be announced again.
    Unmute(Whom),
}

#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// Who.
    #[arg(value_name = "NAME")]
    pub(crate) name: Username,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A file that does not exist yet, or `-` for standard output [default: sealwire-NAME.jsonl].
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// A file that `export` wrote, or `-` for standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Passphrase {
    /// Lock the profile by the system's keyring from now on, and by no passphrase.
    #[arg(long)]
    pub(crate) keyring: bool,

    /// A file whose first line is the new passphrase; without one it is asked for, twice.
    #[arg(long, value_name = "FILE", conflicts_with = "keyring")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
}
