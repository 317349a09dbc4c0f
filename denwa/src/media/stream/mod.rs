//! One stream with one peer: its RTP session and what was agreed, digits both ways, and what is to be told of it.
//!
//! Both the media session of a telephone and the legs of a bridge are made around one of these. It knows neither codecs nor
//! descriptions.

mod carried;
mod receiving;
mod telling;

pub(crate) use receiving::{Arrived, Received};

use super::carrier::{self, Carrier};
use super::digits::{Dialler, DigitFault, Key, Listener, PRESSED};
use super::ice::{Sent, Wire};
use super::{Event, KeyPath, StreamKeys, StreamParameters};
use bytes::Bytes;
use denwa_rtp::jitter;
use denwa_rtp::latch;
use denwa_rtp::relay::PayloadMap;
use denwa_rtp::session::{self, ControlKeys, NotSent, Outgoing, Session};
use denwa_rtp::wallclock::WallClock;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a stream is made with.
#[derive(Clone, Debug)]
pub(crate) struct StreamConfig {
    /// Where we receive RTP.
    pub(crate) rtp: SocketAddr,
    /// Where we receive RTCP.
    pub(crate) rtcp: SocketAddr,
    pub(crate) silence_after: Duration,
    pub(crate) cname: String,
    pub(crate) latch: latch::Config,
    pub(crate) wall_clock: WallClock,
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) config: StreamConfig,
    pub(crate) parameters: Option<StreamParameters>,
    pub(crate) session: Option<Session>,
    dialler: Option<Dialler>,
    listener: Listener,
    /// Feeds made here so far: each has a time line of its own.
    feeds: u32,
    first_from: Option<SocketAddr>,
    /// The source identifier that descriptions tell; `None`: they tell none.
    ssrc: Option<u32>,
    /// ICE and DTLS, where there is any.
    carrier: Option<Box<Carrier>>,
    /// What DTLS made.
    made_keys: Option<Box<StreamKeys>>,
    /// Those of RTCP, when it has a port of its own.
    made_control_keys: Option<Box<StreamKeys>>,
    /// Where ICE found the peer, by component.
    found: [Option<SocketAddr>; 2],
    wanted: VecDeque<Output>,
    news: Vec<Event>,
    refusal_told: bool,
    /// Packets in a row that failed their check.
    unauthentic: u32,
    /// A payload type that was not agreed on, and how many packets in a row have had it.
    strange: (u8, u32),
    strange_told: Option<u8>,
    undeliverable: u64,
    undeliverable_told: Option<SocketAddr>,
}

/// What a stream wants done.
#[derive(Debug)]
pub(crate) enum Output {
    Transmit {
        rtcp: bool,
        destination: SocketAddr,
        payload: Bytes,
    },
    /// Streams and names, for ICE.
    Wire(Wire),
    Event(Event),
    /// The peer pressed a key.
    Key(Key),
}

impl Stream {
    pub(crate) fn new(config: StreamConfig) -> Self {
        Self {
            config,
            parameters: None,
            session: None,
            dialler: None,
            listener: Listener::default(),
            feeds: 0,
            first_from: None,
            ssrc: None,
            carrier: None,
            made_keys: None,
            made_control_keys: None,
            found: [None, None],
            wanted: VecDeque::new(),
            news: Vec::new(),
            refusal_told: false,
            unauthentic: 0,
            strange: (0, 0),
            strange_told: None,
            undeliverable: 0,
            undeliverable_told: None,
        }
    }

    /// Takes what was agreed; the session begins with the first agreement and goes on with the others.
    pub(crate) fn configure(
        &mut self,
        parameters: StreamParameters,
        seed: [u8; 32],
        now: Instant,
    ) -> Result<(), BadParameters> {
        let carried = match &self.carrier {
            Some(carrier) => carrier.carries(&parameters),
            None => parameters.ice.is_none() && parameters.dtls.is_none(),
        };
        if !parameters.is_sound() || !carried {
            return Err(BadParameters);
        }
        let formats = parameters.session_formats();
        let by_ice = parameters.ice.is_some();
        let found = if by_ice { self.found } else { [parameters.remote_rtp, parameters.remote_rtcp] };
        let remote_rtcp = if by_ice { found[1].filter(|_| !parameters.rtcp_mux) } else { found[1] };
        let protects = parameters.keys.is_some() || parameters.dtls.is_some();
        match &mut self.session {
            Some(session) => {
                session.set_formats(formats).map_err(|_| BadParameters)?;
                session.set_remote(found[0], remote_rtcp, now);
            }
            None => {
                let mut config = session::Config::new(self.config.cname.clone(), formats, now);
                config.clock_rate_hz = parameters.send.first().map_or(8000, |format| format.clock_rate_hz);
                config.remote = found[0];
                config.remote_control = remote_rtcp;
                config.ssrc = self.ssrc;
                config.local = Some(self.config.rtp);
                config.local_control = Some(self.config.rtcp);
                config.latch = self.config.latch.clone();
                config.media_timeout = Some(self.config.silence_after);
                config.wall_clock = self.config.wall_clock;
                self.session = Some(Session::new(config, session::Seed(seed), now));
            }
        }
        if let Some(session) = &mut self.session {
            session.require_protection(protects);
            if parameters.dtls.is_none() {
                (self.made_keys, self.made_control_keys) = (None, None);
            }
            let keys = parameters.keys.as_ref().or(self.made_keys.as_deref());
            let (outbound, inbound) = keys.map(|keys| (&keys.outbound, &keys.inbound)).unzip();
            session.set_keys(outbound, inbound).map_err(|_| BadParameters)?;
            let of_media = parameters.dtls.is_none() || parameters.rtcp_mux;
            let control = match self.made_control_keys.as_deref() {
                _ if of_media => ControlKeys::OfMedia,
                None => ControlKeys::Awaited,
                Some(StreamKeys { outbound, inbound }) => ControlKeys::Own { outbound, inbound },
            };
            session.set_control_keys(control).map_err(|_| BadParameters)?;
            // The agent vouches for the path.
            let policy = if by_ice { latch::Policy::Open } else { self.config.latch.policy };
            session.set_latch_policy(policy);
            for host in &parameters.known_hosts {
                session.know_host(*host);
            }
            session.expect_media(parameters.receives, now);
            if let Some(format) = parameters.send.iter().find(|format| !format.is_comfort_noise()) {
                session.set_clock_rate(format.clock_rate_hz);
            }
        }
        self.listener.configure(&parameters);
        if let Some(carrier) = &mut self.carrier {
            carrier.configure(&parameters, now);
        }
        let codec = parameters.codec();
        if let Some(before) = self.parameters.replace(parameters) {
            self.compare(&before, codec);
        }
        self.settle(now);
        Ok(())
    }

    /// Makes another leg's packet one of ours, and puts it on its way; `None` when there is none.
    #[inline]
    pub(crate) fn forward(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        map: &PayloadMap,
        now: Instant,
    ) -> Result<Option<Sent>, NotSent> {
        let session = self.session.as_mut().ok_or(NotSent::NoDestination)?;
        let sent = session.forward(buffer, length, map, now)?;
        Ok(self.wrap(&sent, buffer))
    }

    /// Puts a packet that the session has made at the start of `buffer` on its way.
    #[inline]
    pub(crate) fn wrap(&mut self, sent: &Outgoing, buffer: &mut [u8]) -> Option<Sent> {
        let (local, destination, length) = (self.config.rtp, sent.destination, sent.length);
        match &mut self.carrier {
            None => Some(Sent { source: local, destination, length, stream: None }),
            Some(carrier) => carrier.wrap(false, buffer, length, local, destination),
        }
    }

    fn compare(&mut self, before: &StreamParameters, codec: String) {
        let Some(parameters) = &self.parameters else { return };
        let (sends, receives) = (parameters.sends, parameters.receives);
        if (sends, receives) != (before.sends, before.receives) {
            self.news.push(Event::DirectionChanged { sends, receives });
        }
        if codec != before.codec() {
            self.news.push(Event::CodecChanged { codec });
        }
    }

    pub(crate) fn undeliverable(&mut self, destination: SocketAddr, now: Instant) {
        if let Some(session) = &mut self.session {
            session.handle_input(session::Input::Unreachable { destination }, now);
        }
    }

    /// What became of a packet in the jitter buffer.
    pub(crate) fn note_put(&mut self, arrived: &Arrived, put: jitter::Put) {
        if put == jitter::Put::Late
            && let Some(session) = &mut self.session
        {
            session.note_discarded(arrived.ssrc, arrived.sequence);
        }
    }

    pub(crate) const fn note_playout(&mut self, statistics: jitter::Statistics) {
        if let Some(session) = &mut self.session {
            session.note_playout(statistics);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if let Some(session) = &mut self.session {
            session.handle_timeout(now);
        }
        self.listener.handle_timeout(now);
        if let Some(carrier) = &mut self.carrier {
            carrier.handle_timeout(now);
            self.settle(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(Session::poll_timeout);
        let listener = self.listener.poll_timeout();
        let dialler = self.dialler.as_ref().map(Dialler::due);
        let carrier = self.carrier.as_ref().and_then(|carrier| carrier.poll_timeout());
        [session, listener, dialler, carrier].into_iter().flatten().min()
    }

    /// The next thing the stream wants done.
    #[inline]
    pub(crate) fn poll_output(&mut self, now: Instant) -> Option<Output> {
        if let Some(event) = self.news.pop() {
            return Some(Output::Event(event));
        }
        if let Some(output) = self.wanted.pop_front() {
            return Some(output);
        }
        if let Some(key) = self.listener.poll() {
            return Some(Output::Key(key));
        }
        while let Some(output) = self.session.as_mut()?.poll_output() {
            match output {
                session::Output::Transmit(transmit) => {
                    let rtcp = transmit.source == Some(self.config.rtcp);
                    let (destination, payload) = (transmit.destination, transmit.payload);
                    let Some(carrier) = &mut self.carrier else {
                        return Some(Output::Transmit { rtcp, destination, payload });
                    };
                    if let Some(carrier::News::Transmit { rtcp, destination, payload }) =
                        carrier.send(rtcp, destination, payload)
                    {
                        return Some(Output::Transmit { rtcp, destination, payload });
                    }
                    self.settle(now);
                    if let Some(output) = self.wanted.pop_front() {
                        return Some(output);
                    }
                }
                session::Output::Event(event) => {
                    if let Some(event) = self.translate(event, now) {
                        return Some(Output::Event(event));
                    }
                }
            }
        }
        None
    }

    /// Presses keys towards the peer, by the means it takes; while it does, nothing else should be sent.
    pub(crate) fn press(&mut self, digits: &str, now: Instant) -> Result<(), DigitFault> {
        let parameters = self.parameters.as_ref().ok_or(DigitFault::NoEvents)?;
        if parameters.key_path == KeyPath::Signalling {
            for digit in digits.chars() {
                denwa_codecs::tone::dtmf::frequencies_hz(digit).ok_or(DigitFault::NotADigit(digit))?;
                self.news.insert(0, Event::KeyToSignal { digit, duration: PRESSED });
            }
            return Ok(());
        }
        let mut dialler = match self.dialler.take() {
            Some(dialler) => dialler,
            None => {
                self.feeds = self.feeds.wrapping_add(1);
                Dialler::new(parameters, self.feeds, now).ok_or(DigitFault::NoEvents)?
            }
        };
        let pressed = dialler.press(digits, parameters, now);
        if !dialler.is_idle() {
            self.dialler = Some(dialler);
        }
        pressed
    }

    pub(crate) fn is_dialling(&self) -> bool {
        self.dialler.is_some()
    }

    /// The packet of a key that is due now.
    pub(crate) fn dial(&mut self, buffer: &mut [u8], now: Instant) -> Option<Result<Outgoing, NotSent>> {
        let dialler = self.dialler.as_mut().filter(|dialler| dialler.due() <= now)?;
        let made = self.session.as_mut().and_then(|session| dialler.play(session, buffer, now));
        if dialler.is_idle() {
            self.dialler = None;
        }
        made
    }

    /// The number of a new feed.
    pub(crate) fn next_feed(&mut self) -> u32 {
        self.feeds = self.feeds.wrapping_add(1);
        self.feeds
    }

    /// Where packets also go, until the first one comes.
    pub(crate) fn also(&self) -> Option<SocketAddr> {
        if self.first_from.is_some() {
            return None;
        }
        self.parameters.as_ref().and_then(|parameters| parameters.also_rtp)
    }

    /// Says good-bye.
    pub(crate) fn leave(&mut self, now: Instant) {
        if let Some(session) = &mut self.session {
            session.leave(None, now);
        }
        if let Some(carrier) = &mut self.carrier {
            carrier.close(now);
            self.settle(now);
        }
    }
}

/// Payload types above 127, too many of them, or keys that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadParameters;
