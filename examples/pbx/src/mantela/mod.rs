//! Mantela: how exchanges of small networks publish themselves (schema 0.1.x), and what can be read from it: who is where, and by
//! which digits each telephone is reached from here.
//!
//! A document is published only where `[mantela] listen` says, with what the operator wants known and never a secret. Documents of
//! neighbours are read with patience: what is missing or broken in them is left out, not fatal.

mod network;
mod publish;
mod serve;

pub use network::{Network, Reach, pulse_seconds};
pub use publish::document;
pub use serve::Server;
