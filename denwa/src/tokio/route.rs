//! By which address and interface would a packet leave? The kernel knows; connecting a UDP socket asks it without a packet.

use denwa_sip_core::io::RouteInfo;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The local address, and the name of its interface, by which a packet to `destination` would leave; `None` when there is no
/// route.
#[must_use]
pub fn route_to(destination: SocketAddr) -> Option<RouteInfo> {
    let any: IpAddr = match destination {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Port 0 cannot be connected to, and the route does not depend on it.
    let port = if destination.port() == 0 { 9 } else { destination.port() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(destination.ip(), port)).ok()?;
    let local = socket.local_addr().ok()?.ip();
    let interface = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .find(|interface| interface.ip() == local)
        .map(|interface| interface.name.into())
        .unwrap_or_default();
    Some(RouteInfo { local, interface })
}

/// The addresses of this host by which packets to the world leave, or else loopback's.
pub fn own_addresses() -> Vec<IpAddr> {
    // Documentation addresses (RFC 5737, RFC 3849): the question sends nothing.
    let world: [SocketAddr; 2] =
        [SocketAddr::from(([192, 0, 2, 1], 9)), SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9))];
    let mut own: Vec<IpAddr> = world.into_iter().filter_map(route_to).map(|route| route.local).collect();
    if own.is_empty() {
        own.push(Ipv4Addr::LOCALHOST.into());
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_by_loopback() {
        let route = route_to(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        assert!(route.local.is_loopback());
        assert!(!route.interface.is_empty());
    }
}
