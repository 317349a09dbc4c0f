//! The front door: media sessions, bridges, evidence, guard, and the tokio drivers.
#![forbid(unsafe_code)]
