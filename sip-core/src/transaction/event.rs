//! What the transaction layer tells the one above it, and what that one may ask for.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;

use crate::{
    config::SentBy,
    error::ParseError,
    id::Id,
    io::{Flow, PeerIdentity, RouteInfo, StreamId},
    limits::Limit,
    message::{Request, Response, StatusCode, UriBuf},
    resolve::ResolveFailure,
    transport::{Hop, ReplyPath},
};

/// A client transaction. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub(crate) Id);

/// A server transaction. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub(crate) Id);

/// A question for the way to a URI. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocateId(pub(crate) u64);

/// How a request is to be sent.
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    /// Host and port in the Via, instead of what the listener says.
    pub sent_by: Option<SentBy>,
    /// Adds a Contact once it is known by which address the request leaves.
    pub contact: Option<ContactTemplate>,
    /// Added to the branch, for a proxy's loop detection (RFC 5393 §4.2). A token.
    pub branch_suffix: Option<String>,
}

/// A Contact whose host and port are not known yet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContactTemplate {
    /// The user part; empty for none.
    pub user: String,
    /// What follows the URI: `;expires=60;+sip.instance="…"`.
    pub parameters: String,
    /// Parameters of the URI, such as `;ob`.
    pub uri_parameters: String,
    /// A whole URI to stand there instead of user and address: a GRUU.
    pub uri: Option<UriBuf>,
}

/// Who sent a message, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The flow it came on.
    pub flow: Flow,
    /// Who the peer proved to be by its certificate.
    pub peer_identity: Option<Arc<PeerIdentity>>,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TransactionEvent {
    /// A new request. Answer it with [`respond`](super::Transactions::respond).
    Request {
        /// The transaction it opened.
        transaction: ServerId,
        /// The request, its top Via stamped with `received` and `rport`.
        request: Request,
        /// Where it came from.
        origin: Origin,
        /// A request like this one came by another way and is still open; told only when such are not
        /// [refused](crate::config::TransactionConfig::refuse_merged).
        merged_with: Option<ServerId>,
    },
    /// A new request of a method that is [served statelessly](super::Transactions::serve_statelessly), and of no dialog.
    /// Answer it with [`respond_stateless`](super::Transactions::respond_stateless).
    StatelessRequest {
        /// The request, its top Via stamped with `received` and `rport`.
        request: Request,
        /// Where it came from.
        origin: Origin,
        /// How its responses travel.
        path: ReplyPath,
    },
    /// An ACK to a 2xx.
    Ack {
        /// The ACK.
        request: Request,
        /// Where it came from.
        origin: Origin,
        /// The INVITE's transaction, if the ACK has its branch (which an ACK to a 2xx should not).
        transaction: Option<ServerId>,
    },
    /// The INVITE was cancelled. The CANCEL has been answered 200; the INVITE wants a 487.
    Cancelled {
        /// The INVITE's transaction.
        transaction: ServerId,
        /// The CANCEL, which may hold a Reason.
        request: Request,
        /// Where it came from.
        origin: Origin,
    },
    /// A server transaction is over; its handle is unknown from now on.
    ServerEnded {
        /// Which.
        transaction: ServerId,
        /// Why.
        reason: EndReason,
    },
    /// A response could not be sent; the transaction goes on (RFC 6026 §8.5).
    ResponseUndelivered {
        /// Which.
        transaction: ServerId,
        /// Why.
        reason: EndReason,
    },
    /// A response to a request of ours. All 2xx to an INVITE come, repeated ones and those of other forks included.
    Response {
        /// The transaction.
        transaction: ClientId,
        /// The response, our Via still on top.
        response: Response,
        /// Where it came from.
        origin: Origin,
    },
    /// A 2xx to an INVITE whose transaction is over: a late fork, or a repeat after timer M.
    StrayResponse {
        /// The response.
        response: Response,
        /// Where it came from.
        origin: Origin,
    },
    /// A client transaction is over; its handle is unknown from now on.
    ClientEnded {
        /// Which.
        transaction: ClientId,
        /// Why.
        reason: EndReason,
        /// The last flow it was tried on.
        flow: Option<Flow>,
    },
    /// One server did not serve and the next one is tried, within the same transaction (RFC 3263 §4.3).
    FailedOver {
        /// Which.
        transaction: ClientId,
        /// The one that failed.
        from: Hop,
        /// Why.
        reason: EndReason,
        /// The one that is tried now.
        to: Hop,
    },
    /// The answer to [`locate`](super::Transactions::locate).
    Located {
        /// Which question.
        id: LocateId,
        /// The ways there, the best one first, and how a packet to the first one leaves; or why there is none.
        outcome: Result<Located, ResolveFailure>,
    },
    /// A message that could not be read, or lacks what it must have.
    Refused {
        /// Where it came from.
        origin: Origin,
        /// What is wrong.
        error: ParseError,
        /// What was answered, if it was a request that could be answered.
        answered: Option<StatusCode>,
    },
    /// A request that was refused here, without the layer above.
    Rejected {
        /// Where it came from.
        origin: Origin,
        /// The request.
        request: Request,
        /// What was answered; `None` when nothing was.
        answered: Option<StatusCode>,
        /// By which rule.
        rule: RejectRule,
    },
    /// What came, whole, before anything was done with it: told only when
    /// [asked for](crate::config::TransactionConfig::tell_received).
    Received {
        /// Where it came from.
        flow: Flow,
        /// One message, or what claims to be one.
        bytes: Bytes,
    },
    /// A response that belongs to nothing here.
    ResponseDropped {
        /// Where it came from.
        origin: Origin,
        /// The response.
        response: Response,
    },
    /// A response of this transaction, which follows, names another host or port in our Via than the request did:
    /// something on the way writes in messages, as the "SIP ALG" of some routers does.
    ViaAltered {
        /// The transaction.
        transaction: ClientId,
        /// The flow the request left on.
        flow: Flow,
        /// What the request named.
        sent: SentBy,
        /// What the response names.
        returned: SentBy,
    },
    /// A bound was reached; the newcomer was refused.
    LimitReached {
        /// Which bound.
        limit: Limit,
        /// Whose doing it was, if it was somebody's.
        from: Option<IpAddr>,
    },
    /// A stream stands.
    StreamOpened {
        /// Its ends.
        flow: Flow,
        /// Who the peer proved to be.
        peer_identity: Option<Arc<PeerIdentity>>,
    },
    /// A UDP flow that was kept alive is dead, or the NAT on the way has given it another address: what was registered over
    /// it must be registered anew (RFC 5626 §4.4.2).
    FlowFailed {
        /// Its ends.
        flow: Flow,
    },
    /// How a peer that keeps a flow alive with us sees our end of it.
    SeenAs {
        /// The flow.
        flow: Flow,
        /// Our address as seen from there.
        address: std::net::SocketAddr,
    },
    /// A stream is gone; registrations over it are dead.
    StreamClosed {
        /// Its ends.
        flow: Flow,
        /// Why.
        reason: StreamEnd,
    },
}

/// Ways to a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The best one first.
    pub hops: Vec<Hop>,
    /// How a packet to the first one leaves, if the driver says so.
    pub route: Option<RouteInfo>,
    /// What a request to the first one would have in its Via.
    pub sent_by: Option<SentBy>,
}

/// Why a transaction is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// A final response was received or sent, and the wait for repeats is over.
    Completed,
    /// No final response in time (timers B, F): as good as a 408.
    TimedOut,
    /// The network says that the peer cannot be reached: as good as a 503.
    Unreachable,
    /// The stream could not be opened or broke, and why: as good as a 503.
    StreamFailed(StreamEnd),
    /// No server was found for the URI.
    Unresolved(ResolveFailure),
    /// There is no own address to send from.
    NoRoute,
    /// The peer asked for fewer requests (RFC 7339), and this one was held back: as good as a 503.
    HeldBack,
    /// The ACK to a failure never came (timer H).
    NotAcknowledged,
    /// The layer above sent no final response while the client waited (RFC 4320).
    NotAnswered,
    /// It was cancelled before it was sent.
    Cancelled,
    /// A bound was reached.
    Limit(Limit),
}

/// Why a request was refused without the layer above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectRule {
    /// The same request came by another way (RFC 3261 §8.2.2.2).
    Merged,
    /// A CANCEL for nothing (RFC 3261 §9.2).
    NothingToCancel,
    /// No room for another transaction.
    Overloaded,
}

/// Why a stream is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamEnd {
    /// The peer or the network closed it.
    ClosedByPeer,
    /// It could not be opened.
    Failed(crate::io::StreamFailure),
    /// It took too long to open.
    NotOpened,
    /// What came could not be cut into messages any more.
    BadFraming,
    /// The peer did not finish a message in time.
    UnfinishedMessage,
    /// The peer did not answer a keep-alive.
    NoAnswer,
    /// It was closed on request.
    ClosedHere,
    /// It was gone before it was wanted. Only in [`EndReason::StreamFailed`].
    Gone,
}

impl StreamEnd {
    /// As the end of a transaction on that stream.
    pub(crate) const fn for_transaction(self) -> EndReason {
        EndReason::StreamFailed(self)
    }
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DeadlineKey {
    Client(Id, super::machine::Timer),
    Server(Id, super::machine::Timer),
    Stream(StreamId),
    /// The driver owes answers.
    Queries,
    /// A flow that is kept alive.
    KeepAlive(Id),
}
