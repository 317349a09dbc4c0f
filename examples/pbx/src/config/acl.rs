//! Who may speak to the exchange at all, or as somebody: networks and transports.

use std::net::IpAddr;

use denwa::address::Network;

use super::address::Protocol;
use super::document::Section;
use super::network::parse_network;
use super::problem::Problems;

/// What is allowed: everything when it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acl {
    entries: Vec<Entry>,
}

/// A transport, a network, or a network by a transport.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    protocol: Option<Protocol>,
    network: Option<Network>,
}

impl Acl {
    /// Whether it allows everything.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether this source may come by this transport.
    pub fn allows(&self, protocol: Protocol, source: IpAddr) -> bool {
        self.is_empty() || self.names(protocol, source)
    }

    /// Whether an entry is about this source and transport.
    pub fn names(&self, protocol: Protocol, source: IpAddr) -> bool {
        self.entries.iter().any(|entry| {
            entry.protocol.is_none_or(|own| own == protocol)
                && entry.network.as_ref().is_none_or(|network| network.contains(source.to_canonical()))
        })
    }
}

/// A list as `["tls", "192.168.0.0/16", "udp 10.0.0.0/8"]`.
pub(super) fn acl(section: &mut Section<'_>, key: &'static str, problems: &mut Problems) -> Acl {
    let mut entries = Vec::new();
    for text in section.texts(key, problems).unwrap_or_default() {
        match entry(&text.value) {
            Ok(entry) => entries.push(entry),
            Err(message) => problems.add(&text.span, &text.key, message),
        }
    }
    Acl { entries }
}

fn entry(text: &str) -> Result<Entry, String> {
    let (first, rest) = text.split_once(' ').map_or((text, ""), |(first, rest)| (first, rest.trim()));
    let protocol = match first {
        "udp" => Some(Protocol::Udp),
        "tcp" => Some(Protocol::Tcp),
        "tls" => Some(Protocol::Tls),
        "ws" => Some(Protocol::Ws),
        "wss" => Some(Protocol::Wss),
        _ => None,
    };
    let network = if protocol.is_some() { rest } else { text };
    let network = match network {
        "" => None,
        // One host may be written without its bits.
        network => match network.parse::<IpAddr>() {
            Ok(address) => Some(Network::host(address)),
            Err(_) => Some(parse_network(network).map_err(|message| {
                format!("{message}, a transport as tls, or both as \"udp 192.168.0.0/16\"")
            })?),
        },
    };
    Ok(Entry { protocol, network })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_name_transports_networks_or_both() {
        let acl = Acl {
            entries: ["tls", "192.168.0.0/16", "udp 10.0.0.0/8", "2001:db8::7"]
                .map(|text| entry(text).unwrap())
                .to_vec(),
        };
        let allows = |protocol, source: &str| acl.allows(protocol, source.parse().unwrap());
        assert!(allows(Protocol::Tls, "203.0.113.1"));
        assert!(allows(Protocol::Tcp, "192.168.3.4") && allows(Protocol::Udp, "::ffff:192.168.3.4"));
        assert!(allows(Protocol::Udp, "10.1.1.1") && !allows(Protocol::Tcp, "10.1.1.1"));
        assert!(allows(Protocol::Udp, "2001:db8::7") && !allows(Protocol::Udp, "2001:db8::8"));
        assert!(Acl::default().allows(Protocol::Udp, "203.0.113.1".parse().unwrap()));
        assert!(entry("sctp").is_err() && entry("udp x").is_err());
    }
}
