//! Offers and answers: the first ones, and those in a call: hold, another codec, another address, ICE begun anew.

use super::Gateway;
use super::admission::Refused;
use super::passage::{End, PassageId};
use crate::config;
use denwa::bridge::Command as MediaCommand;
use denwa::evidence::Fact;
use denwa_sdp::{Direction, Hold, HoldStyle, Kind, NegotiationError, Negotiator, State};
use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{Body, CallHandle, Headers, Reply};
use std::time::Instant;

impl Gateway {
    pub(super) fn on_offer(&mut self, call: CallHandle, offer: &[u8], now: Instant) {
        let Some((id, end)) = self.by_call.get(&call).copied() else { return };
        let Some(passage) = self.passages.get_mut(&id) else { return };
        if end == End::Caller && passage.caller.negotiator.is_none() {
            passage.caller.offer = Some(offer.to_vec().into());
            self.prepare(id, now);
        } else {
            self.receive_offer(id, end, offer, now);
        }
    }

    /// An INVITE without an offer: the first, or in the call.
    pub(super) fn on_offer_wanted(&mut self, call: CallHandle, now: Instant) {
        let Some((id, end)) = self.by_call.get(&call).copied() else { return };
        let Some(passage) = self.passages.get_mut(&id) else { return };
        match &mut passage.leg_mut(end).negotiator {
            None => self.prepare(id, now),
            Some(negotiator) => {
                if let Ok(offer) = negotiator.offer() {
                    let body = Some(Body::sdp(offer));
                    let _ = self.endpoint.answer_offer(call, body, &Headers::new(), now);
                }
            }
        }
    }

    pub(super) fn on_answer(&mut self, id: PassageId, end: End, answer: &[u8], preview: bool, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let Some(negotiator) = &mut passage.leg_mut(end).negotiator else { return };
        if preview {
            // The answer proper follows: what this one says is gone by until then.
            let mut fork = negotiator.fork();
            if fork.accept_answer(answer).is_ok() {
                let medium = fork.agreed().and_then(|agreed| agreed.audio().cloned());
                if let Some(passage) = self.passages.get_mut(&id) {
                    passage.leg_mut(end).previewed = medium.as_ref().and_then(|it| it.codec().cloned());
                }
                self.configure_with(id, end, medium, now);
            }
            return;
        }
        match negotiator.accept_answer(answer) {
            Ok(_) => {
                // A callee may begin on hold: the caller is told once he is up.
                let hold = held(negotiator);
                if end == End::Callee && !passage.answered {
                    passage.caller.hold = hold;
                }
                self.configure(id, end, now);
                // The other end may have taken its hold back meanwhile.
                self.tell_hold(id, end, now);
            }
            Err(error) => {
                self.note(id, end, Fact::of_bad_answer(&error), now);
                let refused = Refused::new(StatusCode::NOT_ACCEPTABLE_HERE, error.to_string());
                self.refuse(id, &refused, now);
            }
        }
    }

    /// Ours was refused, or came to nothing: what was agreed before stands.
    pub(super) fn on_offer_aborted(&mut self, call: CallHandle, now: Instant) {
        let Some((id, end)) = self.by_call.get(&call).copied() else { return };
        if let Some(negotiator) =
            self.passages.get_mut(&id).and_then(|passage| passage.leg_mut(end).negotiator.as_mut())
        {
            negotiator.rollback();
        }
        self.tell_hold(id, end, now);
    }

    /// An offer of the callee that was asked for one, or one during the call.
    fn receive_offer(&mut self, id: PassageId, end: End, offer: &[u8], now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let leg = passage.leg_mut(end);
        let (Some(call), Some(negotiator)) = (leg.call(), &mut leg.negotiator) else { return };
        let fragment = |negotiator: &Negotiator| {
            let agreed = negotiator.agreed().and_then(|agreed| agreed.audio());
            agreed.and_then(|audio| audio.ice.as_ref().map(|ice| ice.ufrag.clone()))
        };
        let before = fragment(negotiator);
        if let Err(error) = negotiator.receive_offer(offer) {
            negotiator.rollback();
            let _ = self.endpoint.refuse_offer(call, &refusal(&error), now);
            return;
        }
        let offered = negotiator.remote().and_then(|remote| {
            remote.media.iter().find_map(|medium| medium.ice.as_ref().map(|ice| ice.ufrag.clone()))
        });
        match (&leg.media, before.is_some() && offered.is_some() && before != offered) {
            // Its credentials are new, so ours must be (RFC 8839 §4.4.1.1): the answer waits for them.
            (Some(media), true) => {
                let media = media.id;
                leg.restarting = true;
                self.tell_media(MediaCommand::RestartIce { leg: media });
            }
            _ => self.answer_waiting_offer(id, end, now),
        }
    }

    /// Answers the offer that was received, and tells the other end whether it is on hold now.
    pub(super) fn answer_waiting_offer(&mut self, id: PassageId, end: End, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        let answered = passage.answered;
        let leg = passage.leg_mut(end);
        let (Some(call), Some(negotiator)) = (leg.call(), &mut leg.negotiator) else { return };
        match negotiator.make_answer() {
            Ok(answer) => {
                let hold = held(negotiator);
                self.configure(id, end, now);
                let _ = self.endpoint.answer_offer(call, Some(Body::sdp(answer)), &Headers::new(), now);
                let other = end.other();
                if let Some(leg) = self.passages.get_mut(&id).map(|passage| passage.leg_mut(other)) {
                    leg.hold = hold;
                }
                self.tell_hold(id, other, now);
            }
            Err(error) => {
                negotiator.rollback();
                if answered {
                    let _ = self.endpoint.refuse_offer(call, &refusal(&error), now);
                } else {
                    let refused = Refused::new(StatusCode::NOT_ACCEPTABLE_HERE, error.to_string());
                    self.refuse(id, &refused, now);
                }
            }
        }
    }

    /// The other end holds, or does so no longer: this one is told so in its side's own way, once no other offer is under way.
    pub(super) fn tell_hold(&mut self, id: PassageId, end: End, now: Instant) {
        let style = self.hold_style(id, end);
        let Some(passage) = self.passages.get_mut(&id).filter(|passage| passage.answered) else { return };
        let leg = passage.leg_mut(end);
        let (hold, call) = (leg.hold, leg.call());
        if hold == leg.told_hold {
            return;
        }
        let (Some(call), Some(negotiator)) = (call, &mut leg.negotiator) else { return };
        if negotiator.state() != State::Stable {
            return;
        }
        show(negotiator, style, hold);
        let Ok(offer) = negotiator.offer() else { return };
        if self.endpoint.reinvite(call, Some(Body::sdp(offer)), Headers::new(), now).is_ok() {
            leg.told_hold = hold;
            let how = match hold {
                Some(Direction::RecvOnly) => "heard by who says nothing",
                Some(_) => "on hold",
                None => "off hold",
            };
            self.line(format!("{id}: the {end} is {how}"));
        } else {
            negotiator.rollback();
        }
    }

    /// The same in the first description for the caller, when the callee has answered before it is made.
    pub(super) fn show_hold_to_caller(&mut self, id: PassageId) {
        let style = self.hold_style(id, End::Caller);
        let Some(leg) = self.passages.get_mut(&id).map(|passage| &mut passage.caller) else { return };
        if let (Some(negotiator), hold @ Some(_)) = (&mut leg.negotiator, leg.hold) {
            show(negotiator, style, hold);
            leg.told_hold = hold;
        }
    }

    fn hold_style(&self, id: PassageId, end: End) -> HoldStyle {
        match self.side_of(id, end).map(|side| side.hold) {
            Some(config::HoldStyle::Zero) => HoldStyle::ZeroAddress,
            _ => HoldStyle::Direction,
        }
    }
}

/// Puts into the next description what its reader is to be told of the other end.
fn show(negotiator: &mut Negotiator, style: HoldStyle, hold: Option<Direction>) {
    // Who listens only is held by nobody: his direction is passed on as it is.
    let wish = hold.filter(|it| *it == Direction::RecvOnly).unwrap_or(Direction::SendRecv);
    let mut capability = negotiator.capability().clone();
    if let Some(audio) = capability.of_kind_mut(&Kind::Audio) {
        audio.direction = wish;
    }
    negotiator.set_capability(capability);
    // Before the first description there is no medium yet; the capability speaks for it.
    let _ = negotiator.set_direction(0, wish);
    match hold {
        Some(direction) if direction != Direction::RecvOnly => negotiator.hold(style, direction),
        _ => negotiator.resume(),
    }
}

/// What the other end is to be told: nothing, that it is held by whom it may still hear, or by whom it may not, or that
/// this one listens only.
pub(super) fn held(negotiator: &Negotiator) -> Option<Direction> {
    let audio = negotiator.agreed()?.audio()?;
    match (audio.hold, audio.direction) {
        (hold, Direction::RecvOnly) if hold.is_remote() => Some(Direction::SendOnly),
        (hold, _) if hold.is_remote() => Some(Direction::Inactive),
        (Hold::None, Direction::SendOnly) => Some(Direction::RecvOnly),
        _ => None,
    }
}

/// The reply that refuses an offer, with the sentence in a Warning.
pub(super) fn refusal(error: &NegotiationError) -> Reply {
    let status = StatusCode::new(error.status()).unwrap_or(StatusCode::NOT_ACCEPTABLE_HERE);
    let headers = error.warning("gateway").and_then(|warning| Headers::new().with("Warning", warning).ok());
    Reply::new(status).with_headers(headers.unwrap_or_default())
}
