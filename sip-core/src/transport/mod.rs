//! Below the transactions: which local address, which connection, and what a peer's bytes are (RFC 3261 §18).
//!
//! Streams are opened when they are needed, reused while they stand, and known by number. A stream that the peer opened
//! is used for requests only when a caller names it, or when its TLS identity vouches for an `alias` (RFC 5923).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub(crate) mod flow;
mod flow_token;
pub(crate) mod framer;
mod own_name;
pub(crate) mod response_route;
pub(crate) mod stream;
pub(crate) mod stun;
pub mod websocket;

pub use flow::{Flow, Hop, ReplyPath, Target};
pub use flow_token::FlowTokens;
pub(crate) use own_name::OwnName;

use std::net::{IpAddr, SocketAddr};

use crate::{
    config::{Listener, SentBy},
    io::Protocol,
};

/// The listeners, asked questions.
#[derive(Debug)]
pub(crate) struct Listeners {
    list: Vec<Listener>,
}

/// The own end of a datagram to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalChoice {
    /// This one.
    Known(SocketAddr),
    /// It depends on the route.
    AskRoute,
    /// There is no listener of this transport and family.
    None,
}

impl Listeners {
    pub(crate) const fn new(list: Vec<Listener>) -> Self {
        Self { list }
    }

    /// Whether messages can be sent by this transport to an address of this family.
    pub(crate) fn can_reach(&self, protocol: Protocol, remote: Option<IpAddr>) -> bool {
        self.list.iter().any(|listener| {
            listener.protocol == protocol && remote.is_none_or(|ip| is_same_family(listener.local.ip(), ip))
        })
    }

    fn candidates(&self, protocol: Protocol, remote: IpAddr) -> impl Iterator<Item = &Listener> {
        self.list.iter().filter(move |listener| {
            listener.protocol == protocol && is_same_family(listener.local.ip(), remote)
        })
    }

    /// The local address for a datagram to `remote`.
    pub(crate) fn local_for(&self, protocol: Protocol, remote: IpAddr) -> LocalChoice {
        let mut candidates = self.candidates(protocol, remote);
        match (candidates.next(), candidates.next()) {
            (None, _) => LocalChoice::None,
            (Some(only), None) if !only.local.ip().is_unspecified() => LocalChoice::Known(only.local),
            _ => LocalChoice::AskRoute,
        }
    }

    /// The local address once the route is known.
    pub(crate) fn local_by_route(
        &self,
        protocol: Protocol,
        remote: IpAddr,
        route: Option<IpAddr>,
    ) -> Option<SocketAddr> {
        let exact = route.and_then(|route| {
            self.candidates(protocol, remote).find(|listener| listener.local.ip() == route)
        });
        if let Some(listener) = exact {
            return Some(listener.local);
        }
        let wildcard =
            self.candidates(protocol, remote).find(|listener| listener.local.ip().is_unspecified());
        if let (Some(listener), Some(route)) = (wildcard, route) {
            return Some(SocketAddr::new(route, listener.local.port()));
        }
        self.candidates(protocol, remote).next().map(|listener| listener.local)
    }

    /// What stands in the Via of a request that leaves from `local`: where the peer may send requests and, on UDP or
    /// when a stream breaks, responses. The port is that of the listener, not of an outgoing connection.
    pub(crate) fn own_name(&self, protocol: Protocol, local: SocketAddr) -> OwnName<'_> {
        let of_protocol = || self.list.iter().filter(|listener| listener.protocol == protocol);
        let listener = of_protocol()
            .find(|listener| listener.local == local)
            .or_else(|| {
                of_protocol().find(|listener| {
                    listener.local.ip().is_unspecified() && is_same_family(listener.local.ip(), local.ip())
                })
            })
            .or_else(|| of_protocol().find(|listener| listener.local.ip() == local.ip()))
            .or_else(|| of_protocol().find(|listener| is_same_family(listener.local.ip(), local.ip())));
        if let Some(advertised) = listener.and_then(|listener| listener.advertised.as_ref()) {
            return OwnName::Told(advertised);
        }
        // With port 0 nobody listens: over the connection itself the peer reaches us.
        let listening = listener.map(|listener| listener.local.port()).filter(|port| *port != 0);
        let port = listening.unwrap_or(local.port());
        OwnName::Address(SocketAddr::new(local.ip(), port))
    }

    /// The same, to be kept.
    pub(crate) fn sent_by(&self, protocol: Protocol, local: SocketAddr) -> SentBy {
        self.own_name(protocol, local).to_sent_by()
    }
}

fn is_same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_address_is_that_of_the_route() {
        let listeners = Listeners::new(vec![
            Listener::new(Protocol::Udp, "0.0.0.0:5060".parse().unwrap()),
            Listener::new(Protocol::Udp, "[::1]:5070".parse().unwrap()),
            Listener {
                advertised: Some(SentBy { host: "pbx.example".into(), port: None }),
                ..Listener::new(Protocol::Tcp, "0.0.0.0:5062".parse().unwrap())
            },
        ]);
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(listeners.local_for(Protocol::Udp, v4), LocalChoice::AskRoute);
        assert_eq!(listeners.local_for(Protocol::Udp, v6), LocalChoice::Known("[::1]:5070".parse().unwrap()));
        assert_eq!(listeners.local_for(Protocol::Tls, v4), LocalChoice::None);
        let local = listeners.local_by_route(Protocol::Udp, v4, "10.0.0.7".parse().ok()).unwrap();
        assert_eq!(local, "10.0.0.7:5060".parse().unwrap());
        assert_eq!(listeners.sent_by(Protocol::Udp, local).to_string(), "10.0.0.7:5060");
        assert_eq!(
            listeners.sent_by(Protocol::Tcp, "10.0.0.7:39999".parse().unwrap()).to_string(),
            "pbx.example"
        );
    }

    #[test]
    fn a_transport_that_nobody_listens_on_can_be_used_to_connect() {
        let listeners = Listeners::new(vec![Listener::new(Protocol::Tls, "0.0.0.0:0".parse().unwrap())]);
        assert!(listeners.can_reach(Protocol::Tls, "192.0.2.1".parse().ok()));
        let local = "10.0.0.7:39999".parse().unwrap();
        assert_eq!(listeners.sent_by(Protocol::Tls, local).to_string(), "10.0.0.7:39999");
    }
}
