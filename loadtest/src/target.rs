//! The server that is loaded.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::str::FromStr;

/// Where to dial, and under which name.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    address: SocketAddrV4,
    host: String,
}

impl Target {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The name and the port, as the header `Host` says them.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The origin that a client dials, and that a challenge must name (protocol section 3).
    pub(crate) fn origin(&self) -> String {
        format!("ws://{}", self.host.strip_suffix(":80").unwrap_or(&self.host))
    }

    /// The address that the `n`th connection comes from: on loopback there are many, so that the server's limits per address hold
    /// nobody up; to another machine there is one. Runs with another `net` have other addresses.
    pub(crate) fn source(&self, net: u8, n: usize, per_address: usize) -> Option<Ipv4Addr> {
        let at = n / per_address.max(1);
        let part = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        let net = part(1 + usize::from(net) % Self::NETS + at / 62_500);
        self.address.ip().is_loopback().then(|| Ipv4Addr::new(127, net, part(at / 250 % 250), part(1 + at % 250)))
    }

    /// How many nets there are to choose from.
    const NETS: usize = 200;
}

impl From<SocketAddrV4> for Target {
    fn from(address: SocketAddrV4) -> Self {
        Self { address, host: address.to_string() }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let expected = "expected ws://HOST:PORT/ws, such as ws://127.0.0.1:8080/ws";
        if url.starts_with("wss://") {
            return Err(format!("TLS is not spoken here: measure behind the proxy that ends it; {expected}"));
        }
        let rest = url.strip_prefix("ws://").ok_or(expected)?;
        let host = rest.strip_suffix("/ws").unwrap_or(rest).trim_end_matches('/').to_lowercase();
        let host = if host.contains(':') { host } else { format!("{host}:80") };
        let found = host.to_socket_addrs().map_err(|error| format!("{host}: {error}; {expected}"))?;
        let v4 = found.into_iter().find_map(|address| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        });
        Ok(Self { address: v4.ok_or_else(|| format!("{host} has no IPv4 address; {expected}"))?, host })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_address_host_and_origin() {
        let target: Target = "ws://127.0.0.1:8080/ws".parse().unwrap();
        assert_eq!(
            (target.address().port(), target.host(), &*target.origin()),
            (8080, "127.0.0.1:8080", "ws://127.0.0.1:8080")
        );
        assert_eq!("ws://127.0.0.1".parse::<Target>().unwrap().origin(), "ws://127.0.0.1");
        for bad in ["wss://127.0.0.1/ws", "http://127.0.0.1", "127.0.0.1:8080", "ws://:x"] {
            assert!(bad.parse::<Target>().unwrap_err().contains("ws://"), "{bad}");
        }
    }

    #[test]
    fn on_loopback_a_source_address_serves_a_few_connections() {
        let target: Target = "ws://127.0.0.1:8080".parse().unwrap();
        let sources: std::collections::BTreeSet<_> = (0..20_000).filter_map(|n| target.source(7, n, 10)).collect();
        assert_eq!(sources.len(), 2_000);
        assert!(!sources.contains(&target.source(8, 0, 10).unwrap()), "the next run comes from other addresses");
        assert_eq!(target.source(0, 9, 10), target.source(0, 0, 10));
    }
}
