//! STUN, TURN and ICE without sockets.
//!
//! - [`stun`]: messages read in place and written without allocation, integrity, credentials, transactions.
//! - [`turn`]: the client that asks for a relayed address, and the server that gives one.
#![forbid(unsafe_code)]

mod io;
#[allow(dead_code)]
mod random;
pub mod stun;
pub mod turn;

pub use io::{Input, Output, Protocol, QuestionId, Seed, StreamId, Transmit, UserName};
