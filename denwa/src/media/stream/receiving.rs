//! What becomes of a datagram: taken out of what is around it, judged by the session, and what is told of those refused.

use super::Stream;
use crate::media::Event;
use crate::media::carrier::Sorted;
use denwa_rtp::latch;
use denwa_rtp::session::{self, Content, DropReason, Media, Path, Session};
use denwa_rtp::telephone_event::Heard;
use std::ops::Range;
use std::time::Instant;

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

impl Stream {
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

/// Packets that must fail their check before this is told: a few are forged, or late.
const UNAUTHENTIC_TOLD: u32 = 25;

/// Packets in a row with a payload type that was not agreed on before this is told: half a second of voice. After a change some
/// are still on their way, and a key is shorter.
const STRANGE_TOLD: u32 = 25;
