//! The media plane as one machine: legs, each an RTP session with one peer, and what joins them.
//!
//! A [`MediaBridge`] holds any number of legs. Two joined legs hear one another: packets pass from the one's session to
//! the other's where they lie, by payload type (`plan`), or are transcoded where codecs differ (`transcode`), each leg with
//! its own numbers, its own RTCP and its own latch that follows the peer. Keys of the telephone are told to each peer the
//! way it takes them. A leg can also be joined to a source or a conference, be talked over and recorded; only then, and to
//! transcode, is sound decoded. Commands and events are plain data ([`Command`],
//! [`Event`]), so that the machine that does the signalling may run elsewhere.
//!
//! Media do not queue: [`MediaBridge::receive`] rewrites the datagram in the caller's buffer and says where to send it,
//! [`MediaBridge::next_frame`] writes what a source plays into the caller's buffer. Everything else goes through
//! [`MediaBridge::handle_input`] and [`MediaBridge::poll_output`].

mod command;
mod conference;
mod copies;
mod data_ear;
mod keys;
mod leg;
mod plan;
mod player;
mod program;
mod recording;
mod sound;
mod tap;
mod transcode;

pub use command::{CarriedBy, Command, Connection, Event, LegId, LegSpec, Misuse, OpenFailure, Source};
pub use conference::ConferenceId;
pub use copies::Copied;
pub use denwa_codecs::tone::single::Signal;
pub use denwa_rtp::session::{DropReason, Path};
pub use program::{Piece, Program, Sound};
pub use recording::{RecordingEnd, RecordingId, RecordingSpec, Sides};

use crate::Seed;
use crate::media::{self, Arrived, DigitFault, Key, Received, StreamOutput, StreamParameters, StreamReport};
use crate::seed::Generator;
use bytes::Bytes;
use conference::Conference;
use data_ear::DataEar;
use denwa_rtp::latch;
use denwa_rtp::packet::HEADER_LENGTH;
use denwa_rtp::session::{Content, NotSent};
use denwa_rtp::wallclock::WallClock;
use foldhash::fast::FixedState;
use keys::{Heard, KeyEar};
use leg::Leg;
use plan::Plan;
use player::Player;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use transcode::Transcoder;

/// What a bridge is made with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BridgeConfig {
    /// Legs that may be open at a time. Default 20 000.
    pub legs_limit: usize,
    /// How a leg finds the true sender of its media.
    pub latch: latch::Config,
    /// One moment on both clocks, for RTCP sender reports.
    pub wall_clock: WallClock,
    /// Samples a second at which conferences are mixed. Default 8000.
    pub sound_rate_hz: u32,
}

impl BridgeConfig {
    /// The defaults, with the time of day for RTCP: `since_1970` is what the wall clock shows at `now`.
    pub fn new(since_1970: Duration, now: Instant) -> Self {
        Self {
            legs_limit: 20_000,
            latch: latch::Config::default(),
            wall_clock: WallClock { at: now, since_1970 },
            sound_rate_hz: 8000,
        }
    }
}

/// What the driver tells a bridge. Datagrams go to [`MediaBridge::receive`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Both sockets of the leg are open.
    Bound {
        /// Which leg.
        leg: LegId,
        /// Where RTP is received: what was asked for, with the port the system chose when that was 0.
        rtp: SocketAddr,
        /// The same for RTCP.
        rtcp: SocketAddr,
    },
    /// The leg's sockets could not be opened; none is left open.
    BindFailed {
        /// Which leg.
        leg: LegId,
        /// Why.
        reason: OpenFailure,
    },
    /// The system says that a datagram was not delivered.
    Unreachable {
        /// From which leg.
        leg: LegId,
        /// Where it went.
        destination: SocketAddr,
    },
}

/// What a bridge wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open the leg's two sockets; answered by [`Input::Bound`] or [`Input::BindFailed`].
    Bind {
        /// Which leg.
        leg: LegId,
        /// Where RTP is received.
        rtp: SocketAddr,
        /// Where RTCP is received.
        rtcp: SocketAddr,
    },
    /// Close the leg's sockets, after what was transmitted before.
    Unbind {
        /// Which leg.
        leg: LegId,
    },
    /// Send this control datagram.
    Transmit(Transmit),
    /// A fact for whoever gives the commands.
    Event(Event),
}

/// Which socket of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// The one for media.
    Rtp,
    /// The one for control.
    Rtcp,
}

/// A control datagram to send over UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From which leg.
    pub leg: LegId,
    /// From which of its sockets.
    pub component: Component,
    /// The address that socket is bound to.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// What.
    pub payload: Bytes,
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'d> {
    /// Send these bytes from that leg's RTP socket.
    Forward(Forward<'d>),
    /// It was taken: control, or media that nobody is to hear.
    Consumed,
    /// It was of no use.
    Dropped(Dropped),
}

/// A media packet that goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Forward<'d> {
    /// From which leg's RTP socket.
    pub leg: LegId,
    /// Where to.
    pub destination: SocketAddr,
    /// And where to besides, while it is not known which of two is right.
    pub also: Option<SocketAddr>,
    /// The packet.
    pub bytes: &'d [u8],
}

/// Why a datagram was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// There is no such leg.
    UnknownLeg,
    /// Nothing was agreed with this leg's peer yet.
    NotAgreed,
    /// The leg's session refused it.
    Refused(DropReason),
    /// It is another protocol than RTP or RTCP.
    OtherProtocol,
    /// It comes from a second source of the peer that is not listened to now.
    NotActive,
    /// The other leg cannot send it now.
    NotSent(NotSent),
}

/// A packet made here, in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// From which leg's RTP socket.
    pub leg: LegId,
    /// Where to.
    pub destination: SocketAddr,
    /// And where to besides.
    pub also: Option<SocketAddr>,
    /// How many octets of the buffer.
    pub length: usize,
}

/// A leg on its way from one bridge to another.
#[derive(Debug)]
pub struct MovedLeg {
    leg: LegId,
    entry: Box<Leg>,
}

/// The machine; see the module's words.
#[derive(Debug)]
pub struct MediaBridge {
    config: BridgeConfig,
    random: Generator,
    latest: Instant,
    legs: HashMap<LegId, Leg, FixedState>,
    deadlines: BTreeSet<(Instant, LegId)>,
    /// Legs whose source owes a packet.
    owed: VecDeque<LegId>,
    conferences: HashMap<ConferenceId, Conference, FixedState>,
    outputs: VecDeque<Output>,
}

impl MediaBridge {
    /// A bridge without a leg.
    pub fn new(config: BridgeConfig, seed: Seed, now: Instant) -> Self {
        let mut random = Generator::new(seed);
        let legs = HashMap::with_hasher(FixedState::with_seed(random.u64()));
        let conferences = HashMap::with_hasher(FixedState::with_seed(random.u64()));
        Self {
            config,
            random,
            latest: now,
            legs,
            deadlines: BTreeSet::new(),
            owed: VecDeque::new(),
            conferences,
            outputs: VecDeque::new(),
        }
    }

    /// Does what it is told. What makes no sense changes nothing.
    ///
    /// # Errors
    /// Says what makes no sense. Drivers, whose commands come from another machine, use [`MediaBridge::handle_command`].
    pub fn command(&mut self, command: Command, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        match command {
            Command::Open { leg, spec } => self.open(leg, spec),
            Command::Configure { leg, stream } => self.configure(leg, *stream, now),
            Command::Carry { leg, by } => {
                let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
                entry.to_carry = Some(by);
                self.carry(leg, now);
                Ok(())
            }
            Command::RestartIce { leg } => self.restart_ice(leg, now),
            Command::Connect { leg, to } => self.connect(leg, to, now),
            Command::Announce { leg, program } => self.announce(leg, program, now),
            Command::Mute { leg, muted } => self.mute(leg, muted),
            Command::Detect { leg, in_band_digits } => self.detect(leg, in_band_digits, now),
            Command::WatchForData { leg, wanted } => {
                let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
                let parameters = entry.stream.parameters.as_ref();
                entry.data_ear = wanted.then(|| Box::new(DataEar::new(parameters, now)));
                Ok(())
            }
            Command::Copy { leg, wanted } => {
                self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?.copies = wanted;
                Ok(())
            }
            Command::Record { leg, recording, spec } => self.record(leg, recording, spec, now),
            Command::StopRecording { leg, recording } => self.stop_recording(leg, recording, now),
            Command::SendDigits { leg, digits } => self.send_digits(leg, &digits, now),
            Command::Close { leg } => self.close(leg, now),
        }
    }

    /// As [`MediaBridge::command`], but what makes no sense comes out as [`Event::Rejected`].
    pub fn handle_command(&mut self, command: Command, now: Instant) {
        let leg = command.leg();
        if let Err(misuse) = self.command(command, now) {
            self.tell(Event::Rejected { leg, misuse });
        }
    }

    /// Takes what the driver did.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        let now = self.advance(now);
        match input {
            Input::Bound { leg, rtp, rtcp } => {
                if let Some(entry) = self.legs.get_mut(&leg).filter(|entry| !entry.open) {
                    entry.open = true;
                    let config = &mut entry.stream.config;
                    (config.rtp, config.rtcp) = (rtp, rtcp);
                    self.tell(Event::Opened { leg, rtp, rtcp });
                    self.carry(leg, now);
                }
            }
            Input::BindFailed { leg, reason } => {
                if self.legs.get(&leg).is_some_and(|leg| !leg.open) {
                    self.forget(leg);
                    self.tell(Event::OpenFailed { leg, reason });
                }
            }
            Input::Unreachable { leg, destination } => {
                if let Some(entry) = self.legs.get_mut(&leg) {
                    entry.stream.undeliverable(destination, now);
                    self.drain(leg, now);
                }
            }
        }
    }

    /// Judges a datagram of `length` octets at the start of `buffer` that came to one of the leg's sockets, and makes it the
    /// packet that goes on, in place. The buffer should have room for 64 octets more than the datagram; where legs have different
    /// codecs, for 2048 octets.
    #[inline]
    pub fn receive<'d>(
        &mut self,
        leg: LegId,
        path: Path,
        buffer: &'d mut [u8],
        length: usize,
        now: Instant,
    ) -> Action<'d> {
        let now = self.advance(now);
        let Some(from) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
        if from.copies {
            let bytes = buffer.get(..length).unwrap_or_default();
            self.copy_in(leg, (path.source, path.destination), bytes, now);
        }
        let Some(from) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
        let arrived = match from.stream.receive(path, buffer, length, now) {
            Received::Media(arrived) => arrived,
            other => {
                self.drain(leg, now);
                return match other {
                    Received::Media(_) | Received::Control => Action::Consumed,
                    Received::OtherProtocol => Action::Dropped(Dropped::OtherProtocol),
                    Received::NotAgreed => Action::Dropped(Dropped::NotAgreed),
                    Received::NotActive => Action::Dropped(Dropped::NotActive),
                    Received::Refused(reason) => Action::Dropped(Dropped::Refused(reason)),
                };
            }
        };
        match arrived.content {
            Content::TelephoneEvent => {
                from.event_at = Some(now);
                // The patience of whoever listens for keys may end before anything else is due.
                self.rearm(leg);
            }
            Content::Media | Content::ComfortNoise => {
                if from.wants_sound() {
                    match self.handle_sound(leg, &arrived, buffer, now) {
                        SoundPath::Pass => {}
                        SoundPath::Transcode => {
                            self.drain(leg, now);
                            return self.transcode(leg, &arrived, buffer, now);
                        }
                        SoundPath::Unheard => return Action::Consumed,
                    }
                } else if let Some(payload) = buffer.get_mut(arrived.payload) {
                    from.plan.convert(arrived.payload_type, payload);
                }
            }
            _ => {}
        }
        self.drain(leg, now);
        self.pass_on(leg, buffer, arrived.length, now)
    }

    /// Does what is done with sound besides passing it on as it is, and says what is to be done yet.
    fn handle_sound(&mut self, leg: LegId, arrived: &Arrived, buffer: &mut [u8], now: Instant) -> SoundPath {
        let Some(from) = self.legs.get_mut(&leg) else { return SoundPath::Unheard };
        let Some(payload) = buffer.get_mut(arrived.payload.clone()) else { return SoundPath::Unheard };
        if let Some(tap) = &mut from.tap {
            tap.put(arrived, payload, now);
        }
        if let Some(ear) = &mut from.data_ear {
            let heard = ear.hear(arrived.payload_type, payload);
            if heard.is_some() || ear.is_done(now) {
                from.data_ear = None;
            }
            if let Some(signal) = heard {
                self.outputs.push_back(Output::Event(Event::DataTone { leg, signal }));
            }
        }
        let Some(from) = self.legs.get_mut(&leg) else { return SoundPath::Unheard };
        if from.key_ear.is_some() && self.hear_keys(leg, arrived.payload_type, payload, now) {
            return SoundPath::Unheard;
        }
        let Some(from) = self.legs.get_mut(&leg) else { return SoundPath::Unheard };
        if from.plan.transcodes(arrived.payload_type) {
            return SoundPath::Transcode;
        }
        if let Some(transcoder) = &mut from.transcoder {
            transcoder.interrupt();
        }
        from.plan.convert(arrived.payload_type, payload);
        SoundPath::Pass
    }

    /// Listens for keys in the sound of a leg, which the other leg is told of in another way. Says whether one sounds: then
    /// it is not to be heard besides.
    fn hear_keys(&mut self, leg: LegId, payload_type: u8, payload: &[u8], now: Instant) -> bool {
        let Some(from) = self.legs.get_mut(&leg) else { return false };
        let Some(ear) = &mut from.key_ear else { return false };
        let mut heard = Vec::new();
        ear.hear(payload_type, payload, |what| heard.push(what));
        let sounding = ear.sounding;
        if sounding && let Some(transcoder) = &mut from.transcoder {
            transcoder.interrupt();
        }
        let other = from.target(leg).filter(|_| !from.muted);
        for what in heard {
            match what {
                Heard::Begun(digit) => {
                    if let Some(other) = other {
                        self.press(other, digit, now);
                    }
                }
                Heard::Ended(digit, duration) => self.tell(Event::Digit { leg, digit, duration }),
            }
        }
        sounding
    }

    /// Listens for keys in the sound of a leg where the leg it is joined to wants them told otherwise.
    fn make_key_ear(&mut self, leg: LegId) {
        let Some(entry) = self.legs.get(&leg) else { return };
        let other = match &entry.joined {
            Connection::Leg(other) => self.legs.get(other).and_then(|other| other.stream.parameters.as_ref()),
            _ => None,
        };
        let converts = other.is_some_and(|parameters| !parameters.sends_keys_in_sound());
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let parameters = entry.stream.parameters.as_ref().filter(|_| converts);
        match (&mut entry.key_ear, parameters) {
            (Some(ear), Some(parameters)) if parameters.hears_keys_in_sound() => ear.configure(parameters),
            (_, parameters) => entry.key_ear = parameters.and_then(KeyEar::new).map(Box::new),
        }
    }

    /// Passes on a key that was heard as an event, where the packets that told it do not pass themselves.
    #[cold]
    fn convert_key(&mut self, leg: LegId, key: Key, now: Instant) {
        let Some(from) = self.legs.get(&leg) else { return };
        let Connection::Leg(other) = from.joined else { return };
        let passes =
            from.stream.parameters.iter().flat_map(|parameters| &parameters.receive_events).any(|event| {
                Some(event.clock_rate_hz) == key.clock_rate_hz
                    && from.plan.map.get(event.payload_type).is_some()
            });
        let receives = from.stream.parameters.as_ref().is_some_and(|parameters| parameters.receives);
        if receives && !passes {
            self.press(other, key.digit, now);
        }
    }

    fn press(&mut self, leg: LegId, digit: char, now: Instant) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        if entry.stream.parameters.as_ref().is_some_and(|parameters| parameters.sends) {
            // A key that the other side has no name for (a hook flash in the sound) ends here.
            let _ = entry.stream.press(digit.encode_utf8(&mut [0; 4]), now);
            self.drain(leg, now);
            self.rearm(leg);
        }
    }

    /// Makes a packet of the one leg a packet of the other, or none, or several: the rest is owed.
    fn transcode<'d>(
        &mut self,
        leg: LegId,
        arrived: &Arrived,
        buffer: &'d mut [u8],
        now: Instant,
    ) -> Action<'d> {
        let Some(from) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
        let muted = from.muted;
        let Some(mut transcoder) = from.transcoder.take() else { return Action::Consumed };
        let events_pass = from.event_at.is_some_and(|at| now.saturating_duration_since(at) < EVENT_LASTS);
        let target = from.target(leg);
        let dialling = target
            .and_then(|target| self.legs.get(&target))
            .is_none_or(|to| to.is_talked_over() || to.stream.session.is_none());
        if events_pass || dialling || muted {
            transcoder.interrupt();
        } else {
            transcoder.receive(arrived, buffer.get(arrived.payload.clone()).unwrap_or_default(), now);
        }
        let sent = self.send_transcoded(target, &mut transcoder, buffer, now);
        if let Some(from) = self.legs.get_mut(&leg) {
            from.owes_since = transcoder.is_ready().then_some(now);
            from.transcoder = Some(transcoder);
        }
        self.rearm(leg);
        match sent {
            Some(Outgoing { leg, destination, also, length }) => match buffer.get(..length) {
                Some(bytes) if self.copies(leg) => {
                    self.copy_out(leg, Component::Rtp, destination, bytes, now);
                    Action::Forward(Forward { leg, destination, also, bytes })
                }
                Some(bytes) => Action::Forward(Forward { leg, destination, also, bytes }),
                None => Action::Consumed,
            },
            None => Action::Consumed,
        }
    }

    /// The next packet that a transcoder has ready.
    fn send_transcoded(
        &mut self,
        target: Option<LegId>,
        transcoder: &mut Transcoder,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Outgoing> {
        let leg = target?;
        let to = self.legs.get_mut(&leg)?;
        let also = to.stream.also();
        // A packet that cannot be sent is lost, and the next one is tried.
        while let Some(sent) = transcoder.send(to.stream.session.as_mut()?, buffer, now) {
            if let Ok(sent) = sent {
                let sent = to.stream.wrap(&sent, buffer)?;
                return Some(Outgoing { leg, destination: sent.destination, also, length: sent.length });
            }
        }
        None
    }

    /// What the transcoder of a leg owes: more packets of one that came, or a pause to be filled.
    fn pay(&mut self, leg: LegId, buffer: &mut [u8], now: Instant) -> Option<Outgoing> {
        let from = self.legs.get_mut(&leg)?;
        let mut transcoder = from.transcoder.take()?;
        let target = from.target(leg);
        transcoder.fill(now);
        let sent = self.send_transcoded(target, &mut transcoder, buffer, now);
        let from = self.legs.get_mut(&leg)?;
        from.owes_since = transcoder.is_ready().then_some(now);
        from.transcoder = Some(transcoder);
        sent
    }

    #[inline]
    fn pass_on<'d>(&mut self, leg: LegId, buffer: &'d mut [u8], length: usize, now: Instant) -> Action<'d> {
        let Some(from) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
        let target = match &from.joined {
            Connection::Leg(other) if !from.muted => *other,
            Connection::Source(Source::Echo) if !from.muted && !from.is_talked_over() => leg,
            _ => return Action::Consumed,
        };
        // The plan stays where it is: the other leg is another entry of the table.
        let (sent, also) = if target == leg {
            let also = from.stream.also();
            (from.stream.forward(buffer, length, &from.plan.map, now), also)
        } else {
            let [Some(from), Some(to)] = self.legs.get_disjoint_mut([&leg, &target]) else {
                return Action::Dropped(Dropped::UnknownLeg);
            };
            if to.is_talked_over() {
                return Action::Consumed;
            }
            let also = to.stream.also();
            if to.stream.session.is_none() {
                return Action::Dropped(Dropped::NotAgreed);
            }
            (to.stream.forward(buffer, length, &from.plan.map, now), also)
        };
        match sent {
            Ok(Some(sent)) => match buffer.get(..sent.length) {
                Some(bytes) => {
                    if self.copies(target) {
                        self.copy_out(target, Component::Rtp, sent.destination, bytes, now);
                    }
                    Action::Forward(Forward { leg: target, destination: sent.destination, also, bytes })
                }
                None => Action::Dropped(Dropped::UnknownLeg),
            },
            // ICE has no way, or not any more.
            Ok(None) => Action::Dropped(Dropped::NotSent(NotSent::NoDestination)),
            Err(NotSent::NotRelayed(_)) => Action::Consumed,
            Err(reason) => Action::Dropped(Dropped::NotSent(reason)),
        }
    }

    /// The path of a datagram that came to the leg's socket of RTCP.
    pub fn control_path(&self, leg: LegId, source: SocketAddr) -> Path {
        Path { source, destination: self.legs.get(&leg).map(|entry| entry.stream.config.rtcp) }
    }

    /// Does what is due: reports, silences, packets of sources, which [`MediaBridge::next_frame`] then gives.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.conference_beats(now);
        while let Some(&(deadline, leg)) = self.deadlines.first().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.remove(&(deadline, leg));
            let Some(entry) = self.legs.get_mut(&leg) else { continue };
            entry.deadline = None;
            entry.stream.handle_timeout(now);
            self.drain_outputs(leg, now);
            self.beat(leg, now);
            // Its packet may be owed now; its place in the order comes back when that has been made.
            self.owed.push_back(leg);
        }
    }

    /// Writes the next packet that a source owes now into `buffer`, which should hold 2048 octets; `None` when nothing is
    /// owed. To be called after each [`MediaBridge::handle_timeout`] until it says `None`.
    pub fn next_frame(&mut self, buffer: &mut [u8], now: Instant) -> Option<Outgoing> {
        let now = self.advance(now);
        while let Some(&leg) = self.owed.front() {
            let Some(entry) = self.legs.get_mut(&leg) else {
                self.owed.pop_front();
                continue;
            };
            let also = entry.stream.also();
            let sent = entry.play(buffer, now).and_then(|sent| entry.stream.wrap(&sent, buffer));
            if let Some(sent) = sent {
                let bytes = buffer.get(..sent.length).unwrap_or_default();
                self.copy_out(leg, Component::Rtp, sent.destination, bytes, now);
                return Some(Outgoing { leg, destination: sent.destination, also, length: sent.length });
            }
            if entry.transcoder.is_some()
                && let Some(sent) = self.pay(leg, buffer, now)
            {
                let bytes = buffer.get(..sent.length).unwrap_or_default();
                self.copy_out(sent.leg, Component::Rtp, sent.destination, bytes, now);
                return Some(sent);
            }
            self.owed.pop_front();
            self.finish_programs(leg, now);
            self.rearm(leg);
        }
        None
    }

    /// What the bridge wants done, oldest first; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`MediaBridge::handle_timeout`] is wanted next; `None` when nothing is to come.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let conferences = self.conferences.values().map(|conference| conference.due);
        self.deadlines.first().map(|(deadline, _)| *deadline).into_iter().chain(conferences).min()
    }

    /// Takes a leg out, to be put into another bridge with its sockets: nothing is said to its peer, and what it was joined to
    /// is left alone.
    pub fn take_leg(&mut self, leg: LegId, now: Instant) -> Option<MovedLeg> {
        let now = self.advance(now);
        self.part(leg, now);
        let mut entry = self.legs.remove(&leg)?;
        if let Some(deadline) = entry.deadline.take() {
            self.deadlines.remove(&(deadline, leg));
        }
        Some(MovedLeg { leg, entry: Box::new(entry) })
    }

    /// Puts a leg in that another bridge gave up. Its name must not be in use here.
    pub fn put_leg(&mut self, moved: MovedLeg, now: Instant) {
        let now = self.advance(now);
        let MovedLeg { leg, entry } = moved;
        self.legs.insert(leg, *entry);
        self.drain(leg, now);
    }

    /// How many legs there are.
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// The figures of a leg now.
    pub fn report(&self, leg: LegId) -> Option<StreamReport> {
        self.legs.get(&leg).map(|entry| entry.stream.report(self.latest))
    }

    fn open(&mut self, leg: LegId, spec: LegSpec) -> Result<(), Misuse> {
        if self.legs.contains_key(&leg) {
            return Err(Misuse::LegExists(leg));
        }
        if self.legs.len() >= self.config.legs_limit {
            return Err(Misuse::TooManyLegs);
        }
        let (rtp, rtcp) = (spec.rtp, spec.rtcp);
        let (latch, wall_clock) = (self.config.latch.clone(), self.config.wall_clock);
        self.legs.insert(leg, Leg::new(spec, latch, wall_clock));
        self.outputs.push_back(Output::Bind { leg, rtp, rtcp });
        Ok(())
    }

    /// Gives the leg what it is to be carried by, once its sockets are open.
    fn carry(&mut self, leg: LegId, now: Instant) {
        let seed = self.random.bytes();
        let Some(entry) = self.legs.get_mut(&leg).filter(|entry| entry.open) else { return };
        let Some(by) = entry.to_carry.take() else { return };
        entry.stream.carry(by.ice.as_ref(), by.identity, by.rtcp_mux, seed, now);
        self.drain(leg, now);
    }

    fn restart_ice(&mut self, leg: LegId, now: Instant) -> Result<(), Misuse> {
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        let Some(told) = entry.restart_ice(now) else { return Err(Misuse::NoIce) };
        self.drain(leg, now);
        self.outputs.push_back(Output::Event(told.of(leg)));
        Ok(())
    }

    fn configure(&mut self, leg: LegId, parameters: StreamParameters, now: Instant) -> Result<(), Misuse> {
        let seed = self.random.bytes();
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        entry.stream.configure(parameters, seed, now).map_err(|_| Misuse::BadParameters)?;
        if let (Some(ear), Some(parameters)) = (&mut entry.data_ear, &entry.stream.parameters) {
            ear.configure(parameters);
        }
        let joined = entry.joined.clone();
        self.replan(leg, now);
        if let Connection::Leg(other) = joined {
            self.replan(other, now);
        }
        self.drain(leg, now);
        Ok(())
    }

    fn connect(&mut self, leg: LegId, to: Connection, now: Instant) -> Result<(), Misuse> {
        if !self.legs.contains_key(&leg) {
            return Err(Misuse::UnknownLeg(leg));
        }
        if let Connection::Leg(other) = &to {
            if *other == leg {
                return Err(Misuse::ToItself);
            }
            if !self.legs.contains_key(other) {
                return Err(Misuse::UnknownLeg(*other));
            }
        }
        self.part(leg, now);
        if let Connection::Leg(other) = to {
            self.part(other, now);
            if let Some(entry) = self.legs.get_mut(&other) {
                entry.joined = Connection::Leg(leg);
            }
        }
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.joined = to.clone();
        }
        if let Connection::Conference(conference) = to {
            self.join_conference(leg, conference, now);
        }
        self.replan(leg, now);
        if let Connection::Leg(other) = to {
            self.replan(other, now);
        }
        Ok(())
    }

    /// Takes the leg out of what it is joined to; a leg it was joined to is left alone too.
    fn part(&mut self, leg: LegId, now: Instant) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let was = std::mem::replace(&mut entry.joined, Connection::Nothing);
        entry.player = None;
        self.replan(leg, now);
        match was {
            Connection::Leg(other) => {
                if let Some(entry) = self.legs.get_mut(&other) {
                    entry.joined = Connection::Nothing;
                    self.replan(other, now);
                }
            }
            Connection::Conference(conference) => self.leave_conference(leg, conference),
            Connection::Nothing | Connection::Source(_) => {}
        }
    }

    /// Works out anew what becomes of what comes to this leg, and what it plays.
    fn replan(&mut self, leg: LegId, now: Instant) {
        let Some(entry) = self.legs.get(&leg) else { return };
        let to = match &entry.joined {
            Connection::Leg(other) => self.legs.get(other).and_then(|other| other.stream.parameters.as_ref()),
            Connection::Source(Source::Echo) => entry.stream.parameters.as_ref(),
            Connection::Nothing | Connection::Source(_) | Connection::Conference(_) => None,
        };
        let plan = match (&entry.stream.parameters, to) {
            (Some(from), Some(to)) => Plan::between(from, to),
            _ => Plan::nothing(),
        };
        let deaf = match &entry.joined {
            Connection::Leg(other) => *other,
            _ => leg,
        };
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let missing = plan.missing.clone().filter(|missing| entry.plan.missing.as_ref() != Some(missing));
        entry.plan = plan;
        let parameters = entry.stream.parameters.as_ref();
        for player in [&mut entry.player, &mut entry.announcement].into_iter().flatten() {
            player.adapt(parameters, now);
        }
        if let (Connection::Source(source), None) = (&entry.joined, &entry.player)
            && let Some(program) = Self::program_of(source)
        {
            let feed = entry.stream.next_feed();
            let parameters = entry.stream.parameters.as_ref();
            entry.player = Some(Player::new(program, parameters, feed, self.config.wall_clock.at, now));
        }
        self.make_transcoder(leg);
        self.make_key_ear(leg);
        if let Some((from, to)) = missing {
            self.tell(Event::NoConversion { leg: deaf, from, to });
        }
        self.configure_mouth(leg);
        self.retap(leg, now);
    }

    /// Makes the transcoder that the leg's plan wants, or keeps the one that is there.
    fn make_transcoder(&mut self, leg: LegId) {
        let Some(from) = self.legs.get_mut(&leg) else { return };
        from.owes_since = None;
        let before = from.transcoder.take();
        let formats = from.plan.transcoded.clone();
        let wanted = from.plan.target.clone().filter(|_| !formats.is_empty());
        let (Some(format), Some(target)) = (wanted, from.target(leg)) else { return };
        let Some(to) = self.legs.get_mut(&target) else { return };
        let Some(parameters) = to.stream.parameters.clone() else { return };
        let kept = before.filter(|before| before.is_for(&formats, &format, parameters.packet_time, target));
        let made = kept.or_else(|| {
            let feed = to.stream.next_feed();
            Transcoder::new(&formats, &format, &parameters, target, feed).map(Box::new)
        });
        if let (Some(session), Some(made)) = (&mut to.stream.session, &made) {
            session.set_clock_rate(made.clock_rate_hz());
        }
        if let Some(from) = self.legs.get_mut(&leg) {
            from.transcoder = made;
        }
    }

    fn send_digits(&mut self, leg: LegId, digits: &str, now: Instant) -> Result<(), Misuse> {
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        let pressed = entry.stream.press(digits, now).map_err(|fault| match fault {
            DigitFault::NoEvents => Misuse::NoEvents,
            DigitFault::NotADigit(digit) => Misuse::NotADigit(digit),
            DigitFault::TooMany => Misuse::TooManyDigits,
        });
        self.drain(leg, now);
        self.rearm(leg);
        pressed
    }

    fn close(&mut self, leg: LegId, now: Instant) -> Result<(), Misuse> {
        let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
        entry.stream.leave(now);
        let report = entry.stream.report(now);
        self.drain(leg, now);
        self.end_recordings(leg, RecordingEnd::LegClosed);
        self.part(leg, now);
        self.forget(leg);
        self.outputs.push_back(Output::Unbind { leg });
        self.tell(Event::Closed { leg, report });
        Ok(())
    }

    fn forget(&mut self, leg: LegId) {
        if let Some(entry) = self.legs.remove(&leg)
            && let Some(deadline) = entry.deadline
        {
            self.deadlines.remove(&(deadline, leg));
        }
    }

    /// Translates what the leg's session has to say, and finds its place in the order of deadlines.
    #[inline]
    fn drain(&mut self, leg: LegId, now: Instant) {
        // Deadlines that moved back are found when the old one comes; only a missing one must be set at once.
        if self.drain_outputs(leg, now) || self.legs.get(&leg).is_some_and(|entry| entry.deadline.is_none()) {
            self.rearm(leg);
        }
    }

    /// Says whether there was anything.
    #[inline]
    fn drain_outputs(&mut self, leg: LegId, now: Instant) -> bool {
        let Some(entry) = self.legs.get_mut(&leg) else { return false };
        let mut any = false;
        let mut keys = Vec::new();
        while let Some(output) = entry.stream.poll_output(now) {
            any = true;
            match output {
                StreamOutput::Transmit { rtcp, destination, payload } => {
                    let config = &entry.stream.config;
                    let (component, source) =
                        if rtcp { (Component::Rtcp, config.rtcp) } else { (Component::Rtp, config.rtp) };
                    if entry.copies {
                        let copy = Copied {
                            at: now,
                            component,
                            from: source,
                            to: destination,
                            payload: payload.clone(),
                        };
                        self.outputs.push_back(Output::Event(Event::Copied { leg, copy: Box::new(copy) }));
                    }
                    let transmit = Transmit { leg, component, source, destination, payload };
                    self.outputs.push_back(Output::Transmit(transmit));
                }
                // Legs have two sockets and nothing else.
                StreamOutput::Wire(wire) => entry.stream.decline(&wire, now),
                StreamOutput::Event(media::Event::Gathered) => {
                    self.outputs.extend(entry.ice_description().map(|told| Output::Event(told.of(leg))));
                }
                StreamOutput::Event(event) => self.outputs.extend(leg::event(leg, event).map(Output::Event)),
                StreamOutput::Key(key) => {
                    let Key { digit, duration, .. } = key;
                    self.outputs.push_back(Output::Event(Event::Digit { leg, digit, duration }));
                    keys.push(key);
                }
            }
        }
        for key in keys {
            self.convert_key(leg, key, now);
        }
        any
    }

    fn rearm(&mut self, leg: LegId) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let wanted = entry.next_deadline();
        if wanted == entry.deadline {
            return;
        }
        if let Some(old) = std::mem::replace(&mut entry.deadline, wanted) {
            self.deadlines.remove(&(old, leg));
        }
        if let Some(wanted) = wanted {
            self.deadlines.insert((wanted, leg));
        }
    }

    #[inline]
    fn copies(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|entry| entry.copies)
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }
}

/// What is to be done with a packet of sound.
enum SoundPath {
    Pass,
    Transcode,
    /// It is not passed on.
    Unheard,
}

/// After a packet of an event for so long no transcoded voice is sent: the event's packets have one timestamp among them.
const EVENT_LASTS: Duration = Duration::from_millis(100);

/// Octets a datagram's buffer should have beyond what was received.
pub const HEADROOM: usize = 64;

const _: () = assert!(HEADROOM > HEADER_LENGTH);
