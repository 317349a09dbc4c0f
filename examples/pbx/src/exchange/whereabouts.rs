//! Where this exchange is, as each peer should see it: routes asked of the system, the external address, and what peers
//! say they see (`received=` in our own Via).
//!
//! Nothing can be told to a peer before the route to him is known, so [`Whereabouts::of`] answers `None` until then, and
//! its owner asks. Routes are believed for a few seconds only: a VPN that comes up changes them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use denwa::address::{AddressPolicy, Because};

/// How long a route is believed.
const ROUTE_LIFE: Duration = Duration::from_secs(10);

/// How many peers are remembered; beyond it those asked about longest ago are forgotten.
const MOST_PEERS: usize = 20_000;

/// What is known of our own addresses.
#[derive(Debug)]
pub(super) struct Whereabouts {
    policy: AddressPolicy,
    /// The same for peers on this very machine: the loopback is no interface of its own beside the translator.
    loopback_policy: AddressPolicy,
    routes: HashMap<IpAddr, Route>,
    seen_as: HashMap<IpAddr, (Instant, (IpAddr, Option<u16>))>,
}

#[derive(Clone, Debug)]
struct Route {
    /// `None`: the system knows no way.
    way: Option<Way>,
    asked_at: Instant,
}

/// By which way packets leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The local address.
    pub(super) local: IpAddr,
    /// The interface's name; empty when the system does not say.
    pub(super) interface: Arc<str>,
}

impl Way {
    /// Whether packets leave by another interface, as far as the system says.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        if self.interface.is_empty() || other.interface.is_empty() {
            return self.local != other.local;
        }
        self.interface != other.interface
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.interface.is_empty() {
            write!(f, "{}", self.local)
        } else {
            write!(f, "{} ({})", self.interface, self.local)
        }
    }
}

/// What one peer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The address for Contact, Via and SDP.
    pub(super) told: IpAddr,
    /// Why this one.
    pub(super) because: Because,
    /// The port for Contact and Via when it differs from the one we listen on.
    pub(super) sip_port: Option<u16>,
    /// By which way packets to him leave.
    pub(super) way: Way,
}

/// The system knows no way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoWay;

impl Whereabouts {
    pub(super) fn new(policy: AddressPolicy) -> Self {
        Self { loopback_policy: policy.clone(), policy, routes: HashMap::new(), seen_as: HashMap::new() }
    }

    /// The networks whose members are told the address that the route to them leaves by have changed.
    pub(super) fn set_local(&mut self, local: Vec<denwa::address::Network>) {
        self.policy.local.clone_from(&local);
        self.loopback_policy.local = local;
    }

    /// What the peer at `peer` is told; `None` while the route to him has to be asked for.
    pub(super) fn of(&self, peer: IpAddr, now: Instant) -> Option<Result<Place, NoWay>> {
        let peer = peer.to_canonical();
        let route = self.routes.get(&peer)?;
        if now.saturating_duration_since(route.asked_at) > ROUTE_LIFE {
            return None;
        }
        let Some(way) = &route.way else { return Some(Err(NoWay)) };
        let seen = self.seen_as.get(&peer).map(|(_, seen)| *seen);
        let told = self.policy_towards(way.local).told(peer, way.local, seen.map(|(ip, _)| ip));
        let sip_port = seen.filter(|_| told.because == Because::AsSeenByPeer).and_then(|(_, port)| port);
        Some(Ok(Place { told: told.address, because: told.because, sip_port, way: way.clone() }))
    }

    /// The system's answer about the route to a peer.
    pub(super) fn routed(&mut self, peer: IpAddr, way: Option<Way>, now: Instant) {
        if self.routes.len() >= MOST_PEERS {
            self.routes.retain(|_, route| now.saturating_duration_since(route.asked_at) <= ROUTE_LIFE);
        }
        if self.routes.len() >= MOST_PEERS {
            // All of them are in use within seconds: forgetting them only means asking again.
            self.routes.clear();
        }
        let way = way.map(|way| Way { local: way.local.to_canonical(), ..way });
        self.routes.insert(peer.to_canonical(), Route { way, asked_at: now });
    }

    /// A peer said where he sees us. Tells whether that is news.
    pub(super) fn seen_as(&mut self, peer: IpAddr, seen: IpAddr, port: Option<u16>, now: Instant) -> bool {
        let peer = peer.to_canonical();
        if self.seen_as.len() >= MOST_PEERS
            && !self.seen_as.contains_key(&peer)
            && let Some(oldest) =
                self.seen_as.iter().min_by_key(|(peer, (at, _))| (*at, **peer)).map(|(peer, _)| *peer)
        {
            self.seen_as.remove(&oldest);
        }
        let seen = (seen.to_canonical(), port);
        self.seen_as.insert(peer, (now, seen)).is_none_or(|(_, before)| before != seen)
    }

    /// The external address of a family was learned (or, with `None`, is not known any more); `outer` is the local address
    /// that leads there. Tells whether that is news.
    pub(super) fn external(&mut self, external: Option<IpAddr>, outer: Option<IpAddr>) -> bool {
        let before = self.policy.clone();
        match external {
            Some(IpAddr::V4(external)) => self.policy.external_v4 = Some(external),
            Some(IpAddr::V6(external)) => self.policy.external_v6 = Some(external),
            None => {
                self.policy.external_v4 = None;
                self.policy.external_v6 = None;
            }
        }
        match outer {
            Some(IpAddr::V4(outer)) => self.policy.outer_v4 = Some(outer),
            Some(IpAddr::V6(outer)) => self.policy.outer_v6 = Some(outer),
            None => {}
        }
        self.loopback_policy = AddressPolicy { outer_v4: None, outer_v6: None, ..self.policy.clone() };
        self.policy != before
    }

    fn policy_towards(&self, local: IpAddr) -> &AddressPolicy {
        if local.is_loopback() { &self.loopback_policy } else { &self.policy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn way(local: &str) -> Option<Way> {
        Some(Way { local: ip(local), interface: Arc::from("") })
    }

    fn whereabouts() -> Whereabouts {
        Whereabouts::new(AddressPolicy {
            local: vec!["192.168.0.0/16".parse().unwrap()],
            ..AddressPolicy::default()
        })
    }

    #[test]
    fn nothing_is_told_before_the_route_is_known_and_routes_grow_old() {
        let now = Instant::now();
        let mut places = whereabouts();
        assert_eq!(places.of(ip("192.168.1.7"), now), None);
        places.routed(ip("192.168.1.7"), way("192.168.1.2"), now);
        let place = places.of(ip("192.168.1.7"), now).unwrap().unwrap();
        assert_eq!((place.told, place.because), (ip("192.168.1.2"), Because::PeerIsLocal));
        assert!(places.of(ip("192.168.1.7"), now + ROUTE_LIFE).is_some());
        assert_eq!(places.of(ip("192.168.1.7"), now + ROUTE_LIFE * 2), None);
        places.routed(ip("192.168.1.7"), None, now);
        assert_eq!(places.of(ip("192.168.1.7"), now), Some(Err(NoWay)));
    }

    #[test]
    fn three_peers_three_addresses() {
        let now = Instant::now();
        let mut places = whereabouts();
        assert!(places.external(Some(ip("203.0.113.9")), Some(ip("192.168.1.2"))));
        assert!(!places.external(Some(ip("203.0.113.9")), Some(ip("192.168.1.2"))));
        places.routed(ip("192.168.1.7"), way("192.168.1.2"), now);
        places.routed(ip("198.51.100.7"), way("192.168.1.2"), now);
        places.routed(ip("100.110.206.106"), way("100.110.20.5"), now);
        let told = |peer| places.of(ip(peer), now).unwrap().unwrap().told;
        assert_eq!(told("192.168.1.7"), ip("192.168.1.2"), "a telephone in `local`");
        assert_eq!(told("198.51.100.7"), ip("203.0.113.9"), "a telephone beyond it");
        assert_eq!(told("100.110.206.106"), ip("100.110.20.5"), "a trunk over the VPN");
    }

    #[test]
    fn a_peer_that_sees_us_elsewhere_is_believed_for_himself() {
        let now = Instant::now();
        let mut places = whereabouts();
        places.routed(ip("100.110.206.106"), way("100.110.20.5"), now);
        assert!(places.seen_as(ip("100.110.206.106"), ip("100.70.33.7"), Some(5060), now));
        assert!(!places.seen_as(ip("100.110.206.106"), ip("100.70.33.7"), Some(5060), now));
        let place = places.of(ip("100.110.206.106"), now).unwrap().unwrap();
        assert_eq!((place.told, place.sip_port), (ip("100.70.33.7"), Some(5060)));
        assert_eq!(place.because, Because::AsSeenByPeer);
    }
}
