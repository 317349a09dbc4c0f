//! Which of our addresses a peer is told, in Contact, Via and session descriptions.
//!
//! One wrong answer to this question is a call that rings and stays silent, so there is one place for it, and the answer
//! carries its reason. Known before: the peer's address, the local address a packet to him leaves by (the driver asks the
//! kernel), the networks that are ours, the address we have beyond them, and how the peer says he sees us (`received=` in
//! our own Via, RFC 3261 §18.2.1). No look-up and no probing happens here.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The operator's view of his networks, and what was learned about the address beyond them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Networks whose hosts reach us at the address a packet to them leaves by.
    pub local: Vec<Network>,
    /// The IPv4 address under which hosts beyond `local` reach us, when it is not our own.
    pub external_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub external_v6: Option<Ipv6Addr>,
    /// The local address that lies behind the address translator, when known: the one the default route leaves by. Packets
    /// that leave by another (a VPN's) never meet the translator, so the external address would be wrong for their
    /// receiver. Without it every route out of `local` counts as leading through the translator.
    pub outer_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub outer_v6: Option<Ipv6Addr>,
}

impl AddressPolicy {
    /// What the peer at `peer` is told, when packets to him leave by the local address `route`.
    ///
    /// `seen_as` is how this peer himself said that he sees us. It is believed for him alone and beats every other rule, for
    /// nobody knows better where his packets find us: a VPN that renames hosts, an external address gone stale, a container
    /// behind its host. It changes nothing when it is what he would be told anyway.
    #[must_use]
    pub fn told(&self, peer: IpAddr, route: IpAddr, seen_as: Option<IpAddr>) -> Told {
        let (peer, route) = (peer.to_canonical(), route.to_canonical());
        if let Some(seen) = seen_as.map(|seen| seen.to_canonical())
            && seen != route
            && seen.is_ipv4() == route.is_ipv4()
            && usable(seen)
            && self.external_towards(route) != Some(seen)
        {
            return Told { address: seen, because: Because::AsSeenByPeer };
        }
        if self.local.iter().any(|network| network.contains(peer)) {
            return Told { address: route, because: Because::PeerIsLocal };
        }
        if self.external_v4.is_none() && self.external_v6.is_none() {
            return Told { address: route, because: Because::NoExternal };
        }
        if !self.leaves_by_the_outer_address(route) {
            return Told { address: route, because: Because::AnotherInterface };
        }
        match self.external_towards(route) {
            Some(address) => Told { address, because: Because::BeyondLocal },
            None => Told { address: route, because: Because::OtherFamily },
        }
    }

    fn external_towards(&self, route: IpAddr) -> Option<IpAddr> {
        match route {
            IpAddr::V4(_) => self.external_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.external_v6.map(IpAddr::V6),
        }
    }

    fn leaves_by_the_outer_address(&self, route: IpAddr) -> bool {
        match route {
            IpAddr::V4(route) => self.outer_v4.is_none_or(|outer| outer == route),
            IpAddr::V6(route) => self.outer_v6.is_none_or(|outer| outer == route),
        }
    }
}

/// An address a peer is told, and the rule that chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The address.
    pub address: IpAddr,
    /// Why this one.
    pub because: Because,
}

/// The rule that chose an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Because {
    /// The peer's address is in one of the `local` networks: he reaches us where his packets come from.
    PeerIsLocal,
    /// No external address is configured or known, so the address the route leaves by is all there is.
    NoExternal,
    /// An external address is known only for the other family of addresses.
    OtherFamily,
    /// The route leaves by an address that is not behind the translator, for instance that of a VPN.
    AnotherInterface,
    /// The peer is beyond `local` and the route leads through the translator: he is told the external address.
    BeyondLocal,
    /// The peer himself said that he sees us under this address.
    AsSeenByPeer,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerIsLocal => "the peer is in a local network",
            Self::NoExternal => "no external address is known",
            Self::OtherFamily => "the external address is of the other address family",
            Self::AnotherInterface => {
                "the route leaves by an interface of its own, not through the address translator"
            }
            Self::BeyondLocal => "the peer is beyond the local networks",
            Self::AsSeenByPeer => "the peer says that he sees us there",
        })
    }
}

/// Whether an address can be sent to as one host.
fn usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
    }
}

/// A network in prefix notation (RFC 4632 §3.1, RFC 4291 §2.3): an address and how many of its bits count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix_length: u8,
}

impl Network {
    /// The private and link-local networks of both families and the loopback networks (RFC 1918, 3927, 4193, 4291): what is
    /// local unless an operator says otherwise. The shared space of RFC 6598 (100.64.0.0/10) is not among them: carriers
    /// and VPNs use it.
    pub const PRIVATE: [Self; 8] = [
        Self { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), prefix_length: 8 },
        Self { address: IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), prefix_length: 12 },
        Self { address: IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), prefix_length: 16 },
        Self { address: IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), prefix_length: 16 },
        Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix_length: 8 },
        Self { address: IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), prefix_length: 7 },
        Self { address: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), prefix_length: 10 },
        Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix_length: 128 },
    ];

    /// The network of `prefix_length` leading bits of `address`; the other bits are cleared. `None` when the address has
    /// fewer bits than that.
    #[must_use]
    pub fn new(address: IpAddr, prefix_length: u8) -> Option<Self> {
        let masked = match address {
            IpAddr::V4(v4) if prefix_length <= 32 => IpAddr::V4(Ipv4Addr::from_bits(
                v4.to_bits() & mask(u128::from(u32::MAX), 32, prefix_length) as u32,
            )),
            IpAddr::V6(v6) if prefix_length <= 128 => {
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask(u128::MAX, 128, prefix_length)))
            }
            _ => return None,
        };
        Some(Self { address: masked, prefix_length })
    }

    /// The network of one host.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self { address, prefix_length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether `address` is in the network. An IPv4 address in its IPv6 clothing (`::ffff:10.0.0.1`) is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && Self::new(address, self.prefix_length).is_some_and(|network| network.address == self.address)
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits count, 0 to 32 or 128.
    #[must_use]
    pub fn prefix_length(&self) -> u8 {
        self.prefix_length
    }
}

/// `all` (of `width` bits) with only the first `kept` bits left.
fn mask(all: u128, width: u8, kept: u8) -> u128 {
    all & all.checked_shl(u32::from(width - kept)).unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_length)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `10.0.0.0/8`, `fd00::/8`, or one address. Bits beyond the prefix must be zero: `192.168.1.5/24` is more often a slip of
/// the pen than a wish.
impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = |fault| ParseNetworkError { text: text.to_owned(), fault };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| fault(NetworkFault::NotAnAddress))?;
        let Some(length) = length else { return Ok(Self::host(address)) };
        let length: u8 = length.trim().parse().map_err(|_| fault(NetworkFault::NotALength))?;
        let network = Self::new(address, length).ok_or_else(|| fault(NetworkFault::TooLong))?;
        if network.address == address { Ok(network) } else { Err(fault(NetworkFault::HostBits(network))) }
    }
}

/// Why a text is not a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseNetworkError {
    text: String,
    fault: NetworkFault,
}

/// What is wrong with a network's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkFault {
    /// What stands before the `/` is no IP address.
    NotAnAddress,
    /// What stands after the `/` is no number from 0 to 255.
    NotALength,
    /// The prefix is longer than the address.
    TooLong,
    /// Bits beyond the prefix are set; this network was probably meant.
    HostBits(Network),
}

impl ParseNetworkError {
    /// The text that could not be read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong with it.
    #[must_use]
    pub fn fault(&self) -> NetworkFault {
        self.fault
    }
}

impl fmt::Display for ParseNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match self.fault {
            NetworkFault::NotAnAddress => {
                write!(f, "`{text}` is not a network: expected an IP address, or one with `/` and a length")
            }
            NetworkFault::NotALength => write!(f, "`{text}`: expected a number of bits after `/`"),
            NetworkFault::TooLong => write!(f, "`{text}`: the address has fewer bits than the prefix"),
            NetworkFault::HostBits(network) => {
                write!(f, "`{text}` has bits set beyond the prefix: the network is {network}")
            }
        }
    }
}

impl std::error::Error for ParseNetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn policy() -> AddressPolicy {
        AddressPolicy {
            local: vec!["192.168.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()],
            external_v4: Some(Ipv4Addr::new(203, 0, 113, 9)),
            external_v6: None,
            outer_v4: Some(Ipv4Addr::new(192, 168, 1, 2)),
            outer_v6: None,
        }
    }

    #[test]
    fn a_phone_in_the_house_hears_the_house_address() {
        let told = policy().told(ip("192.168.1.77"), ip("192.168.1.2"), None);
        assert_eq!((told.address, told.because), (ip("192.168.1.2"), Because::PeerIsLocal));
    }

    #[test]
    fn a_phone_beyond_hears_the_external_address() {
        let told = policy().told(ip("198.51.100.7"), ip("192.168.1.2"), None);
        assert_eq!((told.address, told.because), (ip("203.0.113.9"), Because::BeyondLocal));
    }

    #[test]
    fn a_trunk_over_the_vpn_hears_the_vpn_address() {
        let told = policy().told(ip("100.110.206.106"), ip("100.110.20.5"), None);
        assert_eq!((told.address, told.because), (ip("100.110.20.5"), Because::AnotherInterface));
    }

    #[test]
    fn a_vpn_that_renames_us_is_believed_for_this_peer() {
        let told = policy().told(ip("100.110.206.106"), ip("100.110.20.5"), Some(ip("100.70.33.7")));
        assert_eq!((told.address, told.because), (ip("100.70.33.7"), Because::AsSeenByPeer));
        let same = policy().told(ip("100.110.206.106"), ip("100.110.20.5"), Some(ip("100.110.20.5")));
        assert_eq!(same.because, Because::AnotherInterface);
    }

    #[test]
    fn the_router_seen_from_outside_confirms_and_changes_nothing() {
        let told = policy().told(ip("198.51.100.7"), ip("192.168.1.2"), Some(ip("203.0.113.9")));
        assert_eq!(told.because, Because::BeyondLocal);
        let stale = policy().told(ip("198.51.100.7"), ip("192.168.1.2"), Some(ip("203.0.113.10")));
        assert_eq!(
            (stale.address, stale.because),
            (ip("203.0.113.10"), Because::AsSeenByPeer),
            "external was stale"
        );
    }

    #[test]
    fn an_address_of_the_other_family_or_of_nobody_is_not_told() {
        let v6 = policy().told(ip("2001:db8::1"), ip("2001:db8::2"), Some(ip("203.0.113.9")));
        assert_eq!((v6.address, v6.because), (ip("2001:db8::2"), Because::OtherFamily));
        let nobody = policy().told(ip("192.168.1.77"), ip("192.168.1.2"), Some(ip("0.0.0.0")));
        assert_eq!(nobody.because, Because::PeerIsLocal);
    }

    #[test]
    fn without_external_address_the_route_decides() {
        let told = AddressPolicy::default().told(ip("198.51.100.7"), ip("192.0.2.1"), None);
        assert_eq!((told.address, told.because), (ip("192.0.2.1"), Because::NoExternal));
    }

    #[test]
    fn networks_are_read_and_written() {
        for text in ["10.0.0.0/8", "fd00::/8", "0.0.0.0/0", "::/0", "192.0.2.1/32"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        assert!("::/0".parse::<Network>().unwrap().contains(ip("2001:db8::1")));
        assert!(!"::/0".parse::<Network>().unwrap().contains(ip("10.0.0.1")));
        assert!("10.0.0.0/8".parse::<Network>().unwrap().contains(ip("::ffff:10.1.2.3")));
        let fault = |text: &str| text.parse::<Network>().unwrap_err().fault();
        assert_eq!(fault("10.0.0/8"), NetworkFault::NotAnAddress);
        assert_eq!(fault("10.0.0.0/x"), NetworkFault::NotALength);
        assert_eq!(fault("10.0.0.0/33"), NetworkFault::TooLong);
        assert_eq!(fault("192.168.1.5/24"), NetworkFault::HostBits("192.168.1.0/24".parse().unwrap()));
    }
}
