//! The address that limits count by, here and at the HTTP edge.

use std::net::{IpAddr, Ipv6Addr};

/// What limits count by: an IPv4 address, or the /64 that an IPv6 address lies in, since a single customer has that many.
pub fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn ipv6_addresses_are_counted_by_their_64_and_mapped_ones_as_ipv4() {
        assert_eq!(counted(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_eq!(counted(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
        assert_eq!(counted(ip("192.0.2.1")), ip("192.0.2.1"));
    }
}
