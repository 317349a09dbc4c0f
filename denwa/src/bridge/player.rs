//! A source of sound that is made here: samples of a program, encoded for the leg that hears them, a packet at a time.

use super::live::Live;
use super::program::{Program, Renderer};
use crate::media::{Encoded, Encoding, StreamParameters};
use denwa_codecs::registry;
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use std::time::{Duration, Instant};

/// A program playing to one leg.
pub(super) struct Player {
    origin: Origin,
    /// How it is encoded; while nothing was agreed, or we may not send, the program waits.
    voice: Option<Voice>,
    feed: u32,
    due: Instant,
}

/// Where its samples come from.
enum Origin {
    Program(Box<Renderer>),
    Live(Box<Live>),
}

impl Origin {
    fn render(&mut self, out: &mut [i16], sample_rate_hz: u32) {
        match self {
            Self::Program(renderer) => renderer.render(out),
            Self::Live(live) => live.render(out, sample_rate_hz),
        }
    }
}

#[derive(Debug)]
struct Voice {
    encoding: Encoding,
    sample_rate_hz: u32,
    packet_time: Duration,
    samples: Vec<i16>,
}

/// Programs are made at no higher rate: telephones do not sound better.
const HIGHEST_RATE_HZ: u32 = 16_000;

impl Player {
    /// Plays `program` as `parameters` want it, from now on. `epoch` is when programs that are always on began.
    pub(super) fn new(
        program: Program,
        parameters: Option<&StreamParameters>,
        feed: u32,
        epoch: Instant,
        now: Instant,
    ) -> Self {
        let voice = parameters.and_then(Voice::new);
        let rate = voice.as_ref().map_or(8000, |voice| voice.sample_rate_hz);
        let origin = Origin::Program(Box::new(Renderer::new(program, rate, epoch, now)));
        Self { origin, voice, feed, due: now }
    }

    /// Plays what is said to it as it comes.
    pub(super) fn live(parameters: Option<&StreamParameters>, feed: u32, now: Instant) -> Self {
        let voice = parameters.and_then(Voice::new);
        Self { origin: Origin::Live(Box::default()), voice, feed, due: now }
    }

    /// What is said live, if this is a player for that.
    pub(super) fn as_live(&mut self) -> Option<&mut Live> {
        match &mut self.origin {
            Origin::Live(live) => Some(live),
            Origin::Program(_) => None,
        }
    }

    /// Goes by what was agreed now; the program goes on where it was.
    pub(super) fn adapt(&mut self, parameters: Option<&StreamParameters>, now: Instant) {
        let before = self.voice.take();
        let was_silent = before.is_none();
        self.voice = parameters.and_then(Voice::new);
        if let Some(voice) = &mut self.voice {
            if before.is_some_and(|before| voice.encoding.follow(before.encoding)) {
                // Another clock, another time line.
                self.feed ^= OTHER_CLOCK;
            }
            if let Origin::Program(renderer) = &mut self.origin {
                renderer.set_sample_rate(voice.sample_rate_hz);
            }
        }
        if was_silent {
            self.due = now;
        }
    }

    /// When the next packet belongs on the wire; `None` while it waits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.voice.as_ref().map(|_| self.due)
    }

    /// Whether everything was played.
    pub(super) fn is_finished(&self) -> bool {
        match &self.origin {
            Origin::Program(renderer) => renderer.is_finished(),
            Origin::Live(_) => false,
        }
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
        self.origin.render(&mut voice.samples, voice.sample_rate_hz);
        voice.encoding.take(&voice.samples);
        let sent = voice.encoding.next().map(|Encoded { payload_type, timestamp, marker, payload }| {
            session.send(Frame { feed: self.feed, timestamp, payload_type, marker, payload }, buffer, now)
        });
        self.step(now, 1);
        sent
    }

    /// Lets a packet's time pass unheard.
    pub(super) fn skip(&mut self, now: Instant) {
        if let Some(voice) = &mut self.voice {
            self.origin.render(&mut voice.samples, voice.sample_rate_hz);
        }
        self.step(now, 0);
    }

    /// The next packet is due on the first beat after now; `made` of those that pass were made.
    fn step(&mut self, now: Instant, made: u32) {
        let Some(voice) = &mut self.voice else { return };
        let late = now.saturating_duration_since(self.due);
        let missed = u32::try_from(late.as_nanos() / voice.packet_time.as_nanos().max(1)).unwrap_or(u32::MAX);
        let beats = missed.saturating_add(1);
        self.due += voice.packet_time.saturating_mul(beats);
        voice.encoding.skip_packets(beats.saturating_sub(made));
    }
}

/// Tells the feeds of one player apart.
const OTHER_CLOCK: u32 = 1 << 31;

impl Voice {
    /// The first codec there is an encoder for.
    fn new(parameters: &StreamParameters) -> Option<Self> {
        if !parameters.sends {
            return None;
        }
        // What plays is no speech: nothing is to take it for silence.
        let parameters = StreamParameters { suppresses_silence: false, ..parameters.clone() };
        let entry =
            parameters.send.iter().find_map(|format| registry::find(&format.name, format.clock_rate_hz))?;
        let sample_rate_hz = entry.sample_rate_hz.min(HIGHEST_RATE_HZ);
        let encoding = Encoding::new(&parameters, sample_rate_hz)?;
        Some(Self {
            sample_rate_hz,
            packet_time: encoding.packet_time(),
            samples: vec![0; encoding.packet_input()],
            encoding,
        })
    }
}

impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Player").field("voice", &self.voice).field("due", &self.due).finish_non_exhaustive()
    }
}
