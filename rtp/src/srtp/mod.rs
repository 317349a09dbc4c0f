//! SRTP and SRTCP, RFC 3711: packets protected in place, with every suite that SIP and DTLS-SRTP negotiate.
//!
//! [`Outbound`] protects what we send under one master key, [`Inbound`] unprotects what a peer sends, each for several
//! SSRCs. Session keys are expanded once; a packet costs no allocation. The AEAD suites (RFC 7714) are ring's, the
//! counter-mode suites (RFC 3711, RFC 6188) RustCrypto's. A packet that fails changes nothing, and why it failed is
//! not told. Left out: RFC 6904 and RFC 9335 (encrypted header extensions), RFC 4771 (carrying the ROC).

mod cipher;
mod inbound;
mod key;
mod key_derivation;
mod outbound;
mod replay;
mod suite;

pub use inbound::Inbound;
pub use key::{Keying, MasterKey, Policy, from_dtls_exporter};
pub use outbound::{Outbound, Refused};
pub use suite::Suite;

/// The most that protection adds to an RTP packet: an AEAD tag or a MAC, and a key identifier of 128 octets at most.
pub const MAXIMUM_RTP_EXPANSION: usize = 16 + key::MAXIMUM_MKI;
/// The most that protection adds to an RTCP packet: the same and the index.
pub const MAXIMUM_RTCP_EXPANSION: usize = MAXIMUM_RTP_EXPANSION + 4;

/// A packet did not pass: forged, damaged, replayed, too old, or under keys we do not have. It is not told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not authentic")]
pub struct NotAuthentic;

#[cfg(test)]
mod tests;
