//! What an ICE agent is told: its role, its servers, its timing, its policy and its limits.

use crate::stun::Timing;
use crate::turn::client::ClientConfig;
use std::net::SocketAddr;
use std::time::Duration;

/// Which end decides (RFC 8445 section 6.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// This one: the offerer, unless it is lite and the other is not.
    Controlling,
    /// The other one.
    Controlled,
}

impl Role {
    /// The other role.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// Which candidates are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// All.
    #[default]
    All,
    /// Only those on TURN servers: the peer never learns an address of ours.
    RelayOnly,
}

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The role to begin with; a conflict may change it.
    pub role: Role,
    /// Only answer checks, as a server with a public address may (RFC 8445 section 2.5).
    pub lite: bool,
    /// STUN servers, asked from every UDP address of their family.
    pub stun_servers: Vec<SocketAddr>,
    /// TURN servers, asked from every UDP address of their family.
    pub turn_servers: Vec<ClientConfig>,
    /// Which candidates are used.
    pub policy: Policy,
    /// Pause between new transactions (Ta).
    pub pace: Duration,
    /// When questions to STUN servers are sent again.
    pub timing: Timing,
    /// When checks are sent again. Their first pause grows with their number (RFC 8445 section 14.3); pauses stop growing at two seconds,
    /// so that paths with much loss are found.
    pub check_timing: Timing,
    /// How long servers are waited for before whoever has not answered is left out. `None`: until they count as silent, which takes
    /// 40 s and does no harm when candidates are trickled; when they go with the description, a few seconds are right.
    pub gathering_patience: Option<Duration>,
    /// How long the controlling end waits for a better pair when a direct one works.
    pub patience: Duration,
    /// How long it waits when only a relayed pair works.
    pub relay_patience: Duration,
    /// How long to go on before giving up when no pair works: peers may still come (RFC 8863).
    pub give_up_after: Duration,
    /// Whether consent is asked for (RFC 7675); otherwise pairs are kept alive by indications.
    pub consent: bool,
    /// Mean pause between consent checks.
    pub consent_interval: Duration,
    /// Consent ends this long after the last answer.
    pub consent_lifetime: Duration,
    /// Pause between keep-alives (Tr).
    pub keep_alive: Duration,
    /// What SOFTWARE says in answers; nothing when `None`.
    pub software: Option<String>,
    /// What peers can grow.
    pub limits: AgentLimits,
}

/// What peers can grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentLimits {
    /// Candidate pairs of all check lists.
    pub pairs: usize,
    /// Remote candidates of a stream, peer-reflexive ones included.
    pub remote_candidates: usize,
    /// Checks that came before the peer's credentials.
    pub early_checks: usize,
    /// TCP connections.
    pub connections: usize,
    /// Names that are being resolved.
    pub names: usize,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            role: Role::Controlling,
            lite: false,
            stun_servers: Vec::new(),
            turn_servers: Vec::new(),
            policy: Policy::All,
            pace: Duration::from_millis(50),
            timing: Timing::default(),
            check_timing: Timing {
                requests: 15,
                last_wait: 4,
                longest_pause: Duration::from_secs(2),
                ..Timing::default()
            },
            gathering_patience: None,
            patience: Duration::from_millis(200),
            relay_patience: Duration::from_millis(1000),
            give_up_after: Duration::from_millis(39_500),
            consent: true,
            consent_interval: Duration::from_secs(5),
            consent_lifetime: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            software: None,
            limits: AgentLimits {
                pairs: 100,
                remote_candidates: 64,
                early_checks: 16,
                connections: 32,
                names: 16,
            },
        }
    }
}
