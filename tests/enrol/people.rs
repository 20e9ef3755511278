//! Machines of people: each a directory with one profile.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use sealwire_client::Profile;
use sealwire_tests::Server;
use sealwire_tests::profiles::{self, passphrase_file};
use sealwire_tests::server::binary;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// A machine with `sealwire-chat` on it.
pub(crate) struct Machine {
    server: String,
    home: TempDir,
}

/// A command that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Machine {
    /// An empty one.
    pub(crate) fn new(server: &Server) -> Self {
        let home = TempDir::with_prefix("sealwire-machine-").expect("a directory for a profile can be made");
        Self { server: server.origin(), home }
    }

    /// One on which the keys of somebody's `n`th device are made already.
    pub(crate) fn with_keys(server: &Server, n: usize) -> Self {
        let machine = Self::new(server);
        profiles::with_keys(&machine.path("profile"), n);
        machine
    }

    /// One on which somebody has registered, with the recovery code in the file `code`.
    pub(crate) async fn registered(server: &Server, name: &str) -> Self {
        let machine = Self::with_keys(server, 0);
        machine.must(&["register", name, "--recovery-code-file", "code"]).await;
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The first line of a file on it.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("the file can be read").trim_end().to_owned()
    }

    pub(crate) fn profile(&self) -> Profile {
        profiles::open(&self.path("profile"))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("sealwire-chat"));
        command.args(["--profile", "profile", "--server", &self.server]).args(arguments);
        command.current_dir(self.home.path()).env("SEALWIRE_PASSPHRASE_FILE", passphrase_file(self.home.path()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("sealwire-chat runs")
    }

    /// Runs a command with this on its standard input.
    pub(crate) async fn run(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.start(arguments);
        let mut stdin = child.stdin.take().expect("it is piped");
        // It may end without having read it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        ended(child).await
    }

    /// Runs a command that must go well; gives what it printed.
    pub(crate) async fn must(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments, "").await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.out
    }

    /// The same with `--json`: its lines.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.must(&[arguments, &["--json"]].concat()).await;
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

pub(crate) async fn ended(child: Child) -> Ended {
    let Output { status, stdout, stderr } = child.wait_with_output().await.expect("a child can be waited for");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").trim_end().to_owned();
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}
