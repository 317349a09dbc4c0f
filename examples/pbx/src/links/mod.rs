//! Neighbours: trunks that are known by their addresses, or by the password they register with; and where those addresses are
//! when they are names.
//!
//! A call comes from a trunk when its packets come from an address of the trunk and, on UDP, its port, or when its sender
//! has shown the trunk's password; nothing else in a message can make a stranger a neighbour.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use denwa_sip_core::auth::secret::{Ha1Set, Secret};
use denwa_sip_core::endpoint::Target;
use denwa_sip_core::transport;

use crate::config::{Finding, Host, PeerAddress, Protocol, Trunk};

/// The trunks of this exchange.
#[derive(Clone, Debug, Default)]
pub struct Links {
    links: Vec<Link>,
}

/// Where a server is, by a transport.
pub type Place = (Protocol, SocketAddr);

/// One trunk.
#[derive(Clone, Debug)]
pub struct Link {
    /// What the configuration says of it.
    pub trunk: Trunk,
    /// Its servers, in the order of the file, with the places that each has at present, the best first.
    servers: Vec<(PeerAddress, Vec<Place>)>,
    /// The same of the proxy before them.
    proxy: Option<(PeerAddress, Vec<Place>)>,
    /// Where nothing answered last time.
    silent: BTreeSet<SocketAddr>,
    /// What it must show that calls by its password.
    secret: Option<Secret>,
}

/// One way to a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The transport.
    pub protocol: Protocol,
    /// Where packets go.
    pub peer: SocketAddr,
    /// The server's host and port as request lines name it.
    pub host: String,
    /// The proxy before it, as a Route.
    pub route: Option<String>,
    /// The name that its certificate must prove, when it speaks TLS and is known by one.
    pub name: Option<String>,
}

impl Hop {
    /// Where requests go.
    pub fn target(&self) -> Target {
        let Self { protocol, peer, .. } = *self;
        match &self.name {
            Some(name) if matches!(protocol, Protocol::Tls | Protocol::Wss) => {
                let server_name = Some(name.as_str().into());
                Target::Hops(vec![transport::Hop { protocol, remote: peer, server_name }])
            }
            _ => Target::address(protocol, peer),
        }
    }
}

/// The name of a host that is no address.
fn name_of(address: &PeerAddress) -> Option<String> {
    match &address.host {
        Host::Name(name) => Some(name.clone()),
        Host::Address(_) => None,
    }
}

impl Links {
    /// Trunks whose names have not been looked up yet; their own passwords are hashed for `realm`.
    pub fn new(trunks: &[Trunk], realm: &str) -> Self {
        let link = |trunk: &Trunk| Link {
            servers: trunk.servers.iter().map(placed).collect(),
            proxy: trunk.outbound_proxy.as_ref().map(placed),
            silent: BTreeSet::new(),
            secret: trunk.inbound.as_ref().map(|inbound| {
                Secret::Ha1(Ha1Set::of_password(&inbound.user, realm, inbound.password.reveal()))
            }),
            trunk: trunk.clone(),
        };
        Self { links: trunks.iter().map(link).collect() }
    }

    /// The trunks of a changed file, with the addresses that their names are known to have.
    pub fn succeeded_by(&self, trunks: &[Trunk], realm: &str) -> Self {
        let mut links = Self::new(trunks, realm);
        for address in links.names() {
            let known = self.links.iter().flat_map(Link::places).find(|(own, _)| *own == address);
            if let Some((_, known)) = known.filter(|(_, known)| !known.is_empty()) {
                links.learn(&address, known);
            }
        }
        links
    }

    /// The trunk that packets from `remote` belong to.
    pub fn from(&self, protocol: Protocol, remote: SocketAddr) -> Option<&Link> {
        self.links.iter().find(|link| {
            link.places().flat_map(|(_, places)| places).any(|(own, place)| {
                *own == protocol
                    && (protocol.is_stream() || place.port() == remote.port())
                    && place.ip() == remote.ip().to_canonical()
            })
        })
    }

    /// The trunk of a name.
    pub fn get(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.trunk.name == name)
    }

    /// The trunk that registers and calls as this user.
    pub fn by_user(&self, user: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.trunk.inbound.as_ref().is_some_and(|inbound| inbound.user == user))
    }

    /// What the DNS has to be asked, each once: servers behind a proxy are the proxy's business.
    pub fn names(&self) -> Vec<PeerAddress> {
        let mut names: Vec<PeerAddress> = Vec::new();
        for (address, _) in self.links.iter().flat_map(Link::nearest) {
            if matches!(address.host, Host::Name(_)) && !names.contains(address) {
                names.push(address.clone());
            }
        }
        names
    }

    /// The places that a name has now. Tells whether that is news; another order, which weights draw anew each time, is none.
    pub fn learn(&mut self, name: &PeerAddress, places: &[Place]) -> bool {
        let mut news = false;
        for (_, known) in self.links.iter_mut().flat_map(Link::places_mut).filter(|(own, _)| own == name) {
            let sorted = |places: &[Place]| places.iter().copied().collect::<BTreeSet<_>>();
            news |= sorted(known) != sorted(places);
            *known = places.to_vec();
        }
        news
    }

    /// Whether something at an address answers. Ways that do not are tried last.
    pub fn answers(&mut self, trunk: &str, peer: SocketAddr, answers: bool) {
        if let Some(link) = self.links.iter_mut().find(|link| link.trunk.name == trunk) {
            if answers {
                link.silent.remove(&peer)
            } else {
                link.silent.insert(peer)
            };
        }
    }

    /// Every trunk.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.iter()
    }
}

fn placed(address: &PeerAddress) -> (PeerAddress, Vec<Place>) {
    let places = match &address.host {
        Host::Address(ip) => vec![(address.protocol, SocketAddr::new(*ip, address.port))],
        Host::Name(_) => Vec::new(),
    };
    (address.clone(), places)
}

impl Link {
    /// What packets to it go to: its proxy, or its servers.
    fn nearest(&self) -> &[(PeerAddress, Vec<Place>)] {
        self.proxy.as_ref().map_or(self.servers.as_slice(), std::slice::from_ref)
    }

    fn places(&self) -> impl Iterator<Item = &(PeerAddress, Vec<Place>)> {
        self.servers.iter().chain(&self.proxy)
    }

    fn places_mut(&mut self) -> impl Iterator<Item = &mut (PeerAddress, Vec<Place>)> {
        self.servers.iter_mut().chain(&mut self.proxy)
    }

    /// What it must show that calls by its password.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// The number that a call from it reaches: the one it asks for, or the one that is meant when it asks for our account or
    /// for nothing that is `known`.
    pub fn number_asked_for(&self, dialled: String, known: impl Fn(&str) -> bool) -> String {
        let is_account = self.trunk.account.as_ref().is_some_and(|account| account.user == dialled);
        match &self.trunk.incoming {
            Some(incoming) if is_account || !known(&dialled) => incoming.clone(),
            _ => dialled,
        }
    }

    /// The ways to it, the best first: in the order of the file, those where nothing answered last time at the end.
    pub fn hops(&self) -> Vec<Hop> {
        let mut hops = Vec::new();
        for (server, places) in &self.servers {
            match &self.proxy {
                Some((proxy, through)) => hops.extend(through.iter().map(|(protocol, peer)| Hop {
                    protocol: *protocol,
                    peer: *peer,
                    host: server.named(),
                    route: Some(format!("<sip:{};lr{}>", proxy.named(), transport_parameter(*protocol))),
                    name: name_of(proxy),
                })),
                None => hops.extend(places.iter().map(|(protocol, peer)| Hop {
                    protocol: *protocol,
                    peer: *peer,
                    // Whom the DNS serves as a domain is asked as one; any of its servers knows its name.
                    host: match server.finding {
                        Finding::Addresses => peer.to_string(),
                        Finding::Services | Finding::Domain => server.named(),
                    },
                    route: None,
                    name: name_of(server),
                })),
            }
        }
        hops.sort_by_key(|hop| self.silent.contains(&hop.peer));
        hops
    }

    /// Where a call to it goes; `None` while its name has no address.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.hops().first().map(|hop| hop.peer)
    }

    /// Everywhere it may be.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.places().flat_map(|(_, places)| places).map(|(_, place)| place.ip())
    }
}

/// What a URI says of its transport, behind its host.
fn transport_parameter(protocol: Protocol) -> String {
    if protocol.is_stream() { format!(";transport={}", protocol.uri_token()) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn links() -> Links {
        let text = "[[trunks]]\nname = \"a\"\naddress = \"udp:192.0.2.1:5070\"\n\
                    [[trunks]]\nname = \"b\"\naddress = \"tcp:192.0.2.1\"\n\
                    [[trunks]]\nname = \"c\"\naddress = \"udp:pbx.example\"\n";
        Links::new(&Config::parse(text).unwrap().trunks, "pbx.example")
    }

    fn from(links: &Links, protocol: Protocol, remote: &str) -> Option<String> {
        links.from(protocol, remote.parse().unwrap()).map(|link| link.trunk.name.clone())
    }

    #[test]
    fn a_neighbour_is_its_address_and_on_udp_its_port() {
        let links = links();
        assert_eq!(from(&links, Protocol::Udp, "192.0.2.1:5070").as_deref(), Some("a"));
        assert_eq!(from(&links, Protocol::Udp, "[::ffff:192.0.2.1]:5070").as_deref(), Some("a"));
        assert_eq!(from(&links, Protocol::Udp, "192.0.2.1:5060"), None);
        assert_eq!(from(&links, Protocol::Udp, "192.0.2.2:5070"), None);
        assert_eq!(from(&links, Protocol::Tcp, "192.0.2.1:40000").as_deref(), Some("b"));
    }

    #[test]
    fn a_name_is_nobody_until_it_has_an_address() {
        let mut links = links();
        let names = links.names();
        assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["udp:pbx.example"]);
        assert_eq!(links.get("c").unwrap().destination(), None);
        assert_eq!(from(&links, Protocol::Udp, "198.51.100.1:5060"), None);
        let mut places = ["198.51.100.1:5060", "[2001:db8::1]:5060"]
            .map(|text| (Protocol::Udp, text.parse::<SocketAddr>().unwrap()));
        assert!(links.learn(&names[0], &places));
        assert!(!links.learn(&names[0], &places));
        assert_eq!(from(&links, Protocol::Udp, "198.51.100.1:5060").as_deref(), Some("c"));
        assert_eq!(from(&links, Protocol::Udp, "[2001:db8::1]:5060").as_deref(), Some("c"));
        assert_eq!(links.get("c").unwrap().destination(), Some("198.51.100.1:5060".parse().unwrap()));
        // Weights draw another order each time; that is no news, but it counts.
        places.reverse();
        assert!(!links.learn(&names[0], &places));
        let hops = links.get("c").unwrap().hops();
        assert_eq!(hops[0].peer, places[0].1);
        assert_eq!(hops[0].host, "pbx.example", "a domain is asked by its name");
    }

    #[test]
    fn further_servers_follow_and_what_is_silent_comes_last() {
        let text = "[[trunks]]\nname = \"a\"\naddress = \"udp:192.0.2.1\"\nservers = [\"udp:192.0.2.2\", \"tcp:192.0.2.3:60\"]\n";
        let mut links = Links::new(&Config::parse(text).unwrap().trunks, "pbx.example");
        let order = |links: &Links| -> Vec<String> {
            links.get("a").unwrap().hops().into_iter().map(|hop| hop.host).collect()
        };
        assert_eq!(order(&links), ["192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.3:60"]);
        links.answers("a", "192.0.2.1:5060".parse().unwrap(), false);
        assert_eq!(order(&links), ["192.0.2.2:5060", "192.0.2.3:60", "192.0.2.1:5060"]);
        links.answers("a", "192.0.2.1:5060".parse().unwrap(), true);
        assert_eq!(order(&links)[0], "192.0.2.1:5060");
        for server in ["192.0.2.1:5060", "192.0.2.2:5060"] {
            assert_eq!(from(&links, Protocol::Udp, server).as_deref(), Some("a"));
        }
    }

    #[test]
    fn through_a_proxy_everything_goes_there_and_comes_from_there() {
        let text =
            "[[trunks]]\nname = \"a\"\naddress = \"udp:sip.example\"\noutbound_proxy = \"tcp:192.0.2.9\"\n";
        let links = Links::new(&Config::parse(text).unwrap().trunks, "pbx.example");
        let hops = links.get("a").unwrap().hops();
        assert_eq!(hops[0].peer.to_string(), "192.0.2.9:5060");
        assert_eq!(hops[0].host, "sip.example");
        assert_eq!(hops[0].route.as_deref(), Some("<sip:192.0.2.9:5060;lr;transport=tcp>"));
        assert_eq!(from(&links, Protocol::Tcp, "192.0.2.9:40000").as_deref(), Some("a"));
    }
}
