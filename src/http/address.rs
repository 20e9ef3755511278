//! Whose connection it is: networks of trusted proxies, and the client behind them.

use std::net::{IpAddr, SocketAddr};

use crate::config::setting::Word;

/// A network of IP addresses, `address/prefix`; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` lies in it. An IPv4 address in IPv6's clothes is an IPv4 address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix.into()
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix.into()
            }
            _ => false,
        }
    }
}

impl Word for Network {
    const EXPECTS: [&'static str; 2] = [
        r#"a network, such as "10.0.0.0/8""#,
        r#"networks or addresses, such as ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]"#,
    ];

    fn read(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(longest), |digits| digits.parse().ok())?;
        (prefix <= longest).then_some(Self { address, prefix })
    }

    fn write(&self) -> String {
        format!("{}/{}", self.address, self.prefix)
    }
}

/// The client's address: the peer's, unless that is a trusted proxy; then `X-Forwarded-For` is read from the right, past
/// trusted proxies, to the first address that is none. What stands further left anybody may have written.
///
/// `forwarded` are the header's lines in their order. An entry that is no address ends the reading at the last good one.
pub(crate) fn client_address<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[Network],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    for entry in forwarded.rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        match address_of(entry.trim()) {
            Some(address) => client = address.to_canonical(),
            None => break,
        }
    }
    client
}

/// An entry of `X-Forwarded-For`; some proxies write the port too.
fn address_of(entry: &str) -> Option<IpAddr> {
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    entry.parse().ok().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| Network::read(text).expect(text)).collect()
    }

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("2001:db8::/127", "2001:db8::1", "2001:db8::2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "ffff::", "1.2.3.4"),
        ] {
            let network = Network::read(network).expect(network);
            assert!(network.contains(ip(inside)), "{inside} in {}", network.write());
            assert!(!network.contains(ip(outside)), "{outside} not in {}", network.write());
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "10.0.0.0/", "localhost", "all"] {
            assert_eq!(Network::read(text), None, "{text}");
        }
    }

    #[test]
    fn forwarded_addresses_of_an_untrusted_peer_are_not_believed() {
        assert_eq!(client_address(ip("203.0.113.9"), ["1.1.1.1"].into_iter(), &[]), ip("203.0.113.9"));
        let trusted = networks(&["10.0.0.0/8"]);
        assert_eq!(client_address(ip("203.0.113.9"), ["1.1.1.1"].into_iter(), &trusted), ip("203.0.113.9"));
    }

    #[test]
    fn the_client_is_the_first_untrusted_address_from_the_right() {
        let trusted = networks(&["10.0.0.0/8", "fd00::/8"]);
        for (lines, client) in [
            (vec!["203.0.113.9"], "203.0.113.9"),
            (vec!["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            (vec!["6.6.6.6, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (vec!["6.6.6.6", "203.0.113.9", "fd00::2, 10.0.0.2"], "203.0.113.9"),
            (vec!["203.0.113.9:4711"], "203.0.113.9"),
            (vec!["[2001:db8::9]:4711"], "2001:db8::9"),
            (vec!["[2001:db8::9]"], "2001:db8::9"),
            (vec!["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (vec![], "10.0.0.1"),
            (vec!["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
            (vec!["6.6.6.6, "], "10.0.0.1"),
        ] {
            assert_eq!(client_address(ip("10.0.0.1"), lines.iter().copied(), &trusted), ip(client), "{lines:?}");
        }
    }
}
