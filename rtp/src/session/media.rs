//! The direct media calls: what came in is judged in place, what goes out is written into the caller's buffer.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use thiserror::Error;

use super::{Action, DropReason, Event, Format, Media, Path, Session};
use crate::{
    classify::{Kind, classify},
    error::Misuse,
    latch::{Sample, Step},
    packet::{Header, Packet},
    relay::{self, NotRelayed, PayloadMap},
    sender::Feed,
    source::{Arrival, Order, Source, Update},
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
    pub fn receive<'d>(&mut self, datagram: &'d mut [u8], path: Path, now: Instant) -> Action<'d> {
        let now = self.clock.advance(now);
        match classify(datagram) {
            Kind::Rtp => self.receive_media(datagram, path, now),
            Kind::Rtcp => self.receive_control(datagram, path, now),
            other => Action::NotMine(other),
        }
    }

    /// Small results within and one large one at the end: this is the path of every packet.
    #[inline]
    fn receive_media<'d>(&mut self, datagram: &'d mut [u8], path: Path, now: Instant) -> Action<'d> {
        if self.ended {
            return self.dropped(DropReason::Ended);
        }
        let payload_type = datagram.get(1).copied().unwrap_or(0) & 0x7f;
        let Some(format) = self.usual_format(payload_type) else {
            return self.dropped(DropReason::UnknownPayloadType(payload_type));
        };
        let (length, authenticated) = match self.unprotect(datagram, Inbound::unprotect) {
            Ok(unprotected) => unprotected,
            Err(unheard) => return self.dropped(unheard.into()),
        };
        let plain: &'d [u8] = datagram.get(..length).unwrap_or(&[]);
        let packet = match Packet::parse(plain) {
            Ok(packet) => packet,
            Err(error) => return self.dropped(DropReason::Malformed(error)),
        };
        let ssrc = packet.ssrc();
        let sequence = packet.sequence();
        let step = if self.latch.accepts_followed(&path.source, ssrc, sequence, now) {
            None
        } else {
            let sample = Sample { from: path.source, ssrc, sequence, authenticated };
            match self.latch.judge_other(sample, now) {
                Ok(step) => Some(step),
                Err(refusal) => return self.dropped(DropReason::Refused(refusal)),
            }
        };
        if ssrc == self.sender.ssrc() && self.sent_own && !self.accepts_own_ssrc(&packet, now) {
            return self.dropped(DropReason::Loop);
        }
        let arrival = Arrival {
            sequence,
            timestamp: packet.timestamp(),
            marker: packet.marker(),
            payload_octets: packet.payload().len() as u16,
        };
        let (update, standing) = self.update_source(ssrc, arrival, format.clock_rate_hz, step, now);
        let active = match standing {
            Standing::Active => true,
            Standing::Aside => false,
            Standing::Unheard(unheard) => return self.dropped(unheard.into()),
        };
        self.media_came(now);
        self.counters.media = self.counters.media.wrapping_add(1);
        Action::Media(Media { packet, length, format, update, active, authenticated })
    }

    #[inline]
    fn usual_format(&mut self, payload_type: u8) -> Option<Format> {
        match self.usual {
            Some(usual) if usual.payload_type == payload_type => {}
            _ => self.usual = Some(self.format(payload_type)?),
        }
        self.usual
    }

    #[cold]
    #[inline(never)]
    pub(super) fn dropped(&mut self, reason: DropReason) -> Action<'static> {
        self.counters.count(&reason);
        Action::Dropped(reason)
    }

    /// The latch moves with a packet that is listened to, never with one that is dropped.
    #[cold]
    #[inline(never)]
    fn follow(&mut self, step: Step, now: Instant) {
        let learned = self.latch.follow(step, now);
        self.event(Event::Followed(learned));
    }

    /// The length of the plain packet, and whether SRTP vouches for it.
    #[inline]
    pub(super) fn unprotect(
        &mut self,
        datagram: &mut [u8],
        unprotect: fn(&mut Inbound, &mut [u8]) -> Result<usize, NotAuthentic>,
    ) -> Result<(usize, bool), Unheard> {
        if self.protection.inbound.is_none() {
            return if self.protection.required { Err(Unheard::NoKeys) } else { Ok((datagram.len(), false)) };
        }
        self.unprotect_with_keys(datagram, unprotect)
    }

    #[inline(never)]
    fn unprotect_with_keys(
        &mut self,
        datagram: &mut [u8],
        unprotect: fn(&mut Inbound, &mut [u8]) -> Result<usize, NotAuthentic>,
    ) -> Result<(usize, bool), Unheard> {
        let Some(inbound) = &mut self.protection.inbound else { return Err(Unheard::NoKeys) };
        let length = unprotect(inbound, datagram).map_err(|NotAuthentic| Unheard::NotAuthentic)?;
        if inbound.packets_left() < super::WEAR_MARGIN && !self.protection.inbound_wears_out {
            self.protection.inbound_wears_out = true;
            self.event(Event::KeysWearOut { outbound: false });
        }
        Ok((length, true))
    }

    /// Statistics, and who is listened to.
    #[inline(always)]
    fn update_source(
        &mut self,
        ssrc: u32,
        arrival: Arrival,
        clock_rate_hz: u32,
        step: Option<Step>,
        now: Instant,
    ) -> (Update, Standing) {
        let active = self.members.active_ssrc();
        let unknown = active != Some(ssrc) && !self.admit(ssrc, now);
        let Some(member) = self.members.get_mut(ssrc).filter(|_| !unknown) else {
            let update =
                Update { order: Order::Probation, extended: u64::from(arrival.sequence), skipped: 0 };
            return (update, Standing::Unheard(Unheard::TooManySources));
        };
        member.last_at = now;
        member.gone = false;
        let source =
            member.source.get_or_insert_with(|| Source::new(ssrc, arrival.sequence, clock_rate_hz, now));
        let update = source.update(arrival, clock_rate_hz, now);
        let valid = source.is_valid();
        let unheard = match update.order {
            Order::Duplicate => Some(Unheard::Duplicate),
            Order::Jump => Some(Unheard::Jump),
            // A first source is heard from its first packet on; a second one must prove itself before it may disturb.
            Order::Probation if active.is_some_and(|active| active != ssrc) => Some(Unheard::Unproven),
            Order::Probation | Order::InOrder | Order::Reordered | Order::Restarted => None,
        };
        if let Some(unheard) = unheard {
            return (update, Standing::Unheard(unheard));
        }
        if let Some(step) = step {
            self.follow(step, now);
        }
        let standing =
            if active == Some(ssrc) { Standing::Active } else { self.consider(ssrc, update, valid, now) };
        (update, standing)
    }

    /// A packet of a source that is not listened to: whether it is from now on.
    #[cold]
    #[inline(never)]
    fn consider(&mut self, ssrc: u32, update: Update, valid: bool, now: Instant) -> Standing {
        if !self.may_take_over(update, valid, now) {
            return Standing::Aside;
        }
        let instead_of = self.members.active_ssrc();
        self.members.activate(ssrc);
        self.event(Event::SourceJoined { ssrc, instead_of });
        Standing::Active
    }

    /// A new source takes over when it has become valid; a former one only after the present one fell silent, or two
    /// that send at the same time would take turns.
    #[cold]
    fn may_take_over(&self, update: Update, valid: bool, now: Instant) -> bool {
        let Some(present) = self.active_source() else { return true };
        let fresh =
            update.order == Order::InOrder && update.skipped == 0 && valid && self.is_newcomer(present, now);
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
            self.media_resumed(now);
        }
        self.watch.last_at = Some(now);
    }

    #[cold]
    fn media_resumed(&mut self, now: Instant) {
        self.watch.stopped = false;
        let after = self.watch.last_at.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.event(Event::MediaResumed { after });
    }

    /// Writes a frame of ours as a packet into `buffer`.
    ///
    /// # Errors
    /// Says why it cannot be sent.
    pub fn send(&mut self, frame: Frame<'_>, buffer: &mut [u8], now: Instant) -> Result<Outgoing, NotSent> {
        let now = self.clock.advance(now);
        if !self.is_ready_to_send() {
            return Err(self.unready());
        }
        let header =
            Header { payload_type: frame.payload_type, ssrc: self.sender.ssrc(), ..Header::default() };
        let length = header.write(frame.payload, buffer)?;
        let place = self.sender.place_next(Feed::Local(frame.feed), frame.timestamp, now);
        if let Some(mut header) = crate::packet::HeaderMut::of(buffer) {
            header.set_marker_and_payload_type(frame.marker || place.switched, frame.payload_type);
            header.set_sequence(place.sequence);
            header.set_timestamp(place.timestamp);
        }
        self.finish_sending(buffer, length, frame.payload.len())
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
        if !self.is_ready_to_send() {
            return Err(self.unready());
        }
        let available = buffer.len();
        let Some(packet) = buffer.get_mut(..length) else {
            return Err(Misuse::BufferTooSmall { needed: length, available }.into());
        };
        if let Err(reason) = relay::rewrite(packet, map, &mut self.sender, now) {
            return Err(NotSent::NotRelayed(reason));
        }
        self.finish_sending(buffer, length, length.saturating_sub(crate::packet::HEADER_LENGTH))
    }

    #[inline]
    const fn is_ready_to_send(&self) -> bool {
        !self.ended
            && (!self.protection.required || self.protection.outbound.is_some())
            && self.latch.has_destination()
    }

    #[cold]
    fn unready(&self) -> NotSent {
        if self.ended {
            Misuse::Ended.into()
        } else if self.latch.has_destination() {
            NotSent::NoKeys
        } else {
            NotSent::NoDestination
        }
    }

    #[inline]
    fn finish_sending(
        &mut self,
        buffer: &mut [u8],
        mut length: usize,
        payload_octets: usize,
    ) -> Result<Outgoing, NotSent> {
        if self.protection.outbound.is_some() {
            length = self.protect(buffer, length)?;
        }
        self.sender.count(payload_octets);
        self.sent_own = true;
        match self.latch.destination() {
            Some(destination) => Ok(Outgoing { length, destination, source: self.config.local }),
            None => Err(NotSent::NoDestination),
        }
    }

    #[inline(never)]
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
    #[inline(never)]
    fn accepts_own_ssrc(&mut self, packet: &Packet<'_>, now: Instant) -> bool {
        if self.sender.has_sent_lately(packet.sequence(), packet.timestamp()) {
            if !self.reflection_told {
                self.reflection_told = true;
                self.event(Event::Reflected { ssrc: packet.ssrc() });
            }
            return self.config.accept_reflection;
        }
        if self.members.get(packet.ssrc()).is_none() {
            self.give_up_ssrc(now);
        }
        true
    }
}

/// Whether a packet is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Active,
    /// Of a source beside the one that is listened to.
    Aside,
    Unheard(Unheard),
}

/// Why a packet is not heard, in one octet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unheard {
    NoKeys,
    NotAuthentic,
    Duplicate,
    Jump,
    Unproven,
    TooManySources,
}

impl From<Unheard> for DropReason {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::NoKeys => Self::NoKeys,
            Unheard::NotAuthentic => Self::NotAuthentic,
            Unheard::Duplicate => Self::Duplicate,
            Unheard::Jump => Self::Jump,
            Unheard::Unproven => Self::Unproven,
            Unheard::TooManySources => Self::TooManySources,
        }
    }
}
