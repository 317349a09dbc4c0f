//! Real peers offer, this engine answers, and they accept: each call is answered by the small user agent of
//! `user_agent.rs`, the peer acknowledges, and sends media as agreed.
//!
//! A peer that is not installed is reported and passed over, unless `DENWA_REQUIRE_PEERS=1`. With `DENWA_SDP_CAPTURE`
//! set to a directory, each peer's descriptions are written there: that is how `tests/fixtures/peers` was made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod baresip;
mod chromium;
mod linphone;
mod peer;
mod proxied;
mod sipp;
mod user_agent;
