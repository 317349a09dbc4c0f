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
mod io;
mod joining;
mod keys;
mod leg;
mod live;
mod opus_frames;
mod passing;
mod plan;
mod player;
mod program;
mod recording;
mod repack;
mod sound;
mod streams;
mod tap;
mod transcode;

pub use command::{CarriedBy, Command, Connection, Event, LegId, LegSpec, Misuse, OpenFailure, Source};
pub use conference::ConferenceId;
pub use copies::Copied;
pub use denwa_codecs::tone::single::Signal;
pub use denwa_rtp::session::{DropReason, Path};
pub use io::{Action, BridgeConfig, Component, Dropped, Forward, Input, Outgoing, Output, Transmit};
pub use program::{Piece, Program, Sound};
pub use recording::{RecordingEnd, RecordingId, RecordingSpec, Sides};

use crate::Seed;
use crate::media::{
    self, DigitFault, Key, StreamOutput, StreamParameters, StreamReport, Wire, stream_opened,
};
use crate::seed::Generator;
use conference::Conference;
use data_ear::DataEar;
use denwa_rtp::packet::HEADER_LENGTH;
use foldhash::fast::FixedState;
use leg::Leg;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

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
    /// In boxes, so that the table is small enough to stay in the caches, whatever a leg holds.
    legs: HashMap<LegId, Box<Leg>, FixedState>,
    deadlines: BTreeSet<(Instant, LegId)>,
    /// Legs whose source owes a packet.
    owed: VecDeque<LegId>,
    conferences: HashMap<ConferenceId, Conference, FixedState>,
    outputs: VecDeque<Output>,
}

impl MediaBridge {
    /// A bridge without a leg.
    #[must_use]
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
            // The sockets are the driver's, and it does this itself.
            Command::Mark { leg, .. } => {
                self.legs.contains_key(&leg).then_some(()).ok_or(Misuse::UnknownLeg(leg))
            }
            Command::Carry { leg, by } => {
                let entry = self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?;
                // Another agent would give its connections the numbers of those that stand.
                if entry.to_carry.is_some() || entry.stream.carrier().is_some() {
                    return Err(Misuse::CarriedAlready);
                }
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
            Command::KeepPacketTime { leg, wanted } => {
                self.legs.get_mut(&leg).ok_or(Misuse::UnknownLeg(leg))?.exact = wanted;
                Ok(())
            }
            Command::Say { leg, sound } => self.say(leg, &sound),
            Command::Hush { leg } => self.hush(leg),
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
            Input::StreamOpened { leg, stream, local, remote } => {
                self.handle_ice(leg, stream_opened(stream, local, remote), now);
            }
            Input::StreamClosed { leg, stream, was_open } => {
                let input = match was_open {
                    true => denwa_ice::Input::StreamClosed { stream },
                    false => denwa_ice::Input::StreamFailed { stream },
                };
                self.handle_ice(leg, input, now);
            }
        }
    }

    /// The path of a datagram that came to the leg's socket of RTCP.
    #[must_use]
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
                if self.sends_on_stream(leg, &sent, buffer) {
                    continue;
                }
                return Some(Outgoing { leg, destination: sent.destination, also, length: sent.length });
            }
            if (entry.transcoder.is_some() || !entry.repackers.is_empty())
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
    #[must_use]
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
        Some(MovedLeg { leg, entry })
    }

    /// Puts a leg in that another bridge gave up. Its name must not be in use here.
    pub fn put_leg(&mut self, moved: MovedLeg, now: Instant) {
        let now = self.advance(now);
        let MovedLeg { leg, entry } = moved;
        self.legs.insert(leg, entry);
        self.drain(leg, now);
    }

    /// How many legs there are.
    #[must_use]
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    /// The figures of a leg now.
    #[must_use]
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
        self.legs.insert(leg, Box::new(Leg::new(spec, latch, wall_clock)));
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

    fn handle_ice(&mut self, leg: LegId, input: denwa_ice::Input<'_>, now: Instant) {
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.stream.handle_ice(input, now);
            self.drain(leg, now);
        }
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
        let is_said = |entry: &Leg| entry.stream.parameters.as_ref().map(|it| (it.sends, it.receives));
        let before = is_said(entry);
        entry.stream.configure(parameters, seed, now).map_err(|_| Misuse::BadParameters)?;
        let (sends, receives) = before
            .zip(is_said(entry))
            .map_or((false, false), |(before, after)| (after.0 && !before.0, after.1 && !before.1));
        if let (Some(ear), Some(parameters)) = (&mut entry.data_ear, &entry.stream.parameters) {
            ear.configure(parameters);
        }
        let joined = entry.joined.clone();
        // After a hold.
        if sends {
            self.restart_feed(Some(leg));
        }
        if receives {
            self.resume(leg);
        }
        self.replan(leg, now);
        if let Connection::Leg(other) = joined {
            self.replan(other, now);
        }
        self.drain(leg, now);
        Ok(())
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
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        // Deadlines that moved back are found when the old one comes; only a missing one must be set at once.
        if !entry.stream.is_quiet() || entry.deadline.is_none() {
            self.drain_outputs(leg, now);
            self.rearm(leg);
        }
    }

    fn drain_outputs(&mut self, leg: LegId, now: Instant) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let mut keys = Vec::new();
        while let Some(output) = entry.stream.poll_output(now) {
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
                StreamOutput::Wire(resolve @ Wire::Resolve { .. }) => entry.stream.decline(&resolve, now),
                StreamOutput::Wire(mut wire) => {
                    // An address that we only are reached by is none to connect from.
                    if let Wire::Open { local, .. } = &mut wire
                        && entry.stream.config.rtp.ip().is_unspecified()
                    {
                        *local = None;
                    }
                    self.outputs.push_back(Output::Wire { leg, wire });
                }
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

/// Octets a datagram's buffer should have beyond what was received.
pub const HEADROOM: usize = 64;

const _: () = assert!(HEADROOM > HEADER_LENGTH);
