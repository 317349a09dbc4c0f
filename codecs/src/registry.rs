//! From the names of SDP (`rtpmap` name, clock rate, `fmtp`) to constructors.
//!
//! Names are those of RFC 3551 and its successors, compared without regard to case. What a parameter string means is
//! read by the codec it belongs to; parameters it does not know are passed over (RFC 4566 §6, `fmtp`).

use alloc::boxed::Box;

#[cfg(feature = "g711")]
use crate::g711;
#[cfg(feature = "g722")]
use crate::g722;
#[cfg(feature = "g726")]
use crate::g726;
#[cfg(feature = "g729")]
use crate::g729;
#[cfg(feature = "gsm")]
use crate::gsm;
#[cfg(feature = "ilbc")]
use crate::ilbc;
#[cfg(feature = "l16")]
use crate::linear;
#[cfg(feature = "opus")]
use crate::opus;
use crate::{Decoder, Encoder};

/// From parameters and the rate wanted.
type MakeEncoder = fn(&str, u32) -> Result<Box<dyn Encoder>, ParameterError>;
/// The same.
type MakeDecoder = fn(&str, u32) -> Result<Box<dyn Decoder>, ParameterError>;

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
    encoder: MakeEncoder,
    decoder: MakeDecoder,
}

impl Entry {
    /// An encoder that keeps to the peer's `fmtp` (empty when there is none).
    ///
    /// # Errors
    /// A parameter has a value this codec cannot have.
    pub fn encoder(&self, fmtp: &str) -> Result<Box<dyn Encoder>, ParameterError> {
        (self.encoder)(fmtp, self.sample_rate_hz)
    }

    /// As [`Entry::encoder`], but at `sample_rate_hz` where the codec leaves the choice (Opus): telephone sound is not
    /// brought to 48 kHz for nothing. All others have the rate they have; ask [`Encoder::sample_rate_hz`].
    ///
    /// # Errors
    /// A parameter has a value this codec cannot have.
    pub fn encoder_at(&self, fmtp: &str, sample_rate_hz: u32) -> Result<Box<dyn Encoder>, ParameterError> {
        (self.encoder)(fmtp, sample_rate_hz)
    }

    /// A decoder of what our own `fmtp` (empty when there is none) asked for.
    ///
    /// # Errors
    /// A parameter has a value this codec cannot have.
    pub fn decoder(&self, fmtp: &str) -> Result<Box<dyn Decoder>, ParameterError> {
        (self.decoder)(fmtp, self.sample_rate_hz)
    }

    /// As [`Entry::decoder`], but at `sample_rate_hz` where the codec leaves the choice (Opus).
    ///
    /// # Errors
    /// A parameter has a value this codec cannot have.
    pub fn decoder_at(&self, fmtp: &str, sample_rate_hz: u32) -> Result<Box<dyn Decoder>, ParameterError> {
        (self.decoder)(fmtp, sample_rate_hz)
    }

    /// Samples in the usual packet, at [`Entry::sample_rate_hz`].
    #[must_use]
    pub fn packet_samples(&self) -> usize {
        (self.sample_rate_hz * self.packet_ms / 1_000) as usize
    }

    /// The same, in whole frames of `encoder`, which parameters may have made longer or shorter.
    pub fn packet_samples_of(&self, encoder: &dyn Encoder) -> usize {
        encoder.packet_samples(self.packet_samples())
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

/// Every codec of this build, those that sound best first.
#[must_use]
pub fn all() -> &'static [Entry] {
    ENTRIES
}

/// The codec called `name` at `clock_rate_hz`.
#[must_use]
pub fn find(name: &str, clock_rate_hz: u32) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.clock_rate_hz == clock_rate_hz && entry.name.eq_ignore_ascii_case(name))
}

/// The codec of a static payload type (RFC 3551 Table 4).
#[must_use]
pub fn find_static(payload_type: u8) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.static_payload_type == Some(payload_type))
}

/// A codec of 8,000 Hz throughout, one channel, packets of 20 ms.
#[allow(dead_code)]
const fn narrow(
    name: &'static str,
    static_payload_type: Option<u8>,
    encoder: MakeEncoder,
    decoder: MakeDecoder,
) -> Entry {
    Entry {
        name,
        clock_rate_hz: 8_000,
        sample_rate_hz: 8_000,
        channels: 1,
        static_payload_type,
        packet_ms: 20,
        encoder,
        decoder,
    }
}

/// The value of a parameter; names are compared without regard to case.
#[allow(dead_code)]
fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

#[cfg(feature = "ilbc")]
fn ilbc_mode(fmtp: &str) -> Result<ilbc::Mode, ParameterError> {
    match parameter(fmtp, "mode") {
        Some("20") => Ok(ilbc::Mode::Ms20),
        // RFC 3952 §5: without it, 30 ms.
        None | Some("30") => Ok(ilbc::Mode::Ms30),
        Some(_) => Err(ParameterError { codec: "iLBC", parameter: "mode", expected: "20 or 30" }),
    }
}

#[cfg(feature = "opus")]
fn opus_config(fmtp: &str) -> Result<opus::Config, ParameterError> {
    let wrong = |parameter, expected| ParameterError { codec: "opus", parameter, expected };
    let flag = |name: &'static str| match parameter(fmtp, name) {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(wrong(name, "0 or 1")),
    };
    let bitrate = match parameter(fmtp, "maxaveragebitrate") {
        None => None,
        Some(text) => {
            let bits: u32 = text.parse().map_err(|_| wrong("maxaveragebitrate", "6000 to 510000"))?;
            Some(bits.clamp(6_000, 510_000))
        }
    };
    Ok(opus::Config {
        bitrate,
        forward_error_correction: flag("useinbandfec")?,
        discontinuous: flag("usedtx")?,
        constant_bitrate: flag("cbr")?,
        ..opus::Config::default()
    })
}

/// The lowest rate of Opus that leaves nothing of `rate` out.
#[cfg(feature = "opus")]
fn opus_rate(rate: u32) -> u32 {
    opus::SAMPLE_RATES_HZ.into_iter().find(|own| *own >= rate).unwrap_or(opus::RTP_CLOCK_RATE_HZ)
}

#[cfg(feature = "opus")]
const OPUS: ParameterError =
    ParameterError { codec: "opus", parameter: "rate", expected: "one that Opus has" };

#[cfg(feature = "g726")]
macro_rules! g726_entry {
    ($name:literal, $rate:ident, $packing:ident) => {
        narrow(
            $name,
            None,
            |_, _| Ok(Box::new(g726::Encoder::new(g726::Rate::$rate, g726::Packing::$packing))),
            |_, _| Ok(Box::new(g726::Decoder::new(g726::Rate::$rate, g726::Packing::$packing))),
        )
    };
}

#[cfg(feature = "l16")]
macro_rules! l16_entry {
    ($rate:literal, $payload_type:expr) => {
        Entry {
            name: "L16",
            clock_rate_hz: $rate,
            sample_rate_hz: $rate,
            channels: 1,
            static_payload_type: $payload_type,
            packet_ms: 20,
            encoder: |_, _| Ok(Box::new(linear::Encoder::new($rate))),
            decoder: |_, _| Ok(Box::new(linear::Decoder::new($rate))),
        }
    };
}

const ENTRIES: &[Entry] = &[
    #[cfg(feature = "opus")]
    Entry {
        name: "opus",
        clock_rate_hz: 48_000,
        sample_rate_hz: 48_000,
        channels: 2,
        static_payload_type: None,
        packet_ms: 20,
        encoder: |fmtp, rate| {
            let config = opus::Config { sample_rate_hz: opus_rate(rate), ..opus_config(fmtp)? };
            Ok(Box::new(opus::Encoder::new(config).map_err(|_| OPUS)?))
        },
        decoder: |_, rate| Ok(Box::new(opus::Decoder::new(opus_rate(rate)).map_err(|_| OPUS)?)),
    },
    #[cfg(feature = "g722")]
    Entry {
        name: "G722",
        clock_rate_hz: g722::RTP_CLOCK_RATE_HZ,
        sample_rate_hz: g722::SAMPLE_RATE_HZ,
        channels: 1,
        static_payload_type: Some(9),
        packet_ms: 20,
        encoder: |_, _| Ok(Box::new(g722::Encoder::new())),
        decoder: |_, _| Ok(Box::new(g722::Decoder::new(g722::Mode::Kbit64))),
    },
    #[cfg(feature = "g711")]
    narrow(
        "PCMU",
        Some(0),
        |_, _| Ok(Box::new(g711::Encoder::new(g711::Law::Mu))),
        |_, _| Ok(Box::new(g711::Decoder::new(g711::Law::Mu))),
    ),
    #[cfg(feature = "g711")]
    narrow(
        "PCMA",
        Some(8),
        |_, _| Ok(Box::new(g711::Encoder::new(g711::Law::A))),
        |_, _| Ok(Box::new(g711::Decoder::new(g711::Law::A))),
    ),
    // Silence is left out only where the peer says in so many words that it wants that; without a word it merely
    // bears it (RFC 4749 §5.6's rule for `annexb`).
    #[cfg(feature = "g729")]
    narrow(
        "G729",
        Some(18),
        |fmtp, _| {
            let dtx = match parameter(fmtp, "annexb") {
                Some("yes") => true,
                None | Some("no") => false,
                Some(_) => {
                    return Err(ParameterError { codec: "G729", parameter: "annexb", expected: "yes or no" });
                }
            };
            Ok(Box::new(g729::Encoder::new(g729::EncoderConfig { dtx })))
        },
        |_, _| Ok(Box::new(g729::Decoder::new(g729::Variant::AnnexA))),
    ),
    #[cfg(feature = "g726")]
    g726_entry!("G726-32", Kbit32, Rtp),
    #[cfg(feature = "g726")]
    g726_entry!("G726-24", Kbit24, Rtp),
    #[cfg(feature = "g726")]
    g726_entry!("G726-40", Kbit40, Rtp),
    #[cfg(feature = "g726")]
    g726_entry!("G726-16", Kbit16, Rtp),
    #[cfg(feature = "g726")]
    g726_entry!("AAL2-G726-32", Kbit32, Aal2),
    #[cfg(feature = "g726")]
    g726_entry!("AAL2-G726-24", Kbit24, Aal2),
    #[cfg(feature = "g726")]
    g726_entry!("AAL2-G726-40", Kbit40, Aal2),
    #[cfg(feature = "g726")]
    g726_entry!("AAL2-G726-16", Kbit16, Aal2),
    #[cfg(feature = "ilbc")]
    Entry {
        packet_ms: 30,
        ..narrow(
            "iLBC",
            None,
            |fmtp, _| Ok(Box::new(ilbc::Encoder::new(ilbc_mode(fmtp)?))),
            |fmtp, _| Ok(Box::new(ilbc::Decoder::new(ilbc_mode(fmtp)?))),
        )
    },
    #[cfg(feature = "gsm")]
    narrow(
        "GSM",
        Some(3),
        |_, _| Ok(Box::new(gsm::Encoder::new())),
        |_, _| Ok(Box::new(gsm::Decoder::new())),
    ),
    #[cfg(feature = "l16")]
    l16_entry!(8_000, None),
    #[cfg(feature = "l16")]
    l16_entry!(16_000, None),
    #[cfg(feature = "l16")]
    l16_entry!(44_100, Some(11)),
    #[cfg(feature = "l16")]
    l16_entry!(48_000, None),
];
