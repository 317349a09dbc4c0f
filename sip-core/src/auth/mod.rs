//! Who is it? Digest authentication of RFC 7616 and RFC 8760, both sides; signed identities of RFC 8224.
//!
//! [`digest`] is the arithmetic, [`nonce`] and [`replay`] what a server needs to be sure that an answer is new,
//! [`server`] and [`client`] the two sides. No sockets, no messages: values of header fields in and out.

pub mod algorithm;
pub mod client;
pub mod digest;
pub mod identity;
pub mod json;
pub mod nonce;
pub mod parameters;
pub mod passport;
pub mod replay;
pub mod secret;
pub mod server;
