//! STUB until the lower half's arrives: only what the upper half needs to be type-checked.
use crate::{
    error::Misuse,
    error::ParseError,
    io::{Flow, Input, Output, PeerIdentity, Seed},
    limits::Limit,
    message::{Method, Request, Response, UriBuf},
};
use std::time::{Duration, Instant};
/// S
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);
/// S
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(u64);
/// S
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// S
    Uri(UriBuf),
    /// S
    Address {
        /// S
        protocol: crate::io::Protocol,
        /// S
        remote: std::net::SocketAddr,
        /// S
        local: Option<std::net::SocketAddr>,
    },
    /// S
    Flow(Flow),
}
/// S
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// S
    pub flow: Flow,
    /// S
    pub peer_identity: Option<PeerIdentity>,
}
/// S
#[derive(Clone, Debug, Default)]
pub struct SendOptions {
    /// S
    pub sent_by: Option<(String, u16)>,
    /// S
    pub contact: Option<ContactTemplate>,
}
/// S
#[derive(Clone, Debug, Default)]
pub struct ContactTemplate {
    /// S
    pub user: String,
    /// S
    pub parameters: String,
}
/// S
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// S
    TimedOut,
    /// S
    Unreachable,
    /// S
    Other,
}
/// S
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TransactionEvent {
    /// S
    Request {
        /// S
        transaction: ServerId,
        /// S
        request: Request,
        /// S
        origin: Origin,
        /// S
        merged: bool,
    },
    /// S
    Ack {
        /// S
        request: Request,
        /// S
        origin: Origin,
    },
    /// S
    Cancelled {
        /// S
        transaction: ServerId,
        /// S
        cancel: Request,
    },
    /// S
    ServerEnded {
        /// S
        transaction: ServerId,
        /// S
        failure: Option<Failure>,
    },
    /// S
    Response {
        /// S
        transaction: ClientId,
        /// S
        response: Response,
        /// S
        origin: Origin,
    },
    /// S
    StrayResponse {
        /// S
        response: Response,
        /// S
        origin: Origin,
    },
    /// S
    ClientEnded {
        /// S
        transaction: ClientId,
        /// S
        failure: Option<Failure>,
    },
    /// S
    Refused {
        /// S
        origin: Origin,
        /// S
        error: ParseError,
    },
    /// S
    LimitReached {
        /// S
        limit: Limit,
    },
}
/// S
#[derive(Clone, Debug)]
pub struct TransactionConfig {
    /// S
    pub t1: Duration,
    /// S
    pub t2: Duration,
}
impl Default for TransactionConfig {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4) }
    }
}
/// S
#[derive(Debug)]
pub struct Transactions;
impl Transactions {
    /// S
    pub fn new(_: TransactionConfig, _: Seed, _: Instant) -> Self {
        Self
    }
    /// S
    pub fn handle_input(&mut self, _: Input<'_>, _: Instant) {}
    /// S
    pub fn handle_timeout(&mut self, _: Instant) {}
    /// S
    pub fn poll_output(&mut self) -> Option<Output<TransactionEvent>> {
        None
    }
    /// S
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// S
    pub fn send_request(
        &mut self,
        _: Request,
        _: Target,
        _: SendOptions,
        _: Instant,
    ) -> Result<ClientId, Misuse> {
        Ok(ClientId(0))
    }
    /// S
    pub fn cancel(&mut self, _: ClientId, _: &[(&str, &str)], _: Instant) -> Result<(), Misuse> {
        Ok(())
    }
    /// S
    pub fn send_ack(&mut self, _: Request, _: Target, _: SendOptions, _: Instant) -> Result<(), Misuse> {
        Ok(())
    }
    /// S
    pub fn respond(&mut self, _: ServerId, _: Response, _: Instant) -> Result<(), Misuse> {
        Ok(())
    }
    /// S
    pub fn respond_stateless(&mut self, _: &Origin, _: Response, _: Instant) {}
    /// S
    pub fn method(&self) -> Option<Method> {
        None
    }
}
