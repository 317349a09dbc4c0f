//! What the media plane says about the legs of a call, and what becomes of the call by it.

use std::net::IpAddr;

use denwa::bridge::{Event as Media, LegId};
use denwa::evidence::{Fact, RouteUse, SecurityFailure};

use super::call::{Call, Stage, Which};
use super::desk::Desk;
use super::facts;
use super::leg::Leg;
use super::modify::is_hold;
use super::whereabouts::Way;
use crate::why::End;

impl Call {
    /// Something the media side said about one of the legs.
    pub(super) fn on_media(&mut self, desk: &mut Desk, event: Media) {
        let Some(which) = self.which_leg(event.leg()) else { return };
        let side = which.evidence_side();
        let number = self.number;
        let now = desk.now;
        let Some(leg) = self.leg_mut(which) else { return };
        match event {
            Media::Opened { .. } => {
                leg.opened();
                let fact = facts::media_opened(leg);
                self.evidence.add(side, fact, now);
                self.opened(desk, which);
            }
            Media::IceReady { ice, source, .. } => {
                leg.ice_ready(*ice, *source);
                self.opened(desk, which);
                self.change_ready(desk, which);
            }
            Media::PathChosen { path, .. } => self.evidence.add(side, Fact::PathChosen { path }, now),
            Media::PathFailed { pairs, .. } => self.evidence.add(side, Fact::no_path(&pairs), now),
            Media::PathLost { .. } => self.evidence.add(side, Fact::PathLost, now),
            Media::Encrypted { suite, .. } => {
                self.evidence.add(side, Fact::Secured { suite: suite.to_owned() }, now);
            }
            Media::NotEncrypted { reason, .. } => {
                self.evidence.add(side, Fact::not_encrypted(&reason), now);
            }
            Media::DataTone { signal, .. } => self.data_heard(desk, which, signal),
            Media::KeyToSignal { digit, duration, .. } => self.signal_key(desk, which, digit, duration),
            Media::OpenFailed { reason, .. } => {
                let reason = reason.to_string();
                let result = leg.open_failed(desk, number, &reason);
                // The next pair is tried; a port that another program has is nothing to tell.
                if let Err(end) = result {
                    self.evidence.add(side, Fact::MediaNotOpened { why: reason }, now);
                    self.end(desk, end);
                }
            }
            Media::FirstPacket { from, expected, .. } => {
                leg.heard_from = Some(from);
                self.evidence.add(side, Fact::FirstPacket { from, expected }, now);
            }
            Media::SourceMoved { from, to, .. } => {
                leg.heard_from = Some(to);
                self.evidence.add(side, Fact::SourceMoved { from, to }, now);
            }
            Media::SourceRefused { from, .. } => self.evidence.add(side, Fact::SourceRefused { from }, now),
            Media::FormatNotAgreed { payload_type, .. } => {
                self.evidence.add(side, Fact::FormatNotAgreed { payload_type }, now);
            }
            Media::ProtectionFailed { .. } => {
                self.evidence.add(side, Fact::SecurityFailed(SecurityFailure::WrongKeys), now);
            }
            Media::NoConversion { from, to, .. } => {
                self.evidence.add(side, Fact::TranscoderMissing { from, to }, now);
            }
            // Whoever holds may say music of his own, or nothing at all.
            Media::Silent { .. } if is_hold(leg.direction) => {}
            Media::Silent { lasted, .. } => {
                let at = leg.heard_from.or(leg.expected).unwrap_or(leg.peer).to_string();
                let never_came = leg.heard_from.is_none();
                self.evidence.add(side, Fact::Silent { lasted }, now);
                if self.stage == Stage::Talking {
                    self.end(desk, End::Silent { side: which.side(), at, since: lasted, never_came });
                }
            }
            Media::Played { announcement, .. } if which == Which::Caller => {
                self.played(desk, announcement);
            }
            Media::Digit { digit, .. } => self.pressed(desk, which, digit),
            Media::Recorded { recording, samples, .. } => self.recorded(desk, recording, samples),
            Media::RecordingEnded { recording, .. } => self.recording_ended(desk, recording),
            Media::Resumed { .. } => self.evidence.add(side, Fact::Resumed, now),
            Media::Report { report, .. } => {
                leg.counters = Some(report.counters.clone());
                self.evidence.add(side, Fact::Counters(report.counters), now);
            }
            Media::Closed { report, .. } => {
                leg.closed(desk);
                leg.counters = Some(report.counters.clone());
                self.evidence.add(side, Fact::Counters(report.counters), now);
            }
            _ => {}
        }
    }

    /// The way to the address of a leg's description became known.
    pub(super) fn on_media_route(&mut self, desk: &mut Desk, leg: LegId, address: IpAddr, way: Option<&Way>) {
        let Some(which) = self.which_leg(leg).filter(|_| self.stage != Stage::Ending) else { return };
        let side = which.evidence_side();
        let routed = Fact::Routed {
            route: RouteUse::Media,
            destination: address,
            local: way.map(|way| way.local),
            interface: way.filter(|way| !way.interface.is_empty()).map(|way| way.interface.to_string()),
        };
        self.evidence.add(side, routed, desk.now);
        let redirected = self.leg_mut(which).and_then(|leg| leg.media_routed(desk, address, way));
        if let Some(fact) = redirected {
            self.evidence.add(side, fact, desk.now);
        }
    }

    /// Offer and answer of a leg came to something: that is a fact, when it is new.
    pub(super) fn note_agreed(&mut self, desk: &Desk, which: Which) {
        if let Some(fact) = self.leg_mut(which).and_then(Leg::newly_agreed) {
            self.evidence.add(which.evidence_side(), fact, desk.now);
        }
    }

    fn opened(&mut self, desk: &mut Desk, which: Which) {
        match which {
            _ if self.stage == Stage::Ending => {}
            Which::Caller => {
                self.serve(desk);
                self.speak_refusal(desk);
                for index in 0..self.forks.len() {
                    self.place(desk, index);
                }
            }
            Which::Fork(index) => self.place(desk, index),
            Which::Leaving(_) => {}
        }
    }
}
