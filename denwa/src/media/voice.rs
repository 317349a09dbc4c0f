//! Sound to packets and packets to sound: the codecs of one stream, its jitter buffer, and the caller's rate.

use super::stream::Arrived;
use super::{PlayOut, StreamParameters};
use denwa_codecs::{Decoder, Encoder, registry};
use denwa_rtp::jitter::playout::{self, Playout};
use denwa_rtp::jitter::{Config as JitterConfig, Incoming};
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What arrives, made sound.
#[derive(Debug)]
pub(crate) struct Ear {
    sample_rate_hz: u32,
    play_out: PlayOut,
    playout: Option<Playout>,
    decoders: Decoders,
}

/// A decoder for each payload type that may arrive.
#[derive(Default)]
struct Decoders {
    by_payload_type: Vec<(u8, String, Box<dyn Decoder>)>,
    /// The one that decoded last: it conceals what is missing.
    last: usize,
    scratch: Vec<i16>,
}

impl Ear {
    pub(crate) fn new(sample_rate_hz: u32, play_out: PlayOut) -> Self {
        Self { sample_rate_hz, play_out, playout: None, decoders: Decoders::default() }
    }

    /// Makes decoders for what was agreed; those that are there already go on.
    pub(crate) fn configure(&mut self, parameters: &StreamParameters, now: Instant) {
        let mut old = std::mem::take(&mut self.decoders.by_payload_type);
        for format in &parameters.receive {
            let name = format!("{} {}", format.label(), format.parameters);
            let same =
                old.iter().position(|(number, label, _)| *number == format.payload_type && *label == name);
            if let Some(kept) = same {
                self.decoders.by_payload_type.push(old.swap_remove(kept));
                continue;
            }
            let decoder = registry::find(&format.name, format.clock_rate_hz)
                .filter(|entry| entry.sample_rate_hz == self.sample_rate_hz)
                .and_then(|entry| entry.decoder(&format.parameters).ok());
            if let Some(decoder) = decoder {
                self.decoders.by_payload_type.push((format.payload_type, name, decoder));
            }
        }
        self.decoders.last = 0;
        if self.playout.is_none() {
            let clock_rate_hz = parameters.receive.first().map_or(8000, |format| format.clock_rate_hz);
            let config = match self.play_out {
                PlayOut::Adaptive => JitterConfig::voice(clock_rate_hz),
                PlayOut::Fixed(delay) => JitterConfig::fixed(clock_rate_hz, delay),
            };
            self.playout = Some(Playout::new(config, self.sample_rate_hz, now));
        }
    }

    /// Takes a packet. Says whether it can be heard.
    pub(crate) fn put(&mut self, arrived: &Arrived, payload: &[u8], now: Instant) -> bool {
        let known =
            self.decoders.by_payload_type.iter().any(|(number, _, _)| *number == arrived.payload_type);
        let Some(playout) = self.playout.as_mut().filter(|_| known) else { return false };
        let packet = Incoming {
            ssrc: arrived.ssrc,
            sequence: arrived.sequence,
            timestamp: arrived.timestamp,
            payload_type: arrived.payload_type,
            marker: arrived.marker,
            payload,
        };
        playout.put(packet, now);
        true
    }

    pub(crate) fn hear(&mut self, samples: &mut [i16], now: Instant) {
        match &mut self.playout {
            Some(playout) => {
                playout.pull(&mut self.decoders, samples, now);
            }
            None => samples.fill(0),
        }
    }
}

impl playout::Decoder for Decoders {
    fn decode(&mut self, payload_type: u8, payload: &[u8], out: &mut Vec<i16>) {
        let found = self.by_payload_type.iter().position(|(number, _, _)| *number == payload_type);
        let Some((index, (_, _, decoder))) =
            found.and_then(|index| Some((index, self.by_payload_type.get_mut(index)?)))
        else {
            return;
        };
        self.last = index;
        self.scratch.resize(decoder.max_samples(payload.len()), 0);
        let length = decoder.decode(payload, &mut self.scratch).unwrap_or(0);
        out.extend(self.scratch.iter().take(length));
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        let wanted = out.len().saturating_add(samples);
        if let Some((_, _, decoder)) = self.by_payload_type.get_mut(self.last) {
            let frame = decoder.frame_samples().max(1);
            self.scratch.resize(samples.div_ceil(frame).saturating_mul(frame), 0);
            let length = decoder.conceal(&mut self.scratch);
            out.extend(self.scratch.iter().take(length.min(samples)));
        }
        out.resize(wanted, 0);
    }
}

impl std::fmt::Debug for Decoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.by_payload_type.iter().map(|(number, name, _)| (number, name))).finish()
    }
}

/// What is said, made packets.
#[derive(Debug)]
pub(crate) struct Mouth {
    sample_rate_hz: u32,
    waiting: VecDeque<i16>,
    waiting_limit: usize,
    /// Tells its time line apart from others of the same stream.
    feed: u32,
    voice: Option<Voice>,
}

struct Voice {
    name: String,
    encoder: Box<dyn Encoder>,
    payload_type: u8,
    clock_rate_hz: u32,
    samples: usize,
    /// Ticks of the RTP clock in a packet.
    ticks: u32,
    timestamp: u32,
    last_at: Option<Instant>,
    frame: Vec<i16>,
    payload: Vec<u8>,
}

/// Pauses longer than this move the timestamps along with the clock.
const PAUSE: Duration = Duration::from_millis(300);

impl Mouth {
    pub(crate) fn new(sample_rate_hz: u32, longest: Duration) -> Self {
        let limit = u64::from(sample_rate_hz).saturating_mul(longest.as_millis() as u64) / 1000;
        let waiting_limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { sample_rate_hz, waiting: VecDeque::new(), waiting_limit, feed: 0, voice: None }
    }

    /// What it says is another feed of its stream than what was said before.
    pub(crate) fn set_feed(&mut self, feed: u32) {
        self.feed = feed;
    }

    /// Speaks as was agreed: the first codec there is an encoder for.
    pub(crate) fn configure(&mut self, parameters: &StreamParameters) {
        let found = parameters.send.iter().find_map(|format| {
            let entry = registry::find(&format.name, format.clock_rate_hz)?;
            (entry.sample_rate_hz == self.sample_rate_hz).then_some((format, entry))
        });
        let Some((format, entry)) = found else {
            self.voice = None;
            return;
        };
        let name = format!("{} {}", format.label(), format.parameters);
        let milliseconds = parameters.packet_time.as_millis() as usize;
        let before = self.voice.take();
        let timestamp = before.as_ref().map_or(0, |voice| voice.timestamp);
        let last_at = before.as_ref().and_then(|voice| voice.last_at);
        let encoder = match before {
            Some(voice) if voice.name == name => Ok(voice.encoder),
            _ => entry.encoder(&format.parameters),
        };
        let Ok(encoder) = encoder else { return };
        let frame = encoder.frame_samples().max(1);
        let samples =
            ((entry.sample_rate_hz as usize / 1000).saturating_mul(milliseconds) / frame).max(1) * frame;
        let ticks = samples as u64 * u64::from(entry.clock_rate_hz) / u64::from(entry.sample_rate_hz.max(1));
        self.voice = Some(Voice {
            name,
            payload_type: format.payload_type,
            clock_rate_hz: entry.clock_rate_hz,
            samples,
            ticks: u32::try_from(ticks).unwrap_or(160),
            timestamp,
            last_at,
            frame: vec![0; samples],
            payload: vec![0; encoder.max_payload_bytes(samples)],
            encoder,
        });
    }

    pub(crate) fn say(&mut self, samples: &[i16], muted: bool) {
        if muted {
            self.waiting.extend(std::iter::repeat_n(0, samples.len()));
        } else {
            self.waiting.extend(samples);
        }
        let room = self.waiting_limit.max(self.voice.as_ref().map_or(0, |voice| voice.samples * 2));
        let surplus = self.waiting.len().saturating_sub(room);
        self.waiting.drain(..surplus);
    }

    pub(crate) fn forget(&mut self) {
        self.waiting.clear();
    }

    /// The next packet, when enough was said.
    pub(crate) fn next_packet(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Result<Outgoing, NotSent>> {
        let voice = self.voice.as_mut()?;
        if self.waiting.len() < voice.samples {
            return None;
        }
        for (place, sample) in voice.frame.iter_mut().zip(self.waiting.drain(..voice.samples)) {
            *place = sample;
        }
        let length = voice.encoder.encode(&voice.frame, &mut voice.payload).unwrap_or(0);
        let marker = voice.after_pause(now);
        let timestamp = voice.timestamp;
        voice.timestamp = timestamp.wrapping_add(voice.ticks);
        voice.last_at = Some(now);
        let payload = voice.payload.get(..length).unwrap_or(&[]);
        let frame = Frame { feed: self.feed, timestamp, payload_type: voice.payload_type, marker, payload };
        Some(session.send(frame, buffer, now))
    }
}

impl Voice {
    /// Moves the time line along when nothing was said for long. Says whether that was so.
    fn after_pause(&mut self, now: Instant) -> bool {
        let Some(silent) = self.last_at.map(|last| now.saturating_duration_since(last)) else { return false };
        if silent < PAUSE {
            return false;
        }
        let elapsed = silent.as_millis().saturating_mul(u128::from(self.clock_rate_hz)) / 1000;
        let elapsed = u32::try_from(elapsed & u128::from(u32::MAX)).unwrap_or(0);
        // The packet before has moved it by one packet already.
        self.timestamp = self.timestamp.wrapping_add(elapsed.saturating_sub(self.ticks));
        true
    }
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice")
            .field("name", &self.name)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}
