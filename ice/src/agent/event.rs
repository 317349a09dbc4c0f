//! What an agent tells: candidates, states, the path taken, and for each pair what was tried and why it failed.

use super::config::Role;
use crate::candidate::Candidate;
use crate::stun::ErrorCode;
use crate::turn::client::EndReason;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;

/// A stream of media: a check list with its components. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaStream(pub(super) u32);

impl MediaStream {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// How a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamState {
    /// Candidates or credentials of the peer are wanted.
    New,
    /// Pairs are being checked.
    Checking,
    /// Every component has a pair that works; media may flow, and a better pair may still be chosen.
    Connected,
    /// Every component has its pair.
    Completed,
    /// The peer has not answered for as long as consent lives. Restart, or wait.
    Disconnected,
    /// No pair works.
    Failed,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentEvent {
    /// A candidate to tell the peer.
    CandidateGathered {
        /// Of which stream.
        stream: MediaStream,
        /// The candidate.
        candidate: Candidate,
    },
    /// A server gave no candidate.
    ServerFailed {
        /// For which stream.
        stream: MediaStream,
        /// Which server.
        server: SocketAddr,
        /// Why.
        reason: ServerFailure,
    },
    /// There are no more candidates to come (end-of-candidates), until an address is added.
    GatheringFinished {
        /// Of which stream.
        stream: MediaStream,
    },
    /// A stream's state is another.
    StateChanged {
        /// Which stream.
        stream: MediaStream,
        /// Its state.
        state: StreamState,
    },
    /// A component has its pair, or another pair than before.
    PairSelected {
        /// Which stream.
        stream: MediaStream,
        /// Which component.
        component: u16,
        /// Our candidate as the peer sees it.
        local: Box<Candidate>,
        /// The peer's.
        remote: Box<Candidate>,
    },
    /// The peer does not answer any more; nothing is sent to it (RFC 7675).
    ConsentLost {
        /// Which stream.
        stream: MediaStream,
        /// Which component.
        component: u16,
    },
    /// Both ends had the same role; now this is ours.
    RoleChanged {
        /// Ours.
        role: Role,
    },
    /// A limit is reached; what would exceed it was dropped.
    LimitReached {
        /// For which stream.
        stream: MediaStream,
        /// Which limit.
        limit: AgentLimit,
    },
    /// A stream is gone. Nothing comes after this.
    StreamEnded {
        /// Which.
        stream: MediaStream,
        /// Why.
        reason: StreamEnd,
    },
}

/// Why a stream is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamEnd {
    /// [`Agent::remove_stream`](super::Agent::remove_stream) was called.
    Removed,
}

/// Which limit of [`AgentLimits`](super::AgentLimits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AgentLimit {
    /// Candidate pairs.
    Pairs,
    /// Remote candidates.
    RemoteCandidates,
    /// Checks before credentials.
    EarlyChecks,
    /// TCP connections.
    Connections,
    /// Names.
    Names,
}

/// Why a server gave no candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerFailure {
    /// A STUN server did not answer.
    NoAnswer,
    /// A STUN server answered with an error.
    Refused(ErrorCode),
    /// A TURN server's allocation ended.
    Turn(EndReason),
}

/// A command that makes no sense now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AgentMisuse {
    /// No such stream, or it has been removed.
    #[error("no such stream")]
    UnknownStream,
    /// The stream does not have this component.
    #[error("the stream does not have this component")]
    UnknownComponent,
    /// This address is in use by a component already.
    #[error("this address belongs to a component already")]
    AddressInUse,
    /// No such local address.
    #[error("no such local address")]
    UnknownAddress,
    /// The fragment or the password is shorter or longer than RFC 8839 allows.
    #[error("credentials must have 4 to 256 and 22 to 256 characters")]
    BadCredentials,
    /// A limit is reached.
    #[error("a limit is reached")]
    LimitReached,
}

/// How a pair stands (RFC 8445 section 6.1.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PairState {
    /// Waits until a pair of the same foundation is known to work or not.
    Frozen,
    /// To be checked.
    Waiting,
    /// Being checked.
    InProgress,
    /// Works.
    Succeeded,
    /// Does not work.
    Failed,
    /// Not checked to the end: another pair was chosen.
    NotNeeded,
}

/// Why a pair does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PairFailure {
    /// No answer to any request.
    NoAnswer,
    /// The peer refused.
    Refused(ErrorCode),
    /// The answer came from elsewhere, or to elsewhere.
    Asymmetric,
    /// The answer made no sense.
    BadAnswer,
    /// The stream could not be opened, or broke.
    StreamFailed,
    /// The TURN server does not relay to this peer.
    RelayRefused,
    /// The local address is gone.
    AddressGone,
}

/// What was tried with a pair, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairReport {
    /// Which component.
    pub component: u16,
    /// Our candidate.
    pub local: Candidate,
    /// The peer's.
    pub remote: Candidate,
    /// Its priority.
    pub priority: u64,
    /// How it stands.
    pub state: PairState,
    /// Why it does not work.
    pub failure: Option<PairFailure>,
    /// Checks sent, repetitions included.
    pub requests_sent: u32,
    /// Answers that came.
    pub responses_received: u32,
    /// The peer's checks that came by it.
    pub requests_received: u32,
    /// The round trip of the last check that was answered at its first sending.
    pub round_trip: Option<Duration>,
    /// Our address as the peer sees it by this pair.
    pub mapped: Option<SocketAddr>,
    /// Whether the controlling end has chosen it.
    pub nominated: bool,
    /// Whether media uses it.
    pub selected: bool,
}

impl fmt::Display for PairReport {
    /// One line for people.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |candidate: &Candidate| {
            let kind = candidate.kind;
            match &candidate.address {
                crate::candidate::CandidateAddress::Ip(address) => format!("{kind} {address}"),
                crate::candidate::CandidateAddress::Name(name, port) => format!("{kind} {name}:{port}"),
            }
        };
        write!(formatter, "component {}: {} to {}: ", self.component, side(&self.local), side(&self.remote))?;
        let requests = self.requests_sent;
        match (self.state, self.failure) {
            (PairState::Frozen, _) => write!(formatter, "not tried yet")?,
            (PairState::Waiting, _) => write!(formatter, "to be tried")?,
            (PairState::InProgress, _) => write!(formatter, "being tried, {requests} requests sent")?,
            (PairState::Succeeded, _) => {
                let chosen = if self.selected { ", in use" } else { ", not chosen" };
                write!(formatter, "works{chosen}")?;
                if let Some(round_trip) = self.round_trip {
                    write!(formatter, ", round trip {} ms", round_trip.as_millis())?;
                }
            }
            (PairState::NotNeeded, _) if requests == 0 => {
                write!(formatter, "not tried: another pair was chosen")?
            }
            (PairState::NotNeeded, _) => {
                write!(formatter, "no answer to {requests} requests when another pair was chosen")?;
            }
            (PairState::Failed, Some(PairFailure::Refused(code))) => {
                write!(formatter, "the peer refused it: {code}")?;
            }
            (PairState::Failed, Some(PairFailure::Asymmetric)) => {
                write!(formatter, "answers took another way than requests")?;
            }
            (PairState::Failed, Some(PairFailure::BadAnswer)) => {
                write!(formatter, "the answer made no sense")?
            }
            (PairState::Failed, Some(PairFailure::StreamFailed)) => {
                write!(formatter, "the connection could not be opened")?;
            }
            (PairState::Failed, Some(PairFailure::RelayRefused)) => {
                write!(formatter, "the TURN server does not relay to this peer")?;
            }
            (PairState::Failed, Some(PairFailure::AddressGone)) => write!(formatter, "our address is gone")?,
            (PairState::Failed, Some(PairFailure::NoAnswer) | None) => match self.requests_received {
                0 => write!(formatter, "no answer to {requests} requests, and none from the peer")?,
                received => {
                    write!(
                        formatter,
                        "no answer to {requests} requests, though {received} came from the peer"
                    )?;
                }
            },
        }
        Ok(())
    }
}
