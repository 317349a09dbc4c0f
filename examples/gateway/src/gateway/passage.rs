//! One call on its way through: the two legs, their descriptions, and how far each has come.

use super::hiding::Secrets;
use super::words::GuestId;
use bytes::Bytes;
use denwa::bridge::LegId;
use denwa::evidence::Evidence;
use denwa::port_set::PortPair;
use denwa_sdp::{AgreedCodec, Direction, Negotiator, Transport};
use denwa_sip_core::Protocol;
use denwa_sip_core::endpoint::{CallHandle, Route as SipRoute};
use denwa_sip_core::message::Request;
use denwa_sip_core::transport::Target;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Names a passage. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PassageId(pub(super) u64);

impl fmt::Display for PassageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}", self.0)
    }
}

/// Which of the two legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum End {
    Caller,
    Callee,
}

impl End {
    pub(super) const BOTH: [Self; 2] = [Self::Caller, Self::Callee];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
        })
    }
}

/// A call through the gateway.
#[derive(Debug)]
pub(super) struct Passage {
    /// The number that goes out.
    pub(super) number: String,
    pub(super) who: Caller,
    /// Where it goes.
    pub(super) destination: Destination,
    pub(super) caller: Leg,
    pub(super) callee: Leg,
    /// The callee was called.
    pub(super) placed: bool,
    /// And once more after a refusal.
    pub(super) tried_again: bool,
    pub(super) answered: bool,
    /// The two hear one another.
    pub(super) joined: bool,
    pub(super) evidence: Evidence,
}

/// Who calls.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) user: String,
    pub(super) name: Option<String>,
    /// He has shown that he knows his password.
    pub(super) is_proven: bool,
    /// The INVITE, of those who send one.
    pub(super) invite: Option<Request>,
}

/// Where a call goes.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// A peer at an address.
    Address(Protocol, SocketAddr),
    /// A peer found by its name.
    Name(Target),
    /// Somebody who has registered.
    Registered(Box<SipRoute>),
    /// A robot.
    Robot,
}

/// One of the legs.
#[derive(Debug)]
pub(super) struct Leg {
    /// The place of its side in the configuration.
    pub(super) side: usize,
    /// The peer's signalling address; not known yet of one that is found by its name.
    pub(super) peer: Option<SocketAddr>,
    /// The address packets to it leave by, when known.
    pub(super) route: Option<IpAddr>,
    pub(super) link: Link,
    /// The first offer, until it can be judged.
    pub(super) offer: Option<Bytes>,
    pub(super) negotiator: Option<Negotiator>,
    /// The codec that its peer speaks before it has answered for good.
    pub(super) previewed: Option<AgreedCodec>,
    pub(super) media: Option<Media>,
    /// It can be described.
    pub(super) is_ready: bool,
    /// A description of the peer has been gone by.
    pub(super) is_configured: bool,
    /// An offer that begins ICE anew waits for our new credentials.
    pub(super) restarting: bool,
    /// What the peer is to be told because the other end holds; `None`: it does not.
    pub(super) hold: Option<Direction>,
    /// What of that the peer was told.
    pub(super) told_hold: Option<Direction>,
    /// What its messages tell of its side.
    pub(super) secrets: Secrets,
}

/// By what the peer is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Not yet, or no longer.
    None,
    Call(CallHandle),
    Guest(GuestId),
}

/// A leg's media.
#[derive(Debug)]
pub(super) struct Media {
    pub(super) id: LegId,
    pub(super) ports: PortPair,
    /// ICE or DTLS carry it, so that more than open sockets is needed to describe it.
    pub(super) awaits_ice: bool,
    /// What the peer is told.
    pub(super) transport: Transport,
}

impl Leg {
    pub(super) fn new(side: usize, peer: Option<SocketAddr>) -> Self {
        Self {
            side,
            peer,
            route: None,
            link: Link::None,
            offer: None,
            negotiator: None,
            previewed: None,
            media: None,
            is_ready: false,
            is_configured: false,
            restarting: false,
            hold: None,
            told_hold: None,
            secrets: Secrets::default(),
        }
    }

    pub(super) fn call(&self) -> Option<CallHandle> {
        match self.link {
            Link::Call(call) => Some(call),
            _ => None,
        }
    }

    pub(super) fn guest(&self) -> Option<GuestId> {
        match self.link {
            Link::Guest(guest) => Some(guest),
            _ => None,
        }
    }

    pub(super) fn media_id(&self) -> Option<LegId> {
        self.media.as_ref().map(|media| media.id)
    }
}

impl Passage {
    pub(super) fn leg(&self, end: End) -> &Leg {
        match end {
            End::Caller => &self.caller,
            End::Callee => &self.callee,
        }
    }

    pub(super) fn leg_mut(&mut self, end: End) -> &mut Leg {
        match end {
            End::Caller => &mut self.caller,
            End::Callee => &mut self.callee,
        }
    }
}
