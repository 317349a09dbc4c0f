//! The front door: media sessions, bridges, evidence, guard, and the tokio drivers.
#![forbid(unsafe_code)]

pub mod address;
pub mod bridge;
pub mod driver;
pub mod evidence;
pub mod guard;
pub mod media;
pub mod port_set;
mod seed;
#[cfg(feature = "tokio")]
pub mod tokio;
pub mod ua;

pub use seed::Seed;
