//! One member of a replica set: its process, and what it says of itself.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::document;
use crate::process::{Failure, Process};

/// `OP_MSG`, the one kind of request and answer that there still is.
const OP_MSG: u32 = 2013;

/// No answer of ours comes near this.
const LONGEST_ANSWER: u32 = 16 * 1024 * 1024;

/// Milliseconds that a member may hold back its answer while there is no news of it.
const WAITS: i64 = 1_000;

#[derive(Debug)]
pub(crate) struct Member {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it is called in the set, and dialled by everybody.
    pub(crate) known_as: SocketAddr,
    home: PathBuf,
    options: Vec<String>,
    process: Option<Process>,
}

impl Member {
    /// A member that has never run; `options` are `mongod`'s.
    pub(crate) fn new(address: SocketAddr, home: PathBuf, options: Vec<String>) -> Self {
        std::fs::create_dir_all(home.join("data")).expect("a directory for a member can be made");
        Self { address, known_as: address, home, options, process: None }
    }

    /// Starts it; returns once it takes connections.
    pub(crate) async fn start(&mut self) -> Result<(), Failure> {
        self.kill();
        let mut command = Command::new(crate::program("mongod"));
        command.arg("--dbpath").arg(self.home.join("data")).args(["--port", &self.address.port().to_string()]);
        command.args(&self.options).current_dir(&self.home);
        self.process = Some(Process::start(command, "Waiting for connections", &self.log_file()).await?);
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.home.join("log")
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap_or_else(|| panic!("the member at {} does not run", self.address))
    }

    pub(crate) fn is_up(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_up)
    }

    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn terminate(&mut self) {
        if let Some(process) = self.process.take() {
            process.terminate().await;
        }
    }

    /// Waits until what the member says of itself (`hello`) is as wanted. The member answers when something changes.
    pub(crate) async fn says(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            // A connection ends when the member goes; a new one is refused until it is back, which `start` waits for.
            if let Ok(hello) = self.watch(&wanted).await {
                return hello;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn watch(&self, wanted: &impl Fn(&Value) -> bool) -> io::Result<Value> {
        let mut link = Link::to(self.address).await?;
        let mut hello = link.ask("hello", &json!(1), json!({ "$db": "admin" })).await?;
        while !wanted(&hello) {
            let seen = &hello["topologyVersion"];
            let rest = json!({ "$db": "admin", "topologyVersion": seen, "maxAwaitTimeMS": WAITS });
            hello = link.ask("hello", &json!(1), rest).await?;
        }
        Ok(hello)
    }

    /// Runs a command in the database `admin`.
    ///
    /// # Errors
    /// When there is no answer; a refusal is one too, with MongoDB's text.
    pub(crate) async fn command(&self, name: &str, value: &Value, rest: Value) -> io::Result<Value> {
        let mut rest = rest;
        rest["$db"] = "admin".into();
        let answer = Link::to(self.address).await?.ask(name, value, rest).await?;
        if answer["ok"].as_f64() == Some(1.0) || answer["ok"] == json!(1) {
            return Ok(answer);
        }
        Err(io::Error::other(format!("{name}: {}", answer["errmsg"])))
    }
}

/// A connection to one member.
struct Link {
    stream: TcpStream,
    requests: u32,
}

impl Link {
    async fn to(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(address).await?, requests: 0 })
    }

    async fn ask(&mut self, name: &str, value: &Value, rest: Value) -> io::Result<Value> {
        self.requests += 1;
        // Flags (none), then a section of kind 0: one document.
        let mut body = vec![0; 5];
        body.extend(document::command(name, value, &rest));
        let length = u32::try_from(16 + body.len()).expect("commands are short");
        let header = [length, self.requests, 0, OP_MSG].map(u32::to_le_bytes);
        self.stream.write_all(&[header.as_flattened(), &body].concat()).await?;

        let length = self.stream.read_u32_le().await?;
        if !(21..LONGEST_ANSWER).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length as usize - 4];
        self.stream.read_exact(&mut answer).await?;
        document::read(&answer[12 + 5..]).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}
