//! The direct media calls: what came in is judged in place, what goes out is written into the caller's buffer.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use thiserror::Error;

use super::{Action, DropReason, Event, Media, Path, Session};
use crate::{
    classify::{Kind, classify},
    error::Misuse,
    latch::{Sample, Verdict},
    packet::{Header, Packet},
    relay::{self, NotRelayed, PayloadMap},
    sender::Feed,
    source::{Arrival, Source, Update},
    srtp::{Inbound, NotAuthentic, Refused},
};

/// A frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which of our feeds makes it; frames of one feed share a time line.
    pub feed: u32,
    /// When it belongs on the feed's own time line, in clock units.
    pub timestamp: u32,
    /// 0–127.
    pub payload_type: u8,
    /// It begins a talk-spurt or an event. A switch of feeds sets the marker by itself.
    pub marker: bool,
    /// What the codec made.
    pub payload: &'a [u8],
}

/// A packet that stands ready in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// Its octets, from the start of the buffer.
    pub length: usize,
    /// Where to send it.
    pub destination: SocketAddr,
    /// From which of our addresses, when that was configured.
    pub source: Option<SocketAddr>,
}

/// Why nothing is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotSent {
    /// It is not known where the peer receives.
    #[error("the peer's address is not known yet")]
    NoDestination,
    /// Protection was demanded and there are no keys yet, or they are worn out.
    #[error("there are no usable keys")]
    NoKeys,
    /// The packet of another leg does not pass.
    #[error("not relayed: {0:?}")]
    NotRelayed(NotRelayed),
    /// Protection would have given something away.
    #[error("not protected: {0}")]
    Unprotected(Refused),
    /// The caller's fault.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

impl Session {
    /// Judges a datagram, and decrypts it in place when keys are there.
    #[inline]
    pub fn receive<'d>(&mut self, datagram: &'d mut [u8], path: Path, now: Instant) -> Action<'d> {
        let now = self.clock.advance(now);
        let result = match classify(datagram) {
            Kind::Rtp => self.receive_media(datagram, path, now),
            Kind::Rtcp => self.receive_control(datagram, path, now),
            other => return Action::NotMine(other),
        };
        match result {
            Ok(action) => action,
            Err(reason) => {
                self.counters.count(&reason);
                Action::Dropped(reason)
            }
        }
    }

    #[inline]
    fn receive_media<'d>(
        &mut self,
        datagram: &'d mut [u8],
        path: Path,
        now: Instant,
    ) -> Result<Action<'d>, DropReason> {
        if self.ended {
            return Err(DropReason::Ended);
        }
        let payload_type = datagram.get(1).copied().unwrap_or(0) & 0x7f;
        let Some(format) = self.format(payload_type) else {
            return Err(DropReason::UnknownPayloadType(payload_type));
        };
        let (length, authenticated) = self.unprotect(datagram, Inbound::unprotect)?;
        let plain: &'d [u8] = datagram.get(..length).unwrap_or(&[]);
        let packet = Packet::parse(plain).map_err(DropReason::Malformed)?;
        let ssrc = packet.ssrc();
        let sample = Sample { from: path.source, ssrc, sequence: packet.sequence(), authenticated };
        match self.latch.judge(sample, now) {
            Verdict::Accept => {}
            Verdict::Moved(learned) => self.event(Event::Followed(learned)),
            Verdict::Refuse(refusal) => return Err(DropReason::Refused(refusal)),
        }
        if ssrc == self.sender.ssrc() && self.sent_own {
            self.own_ssrc(&packet, now)?;
        }
        let arrival = Arrival {
            sequence: packet.sequence(),
            timestamp: packet.timestamp(),
            marker: packet.marker(),
            payload_octets: packet.payload().len() as u16,
        };
        let (update, active) = self.update_source(ssrc, arrival, format.clock_rate_hz, now)?;
        self.media_came(now);
        self.counters.media = self.counters.media.wrapping_add(1);
        Ok(Action::Media(Media { packet, length, format, update, active, authenticated }))
    }

    /// The length of the plain packet, and whether SRTP vouches for it.
    #[inline]
    pub(super) fn unprotect(
        &mut self,
        datagram: &mut [u8],
        unprotect: impl Fn(&mut Inbound, &mut [u8]) -> Result<usize, NotAuthentic>,
    ) -> Result<(usize, bool), DropReason> {
        let Some(inbound) = &mut self.protection.inbound else {
            return if self.config.require_protection {
                Err(DropReason::NoKeys)
            } else {
                Ok((datagram.len(), false))
            };
        };
        let length = unprotect(inbound, datagram).map_err(|NotAuthentic| DropReason::NotAuthentic)?;
        if inbound.packets_left() < super::WEAR_MARGIN && !self.protection.inbound_wears_out {
            self.protection.inbound_wears_out = true;
            self.event(Event::KeysWearOut { outbound: false });
        }
        Ok((length, true))
    }

    /// Statistics, and who is listened to.
    #[inline]
    fn update_source(
        &mut self,
        ssrc: u32,
        arrival: Arrival,
        clock_rate_hz: u32,
        now: Instant,
    ) -> Result<(Update, bool), DropReason> {
        let active = self.members.active_ssrc();
        let member = match self.members.get_mut(ssrc) {
            Some(member) => member,
            None => self.member(ssrc, now).ok_or(DropReason::TooManySources)?,
        };
        member.last_at = now;
        member.gone = false;
        let source =
            member.source.get_or_insert_with(|| Source::new(ssrc, arrival.sequence, clock_rate_hz, now));
        let update = source.update(arrival, clock_rate_hz, now);
        let valid = source.is_valid();
        match update {
            Update::Duplicate => return Err(DropReason::Duplicate),
            Update::Jump => return Err(DropReason::Jump),
            // A first source is heard from its first packet on; a second one must prove itself before it may disturb.
            Update::Probation if active.is_some() && active != Some(ssrc) => {
                return Err(DropReason::Unproven);
            }
            Update::Probation
            | Update::InOrder { .. }
            | Update::Reordered { .. }
            | Update::Restarted { .. } => {}
        }
        if active == Some(ssrc) {
            return Ok((update, true));
        }
        let takes_over = self.may_take_over(update, valid, now);
        if takes_over {
            self.members.activate(ssrc);
            self.event(Event::SourceJoined { ssrc, instead_of: active });
        }
        Ok((update, takes_over))
    }

    /// A new source takes over when it has become valid; a former one only after the present one fell silent, or two
    /// that send at the same time would take turns.
    #[cold]
    fn may_take_over(&self, update: Update, valid: bool, now: Instant) -> bool {
        let Some(present) = self.active_source() else { return true };
        let fresh =
            matches!(update, Update::InOrder { skipped: 0, .. }) && valid && self.is_newcomer(present, now);
        let silent = now.saturating_duration_since(present.last_at()) >= self.config.source_hold;
        fresh || (silent && valid)
    }

    /// Whether the source just updated began after the present one.
    fn is_newcomer(&self, present: &Source, now: Instant) -> bool {
        self.sources().any(|source| {
            source.last_at() == now
                && source.ssrc() != present.ssrc()
                && source.received() == 1
                && source.created_at() >= present.created_at()
        })
    }

    #[inline]
    fn media_came(&mut self, now: Instant) {
        if self.watch.stopped {
            self.watch.stopped = false;
            let after = self.watch.last_at.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
            self.event(Event::MediaResumed { after });
        }
        self.watch.last_at = Some(now);
    }

    /// Writes a frame of ours as a packet into `buffer`.
    ///
    /// # Errors
    /// Says why it cannot be sent.
    pub fn send(&mut self, frame: Frame<'_>, buffer: &mut [u8], now: Instant) -> Result<Outgoing, NotSent> {
        let now = self.clock.advance(now);
        let destination = self.ready_to_send()?;
        let header =
            Header { payload_type: frame.payload_type, ssrc: self.sender.ssrc(), ..Header::default() };
        let length = header.write(frame.payload, buffer)?;
        let place = self.sender.place_next(Feed::Local(frame.feed), frame.timestamp, now);
        if let Some(mut header) = crate::packet::HeaderMut::of(buffer) {
            header.set_marker_and_payload_type(frame.marker || place.switched, frame.payload_type);
            header.set_sequence(place.sequence);
            header.set_timestamp(place.timestamp);
        }
        self.finish_sending(buffer, length, frame.payload.len(), destination)
    }

    /// Makes the packet that stands in the first `length` octets of `buffer`, received and found good by another
    /// session, a packet of ours: rewritten, protected when we have keys (the buffer's tail must have room for
    /// that), counted.
    ///
    /// # Errors
    /// Says why it cannot be sent.
    #[inline]
    pub fn forward(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        map: &PayloadMap,
        now: Instant,
    ) -> Result<Outgoing, NotSent> {
        let now = self.clock.advance(now);
        let destination = self.ready_to_send()?;
        let available = buffer.len();
        let Some(packet) = buffer.get_mut(..length) else {
            return Err(Misuse::BufferTooSmall { needed: length, available }.into());
        };
        relay::rewrite(packet, map, &mut self.sender, now).map_err(NotSent::NotRelayed)?;
        let payload_octets = length.saturating_sub(crate::packet::HEADER_LENGTH);
        self.finish_sending(buffer, length, payload_octets, destination)
    }

    #[inline]
    fn ready_to_send(&self) -> Result<SocketAddr, NotSent> {
        if self.ended {
            return Err(Misuse::Ended.into());
        }
        if self.config.require_protection && self.protection.outbound.is_none() {
            return Err(NotSent::NoKeys);
        }
        self.latch.destination().ok_or(NotSent::NoDestination)
    }

    #[inline]
    fn finish_sending(
        &mut self,
        buffer: &mut [u8],
        length: usize,
        payload_octets: usize,
        destination: SocketAddr,
    ) -> Result<Outgoing, NotSent> {
        let length = if self.protection.outbound.is_some() { self.protect(buffer, length)? } else { length };
        self.sender.count(payload_octets);
        self.sent_own = true;
        Ok(Outgoing { length, destination, source: self.config.local })
    }

    fn protect(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, NotSent> {
        let Some((_, outbound)) = &mut self.protection.outbound else { return Ok(length) };
        let length = outbound.protect(buffer, length).map_err(|refused| match refused {
            Refused::Misuse(misuse) => NotSent::Misuse(misuse),
            Refused::KeyWornOut => NotSent::NoKeys,
            Refused::IndexUsed | Refused::TooManyStreams => NotSent::Unprotected(refused),
        })?;
        if outbound.packets_left() < super::WEAR_MARGIN && !self.protection.outbound_wears_out {
            self.protection.outbound_wears_out = true;
            self.event(Event::KeysWearOut { outbound: true });
        }
        Ok(length)
    }

    /// A packet with our own SSRC: our voice comes back (an echo service that returns packets as they are), or the
    /// peer drew the same number. Only in the latter case a new SSRC helps (RFC 3550 §8.2).
    #[cold]
    fn own_ssrc(&mut self, packet: &Packet<'_>, now: Instant) -> Result<(), DropReason> {
        if self.sender.has_sent_lately(packet.sequence(), packet.timestamp()) {
            if !self.reflection_told {
                self.reflection_told = true;
                self.event(Event::Reflected { ssrc: packet.ssrc() });
            }
            return if self.config.accept_reflection { Ok(()) } else { Err(DropReason::Loop) };
        }
        if self.members.get(packet.ssrc()).is_none() {
            self.give_up_ssrc(now);
        }
        Ok(())
    }
}
