//! What a machine is told when it is made: listeners, timers, bounds. The defaults are those of the RFCs.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    error::{Attitude, ParseError, Problem},
    io::Protocol,
    limits::WireLimits,
    message::ParseOptions,
};

/// A local socket that the driver listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its transport.
    pub protocol: Protocol,
    /// Its address; may be a wildcard such as `0.0.0.0`. With port 0 nobody listens: connections of this transport can be made,
    /// and not accepted.
    pub local: SocketAddr,
    /// What peers are told instead of the address a packet leaves by: an external address or a name.
    pub advertised: Option<SentBy>,
}

impl Listener {
    /// A listener that tells peers the address by which a packet leaves.
    #[must_use]
    pub const fn new(protocol: Protocol, local: SocketAddr) -> Self {
        Self { protocol, local, advertised: None }
    }
}

/// Host and port as they stand in a Via or Contact.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SentBy {
    /// A name or an address; IPv6 in brackets.
    pub host: Arc<str>,
    /// The port; none means the transport's own.
    pub port: Option<u16>,
}

impl SentBy {
    /// An address with its port.
    #[must_use]
    pub fn from_address(address: SocketAddr) -> Self {
        Self { host: crate::message::Host::from(address.ip()).to_string().into(), port: Some(address.port()) }
    }
}

impl From<SocketAddr> for SentBy {
    fn from(address: SocketAddr) -> Self {
        Self::from_address(address)
    }
}

impl std::str::FromStr for SentBy {
    type Err = ParseError;

    /// `pbx.example`, `192.0.2.1:5070` or `[2001:db8::1]:5060`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = |offset| ParseError::new(offset, Problem::Expected("a host and perhaps a port"));
        let behind = text.rfind(']').map_or(0, |end| end.saturating_add(1));
        let colon = text.get(behind..).and_then(|rest| rest.find(':')).map(|at| at.saturating_add(behind));
        let (host, port) = match colon.and_then(|at| text.split_at_checked(at)) {
            Some((host, port)) => {
                (host, Some(port.get(1..).and_then(|port| port.parse().ok()).ok_or(expected(host.len()))?))
            }
            None => (text, None),
        };
        crate::message::Host::parse(host, Attitude::Strict)?;
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for SentBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// The timers of RFC 3261 Table 4 with RFC 6026, each on its own. [`TimerConfig::from_base`] derives all from T1, T2 and T4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimerConfig {
    /// T1: the round-trip time estimate. 500 ms.
    pub t1: Duration,
    /// T2: the longest interval between retransmissions of non-INVITE requests and INVITE responses. 4 s.
    pub t2: Duration,
    /// T4: how long a message stays in the network. 5 s.
    pub t4: Duration,
    /// Timer B: how long an INVITE waits for any response. 64·T1.
    pub invite_timeout: Duration,
    /// Timer F: how long another request waits for a final response. 64·T1.
    pub non_invite_timeout: Duration,
    /// Timer D: how long the client repeats its ACK to repeated failures over UDP. 32 s at least.
    pub acknowledge_repeats: Duration,
    /// Timer H: how long the server waits for the ACK to a failure. 64·T1.
    pub acknowledge_timeout: Duration,
    /// Timer J: how long the server answers repeated non-INVITE requests over UDP. 64·T1.
    pub answer_repeats: Duration,
    /// In the place of timers H and J, for a challenge (401, 407) sent over UDP. 64·T1. Shorter is safe: what is repeated later is
    /// challenged anew, as by a server that keeps nothing at all (§8.2.7); and it bounds what requests without credentials,
    /// which anybody can send, have a server hold.
    pub challenge_kept: Duration,
    /// Timer L: how long the server absorbs repeated INVITEs after a 2xx (RFC 6026). 64·T1.
    pub server_accepted: Duration,
    /// Timer M: how long the client takes repeated 2xx (RFC 6026). 64·T1.
    pub client_accepted: Duration,
    /// How long an INVITE may go on with provisional responses alone, counted from the last one. 30 minutes: it only
    /// keeps what the layer above forgot from staying for ever.
    pub proceeding_limit: Duration,
    /// How long an INVITE may stay without a response of ours before 100 is sent. 200 ms.
    pub trying_after: Duration,
    /// How long a stream may take to open before one to the next address, of the other family, is opened beside it
    /// (RFC 8305 §5). 250 ms.
    pub connection_attempt_delay: Duration,
    /// How long a host may stay silent before the next one of RFC 3263 is tried. 5 s; the last one has Timer B or F.
    pub failover_after: Duration,
}

impl TimerConfig {
    /// All timers from the three of which the RFC derives them.
    #[must_use]
    pub fn from_base(t1: Duration, t2: Duration, t4: Duration) -> Self {
        let long = t1.saturating_mul(64);
        Self {
            t1,
            t2,
            t4,
            invite_timeout: long,
            non_invite_timeout: long,
            acknowledge_repeats: long.max(Duration::from_secs(32)),
            acknowledge_timeout: long,
            answer_repeats: long,
            challenge_kept: long,
            server_accepted: long,
            client_accepted: long,
            proceeding_limit: Duration::from_secs(1800),
            trying_after: Duration::from_millis(200),
            connection_attempt_delay: Duration::from_millis(250),
            failover_after: Duration::from_secs(5),
        }
    }
}

impl Default for TimerConfig {
    fn default() -> Self {
        Self::from_base(Duration::from_millis(500), Duration::from_secs(4), Duration::from_secs(5))
    }
}

/// Everything the transaction layer and what is below it need to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TransactionConfig {
    /// The sockets there are. Requests leave by one of them, or over streams of their transport.
    pub listeners: Vec<Listener>,
    /// The timers.
    pub timers: TimerConfig,
    /// How messages are read. Lenient by default: old devices are understood, answers are strict.
    pub parse: ParseOptions,
    /// Bounds.
    pub limits: WireLimits,
    /// A request longer than this goes over TCP instead of UDP, when its target is a URI (RFC 3261 §18.1.1); UDP is
    /// tried again when TCP is refused. 1,300 bytes.
    pub udp_request_bytes: usize,
    /// Whether merged requests are answered 482 (RFC 3261 §8.2.2.2), as a user agent must; a proxy must not.
    pub refuse_merged: bool,
    /// Whether the `maddr` of a Via is where its responses go when its own way is none, as RFC 3261 §18.2.2 says. Who can send
    /// us a request can have its responses sent to somebody else by it: a server on the Internet may well turn it off.
    pub follow_maddr: bool,
    /// Whether requests offer overload control (RFC 7339) and what peers then ask for is obeyed. Off by default: it is for
    /// servers among themselves.
    pub overload_control: bool,
    /// Whether every message that comes is told as it came, for evidence and traces. Off by default: each is copied.
    pub tell_received: bool,
    /// What is put into `Server` of responses that this layer makes itself; none by default.
    pub server_name: Option<Arc<str>>,
}

impl TransactionConfig {
    /// The defaults, with these listeners.
    #[must_use]
    pub fn new(listeners: Vec<Listener>) -> Self {
        Self {
            listeners,
            timers: TimerConfig::default(),
            parse: ParseOptions::default(),
            limits: WireLimits::default(),
            udp_request_bytes: 1300,
            refuse_merged: true,
            follow_maddr: true,
            overload_control: false,
            tell_received: false,
            server_name: None,
        }
    }
}
