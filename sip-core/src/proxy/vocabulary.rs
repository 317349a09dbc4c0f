//! What a proxy is told, and what it tells: its configuration, the options of one request, its events.

use super::{fork::BranchEnd, preprocess::Unfit};
use crate::{
    arena::handle,
    config::{SentBy, TransactionConfig},
    event::Refusal,
    io::{Flow, PeerIdentity},
    limits::Limit,
    message::{Request, Response, StatusCode},
    transport::FlowTokens,
};
use std::{sync::Arc, time::Duration};

handle! {
    /// A request on its way through the proxy, to [`ProxyEvent::Done`].
    pub ForwardHandle
}

/// What a proxy is told once.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Timers, listeners and bounds of the layers below.
    pub transactions: TransactionConfig,
    /// Names and addresses that are ours, besides those of the listeners: in a Route they mean this proxy.
    pub names: Vec<SentBy>,
    /// Makes this proxy the edge proxy of its telephones (RFC 5626 §5): the Path and Record-Route values it writes for
    /// them name the flow they came by, and what comes back with such a value goes over that flow and no other.
    pub flow_tokens: Option<FlowTokens>,
    /// Timer C: how long an INVITE may stay without final response, counted anew from each provisional one. More than
    /// three minutes (§16.6 step 11).
    pub ringing: Duration,
    /// `Max-Breadth` of requests that have none (RFC 5393 §5.3.3.1).
    pub breadth: u16,
    /// Requests on their way at once.
    pub requests: usize,
    /// Branches of one request.
    pub branches: usize,
    /// `Proxy-Require` tags that are understood.
    pub supported: Vec<String>,
    /// `Server` of the responses made here.
    pub software: Option<String>,
}

impl ProxyConfig {
    /// The defaults of the RFCs, for sockets that are listened on.
    #[must_use]
    pub fn new(mut transactions: TransactionConfig) -> Self {
        // A proxy forwards what came by two ways; it is the server that refuses it (§8.2.2.2).
        transactions.refuse_merged = false;
        Self {
            transactions,
            names: Vec::new(),
            flow_tokens: None,
            ringing: Duration::from_secs(181),
            breadth: 60,
            requests: 20_000,
            branches: 32,
            supported: Vec::new(),
            software: None,
        }
    }
}

/// What a proxy tells its application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProxyEvent {
    /// A request that is fit to be forwarded: `forward` it, or `respond`.
    Request {
        /// Its handle.
        request: ForwardHandle,
        /// The request, our own Route values taken off.
        message: Request,
        /// Where it came from.
        flow: Flow,
        /// Who the other end of a TLS connection proved to be.
        peer_identity: Option<Arc<PeerIdentity>>,
        /// It has a Route left, or its request line is not ours: it goes where it says, and asks for no location.
        is_routed: bool,
    },
    /// A response passes through, the best one or one that is not waited for.
    Response {
        /// The request.
        request: ForwardHandle,
        /// As it is forwarded.
        response: Response,
    },
    /// One branch has ended.
    BranchEnded {
        /// The request.
        request: ForwardHandle,
        /// Which branch, in the order of the target set.
        branch: usize,
        /// How.
        end: BranchEnd,
    },
    /// Nothing more will be heard of this request.
    Done {
        /// The request.
        request: ForwardHandle,
        /// The final status that was forwarded; `None` when the client gave up or was lost.
        status: Option<StatusCode>,
    },
    /// The proxy refused or dropped something by itself.
    Refused {
        /// Where it came from.
        flow: Flow,
        /// What was sent back.
        status: Option<StatusCode>,
        /// By which rule.
        rule: ProxyRefusal,
        /// The first line of what was refused, shortened.
        first_line: String,
    },
    /// A bound was met.
    LimitReached {
        /// Which.
        limit: Limit,
    },
}

/// Why the proxy refused something by itself.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ProxyRefusal {
    /// It is not fit to be forwarded.
    Unfit(Unfit),
    /// A rule that holds for all of this crate.
    Other(Refusal),
}

/// How a request is forwarded, beside where to.
#[derive(Clone, Debug, Default)]
pub struct ForwardOptions {
    /// Whether this proxy stays on the route of the dialog (§16.6 step 4).
    pub record_route: bool,
    /// Whether a REGISTER gets a `Path` (RFC 3327).
    pub path: bool,
    /// How long telephones may ring before they are cancelled and the next group is tried, or the best answer given;
    /// `None`: until timer C.
    pub ring_for: Option<Duration>,
    /// Header fields to be added.
    pub headers: crate::command::Headers,
}

/// How much a proxy holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyCounts {
    /// Requests on their way.
    pub requests: usize,
    /// Client transactions with somebody waiting for them.
    pub clients: usize,
    /// Server transactions with somebody to answer them.
    pub servers: usize,
    /// Deadlines above the transactions.
    pub deadlines: usize,
}
