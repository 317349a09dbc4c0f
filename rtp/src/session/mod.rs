//! One participant of an RTP session with one peer: RFC 3550, under the contract all machines here share.
//!
//! Media goes through calls ([`Session::receive`], [`Session::send`], [`Session::forward`]) in buffers of the caller;
//! RTCP and events come out of [`Session::poll_output`]. Received media passes, in this order: the payload types
//! that were agreed on, SRTP, the latch, the source's statistics. What fails one step changes nothing of the next.
//! Several remote sources are known, one is listened to. There is one outgoing SSRC.

mod config;
mod control;
mod event;
mod media;
mod member;
mod protection;
mod report;

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::{
    error::Misuse,
    jitter,
    latch::{Evidence, Latch, Policy},
    quality,
    rtcp::{application::Application, feedback::Feedback},
    sender::Sender,
    source::Source,
    srtp,
    time::{self, Monotone},
};
pub use config::{Config, ControlMode, Seed};
pub use event::{
    Action, Content, Counters, DropReason, Event, Format, Input, Limit, Media, Output, Path, Protocol,
    Transmit,
};
pub use media::{Frame, NotSent, Outgoing};
pub use member::RemoteReport;
use member::{Member, Members};
pub use protection::ControlKeys;
use protection::Protection;
use report::ControlTimer;

/// One participant.
pub struct Session {
    config: Config,
    clock: Monotone,
    random: ChaCha12Rng,
    /// `config.formats` by payload type.
    formats: Box<[Option<Format>; 128]>,
    latch: Latch,
    /// Where RTCP goes when it has a port of its own and a packet has shown which.
    control_destination: Option<SocketAddr>,
    sender: Sender,
    protection: Protection,
    members: Members,
    timer: ControlTimer,
    watch: MediaWatch,
    counters: Counters,
    /// What the play-out told last.
    playout: Option<jitter::Statistics>,
    outputs: VecDeque<Output>,
    limits_told: Vec<Limit>,
    sent_own: bool,
    reflection_told: bool,
    ended: bool,
}

/// With fewer packets left than this new keys are asked for.
const WEAR_MARGIN: u64 = 1 << 16;

/// Watches whether media comes.
#[derive(Debug, Clone, Copy)]
struct MediaWatch {
    expected: bool,
    last_at: Option<Instant>,
    since: Instant,
    stopped: bool,
}

impl MediaWatch {
    fn deadline(&self, timeout: Option<Duration>) -> Option<Instant> {
        let timeout = timeout.filter(|_| self.expected && !self.stopped)?;
        Some(time::after(self.last_at.map_or(self.since, |last| last.max(self.since)), timeout))
    }
}

impl Session {
    /// A session that sends RTCP from now on, as soon as it knows where to.
    #[must_use]
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        let mut random = ChaCha12Rng::from_seed(seed.0);
        let drawn = random.next_u32();
        let ssrc = config.ssrc.unwrap_or(drawn);
        // Below 2^15, so that losing the first packets cannot hide a turn from SRTP (RFC 3711 §3.3.1).
        let sequence = random.next_u32() as u16 >> 1;
        let sender = Sender::new(ssrc, sequence, random.next_u32(), config.clock_rate_hz);
        let latch = Latch::new(config.latch.clone(), config.remote, now);
        let mut session = Self {
            formats: by_payload_type(&config.formats),
            latch,
            control_destination: None,
            sender,
            protection: Protection::default(),
            members: Members::new(config.maximum_members),
            timer: ControlTimer::new(now),
            watch: MediaWatch { expected: true, last_at: None, since: now, stopped: false },
            counters: Counters::default(),
            playout: None,
            outputs: VecDeque::new(),
            limits_told: Vec::new(),
            sent_own: false,
            reflection_told: false,
            ended: false,
            clock: Monotone::new(now),
            random,
            config,
        };
        session.schedule_first(now);
        session
    }

    /// Takes what the network did with control datagrams.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        let now = self.clock.advance(now);
        match input {
            Input::Datagram { source, destination, payload } => {
                let mut copy = payload.to_vec();
                self.receive(&mut copy, Path { source, destination }, now);
            }
            Input::Unreachable { destination } => {
                if self.latch.destination() == Some(destination) {
                    self.event(Event::Unreachable { destination });
                }
            }
        }
    }

    /// Does what is due: reports, time-outs.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock.advance(now);
        if self.ended {
            return;
        }
        if self.timer.due_at().is_some_and(|at| at <= now) {
            self.control_due(now);
        }
        if self.watch.deadline(self.config.media_timeout).is_some_and(|at| at <= now) {
            self.watch.stopped = true;
            let last_at = self.watch.last_at;
            self.event(Event::MediaStopped { last_at });
        }
    }

    /// What the session wants done, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Session::handle_timeout`] is wanted next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        [self.timer.due_at(), self.watch.deadline(self.config.media_timeout)].into_iter().flatten().min()
    }

    /// The signalling (re)stated where the peer is: the latch is armed anew. `control` is `None` when RTCP shares
    /// the media port (RFC 5761).
    pub fn set_remote(&mut self, media: Option<SocketAddr>, control: Option<SocketAddr>, now: Instant) {
        let now = self.clock.advance(now);
        if control != self.config.remote_control || media != self.config.remote {
            self.control_destination = None;
        }
        self.config.remote = media;
        self.config.remote_control = control;
        self.latch.arm(media, now);
        self.watch.since = now;
        self.watch.stopped = false;
    }

    /// A host the signalling vouches for besides the one in the description, such as where it came from itself.
    pub fn know_host(&mut self, host: IpAddr) {
        self.latch.know_host(host);
    }

    /// Another latching policy, such as [`Policy::Open`] once ICE has chosen a path.
    pub const fn set_latch_policy(&mut self, policy: Policy) {
        self.latch.set_policy(policy);
    }

    /// Other payload types, as after a re-INVITE. Sources, statistics and the outgoing stream go on.
    ///
    /// # Errors
    /// When a payload type is above 127 or there are more than 128.
    pub fn set_formats(&mut self, formats: Vec<Format>) -> Result<(), Misuse> {
        if let Some(format) = formats.iter().find(|format| format.payload_type > 127) {
            return Err(Misuse::NotAPayloadType(format.payload_type));
        }
        if formats.len() > 128 {
            return Err(Misuse::TooLong("there are 128 payload types"));
        }
        self.formats = by_payload_type(&formats);
        self.config.formats = formats;
        Ok(())
    }

    /// Whether anything may pass in the clear, as [`Config::require_protection`] says at first.
    pub const fn require_protection(&mut self, required: bool) {
        self.config.require_protection = required;
    }

    /// Tells what the signalling knows of the rollover counter of a peer's stream.
    pub fn set_rollover(&mut self, ssrc: u32, rollover: u32) {
        if let Some(inbound) = &mut self.protection.inbound {
            inbound.set_rollover(ssrc, rollover);
        }
    }

    /// What is sent has timestamps of this clock from now on, in ticks a second: another codec is spoken (RFC 7160).
    pub fn set_clock_rate(&mut self, clock_rate_hz: u32) {
        if clock_rate_hz > 0 {
            self.sender.set_clock_rate(clock_rate_hz);
        }
    }

    /// The outgoing stream was held back on purpose (hold, a switch of connections): what is sent next goes on with the
    /// next number, so that the peer does not count what we kept from it as lost.
    pub const fn restart_feed(&mut self) {
        self.sender.restart_feed();
    }

    /// Whether media should be coming (not on hold): only then its absence is an event.
    pub fn expect_media(&mut self, expected: bool, now: Instant) {
        let now = self.clock.advance(now);
        self.watch.expected = expected;
        self.watch.since = now;
        self.watch.stopped = false;
    }

    /// Says BYE and ends, at once or, in a crowd, when RFC 3550 §6.3.7 allows.
    pub fn leave(&mut self, reason: Option<&str>, now: Instant) {
        let now = self.clock.advance(now);
        if !self.ended {
            self.say_goodbye(reason, now);
        }
    }

    /// Sends feedback about a remote source. In a session of two it goes out at once (RFC 4585 §3.5), alone when
    /// reduced size was agreed on, else behind a report.
    ///
    /// # Errors
    /// When the information is too long or no multiple of four octets, or the session has ended.
    pub fn send_feedback(
        &mut self,
        transport_layer: bool,
        feedback: Feedback<'_>,
        now: Instant,
    ) -> Result<(), Misuse> {
        let now = self.clock.advance(now);
        let mut packet = Vec::new();
        let feedback = Feedback { sender: self.sender.ssrc(), ..feedback };
        if transport_layer {
            feedback.write_transport(&mut packet)?;
        } else {
            feedback.write_payload(&mut packet)?;
        }
        self.send_early(packet, now)
    }

    /// Sends an application-defined packet, as feedback is sent. Its SSRC becomes ours.
    ///
    /// # Errors
    /// As [`Session::send_feedback`].
    pub fn send_application(&mut self, application: Application<'_>, now: Instant) -> Result<(), Misuse> {
        let now = self.clock.advance(now);
        let mut packet = Vec::new();
        Application { ssrc: self.sender.ssrc(), ..application }.write(&mut packet)?;
        self.send_early(packet, now)
    }

    /// Where media is sent to now.
    #[must_use]
    pub const fn destination(&self) -> Option<SocketAddr> {
        self.latch.destination()
    }

    /// Our SSRC.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.sender.ssrc()
    }

    /// What was agreed for a payload type.
    #[must_use]
    pub fn format(&self, payload_type: u8) -> Option<Format> {
        *self.formats.get(usize::from(payload_type))?
    }

    /// The outgoing stream.
    #[must_use]
    pub const fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The source that is listened to.
    #[must_use]
    pub fn active_source(&self) -> Option<&Source> {
        self.members.active().and_then(|member| member.source.as_ref())
    }

    /// Every source that has sent media.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.members.iter().filter_map(|member| member.source.as_ref())
    }

    /// The canonical name of a participant, when it has told.
    #[must_use]
    pub fn cname(&self, ssrc: u32) -> Option<&[u8]> {
        self.members.get(ssrc).and_then(|member| member.cname.as_deref())
    }

    /// What the peer last said of our stream.
    #[must_use]
    pub fn remote_report(&self) -> Option<&RemoteReport> {
        self.members.iter().filter_map(|member| member.report.as_ref()).max_by_key(|report| report.at)
    }

    /// Datagrams by what became of them.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the latch learned and refused.
    #[must_use]
    pub fn latch_evidence(&self) -> Evidence {
        self.latch.evidence()
    }

    /// The play-out of the source that is listened to tells how it fares: reports carry it from now on (RFC 3611 §4.7).
    /// Cheap enough to be told before each [`Session::handle_timeout`].
    pub const fn note_playout(&mut self, statistics: jitter::Statistics) {
        self.playout = Some(statistics);
    }

    /// A packet of this source came too late to be played, or was thrown away: to who listens it is lost.
    pub fn note_discarded(&mut self, ssrc: u32, sequence: u16) {
        if let Some(source) = self.members.get_mut(ssrc).and_then(|member| member.source.as_mut()) {
            source.discarded(sequence);
        }
    }

    /// How the call sounds, both ways, with the play-out side's figures where there is one: those given here, else those
    /// of [`Session::note_playout`].
    #[must_use]
    pub fn quality(&self, playout: Option<&jitter::Statistics>, now: Instant) -> quality::Snapshot {
        let report = self.remote_report();
        quality::Snapshot::new(
            self.active_source(),
            playout.or(self.playout.as_ref()),
            quality::Sent {
                packets: self.sender.packets(),
                payload_octets: self.sender.payload_octets(),
                last_at: self.sender.last_at(),
                clock_rate_hz: self.sender.clock_rate_hz(),
                report: report.map(|report| report.block),
                round_trip: report.and_then(|report| report.round_trip),
                metrics: report.and_then(|report| report.metrics),
            },
            self.config.codec,
            self.clock.latest().max(now),
        )
    }

    fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    fn push(&mut self, output: Output) {
        if self.outputs.len() >= self.config.maximum_outputs {
            // The newest is refused: what waits is in order and whole. The last place says that it happened.
            if !self.limits_told.contains(&Limit::Outputs) {
                self.limits_told.push(Limit::Outputs);
                self.outputs.push_back(Output::Event(Event::LimitReached { limit: Limit::Outputs }));
            }
            return;
        }
        self.outputs.push_back(output);
    }

    fn limit_reached(&mut self, limit: Limit) {
        if !self.limits_told.contains(&limit) {
            self.limits_told.push(limit);
            self.event(Event::LimitReached { limit });
        }
    }

    /// Where RTCP goes: with the media, or to its own port.
    fn control_path(&self) -> Option<(Option<SocketAddr>, SocketAddr)> {
        if self.config.remote_control.is_none() {
            return Some((self.config.local, self.latch.destination()?));
        }
        let destination = self.control_destination.or(self.config.remote_control)?;
        Some((self.config.local_control.or(self.config.local), destination))
    }

    fn transmit_control(&mut self, mut packet: Vec<u8>) {
        if let Some(outbound) = self.protection.outbound_of_control() {
            let length = packet.len();
            packet.resize(length + srtp::MAXIMUM_RTCP_EXPANSION, 0);
            match outbound.protect_control(&mut packet, length) {
                Ok(length) => packet.truncate(length),
                Err(_) => return,
            }
        } else if self.config.require_protection || self.protection.awaits_control_keys() {
            return;
        }
        if let Some((source, destination)) = self.control_path() {
            self.timer.count_size(packet.len());
            let payload = Bytes::from(packet);
            self.push(Output::Transmit(Transmit { source, destination, protocol: Protocol::Udp, payload }));
        }
    }

    fn random_unit(&mut self) -> f64 {
        f64::from(self.random.next_u32()) / 4_294_967_296.0
    }

    /// Makes room for a participant; `false` when there is none.
    #[inline(never)]
    fn admit(&mut self, ssrc: u32, now: Instant) -> bool {
        let admitted = self.members.admit(ssrc, now);
        if !admitted {
            self.limit_reached(Limit::Members);
        }
        admitted
    }

    fn member(&mut self, ssrc: u32, now: Instant) -> Option<&mut Member> {
        if self.admit(ssrc, now) { self.members.get_mut(ssrc) } else { None }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("ssrc", &format_args!("{:08x}", self.ssrc()))
            .field("destination", &self.destination())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

fn by_payload_type(formats: &[Format]) -> Box<[Option<Format>; 128]> {
    let mut table = Box::new([None; 128]);
    for format in formats {
        if let Some(entry) = table.get_mut(usize::from(format.payload_type)) {
            *entry = Some(*format);
        }
    }
    table
}
