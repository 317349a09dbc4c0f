//! What a STUN and TURN server is started with, and what stands in for what nobody said.

use crate::address::Network;
use crate::port_set::PortSet;
use crate::tokio::listen::bind_udp;
use crate::tokio::{Listen, StreamLimits, Tls, own_addresses};
use denwa_ice::turn::server::{
    CredentialSource, OwnPorts, PeerPolicy, Prefix, RelayRange, ServerConfig, ServerLimits,
};
use denwa_sip_core::Protocol;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a STUN and TURN server is started with. [`TurnServerConfig::new`] fills everything but the credentials.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TurnServerConfig {
    /// Where to listen, over UDP, TCP and TLS ([`Listen::for_turn`] reads them); empty: UDP and TCP on port 3478 of every
    /// address of each family that this host has.
    pub listen: Vec<Listen>,
    /// The realm of its users. Default `denwa`.
    pub realm: String,
    /// Who may have ports relayed. Everybody may ask for his own address.
    pub credentials: CredentialSource,
    /// The ports that are relayed. Default 50000 to 50999.
    pub ports: PortSet,
    /// Addresses of this host to relay on; empty: those by which packets to the world leave.
    pub relay: Vec<IpAddr>,
    /// What clients are told instead of the address of `relay` of the same family: the router's, where there is one.
    pub external: Vec<IpAddr>,
    /// Networks that are relayed to although they are inner ones, loopback included.
    pub peers: Vec<Network>,
    /// The program's own media ports: to these clients may have data relayed, though they are on this host; to nothing else on
    /// it. The relayed ports are always among them.
    pub own_ports: PortSet,
    /// What clients can grow.
    pub limits: ServerLimits,
    /// What connections may cost.
    pub streams: StreamLimits,
    /// Needed to listen for `tls:`, with a certificate.
    pub tls: Option<Tls>,
}

impl TurnServerConfig {
    /// A server for these users, with everything else as usual.
    #[must_use]
    pub fn new(credentials: CredentialSource) -> Self {
        Self {
            listen: Vec::new(),
            realm: "denwa".to_owned(),
            credentials,
            ports: PortSet::from_ranges([50_000..=50_999]),
            relay: Vec::new(),
            external: Vec::new(),
            peers: Vec::new(),
            own_ports: PortSet::EMPTY,
            limits: ServerLimits::default(),
            streams: StreamLimits::default(),
            tls: None,
        }
    }

    /// Where to listen, with what stands in for nothing said.
    pub(super) fn listen(&self) -> Vec<Listen> {
        if !self.listen.is_empty() {
            return self.listen.clone();
        }
        let families: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        let here = |any: &IpAddr| any.is_ipv4() || bind_udp((Ipv6Addr::LOCALHOST, 0).into()).is_ok();
        let both = |any: IpAddr| {
            let address = SocketAddr::new(any, STUN_PORT);
            [Protocol::Udp, Protocol::Tcp].map(|protocol| Listen { protocol, address })
        };
        families.into_iter().filter(here).flat_map(both).collect()
    }

    /// The addresses to relay on, each with the one that clients are told.
    pub(super) fn relays(&self) -> Vec<RelayRange> {
        let local = if self.relay.is_empty() { own_addresses() } else { self.relay.clone() };
        let told = |local: IpAddr| {
            let external = self.external.iter().find(|external| external.is_ipv4() == local.is_ipv4());
            external.copied().unwrap_or(local)
        };
        let ports = self.ports.ranges();
        local
            .into_iter()
            .map(|local| RelayRange { local, external: told(local), ports: ports.to_vec() })
            .collect()
    }

    pub(super) fn server(&self, relays: Vec<RelayRange>) -> ServerConfig {
        let open = self.own_ports.union(&self.ports);
        let own = relays.iter().flat_map(|relay| [relay.local, relay.external]);
        let own = own.map(|address| OwnPorts { address, ports: open.ranges().to_vec() }).collect();
        let allowed = self.peers.iter().map(|peers| Prefix::new(peers.address(), peers.prefix_length()));
        let mut config = ServerConfig::new(&self.realm, self.credentials.clone(), relays);
        config.peers = PeerPolicy { allowed: allowed.collect(), own, ..PeerPolicy::default() };
        config.limits = self.limits;
        config.limits.streams = self.streams.streams;
        config
    }
}

/// The port of STUN and TURN (RFC 8489 §18.6).
const STUN_PORT: u16 = 3478;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_whom_only_the_users_are_known_listens_where_everybody_looks() {
        let config = TurnServerConfig::new(CredentialSource::Nobody);
        let listen: Vec<String> = config.listen().iter().map(ToString::to_string).collect();
        assert!(listen.starts_with(&["udp:0.0.0.0:3478".to_owned(), "tcp:0.0.0.0:3478".to_owned()]));
        assert!(!config.relays().is_empty());
    }

    #[test]
    fn clients_are_told_the_routers_address_of_the_same_family() {
        let mut config = TurnServerConfig::new(CredentialSource::Nobody);
        config.relay = vec!["192.168.1.5".parse().unwrap(), "2001:db8::5".parse().unwrap()];
        config.external = vec!["203.0.113.5".parse().unwrap()];
        let told: Vec<String> = config.relays().iter().map(|relay| relay.external.to_string()).collect();
        assert_eq!(told, ["203.0.113.5", "2001:db8::5"]);
        let policy = config.server(config.relays()).peers;
        assert!(policy.permits_port("192.168.1.5:50000".parse().unwrap()));
        assert!(!policy.permits_port("203.0.113.5:22".parse().unwrap()));
    }
}
