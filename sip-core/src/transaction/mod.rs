//! STUB until the lower half's arrives.
mod event;
mod machine {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub(crate) enum Timer {}
}
pub use crate::transport::Target;
use crate::{
    config::TransactionConfig,
    error::Misuse,
    io::{Input, Output, Seed},
    message::{Request, Response},
};
pub use event::*;
use std::time::Instant;
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
        Err(Misuse::NoTransport)
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
}
