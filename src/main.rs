//! The Sealwire server: the composition root and the HTTP edge. No rule of chat lives here.
//!
//! [`arguments`] -> [`config`] -> [`app`], which names the store, starts the broker (`sealwire-actors`) and serves
//! [`http`].

mod admin;
mod app;
mod arguments;
mod config;
mod healthcheck;
mod http;
mod next_steps;
mod open_files;
mod telemetry;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Parser;

use crate::{
    arguments::{AdminCommand, Arguments, Command},
    config::{Loaded, Overrides, Problems, Surroundings},
};

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// It went well.
const OK: i32 = 0;
/// It failed.
const FAILED: i32 = 1;
/// Arguments (clap uses the same) or configuration are wrong: to try again is no use.
const MISUSED: i32 = 2;

fn main() {
    let code = match Arguments::parse().command {
        Command::Serve(sources) => with_config(&sources.into(), serve),
        Command::CheckConfig { reference: true, .. } => show(&config::reference::page()),
        Command::CheckConfig { example: true, .. } => show(&config::reference::example()),
        Command::CheckConfig { sources, .. } => with_config(&sources.into(), |loaded| check_config(&loaded)),
        Command::Admin(command) => with_config(&command.overrides(), |loaded| admin(&command, &loaded)),
        Command::Healthcheck { url, config } => healthcheck(url, config),
    };
    // Threads of the runtime that hang in a system call must not hold up the end.
    std::process::exit(code)
}

fn with_config(overrides: &Overrides, act: impl FnOnce(Loaded) -> i32) -> i32 {
    match config::load(overrides, &Surroundings::of_process()) {
        Ok(loaded) => act(loaded),
        Err(problems) => refuse(&problems),
    }
}

fn refuse(problems: &Problems) -> i32 {
    eprint!("{problems}");
    eprintln!("The configuration is refused. docs/configuration.md lists every key.");
    MISUSED
}

fn serve(loaded: Loaded) -> i32 {
    let config = loaded.config;
    if let Err(error) = telemetry::init(&config.log) {
        eprintln!("cannot log: {error}");
        return FAILED;
    }
    for warning in config.server.warnings() {
        tracing::warn!("{warning}");
    }
    let system = actix_web::rt::System::new();
    let result = system.block_on(app::run(config));
    // Dropping the runtime would wait for its threads.
    std::mem::forget(system);
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            OK
        }
        Err(error) => {
            tracing::error!("{error}");
            FAILED
        }
    }
}

fn admin(command: &AdminCommand, loaded: &Loaded) -> i32 {
    if let Err(error) = telemetry::init(&loaded.config.log) {
        eprintln!("cannot log: {error}");
        return FAILED;
    }
    match admin::run(command, &loaded.config) {
        Ok(()) => OK,
        Err(error) => {
            eprintln!("sealwire: {error}");
            if error.is_misuse() { MISUSED } else { FAILED }
        }
    }
}

fn check_config(loaded: &Loaded) -> i32 {
    for warning in loaded.config.server.warnings() {
        eprintln!("warning: {warning}");
    }
    show(&config::reference::in_force(loaded))
}

fn show(text: &str) -> i32 {
    if io::stdout().write_all(text.as_bytes()).is_ok() { OK } else { FAILED }
}

fn healthcheck(url: Option<String>, file: Option<PathBuf>) -> i32 {
    let ask = |url: &str| match healthcheck::ask(url) {
        Ok(()) => OK,
        Err(reason) => {
            eprintln!("sealwire: {reason}");
            FAILED
        }
    };
    match url {
        Some(url) => ask(&url),
        None => with_config(&Overrides { file, ..Overrides::default() }, |loaded| {
            ask(&healthcheck::url_of(loaded.config.server.listen))
        }),
    }
}
