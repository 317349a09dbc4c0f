//! A flow: the two ends between which messages travel, and where the response to a request goes
//! (RFC 3261 §18.2, RFC 3581, RFC 5626).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::{IpAddr, SocketAddr};

pub use crate::io::Flow;
use crate::io::Protocol;

/// Where the responses to a request go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyPath {
    /// The flow the request came on; streams are answered on it while it stands.
    pub flow: Flow,
    /// For UDP where the response is sent to; for streams where a new connection would be made (§18.2.2).
    pub fallback: SocketAddr,
}

/// One way to reach the next hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The transport.
    pub protocol: Protocol,
    /// The address.
    pub remote: SocketAddr,
    /// The name that a TLS certificate must prove, and the `Host` of a WebSocket.
    pub server_name: Option<std::sync::Arc<str>>,
}

/// Where a request is to be sent.
#[derive(Debug, Clone)]
pub enum Target {
    /// Found by RFC 3263: a Request-URI, the first Route, an outbound proxy.
    Uri(crate::message::UriBuf),
    /// These, the first one first; the result of an earlier resolution, or a configured peer.
    Hops(Vec<Hop>),
    /// One address, from one local address if given.
    Address {
        /// The transport.
        protocol: Protocol,
        /// The peer.
        remote: SocketAddr,
        /// The own address to send from.
        local: Option<SocketAddr>,
    },
    /// A flow that a message came on (RFC 5626 §5.3): no other way is tried.
    Flow(Flow),
}

impl Target {
    /// An address, from whichever local address fits.
    #[must_use]
    pub const fn address(protocol: Protocol, remote: SocketAddr) -> Self {
        Self::Address { protocol, remote, local: None }
    }
}

/// The address that an IPv4-mapped IPv6 address means, so that a dual-stack socket and an IPv4 one tell the same peer.
#[must_use]
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
