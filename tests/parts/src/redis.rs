//! A Redis on loopback. It writes nothing to disk, so one that was killed comes back empty.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::process::{Failure, Process};
use crate::{certificate, patiently, ports};

/// The user of our own questions, by a socket in the server's directory.
const WATCHER: &str = "watcher";

/// The password of every user here, except those that a test names itself. It protects nothing.
const PASSWORD: &str = "watching-only";

/// How a Redis is to be started.
#[derive(Debug, Default)]
pub struct Builder {
    settings: Vec<String>,
    user: Option<(String, String)>,
    tls: bool,
}

impl Builder {
    /// A line of `redis.conf`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
        self
    }

    /// Lets in this user with this password and nobody else; both of characters that need no escape in a URL.
    #[must_use]
    pub fn user(self, name: &str, password: &str) -> Self {
        Self { user: Some((name.to_owned(), password.to_owned())), ..self }
    }

    /// Speaks TLS and nothing else, with [`certificate::SELF_SIGNED`].
    #[must_use]
    pub fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// Starts it; returns once it takes connections.
    ///
    /// # Panics
    /// When it does not start; with what it said.
    pub async fn start(self) -> RedisServer {
        let home = TempDir::with_prefix("sealwire-redis-").expect("a directory for a Redis can be made");
        if self.tls {
            std::fs::write(home.path().join("key.pem"), certificate::key()).expect("a file can be written");
            std::fs::write(home.path().join("certificate.pem"), certificate::SELF_SIGNED)
                .expect("a file can be written");
        }
        for address in ports::free_addresses() {
            std::fs::write(home.path().join("conf"), self.config(address, home.path())).expect("a file can be written");
            match launch(home.path()).await {
                Ok(process) => {
                    let Self { user, tls, .. } = self;
                    return RedisServer { process: Some(process), address, user, tls, home };
                }
                // Somebody else took the port between our look and the server's.
                Err(failure) if failure.log.contains("Address already in use") => {}
                Err(failure) => panic!("{failure}"),
            }
        }
        panic!("no port of {:?} is free", ports::PORTS);
    }

    fn config(&self, address: SocketAddr, home: &Path) -> String {
        let port = address.port();
        let mut lines = vec![
            format!("bind {}", address.ip()),
            if self.tls { format!("port 0\ntls-port {port}") } else { format!("port {port}") },
            format!("dir {}", home.display()),
            format!("unixsocket {}", home.join("socket").display()),
            "save \"\"".to_owned(),
            format!("user {WATCHER} on >{PASSWORD} ~* &* +@all"),
        ];
        if self.tls {
            lines.push("tls-cert-file certificate.pem\ntls-key-file key.pem\ntls-auth-clients no".to_owned());
        }
        if let Some((name, password)) = &self.user {
            lines.push(format!("user {name} on >{password} ~* &* +@all\nuser default off"));
        }
        lines.extend(self.settings.iter().cloned());
        lines.join("\n") + "\n"
    }
}

async fn launch(home: &Path) -> Result<Process, Failure> {
    let mut command = Command::new(crate::program("redis-server"));
    // The password stands in the file, where the list of processes does not show it.
    command.arg("conf").current_dir(home);
    Process::start(command, "Ready to accept connections", &home.join("log")).await
}

/// A running Redis, or one that was killed and may be started again. Dropped, it is killed.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Process>,
    address: SocketAddr,
    user: Option<(String, String)>,
    tls: bool,
    /// Goes last.
    home: TempDir,
}

impl RedisServer {
    /// One that lets everybody in, without TLS.
    pub async fn start() -> Self {
        Builder::default().start().await
    }

    /// One that is to be started otherwise.
    pub fn with() -> Builder {
        Builder::default()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients dial. The certificate is for `localhost`.
    pub fn url(&self) -> String {
        let (scheme, host) = if self.tls { ("rediss", "localhost") } else { ("redis", "127.0.0.1") };
        let login = self.user.as_ref().map_or(String::new(), |(name, password)| format!("{name}:{password}@"));
        format!("{scheme}://{login}{host}:{}/", self.address.port())
    }

    /// The file of the certificate that one with TLS shows: [`certificate::SELF_SIGNED`].
    pub fn certificate_file(&self) -> PathBuf {
        self.home.path().join("certificate.pem")
    }

    /// SIGTERM, and waits for its end.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.terminate().await;
        }
    }

    /// SIGKILL; returns once it is gone.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on its port, killing it first if it runs. It knows nothing of what it held before.
    ///
    /// # Panics
    /// When it does not start; with what it said.
    pub async fn restart_empty(&mut self) {
        self.kill();
        self.process = Some(launch(self.home.path()).await.unwrap_or_else(|failure| panic!("{failure}")));
    }

    /// SIGSTOP: it answers nobody, and its connections stay open.
    pub fn freeze(&mut self) {
        self.process().freeze();
    }

    /// SIGCONT, after [`freeze`](Self::freeze).
    pub fn thaw(&mut self) {
        self.process().thaw();
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the Redis was not killed")
    }

    /// Its process.
    ///
    /// # Panics
    /// When it was killed.
    pub fn pid(&mut self) -> u32 {
        self.process().pid()
    }

    /// What it has logged, over all its lives.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.home.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// The answer to a command as text, such as `INFO commandstats`; asked beside its port, as a user of its own.
    ///
    /// # Panics
    /// When it does not answer, or with something that is no text and no number.
    pub async fn ask(&self, command: &str) -> String {
        let ask = async {
            let mut stream = BufReader::new(UnixStream::connect(self.home.path().join("socket")).await?);
            stream.write_all(format!("AUTH {WATCHER} {PASSWORD}\r\n{command}\r\n").as_bytes()).await?;
            let login = reply(&mut stream).await?;
            assert_eq!(login, "OK", "our own user is let in");
            reply(&mut stream).await
        };
        patiently(command, ask).await.unwrap_or_else(|error| panic!("the Redis does not answer `{command}`: {error}"))
    }
}

/// A reply of RESP: a status, an error, a number, or a text with its length before it.
async fn reply(stream: &mut BufReader<UnixStream>) -> std::io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let line = line.trim_end();
    match (line.get(..1), line.get(1..).unwrap_or_default()) {
        (Some("+" | "-" | ":"), text) => Ok(text.to_owned()),
        (Some("$"), length) => {
            let length: usize = length.parse().map_err(|_| std::io::ErrorKind::InvalidData)?;
            let mut text = vec![0; length + 2];
            stream.read_exact(&mut text).await?;
            Ok(String::from_utf8_lossy(&text[..length]).into_owned())
        }
        _ => Err(std::io::ErrorKind::InvalidData.into()),
    }
}
