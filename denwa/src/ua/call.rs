//! One call: its signalling handle, its media session, the ports it uses, its evidence.

use super::{AccountId, CallId, Event, UserAgent};
use crate::driver::{Output, PortId, PortNews};
use crate::evidence::{Evidence, Fact, Side};
use crate::media::{self, Input as MediaInput, MediaSession, Path};
use crate::port_set::PortPair;
use bytes::Bytes;
use denwa_sdp::Hold;
use denwa_sip_core::endpoint::{CallHandle, SubscriptionHandle};
use denwa_sip_core::message::Request;
use denwa_sip_core::transaction::EndReason;
use denwa_sip_core::{HeaderName, message::UriBuf};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Which of a call's two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Rtp,
    Rtcp,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The way to the peer is asked for.
    Locating,
    /// Its ports are being opened.
    OpeningPorts,
    /// INVITE was sent, or came.
    Calling,
    /// We have answered; the peer has not confirmed.
    Answering,
    Up,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) account: Option<AccountId>,
    pub(super) handle: Option<CallHandle>,
    pub(super) is_outgoing: bool,
    pub(super) stage: Stage,
    /// Whom a call from here is for.
    pub(super) callee: Option<UriBuf>,
    /// Who sent it elsewhere.
    pub(super) been_at: Vec<UriBuf>,
    /// The peer's signalling address, when known.
    pub(super) peer: Option<SocketAddr>,
    /// The address packets to the peer leave by.
    pub(super) route: Option<IpAddr>,
    /// The offer of an INVITE that came in; `None` when ours is wanted.
    pub(super) offer: Option<Bytes>,
    pub(super) media: Option<MediaSession>,
    pub(super) ports: Option<Ports>,
    pub(super) port_attempts: u8,
    /// Its description is written when the media know their addresses.
    pub(super) waits_for_media: bool,
    pub(super) evidence: Evidence,
    /// When the next sound is due.
    beat: Option<Instant>,
    pub(super) ended_here: bool,
    /// Who holds, by the last agreement.
    pub(super) hold: Hold,
    /// Whom we talk with, by the name that signalling gave him.
    pub(super) remote_party: Option<UriBuf>,
    /// It is in the conference.
    pub(super) confers: bool,
    /// Keys that are to be sent by INFO, and whether one is under way.
    pub(super) info_keys: VecDeque<char>,
    pub(super) awaits_info: bool,
    /// It was asked for by a transfer: who hears how it goes, which call it is to replace, and who asked.
    pub(super) reports_to: Option<SubscriptionHandle>,
    pub(super) replaces: Option<String>,
    pub(super) referred_by: Option<String>,
    /// Until when it waits to know how its peer sees us.
    pub(super) patience: Option<Instant>,
    /// Whether our Via came back as another.
    pub(super) was_altered: bool,
    /// It takes the place of this one.
    pub(super) takes_over: Option<CallId>,
    /// The interface that signalling leaves by.
    pub(super) interface: Option<Arc<str>>,
    /// The address whose route was asked for last, to know whether media reach it.
    pub(super) media_route: Option<IpAddr>,
    /// Why the call ends for want of a session.
    pub(super) nothing_in_common: Option<String>,
}

/// The two ports of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) rtp: PortId,
    pub(super) rtcp: PortId,
    pub(super) rtp_at: Option<SocketAddr>,
    pub(super) rtcp_at: Option<SocketAddr>,
    pub(super) pair: Option<PortPair>,
}

impl Call {
    pub(super) fn new(id: CallId, account: Option<AccountId>, is_outgoing: bool, now: Instant) -> Self {
        Self {
            account,
            handle: None,
            is_outgoing,
            stage: Stage::Locating,
            callee: None,
            been_at: Vec::new(),
            peer: None,
            route: None,
            offer: None,
            media: None,
            ports: None,
            port_attempts: 0,
            waits_for_media: false,
            evidence: Evidence::new(id.to_string(), Evidence::DEFAULT_LIMIT, now),
            beat: None,
            ended_here: false,
            hold: Hold::None,
            remote_party: None,
            confers: false,
            info_keys: VecDeque::new(),
            awaits_info: false,
            reports_to: None,
            replaces: None,
            referred_by: None,
            patience: None,
            was_altered: false,
            takes_over: None,
            interface: None,
            media_route: None,
            nothing_in_common: None,
        }
    }

    /// The address its ports are opened on.
    pub(super) fn local_host(&self) -> IpAddr {
        let any: IpAddr = match self.peer {
            Some(SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        };
        self.route.unwrap_or(any)
    }

    pub(super) fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    pub(super) fn note(&mut self, fact: Fact, now: Instant) {
        self.evidence.add(Some(Side::FIRST), fact, now);
    }

    pub(super) fn go_up(&mut self, now: Instant) {
        self.stage = Stage::Up;
        self.start_sound(now);
    }

    /// Sound is beaten out from now on, the first at once.
    pub(super) fn start_sound(&mut self, now: Instant) {
        self.beat.get_or_insert(now);
    }

    /// Its sound is its own again.
    pub(super) fn restart_sound(&mut self, now: Instant) {
        self.beat = Some(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let media = self.media.as_ref().and_then(MediaSession::poll_timeout);
        // The conference has a beat of its own.
        let beat = self.beat.filter(|_| !self.confers);
        media.into_iter().chain(beat).chain(self.patience).min()
    }

    /// The next packet of the media, and the port it leaves by when it does not go over a stream.
    pub(super) fn next_packet(
        &mut self,
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<(PortId, media::Outgoing)> {
        let port = self.ports.as_ref()?.rtp;
        Some((port, self.media.as_mut()?.next_packet(buffer, now)?))
    }
}

/// Sounds that are made up for at most when the driver wakes late; more are skipped.
const LATE_SOUNDS: u32 = 10;

impl UserAgent {
    /// Time has come for this call: reports, and sound to be played.
    pub(super) fn beat(&mut self, id: CallId, now: Instant) {
        let (frame, samples) = (self.frame(), self.frame_samples());
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.patience.is_some_and(|patience| patience <= now) {
            return self.on_acquainted(id, now);
        }
        if let Some(media) = &mut call.media {
            media.handle_timeout(now);
            let mut played = 0;
            while let Some(due) = call.beat.filter(|due| *due <= now && !call.confers) {
                played += 1;
                // A driver that slept for long goes on from now.
                call.beat = Some(if played < LATE_SOUNDS { due + frame } else { now + frame });
                let mut sound = vec![0; samples];
                media.hear(&mut sound, due);
                self.outputs.push_back(Output::Event(Event::Sound { call: id, samples: sound }));
            }
        }
        self.drain_media(id, now);
    }

    pub(super) fn on_port(
        &mut self,
        id: CallId,
        component: Component,
        port: PortId,
        news: PortNews<'_>,
        now: Instant,
    ) {
        match news {
            PortNews::Opened { address } => self.on_port_open(id, component, address, now),
            PortNews::NotOpened { reason } => self.on_port_taken(id, port, &reason, now),
            PortNews::Datagram { remote, payload } => {
                let Some(call) = self.calls.get_mut(&id) else { return };
                let ports = call.ports;
                let destination = match component {
                    Component::Rtp => ports.and_then(|ports| ports.rtp_at),
                    Component::Rtcp => ports.and_then(|ports| ports.rtcp_at),
                };
                if let Some(media) = call.media.as_mut() {
                    media.receive(payload, Path { source: remote, destination }, now);
                    self.drain_media(id, now);
                }
            }
            PortNews::Unreachable { destination } => {
                if let Some(media) = self.calls.get_mut(&id).and_then(|call| call.media.as_mut()) {
                    media.handle_input(MediaInput::Unreachable { destination }, now);
                    self.drain_media(id, now);
                }
            }
        }
    }

    /// Hands on what the call's media want done.
    pub(super) fn drain_media(&mut self, id: CallId, now: Instant) {
        loop {
            let Some(call) = self.calls.get_mut(&id) else { return };
            let Some(ports) = call.ports else { return };
            let Some(output) = call.media.as_mut().and_then(MediaSession::poll_output) else { break };
            match output {
                media::Output::Transmit { source, destination, payload } => {
                    let port = if ports.rtcp_at == Some(source) { ports.rtcp } else { ports.rtp };
                    self.outputs.push_back(Output::SendFromPort { port, destination, payload });
                }
                media::Output::Wire(wire) => self.wire(id, wire, now),
                media::Output::Event(event) => {
                    if let Some(fact) = Fact::of_media(&event) {
                        call.note(fact, now);
                    }
                    self.outputs.push_back(Output::Event(Event::Media { call: id, event }));
                }
            }
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.waits_for_media && call.media.as_ref().is_some_and(MediaSession::is_gathered) {
            call.waits_for_media = false;
            self.on_gathered(id, now);
        }
    }
}

/// The key in the body of an INFO request: `application/dtmf-relay` says `Signal=5`, `application/dtmf` just `5`.
pub fn digit_of_info(message: &Request) -> Option<char> {
    let kind = message.get(HeaderName::ContentType)?.to_ascii_lowercase();
    let text = str::from_utf8(message.body()).ok()?;
    let signal = if kind.starts_with("application/dtmf-relay") {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("signal").then_some(value.trim())
        })?
    } else if kind.starts_with("application/dtmf") {
        text.trim()
    } else {
        return None;
    };
    // Some write the event's code for `*` and `#`.
    match signal {
        "10" => Some('*'),
        "11" => Some('#'),
        _ => signal
            .chars()
            .next()
            .map(|key| key.to_ascii_uppercase())
            .filter(|key| "0123456789*#ABCD".contains(*key)),
    }
}

/// How long a key in an INFO request is taken to have been pressed.
pub(super) const INFO_DIGIT: Duration = Duration::from_millis(100);

/// Why a request got no final response, for people.
pub(crate) fn words(reason: EndReason) -> String {
    match reason {
        EndReason::TimedOut => "no reply of any kind".to_owned(),
        EndReason::Unreachable => {
            "the network says that it is not reached, or nobody listens there".to_owned()
        }
        EndReason::StreamFailed(why) => format!("there is no connection to it: {why}"),
        EndReason::Unresolved(why) => format!("its name was not resolved: {why}"),
        EndReason::NoRoute => "there is no address here to reach it from".to_owned(),
        other => other.to_string(),
    }
}
