//! The registrar: who can be reached where (RFC 3261 §10.3).

pub mod binding;
