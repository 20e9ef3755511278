//! `sealwire-chat`: the terminal client, for people and for scripts.

mod arguments;
mod ask;
mod chat;
mod commands;
mod exit;
mod keeping;
mod profile;
mod progress;
mod terminal;
mod unlock;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command};
use crate::exit::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("SEALWIRE_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    // A line of the log would tear the full screen; `2> FILE` keeps both.
    if !matches!(arguments.command, Command::Chat(_)) || !terminal::somebody_watches() {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::complain(&format!("sealwire-chat: {failure}"));
            failure.code()
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("this machine gives no threads: {error}")))?;
    runtime.block_on(async {
        match &arguments.command {
            Command::Register(command) => commands::register::run(arguments, command).await,
            Command::Link(command) => commands::link::run(arguments, command).await,
            Command::Devices(command) => commands::devices::run(arguments, command).await,
            Command::DeleteAccount(command) => commands::devices::delete_account(arguments, command).await,
            Command::Recover(command) => commands::recover::recover(arguments, command).await,
            Command::RecoveryCode(command) => commands::recover::recovery_code(arguments, command).await,
            Command::Send(command) => commands::send::run(arguments, command).await,
            Command::Listen(command) => commands::listen::run(arguments, command).await,
            Command::Bot(command) => commands::bot::run(arguments, command).await,
            Command::Chat(command) => chat::run(arguments, command).await,
            Command::Safety(command) => commands::safety::run(arguments, command).await,
            Command::History(command) => commands::history::run(arguments, command),
            Command::Contacts(command) => commands::contacts::run(arguments, command),
            Command::Block(command) => commands::contacts::block(arguments, command, true),
            Command::Unblock(command) => commands::contacts::block(arguments, command, false),
            Command::Export(command) => commands::archive::export(arguments, command),
            Command::Import(command) => commands::archive::import(arguments, command),
            Command::Passphrase(command) => commands::passphrase::run(arguments, command),
            Command::Doctor(command) => commands::doctor::run(arguments, command).await,
            Command::Whoami => commands::whoami::run(arguments),
            Command::Completions(command) => commands::shell::completions(command),
            Command::Man(command) => commands::shell::man(command),
        }
    })
}
