//! SIP without sockets: messages, transactions, dialogs, calls, registrations.
//!
//! ```text
//! message, header      bytes ↔ values
//! transport, resolve   streams → messages, flows, where a response goes; RFC 3263
//! transaction          the four machines of RFC 3261 §17
//! auth                 digest authentication, both sides
//! dialog               dialogs: ids, route sets, requests inside
//! call, subscription, publication, registration, registrar   what dialogs and transactions are used for
//! proxy, b2bua         requests on their way to somebody else
//! endpoint             all of it as one machine, for telephones and exchanges
//! ```
#![forbid(unsafe_code)]

pub mod auth;
pub mod b2bua;
pub mod call;
pub mod command;
pub mod config;
pub mod dialog;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod handle;
pub mod header;
pub mod io;
pub mod limits;
pub mod lookup;
pub mod message;
pub mod proxy;
pub mod publication;
pub mod registrar;
pub mod registration;
pub mod resolve;
pub mod subscription;
pub mod transaction;
pub mod transport;

mod agenda;
mod arena;
mod context;
mod deadline;
mod id;
mod outbox;
mod random;
mod upkeep;

pub use error::{Attitude, BuildError, Forgiven, Liberty, Misuse, ParseError, Problem};
pub use header::HeaderName;
pub use io::{Input, Output, Protocol, Seed, StreamId, Transmit};
pub use message::{Message, Method, Request, Response, StatusCode, Uri, UriBuf};
