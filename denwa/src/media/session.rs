//! A telephone's media: descriptions in and out, datagrams in and out, sound in and out; no socket, no clock.
//!
//! A [`MediaSession`] ties a negotiation (`denwa_sdp`), a stream with one peer (`denwa_rtp`) and codecs (`denwa_codecs`)
//! together. Sound is 16-bit linear at the caller's rate: [`MediaSession::say`] takes what a microphone gives, in
//! pieces of any length; [`MediaSession::hear`] fills what a loudspeaker wants, whenever it wants it, with whatever the
//! jitter buffer has to play.
//!
//! With [`MediaConfig::ice`] paths are found by ICE, with [`MediaConfig::identity`] keys can come by DTLS; both are used when
//! the [`Capability`] says so and the peer can. Candidates go with descriptions: make the first one after
//! [`Event::Gathered`], or at once, with what is known by then.

use super::carrier::Carrier;
use super::dtls::Identity;
use super::ice::{IceConfig, IceSide, Wire};
use super::in_band::InBand;
use super::voice::{Ear, Mouth};
use super::{
    Event, KeyPath, NotUsable, PairReport, Received, Stream, StreamConfig, StreamOutput, StreamParameters,
    StreamReport,
};
use crate::Seed;
use crate::media::DigitFault;
use crate::seed::Generator;
use bytes::Bytes;
use denwa_codecs::tone::dtmf::{Detector, DtmfEvent};
use denwa_ice::{QuestionId, StreamId};
use denwa_rtp::latch;
use denwa_rtp::session::{Content, DropReason, Path};
use denwa_rtp::wallclock::WallClock;
use denwa_sdp::{
    Agreed, AnswerError, Capability, Direction, HoldStyle, Mismatch, Misuse as SdpMisuse, Negotiator,
    OfferError, RemoteDescription, RtcpMux, State, Transport,
};
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// What a media session is made with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MediaConfig {
    /// What we can do: codecs, telephone events, encryption.
    pub capability: Capability,
    /// Where our RTP socket is bound.
    pub rtp: SocketAddr,
    /// Where our RTCP socket is bound.
    pub rtcp: SocketAddr,
    /// The address and port of RTP that the peer is told. The port of RTCP is told with it when it is not the one above.
    pub advertised: SocketAddr,
    /// Samples a second of the sound that goes in and out, 8000–48 000.
    pub sample_rate_hz: u32,
    /// The peer's media are missed after this long, while they should come. Default 30 s.
    pub silence_after: Duration,
    /// Our canonical name in RTCP (RFC 7022); should not tell who the user is. Default: drawn from the seed.
    pub cname: Option<String>,
    /// Hosts the signalling vouches for: where it comes from itself.
    pub known_hosts: Vec<IpAddr>,
    /// How the true sender of media is found.
    pub latch: latch::Config,
    /// One moment on both clocks, for RTCP sender reports.
    pub wall_clock: WallClock,
    /// How long arriving sound waits for what is late. Default: as the network needs.
    pub play_out: PlayOut,
    /// ICE. Default: none.
    pub ice: Option<IceConfig>,
    /// Our certificate for DTLS, whose fingerprint the capability should name. Default: none.
    pub identity: Option<Identity>,
    /// How keys of the telephone are told to the peer. Default: as events where they were agreed on, else in the sound.
    pub key_path: KeyPath,
    /// Silence is not sent where the peer takes descriptions of it (RFC 3389). Default: it is sent.
    pub suppresses_silence: bool,
    /// The longest sound that waits to be sent; more is dropped, oldest first. Default 200 ms.
    pub unsent_sound: Duration,
}

impl MediaConfig {
    /// A telephone's: plain or SDES as `capability` says, sound at 8000 samples a second. `since_1970` is what the wall clock
    /// shows at `now`.
    pub fn new(
        capability: Capability,
        rtp: SocketAddr,
        rtcp: SocketAddr,
        advertised: SocketAddr,
        since_1970: Duration,
        now: Instant,
    ) -> Self {
        Self {
            capability,
            rtp,
            rtcp,
            advertised,
            sample_rate_hz: 8000,
            silence_after: Duration::from_secs(30),
            cname: None,
            known_hosts: Vec::new(),
            latch: latch::Config::default(),
            wall_clock: WallClock { at: now, since_1970 },
            play_out: PlayOut::Adaptive,
            ice: None,
            identity: None,
            key_path: KeyPath::Agreed,
            suppresses_silence: false,
            unsent_sound: Duration::from_millis(200),
        }
    }
}

/// How long arriving sound waits for what is late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlayOut {
    /// As short as the network allows; sound is stretched and cut a little as that changes. For people who talk.
    #[default]
    Adaptive,
    /// Always so long; nothing is stretched or cut. For recorders, fax and modems.
    Fixed(Duration),
}

/// What the network did. Datagrams go to [`MediaSession::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The system says that a datagram was not delivered.
    Unreachable {
        /// Where it went.
        destination: SocketAddr,
    },
    /// A stream of [`Wire::Open`] is open.
    StreamOpened {
        /// Which.
        stream: StreamId,
        /// Our end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// A stream could not be opened, or has ended.
    StreamClosed {
        /// Which.
        stream: StreamId,
        /// It was open before.
        was_open: bool,
    },
    /// The answer to [`Wire::Resolve`].
    Resolved {
        /// To which question.
        question: QuestionId,
        /// The address; `None` when the name is not known.
        address: Option<IpAddr>,
    },
}

/// What the session wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this control datagram over UDP.
    Transmit {
        /// The address of our socket that it leaves by.
        source: SocketAddr,
        /// Where to.
        destination: SocketAddr,
        /// What.
        payload: Bytes,
    },
    /// What ICE needs besides datagrams: streams to TURN servers, names. Who has neither answers with
    /// [`Input::StreamClosed`] and [`Input::Resolved`] without an address.
    Wire(Wire),
    /// A fact for the program.
    Event(Event),
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sound, now in the jitter buffer.
    Sound,
    /// A telephone event.
    Digit,
    /// RTCP; what it said comes out as events.
    Control,
    /// Of no use.
    Dropped(Dropped),
}

/// Why a datagram was of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// Nothing was agreed yet.
    NotAgreed,
    /// The stream refused it.
    Refused(DropReason),
    /// It is another protocol than RTP or RTCP.
    OtherProtocol,
    /// It comes from a second source that is not listened to now.
    NotActive,
    /// We are not to receive (hold), or have no decoder for it.
    NotHeard,
}

/// A packet to send, in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing {
    /// On this stream to a TURN server; `None`: as a datagram.
    pub stream: Option<StreamId>,
    /// Where to.
    pub destination: SocketAddr,
    /// And where to besides, while it is not known which of two is right.
    pub also: Option<SocketAddr>,
    /// How many octets of the buffer.
    pub length: usize,
}

/// A request of the program that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// No telephone event was agreed on, or nothing at all yet.
    NoEvents,
    /// A character that is no key of a telephone.
    NotADigit(char),
    /// More digits than may wait.
    TooManyDigits,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEvents => f.write_str("no telephone event was agreed on"),
            Self::NotADigit(character) => write!(f, "`{character}` is no key of a telephone"),
            Self::TooManyDigits => f.write_str("too many digits wait to be sent"),
        }
    }
}

impl std::error::Error for Misuse {}

/// Why a description that was agreed on could not be put to use.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer's answer cannot be read, or leaves nothing in common.
    Answer(AnswerError),
    /// What was agreed on needs what is not carried here.
    NotUsable(NotUsable),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(error) => error.fmt(f),
            Self::NotUsable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

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

    // ---- descriptions

    /// Whether all that can be known about our addresses is known: descriptions written from now on have it.
    pub fn is_gathered(&self) -> bool {
        self.stream.carrier().and_then(Carrier::ice).is_none_or(IceSide::is_gathered)
    }

    /// Has the next offer begin ICE anew (RFC 8839 §4.4.1.1), as after a change of network. Media go on by the old way until
    /// there is a new one.
    pub fn restart_ice(&mut self, now: Instant) {
        let now = self.advance(now);
        self.stream.restart_ice(now);
        self.drain(now);
    }

    /// What ICE has tried, and what came of it, pair by pair.
    pub fn pairs(&self) -> Vec<PairReport> {
        self.stream.carrier().map(Carrier::pairs).unwrap_or_default()
    }

    /// Writes what is known of our addresses into the descriptions to come.
    fn describe_transport(&mut self, muxed: bool) {
        let Some(ice) = self.stream.carrier().and_then(Carrier::ice) else { return };
        let mut transport = self.transport.clone();
        if let Some(address) = ice.default_address(1) {
            transport.addresses = vec![address];
        }
        if let Some(control) = ice.default_address(2).filter(|_| transport.rtcp_port.is_some()) {
            transport.rtcp_port = Some(control.port());
        }
        let transport = transport.with_ice(ice.local(if muxed { 1 } else { 2 }));
        if self.negotiator.set_transport(0, transport.clone()).is_err() {
            self.negotiator.set_free_transports(vec![transport]);
        }
    }

    /// Makes an offer: the first one, or a new one for what changed since (hold, codecs, address).
    ///
    /// # Errors
    /// An exchange is under way already.
    pub fn offer(&mut self) -> Result<Bytes, SdpMisuse> {
        self.describe_transport(false);
        self.negotiator.offer()
    }

    /// Answers an offer of the peer's, and goes by it from now on.
    ///
    /// # Errors
    /// The offer cannot be read, or there is nothing in common (its text is the sentence for a 488); nothing has
    /// changed then.
    pub fn answer(&mut self, offer: &[u8], now: Instant) -> Result<Bytes, OfferError> {
        let theirs = self.negotiator.receive_offer(offer)?.media.first();
        let muxed = theirs.is_some_and(|it| it.rtcp_mux);
        let theirs = theirs.and_then(|it| it.ice.clone());
        let muxed = muxed && self.negotiator.capability().rtcp_mux != RtcpMux::Off;
        let begins_anew = |ice: &IceSide| theirs.is_some_and(|it| ice.is_news(&it.ufrag, &it.password));
        if self.stream.carrier().and_then(Carrier::ice).is_some_and(begins_anew) {
            self.restart_ice(now);
        }
        self.describe_transport(muxed);
        let answer = self.negotiator.make_answer().inspect_err(|_| self.negotiator.rollback())?;
        // What this session cannot carry is not in its capability, so it is never agreed on.
        let _ = self.apply(now);
        Ok(answer)
    }

    /// Reads the peer's answer to our offer, and goes by it from now on.
    ///
    /// # Errors
    /// It cannot be read, leaves nothing in common, or needs what is not carried here.
    pub fn accept_answer(&mut self, answer: &[u8], now: Instant) -> Result<(), Refusal> {
        if let Some(waiting) = self.unpreviewed.take() {
            self.negotiator = waiting;
        }
        self.negotiator.accept_answer(answer).map_err(Refusal::Answer)?;
        self.apply(now).map_err(Refusal::NotUsable)
    }

    /// Reads what the peer said in a provisional response that may be lost, and goes by it until the answer proper comes
    /// ([`MediaSession::accept_answer`]), which may be another telephone's when the call was forked.
    ///
    /// # Errors
    /// As [`MediaSession::accept_answer`].
    pub fn preview_answer(&mut self, answer: &[u8], now: Instant) -> Result<(), Refusal> {
        let mut waiting = match self.unpreviewed.take() {
            Some(waiting) => waiting,
            None => self.negotiator.fork(),
        };
        self.negotiator = waiting.fork();
        self.unpreviewed = Some(waiting);
        self.negotiator.accept_answer(answer).map_err(Refusal::Answer)?;
        self.apply(now).map_err(Refusal::NotUsable)
    }

    /// Our offer was refused with a failure response: why, as far as its body and the text of its Warning tell. What was
    /// agreed before holds again.
    ///
    /// # Errors
    /// There is no offer of ours.
    pub fn refused(&mut self, body: Option<&[u8]>, warning: Option<&str>) -> Result<Mismatch, SdpMisuse> {
        if let Some(waiting) = self.unpreviewed.take() {
            self.negotiator = waiting;
        }
        self.negotiator.refused(body, warning)
    }

    /// Takes an offer back that came to nothing.
    pub fn rollback(&mut self) {
        if let Some(waiting) = self.unpreviewed.take() {
            self.negotiator = waiting;
        }
        self.negotiator.rollback();
    }

    /// Holds the peer, from the next offer on: it is to be silent, and hears what is said here (music) or nothing.
    pub fn hold(&mut self) {
        self.negotiator.hold(HoldStyle::Direction, Direction::SendOnly);
    }

    /// Ends the hold, from the next offer on.
    pub fn resume(&mut self) {
        self.negotiator.resume();
    }

    /// Changes what we can do, from the next description on.
    pub fn set_capability(&mut self, capability: Capability) {
        self.negotiator.set_capability(capability);
    }

    /// A host the signalling vouches for besides those known.
    pub fn know_host(&mut self, host: IpAddr) {
        if !self.known_hosts.contains(&host) && self.known_hosts.len() < 8 {
            self.known_hosts.push(host);
            if let Some(session) = &mut self.stream.session {
                session.know_host(host);
            }
        }
    }

    /// Who has to speak next in the exchange of descriptions.
    pub fn state(&self) -> State {
        self.negotiator.state()
    }

    /// What the peer described last.
    pub fn remote(&self) -> Option<&RemoteDescription> {
        self.negotiator.remote()
    }

    /// What offer and answer came to last.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.negotiator.agreed()
    }

    /// What the stream goes by now; `None` before an agreement.
    pub fn parameters(&self) -> Option<&StreamParameters> {
        self.stream.parameters.as_ref()
    }

    fn apply(&mut self, now: Instant) -> Result<(), NotUsable> {
        let now = self.advance(now);
        let Some(medium) = self.negotiator.agreed().and_then(|agreed| agreed.audio()) else { return Ok(()) };
        let mut parameters = StreamParameters::from_agreed(medium)?;
        parameters.known_hosts.clone_from(&self.known_hosts);
        parameters.key_path = self.key_path;
        parameters.suppresses_silence = self.suppresses_silence;
        if !parameters.hears_keys_in_sound() {
            self.keys = None;
        } else if self.keys.is_none() {
            self.keys = Some(Box::new(Detector::new(self.sample_rate_hz)));
        }
        self.ear.configure(&parameters, now);
        self.mouth.configure(&parameters, || self.stream.next_feed());
        let seed = self.random.bytes();
        let needs = (parameters.ice.is_some(), parameters.dtls.is_some());
        // Payload types of a description are in range.
        let configured = self.stream.configure(parameters, seed, now);
        if let (Some(session), Some(rate)) = (&mut self.stream.session, self.mouth.clock_rate_hz()) {
            session.set_clock_rate(rate);
        }
        self.drain(now);
        match (configured, needs) {
            (Err(_), (true, _)) if self.stream.carrier().and_then(Carrier::ice).is_none() => {
                Err(NotUsable::Ice)
            }
            (Err(_), (_, true)) => Err(NotUsable::Dtls),
            _ => Ok(()),
        }
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
                let protocol = denwa_ice::Protocol::Tcp;
                let opened =
                    denwa_ice::Input::StreamOpened { stream, protocol, local, remote, peer_identity: None };
                self.tell_ice(opened, now);
            }
            Input::StreamClosed { stream, was_open: true } => {
                self.tell_ice(denwa_ice::Input::StreamClosed { stream }, now);
            }
            Input::StreamClosed { stream, was_open: false } => {
                self.tell_ice(denwa_ice::Input::StreamFailed { stream }, now);
            }
            Input::Resolved { question, address } => {
                self.tell_ice(denwa_ice::Input::Resolved { question, addresses: address.as_slice() }, now);
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

    fn tell_ice(&mut self, input: denwa_ice::Input<'_>, now: Instant) {
        if let Some(carrier) = self.stream.carrier_mut() {
            carrier.handle_input(input, now);
        }
        self.stream.settle(now);
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
