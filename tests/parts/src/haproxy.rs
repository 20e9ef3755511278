//! A HAProxy on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Failure, Process};
use crate::{patiently, ports};

/// How a HAProxy is to be started: a configuration, and the variables that it reads.
#[derive(Debug)]
pub struct Builder {
    config: PathBuf,
    variables: Vec<(String, String)>,
}

impl Builder {
    /// Sets a variable that the configuration reads.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What `haproxy -c` has to say against it.
    ///
    /// # Errors
    /// Its complaints, warnings too.
    pub fn check(&self) -> Result<(), String> {
        let output = self.command().arg("-c").output().expect("haproxy runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && !said.contains("[WARNING]") { Ok(()) } else { Err(said) }
    }

    /// Starts it, with a free address in the variable `listen`; returns once it takes connections there.
    ///
    /// # Panics
    /// When it does not start; with what it said.
    pub async fn start(self, listen: &str) -> HaProxy {
        self.start_on(listen, ports::free_addresses()).await
    }

    /// The same on the first of these addresses that can be had.
    ///
    /// # Panics
    /// When it does not start; with what it said.
    pub async fn start_on(self, listen: &str, addresses: impl Iterator<Item = SocketAddr>) -> HaProxy {
        let home = TempDir::with_prefix("sealwire-haproxy-").expect("a directory for a HAProxy can be made");
        for address in addresses {
            let mut command = self.command();
            command.arg("-Ws").env(listen, address.to_string()).current_dir(home.path());
            match launch(command, home.path()).await {
                Ok(process) => return HaProxy { process, address, _home: home },
                // Somebody else took the port between our look and the proxy's.
                Err(failure) if failure.log.contains("Address already in use") => {}
                Err(failure) => panic!("{failure}"),
            }
        }
        panic!("none of the ports is free");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(crate::program("haproxy"));
        command.arg("-f").arg(&self.config).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The process that is started watches over the one that serves, which ends with it.
async fn launch(command: Command, home: &Path) -> Result<Process, Failure> {
    Process::start(command, "Loading success.", &home.join("log")).await
}

/// A running HAProxy. Dropped, it is killed.
#[derive(Debug)]
pub struct HaProxy {
    process: Process,
    address: SocketAddr,
    /// Goes last.
    _home: TempDir,
}

impl HaProxy {
    /// One with this configuration; relative paths start at the working directory.
    pub fn with(config: &Path) -> Builder {
        let config = std::path::absolute(config).expect("a working directory");
        Builder { config, variables: Vec::new() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has said a line with `text` in it, such as `node1 is DOWN`.
    ///
    /// # Panics
    /// When it does not for long.
    pub async fn says(&mut self, text: &str) {
        patiently(&format!("until HAProxy says `{text}`"), self.process.says(text)).await;
    }

    /// Everything that it has said.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
