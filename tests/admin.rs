//! `sealwire admin`: what a backup, a restore and a migration must bring over, and what they must refuse.

#[path = "admin/moved.rs"]
mod moved;
#[path = "admin/refused.rs"]
mod refused;
#[path = "admin/town.rs"]
mod town;

use std::path::{Path, PathBuf};
use std::process::Output;

use sealwire_tests::server::binary;
use tempfile::TempDir;
use tokio::process::Command;

/// Which store a command is to work on.
#[derive(Debug, Clone, Copy)]
enum Store<'a> {
    Embedded(&'a Path),
    Shared(&'a str),
    /// From the one into the other.
    Both(&'a Path, &'a str),
}

impl Store<'_> {
    fn command(self) -> Command {
        let mut command = Command::new(binary("sealwire"));
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("SEALWIRE_")) {
            command.env_remove(name);
        }
        command.current_dir(std::env::temp_dir()).kill_on_drop(true);
        if let Self::Embedded(dir) | Self::Both(dir, _) = self {
            command.env("SEALWIRE_STORE_DATA_DIR", dir);
        }
        if let Self::Shared(url) | Self::Both(_, url) = self {
            command.env("SEALWIRE_STORE_URL", url);
        }
        command
    }

    async fn run(self, words: &[&str], file: Option<&Path>) -> Said {
        let output = self.command().args(words).args(file).output().await.expect("the server's binary runs");
        Said::of(&output)
    }

    async fn backup(self, file: &Path) -> Said {
        self.run(&["admin", "backup"], Some(file)).await
    }

    async fn restore(self, file: &Path) -> Said {
        self.run(&["admin", "restore"], Some(file)).await
    }

    async fn migrate(self) -> Said {
        self.run(&["admin", "migrate"], None).await
    }

    /// Starts a server, which must not come up.
    async fn serve(self) -> Said {
        self.run(&["serve", "--listen", "127.0.0.1:0"], None).await
    }
}

/// What a command has said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    /// On standard output.
    result: String,
    /// On standard error.
    trouble: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), result: text(&output.stdout), trouble: text(&output.stderr) }
    }

    /// It went well; gives what it says of it.
    #[track_caller]
    fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.result
    }

    /// It was refused for this reason.
    #[track_caller]
    fn refused(&self, why: &str) {
        assert!(self.code == Some(1) && self.trouble.contains(why) && self.result.is_empty(), "{why:?}: {self:?}");
    }
}

/// A directory, and the names of a backup and of another data directory in it.
fn home() -> (TempDir, PathBuf, PathBuf) {
    let home = TempDir::with_prefix("sealwire-admin-").expect("a directory can be made");
    let (dump, data) = (home.path().join("dump"), home.path().join("data"));
    (home, dump, data)
}
