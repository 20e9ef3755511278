//! Which server is meant: the URL that a person gives, and the origin that challenges must name (protocol section 3).

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A server's address.
///
/// Reads `wss://host[:port]`, or `ws://` where the host is this very machine; `https` and `http` mean the same, and a
/// path of `/` or `/ws` may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    secure: bool,
    host: String,
    port: u16,
}

/// Why a text is no address of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// Neither `wss://` nor `ws://`.
    #[error("a server's address begins with wss:// (or ws:// on this machine)")]
    Scheme,
    /// No host, a port that is none, a user or a path.
    #[error("a server's address is wss://HOST or wss://HOST:PORT and nothing else")]
    Form,
    /// `ws://` to another machine.
    #[error("without TLS (ws://) only localhost, 127.0.0.1 and [::1] are spoken to; use wss://")]
    PlainAway,
}

impl Server {
    /// What a challenge must name: scheme, host in lower case, and the port unless it is the scheme's own.
    pub fn origin(&self) -> String {
        self.to_string()
    }

    /// Where the WebSocket is opened.
    pub fn socket_url(&self) -> String {
        format!("{self}/ws")
    }

    /// Whether TLS is spoken.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host's name or address, without the brackets of the latter.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, the scheme's own where none was named.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn default_port(secure: bool) -> u16 {
        if secure { 443 } else { 80 }
    }

    fn is_loopback(&self) -> bool {
        matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "[::1]")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == Self::default_port(self.secure) { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(ServerError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "wss" | "https" => true,
            "ws" | "http" => false,
            _ => return Err(ServerError::Scheme),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !matches!(path, "" | "ws") {
            return Err(ServerError::Form);
        }
        let (host, port) = split_port(authority)?;
        let port = port.unwrap_or(Self::default_port(secure));
        let server = Self { secure, host: checked_host(host)?, port };
        if secure || server.is_loopback() { Ok(server) } else { Err(ServerError::PlainAway) }
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), ServerError> {
    let end_of_host = authority.rfind(']').unwrap_or(0);
    let Some(colon) = authority[end_of_host..].find(':').map(|at| at + end_of_host) else {
        return Ok((authority, None));
    };
    let port = authority[colon + 1..].parse().ok().filter(|port| *port != 0).ok_or(ServerError::Form)?;
    Ok((&authority[..colon], Some(port)))
}

fn checked_host(host: &str) -> Result<String, ServerError> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|a| a.parse::<Ipv6Addr>().ok()).ok_or(ServerError::Form)?;
        return Ok(format!("[{address}]"));
    }
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.is_empty() || !host.bytes().all(good) {
        return Err(ServerError::Form);
    }
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<String, ServerError> {
        text.parse::<Server>().map(|server| server.origin())
    }

    #[test]
    fn the_origin_is_lower_case_without_the_default_port() {
        for (given, origin_of_it) in [
            ("wss://Chat.Example.org", "wss://chat.example.org"),
            ("wss://chat.example.org:443/", "wss://chat.example.org"),
            ("https://chat.example.org:8443/ws", "wss://chat.example.org:8443"),
            ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080"),
            ("ws://localhost:80", "ws://localhost"),
            ("ws://[0:0::1]:8080/ws", "ws://[::1]:8080"),
        ] {
            assert_eq!(origin(given), Ok(origin_of_it.to_owned()), "{given}");
        }
        assert_eq!("wss://a.b/".parse::<Server>().unwrap().socket_url(), "wss://a.b/ws");
        let local: Server = "ws://[::1]".parse().unwrap();
        assert_eq!((local.host(), local.port()), ("::1", 80));
    }

    #[test]
    fn plain_connections_leave_this_machine_never() {
        for away in ["ws://chat.example.org", "http://10.0.0.1:8080", "ws://localhost.example.org", "ws://[::2]"] {
            assert_eq!(origin(away), Err(ServerError::PlainAway), "{away}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["chat.example.org", "ftp://a.b", ""] {
            assert_eq!(origin(bad), Err(ServerError::Scheme), "{bad}");
        }
        for bad in
            ["wss://", "wss://a:b", "wss://a:0", "wss://u@a", "wss://a/chat", "wss://[::1", "wss://a:1:2", "wss://a b"]
        {
            assert_eq!(origin(bad), Err(ServerError::Form), "{bad}");
        }
    }
}
