//! Addresses to listen on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

/// Ports to listen on lie below those that the system gives to outgoing connections. Among those, a client that
/// dials a server which is down could get the server's own port, and would then talk to itself.
pub const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// How many ports to try before giving up.
const TRIES: u16 = 50;

/// Addresses on loopback that were free a moment ago, in an order that differs from process to process and from call to call.
///
/// Another program may take one before it is used: whoever starts something there tries the next one then.
pub fn free_addresses() -> impl Iterator<Item = SocketAddr> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    let first = now ^ std::process::id().wrapping_mul(7_919);
    let count = u32::from(PORTS.end - PORTS.start);
    let ports = (0..TRIES).map(move |n| PORTS.start + (first.wrapping_add(u32::from(n) * 101) % count) as u16);
    ports
        .map(|port| (Ipv4Addr::LOCALHOST, port).into())
        .filter(|address: &SocketAddr| TcpListener::bind(address).is_ok())
}
