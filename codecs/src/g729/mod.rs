//! G.729: 8 kbit/s, 10 ms frames of ten bytes, 8,000 samples a second.
//!
//! Proven bit by bit against the ITU vectors (`tests/g729.rs`).

/// Samples a second, and the RTP clock, in Hz.
pub const SAMPLE_RATE_HZ: u32 = 8_000;
/// Samples of one frame (10 ms).
pub const FRAME_SAMPLES: usize = 80;
/// Bytes of one speech frame.
pub const FRAME_BYTES: usize = 10;
/// Bytes of a silence descriptor (Annex B), which may end a payload (RFC 3551 §4.5.6).
pub const SILENCE_BYTES: usize = 2;
