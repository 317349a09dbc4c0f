//! Opus (RFC 6716, RFC 7587) by the `ropus` crate, one channel, at 8, 12, 16, 24 or 48 kHz, with forward error
//! correction and discontinuous transmission.
//!
//! The RTP clock is always 48,000 Hz and `rtpmap` always says two channels (RFC 7587 §4.1). A payload is one Opus
//! packet; its duration is the peer's choice, up to 120 ms.

use ropus::{Application, Bitrate, Channels, DecodeMode, InbandFec};

use crate::frame::{DecodeError, EncodeError};

/// The RTP clock, in Hz, whatever the sample rate.
pub const RTP_CLOCK_RATE_HZ: u32 = 48_000;
/// Sample rates Opus knows, in Hz.
pub const SAMPLE_RATES_HZ: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];
/// The longest packet, in ms.
const LONGEST_MS: usize = 120;
/// The lengths a packet may have, in frames of 2.5 ms.
const PACKET_FRAMES: [usize; 9] = [1, 2, 4, 8, 16, 24, 32, 40, 48];
/// The largest packet an encoder is let make, in bytes: it fits a datagram.
const LARGEST_PACKET: usize = 1_275;

/// How an encoder is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// One of [`SAMPLE_RATES_HZ`].
    pub sample_rate_hz: u32,
    /// In bits a second, 6,000 ..= 510,000; `None` leaves it to the encoder.
    pub bitrate: Option<u32>,
    /// `useinbandfec`: each packet also carries the one before, coarsely.
    pub forward_error_correction: bool,
    /// How many packets in a hundred are expected to be lost; what the correction may cost depends on it.
    pub expected_loss_percent: u8,
    /// `usedtx`: silence is not sent.
    pub discontinuous: bool,
    /// `cbr`: every packet has the same size.
    pub constant_bitrate: bool,
    /// 0 (cheap) ..= 10 (good).
    pub complexity: u8,
}

impl Default for Config {
    /// 48 kHz, correction for 10 % loss, no discontinuous transmission, complexity 5.
    fn default() -> Self {
        Self {
            sample_rate_hz: 48_000,
            bitrate: None,
            forward_error_correction: true,
            expected_loss_percent: 10,
            discontinuous: false,
            constant_bitrate: false,
            complexity: 5,
        }
    }
}

/// A value Opus does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Opus: {0}")]
pub struct ConfigError(&'static str);

/// Opus encoder.
pub struct Encoder {
    config: Config,
    encoder: ropus::Encoder,
}

impl core::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Encoder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder for speech.
    ///
    /// # Errors
    /// A sample rate or bit rate that Opus does not have.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self { config, encoder: build(config)? })
    }
}

fn build(config: Config) -> Result<ropus::Encoder, ConfigError> {
    if !SAMPLE_RATES_HZ.contains(&config.sample_rate_hz) {
        return Err(ConfigError("the sample rate must be 8, 12, 16, 24 or 48 kHz"));
    }
    let mut builder = ropus::Encoder::builder(config.sample_rate_hz, Channels::Mono, Application::Voip)
        .complexity(config.complexity.min(10))
        .vbr(!config.constant_bitrate)
        .packet_loss_perc(config.expected_loss_percent.min(100))
        .inband_fec(if config.forward_error_correction { InbandFec::Enabled } else { InbandFec::Disabled })
        .dtx(config.discontinuous);
    if let Some(bitrate) = config.bitrate {
        if !(6_000..=510_000).contains(&bitrate) {
            return Err(ConfigError("the bit rate must be 6,000 to 510,000"));
        }
        builder = builder.bitrate(Bitrate::Bits(bitrate));
    }
    builder.build().map_err(|_| ConfigError("the encoder could not be built"))
}

impl crate::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        self.config.sample_rate_hz
    }

    /// 2.5 ms; whole packets are 2.5, 5, 10, 20, 40, 60, 80, 100 or 120 ms.
    fn frame_samples(&self) -> usize {
        self.config.sample_rate_hz as usize / 400
    }

    fn packet_samples(&self, samples: usize) -> usize {
        let frame = crate::Encoder::frame_samples(self);
        let fits = PACKET_FRAMES.iter().rev().find(|frames| **frames * frame <= samples);
        fits.unwrap_or(&1) * frame
    }

    fn max_payload_bytes(&self, _samples: usize) -> usize {
        LARGEST_PACKET
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, EncodeError> {
        if samples.is_empty() {
            return Ok(0);
        }
        let frame_samples = crate::Encoder::frame_samples(self);
        let frames = samples.len() / frame_samples;
        if !samples.len().is_multiple_of(frame_samples) || !PACKET_FRAMES.contains(&frames) {
            return Err(if frames > 48 {
                EncodeError::TooManySamples { samples: samples.len(), maximum: 48 * frame_samples }
            } else {
                EncodeError::PartialFrame { samples: samples.len(), frame_samples }
            });
        }
        let got = payload.len();
        let room = got.min(LARGEST_PACKET);
        let written = self
            .encoder
            .encode(samples, &mut payload[..room])
            .map_err(|_| EncodeError::OutputTooSmall { needed: LARGEST_PACKET, got })?;
        // One or two bytes say "nothing happens": not worth a packet (RFC 7587 §3.1.3).
        Ok(if self.config.discontinuous && written <= 2 { 0 } else { written })
    }

    fn reset(&mut self) {
        if let Ok(encoder) = build(self.config) {
            self.encoder = encoder;
        }
    }
}

/// Opus decoder, to one channel.
pub struct Decoder {
    sample_rate_hz: u32,
    decoder: ropus::Decoder,
    last_packet: usize,
}

impl core::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decoder").field("sample_rate_hz", &self.sample_rate_hz).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder that gives `sample_rate_hz` samples a second.
    ///
    /// # Errors
    /// A rate that Opus does not have.
    pub fn new(sample_rate_hz: u32) -> Result<Self, ConfigError> {
        let decoder = ropus::Decoder::new(sample_rate_hz, Channels::Mono)
            .map_err(|_| ConfigError("the sample rate must be 8, 12, 16, 24 or 48 kHz"))?;
        Ok(Self { sample_rate_hz, decoder, last_packet: sample_rate_hz as usize / 50 })
    }

    fn longest(&self) -> usize {
        self.sample_rate_hz as usize * LONGEST_MS / 1_000
    }
}

impl crate::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    fn frame_samples(&self) -> usize {
        self.sample_rate_hz as usize / 400
    }

    fn max_samples(&self, payload_bytes: usize) -> usize {
        if payload_bytes == 0 { 0 } else { self.longest() }
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<usize, DecodeError> {
        if payload.is_empty() {
            return Ok(0);
        }
        let (needed, got) = (self.longest(), samples.len());
        if got < needed {
            return Err(DecodeError::OutputTooSmall { needed, got });
        }
        match self.decoder.decode(payload, &mut samples[..needed], DecodeMode::Normal) {
            Ok(written) => {
                self.last_packet = written;
                Ok(written)
            }
            Err(_) => {
                let count = self.last_packet;
                let concealed = self.conceal(&mut samples[..count]);
                let reason = "its frames do not add up to its length (RFC 6716 §3.4)";
                Err(DecodeError::PayloadContent { codec: "opus", reason, concealed })
            }
        }
    }

    fn conceal(&mut self, samples: &mut [i16]) -> usize {
        let frame = crate::Decoder::frame_samples(self);
        let whole = samples.len() / frame * frame;
        for piece in samples[..whole].chunks_mut(self.longest()) {
            if self.decoder.decode(&[], piece, DecodeMode::Normal).is_err() {
                piece.fill(0);
            }
        }
        whole
    }

    fn recover(&mut self, following: &[u8], samples: &mut [i16]) -> usize {
        let frame = crate::Decoder::frame_samples(self);
        let whole = (samples.len() / frame * frame).min(self.longest());
        if following.is_empty() || whole == 0 {
            return self.conceal(samples);
        }
        match self.decoder.decode(following, &mut samples[..whole], DecodeMode::Fec) {
            Ok(written) => written,
            Err(_) => self.conceal(&mut samples[..whole]),
        }
    }

    fn reset(&mut self) {
        if let Ok(fresh) = Self::new(self.sample_rate_hz) {
            *self = fresh;
        }
    }
}
