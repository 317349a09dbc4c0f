//! From the names of SDP (`rtpmap` name, clock rate, `fmtp`) to constructors.
//!
//! Names are those of RFC 3551 and its successors, compared without regard to case. What a parameter string means is
//! read by the codec it belongs to; parameters it does not know are passed over (RFC 4566 §6, `fmtp`).

use alloc::boxed::Box;

#[cfg(feature = "g711")]
use crate::g711;
use crate::{Decoder, Encoder};

/// A codec that can be built.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The encoding name of `rtpmap`.
    pub name: &'static str,
    /// The RTP clock in Hz, which for G.722 is not the sample rate (RFC 3551 §4.5.2).
    pub clock_rate_hz: u32,
    /// Samples a second of the encoder and the decoder, in Hz.
    pub sample_rate_hz: u32,
    /// Channels, always 1 but for Opus, whose `rtpmap` says 2 whatever is sent.
    pub channels: u8,
    /// The payload type of RFC 3551 Table 4, if it has one.
    pub static_payload_type: Option<u8>,
    /// The usual packet, in ms.
    pub packet_ms: u32,
    encoder: fn(&str) -> Result<Box<dyn Encoder>, ParameterError>,
    decoder: fn(&str) -> Result<Box<dyn Decoder>, ParameterError>,
}

impl Entry {
    /// An encoder that keeps to the peer's `fmtp` (empty when there is none).
    ///
    /// # Errors
    /// A parameter has a value this codec cannot have.
    pub fn encoder(&self, fmtp: &str) -> Result<Box<dyn Encoder>, ParameterError> {
        (self.encoder)(fmtp)
    }

    /// A decoder of what our own `fmtp` (empty when there is none) asked for.
    ///
    /// # Errors
    /// A parameter has a value this codec cannot have.
    pub fn decoder(&self, fmtp: &str) -> Result<Box<dyn Decoder>, ParameterError> {
        (self.decoder)(fmtp)
    }

    /// Samples in the usual packet, at [`Entry::sample_rate_hz`].
    pub fn packet_samples(&self) -> usize {
        (self.sample_rate_hz / 1_000 * self.packet_ms) as usize
    }
}

/// A `fmtp` parameter with a value the codec cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{codec}: {parameter} must be {expected}")]
pub struct ParameterError {
    /// The codec's name.
    pub codec: &'static str,
    /// The parameter's name.
    pub parameter: &'static str,
    /// What would do.
    pub expected: &'static str,
}

/// Every codec of this build.
pub fn all() -> &'static [Entry] {
    ENTRIES
}

/// The codec called `name` at `clock_rate_hz`.
pub fn find(name: &str, clock_rate_hz: u32) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.clock_rate_hz == clock_rate_hz && entry.name.eq_ignore_ascii_case(name))
}

/// The codec of a static payload type (RFC 3551 Table 4).
pub fn find_static(payload_type: u8) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.static_payload_type == Some(payload_type))
}

const ENTRIES: &[Entry] = &[
    #[cfg(feature = "g711")]
    Entry {
        name: "PCMU",
        clock_rate_hz: 8_000,
        sample_rate_hz: 8_000,
        channels: 1,
        static_payload_type: Some(0),
        packet_ms: 20,
        encoder: |_| Ok(Box::new(g711::Encoder::new(g711::Law::Mu))),
        decoder: |_| Ok(Box::new(g711::Decoder::new(g711::Law::Mu))),
    },
    #[cfg(feature = "g711")]
    Entry {
        name: "PCMA",
        clock_rate_hz: 8_000,
        sample_rate_hz: 8_000,
        channels: 1,
        static_payload_type: Some(8),
        packet_ms: 20,
        encoder: |_| Ok(Box::new(g711::Encoder::new(g711::Law::A))),
        decoder: |_| Ok(Box::new(g711::Decoder::new(g711::Law::A))),
    },
];
