//! G.729: 8 kbit/s, 10 ms frames of ten bytes, 8,000 samples a second.
//!
//! The encoder is Annex A's (its bitstream is the main body's), with Annex B's voice detection and discontinuous transmission
//! where asked for; the decoder is the main body's or Annex A's, with Annex B's comfort noise. The main body's own encoder
//! is left out. All arithmetic is the Recommendation's 16- and 32-bit fixed point, proven bit by bit against the ITU
//! vectors (`tests/g729.rs`). RTP payloads are those of RFC 3551 §4.5.6; `annexb` is negotiated elsewhere.

// Indices are the Recommendation's language: several rows are read at the same place.
#![allow(clippy::needless_range_loop)]

mod basic_operators;
mod bitstream;
mod comfort_noise;
mod decoder;
mod discontinuous;
mod encoder;
mod filter;
mod fixed_codebook;
mod gain;
mod lpc;
mod lsp;
mod lsp_quantizer;
mod payload;
mod pitch;
mod postfilter;
mod postfilter_main;
pub mod serial;
mod tables;
mod voice_activity;

pub use decoder::Variant;
pub use payload::{Decoder, Encoder, EncoderConfig};

/// Samples a second, and the RTP clock, in Hz.
pub const SAMPLE_RATE_HZ: u32 = 8_000;
/// Samples of one frame (10 ms).
pub const FRAME_SAMPLES: usize = 80;
/// Bytes of one speech frame.
pub const FRAME_BYTES: usize = 10;
/// Bytes of a silence descriptor (Annex B), which may end a payload (RFC 3551 §4.5.6).
pub const SILENCE_BYTES: usize = 2;
