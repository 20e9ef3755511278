//! `sealwire-chat` as it is typed: the real program on profiles in a directory of its own.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::Server;
use crate::profiles::{self, passphrase_file};
use crate::server::binary;

/// A place where people type, each with a profile that has their name. Their passphrase is in the environment.
#[derive(Debug)]
pub struct Terminal {
    server: String,
    home: TempDir,
}

impl Terminal {
    /// A place from which this server is dialled.
    ///
    /// # Panics
    /// When no directory can be made.
    pub fn new(server: &Server) -> Self {
        let home = TempDir::with_prefix("sealwire-people-").expect("a directory for profiles can be made");
        Self { server: server.origin(), home }
    }

    /// The directory that commands run in, and that holds the profiles.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command with its standard streams piped.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_at(&self.server, arguments)
    }

    /// The same, with another server.
    pub fn command_at(&self, server: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("sealwire-chat"));
        command.arg("--server").arg(server).args(arguments).current_dir(self.home.path());
        command.env("SEALWIRE_PASSPHRASE_FILE", passphrase_file(self.home.path()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Registers a name with keys of the pool, as making new ones takes long.
    pub async fn register(&self, name: &str) {
        drop(profiles::register(&self.home.path().join(name), &self.server, name).await);
    }

    /// Runs a command to its end, with nothing to read.
    ///
    /// # Panics
    /// When it cannot be run.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        finish(self.command(arguments).spawn().expect("sealwire-chat runs")).await
    }

    /// Runs a command of `name`'s that must go well; gives what it printed.
    ///
    /// # Panics
    /// When it does not go well.
    pub async fn chat(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.run(&[&["--profile", name], arguments].concat()).await;
        assert!(output.status.success(), "{arguments:?}: {}: {}", output.status, output.stderr.escape_ascii());
        text(&output)
    }

    /// Runs a command of `name`'s that must go well with `--json`; gives the objects that it printed, one for each line.
    ///
    /// # Panics
    /// When it does not go well, or prints something else.
    pub async fn json(&self, name: &str, arguments: &[&str]) -> Vec<Value> {
        let printed = self.chat(name, &[&["--json"], arguments].concat()).await;
        printed.lines().map(|line| serde_json::from_str(line).expect("one JSON object for each line")).collect()
    }

    /// Runs a command of `name`'s; gives its exit code and what it said of it.
    pub async fn fails(&self, name: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(&[&["--profile", name], arguments].concat()).await;
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Sends lines over one connection; gives the statuses printed.
    ///
    /// # Panics
    /// When it does not go well.
    pub async fn send_lines(&self, name: &str, to: &str, lines: &[String]) -> Vec<String> {
        let mut child =
            self.command(&["--profile", name, "send", to, "-", "--lines"]).spawn().expect("sealwire-chat runs");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(lines.join("\n").as_bytes()).await.expect("it reads");
        drop(input);
        let output = finish(child).await;
        assert!(output.status.success(), "{}: {}", output.status, output.stderr.escape_ascii());
        text(&output).lines().map(str::to_owned).collect()
    }
}

/// Waits for a command's end; it has nothing to read.
///
/// # Panics
/// When it cannot be waited for.
pub async fn finish(mut child: Child) -> Output {
    drop(child.stdin.take());
    child.wait_with_output().await.expect("a child can be waited for")
}

/// What a command printed, without the last line's end.
///
/// # Panics
/// When it is no text.
pub fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text").trim_end().to_owned()
}
