//! Whom a server may relay to: nobody's inner network unless the operator says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The addresses that share their first `length` bits with `address`; a length beyond the address's own is taken as that.
    #[must_use]
    pub const fn new(address: IpAddr, length: u8) -> Self {
        let most = if address.is_ipv4() { 32 } else { 128 };
        Self { address, length: if length < most { length } else { most } }
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let mask = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(self.length))).unwrap_or(0);
        address.is_ipv4() == self.address.is_ipv4() && (bits(address) ^ bits(self.address)) & mask == 0
    }
}

/// Whom may be relayed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Relayed to whatever else is said.
    pub allowed: Vec<Prefix>,
    /// Not relayed to.
    pub denied: Vec<Prefix>,
    /// Addresses of this host and of its router: relayed to only at these ports, those of our own media.
    pub own: Vec<OwnPorts>,
}

/// The ports of an address of ours that clients may reach through the server. What else listens on this host is none of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnPorts {
    /// The address.
    pub address: IpAddr,
    /// Its ports.
    pub ports: Vec<RangeInclusive<u16>>,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Prefix {
    Prefix::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), length)
}

const fn v6(first: u16, length: u8) -> Prefix {
    Prefix::new(IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0)), length)
}

/// Addresses that belong to inner networks (RFC 1918, 6598, 4193).
pub const PRIVATE: [Prefix; 5] =
    [v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16), v4(100, 64, 0, 0, 10), v6(0xFC00, 7)];

/// Addresses that no peer has: this host, this link, everybody, nobody (RFC 6890), and ways around that list (6to4, NAT64, Teredo).
const NEVER_A_PEER: [Prefix; 11] = [
    v4(0, 0, 0, 0, 8),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    v6(0, 8),
    v6(0xFE80, 10),
    v6(0xFEC0, 10),
    v6(0xFF00, 8),
    v6(0x2002, 16),
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0)), 32),
];

impl Default for PeerPolicy {
    /// Not to inner networks.
    fn default() -> Self {
        Self { allowed: Vec::new(), denied: PRIVATE.to_vec(), own: Vec::new() }
    }
}

impl PeerPolicy {
    /// To everybody but this host and this link.
    #[must_use]
    pub const fn with_private_networks() -> Self {
        Self { allowed: Vec::new(), denied: Vec::new(), own: Vec::new() }
    }

    /// Whether `peer` may be relayed to, at some port at least.
    #[must_use]
    pub fn permits(&self, peer: IpAddr) -> bool {
        let among = |prefixes: &[Prefix]| prefixes.iter().any(|prefix| prefix.contains(peer));
        // An IPv4 address within an IPv6 one (::ffff:0:0/96, 64:ff9b::/96) is covered by v6(0, 8).
        among(&self.allowed) || self.is_own(peer) || !(among(&NEVER_A_PEER) || among(&self.denied))
    }

    /// Whether this very port of `peer` may be relayed to.
    #[must_use]
    pub fn permits_port(&self, peer: SocketAddr) -> bool {
        if self.allowed.iter().any(|prefix| prefix.contains(peer.ip())) {
            return true;
        }
        if !self.is_own(peer.ip()) {
            return self.permits(peer.ip());
        }
        let mut own = self.own.iter().filter(|own| own.address == peer.ip());
        own.any(|own| own.ports.iter().any(|range| range.contains(&peer.port())))
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.own.iter().any(|own| own.address == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_networks_are_closed_unless_opened() {
        let permits = |policy: &PeerPolicy, address: &str| policy.permits(address.parse().unwrap());
        let usual = PeerPolicy::default();
        for open in ["198.51.100.1", "8.8.8.8", "2001:db8::1", "2400::1"] {
            assert!(permits(&usual, open), "{open}");
        }
        for closed in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2002:a00:1::1",
        ] {
            assert!(!permits(&usual, closed), "{closed}");
        }
        assert!(permits(&PeerPolicy::with_private_networks(), "192.168.1.1"));
        assert!(!permits(&PeerPolicy::with_private_networks(), "127.0.0.1"));
        let opened = PeerPolicy { allowed: vec![v4(127, 0, 0, 1, 32)], ..PeerPolicy::default() };
        assert!(permits(&opened, "127.0.0.1"));
        assert!(!permits(&opened, "127.0.0.2"));
    }

    #[test]
    fn of_this_host_only_the_ports_of_its_media_are_open() {
        let own =
            |address: &str| OwnPorts { address: address.parse().unwrap(), ports: vec![20_000..=20_999] };
        let policy =
            PeerPolicy { own: vec![own("192.168.1.5"), own("198.51.100.1")], ..PeerPolicy::default() };
        let permits = |peer: &str| policy.permits_port(peer.parse().unwrap());
        assert!(permits("192.168.1.5:20000") && permits("198.51.100.1:20999"));
        assert!(!permits("192.168.1.5:53") && !permits("198.51.100.1:22"));
        assert!(permits("198.51.100.2:22") && !permits("192.168.1.6:20000"));
    }
}
