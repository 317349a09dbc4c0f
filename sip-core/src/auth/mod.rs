//! Who is it? Digest authentication of RFC 7616 and RFC 8760, both sides.
//!
//! [`digest`] is the arithmetic, [`nonce`] and [`replay`] what a server needs to be sure that an answer is new.

pub mod algorithm;
pub mod digest;
pub mod nonce;
pub mod replay;
pub mod secret;
