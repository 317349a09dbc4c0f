//! A telephone exchange: registrar, back-to-back user agent, media relay.
#![forbid(unsafe_code)]

pub mod cabinet;
pub mod commands;
pub mod config;
pub mod control;
pub mod exchange;
pub mod http;
pub mod links;
pub mod mantela;
pub mod policy;
pub mod route;
pub mod secrets;
pub mod services;
pub mod store;
pub mod why;
