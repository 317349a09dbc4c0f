//! One call on its way through: the two legs, their descriptions, and how far each has come.

use denwa::bridge::LegId;
use denwa::evidence::Evidence;
use denwa::port_set::PortPair;
use denwa_sdp::Negotiator;
use denwa_sip_core::endpoint::CallHandle;
use std::net::{IpAddr, SocketAddr};

/// Names a passage. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PassageId(pub(crate) u64);

/// Which of the two legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum End {
    Caller,
    Callee,
}

impl End {
    pub(crate) const BOTH: [Self; 2] = [Self::Caller, Self::Callee];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// A call through the gateway.
#[derive(Debug)]
pub(crate) struct Passage {
    /// The index of the route it takes.
    pub(crate) route: usize,
    /// The number that goes out.
    pub(crate) number: String,
    /// Who calls: user part and display name.
    pub(crate) caller_user: String,
    pub(crate) caller_name: Option<String>,
    pub(crate) caller: Leg,
    pub(crate) callee: Leg,
    pub(crate) answered: bool,
    pub(crate) evidence: Evidence,
}

/// One of its legs.
#[derive(Debug)]
pub(crate) struct Leg {
    /// The peer's signalling address.
    pub(crate) peer: SocketAddr,
    /// The address packets to it leave by, when known.
    pub(crate) route: Option<IpAddr>,
    pub(crate) call: Option<CallHandle>,
    pub(crate) negotiator: Option<Negotiator>,
    pub(crate) media: Option<LegId>,
    pub(crate) ports: Option<PortPair>,
    pub(crate) is_open: bool,
    /// A description of the peer has been gone by.
    pub(crate) is_configured: bool,
}

impl Leg {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            route: None,
            call: None,
            negotiator: None,
            media: None,
            ports: None,
            is_open: false,
            is_configured: false,
        }
    }
}

impl Passage {
    pub(crate) fn leg(&self, end: End) -> &Leg {
        match end {
            End::Caller => &self.caller,
            End::Callee => &self.callee,
        }
    }

    pub(crate) fn leg_mut(&mut self, end: End) -> &mut Leg {
        match end {
            End::Caller => &mut self.caller,
            End::Callee => &mut self.callee,
        }
    }
}
