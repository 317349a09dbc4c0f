//! Guests: visitors of a page, whose offer comes by HTTP, and voice robots, whose sound comes by WebSocket. Neither speaks SIP,
//! and whoever serves them is outside: what they say comes in as commands, what they are told goes out as events.
//!
//! A visitor has a leg like everybody else, and is answered before anybody's telephone rings, so that the path is found and the
//! ringing is heard. A robot has none: it hears the other leg as that is recorded, and speaks as a live source.

use super::admission::Refused;
use super::legs::prefer;
use super::passage::{Caller, End, Leg, Link, PassageId};
use super::{Event, Gateway, GuestId, Said, Told, Visit};
use crate::config::Kind;
use denwa::bridge::{Command as MediaCommand, Connection, RecordingId, RecordingSpec, Sides, Sound, Source};
use denwa::driver::Output;
use denwa::guard::Verdict;
use denwa_sdp::{Negotiator, State};
use denwa_sip_core::StatusCode;
use std::time::{Duration, Instant};

/// How much sound a robot is told at a time.
const PIECE: Duration = Duration::from_millis(20);

impl Gateway {
    pub(super) fn tell_guest(&mut self, guest: GuestId, told: Told) {
        self.outputs.push_back(Output::Event(Event::Guest { guest, told }));
    }

    /// A visitor or a robot calls.
    pub(super) fn on_visit(&mut self, visit: Visit, now: Instant) {
        let guest = visit.guest;
        match self.admit_visit(&visit, now) {
            Ok(passport) => {
                let who = Caller { user: visit.name, name: None, is_proven: false, invite: None };
                let mut caller =
                    Leg { route: Some(visit.local.ip()), ..Leg::new(passport.from, Some(visit.remote)) };
                caller.link = Link::Guest(guest);
                caller.is_ready = visit.offer.is_none();
                caller.offer = visit.offer;
                let id = self.enter(passport, who, caller, guest.to_string(), now);
                self.by_guest.insert(guest, (id, End::Caller));
                self.prepare(id, now);
            }
            Err(refused) => {
                self.line(format!("visit from {} refused: {}", visit.remote, refused.sentence));
                let status = refused.status.code();
                self.tell_guest(guest, Told::Over { status, sentence: refused.sentence });
            }
        }
    }

    fn admit_visit(&mut self, visit: &Visit, now: Instant) -> Result<super::admission::Passport, Refused> {
        if !matches!(self.guard.admit(visit.remote, now), Verdict::Admit(_)) {
            return Err(Refused::new(StatusCode::FORBIDDEN, "too much came from your address"));
        }
        let fits = |kind: Kind| (kind == Kind::WebRtc) == visit.offer.is_some() && kind != Kind::Sip;
        let side = self.config.sides.iter().position(|side| side.name == visit.side && fits(side.kind));
        let side = side.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "there is no such side"))?;
        self.judge(side, &visit.number, now)
    }

    /// The visitor's offer has been judged: it is answered at once.
    pub(super) fn answer_visitor(&mut self, id: PassageId, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let (Some(guest), Some(negotiator)) = (passage.caller.guest(), &mut passage.caller.negotiator) else {
            return;
        };
        if negotiator.state() != State::HaveRemoteOffer {
            return;
        }
        let liked = passage.callee.negotiator.as_ref().and_then(Negotiator::agreed);
        if let Some(chosen) = liked.and_then(|agreed| agreed.audio()?.codec().cloned()) {
            prefer(negotiator, &chosen);
        }
        match negotiator.make_answer() {
            Ok(answer) => {
                self.configure(id, End::Caller, now);
                self.tell_guest(guest, Told::Answer(answer));
            }
            Err(error) => {
                let refused = Refused::new(StatusCode::NOT_ACCEPTABLE_HERE, error.to_string());
                self.refuse(id, &refused, now);
            }
        }
    }

    /// The call is up: a robot in it hears and is heard.
    pub(super) fn listen_to_robot(&mut self, id: PassageId, _now: Instant) {
        let Some(passage) = self.passages.get(&id) else { return };
        let robot = End::BOTH.into_iter().find(|end| {
            let leg = passage.leg(*end);
            leg.guest().is_some() && leg.media.is_none()
        });
        let Some(robot) = robot else { return };
        let Some(leg) = passage.leg(robot.other()).media_id() else { return };
        let rate =
            self.side_of(id, robot).and_then(|side| side.robot()).map_or(16_000, |it| it.sample_rate_hz);
        let mut spec = RecordingSpec::new(Sides::Peer);
        spec.sample_rate_hz = rate;
        spec.chunk = PIECE;
        self.tell_media(MediaCommand::Connect { leg, to: Connection::Source(Source::Live) });
        self.tell_media(MediaCommand::Record { leg, recording: RecordingId(1), spec });
        // Who has no telephone events presses keys that are heard.
        self.tell_media(MediaCommand::Detect { leg, in_band_digits: true });
    }

    /// A leg's peer said this: its robot hears it.
    pub(super) fn hear(&mut self, id: PassageId, end: End, samples: Sound) {
        let guest = self.passages.get(&id).and_then(|passage| passage.leg(end.other()).guest());
        if let Some(guest) = guest {
            self.tell_guest(guest, Told::Sound(samples));
        }
    }

    pub(super) fn on_said(&mut self, guest: GuestId, said: Said, now: Instant) {
        let Some((id, end)) = self.by_guest.get(&guest).copied() else { return };
        let other = self.passages.get(&id).and_then(|passage| passage.leg(end.other()).media_id());
        match (said, other) {
            (Said::Here, _) => {
                if end == End::Callee {
                    self.answer_caller(id, now);
                }
            }
            (Said::NotThere(why), _) => {
                let refused = Refused::new(StatusCode::TEMPORARILY_UNAVAILABLE, format!("no robot: {why}"));
                self.refuse(id, &refused, now);
            }
            (Said::Sound(sound), Some(leg)) => self.tell_media(MediaCommand::Say { leg, sound }),
            (Said::Hush, Some(leg)) => self.tell_media(MediaCommand::Hush { leg }),
            (Said::Digits(digits), Some(leg)) => self.tell_media(MediaCommand::SendDigits { leg, digits }),
            (Said::Left, _) => self.on_guest_gone(guest, now),
            (Said::Sound(_) | Said::Hush | Said::Digits(_), None) => {}
        }
    }
}
