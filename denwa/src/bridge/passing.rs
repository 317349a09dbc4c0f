//! From a leg's socket to the other leg's: judged, then passed on where it lies, transcoded, or kept; keys on the way are told to
//! each peer the way it takes them.

use super::io::{Action, Component, Dropped, Forward, Outgoing, Output};
use super::keys::{Heard, KeyEar};
use super::repack::Repacker;
use super::{Connection, Event, LegId, MediaBridge, Source};
use crate::media::{Arrived, Key, Received, Wire};
use bytes::Bytes;
use denwa_rtp::session::{self, Content, NotSent, Path, Session};
#[cfg(feature = "tokio")]
use std::hint::black_box;
use std::time::{Duration, Instant};

impl MediaBridge {
    /// Judges a datagram of `length` octets at the start of `buffer` that came to one of the leg's sockets, and makes it the
    /// packet that goes on, in place. The buffer should have room for 64 octets more than the datagram; where legs have different
    /// codecs or packet times, for 2048 octets.
    #[inline]
    pub fn receive<'d>(
        &mut self,
        leg: LegId,
        path: Path,
        buffer: &'d mut [u8],
        length: usize,
        now: Instant,
    ) -> Action<'d> {
        let now = self.advance(now);
        let Some(mut from) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
        if from.copies {
            let bytes = buffer.get(..length).unwrap_or_default();
            self.copy_in(leg, (path.source, path.destination), bytes, now);
            let Some(again) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
            from = again;
        }
        let received = from.stream.receive(path, buffer, length, now);
        self.take(leg, received, buffer, now)
    }

    /// Looks at the state that a packet of this leg needs, here and at the leg that hears it, and does nothing: for who has packets
    /// of several legs to give. Says which leg hears it.
    #[inline]
    #[cfg(feature = "tokio")]
    pub(crate) fn look_ahead(&self, leg: LegId) -> Option<LegId> {
        let from = self.legs.get(&leg)?;
        black_box(
            from.stream.session.as_ref().and_then(Session::active_source).map(|source| source.received()),
        );
        let target = from.target(leg)?;
        let to = self.legs.get(&target)?;
        black_box(to.stream.session.as_ref().map(|session| session.sender().packets()));
        Some(target)
    }

    /// Goes on with what a leg's stream has judged.
    #[inline]
    pub(super) fn take<'d>(
        &mut self,
        leg: LegId,
        received: Received,
        buffer: &'d mut [u8],
        now: Instant,
    ) -> Action<'d> {
        let Some(from) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
        let arrived = match received {
            Received::Media(arrived) => arrived,
            other => {
                self.drain(leg, now);
                return match other {
                    Received::Media(_) | Received::Control => Action::Consumed,
                    Received::OtherProtocol => Action::Dropped(Dropped::OtherProtocol),
                    Received::NotAgreed => Action::Dropped(Dropped::NotAgreed),
                    Received::NotActive => Action::Dropped(Dropped::NotActive),
                    Received::Refused(reason) => Action::Dropped(Dropped::Refused(reason)),
                };
            }
        };
        match arrived.content {
            Content::TelephoneEvent => {
                from.event_at = Some(now);
                from.repackers.iter_mut().for_each(Repacker::interrupt);
                // The patience of whoever listens for keys may end before anything else is due.
                self.rearm(leg);
            }
            Content::Media | Content::ComfortNoise => {
                if from.wants_sound() {
                    match self.handle_sound(leg, &arrived, buffer, now) {
                        SoundPath::Pass => {}
                        SoundPath::Transcode => {
                            self.drain(leg, now);
                            return self.transcode(leg, &arrived, buffer, now);
                        }
                        SoundPath::Repack => {
                            self.drain(leg, now);
                            return self.repack(leg, &arrived, buffer, now);
                        }
                        SoundPath::Unheard => return Action::Consumed,
                    }
                } else if let Some(payload) = buffer.get_mut(arrived.payload) {
                    from.plan.convert(arrived.payload_type, payload);
                }
            }
            _ => {}
        }
        self.drain(leg, now);
        self.pass_on(leg, buffer, arrived.length, now)
    }

    /// Does what is done with sound besides passing it on as it is, and says what is to be done yet.
    fn handle_sound(&mut self, leg: LegId, arrived: &Arrived, buffer: &mut [u8], now: Instant) -> SoundPath {
        let Some(from) = self.legs.get_mut(&leg) else { return SoundPath::Unheard };
        let Some(payload) = buffer.get_mut(arrived.payload.clone()) else { return SoundPath::Unheard };
        if let Some(tap) = &mut from.tap {
            tap.put(arrived, payload, now);
        }
        if let Some(ear) = &mut from.data_ear {
            let heard = ear.hear(arrived.payload_type, payload);
            if heard.is_some() || ear.is_done(now) {
                from.data_ear = None;
            }
            if let Some(signal) = heard {
                self.outputs.push_back(Output::Event(Event::DataTone { leg, signal }));
            }
        }
        let Some(from) = self.legs.get_mut(&leg) else { return SoundPath::Unheard };
        if from.key_ear.is_some() && self.hear_keys(leg, arrived.payload_type, payload, now) {
            return SoundPath::Unheard;
        }
        let Some(from) = self.legs.get_mut(&leg) else { return SoundPath::Unheard };
        if from.plan.transcodes(arrived.payload_type) {
            from.repackers.iter_mut().for_each(Repacker::interrupt);
            return SoundPath::Transcode;
        }
        from.plan.convert(arrived.payload_type, payload);
        if from.repackers.iter().any(|it| it.takes(arrived.payload_type) && it.wants(payload)) {
            return SoundPath::Repack;
        }
        from.interrupt();
        SoundPath::Pass
    }

    /// Listens for keys in the sound of a leg, which the other leg is told of in another way. Says whether one sounds: then
    /// it is not to be heard besides.
    fn hear_keys(&mut self, leg: LegId, payload_type: u8, payload: &[u8], now: Instant) -> bool {
        let Some(from) = self.legs.get_mut(&leg) else { return false };
        let Some(ear) = &mut from.key_ear else { return false };
        let mut heard = Vec::new();
        ear.hear(payload_type, payload, |what| heard.push(what));
        let sounding = ear.sounding;
        if sounding {
            from.interrupt();
        }
        let other = from.target(leg).filter(|_| !from.muted);
        for what in heard {
            match what {
                Heard::Begun(digit) => {
                    if let Some(other) = other {
                        self.press(other, digit, now);
                    }
                }
                Heard::Ended(digit, duration) => self.tell(Event::Digit { leg, digit, duration }),
            }
        }
        sounding
    }

    /// Listens for keys in the sound of a leg where the leg it is joined to wants them told otherwise.
    pub(super) fn make_key_ear(&mut self, leg: LegId) {
        let Some(entry) = self.legs.get(&leg) else { return };
        let other = match &entry.joined {
            Connection::Leg(other) => self.legs.get(other).and_then(|other| other.stream.parameters.as_ref()),
            _ => None,
        };
        let converts = other.is_some_and(|parameters| !parameters.sends_keys_in_sound());
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let parameters = entry.stream.parameters.as_ref().filter(|_| converts);
        match (&mut entry.key_ear, parameters) {
            (Some(ear), Some(parameters)) if parameters.hears_keys_in_sound() => ear.configure(parameters),
            (_, parameters) => entry.key_ear = parameters.and_then(KeyEar::new).map(Box::new),
        }
    }

    /// Passes on a key that was heard as an event, where the packets that told it do not pass themselves.
    #[cold]
    pub(super) fn convert_key(&mut self, leg: LegId, key: Key, now: Instant) {
        let Some(from) = self.legs.get(&leg) else { return };
        let Connection::Leg(other) = from.joined else { return };
        let passes =
            from.stream.parameters.iter().flat_map(|parameters| &parameters.receive_events).any(|event| {
                Some(event.clock_rate_hz) == key.clock_rate_hz
                    && from.plan.map.get(event.payload_type).is_some()
            });
        let receives = from.stream.parameters.as_ref().is_some_and(|parameters| parameters.receives);
        if receives && !passes {
            self.press(other, key.digit, now);
        }
    }

    pub(super) fn press(&mut self, leg: LegId, digit: char, now: Instant) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        if entry.stream.parameters.as_ref().is_some_and(|parameters| parameters.sends) {
            // A key that the other side has no name for (a hook flash in the sound) ends here.
            let _ = entry.stream.press(digit.encode_utf8(&mut [0; 4]), now);
            self.drain(leg, now);
            self.rearm(leg);
        }
    }

    /// Whether no packet may be made of what a leg sends: it is muted, keys of its peer pass, or the other leg says something
    /// else or has no session yet.
    fn is_held_back(&self, leg: LegId, now: Instant) -> bool {
        let Some(from) = self.legs.get(&leg) else { return true };
        let keys_pass = from.event_at.is_some_and(|at| now.saturating_duration_since(at) < EVENT_LASTS);
        let to = from.target(leg).and_then(|target| self.legs.get(&target));
        from.muted || keys_pass || to.is_none_or(|to| to.is_talked_over() || to.stream.session.is_none())
    }

    /// Makes a packet of the one leg a packet of the other, or none, or several: the rest is owed.
    fn transcode<'d>(
        &mut self,
        leg: LegId,
        arrived: &Arrived,
        buffer: &'d mut [u8],
        now: Instant,
    ) -> Action<'d> {
        let is_held_back = self.is_held_back(leg, now);
        let Some(from) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
        let Some(mut transcoder) = from.transcoder.take() else { return Action::Consumed };
        let target = from.target(leg);
        if is_held_back {
            transcoder.interrupt();
        } else {
            transcoder.receive(arrived, buffer.get(arrived.payload.clone()).unwrap_or_default(), now);
        }
        let sent = self.send_made(target, |session, buffer| transcoder.send(session, buffer, now), buffer);
        if let Some(from) = self.legs.get_mut(&leg) {
            from.transcoder = Some(transcoder);
        }
        self.forward_made(leg, sent, buffer, now)
    }

    /// Makes other packets of the same frames.
    fn repack<'d>(
        &mut self,
        leg: LegId,
        arrived: &Arrived,
        buffer: &'d mut [u8],
        now: Instant,
    ) -> Action<'d> {
        let is_held_back = self.is_held_back(leg, now);
        let Some(from) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
        if let Some(transcoder) = &mut from.transcoder {
            transcoder.interrupt();
        }
        let mut repackers = std::mem::take(&mut from.repackers);
        let target = from.target(leg);
        for repacker in &mut repackers {
            if is_held_back || !repacker.takes(arrived.payload_type) {
                repacker.interrupt();
            } else {
                repacker.receive(arrived, buffer.get(arrived.payload.clone()).unwrap_or_default());
            }
        }
        let sent = self.send_repacked(target, &mut repackers, buffer, now);
        if let Some(from) = self.legs.get_mut(&leg) {
            from.repackers = repackers;
        }
        self.forward_made(leg, sent, buffer, now)
    }

    /// Passes on a packet that was made, and remembers whether there are more.
    fn forward_made<'d>(
        &mut self,
        leg: LegId,
        sent: Option<Outgoing>,
        buffer: &'d mut [u8],
        now: Instant,
    ) -> Action<'d> {
        if let Some(from) = self.legs.get_mut(&leg) {
            from.owes_since = from.is_ready().then_some(now);
        }
        self.rearm(leg);
        match sent {
            Some(Outgoing { leg, destination, also, length }) => match buffer.get(..length) {
                Some(bytes) if self.copies(leg) => {
                    self.copy_out(leg, Component::Rtp, destination, bytes, now);
                    Action::Forward(Forward { leg, destination, also, bytes })
                }
                Some(bytes) => Action::Forward(Forward { leg, destination, also, bytes }),
                None => Action::Consumed,
            },
            None => Action::Consumed,
        }
    }

    /// The next packet of the first repacker that has one.
    fn send_repacked(
        &mut self,
        target: Option<LegId>,
        repackers: &mut [Repacker],
        buffer: &mut [u8],
        now: Instant,
    ) -> Option<Outgoing> {
        let repacker = repackers.iter_mut().find(|it| it.is_ready())?;
        let sent = self.send_made(target, |session, buffer| repacker.send(session, buffer, now), buffer);
        if sent.is_none() {
            // There is nobody any more to send them to.
            repacker.clear();
        }
        sent
    }

    /// The next packet that is made for a leg.
    fn send_made(
        &mut self,
        target: Option<LegId>,
        mut next: impl FnMut(&mut Session, &mut [u8]) -> Option<Result<session::Outgoing, NotSent>>,
        buffer: &mut [u8],
    ) -> Option<Outgoing> {
        let leg = target?;
        let to = self.legs.get_mut(&leg)?;
        let also = to.stream.also();
        // A packet that cannot be sent is lost, and the next one is tried.
        while let Some(sent) = next(to.stream.session.as_mut()?, buffer) {
            if let Ok(sent) = sent {
                let Some(sent) = to.stream.wrap(&sent, buffer) else { continue };
                if let Some(stream) = sent.stream {
                    let payload = Bytes::copy_from_slice(buffer.get(..sent.length)?);
                    self.outputs.push_back(Output::Wire { leg, wire: Wire::Send { stream, payload } });
                    continue;
                }
                return Some(Outgoing { leg, destination: sent.destination, also, length: sent.length });
            }
        }
        None
    }

    /// What a leg owes: more packets of one that came, or a pause to be filled.
    pub(super) fn pay(&mut self, leg: LegId, buffer: &mut [u8], now: Instant) -> Option<Outgoing> {
        let from = self.legs.get_mut(&leg)?;
        let target = from.target(leg);
        let mut repackers = std::mem::take(&mut from.repackers);
        let mut transcoder = from.transcoder.take();
        let mut sent = self.send_repacked(target, &mut repackers, buffer, now);
        if let (Some(transcoder), None) = (&mut transcoder, &sent) {
            transcoder.fill(now);
            sent = self.send_made(target, |session, buffer| transcoder.send(session, buffer, now), buffer);
        }
        let from = self.legs.get_mut(&leg)?;
        (from.repackers, from.transcoder) = (repackers, transcoder);
        from.owes_since = from.is_ready().then_some(now);
        sent
    }

    #[inline]
    fn pass_on<'d>(&mut self, leg: LegId, buffer: &'d mut [u8], length: usize, now: Instant) -> Action<'d> {
        let Some(from) = self.legs.get_mut(&leg) else { return Action::Dropped(Dropped::UnknownLeg) };
        let target = match &from.joined {
            Connection::Leg(other) if !from.muted => *other,
            Connection::Source(Source::Echo) if !from.muted && !from.is_talked_over() => leg,
            _ => return Action::Consumed,
        };
        // The plan stays where it is: the other leg is another entry of the table.
        let (sent, also, copies) = if target == leg {
            let also = from.stream.also();
            (from.stream.forward(buffer, length, &from.plan.map, now), also, from.copies)
        } else {
            let [Some(from), Some(to)] = self.legs.get_disjoint_mut([&leg, &target]) else {
                return Action::Dropped(Dropped::UnknownLeg);
            };
            if to.is_talked_over() {
                return Action::Consumed;
            }
            let also = to.stream.also();
            if to.stream.session.is_none() {
                return Action::Dropped(Dropped::NotAgreed);
            }
            (to.stream.forward(buffer, length, &from.plan.map, now), also, to.copies)
        };
        match sent {
            Ok(Some(sent)) => match buffer.get(..sent.length) {
                Some(bytes) => {
                    if copies {
                        self.copy_out(target, Component::Rtp, sent.destination, bytes, now);
                    }
                    if self.sends_on_stream(target, &sent, bytes) {
                        return Action::Consumed;
                    }
                    Action::Forward(Forward { leg: target, destination: sent.destination, also, bytes })
                }
                None => Action::Dropped(Dropped::UnknownLeg),
            },
            // ICE has no way, or not any more.
            Ok(None) => Action::Dropped(Dropped::NotSent(NotSent::NoDestination)),
            Err(NotSent::NotRelayed(_)) => Action::Consumed,
            Err(reason) => Action::Dropped(Dropped::NotSent(reason)),
        }
    }
}

/// What is to be done with a packet of sound.
enum SoundPath {
    Pass,
    Transcode,
    Repack,
    /// It is not passed on.
    Unheard,
}

/// After a packet of an event for so long no voice is sent that was transcoded or cut anew: the event's packets have one timestamp among them.
const EVENT_LASTS: Duration = Duration::from_millis(100);
