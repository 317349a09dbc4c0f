//! What a user agent is told: who it is, what it can do, how long it waits.

use super::Keys;
use crate::address::AddressPolicy;
use crate::media::{IceConfig, Identity, PlayOut};
use crate::port_set::PortSet;
use denwa_sdp::{Capability, Codec};
use denwa_sip_core::config::Listener;
use denwa_sip_core::io::Protocol;
use denwa_sip_core::message::UriBuf;
use denwa_sip_core::transport::{Hop, Target};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How a user agent behaves towards everybody.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UserAgentConfig {
    /// The sockets that are listened on.
    pub listeners: Vec<Listener>,
    /// What its media can do: codecs, telephone events, encryption.
    pub capability: Capability,
    /// Where its media ports come from; `None` lets the system choose.
    pub media_ports: Option<PortSet>,
    /// Which address a peer is told.
    pub addresses: AddressPolicy,
    /// Samples a second of the sound that goes in and out. Default 8000.
    pub sample_rate_hz: u32,
    /// How much sound a [`super::Event::Sound`] holds. Default 20 ms.
    pub sound_frame: Duration,
    /// How long arriving sound waits for what is late.
    pub play_out: PlayOut,
    /// How paths are found by ICE, when the capability has ICE. Default: not.
    pub ice: Option<IceConfig>,
    /// Our certificate for DTLS, whose fingerprint the capability should name. Default: none.
    pub identity: Option<Identity>,
    /// Whose calls ring here.
    pub callers: Callers,
    /// What is done when somebody we talk with transfers us to somebody else.
    pub transfers: Transfers,
    /// By which way keys are sent.
    pub keys: Keys,
    /// Before a call that goes to its peer directly, without a server, an OPTIONS asks how the peer sees us, once for each: a VPN
    /// that shows this host under another address, or an address translator, then does no harm. Default: yes.
    pub asks_how_seen: bool,
    /// A peer whose media address would be sent to by another interface than his signalling, or by none, gets his media at
    /// where his signalling comes from as well, until some arrive (a VPN renamed him). Default: yes.
    pub redirects_media: bool,
    /// How the true sender of media is found.
    pub latch: denwa_rtp::latch::Config,
    /// Calls at a time; more are answered with 486. Default 8.
    pub calls_limit: usize,
    /// Sources that were turned away are remembered, with what they did; more than so many, and the first is forgotten. Default 64.
    pub refused_sources_limit: usize,
    /// The peer's media are missed after this long, while they should come. Default 30 s.
    pub silence_after: Duration,
    /// How often calls are to be refreshed (RFC 4028), so that one whose peer vanished ends; at least 90 s. Default: as the peer
    /// wishes.
    pub session_interval: Option<Duration>,
    /// How long a call rings before it is given up. Default 3 minutes.
    pub ring_timeout: Duration,
    /// `User-Agent`; `None` keeps it to ourselves.
    pub software: Option<String>,
    /// What the wall clock shows, as time since 1970, at the moment the user agent is made: for RTCP.
    pub since_1970: Duration,
}

impl UserAgentConfig {
    /// A telephone that listens there, speaks PCMA and PCMU, and takes calls from everybody.
    #[must_use]
    pub fn new(listeners: Vec<Listener>) -> Self {
        Self {
            listeners,
            capability: Capability::telephone([Codec::pcma(), Codec::pcmu()]),
            media_ports: None,
            addresses: AddressPolicy::default(),
            sample_rate_hz: 8000,
            sound_frame: Duration::from_millis(20),
            play_out: PlayOut::Adaptive,
            ice: None,
            identity: None,
            callers: Callers::Anyone,
            transfers: Transfers::default(),
            keys: Keys::default(),
            asks_how_seen: true,
            redirects_media: true,
            latch: denwa_rtp::latch::Config::default(),
            calls_limit: 8,
            refused_sources_limit: 64,
            silence_after: Duration::from_secs(30),
            session_interval: None,
            ring_timeout: Duration::from_secs(180),
            software: Some(concat!("Denwa/", env!("CARGO_PKG_VERSION")).to_owned()),
            since_1970: Duration::ZERO,
        }
    }
}

/// Whose calls ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Callers {
    /// Everybody's.
    #[default]
    Anyone,
    /// Those that come from where an account is registered or served: whoever else finds the port makes no bell ring.
    Servers,
}

/// What is done when a peer transfers us to somebody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transfers {
    /// We call whom he names.
    #[default]
    Follow,
    /// The program is asked: [`super::Event::TransferAsked`].
    Ask,
    /// He is refused.
    Refuse,
}

/// An account with a server, or just a name of our own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Account {
    /// The user part of its address.
    pub user: String,
    /// The domain of its address.
    pub domain: String,
    /// The transport that numbers at the domain are called by when there is no server: TCP or TLS; `None` leaves it to the domain.
    pub transport: Option<Protocol>,
    /// Display name.
    pub display_name: Option<String>,
    /// The name that the password belongs to, when it is not `user`.
    pub login: Option<String>,
    /// The password; without one, challenges are not answered.
    pub password: Option<String>,
    /// Where everything is sent, whatever its address says; `None` finds it by the address (RFC 3263).
    pub server: Option<Server>,
    /// How long a registration is asked for. Default 300 s.
    pub expires: Duration,
    /// Watches the account's mailbox once it is registered (RFC 3842). Default: no.
    pub message_waiting: bool,
    /// What the media of its calls can do, when that is not what the configuration says for all.
    pub capability: Option<Capability>,
    /// What makes this device known among all others, for ever, as `urn:uuid:…`: with it the registration asks for outbound
    /// (RFC 5626), and calls come by the connection it was made on. Default: none.
    pub instance: Option<String>,
    /// Further servers that lead to the same registrar: with [`Account::instance`] and [`Account::server`] the device is registered by
    /// each of them besides (RFC 5626, `reg-id` 2 and so on), calls come by any of them, and go by the first that stands. Default: none.
    pub further_servers: Vec<Server>,
}

impl Account {
    /// An account without password and server.
    pub fn new(user: impl Into<String>, domain: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            domain: domain.into(),
            transport: None,
            display_name: None,
            login: None,
            password: None,
            server: None,
            expires: Duration::from_secs(300),
            message_waiting: false,
            capability: None,
            instance: None,
            further_servers: Vec::new(),
        }
    }

    /// The same with a password.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The same with a server.
    #[must_use]
    pub fn with_server(mut self, protocol: Protocol, address: SocketAddr) -> Self {
        self.server = Some(Server::new(protocol, address));
        self
    }

    /// Its address.
    pub(crate) fn uri(&self) -> UriBuf {
        UriBuf::sip(&self.user, &self.domain).build()
    }
}

/// A server that is known by its address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Server {
    /// Over which transport.
    pub protocol: Protocol,
    /// Where.
    pub address: SocketAddr,
    /// The name that its certificate must prove over TLS and WSS (RFC 5922 §7.3); `None`: its address.
    pub name: Option<Arc<str>>,
}

impl Server {
    /// A server that is known by nothing else.
    #[must_use]
    pub const fn new(protocol: Protocol, address: SocketAddr) -> Self {
        Self { protocol, address, name: None }
    }

    /// The same, called by this name.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn target(&self) -> Target {
        match &self.name {
            Some(name) => Target::Hops(vec![Hop {
                protocol: self.protocol,
                remote: self.address,
                server_name: Some(Arc::clone(name)),
            }]),
            None => Target::address(self.protocol, self.address),
        }
    }
}
