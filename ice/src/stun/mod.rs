//! STUN (RFC 8489; peers of RFC 5389 too): messages, integrity, credentials, transactions, framing.
//!
//! [`Message`] is a view of a datagram that was checked once and is read in place; [`Writer`] writes into the caller's
//! buffer. Neither allocates. Classic STUN (RFC 3489, no magic cookie) is left out.

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
