//! A telephone's media: descriptions in and out, datagrams in and out, sound in and out; no socket, no clock.
//!
//! A [`MediaSession`] ties a negotiation (`denwa_sdp`), a stream with one peer (`denwa_rtp`) and codecs (`denwa_codecs`)
//! together. Sound is 16-bit linear at the caller's rate: [`MediaSession::say`] takes what a microphone gives, in
//! pieces of any length; [`MediaSession::hear`] fills what a loudspeaker wants, whenever it wants it, with whatever the
//! jitter buffer has to play.
//!
//! With [`MediaConfig::ice`] paths are found by ICE, with [`MediaConfig::identity`] keys can come by DTLS; both are used when
//! the [`Capability`](denwa_sdp::Capability) says so and the peer can. Candidates go with descriptions: make the first one after
//! [`Event::Gathered`], or at once, with what is known by then.

mod describing;
mod io;

pub use io::{Action, Dropped, Input, MediaConfig, Misuse, Outgoing, Output, PlayOut, Refusal};

use super::ice::{Wire, stream_opened};
use super::in_band::InBand;
use super::voice::{Ear, Mouth};
use super::{Event, KeyPath, Received, Stream, StreamConfig, StreamOutput, StreamReport};
use crate::Seed;
use crate::media::DigitFault;
use crate::seed::Generator;
use denwa_codecs::tone::dtmf::{Detector, DtmfEvent};
use denwa_ice::StreamId;
use denwa_rtp::session::{Content, Path};
use denwa_sdp::{Negotiator, RtcpMux, Transport};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// The machine; see the module's words.
#[derive(Debug)]
pub struct MediaSession {
    negotiator: Negotiator,
    transport: Transport,
    /// The negotiation with our offer still open, while a preview of the answer is gone by.
    unpreviewed: Option<Negotiator>,
    random: Generator,
    stream: Stream,
    ear: Ear,
    mouth: Mouth,
    in_band: InBand,
    known_hosts: Vec<IpAddr>,
    sample_rate_hz: u32,
    key_path: KeyPath,
    suppresses_silence: bool,
    /// Listens for keys in the sound where the peer has no other way to send them.
    keys: Option<Box<Detector>>,
    muted: bool,
    latest: Instant,
    outputs: VecDeque<Output>,
}

impl MediaSession {
    /// A session that has agreed on nothing yet.
    #[must_use]
    pub fn new(config: MediaConfig, seed: Seed, now: Instant) -> Self {
        let mut random = Generator::new(seed);
        let mut transport = Transport::audio(config.advertised);
        if config.advertised.port().checked_add(1) != Some(config.rtcp.port()) {
            transport.rtcp_port = Some(config.rtcp.port());
        }
        let transports = vec![transport.clone()];
        let is_muxed = config.capability.rtcp_mux == RtcpMux::Required || config.rtp == config.rtcp;
        let negotiator = Negotiator::new(config.capability, transports, denwa_sdp::Seed(random.bytes()));
        let mut stream = Stream::new(StreamConfig {
            rtp: config.rtp,
            rtcp: config.rtcp,
            silence_after: config.silence_after,
            cname: config.cname.unwrap_or_else(|| format!("{:016x}", random.u64())),
            latch: config.latch,
            wall_clock: config.wall_clock,
        });
        if config.ice.is_some() || config.identity.is_some() {
            stream.carry(config.ice.as_ref(), config.identity, is_muxed, random.bytes(), now);
        }
        let mut session = Self {
            negotiator,
            transport,
            unpreviewed: None,
            random,
            stream,
            ear: Ear::new(config.sample_rate_hz, config.play_out),
            mouth: Mouth::new(config.sample_rate_hz, config.unsent_sound),
            in_band: InBand::new(config.sample_rate_hz),
            known_hosts: config.known_hosts,
            sample_rate_hz: config.sample_rate_hz,
            key_path: config.key_path,
            suppresses_silence: config.suppresses_silence,
            keys: None,
            muted: false,
            latest: now,
            outputs: VecDeque::new(),
        };
        session.drain(now);
        session
    }

    // ---- sound and digits

    /// Takes sound to be said: as many samples as there are, at the caller's rate. Packets come out of
    /// [`MediaSession::next_packet`] as they fill. Nothing is kept while there is nobody to say it to.
    pub fn say(&mut self, samples: &[i16]) {
        let may = self.stream.parameters.as_ref().is_some_and(|parameters| parameters.sends);
        if self.in_band.is_sounding() {
            // The keys' tones go out at the pace of what is heard.
        } else if may && !self.stream.is_dialling() {
            self.mouth.say(samples, self.muted);
        } else {
            self.mouth.forget();
        }
    }

    /// Fills `samples` with what is heard, at the caller's rate. To be called by whoever plays it, as fast as it is played: this
    /// is the clock of the jitter buffer.
    pub fn hear(&mut self, samples: &mut [i16], now: Instant) {
        let now = self.advance(now);
        self.ear.hear(samples, now);
        if self.in_band.is_sounding() {
            let mut tones = vec![0; samples.len()];
            self.in_band.sound(&mut tones);
            if self.stream.parameters.as_ref().is_some_and(|parameters| parameters.sends) {
                self.mouth.say(&tones, false);
            }
        }
        let Some(keys) = &mut self.keys else { return };
        let outputs = &mut self.outputs;
        keys.listen(samples, |event| {
            if let DtmfEvent::Ended { digit, duration_ms } = event
                && outputs.len() < OUTPUTS_LIMIT
            {
                let duration = Duration::from_millis(duration_ms.into());
                outputs.push_back(Output::Event(Event::Digit { digit, duration }));
            }
        });
    }

    /// Presses keys as tones in the sound, in place of what is said; they go out as [`MediaSession::hear`] is called.
    ///
    /// # Errors
    /// Says what makes no sense; nothing is pressed then.
    pub fn press_in_band(&mut self, digits: &str) -> Result<(), Misuse> {
        if self.stream.parameters.is_none() {
            return Err(Misuse::NoEvents);
        }
        self.in_band.press(digits)
    }

    /// Has packets go to this address as well until the first one comes from anywhere: where the signalling comes from, when
    /// the described address seems to be out of reach.
    pub fn send_also_to(&mut self, address: Option<SocketAddr>) {
        if let Some(parameters) = &mut self.stream.parameters {
            parameters.also_rtp = address;
        }
    }

    /// While muted, silence is sent in place of what is said.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Presses keys: sends them as telephone events (RFC 4733), one after the other, in place of sound.
    ///
    /// # Errors
    /// Says what makes no sense; digits before it are pressed.
    pub fn press(&mut self, digits: &str, now: Instant) -> Result<(), Misuse> {
        let now = self.advance(now);
        let pressed = self.stream.press(digits, now).map_err(|fault| match fault {
            DigitFault::NoEvents => Misuse::NoEvents,
            DigitFault::NotADigit(digit) => Misuse::NotADigit(digit),
            DigitFault::TooMany => Misuse::TooManyDigits,
        });
        self.drain(now);
        pressed
    }

    /// Says good-bye to the peer by RTCP. The session is at its end; [`MediaSession::poll_output`] has the last word.
    pub fn leave(&mut self, now: Instant) {
        let now = self.advance(now);
        self.stream.leave(now);
        self.drain(now);
    }

    /// The figures now.
    pub fn report(&self) -> StreamReport {
        self.stream.report_with(self.ear.statistics(self.latest).as_ref(), self.latest)
    }

    /// Samples a second of the sound that goes in and out.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    // ---- the contract

    /// Judges a datagram that came to one of our two sockets, in place.
    pub fn receive(&mut self, datagram: &mut [u8], path: Path, now: Instant) -> Action {
        let now = self.advance(now);
        let length = datagram.len();
        let action = match self.stream.receive(path, datagram, length, now) {
            Received::Media(arrived) => match arrived.content {
                Content::TelephoneEvent => Action::Digit,
                _ => {
                    let payload = datagram.get(arrived.payload.clone()).unwrap_or(&[]);
                    let receives =
                        self.stream.parameters.as_ref().is_some_and(|parameters| parameters.receives);
                    match if receives { self.ear.put(&arrived, payload, now) } else { None } {
                        Some(put) => {
                            self.stream.note_put(&arrived, put);
                            Action::Sound
                        }
                        None => Action::Dropped(Dropped::NotHeard),
                    }
                }
            },
            Received::Control => Action::Control,
            Received::OtherProtocol => Action::Dropped(Dropped::OtherProtocol),
            Received::NotAgreed => Action::Dropped(Dropped::NotAgreed),
            Received::NotActive => Action::Dropped(Dropped::NotActive),
            Received::Refused(reason) => Action::Dropped(Dropped::Refused(reason)),
        };
        self.drain(now);
        action
    }

    /// Writes the next packet that is ready into `buffer`, which should hold 2048 octets; `None` when there is none. To be
    /// called after [`MediaSession::say`] and [`MediaSession::handle_timeout`] until it says `None`.
    pub fn next_packet(&mut self, buffer: &mut [u8], now: Instant) -> Option<Outgoing> {
        let now = self.advance(now);
        let also = self.stream.also();
        let dialled = self.stream.dial(buffer, now).and_then(Result::ok);
        let sent = dialled.or_else(|| {
            let session = self.stream.session.as_mut()?;
            // A packet that cannot be sent is lost, and the next one is tried.
            while let Some(sent) = self.mouth.next_packet(session, buffer, now) {
                if let Ok(sent) = sent {
                    return Some(sent);
                }
            }
            None
        })?;
        let sent = self.stream.wrap(&sent, buffer)?;
        let also = also.filter(|_| sent.stream.is_none());
        Some(Outgoing { destination: sent.destination, also, length: sent.length, stream: sent.stream })
    }

    /// Takes bytes that came on a stream of [`Wire::Open`].
    pub fn receive_stream(&mut self, stream: StreamId, bytes: &mut [u8], now: Instant) {
        let now = self.advance(now);
        let receives = self.stream.parameters.as_ref().is_some_and(|parameters| parameters.receives);
        let ear = &mut self.ear;
        self.stream.receive_stream(stream, bytes, now, |received, packet| {
            if let Received::Media(arrived) = received
                && arrived.content != Content::TelephoneEvent
                && receives
            {
                ear.put(&arrived, packet.get(arrived.payload.clone()).unwrap_or(&[]), now);
            }
        });
        self.drain(now);
    }

    /// Takes what the network did.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        let now = self.advance(now);
        match input {
            Input::Unreachable { destination } => self.stream.undeliverable(destination, now),
            Input::StreamOpened { stream, local, remote } => {
                self.stream.handle_ice(stream_opened(stream, local, remote), now);
            }
            Input::StreamClosed { stream, was_open: true } => {
                self.stream.handle_ice(denwa_ice::Input::StreamClosed { stream }, now);
            }
            Input::StreamClosed { stream, was_open: false } => {
                self.stream.handle_ice(denwa_ice::Input::StreamFailed { stream }, now);
            }
            Input::Resolved { question, address } => {
                self.stream
                    .handle_ice(denwa_ice::Input::Resolved { question, addresses: address.as_slice() }, now);
            }
        }
        self.drain(now);
    }

    /// Answers what ICE asks for besides datagrams in the way of a program that has neither streams nor names.
    pub fn decline(&mut self, wire: &Wire, now: Instant) {
        let now = self.advance(now);
        self.stream.decline(wire, now);
        self.drain(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        // What RTCP tells of the play-out is of this moment.
        if let Some(statistics) = self.ear.statistics(now) {
            self.stream.note_playout(statistics);
        }
        self.stream.handle_timeout(now);
        self.drain(now);
    }

    /// What the session wants done, oldest first; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`MediaSession::handle_timeout`], and then [`MediaSession::next_packet`], are wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.stream.poll_timeout()
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.stream.poll_output(now) {
            let output = match output {
                StreamOutput::Transmit { rtcp, destination, payload } => {
                    let source = if rtcp { self.stream.config.rtcp } else { self.stream.config.rtp };
                    Output::Transmit { source, destination, payload }
                }
                StreamOutput::Wire(wire) => Output::Wire(wire),
                StreamOutput::Event(event) => Output::Event(event),
                StreamOutput::Key(key) => {
                    Output::Event(Event::Digit { digit: key.digit, duration: key.duration })
                }
            };
            if self.outputs.len() < OUTPUTS_LIMIT {
                self.outputs.push_back(output);
            }
        }
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }
}

/// Outputs not fetched beyond this number are lost: nobody reads them.
const OUTPUTS_LIMIT: usize = 1024;
