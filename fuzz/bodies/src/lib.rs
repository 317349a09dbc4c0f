//! What each fuzz target does, as plain functions.
//!
//! `fuzz/fuzz_targets/NAME.rs` hands libFuzzer's bytes to the function of the same name here; `tests/replay.rs`
//! hands it every file of `fuzz/seeds/NAME/`, so that `cargo test` proves on stable Rust what the fuzzer
//! once found. A body panics when a property does not hold, and never otherwise.
#![forbid(unsafe_code)]
// A broken property is told by a panic: that is what fuzzers look for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod codecs;
pub mod denwa;
pub mod ice;
pub mod rtp;
pub mod sdp;
pub mod sip_core;
pub mod sip_models;
pub mod sip_use;

/// A target: its name, which is that of its seed folder too, and what it does with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of every room.
pub fn all() -> impl Iterator<Item = Target> {
    [
        sip_core::TARGETS,
        sip_use::TARGETS,
        sip_models::TARGETS,
        sdp::TARGETS,
        rtp::TARGETS,
        codecs::TARGETS,
        ice::TARGETS,
        denwa::TARGETS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
