//! Sound to packets and packets to sound: the codecs of one stream, its jitter buffer, and the caller's rate.

use super::decoding::Decoders;
use super::encoding::{Encoded, Encoding};
use super::stream::Arrived;
use super::{PlayOut, StreamParameters};
use denwa_rtp::jitter::playout::Playout;
use denwa_rtp::jitter::{Config as JitterConfig, Incoming, Put, Statistics};
use denwa_rtp::session::{Frame, NotSent, Outgoing, Session};
use std::time::{Duration, Instant};

/// What arrives, made sound.
#[derive(Debug)]
pub(crate) struct Ear {
    play_out: PlayOut,
    decoders: Decoders,
    playout: Option<Clocked>,
    /// What came before the clock of the timestamps changed, until all of it was heard.
    before: Option<Playout>,
}

/// A jitter buffer lives by one clock of timestamps.
#[derive(Debug)]
struct Clocked {
    clock_rate_hz: u32,
    playout: Playout,
}

impl Ear {
    pub(crate) fn new(sample_rate_hz: u32, play_out: PlayOut) -> Self {
        let decoders = Decoders::new(sample_rate_hz);
        Self { play_out, decoders, playout: None, before: None }
    }

    /// Makes decoders for what was agreed; those that are there already go on.
    pub(crate) fn configure(&mut self, parameters: &StreamParameters, now: Instant) {
        self.decoders.configure(&parameters.receive);
        if self.playout.is_none()
            && let Some(format) = parameters.receive.first()
        {
            self.begin(format.clock_rate_hz, now);
        }
    }

    fn begin(&mut self, clock_rate_hz: u32, now: Instant) {
        let config = match self.play_out {
            PlayOut::Adaptive => JitterConfig::voice(clock_rate_hz),
            PlayOut::Fixed(delay) => JitterConfig::fixed(clock_rate_hz, delay),
        };
        let playout = Playout::new(config, self.decoders.sample_rate_hz(), now);
        if let Some(before) = self.playout.replace(Clocked { clock_rate_hz, playout }) {
            self.before = Some(before.playout);
        }
    }

    /// Takes a packet. `None` when nothing here decodes it.
    pub(crate) fn put(&mut self, arrived: &Arrived, payload: &[u8], now: Instant) -> Option<Put> {
        let clock_rate_hz = self.decoders.clock_rate_hz(arrived.payload_type)?;
        if self.playout.as_ref().is_none_or(|clocked| clocked.clock_rate_hz != clock_rate_hz) {
            // A description of silence by another clock than the voice's says nothing about its time line.
            if self.decoders.is_comfort_noise(arrived.payload_type) {
                return None;
            }
            self.begin(clock_rate_hz, now);
        }
        let clocked = self.playout.as_mut()?;
        let packet = Incoming {
            ssrc: arrived.ssrc,
            sequence: arrived.sequence,
            timestamp: arrived.timestamp,
            payload_type: arrived.payload_type,
            marker: arrived.marker,
            payload,
        };
        Some(clocked.playout.put(packet, now))
    }

    /// Fills `samples` with what is to be heard now.
    pub(crate) fn hear(&mut self, samples: &mut [i16], now: Instant) {
        if let Some(before) = &mut self.before {
            let pulled = before.pull(&mut self.decoders, samples, now);
            // What is left of its last frame is no new frame.
            if pulled.concealed.saturating_add(pulled.paused) > 0 {
                self.before = None;
            }
        }
        if self.before.is_none() {
            match &mut self.playout {
                Some(clocked) => {
                    clocked.playout.pull(&mut self.decoders, samples, now);
                }
                None => samples.fill(0),
            }
        }
    }

    /// How the jitter buffer does.
    pub(crate) fn statistics(&self, now: Instant) -> Option<Statistics> {
        self.playout.as_ref().map(|clocked| clocked.playout.statistics(now))
    }
}

/// What is said, made packets.
#[derive(Debug)]
pub(crate) struct Mouth {
    sample_rate_hz: u32,
    longest: Duration,
    encoding: Option<Encoding>,
    feed: u32,
    last_at: Option<Instant>,
}

/// Pauses longer than this move the timestamps along with the clock.
const PAUSE: Duration = Duration::from_millis(300);

impl Mouth {
    pub(crate) fn new(sample_rate_hz: u32, longest: Duration) -> Self {
        Self { sample_rate_hz, longest, encoding: None, feed: 0, last_at: None }
    }

    /// What it says is another feed of its stream than what was said before.
    pub(crate) fn set_feed(&mut self, feed: u32) {
        self.feed = feed;
    }

    /// Speaks as was agreed: the first codec there is an encoder for. `feed` is the number of a new feed.
    pub(crate) fn configure(&mut self, parameters: &StreamParameters, feed: impl FnOnce() -> u32) {
        let before = self.encoding.take();
        self.encoding = Encoding::new(parameters, self.sample_rate_hz);
        if let (Some(encoding), Some(before)) = (&mut self.encoding, before)
            && encoding.follow(before)
        {
            self.feed = feed();
        }
    }

    /// Ticks of the RTP clock a second, of what is sent.
    pub(super) fn clock_rate_hz(&self) -> Option<u32> {
        self.encoding.as_ref().map(Encoding::clock_rate_hz)
    }

    pub(crate) fn say(&mut self, samples: &[i16], muted: bool) {
        let Some(encoding) = &mut self.encoding else { return };
        if muted {
            encoding.take(&vec![0; samples.len()]);
        } else {
            encoding.take(samples);
        }
        encoding.keep(self.longest);
    }

    pub(crate) fn forget(&mut self) {
        if let Some(encoding) = &mut self.encoding {
            encoding.forget();
        }
    }

    /// The next packet, when enough was said.
    pub(crate) fn next_packet(
        &mut self,
        session: &mut Session,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Result<Outgoing, NotSent>> {
        let encoding = self.encoding.as_mut().filter(|encoding| encoding.is_ready())?;
        let silent = self.last_at.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if silent >= PAUSE {
            let elapsed = silent.saturating_sub(encoding.packet_time());
            let ticks = elapsed.as_millis().saturating_mul(u128::from(encoding.clock_rate_hz())) / 1000;
            encoding.skip(u32::try_from(ticks & u128::from(u32::MAX)).unwrap_or(0));
        }
        self.last_at = Some(now);
        let Encoded { payload_type, timestamp, marker, payload } = encoding.next()?;
        Some(session.send(Frame { feed: self.feed, timestamp, payload_type, marker, payload }, buffer, now))
    }
}
