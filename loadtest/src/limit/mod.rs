//! A bare relay: what the machine could do at best. It moves the same four frames for a message as a server does (message, delivery,
//! acknowledgement, status), of the same sizes and as much batched as the protocol allows, and does nothing else: whoever comes is let in, nothing is
//! checked, stored or promised.
//!
//! A thread per core, each with a listener on the same port and the connections that the kernel gives it.

mod frames;
mod mail;
mod relay;

use std::io::{self, Write as _};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::crew::Failure;
use crate::socket;
use mail::Shared;
use relay::Relay;

/// Connections that wait to be taken.
const BACKLOG: i32 = 4096;

/// How the relay runs.
pub(crate) struct Settings {
    pub(crate) listen: SocketAddrV4,
    pub(crate) threads: usize,
    /// Nanoseconds that a status may wait for others.
    pub(crate) status_delay: u64,
}

/// Relays until the process is ended. The first line on standard output says where, as that of the server does.
pub(crate) fn serve(settings: &Settings) -> Result<(), Failure> {
    socket::raise_open_files();
    let first = listener(settings.listen)?;
    let SocketAddr::V4(address) =
        SocketAddr::try_from(rustix::net::getsockname(&first).map_err(io::Error::from)?).map_err(io::Error::from)?
    else {
        return Err(Failure::Arguments("the relay listens on IPv4 alone".to_owned()));
    };
    let mut listeners = vec![first];
    for _ in 1..settings.threads {
        listeners.push(listener(address)?);
    }
    let shared = Arc::new(Shared::new(settings.threads, settings.status_delay)?);
    writeln!(io::stdout(), "listening on ws://{address}/ws")?;
    let relay = |(number, listener)| {
        let shared = shared.clone();
        // What epoll fills does not move to another thread, so each makes its own.
        thread::spawn(move || Relay::new(number, listener, shared)?.run())
    };
    let threads: Vec<_> = listeners.into_iter().enumerate().map(relay).collect();
    for thread in threads {
        thread.join().map_err(|_| Failure::Panicked)??;
    }
    Ok(())
}

fn listener(at: SocketAddrV4) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &at)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}
