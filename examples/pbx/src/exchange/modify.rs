//! Changes during a call: hold and resume, new addresses and codecs, requests that pass through (RFC 3264 section 8,
//! RFC 3261 section 14).
//!
//! A change that the other side would notice (the direction) is passed on to it, and answered with what it answers; any
//! other is answered here, for the other side's description names our ports, which stay. Offers that cross are refused by
//! the endpoint with 491 and tried again.

use std::time::Duration;

use denwa::bridge::Command;
use denwa::evidence::{Fact, HoldState, Party};
use denwa_sdp::Direction;
use denwa_sip_core::endpoint::{Body, Headers, OfferAbort, OutgoingHandle, Reply, RequestHandle};
use denwa_sip_core::message::{Method, Request};
use denwa_sip_core::{HeaderName, StatusCode};

use super::Event;
use super::call::{Call, Stage, Which, media_refused, refusal};
use super::desk::Desk;
use super::facts;

/// A change under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// The side that is being asked.
    asked: Which,
    /// The side that awaits our answer; `None` when it awaits none (any more).
    awaits: Option<Which>,
    /// What the asking side wants its direction to be.
    direction: Direction,
}

impl Call {
    /// A side offers a change.
    pub(super) fn change_offered(&mut self, desk: &mut Desk, which: Which, offer: &[u8]) {
        self.evidence.add(which.evidence_side(), facts::described_by_peer(offer), desk.now);
        let Some(leg) = self.leg_mut(which) else { return };
        let readable = leg.negotiator.receive_offer(offer).map(|_| ());
        if let Err(error) = readable.and_then(|()| leg.common_codecs(desk).map(|_| ())) {
            leg.negotiator.rollback();
            return self.refuse_change(desk, which, &error);
        }
        if leg.restarts_ice(desk) {
            // It is answered when all is known that the answer must say of ICE.
            self.restarting = Some(which);
            return;
        }
        self.take_change(desk, which);
    }

    /// What ICE needs said for the answer to a change is known.
    pub(super) fn change_ready(&mut self, desk: &mut Desk, which: Which) {
        if self.restarting.take_if(|restarting| *restarting == which).is_some() {
            self.take_change(desk, which);
        }
    }

    fn take_change(&mut self, desk: &mut Desk, which: Which) {
        let Some(leg) = self.leg_mut(which) else { return };
        let wanted = leg.asked_direction();
        let changes = wanted != leg.direction;
        match self.other(which) {
            Some(other)
                if changes
                    && self.stage == Stage::Talking
                    && self.pass_change(desk, which, other, wanted) => {}
            _ => self.answer_change(desk, which, wanted),
        }
    }

    /// A side asks for our offer (a re-INVITE without one): it gets the session as it is.
    pub(super) fn change_requested(&mut self, desk: &mut Desk, which: Which) {
        let Some(leg) = self.leg_mut(which) else { return };
        let (Some(handle), Ok(offer)) = (leg.handle, leg.negotiator.offer()) else { return };
        // When it is not taken the endpoint tells so by OfferAborted or the call's end.
        let _ = desk.endpoint.answer_offer(handle, Some(Body::sdp(offer)), &Headers::new(), desk.now);
    }

    /// A side answered our offer of a change, or our offer in answer to its empty re-INVITE.
    pub(super) fn change_answered(&mut self, desk: &mut Desk, which: Which, answer: &[u8]) {
        self.evidence.add(which.evidence_side(), facts::described_by_peer(answer), desk.now);
        let Some(leg) = self.leg_mut(which) else { return };
        if let Err(error) = leg.negotiator.accept_answer(answer).map(|_| ()) {
            leg.negotiator.rollback();
            let side = which.side();
            return self.end(desk, media_refused(&error, side));
        }
        // A side without any voice left stays as it was configured last; it is told apart by its silence.
        let _ = leg.configure(desk);
        let answered = leg.asked_direction();
        self.note_agreed(desk, which);
        match self.change.take_if(|change| change.asked == which) {
            Some(Change { awaits: Some(awaits), direction, .. }) => {
                if let Some(leg) = self.leg_mut(awaits) {
                    // It has a medium: its peer offered one.
                    let _ = leg.negotiator.set_direction(0, answered);
                }
                self.answer_change(desk, awaits, direction);
            }
            Some(Change { awaits: None, .. }) => {}
            None if leg_direction_changed(self, which, answered) => {
                if let Some(other) = self.other(which) {
                    self.offer_direction(desk, other, None, answered);
                }
                self.settle(desk, which, answered);
            }
            None => {}
        }
    }

    /// An offer is void: ours was refused, or a side withdrew its own.
    pub(super) fn change_aborted(&mut self, desk: &mut Desk, which: Which, reason: &OfferAbort) {
        if let Some(leg) = self.leg_mut(which) {
            leg.negotiator.rollback();
        }
        if matches!(reason, OfferAbort::Withdrawn) {
            // The other side may have the change already: it is asked back once it has answered.
            if let Some(change) = self.change.as_mut().filter(|change| change.awaits == Some(which)) {
                change.awaits = None;
            }
            return;
        }
        let Some(Change { awaits: Some(awaits), .. }) = self.change.take_if(|change| change.asked == which)
        else {
            return;
        };
        let status = match reason {
            OfferAbort::Refused { response } => response.status(),
            OfferAbort::Glare => StatusCode::REQUEST_PENDING,
            _ => StatusCode::NOT_ACCEPTABLE_HERE,
        };
        let Some(leg) = self.leg_mut(awaits) else { return };
        leg.negotiator.rollback();
        if let Some(handle) = leg.handle {
            let _ = desk.endpoint.refuse_offer(handle, &Reply::new(status), desk.now);
        }
    }

    /// A request inside the dialog that is not ours to understand: INFO and MESSAGE pass to the other side.
    pub(super) fn pass_request(
        &mut self,
        desk: &mut Desk,
        which: Which,
        request: RequestHandle,
        message: &Request,
    ) {
        let refuse = |desk: &mut Desk, status| {
            let _ = desk.endpoint.respond(request, &Reply::new(status), desk.now);
        };
        match message.method() {
            Method::Options => return refuse(desk, StatusCode::OK),
            Method::Info | Method::Message => {}
            _ => return refuse(desk, StatusCode::NOT_IMPLEMENTED),
        }
        let other = self.other(which).and_then(|other| self.leg_mut(other)).and_then(|leg| leg.handle);
        let key = key_of(message).filter(|_| *message.method() == Method::Info && self.is_talking());
        if let Some(key) = key {
            self.pressed(desk, which, key);
        }
        let Some(other) = other else { return refuse(desk, StatusCode::OK) };
        if let Some(key) = key
            && self.pass_key(desk, which, key)
        {
            return refuse(desk, StatusCode::OK);
        }
        let mut headers = Headers::new();
        for name in ["Info-Package", "Content-Disposition"] {
            if let Some(value) = message.get(name) {
                // What was read from a message cannot smuggle a line.
                let _ = headers.push(name, value);
            }
        }
        let body = (!message.body().is_empty()).then(|| {
            let content_type = message.get(HeaderName::ContentType).unwrap_or("application/octet-stream");
            Body::new(content_type, message.body_bytes())
        });
        match desk.endpoint.request_in_dialog(
            other,
            message.method().clone(),
            &headers,
            body.as_ref(),
            desk.now,
        ) {
            Ok(outgoing) => desk.pass_response(outgoing, request),
            Err(_) => refuse(desk, StatusCode::SERVER_INTERNAL_ERROR),
        }
    }

    /// Tells the other side of a key that came by INFO in its own way; `false` when that is INFO, too.
    fn pass_key(&mut self, desk: &mut Desk, which: Which, key: char) -> bool {
        let Some(other) = self.other(which).and_then(|other| self.leg_mut(other)) else { return false };
        if other.takes_keys_by_info() {
            return false;
        }
        let (leg, digits) = (other.id(), key.to_string());
        desk.media(Command::SendDigits { leg, digits });
        true
    }

    /// The other side pressed a key, and this one is told of keys by INFO.
    pub(super) fn signal_key(&mut self, desk: &mut Desk, which: Which, key: char, lasted: Duration) {
        let Some(handle) = self.leg_mut(which).and_then(|leg| leg.handle) else { return };
        let text = format!("Signal={key}\r\nDuration={}\r\n", lasted.as_millis());
        let body = Body::new("application/dtmf-relay", text.into_bytes());
        // A call that is ending needs no keys; what it answers to one changes nothing.
        let _ = desk.endpoint.request_in_dialog(handle, Method::Info, &Headers::new(), Some(&body), desk.now);
    }

    /// Asks the other side for the change; `false` when it cannot be asked now.
    fn pass_change(&mut self, desk: &mut Desk, which: Which, other: Which, wanted: Direction) -> bool {
        // Whom nobody wants to hear nor to say anything is to hear music all the same.
        let wanted = if wanted == Direction::Inactive && desk.setup.music_on_hold {
            Direction::SendOnly
        } else {
            wanted
        };
        self.change.is_none() && self.offer_direction(desk, other, Some(which), wanted)
    }

    /// Asks a side for another direction. What `awaits` wanted is answered when it has agreed.
    pub(super) fn offer_direction(
        &mut self,
        desk: &mut Desk,
        asked: Which,
        awaits: Option<Which>,
        wanted: Direction,
    ) -> bool {
        let Some(leg) = self.leg_mut(asked) else { return false };
        let Some(handle) = leg.handle else { return false };
        if leg.negotiator.set_direction(0, wanted).is_err() {
            return false;
        }
        let Ok(offer) = leg.negotiator.offer() else { return false };
        if desk.endpoint.reinvite(handle, Some(Body::sdp(offer)), Headers::new(), desk.now).is_err() {
            leg.negotiator.rollback();
            return false;
        }
        if awaits.is_some() {
            self.change = Some(Change { asked, awaits, direction: wanted });
        }
        true
    }

    /// Answers a side's offer with what it may have now.
    fn answer_change(&mut self, desk: &mut Desk, which: Which, wanted: Direction) {
        let Some(leg) = self.leg_mut(which) else { return };
        let Some(handle) = leg.handle else { return };
        match leg.negotiator.make_answer() {
            Ok(answer) => {
                if desk
                    .endpoint
                    .answer_offer(handle, Some(Body::sdp(answer)), &Headers::new(), desk.now)
                    .is_ok()
                {
                    let _ = leg.configure(desk);
                    self.note_agreed(desk, which);
                    self.settle(desk, which, wanted);
                }
            }
            Err(error) => {
                leg.negotiator.rollback();
                self.refuse_change(desk, which, &error);
            }
        }
    }

    fn refuse_change(&mut self, desk: &mut Desk, which: Which, error: &denwa_sdp::OfferError) {
        let Some(handle) = self.leg_mut(which).and_then(|leg| leg.handle) else { return };
        let end = media_refused(error, which.side());
        let _ = desk.endpoint.refuse_offer(handle, &refusal(&end), desk.now);
    }

    /// Remembers what a side wants, and tells when it put the other on hold or took it back.
    fn settle(&mut self, desk: &mut Desk, which: Which, wanted: Direction) {
        let call = self.number;
        let Some(leg) = self.leg_mut(which) else { return };
        let (was, by) = (is_hold(leg.direction), leg.label.clone());
        leg.direction = wanted;
        let held = is_hold(wanted);
        if held != was {
            let state = if held { HoldState::Held } else { HoldState::Lifted };
            self.evidence.add(which.evidence_side(), Fact::Hold { by: Party::Peer, state }, desk.now);
            desk.tell(Event::CallHeld { call, by, held });
            self.hold_music(desk, which, held);
        }
    }
}

impl Desk {
    /// Remembers that the final response to `outgoing` answers `request`.
    fn pass_response(&mut self, outgoing: OutgoingHandle, request: RequestHandle) {
        self.passing.insert(outgoing, request);
    }
}

/// The key that an INFO tells: `Signal=5` (application/dtmf-relay), or the key alone (application/dtmf).
fn key_of(message: &Request) -> Option<char> {
    let text = std::str::from_utf8(message.body()).ok()?;
    let signal = text.lines().find_map(|line| line.trim().strip_prefix("Signal=")).unwrap_or(text);
    let mut keys = signal.trim().chars();
    keys.next()
        .filter(|key| key.is_ascii_digit() || "*#ABCD".contains(*key))
        .filter(|_| keys.next().is_none())
}

fn leg_direction_changed(call: &mut Call, which: Which, direction: Direction) -> bool {
    call.leg_mut(which).is_some_and(|leg| leg.direction != direction)
}

/// Whether a side that wants this direction does not want to hear the other.
pub(super) fn is_hold(direction: Direction) -> bool {
    matches!(direction, Direction::SendOnly | Direction::Inactive)
}
