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
//!
//! Which of them to take: [`Message`] alone reads and rewrites; [`transaction::Transactions`] is for a server that answers single
//! requests; [`proxy::Proxy`] forwards and forks; [`endpoint::Endpoint`] is a telephone, a registrar or an exchange. The last three
//! are machines with the same five verbs – `new(config, seed, now)`, `handle_input`, `handle_timeout`, `poll_output`,
//! `poll_timeout` – and the same [`Input`] and [`Output`]; each module shows one at work. None has a socket, a clock or a thread.
//!
//! # Reading and rewriting
//!
//! A message is an index over the bytes that came. What is not touched is written back byte for byte.
//!
//! ```
//! use denwa_sip_core::{Message, StatusCode, header::HeaderName};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let message = Message::parse_lenient(
//!     "INVITE sip:200@pbx.example SIP/2.0\r\n\
//!      v: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1\r\n\
//!      f: \"Anna\" <sip:100@pbx.example>;tag=1\r\n\
//!      t: <sip:200@pbx.example>\r\n\
//!      i: 7@192.0.2.1\r\n\
//!      CSeq: 1 INVITE\r\n\
//!      Max-Forwards: 70\r\n\
//!      X-Odd: kept as it is\r\n\r\n"
//!         .into(),
//! )?;
//! let invite = message.as_request().ok_or("a response")?;
//! assert_eq!(invite.uri()?.user(), Some("200"));
//! assert_eq!(invite.from()?.tag(), Some("1"));
//!
//! let onward = invite.edit().uri("sip:200@192.0.2.7").set(HeaderName::MaxForwards, 69).append("X-New", "yes").finish()?;
//! assert!(onward.to_string().starts_with("INVITE sip:200@192.0.2.7 SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.1:5060"));
//! assert_eq!(onward.get("X-Odd"), Some("kept as it is"));
//!
//! let busy = invite.response(StatusCode::BUSY_HERE).to_tag("2").finish()?; // the bytes to send are busy.bytes()
//! assert!(busy.to_string().starts_with("SIP/2.0 486 Busy Here\r\n"));
//!
//! // Faults have an offset and say what was expected.
//! let fault = Message::parse_lenient("INVITE\r\n\r\n".into()).unwrap_err();
//! println!("{fault}");
//! # Ok(()) }
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
mod words;

pub use error::{Attitude, BuildError, Forgiven, Liberty, Misuse, ParseError, Problem};
pub use header::HeaderName;
pub use io::{Input, Output, Protocol, Seed, StreamId, Transmit};
pub use message::{Message, Method, Request, Response, StatusCode, Uri, UriBuf};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
