//! STUN (RFC 8489; peers of RFC 5389 too): messages, integrity, credentials, transactions, framing.
//!
//! [`Message`] is a view of a datagram that was checked once and is read in place; [`Writer`] writes into the caller's
//! buffer. Neither allocates. Classic STUN (RFC 3489, no magic cookie) is left out.
//!
//! "What is my address?", asked and answered:
//!
//! ```
//! use denwa_ice::stun::attribute::{Software, XorMappedAddress};
//! use denwa_ice::stun::{Class, Message, Method, TransactionId, Writer, is_stun};
//! use std::net::SocketAddr;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut request = [0; 200];
//! let id = TransactionId([7; 12]); // 12 bytes that nobody can guess
//! let mut writer = Writer::new(&mut request, Class::Request, Method::BINDING, id);
//! writer.put(&Software("example"));
//! writer.fingerprint();
//! let length = writer.finish()?; // faults of all that was put are told here
//!
//! // The server, which sees where it came from:
//! let client: SocketAddr = "203.0.113.5:61000".parse()?;
//! assert!(is_stun(&request[..length]));
//! let asked = Message::parse(&request[..length])?;
//! assert_eq!((asked.method(), asked.fingerprint()), (Method::BINDING, Some(true)));
//! let mut response = [0; 200];
//! let mut writer = Writer::new(&mut response, Class::Success, asked.method(), asked.id());
//! writer.put(&XorMappedAddress(client));
//! let length = writer.finish()?;
//!
//! // The client again. On a network, [`Transactions`] repeats requests and finds what a response belongs to.
//! let told = Message::parse(&response[..length])?;
//! assert_eq!(told.id(), id);
//! assert_eq!(told.get::<XorMappedAddress>()?, Some(XorMappedAddress(client)));
//! # Ok(()) }
//! ```

pub mod address;
pub mod attribute;
pub mod credentials;
pub mod error_code;
pub mod fingerprint;
pub mod framing;
mod hmac_sha1;
pub mod integrity;
pub mod message;
pub mod transaction;
pub mod writer;

pub use attribute::{Attribute, AttributeKind};
pub use credentials::{LongTerm, PasswordAlgorithm};
pub use error_code::ErrorCode;
pub use integrity::{IntegrityFailure, IntegrityKey};
pub use message::{Class, Message, Method, ParseError, TransactionId, is_stun};
pub use transaction::{Timing, Transactions};
pub use writer::{WriteError, Writer};
