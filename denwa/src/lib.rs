//! The front door: media sessions, bridges, evidence, guard, and the tokio drivers.
#![forbid(unsafe_code)]

pub mod address;
pub mod evidence;
pub mod guard;
pub mod port_set;
mod seed;

pub use seed::Seed;
