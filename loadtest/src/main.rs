//! `sealwire-loadtest`: puts a Sealwire server under load and checks every message.
//!
//! It is leaner than what it measures: a thread per core on epoll, frames that are ready but for a few digits, one read and one write
//! for whatever is there. It speaks the public protocol and logs in for real.
//!
//! * [`args`] what can be asked for; [`scenario`] what is played; [`report`] what comes out
//! * [`compare`] the same with several servers, which it starts
//! * [`cast`] who takes part; [`crew`] the threads as a scenario leads them; [`worker`] a thread
//! * [`check`] what became of every message; [`sealed`] those that are sealed and opened for real
//! * [`keys`], [`person`], [`signers`] accounts and log-ins
//! * [`letter`], [`hearing`], [`websocket`], [`numbering`], [`socket`], [`target`] the wire
//! * [`dialect`] what servers of other protocols are spoken to in
//! * [`histogram`], [`probe`] measuring; [`limit`] a bare relay to compare with; [`stop`] ending before the end

mod args;
mod cast;
mod check;
mod compare;
mod crew;
mod dialect;
mod hearing;
mod histogram;
mod keys;
mod letter;
mod limit;
mod numbering;
mod person;
mod probe;
mod report;
mod scenario;
mod sealed;
mod signers;
mod socket;
mod stop;
mod target;
mod websocket;
mod worker;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command, Scenario};
use crate::crew::Failure;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Play(scenario) => listen().and_then(|()| play(&scenario)),
        Command::Compare(compare) => listen().and_then(|()| compare::play(&compare)),
        Command::Goals(goals) => listen().and_then(|()| compare::play_goals(&goals)),
        Command::Limit { listen, threads, status_delay } => {
            let status_delay = status_delay * 1_000_000;
            limit::serve(&limit::Settings { listen, threads: crew::threads(threads), status_delay }).map(|()| true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "sealwire-loadtest: {failure}");
            ExitCode::from(match failure {
                Failure::Arguments(_) => 2,
                Failure::Stopped => stop::EXIT_CODE,
                _ => 1,
            })
        }
    }
}

/// Lets signals end what is played in order.
fn listen() -> Result<(), Failure> {
    Ok(stop::listen()?)
}

/// Plays and reports; gives whether all went well.
fn play(scenario: &Scenario) -> Result<bool, Failure> {
    let report = scenario::play(scenario)?;
    let common = scenario.common();
    if let Some(file) = &common.json {
        std::fs::write(file, report.to_json())?;
    }
    if let Some(file) = &common.html {
        std::fs::write(file, report.to_html())?;
    }
    std::io::stdout().write_all(report.to_table().as_bytes())?;
    Ok(report.is_good())
}
