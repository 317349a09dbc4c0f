//! Neighbours: trunks that are known by their address, and where that address is when it is a name.
//!
//! A call comes from a trunk when its packets come from the trunk's address and, on UDP, its port; nothing in the message
//! can make a stranger a neighbour.

use std::net::{IpAddr, SocketAddr};

use crate::config::{Host, Protocol, Trunk};

/// The trunks of this exchange.
#[derive(Clone, Debug, Default)]
pub struct Links {
    links: Vec<Link>,
}

/// One trunk.
#[derive(Clone, Debug)]
pub struct Link {
    /// What the configuration says of it.
    pub trunk: Trunk,
    /// Its addresses: the one of the configuration, or those its name has at present; best first.
    addresses: Vec<IpAddr>,
}

impl Links {
    /// Trunks whose names have not been looked up yet.
    pub fn new(trunks: &[Trunk]) -> Self {
        let link = |trunk: &Trunk| {
            let addresses = match &trunk.address.host {
                Host::Address(address) => vec![*address],
                Host::Name(_) => Vec::new(),
            };
            Link { trunk: trunk.clone(), addresses }
        };
        Self { links: trunks.iter().map(link).collect() }
    }

    /// The trunks of a changed file, with the addresses that their names are known to have.
    pub fn succeeded_by(&self, trunks: &[Trunk]) -> Self {
        let mut links = Self::new(trunks);
        for link in &mut links.links {
            let same = self.links.iter().find(|old| old.trunk.address.host == link.trunk.address.host);
            if let Some(old) = same.filter(|_| link.addresses.is_empty()) {
                link.addresses.clone_from(&old.addresses);
            }
        }
        links
    }

    /// The trunk that packets from `remote` belong to.
    pub fn from(&self, protocol: Protocol, remote: SocketAddr) -> Option<&Link> {
        self.links.iter().find(|link| {
            let address = &link.trunk.address;
            address.protocol == protocol
                && (protocol.is_stream() || address.port == remote.port())
                && link.addresses.contains(&remote.ip().to_canonical())
        })
    }

    /// The trunk of a name.
    pub fn get(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.trunk.name == name)
    }

    /// The host names that stand for addresses, each once.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for link in &self.links {
            if let Host::Name(name) = &link.trunk.address.host
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
    }

    /// The addresses that a host name has now. Tells whether that is news.
    pub fn learn(&mut self, name: &str, addresses: &[IpAddr]) -> bool {
        let mut news = false;
        for link in &mut self.links {
            if matches!(&link.trunk.address.host, Host::Name(own) if own == name)
                && link.addresses != addresses
            {
                link.addresses = addresses.to_vec();
                news = true;
            }
        }
        news
    }

    /// Every trunk.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.iter()
    }
}

impl Link {
    /// Whether it is to be asked whether it lives.
    pub fn is_supervised(&self) -> bool {
        self.trunk.supervise
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

    /// Where a call to it goes; `None` while its name has no address.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.addresses.first().map(|address| SocketAddr::new(*address, self.trunk.address.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn links() -> Links {
        let text = "[[trunks]]\nname = \"a\"\naddress = \"udp:192.0.2.1:5070\"\n\
                    [[trunks]]\nname = \"b\"\naddress = \"tcp:192.0.2.1\"\n\
                    [[trunks]]\nname = \"c\"\naddress = \"udp:pbx.example\"\n";
        Links::new(&Config::parse(text).unwrap().trunks)
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
        assert_eq!(links.names(), ["pbx.example"]);
        assert_eq!(links.get("c").unwrap().destination(), None);
        assert_eq!(from(&links, Protocol::Udp, "198.51.100.1:5060"), None);
        let addresses = ["198.51.100.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        assert!(links.learn("pbx.example", &addresses));
        assert!(!links.learn("pbx.example", &addresses));
        assert_eq!(from(&links, Protocol::Udp, "198.51.100.1:5060").as_deref(), Some("c"));
        assert_eq!(from(&links, Protocol::Udp, "[2001:db8::1]:5060").as_deref(), Some("c"));
        assert_eq!(links.get("c").unwrap().destination(), Some("198.51.100.1:5060".parse().unwrap()));
    }
}
