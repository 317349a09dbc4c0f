//! Programs that none of us wrote, over real sockets: SIPp, baresip, Linphone, PJSIP, Kamailio, sipsak, JsSIP, dnsmasq.
//!
//! Where one is not installed its test says so and passes; with `DENWA_REQUIRE_PEERS=1` it fails.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;
mod attended;
mod authority;
mod baresip;
mod desk;
mod dnsmasq;
mod exchange;
mod jssip;
mod kamailio;
mod kamailio_registrar;
mod sipp;
mod sipsak;
mod telephones;
