//! The jitter buffer: packets come as the network brings them, frames go as the play-out clock asks.
//!
//! [`JitterBuffer`] holds payloads and decides *what* is next and *when*; [`playout`] turns that into samples, with a
//! decoder of the caller's, and scales time without clicks. Adaptive mode keeps the delay where few packets come too
//! late; when the network holds everything back it waits (nothing that comes late is thrown away) and catches up.
//! Fixed mode never adapts, scales or conceals: fax and modems (and whoever measures) want that.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod buffer;
mod estimator;
pub mod playout;
mod store;
mod stretch;

use std::time::Duration;

pub use buffer::JitterBuffer;

/// Configuration of a [`JitterBuffer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Ticks of the timestamps a second (8000 for G.722 too, RFC 3551 §4.5.2).
    pub clock_rate_hz: u32,
    /// Adaptive or fixed.
    pub mode: Mode,
    /// Packets held; more push out the oldest. A power of two is made of it.
    pub maximum_packets: usize,
    /// Octets of a payload; longer ones are refused.
    pub maximum_payload: usize,
    /// After this long without a packet the stream counts as stopped, and begins anew when packets come.
    pub outage: Duration,
    /// The payload type of comfort noise (RFC 3389), when there is one: what follows it is a pause, not a loss.
    pub comfort_noise: Option<u8>,
}

/// How the delay is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As small as the network allows, between two bounds.
    Adaptive {
        /// Never less than this.
        minimum: Duration,
        /// Never more than this.
        maximum: Duration,
    },
    /// Always this much; nothing is scaled or concealed, and a loss is a silence of the same length. Only when the
    /// clocks have drifted so far apart that the buffer runs over or dry does it begin anew.
    Fixed {
        /// The delay of the first packet, and so of all.
        delay: Duration,
    },
}

impl Config {
    /// Voice: adaptive from 10 to 500 ms.
    #[must_use]
    pub const fn voice(clock_rate_hz: u32) -> Self {
        let mode = Mode::Adaptive { minimum: Duration::from_millis(10), maximum: Duration::from_millis(500) };
        Self {
            clock_rate_hz,
            mode,
            maximum_packets: 256,
            // 20 ms of linear sound at 48 kHz is more than a packet of Ethernet.
            maximum_payload: 2048,
            outage: Duration::from_secs(1),
            comfort_noise: None,
        }
    }

    /// Fax, modems and measurements: always `delay`.
    #[must_use]
    pub const fn fixed(clock_rate_hz: u32, delay: Duration) -> Self {
        Self { mode: Mode::Fixed { delay }, ..Self::voice(clock_rate_hz) }
    }
}

/// A packet for the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// Another SSRC begins another stream.
    pub ssrc: u32,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Payload type, given back with the frame.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// What the decoder will get.
    pub payload: &'a [u8],
}

impl<'a> From<crate::Packet<'a>> for Incoming<'a> {
    fn from(packet: crate::Packet<'a>) -> Self {
        Self {
            ssrc: packet.ssrc(),
            sequence: packet.sequence(),
            timestamp: packet.timestamp(),
            payload_type: packet.payload_type(),
            marker: packet.marker(),
            payload: packet.payload(),
        }
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Put {
    /// It waits for its turn.
    Stored,
    /// It waits, and the stream has begun anew with it: what waited before is gone.
    Restarted,
    /// It was here already.
    Duplicate,
    /// Its turn has passed.
    Late,
    /// It is longer than the configuration allows.
    TooLong,
}

/// What to play for the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// Decode this.
    Frame(Frame<'a>),
    /// A frame is missing: conceal. So many clock units.
    Conceal {
        /// Length of the gap in clock units.
        units: u32,
        /// Why there is a gap.
        cause: Gap,
    },
    /// The sender is pausing (DTX): comfort noise. So many clock units.
    Pause {
        /// Length in clock units.
        units: u32,
    },
    /// Nothing has come yet, or nothing comes any more: silence.
    Idle,
}

/// Why a frame is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gap {
    /// Later packets are here: it was lost or is very late.
    Lost,
    /// Nothing is here: the network holds packets back. What comes is played all the same, later.
    Starved,
    /// The delay grows: time is inserted, nothing is missing.
    Inserted,
}

/// A frame whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Payload type.
    pub payload_type: u8,
    /// Marker bit.
    pub marker: bool,
    /// A frame before it was concealed or skipped: a decoder's state does not fit.
    pub after_gap: bool,
    /// What to decode.
    pub payload: &'a [u8],
}

/// Counters and the present state.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Statistics {
    /// Packets put.
    pub received: u64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets seen twice.
    pub duplicates: u64,
    /// Packets thrown away: too long, pushed out, skipped, or of a stream that began anew.
    pub discarded: u64,
    /// Streams begun, the first included.
    pub starts: u64,
    /// Time for which frames were given out.
    pub played: Duration,
    /// Time for which frames were missing, lost or late.
    pub concealed: Duration,
    /// Of that, because nothing was there.
    pub starved: Duration,
    /// Pauses of the sender.
    pub paused: Duration,
    /// Time inserted to grow the delay.
    pub stretched: Duration,
    /// Time cut out to shrink it.
    pub compressed: Duration,
    /// The delay a frame has now from arrival of the fastest packets to its play-out.
    pub delay: Duration,
    /// The delay wanted.
    pub target: Duration,
    /// The most the delay may be asked to become; the delay itself in fixed mode.
    pub maximum: Duration,
    /// Whether the delay follows the network.
    pub adaptive: bool,
    /// The sender's clock against the play-out clock, in parts per million; positive when the sender is faster.
    /// `None` for the first half minute of a stream.
    pub drift_ppm: Option<f64>,
}

impl Statistics {
    /// Of the time while a stream ran, what was invented: concealed and stretched, 0–1.
    #[must_use]
    pub fn concealed_fraction(&self) -> f64 {
        let invented = self.concealed.saturating_add(self.stretched).as_secs_f64();
        let all = self.played.as_secs_f64() + invented;
        if all > 0.0 { invented / all } else { 0.0 }
    }
}
