//! STUN, TURN and ICE without sockets.
//!
//! - [`stun`]: messages read in place and written without allocation, integrity, credentials, transactions.
//! - [`candidate`]: candidates, their priorities and their text.
//! - [`agent`]: the ICE agent: gathering, checks, nomination, consent, restarts.
//! - [`behaviour`]: what kind of NAT is in the way.
//! - [`turn`]: the client that asks for a relayed address, and the server that gives one.
#![forbid(unsafe_code)]

pub mod agent;
pub mod behaviour;
pub mod candidate;
mod io;
mod random;
pub mod stun;
pub mod turn;

pub use agent::Agent;
pub use candidate::Candidate;
pub use io::{Input, Output, Protocol, QuestionId, Seed, StreamId, Transmit, UserName};
