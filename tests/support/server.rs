//! Real servers: a process of its own on a port of its own, ended without fail.

use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use sealwire_parts::ports::{PORTS, free_addresses};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Entrance;

/// What a test that sends much switches off: the limits on numbers, not those on sizes.
pub const NO_LIMITS: &[(&str, &str)] = &[
    ("SEALWIRE_LIMITS_MESSAGES_PER_MINUTE", "0"),
    ("SEALWIRE_LIMITS_FRAMES_PER_SECOND", "0"),
    ("SEALWIRE_LIMITS_CONNECTIONS_PER_IP", "0"),
    ("SEALWIRE_LIMITS_NEW_CONNECTIONS_PER_IP", "0"),
    ("SEALWIRE_LIMITS_MAILBOX_MESSAGES_PER_SENDER", "10000"),
];

/// How a server is to be started.
#[derive(Debug, Default)]
pub struct Builder {
    settings: Vec<(String, String)>,
    data_dir: Option<PathBuf>,
}

impl Builder {
    /// Sets a variable (docs/configuration.md); the last one for a name counts.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps the data here rather than in a directory that goes with the server.
    #[must_use]
    pub fn data_dir(self, data_dir: &Path) -> Self {
        Self { data_dir: Some(data_dir.to_owned()), ..self }
    }

    /// Starts the server; returns once it listens.
    ///
    /// # Panics
    /// When it does not start; with what it said.
    pub async fn start(self) -> Server {
        let home = TempDir::with_prefix("sealwire-server-").expect("a directory for a server can be made");
        let data_dir = self.data_dir.unwrap_or_else(|| home.path().join("data"));
        let place = Place { settings: self.settings, data_dir, home };
        for address in free_addresses() {
            match place.launch(address).await {
                Ok(child) => return Server { child, entrance: Entrance::at(address), place },
                // Somebody else took the port between our look and the server's.
                Err(failure) if failure.log.contains("cannot listen") => {}
                Err(failure) => panic!("{failure}"),
            }
        }
        panic!("no port of {PORTS:?} is free");
    }
}

/// What stays from one life of a server to the next.
#[derive(Debug)]
struct Place {
    settings: Vec<(String, String)>,
    data_dir: PathBuf,
    /// Holds the log, and the data unless they lie elsewhere.
    home: TempDir,
}

/// Why a server did not come up.
#[derive(Debug)]
struct Failure {
    status: ExitStatus,
    log: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server did not start ({}). Its log:\n{}", self.status, self.log)
    }
}

impl Place {
    fn log_file(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn command(&self, address: SocketAddr) -> Command {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file());
        let mut command = Command::new(binary("sealwire"));
        command.args(["serve", "--listen", &address.to_string(), "--data-dir"]).arg(&self.data_dir);
        // Neither the variables of the tests themselves nor files in the working directory reach the server.
        let ours = std::env::vars_os().map(|(name, _)| name);
        for name in ours.filter(|name| name.to_string_lossy().starts_with("SEALWIRE_")) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value))).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.expect("the log can be opened"));
        command.kill_on_drop(true);
        command
    }

    /// Starts a process and waits for its first line, or its end.
    async fn launch(&self, address: SocketAddr) -> Result<Child, Failure> {
        let mut child = self.command(address).spawn().expect("the server's binary runs");
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await.expect("its output can be read");
        if line.is_empty() {
            let status = child.wait().await.expect("a child can be waited for");
            return Err(Failure { status, log: self.log() });
        }
        assert_eq!(line.trim_end(), format!("listening on ws://{address}/ws"), "the first line is for programs");
        Ok(child)
    }
}

/// A running server, or one that was ended and may be started again. Dropped, it is killed. Whoever dials it needs only its
/// [`Entrance`], which it derefs to.
#[derive(Debug)]
pub struct Server {
    child: Child,
    entrance: Entrance,
    place: Place,
}

impl Server {
    /// A server with every setting at its default.
    pub async fn start() -> Self {
        Builder::default().start().await
    }

    /// A server with these variables (docs/configuration.md), such as [`NO_LIMITS`].
    pub fn with<'a>(settings: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Builder {
        settings.into_iter().fold(Builder::default(), |builder, (name, value)| builder.set(name, value))
    }

    /// Where it keeps its data.
    pub fn data_dir(&self) -> &Path {
        &self.place.data_dir
    }

    /// Everything that it has logged so far, over all its lives.
    pub fn log(&self) -> String {
        self.place.log()
    }

    /// The file that it logs to.
    pub fn log_file(&self) -> PathBuf {
        self.place.log_file()
    }

    /// Where it serves `/metrics` (`SEALWIRE_METRICS_LISTEN`; port 0 gives each server one of its own).
    ///
    /// # Panics
    /// When it does not.
    pub fn internal(&self) -> SocketAddr {
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains("serving metrics")).expect("it serves metrics");
        let address = line.rsplit_once("address=").expect("the line names the address").1;
        address.trim_end().parse().expect("an address and a port")
    }

    /// Its process.
    ///
    /// # Panics
    /// When it has ended and was waited for.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Sends it a signal and returns at once.
    ///
    /// # Panics
    /// When it has ended and was waited for.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process has a number");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child can be waited for")
    }

    /// Sends it SIGTERM and waits for its end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Sends it SIGKILL, unless it has ended; returns once it is gone.
    pub async fn kill(&mut self) {
        if self.child.start_kill().is_ok() {
            self.ended().await;
        }
    }

    /// Starts it again on the same data and the same port; kills it first if it still runs. Returns once it listens.
    ///
    /// # Panics
    /// When it does not start; with what it said.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.child = self.place.launch(self.address()).await.unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Asks one of its pages over HTTP; gives the status, or why there was no answer.
    ///
    /// # Errors
    /// When the connection is refused, or ends before the answer.
    pub async fn get(&self, path: &str) -> io::Result<u16> {
        page(self.address(), path).await.map(|page| page.status)
    }
}

impl Deref for Server {
    type Target = Entrance;

    fn deref(&self) -> &Entrance {
        &self.entrance
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The data directory goes next, so the process must be gone and not only be going.
        if self.child.start_kill().is_ok() {
            while let Ok(None) = self.child.try_wait() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// The answer to a request over HTTP.
#[derive(Debug)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The headers, as they came.
    pub head: String,
    /// What it says.
    pub body: String,
}

/// Asks for a page over HTTP.
///
/// # Errors
/// When the connection is refused, or ends before the answer.
pub async fn page(address: SocketAddr, path: &str) -> io::Result<Page> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || get(address, &path)).await.expect("the request does not panic")
}

fn get(address: SocketAddr, path: &str) -> io::Result<Page> {
    let mut stream = std::net::TcpStream::connect(address)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    io::Write::write_all(&mut stream, request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let page = |status| Page { status, head: head.to_owned(), body: body.to_owned() };
    status.map(page).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// A program of this workspace, built beside the tests.
///
/// # Panics
/// When it has not been built; with what to type.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its own file");
    // target/<profile>/deps/<test>
    let profile = own.parent().and_then(Path::parent).expect("tests lie in target/<profile>/deps");
    let path = profile.join(name);
    assert!(path.exists(), "{} is missing: build it with `cargo build -p {name}`, or use `make test`", path.display());
    path
}
