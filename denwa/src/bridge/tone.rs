//! A source of sound that is made here: samples from a generator, encoded for the leg that hears them, a packet at a time.

use super::Source;
use crate::media::StreamParameters;
use denwa_codecs::Encoder;
use denwa_codecs::registry;
use denwa_codecs::tone::{Generator, Sine, Tone};
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use std::time::{Duration, Instant};

/// A source playing to one leg.
pub(super) struct Player {
    generator: Option<Generator>,
    encoder: Box<dyn Encoder>,
    payload_type: u8,
    feed: u32,
    /// Ticks of the RTP clock in a packet.
    ticks: u32,
    timestamp: u32,
    packet_time: Duration,
    samples: Vec<i16>,
    payload: Vec<u8>,
    /// When the next packet belongs on the wire.
    pub(super) due: Instant,
}

impl Player {
    /// Plays `source` as `parameters` want it, from now on. `None` when the source makes no sound of its own, when we may
    /// not send, or when there is no encoder for what was agreed.
    pub(super) fn new(
        source: &Source,
        parameters: &StreamParameters,
        feed: u32,
        now: Instant,
    ) -> Option<Self> {
        let tone = match source {
            Source::Echo => return None,
            Source::Tone { frequency_hz, level_dbm0 } => {
                Some(Tone::steady(&[Sine::new(*frequency_hz, *level_dbm0)]))
            }
            Source::Silence => None,
        };
        if !parameters.sends {
            return None;
        }
        let (format, entry) = parameters
            .send
            .iter()
            .find_map(|format| Some((format, registry::find(&format.name, format.clock_rate_hz)?)))?;
        let encoder = entry.encoder(&format.parameters).ok()?;
        let milliseconds = u32::try_from(parameters.packet_time.as_millis()).unwrap_or(20).clamp(10, 200);
        let samples = entry.sample_rate_hz / 1000 * milliseconds;
        // A packet holds whole frames of its codec.
        let frame = u32::try_from(encoder.frame_samples()).unwrap_or(1).max(1);
        let samples = (samples / frame).max(1) * frame;
        let packet_time = Duration::from_secs(u64::from(samples)) / entry.sample_rate_hz.max(1);
        let room = encoder.max_payload_bytes(samples as usize);
        Some(Self {
            generator: tone.map(|tone| Generator::new(&tone, entry.sample_rate_hz)),
            payload_type: format.payload_type,
            feed,
            ticks: u32::try_from(
                u64::from(samples) * u64::from(entry.clock_rate_hz) / u64::from(entry.sample_rate_hz),
            )
            .unwrap_or(0),
            timestamp: 0,
            packet_time,
            samples: vec![0; samples as usize],
            payload: vec![0; room],
            encoder,
            due: now,
        })
    }

    /// Makes the packet that is due.
    pub(super) fn play(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Result<Outgoing, NotSent> {
        if let Some(generator) = &mut self.generator {
            generator.generate(&mut self.samples);
        }
        let length = self.encoder.encode(&self.samples, &mut self.payload).unwrap_or(0);
        let frame = Frame {
            feed: self.feed,
            timestamp: self.timestamp,
            payload_type: self.payload_type,
            marker: false,
            payload: self.payload.get(..length).unwrap_or(&[]),
        };
        let sent = session.send(frame, buffer, now);
        self.skip(now);
        sent
    }

    /// Lets a packet's time pass: the next one is due on the first beat after now.
    pub(super) fn skip(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.due);
        let missed = u32::try_from(late.as_nanos() / self.packet_time.as_nanos().max(1)).unwrap_or(u32::MAX);
        let beats = missed.saturating_add(1);
        self.due += self.packet_time.saturating_mul(beats);
        self.timestamp = self.timestamp.wrapping_add(self.ticks.wrapping_mul(beats));
    }
}

impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Player")
            .field("payload_type", &self.payload_type)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}
