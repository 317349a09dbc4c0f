//! Reasons and states in words, for a log line or an operator: part of a sentence, without a full stop.

use crate::agent::{AgentLimit, PairFailure, ServerFailure, StreamState};
use crate::io::Protocol;
use crate::stun::Method;
use crate::turn::client::{EndReason, RequestFailure};
use std::fmt::{Display, Formatter, Result};

impl Display for Protocol {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Dtls => "DTLS",
        })
    }
}

impl Display for Method {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "method {:#05x}", self.code()),
        }
    }
}

impl Display for StreamState {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str(match self {
            Self::New => "waiting for the peer's candidates",
            Self::Checking => "checking",
            Self::Connected => "connected",
            Self::Completed => "completed",
            Self::Disconnected => "disconnected",
            Self::Failed => "failed",
        })
    }
}

impl Display for PairFailure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Self::NoAnswer => formatter.write_str("no answer"),
            Self::Refused(code) => write!(formatter, "the peer refused: {code}"),
            Self::Asymmetric => formatter.write_str("the answer took another way"),
            Self::BadAnswer => formatter.write_str("the answer made no sense"),
            Self::StreamFailed => formatter.write_str("no connection"),
            Self::RelayRefused => formatter.write_str("the TURN server does not relay to this peer"),
            Self::AddressGone => formatter.write_str("our address is gone"),
        }
    }
}

impl Display for ServerFailure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Self::NoAnswer => formatter.write_str("the STUN server did not answer"),
            Self::Refused(code) => write!(formatter, "the STUN server refused: {code}"),
            Self::Turn(reason) => write!(formatter, "TURN: {reason}"),
        }
    }
}

impl Display for AgentLimit {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        formatter.write_str(match self {
            Self::Pairs => "candidate pairs",
            Self::RemoteCandidates => "candidates of the peer",
            Self::EarlyChecks => "checks before credentials",
            Self::Connections => "TCP connections",
            Self::Names => "names to resolve",
        })
    }
}

impl Display for EndReason {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Self::Released => formatter.write_str("released"),
            Self::Refused(code) => write!(formatter, "the server refused: {code}"),
            Self::CredentialsRefused => formatter.write_str("the server refused the credentials"),
            Self::NoAnswer => formatter.write_str("the server did not answer"),
            Self::StreamFailed => formatter.write_str("the connection to the server failed"),
            Self::BadAnswer => formatter.write_str("the server's answer made no sense"),
            Self::TooManyRedirects => formatter.write_str("the servers sent us on too often"),
            Self::Expired => formatter.write_str("the server forgot the allocation"),
        }
    }
}

impl Display for RequestFailure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Result {
        match self {
            Self::Refused(code) => write!(formatter, "the server refused: {code}"),
            Self::NoAnswer => formatter.write_str("the server did not answer"),
            Self::StreamFailed => formatter.write_str("the connection failed"),
            Self::BadAnswer => formatter.write_str("the server's answer made no sense"),
        }
    }
}

impl std::error::Error for RequestFailure {}
