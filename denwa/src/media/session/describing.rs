//! Descriptions of a media session: offers and answers written and read, and what they agree on put to use, in the midst of a call
//! without a gap.

use super::{MediaSession, Refusal};
use crate::media::carrier::Carrier;
use crate::media::ice::IceSide;
use crate::media::{NotUsable, PairReport, StreamParameters};
use bytes::Bytes;
use denwa_codecs::tone::dtmf::Detector;
use denwa_sdp::{
    Agreed, Capability, Direction, HoldStyle, Mismatch, Misuse as SdpMisuse, OfferError, RemoteDescription,
    RtcpMux, State,
};
use std::net::IpAddr;
use std::time::Instant;

impl MediaSession {
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
        let mut transport = transport.with_ice(ice.local(if muxed { 1 } else { 2 }));
        transport.source = self.stream.source();
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
}
