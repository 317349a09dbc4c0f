//! Who hears whom: legs are joined to one another, to sources and conferences, and it is worked out anew what becomes of their
//! packets whenever that or an agreement changes.

use super::plan::Plan;
use super::player::Player;
use super::repack::{Repacker, Shape};
use super::transcode::Transcoder;
use super::{Connection, Event, LegId, MediaBridge, Misuse, Source};
use std::time::Instant;

impl MediaBridge {
    pub(super) fn connect(&mut self, leg: LegId, to: Connection, now: Instant) -> Result<(), Misuse> {
        if !self.legs.contains_key(&leg) {
            return Err(Misuse::UnknownLeg(leg));
        }
        if let Connection::Leg(other) = &to {
            if *other == leg {
                return Err(Misuse::ToItself);
            }
            if !self.legs.contains_key(other) {
                return Err(Misuse::UnknownLeg(*other));
            }
        }
        self.part(leg, now);
        if let Connection::Leg(other) = to {
            self.part(other, now);
            if let Some(entry) = self.legs.get_mut(&other) {
                entry.joined = Connection::Leg(leg);
            }
        }
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.joined = to.clone();
        }
        if let Connection::Conference(conference) = to {
            self.join_conference(leg, conference, now);
        }
        self.replan(leg, now);
        if let Connection::Leg(other) = to {
            self.replan(other, now);
        }
        Ok(())
    }

    /// Takes the leg out of what it is joined to; a leg it was joined to is left alone too.
    pub(super) fn part(&mut self, leg: LegId, now: Instant) {
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let was = std::mem::replace(&mut entry.joined, Connection::Nothing);
        entry.player = None;
        self.replan(leg, now);
        match was {
            Connection::Leg(other) => {
                if let Some(entry) = self.legs.get_mut(&other) {
                    entry.joined = Connection::Nothing;
                    self.replan(other, now);
                }
            }
            Connection::Conference(conference) => self.leave_conference(leg, conference),
            Connection::Nothing | Connection::Source(_) => {}
        }
    }

    /// Works out anew what becomes of what comes to this leg, and what it plays.
    pub(super) fn replan(&mut self, leg: LegId, now: Instant) {
        let Some(entry) = self.legs.get(&leg) else { return };
        let to = match &entry.joined {
            Connection::Leg(other) => self.legs.get(other).and_then(|other| other.stream.parameters.as_ref()),
            Connection::Source(Source::Echo) => entry.stream.parameters.as_ref(),
            Connection::Nothing | Connection::Source(_) | Connection::Conference(_) => None,
        };
        let mut plan = match (&entry.stream.parameters, to) {
            (Some(from), Some(to)) => Plan::between(from, to),
            _ => Plan::nothing(),
        };
        let is_exact = entry.target(leg).and_then(|to| self.legs.get(&to)).is_some_and(|to| to.exact);
        if let (Some(from), Some(to), true) = (&entry.stream.parameters, to, is_exact) {
            plan.cut_packets(from, to);
        }
        let deaf = match &entry.joined {
            Connection::Leg(other) => *other,
            _ => leg,
        };
        let Some(entry) = self.legs.get_mut(&leg) else { return };
        let missing = plan.missing.clone().filter(|missing| entry.plan.missing.as_ref() != Some(missing));
        entry.plan = plan;
        let parameters = entry.stream.parameters.as_ref();
        for player in [&mut entry.player, &mut entry.announcement].into_iter().flatten() {
            player.adapt(parameters, now);
        }
        if let (Connection::Source(source), None) = (&entry.joined, &entry.player)
            && !matches!(source, Source::Echo)
        {
            let program = Self::program_of(source);
            let feed = entry.stream.next_feed();
            let parameters = entry.stream.parameters.as_ref();
            entry.player = Some(Box::new(match program {
                Some(program) => Player::new(program, parameters, feed, self.config.wall_clock.at, now),
                None => Player::live(parameters, feed, now),
            }));
        }
        self.make_transcoder(leg);
        self.make_repackers(leg);
        self.make_key_ear(leg);
        if let Some((from, to)) = missing {
            self.tell(Event::NoConversion { leg: deaf, from, to });
        }
        self.configure_mouth(leg);
        self.retap(leg, now);
    }

    /// What comes to this leg is passed on again.
    pub(super) fn resume(&mut self, leg: LegId) {
        self.restart_feed(self.legs.get(&leg).and_then(|entry| entry.target(leg)));
    }

    /// The peer of this leg is sent something again: what was kept back meanwhile must not look lost on the way to it.
    pub(super) fn restart_feed(&mut self, leg: Option<LegId>) {
        if let Some(session) = leg.and_then(|leg| self.legs.get_mut(&leg)?.stream.session.as_mut()) {
            session.restart_feed();
        }
    }

    /// Makes what cuts and joins packets as the leg's plan wants, or keeps what is there.
    fn make_repackers(&mut self, leg: LegId) {
        let Some(from) = self.legs.get_mut(&leg) else { return };
        let mut before = std::mem::take(&mut from.repackers);
        let shapes = from.plan.cut.clone();
        let Some(target) = from.target(leg) else { return };
        let Some(to) = self.legs.get_mut(&target) else { return };
        let mut make = |shape: Shape| {
            let kept = before.iter().position(|it| it.is_for(&shape, target));
            kept.map(|at| before.swap_remove(at))
                .unwrap_or_else(|| Repacker::new(shape, target, to.stream.next_feed()))
        };
        let made = shapes.into_iter().map(&mut make).collect();
        if let Some(from) = self.legs.get_mut(&leg) {
            from.repackers = made;
        }
    }

    /// Makes the transcoder that the leg's plan wants, or keeps the one that is there.
    fn make_transcoder(&mut self, leg: LegId) {
        let Some(from) = self.legs.get_mut(&leg) else { return };
        from.owes_since = None;
        let before = from.transcoder.take();
        let formats = from.plan.transcoded.clone();
        let wanted = from.plan.target.clone().filter(|_| !formats.is_empty());
        let (Some(format), Some(target)) = (wanted, from.target(leg)) else { return };
        let Some(to) = self.legs.get_mut(&target) else { return };
        let Some(parameters) = to.stream.parameters.clone() else { return };
        let kept = before.filter(|before| before.is_for(&formats, &format, parameters.packet_time, target));
        let made = kept.or_else(|| {
            let feed = to.stream.next_feed();
            Transcoder::new(&formats, &format, &parameters, target, feed).map(Box::new)
        });
        if let (Some(session), Some(made)) = (&mut to.stream.session, &made) {
            session.set_clock_rate(made.clock_rate_hz());
        }
        if let Some(from) = self.legs.get_mut(&leg) {
            from.transcoder = made;
        }
    }
}
