//! A source of sound that is made here: samples of a program, encoded for the leg that hears them, a packet at a time.

use super::program::{Program, Renderer};
use crate::media::StreamParameters;
use denwa_codecs::Encoder;
use denwa_codecs::registry;
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use std::time::{Duration, Instant};

/// A program playing to one leg.
pub(super) struct Player {
    renderer: Renderer,
    /// How it is encoded; while nothing was agreed, or we may not send, the program waits.
    voice: Option<Voice>,
    feed: u32,
    timestamp: u32,
    due: Instant,
}

struct Voice {
    /// Name, rate and parameters: another one needs another encoder.
    codec: String,
    encoder: Box<dyn Encoder>,
    sample_rate_hz: u32,
    payload_type: u8,
    /// Ticks of the RTP clock in a packet.
    ticks: u32,
    packet_time: Duration,
    samples: Vec<i16>,
    payload: Vec<u8>,
}

impl Player {
    /// Plays `program` as `parameters` want it, from now on. `epoch` is when programs that are always on began.
    pub(super) fn new(
        program: Program,
        parameters: Option<&StreamParameters>,
        feed: u32,
        epoch: Instant,
        now: Instant,
    ) -> Self {
        let voice = parameters.and_then(|parameters| Voice::new(parameters, None));
        let rate = voice.as_ref().map_or(8000, |voice| voice.sample_rate_hz);
        Self { renderer: Renderer::new(program, rate, epoch, now), voice, feed, timestamp: 0, due: now }
    }

    /// Goes by what was agreed now; the program goes on where it was.
    pub(super) fn adapt(&mut self, parameters: Option<&StreamParameters>, now: Instant) {
        let before = self.voice.take();
        let was_silent = before.is_none();
        self.voice = parameters.and_then(|parameters| Voice::new(parameters, before));
        if let Some(voice) = &self.voice {
            self.renderer.set_sample_rate(voice.sample_rate_hz);
        }
        if was_silent {
            self.due = now;
        }
    }

    /// Has another program played when this one is over. Says whether there was room.
    pub(super) fn put_behind(&mut self, program: Program) -> bool {
        self.renderer.put_behind(program)
    }

    /// When the next packet belongs on the wire; `None` while it waits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.voice.as_ref().map(|_| self.due)
    }

    /// Whether everything was played.
    pub(super) fn is_finished(&self) -> bool {
        self.renderer.is_finished()
    }

    /// What was played last, and its rate.
    pub(super) fn last_samples(&self) -> Option<(&[i16], u32)> {
        self.voice.as_ref().map(|voice| (voice.samples.as_slice(), voice.sample_rate_hz))
    }

    /// Makes the packet that is due.
    pub(super) fn play(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Result<Outgoing, NotSent>> {
        let voice = self.voice.as_mut()?;
        self.renderer.render(&mut voice.samples);
        let length = voice.encoder.encode(&voice.samples, &mut voice.payload).unwrap_or(0);
        // Nothing is sent for what a codec leaves out (discontinuous transmission).
        let sent = (length > 0).then(|| {
            let frame = Frame {
                feed: self.feed,
                timestamp: self.timestamp,
                payload_type: voice.payload_type,
                marker: false,
                payload: voice.payload.get(..length).unwrap_or(&[]),
            };
            session.send(frame, buffer, now)
        });
        self.step(now);
        sent
    }

    /// Lets a packet's time pass unheard.
    pub(super) fn skip(&mut self, now: Instant) {
        if let Some(voice) = &mut self.voice {
            self.renderer.render(&mut voice.samples);
        }
        self.step(now);
    }

    /// The next packet is due on the first beat after now.
    fn step(&mut self, now: Instant) {
        let Some(voice) = &self.voice else { return };
        let late = now.saturating_duration_since(self.due);
        let missed = u32::try_from(late.as_nanos() / voice.packet_time.as_nanos().max(1)).unwrap_or(u32::MAX);
        let beats = missed.saturating_add(1);
        self.due += voice.packet_time.saturating_mul(beats);
        self.timestamp = self.timestamp.wrapping_add(voice.ticks.wrapping_mul(beats));
    }
}

impl Voice {
    /// The first codec there is an encoder for; the one of `before` goes on when it is the same.
    fn new(parameters: &StreamParameters, before: Option<Self>) -> Option<Self> {
        if !parameters.sends {
            return None;
        }
        let (format, entry) = parameters
            .send
            .iter()
            .find_map(|format| Some((format, registry::find(&format.name, format.clock_rate_hz)?)))?;
        let codec = format!("{} {}", format.label(), format.parameters);
        let encoder = match before {
            Some(before) if before.codec == codec => before.encoder,
            _ => entry.encoder(&format.parameters).ok()?,
        };
        let milliseconds = u32::try_from(parameters.packet_time.as_millis()).unwrap_or(20).clamp(10, 200);
        let samples = entry.sample_rate_hz / 1000 * milliseconds;
        // A packet holds whole frames of its codec.
        let frame = u32::try_from(encoder.frame_samples()).unwrap_or(1).max(1);
        let samples = (samples / frame).max(1) * frame;
        let ticks =
            u64::from(samples) * u64::from(entry.clock_rate_hz) / u64::from(entry.sample_rate_hz.max(1));
        Some(Self {
            codec,
            sample_rate_hz: entry.sample_rate_hz,
            payload_type: format.payload_type,
            ticks: u32::try_from(ticks).unwrap_or(0),
            packet_time: Duration::from_secs(u64::from(samples)) / entry.sample_rate_hz.max(1),
            samples: vec![0; samples as usize],
            payload: vec![0; encoder.max_payload_bytes(samples as usize)],
            encoder,
        })
    }
}

impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Player")
            .field("codec", &self.voice.as_ref().map(|voice| voice.codec.as_str()))
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}
