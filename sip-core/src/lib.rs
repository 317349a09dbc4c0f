//! SIP without sockets: messages, transactions, dialogs, calls, registrations.
#![forbid(unsafe_code)]

pub mod auth;
