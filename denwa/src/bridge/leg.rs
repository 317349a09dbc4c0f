//! One leg: its stream, what it is joined to, what is played to it, and what is done with what comes from it.

use super::data_ear::DataEar;
use super::keys::KeyEar;
use super::plan::Plan;
use super::player::Player;
use super::recording::Recorder;
use super::repack::Repacker;
use super::tap::Tap;
use super::transcode::Transcoder;
use super::{CarriedBy, Connection, Event, LegId, LegSpec, Source};
use crate::media::{self, Mouth, Stream, StreamConfig};
use denwa_rtp::latch;
use denwa_rtp::session;
use denwa_rtp::wallclock::WallClock;
use denwa_sdp::{LocalIce, LocalSource};
use std::net::SocketAddr;
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
    /// Cut and join packets anew that the plan says so of.
    pub(super) repackers: Vec<Repacker>,
    /// These have more packets than the one that went out at once.
    pub(super) owes_since: Option<Instant>,
    /// When an event last passed on: no transcoded voice goes in between.
    pub(super) event_at: Option<Instant>,
    /// Listens for keys that the other leg is to be told of in another way.
    pub(super) key_ear: Option<Box<KeyEar>>,
    /// Listens for fax machines and modems.
    pub(super) data_ear: Option<Box<DataEar>>,
    /// What comes and goes is copied.
    pub(super) copies: bool,
    /// What leaves holds exactly the time that the peer has asked for.
    pub(super) exact: bool,
    /// The source it is joined to.
    pub(super) player: Option<Player>,
    /// What is played over whatever it is joined to.
    pub(super) announcement: Option<Player>,
    /// What the conference it is in says to its peer.
    pub(super) mouth: Option<Box<Mouth>>,
    /// What its peer says, as samples, when anybody wants that.
    pub(super) tap: Option<Box<Tap>>,
    pub(super) recorders: Vec<Recorder>,
    /// What its peer says is not passed on.
    pub(super) muted: bool,
    /// Keys are looked for in the sound.
    pub(super) detects: bool,
    /// What it will be carried by when its sockets are open.
    pub(super) to_carry: Option<Box<CarriedBy>>,
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
            repackers: Vec::new(),
            owes_since: None,
            event_at: None,
            key_ear: None,
            data_ear: None,
            copies: false,
            exact: false,
            player: None,
            announcement: None,
            mouth: None,
            tap: None,
            recorders: Vec::new(),
            muted: false,
            detects: false,
            to_carry: None,
            deadline: None,
        }
    }

    /// What the peer is to be told of ICE; `None` without.
    pub(super) fn ice_description(&self) -> Option<Told> {
        let (ice, rtp, rtcp) = self.stream.ice_description()?;
        Some(Told { ice, source: self.stream.source()?, rtp, rtcp })
    }

    /// Draws new credentials.
    pub(super) fn restart_ice(&mut self, now: Instant) -> Option<Told> {
        self.stream.restart_ice(now);
        self.ice_description()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let players = [&self.player, &self.announcement].map(|player| player.as_ref()?.due());
        let tap = match self.joined {
            // The conference has a beat of its own.
            Connection::Conference(_) => None,
            _ => self.tap.as_ref().map(|tap| tap.due),
        };
        let transcoder = self.transcoder.as_ref().and_then(|transcoder| transcoder.due);
        let own = [self.stream.poll_timeout(), tap, transcoder, self.owes_since];
        own.into_iter().chain(players).flatten().min()
    }

    /// The leg that hears this one; `leg` is its own name.
    pub(super) fn target(&self, leg: LegId) -> Option<LegId> {
        match &self.joined {
            Connection::Leg(other) => Some(*other),
            Connection::Source(Source::Echo) => Some(leg),
            _ => None,
        }
    }

    /// Whether packets wait that were made of what came.
    pub(super) fn is_ready(&self) -> bool {
        self.transcoder.as_ref().is_some_and(|it| it.is_ready())
            || self.repackers.iter().any(Repacker::is_ready)
    }

    /// What comes passes by what would make other packets of it.
    pub(super) fn interrupt(&mut self) {
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.interrupt();
        }
        self.repackers.iter_mut().for_each(Repacker::interrupt);
    }

    /// Its packets are looked into.
    #[inline]
    pub(super) fn wants_sound(&self) -> bool {
        self.tap.is_some()
            || self.key_ear.is_some()
            || self.transcoder.is_some()
            || self.data_ear.is_some()
            || !self.repackers.is_empty()
    }

    /// Something else is played than what it is joined to.
    #[inline]
    pub(super) fn is_talked_over(&self) -> bool {
        self.stream.is_dialling() || self.announcement.is_some()
    }

    pub(super) fn records_what_it_hears(&self) -> bool {
        self.recorders.iter().any(Recorder::wants_what_is_heard)
    }

    /// Its peer hears this: for the recordings.
    pub(super) fn was_heard(&mut self, samples: &[i16], sample_rate_hz: u32) {
        for recorder in &mut self.recorders {
            recorder.put_heard(samples, sample_rate_hz);
        }
    }

    /// Makes the packet that is due. Keys go before announcements, and those before whatever else is played.
    pub(super) fn play(&mut self, buffer: &mut [u8], now: Instant) -> Option<session::Outgoing> {
        let mut taken = self.stream.is_dialling();
        let mut made = self.stream.dial(buffer, now);
        let Some(session) = &mut self.stream.session else { return None };
        let recorders = &mut self.recorders;
        for player in [&mut self.announcement, &mut self.player] {
            let Some(player) = player else { continue };
            if player.due().is_some_and(|due| due <= now) {
                if taken {
                    player.skip(now);
                } else {
                    made = player.play(session, buffer, now);
                    if let Some((samples, rate)) = player.last_samples() {
                        recorders.iter_mut().for_each(|recorder| recorder.put_heard(samples, rate));
                    }
                }
            }
            taken = true;
        }
        if !taken && let Some(mouth) = &mut self.mouth {
            made = mouth.next_packet(session, buffer, now);
        }
        made?.ok()
    }
}

/// What a leg's peer is to be told of ICE.
pub(super) struct Told {
    ice: LocalIce,
    source: LocalSource,
    rtp: SocketAddr,
    rtcp: Option<SocketAddr>,
}

impl Told {
    pub(super) fn of(self, leg: LegId) -> Event {
        let (ice, source) = (Box::new(self.ice), Box::new(self.source));
        Event::IceReady { leg, ice, source, rtp: self.rtp, rtcp: self.rtcp }
    }
}

/// An event of a leg's stream as one of the bridge.
pub(super) fn event(leg: LegId, event: media::Event) -> Option<Event> {
    Some(match event {
        media::Event::FirstPacket { from, expected } => Event::FirstPacket { leg, from, expected },
        media::Event::SourceMoved { from, to } => Event::SourceMoved { leg, from, to },
        media::Event::SourceRefused { from } => Event::SourceRefused { leg, from },
        media::Event::FormatNotAgreed { payload_type } => Event::FormatNotAgreed { leg, payload_type },
        media::Event::Digit { digit, duration } => Event::Digit { leg, digit, duration },
        media::Event::KeyToSignal { digit, duration } => Event::KeyToSignal { leg, digit, duration },
        media::Event::Silent { lasted } => Event::Silent { leg, lasted },
        media::Event::Resumed { after } => Event::Resumed { leg, after },
        media::Event::ProtectionFailed => Event::ProtectionFailed { leg },
        media::Event::Undeliverable { destination } => Event::Undeliverable { leg, destination },
        media::Event::Report(report) => Event::Report { leg, report },
        media::Event::PathChosen { remote, path, relayed } => {
            Event::PathChosen { leg, remote, path, relayed }
        }
        media::Event::PathFailed { pairs } => Event::PathFailed { leg, pairs },
        media::Event::PathLost => Event::PathLost { leg },
        media::Event::Encrypted { suite } => Event::Encrypted { leg, suite },
        media::Event::NotEncrypted { reason } => Event::NotEncrypted { leg, reason },
        // Told with what is to be told to the peer.
        media::Event::Gathered => return None,
        // Whoever configures a leg knows these before the bridge.
        media::Event::DirectionChanged { .. } | media::Event::CodecChanged { .. } => return None,
    })
}
