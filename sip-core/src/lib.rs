//! SIP without sockets: messages, transactions, dialogs, calls, registrations.
//!
//! ```text
//! message, header      bytes ↔ values
//! transport, resolve   streams → messages, flows, where a response goes; RFC 3263
//! transaction          the four machines of RFC 3261 §17
//! ```
#![forbid(unsafe_code)]

pub mod error;
pub mod header;
pub mod io;
pub mod limits;
pub mod message;

pub use error::{Attitude, BuildError, Forgiven, Liberty, Misuse, ParseError, Problem};
pub use header::HeaderName;
pub use io::{Input, Output, Protocol, Seed, StreamId, Transmit};
pub use message::{Message, Method, Request, Response, StatusCode, Uri, UriBuf};
