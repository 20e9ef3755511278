//! What is wrong with the way to a server, step by step, each in words for the person who is to mend it.
//!
//! A [`Client`](crate::Client) that cannot connect says so in one sentence and tries again. Here name, connection, TLS, the
//! upgrade to a WebSocket, the challenge and the log-in are tried one after the other, and told apart.
//!
//! * here: the steps in their order; `tls` the certificate; `upgrade` what answers on the way; `entry` challenge, clock, log-in;
//!   `own` what this device itself has to say

mod entry;
mod own;
mod tls;
mod upgrade;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::error::Error;
use crate::profile::{Account, DeviceKeys};
use crate::server::Server;

pub use own::{keys, outbox};

/// What is tried, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The host has an address.
    Name,
    /// Something listens there.
    Tcp,
    /// It speaks TLS and has a certificate that this machine believes. Without TLS there is no such step.
    Tls,
    /// It takes WebSockets of this protocol (protocol section 5).
    Upgrade,
    /// Its challenge may be answered (protocol section 5).
    Challenge,
    /// This machine's clock agrees with the server's.
    Clock,
    /// The server knows the account and this device.
    LogIn,
    /// What waits for this device.
    Mailbox,
    /// This device's wrap key ([`keys`]).
    Keys,
    /// What this device has not sent yet ([`outbox`]).
    Outbox,
}

impl Step {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
            Self::Challenge => "challenge",
            Self::Clock => "clock",
            Self::LogIn => "login",
            Self::Mailbox => "mailbox",
            Self::Keys => "keys",
            Self::Outbox => "outbox",
        }
    }
}

/// How a step went.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Well.
    Fine,
    /// It works, but not as it should.
    Warning,
    /// It does not work, and nothing behind it was tried.
    Failure(Error),
}

/// What a step found. Its texts may hold words of the server's, and are not harmless for a terminal as they are.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which.
    pub step: Step,
    /// How it went.
    pub verdict: Verdict,
    /// What was found, in words.
    pub said: String,
    /// How to mend it.
    pub advice: Option<String>,
}

impl Finding {
    fn fine(step: Step, said: impl Into<String>) -> Self {
        Self { step, verdict: Verdict::Fine, said: said.into(), advice: None }
    }

    fn warning(step: Step, said: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { step, verdict: Verdict::Warning, said: said.into(), advice: Some(advice.into()) }
    }

    fn failure(step: Step, error: Error, advice: impl Into<String>) -> Self {
        let said = error.to_string();
        Self { step, verdict: Verdict::Failure(error), said, advice: Some(advice.into()) }
    }
}

/// Tries the way to a server, up to the first step that fails. `found` is told of each. Each wait ends after `patience`.
///
/// With an account it also logs in, which ends another connection of the same device; nothing is sent, and what the server
/// sends stays in the mailbox.
pub async fn probe(
    server: &Server,
    who: Option<(&Account, &DeviceKeys)>,
    patience: Duration,
    found: &mut dyn FnMut(Finding),
) {
    if let Err(failure) = steps(server, who, patience, found).await {
        found(*failure);
    }
}

async fn steps(
    server: &Server,
    who: Option<(&Account, &DeviceKeys)>,
    patience: Duration,
    found: &mut dyn FnMut(Finding),
) -> Result<(), Box<Finding>> {
    let addresses = resolve(server, patience, found).await?;
    let stream = connect(server, &addresses, patience, found).await?;
    let stream = tls::secured(server, stream, patience, found).await?;
    let connection = upgrade::upgraded(server, stream, patience, found).await?;
    entry::entered(server, connection, who, patience, found).await
}

async fn resolve(
    server: &Server,
    patience: Duration,
    found: &mut dyn FnMut(Finding),
) -> Result<Vec<SocketAddr>, Box<Finding>> {
    let (host, failed) = (server.host(), |reason: &dyn fmt::Display| {
        let error = Error::Connect(format!("{} has no address: {reason}", server.host()));
        let advice = "check the spelling of the server's name, and whether this machine is on a network: does another name \
                      resolve?";
        Box::new(Finding::failure(Step::Name, error, advice))
    });
    let addresses: Vec<_> = match timeout(patience, lookup_host((host, server.port()))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(failed(&error)),
        Err(_) => return Err(failed(&"the name service did not answer in time")),
    };
    let Some(first) = addresses.first() else { return Err(failed(&"the name service knows none")) };
    let said = match (host.parse::<IpAddr>(), addresses.len()) {
        (Ok(_), _) => format!("{host} is an address"),
        (Err(_), 1) => format!("{host} is {}", first.ip()),
        (Err(_), n) => format!("{host} is {} and {} more", first.ip(), n - 1),
    };
    found(Finding::fine(Step::Name, said));
    Ok(addresses)
}

async fn connect(
    server: &Server,
    addresses: &[SocketAddr],
    patience: Duration,
    found: &mut dyn FnMut(Finding),
) -> Result<TcpStream, Box<Finding>> {
    let mut last = None;
    for address in addresses {
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                found(Finding::fine(Step::Tcp, format!("{address} takes connections")));
                return Ok(stream);
            }
            Ok(Err(error)) => last = Some(not_connected(server, address, Some(&error))),
            Err(_) => last = Some(not_connected(server, address, None)),
        }
    }
    Err(Box::new(last.expect("a name without addresses has failed before")))
}

fn not_connected(server: &Server, address: &SocketAddr, error: Option<&io::Error>) -> Finding {
    let port = server.port();
    let (said, advice) = match error.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => (
            format!("nothing listens on {address}"),
            format!("is the server running? If it is yours, start it; else check the port ({port}) with its operator"),
        ),
        None => (
            format!("{address} does not answer"),
            format!("a firewall may drop the connection: ask the operator whether port {port} is open to you"),
        ),
        Some(_) => (
            format!("there is no way to {address}: {}", error.expect("it has a kind")),
            "check this machine's network: is it connected, is a VPN needed?".to_owned(),
        ),
    };
    Finding::failure(Step::Tcp, Error::Connect(said), advice)
}
