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
//! # Where to begin
//!
//! Whoever makes a telephone, an exchange or a registrar works with an [`endpoint::Endpoint`] alone, whoever passes requests on with a
//! [`proxy::Proxy`], whoever answers single requests with [`transaction::Transactions`] (each shows a program), whoever only reads and
//! writes messages with [`Message`] (and `cargo run -p denwa-sip-core --example inspect`).
//! All machines have the same five verbs: `new`, `handle_input`, `handle_timeout`, `poll_output`, `poll_timeout`; commands stand
//! beside them. Time and randomness are arguments, so that a whole call fits into a test:
//!
//! ```
//! use denwa_sip_core::{Protocol, StatusCode, UriBuf, endpoint::*};
//! use std::{net::SocketAddr, time::Instant};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::now();
//! let (at_alice, at_bob): (SocketAddr, SocketAddr) = ("192.0.2.1:5060".parse()?, "192.0.2.2:5060".parse()?);
//! // In life the seed is of the operating system: tags, branches and nonces come of it.
//! let telephone = |address, seed| {
//!     Endpoint::new(EndpointConfig::new(vec![Listener::new(Protocol::Udp, address)]), Seed([seed; 32]), now)
//! };
//! let (mut alice, mut bob) = (telephone(at_alice, 1), telephone(at_bob, 2));
//!
//! let party = |uri: &str| UriBuf::parse(uri).map(Party::new);
//! let (from, to) = (party("sip:alice@192.0.2.1")?, party("sip:bob@192.0.2.2")?);
//! let mut invite = PlaceCall::new(from, to, Target::address(Protocol::Udp, at_bob));
//! // A body is bytes here: what descriptions say is the affair of `denwa-sdp`.
//! invite.body = Some(Body::sdp("an offer"));
//! alice.place_call(invite, now)?;
//! let mut told = Vec::new();
//! loop {
//!     // A driver does this between machine and sockets, and calls `handle_timeout` when `poll_timeout` says.
//!     if let Some(output) = alice.poll_output() {
//!         match output {
//!             Output::Transmit(it) => {
//!                 let datagram = Input::Datagram { local: at_bob, remote: at_alice, payload: &it.payload };
//!                 bob.handle_input(datagram, now);
//!             }
//!             Output::Event(Event::CallAnswered { .. }) => told.push("alice: answered"),
//!             _ => {}
//!         }
//!     } else if let Some(output) = bob.poll_output() {
//!         match output {
//!             Output::Transmit(it) => {
//!                 let datagram = Input::Datagram { local: at_alice, remote: at_bob, payload: &it.payload };
//!                 alice.handle_input(datagram, now);
//!             }
//!             // Every request of a stranger is first this: authenticate, accept, or respond to it.
//!             Output::Event(Event::Incoming { request, .. }) => {
//!                 let call = bob.accept_call(request, &LocalIdentity::default(), CallOptions::default(), now)?;
//!                 bob.answer(call, &Reply::new(StatusCode::OK).with_body(Body::sdp("an answer")), now)?;
//!             }
//!             Output::Event(Event::CallConfirmed { .. }) => told.push("bob: confirmed"),
//!             _ => {}
//!         }
//!     } else {
//!         break;
//!     }
//! }
//! assert_eq!(told, ["alice: answered", "bob: confirmed"]);
//! # Ok(())
//! # }
//! ```
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
