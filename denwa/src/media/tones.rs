//! Sound made here and sent on the beat: a generator, the codec of whoever hears it, and the clock of its packets.

use super::StreamParameters;
use super::encoding::{Encoded, Encoding};
use denwa_codecs::registry;
use denwa_codecs::tone::{Generator, Tone};
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use std::time::{Duration, Instant};

/// A tone on its way to one peer.
#[derive(Debug)]
pub(crate) struct TonePlayer {
    /// `None` is silence.
    generator: Option<Generator>,
    encoding: Encoding,
    feed: u32,
    packet_time: Duration,
    samples: Vec<i16>,
    /// When the next packet belongs on the wire.
    pub(crate) due: Instant,
}

impl TonePlayer {
    /// Plays `tone` (silence without one) as `parameters` want it, from now on. `None` when we may not send, or when there is
    /// no encoder for what was agreed.
    pub(crate) fn new(
        tone: Option<&Tone>,
        parameters: &StreamParameters,
        feed: u32,
        now: Instant,
    ) -> Option<Self> {
        if !parameters.sends {
            return None;
        }
        // Tones are no speech: what suppresses silence is not to judge them.
        let parameters = StreamParameters { suppresses_silence: false, ..parameters.clone() };
        let entry =
            parameters.send.iter().find_map(|format| registry::find(&format.name, format.clock_rate_hz))?;
        // No tone of telephony is above 4 kHz; codecs that sample faster do so themselves.
        let rate = entry.sample_rate_hz.min(16_000);
        let encoding = Encoding::new(&parameters, rate)?;
        Some(Self {
            generator: tone.map(|tone| Generator::new(tone, rate)),
            feed,
            packet_time: encoding.packet_time(),
            samples: vec![0; encoding.packet_input()],
            encoding,
            due: now,
        })
    }

    /// Plays another tone from the next packet on.
    pub(crate) fn change(&mut self, tone: &Tone) {
        let rate = self.rate();
        self.generator = Some(Generator::new(tone, rate));
    }

    fn rate(&self) -> u32 {
        let nanoseconds = self.packet_time.as_nanos().max(1);
        let rate = (self.samples.len() as u128).saturating_mul(1_000_000_000) / nanoseconds;
        u32::try_from(rate).unwrap_or(8000)
    }

    /// Whether the tone was one that ends, and has.
    pub(crate) fn is_finished(&self) -> bool {
        self.generator.as_ref().is_some_and(Generator::is_finished)
    }

    /// Makes the packet that is due; `None` when the codec leaves it out.
    pub(crate) fn play(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Result<Outgoing, NotSent>> {
        self.samples.fill(0);
        if let Some(generator) = &mut self.generator {
            generator.generate(&mut self.samples);
        }
        self.encoding.take(&self.samples);
        let sent = self.encoding.next().map(|Encoded { payload_type, timestamp, marker, payload }| {
            session.send(Frame { feed: self.feed, timestamp, payload_type, marker, payload }, buffer, now)
        });
        self.next_beat(now);
        sent
    }

    /// The next packet is due on the first beat after now.
    fn next_beat(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.due);
        let missed = u32::try_from(late.as_nanos() / self.packet_time.as_nanos().max(1)).unwrap_or(u32::MAX);
        self.due += self.packet_time.saturating_mul(missed.saturating_add(1));
        self.encoding.skip_packets(missed);
    }
}
