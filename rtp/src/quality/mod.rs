//! How a call sounds: figures of both directions and what the E-model makes of them.
//!
//! [`Snapshot`] is cheap (a copy of counters and some floating point); [`emodel`] is ITU-T G.107, narrow-band.

pub mod emodel;

use std::time::{Duration, Instant};

pub use emodel::{Codec, Parameters};

use crate::{
    jitter::Statistics,
    rtcp::{
        extended::{UNAVAILABLE, VoipMetrics},
        receiver_report::ReportBlock,
    },
    source::Source,
    time,
};

/// A direction is alive when a packet went this way within the last seconds.
const ALIVE: Duration = Duration::from_secs(5);

/// What we sent, as far as anybody told us.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Octets of payload.
    pub payload_octets: u64,
    /// When the last was sent.
    pub last_at: Option<Instant>,
    /// Clock rate of the peer's jitter figure.
    pub clock_rate_hz: u32,
    /// The peer's last report about us.
    pub report: Option<ReportBlock>,
    /// The last round trip measured.
    pub round_trip: Option<Duration>,
}

/// Which directions carry media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Nothing, either way.
    Neither,
    /// We hear the peer; we send nothing.
    ReceivingOnly,
    /// We send; nothing comes back. Somebody hears silence.
    SendingOnly,
    /// Both.
    Both,
}

/// One direction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Direction {
    /// Packets that arrived (at us), or were sent (by us).
    pub packets: u64,
    /// Packets that should have arrived; 0 when unknown.
    pub expected: u64,
    /// Lost on the way; negative when duplicates outweigh them.
    pub lost: i64,
    /// Lost on the way as a fraction, 0–1: since the beginning for what we receive, since the last report for what
    /// the peer receives.
    pub loss: f64,
    /// Arrived, but too late to be played.
    pub late: u64,
    /// Arrived and thrown away for other reasons: overflow, restarts.
    pub discarded: u64,
    /// Seen twice.
    pub duplicates: u64,
    /// Came after a newer one.
    pub reordered: u64,
    /// Interarrival jitter.
    pub jitter: Duration,
    /// Audio that was invented, as a fraction of all that was played, 0–1.
    pub concealed: f64,
    /// Since the last packet; `None` when there was none.
    pub since_last: Option<Duration>,
    /// Delay from one mouth to the other's ear, estimated.
    pub mouth_to_ear: Option<Duration>,
    /// R factor, 0–100; `None` before anything was heard.
    pub r_factor: Option<f64>,
    /// Mean opinion score, 1–4.5.
    pub mos: Option<f64>,
}

/// Both directions at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// SSRC of the source that is listened to.
    pub ssrc: Option<u32>,
    /// What we hear.
    pub received: Direction,
    /// What the peer hears of us, as it reports.
    pub sent: Direction,
    /// Which directions are alive.
    pub flow: Flow,
    /// Round-trip time.
    pub round_trip: Option<Duration>,
    /// Depth of the jitter buffer.
    pub playout_delay: Option<Duration>,
}

/// What cannot be measured here: packetisation, codec look-ahead and sound hardware of both ends together.
const END_SYSTEMS: Duration = Duration::from_millis(40);
/// What a peer's jitter buffer is taken to hold: twice its jitter and a frame.
const FRAME: Duration = Duration::from_millis(20);

impl Snapshot {
    pub(crate) fn new(
        source: Option<&Source>,
        playout: Option<&Statistics>,
        sent: Sent,
        codec: Codec,
        now: Instant,
    ) -> Self {
        let one_way = sent.round_trip.map_or(Duration::ZERO, |round_trip| round_trip / 2);
        let since = |at: Instant| now.saturating_duration_since(at);
        let received_last = source.filter(|source| source.is_valid()).map(|source| since(source.last_at()));
        let sent_last = sent.last_at.map(since);
        let alive = |last: Option<Duration>| last.is_some_and(|last| last <= ALIVE);
        Self {
            ssrc: source.map(Source::ssrc),
            received: source.map_or_else(Direction::default, |source| {
                received(source, playout, one_way, codec, received_last)
            }),
            sent: sent_direction(&sent, one_way, codec, sent_last),
            flow: match (alive(received_last), alive(sent_last)) {
                (true, true) => Flow::Both,
                (true, false) => Flow::ReceivingOnly,
                (false, true) => Flow::SendingOnly,
                (false, false) => Flow::Neither,
            },
            round_trip: sent.round_trip,
            playout_delay: playout.map(|playout| playout.delay),
        }
    }

    /// The received direction as RTCP XR carries it; `None` before anything came.
    #[must_use]
    pub fn voip_metrics(&self) -> Option<VoipMetrics> {
        let ssrc = self.ssrc?;
        let fraction = |value: f64| (value * 256.0).clamp(0.0, 255.0) as u8;
        let milliseconds = |value: Duration| u16::try_from(value.as_millis()).unwrap_or(u16::MAX);
        let direction = &self.received;
        let expected = direction.expected.max(1) as f64;
        let tenths = |mos: Option<f64>| mos.map_or(UNAVAILABLE, |mos| (mos * 10.0).clamp(10.0, 50.0) as u8);
        let delay = milliseconds(self.playout_delay.unwrap_or_default());
        Some(VoipMetrics {
            ssrc,
            loss_rate: fraction(direction.loss),
            discard_rate: fraction((direction.late + direction.discarded) as f64 / expected),
            round_trip_delay: milliseconds(self.round_trip.unwrap_or_default()),
            end_system_delay: milliseconds(self.playout_delay.unwrap_or_default() + END_SYSTEMS),
            r_factor: direction.r_factor.map_or(UNAVAILABLE, |r| r.clamp(0.0, 100.0) as u8),
            mos_listening: tenths(direction.mos),
            mos_conversational: tenths(direction.mos),
            jitter_buffer_nominal: delay,
            jitter_buffer_maximum: delay,
            jitter_buffer_absolute_maximum: delay,
            ..VoipMetrics::default()
        })
    }
}

fn received(
    source: &Source,
    playout: Option<&Statistics>,
    one_way: Duration,
    codec: Codec,
    since_last: Option<Duration>,
) -> Direction {
    let expected = source.expected();
    let unique = source.received().saturating_sub(source.duplicates());
    let loss = ratio(expected.saturating_sub(unique), expected);
    let late = playout.map_or(0, |playout| playout.late);
    let discarded = playout.map_or(0, |playout| playout.discarded);
    let buffer = playout.map_or(source.jitter() * 2 + FRAME, |playout| playout.delay);
    let mouth_to_ear = one_way + buffer + END_SYSTEMS;
    let heard_loss = loss + (1.0 - loss) * ratio(late + discarded, unique.max(1));
    let r_factor =
        source.is_valid().then(|| emodel::r_factor(&Parameters::of_call(codec, heard_loss, mouth_to_ear)));
    Direction {
        packets: source.received(),
        expected,
        lost: source.lost(),
        loss,
        late,
        discarded,
        duplicates: source.duplicates(),
        reordered: source.reordered(),
        jitter: source.jitter(),
        concealed: playout.map_or(0.0, Statistics::concealed_fraction),
        since_last,
        mouth_to_ear: Some(mouth_to_ear),
        r_factor,
        mos: r_factor.map(emodel::mos),
    }
}

fn sent_direction(sent: &Sent, one_way: Duration, codec: Codec, since_last: Option<Duration>) -> Direction {
    let mut direction = Direction { packets: sent.packets, since_last, ..Direction::default() };
    if let Some(report) = sent.report {
        direction.lost = i64::from(report.lost);
        direction.loss = f64::from(report.fraction_lost) / 256.0;
        direction.jitter = time::duration(u64::from(report.jitter), sent.clock_rate_hz);
        let mouth_to_ear = one_way + direction.jitter.min(Duration::from_secs(1)) * 2 + FRAME + END_SYSTEMS;
        direction.mouth_to_ear = Some(mouth_to_ear);
        direction.r_factor =
            Some(emodel::r_factor(&Parameters::of_call(codec, direction.loss, mouth_to_ear)));
        direction.mos = direction.r_factor.map(emodel::mos);
    }
    direction
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).clamp(0.0, 1.0) }
}
