//! One leg: its sockets' names, what was agreed with its peer, its RTP session, and what it is joined to.

use super::digits::{Dialler, Listener};
use super::plan::Plan;
use super::tone::Player;
use super::{Connection, Event, LegId, LegReport, LegSpec, Misuse};
use crate::evidence::StreamCounters;
use crate::media::StreamParameters;
use denwa_rtp::latch;
use denwa_rtp::session::{self, Session};
use denwa_rtp::wallclock::WallClock;
use std::net::SocketAddr;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) spec: LegSpec,
    /// The driver has said that the sockets are open.
    pub(super) open: bool,
    pub(super) parameters: Option<StreamParameters>,
    pub(super) session: Option<Session>,
    pub(super) joined: Connection,
    /// From this leg to what it is joined to.
    pub(super) plan: Plan,
    pub(super) player: Option<Player>,
    pub(super) dialler: Option<Dialler>,
    pub(super) listener: Option<Listener>,
    /// Feeds made here so far: each has a time line of its own.
    pub(super) feeds: u32,
    pub(super) first_from: Option<SocketAddr>,
    pub(super) refusal_told: bool,
    pub(super) undeliverable: u64,
    pub(super) undeliverable_told: Option<SocketAddr>,
    /// This leg's place in the order of deadlines.
    pub(super) deadline: Option<Instant>,
}

impl Leg {
    pub(super) fn new(spec: LegSpec) -> Self {
        Self {
            spec,
            open: false,
            parameters: None,
            session: None,
            joined: Connection::Nothing,
            plan: Plan::nothing(),
            player: None,
            dialler: None,
            listener: None,
            feeds: 0,
            first_from: None,
            refusal_told: false,
            undeliverable: 0,
            undeliverable_told: None,
            deadline: None,
        }
    }

    /// Takes what was agreed; the session begins with the first agreement and goes on with the others.
    pub(super) fn configure(
        &mut self,
        parameters: StreamParameters,
        latch: &latch::Config,
        wall_clock: WallClock,
        seed: [u8; 32],
        now: Instant,
    ) -> Result<(), Misuse> {
        let formats = parameters.session_formats();
        let numbers = parameters.send.iter().map(|format| format.payload_type);
        let events =
            parameters.send_events.iter().chain(&parameters.receive_events).map(|event| event.payload_type);
        let received = parameters.receive.iter().map(|format| format.payload_type);
        if numbers.chain(events).chain(received).any(|number| number > 127) || formats.len() > 128 {
            return Err(Misuse::BadFormats);
        }
        match &mut self.session {
            Some(session) => {
                session.set_formats(formats).map_err(|_| Misuse::BadFormats)?;
                session.set_remote(parameters.remote_rtp, parameters.remote_rtcp, now);
            }
            None => {
                let mut config = session::Config::new(self.spec.cname.clone(), formats, now);
                config.clock_rate_hz = parameters.send.first().map_or(8000, |format| format.clock_rate_hz);
                config.remote = parameters.remote_rtp;
                config.remote_control = parameters.remote_rtcp;
                config.local = Some(self.spec.rtp);
                config.local_control = Some(self.spec.rtcp);
                config.latch = latch.clone();
                config.media_timeout = Some(self.spec.silence_after);
                config.wall_clock = wall_clock;
                self.session = Some(Session::new(config, session::Seed(seed), now));
            }
        }
        if let Some(session) = &mut self.session {
            for host in &parameters.known_hosts {
                session.know_host(*host);
            }
            session.expect_media(parameters.receives, now);
        }
        if self.listener.is_none() {
            self.listener = Listener::new(&parameters);
        }
        self.parameters = Some(parameters);
        Ok(())
    }

    /// Where packets also go, until the first one comes.
    pub(super) fn also(&self) -> Option<SocketAddr> {
        if self.first_from.is_some() {
            return None;
        }
        self.parameters.as_ref().and_then(|parameters| parameters.also_rtp)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(Session::poll_timeout);
        let listener = self.listener.as_ref().and_then(Listener::poll_timeout);
        [session, listener, self.frame_due()].into_iter().flatten().min()
    }

    /// When the next packet that is made here belongs on the wire.
    pub(super) fn frame_due(&self) -> Option<Instant> {
        let player = self.player.as_ref().map(|player| player.due);
        let dialler = self.dialler.as_ref().map(|dialler| dialler.due);
        player.into_iter().chain(dialler).min()
    }

    /// Makes the packet that is due. Keys go before whatever else is played.
    pub(super) fn play(&mut self, buffer: &mut [u8], now: Instant) -> Option<session::Outgoing> {
        let session = self.session.as_mut()?;
        let mut made = None;
        if let Some(dialler) = self.dialler.as_mut().filter(|dialler| dialler.due <= now) {
            made = dialler.play(session, buffer, now);
            if dialler.is_idle() {
                self.dialler = None;
            }
        }
        if let Some(player) = self.player.as_mut().filter(|player| player.due <= now) {
            if self.dialler.is_none() && made.is_none() {
                made = Some(player.play(session, buffer, now));
            } else {
                player.skip(now);
            }
        }
        made?.ok()
    }

    pub(super) fn report(&self, now: Instant) -> LegReport {
        let mut report = LegReport::default();
        if let Some(parameters) = &self.parameters {
            report.codec = parameters.codec();
        }
        let Some(session) = &self.session else { return report };
        let quality = session.quality(None, now);
        let counters = session.counters();
        let remote = session.remote_report();
        report.mos = quality.received.mos.map(|mos| mos as f32);
        report.counters = StreamCounters {
            destination: session.destination(),
            source: self.first_from.and(session.destination()),
            sent: session.sender().packets(),
            received: counters.media,
            lost: session.sources().map(|source| u64::try_from(source.lost()).unwrap_or(0)).sum(),
            refused: counters.refused,
            unreachable: self.undeliverable,
            jitter: quality.received.jitter,
            peer_lost: remote.map(|report| f32::from(report.block.fraction_lost) / 256.0),
            round_trip: quality.round_trip,
        };
        report
    }

    /// What an event of the session means to those who watch the bridge.
    pub(super) fn translate(&mut self, leg: LegId, event: session::Event, now: Instant) -> Option<Event> {
        match event {
            session::Event::Followed(learned) => {
                let from = learned.from.filter(|from| *from != learned.to)?;
                Some(Event::SourceMoved { leg, from, to: learned.to })
            }
            session::Event::MediaStopped { last_at } => {
                let lasted =
                    last_at.map_or(self.spec.silence_after, |last| now.saturating_duration_since(last));
                Some(Event::Silent { leg, lasted })
            }
            session::Event::MediaResumed { after } => Some(Event::Resumed { leg, after }),
            session::Event::ReportReceived { .. } => Some(Event::Report { leg, report: self.report(now) }),
            session::Event::Unreachable { destination } => {
                self.undeliverable = self.undeliverable.saturating_add(1);
                let news = self.undeliverable_told != Some(destination);
                self.undeliverable_told = Some(destination);
                news.then_some(Event::Undeliverable { leg, destination })
            }
            _ => None,
        }
    }
}
