//! A telephone exchange: registrar, back-to-back user agent, media relay.
#![forbid(unsafe_code)]

pub mod config;
pub mod store;
