//! How a call sounds: figures of both directions and what the E-model makes of them.
//!
//! [`Snapshot`] is cheap (a copy of counters and some floating point); [`emodel`] is ITU-T G.107, narrow-band.

pub mod burst;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
    /// What the peer last said of how we sound (RFC 3611 §4.7).
    pub metrics: Option<VoipMetrics>,
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
    /// Bursts and gaps of what was lost or came too late; of what the peer receives as it tells by XR.
    pub bursts: burst::Figures,
    /// Audio that was invented, as a fraction of all that was played, 0–1.
    pub concealed: f64,
    /// Since the last packet; `None` when there was none.
    pub since_last: Option<Duration>,
    /// Delay from one mouth to the other's ear, estimated.
    pub mouth_to_ear: Option<Duration>,
    /// R factor, 0–100; `None` before anything was heard.
    pub r_factor: Option<f64>,
    /// Mean opinion score of the conversation, 1–4.5.
    pub mos: Option<f64>,
    /// Mean opinion score of listening, delay left out, 1–4.5.
    pub listening_mos: Option<f64>,
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
    /// The jitter buffer's bounds and manner, where there is one.
    pub playout: Option<PlayoutManner>,
}

/// How the jitter buffer is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutManner {
    /// The delay it aims at.
    pub target: Duration,
    /// The most that may become.
    pub maximum: Duration,
    /// Whether it follows the network.
    pub adaptive: bool,
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
            playout: playout.map(|playout| PlayoutManner {
                target: playout.target,
                maximum: playout.maximum.max(playout.target),
                adaptive: playout.adaptive,
            }),
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
        let bursts = &direction.bursts;
        let playout = self.playout;
        let nominal = playout.map_or(0, |playout| milliseconds(playout.target));
        let maximum = playout.map_or(0, |playout| milliseconds(playout.maximum));
        Some(VoipMetrics {
            ssrc,
            loss_rate: fraction(direction.loss),
            discard_rate: fraction((direction.late + direction.discarded) as f64 / expected),
            burst_density: fraction(bursts.burst_density),
            gap_density: fraction(bursts.gap_density),
            burst_duration: milliseconds(bursts.burst_duration),
            gap_duration: milliseconds(bursts.gap_duration),
            round_trip_delay: milliseconds(self.round_trip.unwrap_or_default()),
            end_system_delay: milliseconds(self.playout_delay.unwrap_or_default() + END_SYSTEMS),
            minimum_gap: burst::MINIMUM_GAP,
            r_factor: direction.r_factor.map_or(UNAVAILABLE, |r| r.clamp(0.0, 100.0) as u8),
            mos_listening: tenths(direction.listening_mos),
            mos_conversational: tenths(direction.mos),
            receiver_configuration: playout.map_or(0, configuration),
            jitter_buffer_nominal: nominal,
            jitter_buffer_maximum: maximum,
            jitter_buffer_absolute_maximum: maximum,
            ..VoipMetrics::default()
        })
    }
}

/// RFC 3611 §4.7.6: concealment, adaptivity, and how fast the buffer adapts.
const fn configuration(playout: PlayoutManner) -> u8 {
    const STANDARD_CONCEALMENT: u8 = 0b11 << 6;
    const SILENCE: u8 = 0b01 << 6;
    const ADAPTIVE: u8 = 0b11 << 4;
    const NOT_ADAPTIVE: u8 = 0b10 << 4;
    /// Twice so many frames for a step from 30 to 100 ms: a second's worth of packets has to show it first.
    const RATE: u8 = 15;
    if playout.adaptive { STANDARD_CONCEALMENT | ADAPTIVE | RATE } else { SILENCE | NOT_ADAPTIVE }
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
    let bursts = source.bursts();
    let rate = |delay| {
        let parameters = Parameters::of_call(codec, heard_loss, delay);
        // The E-model knows bursts of up to twice their length under independent loss (G.107 §7.2).
        emodel::r_factor(&Parameters { burst_ratio: bursts.burst_ratio.clamp(1.0, 2.0), ..parameters })
    };
    let r_factor = source.is_valid().then(|| rate(mouth_to_ear));
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
        bursts,
        concealed: playout.map_or(0.0, Statistics::concealed_fraction),
        since_last,
        mouth_to_ear: Some(mouth_to_ear),
        r_factor,
        mos: r_factor.map(emodel::mos),
        listening_mos: source.is_valid().then(|| emodel::mos(rate(Duration::ZERO))),
    }
}

fn sent_direction(sent: &Sent, one_way: Duration, codec: Codec, since_last: Option<Duration>) -> Direction {
    let mut direction = Direction { packets: sent.packets, since_last, ..Direction::default() };
    if let Some(report) = sent.report {
        direction.lost = i64::from(report.lost);
        direction.loss = f64::from(report.fraction_lost) / 256.0;
        direction.jitter = time::duration(u64::from(report.jitter), sent.clock_rate_hz);
        // What the peer tells of its play-out is better than what its jitter suggests.
        let theirs = sent.metrics.filter(|metrics| metrics.end_system_delay > 0);
        let their_end = theirs
            .map_or(direction.jitter.min(Duration::from_secs(1)) * 2 + FRAME + END_SYSTEMS, |metrics| {
                Duration::from_millis(u64::from(metrics.end_system_delay)).min(Duration::from_secs(5))
            });
        let discarded = sent.metrics.map_or(0.0, |metrics| f64::from(metrics.discard_rate) / 256.0);
        let heard_loss = direction.loss + (1.0 - direction.loss) * discarded;
        let mouth_to_ear = one_way + their_end;
        let rate = |delay| emodel::r_factor(&Parameters::of_call(codec, heard_loss, delay));
        direction.mouth_to_ear = Some(mouth_to_ear);
        direction.r_factor = Some(rate(mouth_to_ear));
        direction.mos = direction.r_factor.map(emodel::mos);
        direction.listening_mos = Some(emodel::mos(rate(Duration::ZERO)));
    }
    if let Some(metrics) = sent.metrics {
        let milliseconds = |value: u16| Duration::from_millis(u64::from(value));
        direction.bursts = burst::Figures {
            bursts: u64::from(metrics.burst_duration > 0),
            burst_density: f64::from(metrics.burst_density) / 256.0,
            gap_density: f64::from(metrics.gap_density) / 256.0,
            burst_duration: milliseconds(metrics.burst_duration),
            gap_duration: milliseconds(metrics.gap_duration),
            burst_ratio: 1.0,
        };
    }
    direction
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).clamp(0.0, 1.0) }
}
