//! Ours and the real ones: baresip over UDP, TCP and TLS, Chromium over WSS; plain, SDES and DTLS-SRTP; with ICE and without;
//! each codec both have; hold, transfer, keys by each way, codecs changed in the call. Each row of the tables is a call, and in
//! each, after everything that is done to it, what one end says is looked for in what the other hears.
//!
//! Nothing is timed: voices repeat without end, and a row goes on when a whole sentence has come through.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../real_peers/authority.rs"]
mod authority;
mod baresip;
mod browser;
mod ours;
