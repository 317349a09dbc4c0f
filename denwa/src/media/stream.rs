//! One stream with one peer: its RTP session and what was agreed, digits both ways, and what is to be told of it.
//!
//! Both the media session of a telephone and the legs of a bridge are made around one of these. It knows neither codecs nor
//! descriptions.

use super::carrier::{self, Carrier, Sorted};
use super::digits::{Dialler, DigitFault, Key, Listener, PRESSED};
use super::ice::{Sent, Wire};
use super::{Event, IceConfig, Identity, KeyPath, StreamKeys, StreamParameters, StreamReport};
use crate::evidence::StreamCounters;
use bytes::Bytes;
use denwa_rtp::jitter;
use denwa_rtp::latch;
use denwa_rtp::relay::PayloadMap;
use denwa_rtp::session::{self, Content, ControlKeys, DropReason, Media, NotSent, Outgoing, Path, Session};
use denwa_rtp::telephone_event::Heard;
use denwa_rtp::wallclock::WallClock;
use denwa_sdp::LocalIce;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
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

/// What became of a datagram.
pub(crate) enum Received {
    /// Media, plain in the buffer.
    Media(Arrived),
    /// RTCP.
    Control,
    /// Another protocol than RTP or RTCP.
    OtherProtocol,
    /// Nothing was agreed yet.
    NotAgreed,
    /// A second source that is not listened to.
    NotActive,
    Refused(DropReason),
}

/// A media packet at the start of the caller's buffer.
pub(crate) struct Arrived {
    /// Octets of the packet.
    pub(crate) length: usize,
    pub(crate) payload: Range<usize>,
    pub(crate) payload_type: u8,
    pub(crate) content: Content,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) marker: bool,
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

    /// Gives the stream ICE, a certificate, or both, once its sockets are open.
    pub(crate) fn carry(
        &mut self,
        ice: Option<&IceConfig>,
        identity: Option<Identity>,
        is_muxed: bool,
        seed: [u8; 32],
        now: Instant,
    ) {
        let bound = (self.config.rtp, (!is_muxed).then_some(self.config.rtcp));
        self.carrier = Some(Box::new(Carrier::new(ice, identity, bound, seed, now)));
        self.settle(now);
    }

    pub(crate) fn carrier(&self) -> Option<&Carrier> {
        self.carrier.as_deref()
    }

    /// What the peer is to be told of ICE: credentials and candidates, and where RTP and RTCP go without it.
    pub(crate) fn ice_description(&self) -> Option<(LocalIce, SocketAddr, Option<SocketAddr>)> {
        let ice = self.carrier.as_deref()?.ice()?;
        let rtp = ice.default_address(1).unwrap_or(self.config.rtp);
        Some((ice.local(2), rtp, ice.default_address(2)))
    }

    /// Draws new credentials for ICE.
    pub(crate) fn restart_ice(&mut self, now: Instant) {
        if let Some(ice) = self.carrier.as_deref_mut().and_then(Carrier::ice_mut) {
            ice.restart(now);
        }
        self.settle(now);
    }

    /// Answers what ICE asks for besides datagrams where there are neither streams nor names.
    pub(crate) fn decline(&mut self, wire: &Wire, now: Instant) {
        let Some(carrier) = &mut self.carrier else { return };
        match *wire {
            Wire::Open { stream, .. } => {
                carrier.handle_input(denwa_ice::Input::StreamFailed { stream }, now);
            }
            Wire::Resolve { question, .. } => {
                carrier.handle_input(denwa_ice::Input::Resolved { question, addresses: &[] }, now);
            }
            Wire::Send { .. } | Wire::Close { .. } => {}
        }
        self.settle(now);
    }

    /// Tells ICE what became of what it asked for.
    pub(crate) fn handle_ice(&mut self, input: denwa_ice::Input<'_>, now: Instant) {
        if let Some(carrier) = &mut self.carrier {
            carrier.handle_input(input, now);
        }
        self.settle(now);
    }

    /// Goes by what ICE and DTLS have to tell.
    pub(crate) fn settle(&mut self, now: Instant) {
        let Some(carrier) = &mut self.carrier else { return };
        while let Some(news) = carrier.poll(now) {
            let output = match news {
                carrier::News::Transmit { rtcp, destination, payload } => {
                    Output::Transmit { rtcp, destination, payload }
                }
                carrier::News::Wire(wire) => Output::Wire(wire),
                carrier::News::Event(event) => Output::Event(event),
                carrier::News::Keys(keys) => {
                    if let Some(session) = &mut self.session {
                        // Both are there: DTLS has just made them.
                        let _ = session.set_keys(Some(&keys.outbound), Some(&keys.inbound));
                    }
                    self.made_keys = Some(keys);
                    Output::Event(Event::Encrypted { suite: carrier.suite.unwrap_or_default() })
                }
                carrier::News::ControlKeys(keys) => {
                    if let Some(session) = &mut self.session {
                        let StreamKeys { outbound, inbound } = &*keys;
                        let _ = session.set_control_keys(ControlKeys::Own { outbound, inbound });
                    }
                    self.made_control_keys = Some(keys);
                    continue;
                }
                carrier::News::Path { component, remote, relayed } => {
                    if let Some(place) = self.found.get_mut(usize::from(component).wrapping_sub(1)) {
                        *place = Some(remote);
                    }
                    let muxed = self.parameters.as_ref().is_some_and(|parameters| parameters.rtcp_mux);
                    let [media, control] = self.found;
                    if let Some(session) = &mut self.session {
                        session.set_remote(media, control.filter(|_| !muxed), now);
                    }
                    if component != 1 {
                        continue;
                    }
                    let path = carrier.path.clone().unwrap_or_default();
                    Output::Event(Event::PathChosen { remote, path, relayed })
                }
            };
            self.wanted.push_back(output);
        }
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

    /// Bytes of a stream came that ICE asked for. What media are in them is handled as if it had come to a socket.
    pub(crate) fn receive_stream(
        &mut self,
        stream: denwa_ice::StreamId,
        bytes: &mut [u8],
        now: Instant,
        mut each: impl FnMut(Received, &[u8]),
    ) {
        for (_, source, mut packet) in self.unpack(stream, bytes, now) {
            let length = packet.len();
            let received = self.receive_packet(Path::from(source), &mut packet, length, now);
            each(received, &packet);
        }
    }

    /// The packets in bytes of a stream that ICE asked for, and what component and whom they are of.
    pub(crate) fn unpack(
        &mut self,
        stream: denwa_ice::StreamId,
        bytes: &mut [u8],
        now: Instant,
    ) -> Vec<(u16, SocketAddr, Vec<u8>)> {
        let Some(carrier) = &mut self.carrier else { return Vec::new() };
        let packets = carrier.receive_stream(stream, bytes, now);
        self.settle(now);
        packets
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

    /// Judges a datagram of `length` octets at the start of `buffer`.
    #[inline]
    pub(crate) fn receive(&mut self, path: Path, buffer: &mut [u8], length: usize, now: Instant) -> Received {
        if self.carrier.is_some() {
            return self.receive_carried(path, buffer, length, now);
        }
        self.receive_packet(path, buffer, length, now)
    }

    fn receive_carried(&mut self, path: Path, buffer: &mut [u8], length: usize, now: Instant) -> Received {
        let (Some(carrier), Some(datagram)) = (&mut self.carrier, buffer.get_mut(..length)) else {
            return Received::OtherProtocol;
        };
        let of_control = path.destination.is_some_and(|at| at.port() == self.config.rtcp.port());
        let component = if of_control && self.config.rtcp != self.config.rtp { 2 } else { 1 };
        let sorted = carrier.receive(component, path.source, datagram, now);
        self.settle(now);
        match sorted {
            Sorted::Packet { start, length, source } => {
                // What a TURN server had put around it is taken off.
                buffer.copy_within(start..start.saturating_add(length), 0);
                self.receive_packet(Path { source, ..path }, buffer, length, now)
            }
            Sorted::Taken => Received::Control,
            Sorted::Useless => Received::OtherProtocol,
        }
    }

    /// As [`Stream::receive`], of what nothing is around any more.
    #[inline]
    pub(crate) fn receive_packet(
        &mut self,
        path: Path,
        buffer: &mut [u8],
        length: usize,
        now: Instant,
    ) -> Received {
        let Some(session) = &mut self.session else { return Received::NotAgreed };
        let Some(datagram) = buffer.get_mut(..length) else { return Received::NotAgreed };
        let media = match session.receive(datagram, path, now) {
            session::Action::Media(media) => media,
            session::Action::Control => return Received::Control,
            session::Action::NotMine(_) => return Received::OtherProtocol,
            session::Action::Dropped(reason) => {
                self.note_refusal(path, reason);
                return Received::Refused(reason);
            }
        };
        self.strange.1 = 0;
        if !media.active {
            return Received::NotActive;
        }
        let arrived = arrived(&media);
        if media.format.content == Content::TelephoneEvent {
            let packet = media.packet;
            let heard = Heard {
                sequence: packet.sequence(),
                timestamp: packet.timestamp(),
                marker: packet.marker(),
                payload: packet.payload(),
            };
            self.listener.receive(media.format.clock_rate_hz, heard, now);
        }
        if self.first_from.is_none() {
            self.first_from = Some(path.source);
            let expected = self.parameters.as_ref().and_then(|parameters| parameters.remote_rtp);
            self.news.push(Event::FirstPacket { from: path.source, expected });
        }
        Received::Media(arrived)
    }

    #[cold]
    fn note_refusal(&mut self, path: Path, reason: DropReason) {
        if reason == DropReason::NotAuthentic {
            self.unauthentic = self.unauthentic.saturating_add(1);
            if self.unauthentic == UNAUTHENTIC_TOLD {
                self.news.push(Event::ProtectionFailed);
            }
        }
        if let DropReason::UnknownPayloadType(payload_type) = reason {
            self.note_strange(path, payload_type);
        }
        // While an address is being learned nothing is wrong yet.
        let refused = matches!(reason, DropReason::Refused(why) if why != latch::Refusal::Learning);
        if refused && !std::mem::replace(&mut self.refusal_told, true) {
            self.news.push(Event::SourceRefused { from: path.source });
        }
    }

    /// A packet with a payload type that was not agreed on. Of the peer's host only: what others send is nobody's mistake. Noise
    /// for pauses is left out: many send it without having said so, and nothing is missed.
    fn note_strange(&mut self, path: Path, payload_type: u8) {
        const COMFORT_NOISE: [u8; 2] = [13, 19];
        let followed = self.session.as_ref().and_then(Session::destination);
        let described = self.parameters.as_ref().and_then(|parameters| parameters.remote_rtp);
        let mut hosts = followed.into_iter().chain(described).map(|address| address.ip());
        let receives = self.parameters.as_ref().is_some_and(|parameters| parameters.receives);
        if !receives || COMFORT_NOISE.contains(&payload_type) || !hosts.any(|host| host == path.source.ip()) {
            return;
        }
        let (before, count) = self.strange;
        let count = if before == payload_type { count.saturating_add(1) } else { 1 };
        self.strange = (payload_type, count);
        if count == STRANGE_TOLD && self.strange_told.replace(payload_type) != Some(payload_type) {
            self.news.push(Event::FormatNotAgreed { payload_type });
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

    fn translate(&mut self, event: session::Event, now: Instant) -> Option<Event> {
        match event {
            session::Event::Followed(learned) => {
                let from = learned.from.filter(|from| *from != learned.to)?;
                Some(Event::SourceMoved { from, to: learned.to })
            }
            session::Event::MediaStopped { last_at } => {
                let lasted =
                    last_at.map_or(self.config.silence_after, |last| now.saturating_duration_since(last));
                Some(Event::Silent { lasted })
            }
            session::Event::MediaResumed { after } => Some(Event::Resumed { after }),
            session::Event::ReportReceived { .. } => Some(Event::Report(self.report(now))),
            session::Event::Unreachable { destination } => {
                self.undeliverable = self.undeliverable.saturating_add(1);
                let news = self.undeliverable_told != Some(destination);
                self.undeliverable_told = Some(destination);
                news.then_some(Event::Undeliverable { destination })
            }
            _ => None,
        }
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

    pub(crate) fn report(&self, now: Instant) -> StreamReport {
        self.report_with(None, now)
    }

    /// With what the jitter buffer has to say.
    pub(crate) fn report_with(&self, playout: Option<&jitter::Statistics>, now: Instant) -> StreamReport {
        let mut report = StreamReport::default();
        if let Some(parameters) = &self.parameters {
            report.codec = parameters.codec();
        }
        if let Some(carrier) = &self.carrier {
            report.path.clone_from(&carrier.path);
            report.suite = carrier.suite;
        }
        let Some(session) = &self.session else { return report };
        let quality = session.quality(playout, now);
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
}

fn arrived(media: &Media<'_>) -> Arrived {
    let packet = media.packet;
    let end = media.length.saturating_sub(usize::from(packet.padding()));
    Arrived {
        length: media.length,
        payload: end.saturating_sub(packet.payload().len())..end,
        payload_type: packet.payload_type(),
        content: media.format.content,
        sequence: packet.sequence(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc(),
        marker: packet.marker(),
    }
}

/// Payload types above 127, too many of them, or keys that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadParameters;

/// Packets that must fail their check before this is told: a few are forged, or late.
const UNAUTHENTIC_TOLD: u32 = 25;

/// Packets in a row with a payload type that was not agreed on before this is told: half a second of voice. After a change some
/// are still on their way, and a key is shorter.
const STRANGE_TOLD: u32 = 25;
