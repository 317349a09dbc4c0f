//! What a session is told once.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::Format;
use crate::{latch, quality::Codec, wallclock::WallClock};

/// What the session's generator starts from. Must be unguessable: SSRC, first number and timestamp come of it.
#[derive(Clone)]
pub struct Seed(pub [u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// Configuration of a [`super::Session`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Canonical name, at most 255 octets; should not tell who the user is (RFC 7022).
    pub cname: String,
    /// The source identifier to begin with: what a description has told already (RFC 5576). `None` draws one.
    pub ssrc: Option<u32>,
    /// The payload types that were agreed on. Others are dropped and counted.
    pub formats: Vec<Format>,
    /// Clock rate of what we send, in Hz.
    pub clock_rate_hz: u32,
    /// Where the description says the peer receives media.
    pub remote: Option<SocketAddr>,
    /// Where it receives RTCP; `None` when both share a port (RFC 5761).
    pub remote_control: Option<SocketAddr>,
    /// Our media address, put into [`super::Transmit::source`].
    pub local: Option<SocketAddr>,
    /// Our RTCP address when it is another.
    pub local_control: Option<SocketAddr>,
    /// How the true sender is found.
    pub latch: latch::Config,
    /// Nothing passes in the clear: until there are keys, nothing is sent and nothing is listened to.
    pub require_protection: bool,
    /// How RTCP is sent.
    pub control: ControlMode,
    /// Sends XR (RFC 3611): our reference time when we send no media, echoes of the peer's, VoIP metrics.
    pub extended_reports: bool,
    /// The session's bandwidth, IP headers included, of which RTCP takes 5 %. In bit/s.
    pub bandwidth_bits_per_second: u32,
    /// The least interval between reports, before it is randomised; 5 s (RFC 3550 §6.2).
    pub minimum_interval: Duration,
    /// Media that does not come for this long is an event. `None`: never.
    pub media_timeout: Option<Duration>,
    /// A second source takes over at once when it is valid, but the former one may return only after the present one
    /// has been silent for this long.
    pub source_hold: Duration,
    /// Our own packets that the peer returns are media like any other, as from an echo service; else they are dropped
    /// as a loop (RFC 3550 §8.2).
    pub accept_reflection: bool,
    /// One moment on the wall clock, for sender reports.
    pub wall_clock: WallClock,
    /// What the E-model knows of the codec.
    pub codec: Codec,
    /// Participants that are remembered; more are refused.
    pub maximum_members: usize,
    /// Outputs that may wait to be polled; more are dropped.
    pub maximum_outputs: usize,
}

impl Config {
    /// Narrow-band telephony with RTCP on the media port: 8 kHz, 64 kbit/s of payload, 30 s media time-out, no
    /// wall clock before `now` (sender reports then count from 1970).
    #[must_use]
    pub fn new(cname: impl Into<String>, formats: Vec<Format>, now: Instant) -> Self {
        Self {
            cname: cname.into(),
            ssrc: None,
            formats,
            clock_rate_hz: 8000,
            remote: None,
            remote_control: None,
            local: None,
            local_control: None,
            latch: latch::Config::default(),
            require_protection: false,
            control: ControlMode::Compound,
            extended_reports: false,
            bandwidth_bits_per_second: 80_000,
            minimum_interval: Duration::from_secs(5),
            media_timeout: Some(Duration::from_secs(30)),
            source_hold: Duration::from_millis(500),
            accept_reflection: true,
            wall_clock: WallClock { at: now, since_1970: Duration::ZERO },
            codec: Codec::G711,
            maximum_members: 32,
            maximum_outputs: 256,
        }
    }
}

/// How RTCP is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ControlMode {
    /// Not at all (`a=rtcp` missing and bandwidth 0, RFC 3556). What comes is read.
    Off,
    /// Compound packets.
    #[default]
    Compound,
    /// Feedback alone may be of reduced size (RFC 5506).
    ReducedSize,
}
