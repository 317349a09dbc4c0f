//! What a TURN server is told: realm, who may use it, which ports it may give, whom it may relay to, and its limits.

use super::credentials::CredentialSource;
use super::policy::PeerPolicy;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What a server is told.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The realm of its users.
    pub realm: String,
    /// What SOFTWARE says in answers to those who are known; nothing when `None`.
    pub software: Option<String>,
    /// Who may allocate. Everybody may ask for his own address.
    pub credentials: CredentialSource,
    /// Where relayed addresses come from; none: a STUN server only.
    pub relays: Vec<RelayRange>,
    /// Whom may be relayed to.
    pub peers: PeerPolicy,
    /// The server's second address and port for NAT behaviour discovery (RFC 5780); `None`: not offered.
    pub behaviour: Option<BehaviourAddresses>,
    /// Everybody who wants to allocate is sent there.
    pub alternate: Option<SocketAddr>,
    /// How long an allocation lives without a refresh: what is given to those who ask for nothing.
    pub default_lifetime: Duration,
    /// The most that is given to those who ask for more.
    pub longest_lifetime: Duration,
    /// A nonce is good for this long.
    pub nonce_lifetime: Duration,
    /// What clients can grow.
    pub limits: ServerLimits,
}

/// An address to give ports of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayRange {
    /// Where ports are opened.
    pub local: IpAddr,
    /// What clients are told, when the server is itself behind a translating router.
    pub external: IpAddr,
    /// Which ports may be opened.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// The two addresses and ports of RFC 5780. The driver listens on all four pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BehaviourAddresses {
    /// The usual address and port.
    pub primary: SocketAddr,
    /// The other ones: both differ.
    pub alternate: SocketAddr,
}

/// What clients can grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most allocations in all.
    pub allocations: usize,
    /// Most allocations of a user.
    pub per_user: usize,
    /// Most allocations of a client address (IPv6: of its /64).
    pub per_address: usize,
    /// Most permissions of an allocation.
    pub permissions: usize,
    /// Most channels of an allocation.
    pub channels: usize,
    /// Most ports kept under a token.
    pub reservations: usize,
    /// Most streams that clients have opened.
    pub streams: usize,
    /// Most requests that wait for a user's key or for a port.
    pub waiting: usize,
    /// Largest message on a stream, in bytes.
    pub stream_message_bytes: usize,
    /// Bytes a second that strangers of one network (IPv4 /24, IPv6 /48) may be sent beyond what they send.
    pub stranger_bytes_per_second: u32,
    /// And how many of those at once.
    pub stranger_burst_bytes: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            allocations: 1000,
            per_user: 20,
            per_address: 40,
            permissions: 64,
            channels: 64,
            reservations: 32,
            streams: 1000,
            waiting: 256,
            stream_message_bytes: 65_539,
            stranger_bytes_per_second: 400,
            stranger_burst_bytes: 4000,
        }
    }
}

impl ServerConfig {
    /// A server that only tells addresses.
    #[must_use]
    pub fn stun_only() -> Self {
        Self::new("stun", CredentialSource::Nobody, Vec::new())
    }

    /// A server for these users with these ports, everything else as usual.
    #[must_use]
    pub fn new(realm: &str, credentials: CredentialSource, relays: Vec<RelayRange>) -> Self {
        Self {
            realm: realm.to_owned(),
            software: None,
            credentials,
            relays,
            peers: PeerPolicy::default(),
            behaviour: None,
            alternate: None,
            default_lifetime: crate::turn::DEFAULT_LIFETIME,
            longest_lifetime: Duration::from_secs(3600),
            nonce_lifetime: Duration::from_secs(600),
            limits: ServerLimits::default(),
        }
    }
}
