//! RTP, RTCP, SRTP, telephone events, jitter buffer, latching and quality, without sockets.
//!
//! A [`session::Session`] is one participant with one peer: it takes datagrams in place, says what became of each,
//! keeps the statistics and speaks RTCP. Everything it is made of can be used alone: [`packet`] and [`rtcp`] are
//! views and writers, [`source`] and [`sender`] the two directions' book-keeping, [`latch`] follows a peer behind
//! NAT, [`relay`] makes one leg's packets the other's, [`jitter`] gives a smooth stream back,
//! [`telephone_event`] sends and receives digits, [`quality`] says how it sounded.
//!
//! Nothing here opens a socket, reads a clock or draws a random number by itself: time, seed and bytes are
//! arguments. Codecs, session descriptions, ICE and DTLS live in other crates; a payload is bytes, a key is bytes.
#![forbid(unsafe_code)]

pub mod classify;
pub mod comfort_noise;
pub mod error;
pub mod extension;
pub mod interval;
pub mod jitter;
pub mod latch;
pub mod packet;
pub mod quality;
pub mod redundancy;
pub mod relay;
pub mod rtcp;
pub mod sender;
pub mod sequence;
pub mod session;
#[cfg(test)]
#[path = "../tests/shared/mod.rs"]
mod shared;
pub mod source;
pub mod srtp;
pub mod telephone_event;
mod time;
pub mod wallclock;

pub use error::{Misuse, ParseError};
pub use packet::Packet;
pub use session::Session;
