//! One leg: its stream, what it is joined to, and what is played to it.

use super::keys::KeyEar;
use super::plan::Plan;
use super::transcode::Transcoder;
use super::{Connection, Event, LegId, LegSpec, Source};
use crate::media::{self, Stream, StreamConfig, TonePlayer};
use denwa_rtp::latch;
use denwa_rtp::session;
use denwa_rtp::wallclock::WallClock;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) stream: Stream,
    /// The driver has said that the sockets are open.
    pub(super) open: bool,
    pub(super) joined: Connection,
    /// From this leg to what it is joined to.
    pub(super) plan: Plan,
    /// Makes packets that the plan says so of what the other leg sends.
    pub(super) transcoder: Option<Box<Transcoder>>,
    /// The transcoder has more packets than the one that went out at once.
    pub(super) owes_since: Option<Instant>,
    /// When an event last passed on: no transcoded voice goes in between.
    pub(super) event_at: Option<Instant>,
    pub(super) keys: Option<Box<KeyEar>>,
    pub(super) player: Option<TonePlayer>,
    /// This leg's place in the order of deadlines.
    pub(super) deadline: Option<Instant>,
}

impl Leg {
    pub(super) fn new(spec: LegSpec, latch: latch::Config, wall_clock: WallClock) -> Self {
        let config = StreamConfig {
            rtp: spec.rtp,
            rtcp: spec.rtcp,
            silence_after: spec.silence_after,
            cname: spec.cname,
            latch,
            wall_clock,
        };
        Self {
            stream: Stream::new(config),
            open: false,
            joined: Connection::Nothing,
            plan: Plan::nothing(),
            transcoder: None,
            owes_since: None,
            event_at: None,
            keys: None,
            player: None,
            deadline: None,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let player = self.player.as_ref().map(|player| player.due);
        let transcoder = self.transcoder.as_ref().and_then(|transcoder| transcoder.due);
        [self.stream.poll_timeout(), player, transcoder, self.owes_since].into_iter().flatten().min()
    }

    /// The leg that hears this one; `leg` is its own name.
    pub(super) fn target(&self, leg: LegId) -> Option<LegId> {
        match &self.joined {
            Connection::Leg(other) => Some(*other),
            Connection::Source(Source::Echo) => Some(leg),
            Connection::Nothing | Connection::Source(_) => None,
        }
    }

    /// Makes the packet that is due. Keys go before whatever else is played.
    pub(super) fn play(&mut self, buffer: &mut [u8], now: Instant) -> Option<session::Outgoing> {
        let dialling = self.stream.is_dialling();
        let mut made = self.stream.dial(buffer, now);
        if let Some(player) = self.player.as_mut().filter(|player| player.due <= now)
            && let Some(session) = &mut self.stream.session
        {
            if dialling {
                player.skip(now);
            } else {
                made = player.play(session, buffer, now);
            }
        }
        made?.ok()
    }
}

/// An event of a leg's stream as one of the bridge.
pub(super) fn event(leg: LegId, event: media::Event) -> Option<Event> {
    Some(match event {
        media::Event::FirstPacket { from, expected } => Event::FirstPacket { leg, from, expected },
        media::Event::SourceMoved { from, to } => Event::SourceMoved { leg, from, to },
        media::Event::SourceRefused { from } => Event::SourceRefused { leg, from },
        media::Event::Digit { digit, duration } => Event::Digit { leg, digit, duration },
        media::Event::KeyToSignal { digit, duration } => Event::KeyToSignal { leg, digit, duration },
        media::Event::Silent { lasted } => Event::Silent { leg, lasted },
        media::Event::Resumed { after } => Event::Resumed { leg, after },
        media::Event::Undeliverable { destination } => Event::Undeliverable { leg, destination },
        media::Event::Report(report) => Event::Report { leg, report },
        // Whoever configures a leg knows these before the bridge.
        media::Event::DirectionChanged { .. } | media::Event::CodecChanged { .. } => return None,
    })
}
