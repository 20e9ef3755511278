//! Three members of MongoDB. They are made a replica set by the one command that this takes, written out here: a driver would be the
//! largest dependency of this program.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::process::{Server, find, free_port, io_failure, listens, local, version};
use crate::crew::Failure;

const MEMBERS: usize = 3;
/// How long the members may take to choose one of them.
const ELECTION: Duration = Duration::from_secs(60);
const OP_MSG: u32 = 2013;

/// Starts them as companions of this server; gives their URL.
pub(super) fn start(server: &mut Server) -> Result<String, Failure> {
    let program = find("mongod").ok_or_else(|| Failure::Server("mongod is missing".to_owned()))?;
    server.version = format!("{}; mongod {}", server.version, version(&program, "--version"));
    let mut ports = Vec::new();
    for n in 0..MEMBERS {
        let (port, name) = (free_port()?, format!("mongod{n}"));
        let data = server.home().folder(&name)?;
        let mut command = Command::new(&program);
        command
            .args(["--replSet", "compare", "--bind_ip", "127.0.0.1", "--port", &port.to_string(), "--dbpath"])
            .arg(data);
        command.args(["--wiredTigerCacheSizeGB", "0.25", "--quiet"]);
        server.companion(&name, command, move || listens(local(port)))?;
        ports.push(port);
    }
    initiate(&ports).map_err(|error| io_failure("MongoDB could not be made a replica set", &error))?;
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    Ok(format!("mongodb://{}/sealwire?replicaSet=compare", hosts.join(",")))
}

fn initiate(ports: &[u16]) -> io::Result<()> {
    let mut first = TcpStream::connect(local(ports[0]))?;
    first.set_read_timeout(Some(ELECTION))?;
    let mut members = Document::default();
    for (n, port) in (0..).zip(ports) {
        let member = Document::default().number("_id", n).text("host", &format!("127.0.0.1:{port}"));
        members = members.document(0x03, &n.to_string(), member);
    }
    let config = Document::default().text("_id", "compare").document(0x04, "members", members);
    let answer = ask(&mut first, Document::default().document(0x03, "replSetInitiate", config))?;
    if !holds(&answer, b"\x01ok\0\0\0\0\0\0\0\xf0\x3f") {
        return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
    }
    let began = Instant::now();
    while began.elapsed() < ELECTION {
        if holds(&ask(&mut first, Document::default().number("hello", 1))?, b"\x08isWritablePrimary\0\x01") {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(io::Error::other("its members have not chosen one of them in time"))
}

fn holds(answer: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(answer, part).is_some()
}

/// Sends a command to the database `admin` and reads the answer (MongoDB's wire protocol, OP_MSG with one section).
fn ask(stream: &mut TcpStream, command: Document) -> io::Result<Vec<u8>> {
    let body = command.text("$db", "admin").finish();
    let length = (16 + 4 + 1 + body.len()) as u32;
    let mut message = Vec::new();
    [length, 1, 0, OP_MSG, 0].iter().for_each(|word| message.extend_from_slice(&word.to_le_bytes()));
    message.push(0);
    message.extend_from_slice(&body);
    stream.write_all(&message)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; (u32::from_le_bytes(length) as usize).saturating_sub(4)];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// A document in BSON, as far as it is needed here.
#[derive(Default)]
struct Document(Vec<u8>);

impl Document {
    fn key(mut self, kind: u8, name: &str) -> Self {
        self.0.push(kind);
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
        self
    }

    fn number(self, name: &str, value: i32) -> Self {
        let mut own = self.key(0x10, name);
        own.0.extend_from_slice(&value.to_le_bytes());
        own
    }

    fn text(self, name: &str, value: &str) -> Self {
        let mut own = self.key(0x02, name);
        own.0.extend_from_slice(&(value.len() as u32 + 1).to_le_bytes());
        own.0.extend_from_slice(value.as_bytes());
        own.0.push(0);
        own
    }

    /// An inner one: 0x03 for a document, 0x04 for an array.
    fn document(self, kind: u8, name: &str, value: Self) -> Self {
        let mut own = self.key(kind, name);
        own.0.extend_from_slice(&value.finish());
        own
    }

    fn finish(self) -> Vec<u8> {
        let mut whole = (self.0.len() as u32 + 5).to_le_bytes().to_vec();
        whole.extend_from_slice(&self.0);
        whole.push(0);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_written_as_bson_has_them() {
        let hello = Document::default().text("hello", "world").finish();
        assert_eq!(hello, b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0");
    }
}
