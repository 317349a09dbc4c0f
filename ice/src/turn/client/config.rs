//! What a TURN client is told: the server, the credentials, what to ask for, and its limits.

use crate::io::Protocol;
use crate::stun::Timing;
use crate::stun::attribute::Family;
use std::net::SocketAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Its address.
    pub address: SocketAddr,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// The name its certificate must have, for TLS and DTLS.
    pub name: Option<String>,
}

impl ServerAddress {
    /// A server on UDP.
    #[must_use]
    pub const fn udp(address: SocketAddr) -> Self {
        Self { address, protocol: Protocol::Udp, name: None }
    }
}

/// What a client is told.
#[derive(Clone)]
pub struct ClientConfig {
    /// The server.
    pub server: ServerAddress,
    /// User name and password; without them the server must let everybody in.
    pub credentials: Option<(String, Zeroizing<String>)>,
    /// Ask for a relayed address of this family; `None`: what the server gives, which is IPv4.
    pub family: Option<Family>,
    /// Ask for an IPv6 address besides the IPv4 one (RFC 8656 ADDITIONAL-ADDRESS-FAMILY).
    pub both_families: bool,
    /// Ask for an even port, and (`true`) to keep the next one.
    pub even_port: Option<bool>,
    /// Take the port that was kept under this token.
    pub reservation: Option<[u8; 8]>,
    /// Ask for an allocation of streams (RFC 6062). The server must be reached over a stream.
    pub tcp_allocation: bool,
    /// How long the server should keep the allocation between refreshes; it may choose less.
    pub lifetime: Duration,
    /// When requests are sent again.
    pub timing: Timing,
    /// What SOFTWARE says; nothing when `None`.
    pub software: Option<String>,
    /// What peers and servers can grow.
    pub limits: ClientLimits,
}

/// What peers and servers can grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Most peers with a permission, a channel or a connection.
    pub peers: usize,
    /// How many other servers to be sent to.
    pub redirects: usize,
}

impl ClientConfig {
    /// A client of this server, everything else as usual.
    #[must_use]
    pub fn new(server: ServerAddress, username: &str, password: &str) -> Self {
        Self {
            server,
            credentials: Some((username.to_owned(), Zeroizing::new(password.to_owned()))),
            family: None,
            both_families: false,
            even_port: None,
            reservation: None,
            tcp_allocation: false,
            lifetime: crate::turn::DEFAULT_LIFETIME,
            timing: Timing::default(),
            software: None,
            limits: ClientLimits { peers: 128, redirects: 3 },
        }
    }
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.credentials.as_ref().map(|(user, _)| user);
        let mut shown = formatter.debug_struct("ClientConfig");
        shown.field("server", &self.server).field("user", &user).finish_non_exhaustive()
    }
}
