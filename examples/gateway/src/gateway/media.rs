//! What the bridge tells of the legs.

use super::admission::Refused;
use super::passage::{End, Link, PassageId};
use super::{Gateway, Told};
use denwa::bridge;
use denwa::evidence::{Description, Fact, Party as Who, SecurityFailure};
use denwa_sdp::{LocalIce, LocalSource, NegotiationError};
use denwa_sip_core::Method;
use denwa_sip_core::StatusCode;
use denwa_sip_core::call::info::Digit;
use denwa_sip_core::endpoint::Headers;
use std::net::SocketAddr;
use std::time::Instant;

impl Gateway {
    pub(super) fn on_media(&mut self, event: bridge::Event, now: Instant) {
        let media = event.leg();
        if self.closing.contains_key(&media) {
            return self.on_last_words(media, &event, now);
        }
        let Some((id, end)) = self.by_leg.get(&media).copied() else { return };
        match event {
            bridge::Event::Opened { .. } => {
                let leg = self.passages.get(&id).map(|passage| passage.leg(end));
                if leg.and_then(|leg| leg.media.as_ref()).is_some_and(|media| !media.awaits_ice) {
                    self.on_ready(id, end, now);
                }
            }
            bridge::Event::IceReady { ice, source, rtp, rtcp, .. } => {
                self.on_ice(id, end, (*ice, *source), (rtp, rtcp), now);
            }
            bridge::Event::OpenFailed { reason, .. } => self.retry_leg(id, end, &reason, now),
            bridge::Event::Digit { digit, .. } => self.on_key(id, end, digit),
            bridge::Event::KeyToSignal { digit, duration, .. } => {
                self.signal_key(id, end, Digit { symbol: digit, duration }, now);
            }
            bridge::Event::Recorded { samples, .. } => self.hear(id, end, samples),
            bridge::Event::PathChosen { path, relayed, .. } => {
                let how = if relayed { "relayed" } else { "direct" };
                self.line(format!("{id}: the path to the {end} is {how}: {path}"));
                self.note(id, end, Fact::PathChosen { path }, now);
            }
            bridge::Event::PathFailed { pairs, .. } => {
                self.line(format!("{id}: ICE finds no path to the {end}"));
                for pair in &pairs {
                    self.line(format!("{id}: {pair}"));
                }
                self.note(id, end, Fact::no_path(&pairs), now);
            }
            // RFC 7675: whoever closed his tab answers no more. SIP may not tell, so this ends the call.
            bridge::Event::PathLost { .. } => {
                self.note(id, end, Fact::PathLost, now);
                self.end_both(id, &format!("the {end} is gone: nobody answers on its path"), now);
            }
            bridge::Event::NotEncrypted { reason, .. } => {
                self.note(id, end, Fact::not_encrypted(&reason), now);
                self.end_both(id, &format!("there is no encryption with the {end}: {reason}"), now);
            }
            other => self.on_fact(id, end, other, now),
        }
    }

    /// What is told for the record alone.
    fn on_fact(&mut self, id: PassageId, end: End, event: bridge::Event, now: Instant) {
        let fact = match event {
            bridge::Event::FirstPacket { from, expected, .. } => Fact::FirstPacket { from, expected },
            bridge::Event::SourceMoved { from, to, .. } => Fact::SourceMoved { from, to },
            bridge::Event::SourceRefused { from, .. } => Fact::SourceRefused { from },
            bridge::Event::FormatNotAgreed { payload_type, .. } => Fact::FormatNotAgreed { payload_type },
            bridge::Event::ProtectionFailed { .. } => Fact::SecurityFailed(SecurityFailure::WrongKeys),
            bridge::Event::Silent { lasted, .. } => {
                self.line(format!("{id}: the {end} has been silent for {} s", lasted.as_secs()));
                // Whoever holds may say music of his own, or nothing at all.
                let passage = self.passages.get(&id);
                if passage.is_some_and(|passage| passage.leg(end.other()).hold.is_some()) {
                    return;
                }
                Fact::Silent { lasted }
            }
            bridge::Event::Resumed { .. } => Fact::Resumed,
            bridge::Event::NoConversion { from, to, .. } => {
                self.line(format!("{id}: {from} cannot be made {to} here"));
                Fact::TranscoderMissing { from, to }
            }
            bridge::Event::Report { report, .. } => Fact::of_report(&report),
            bridge::Event::Rejected { misuse, .. } => return self.line(format!("{id}: {misuse}")),
            bridge::Event::Encrypted { suite, .. } => {
                self.line(format!("{id}: encrypted with the {end}: {suite}"));
                Fact::Secured { suite: suite.to_owned() }
            }
            _ => return,
        };
        self.note(id, end, fact, now);
    }

    /// What the peer is to be told of ICE is known: for the first description, or for one that begins anew.
    fn on_ice(
        &mut self,
        id: PassageId,
        end: End,
        (ice, source): (LocalIce, LocalSource),
        (rtp, rtcp): (SocketAddr, Option<SocketAddr>),
        now: Instant,
    ) {
        let is_relayed = self.side_of(id, end).is_some_and(|side| side.relay.is_some());
        let Some(leg) = self.passages.get_mut(&id).map(|passage| passage.leg_mut(end)) else { return };
        let Some(media) = &mut leg.media else { return };
        media.transport = media.transport.clone().with_ice(ice).with_source(source);
        // The description names an address of the candidates, or the peer takes it for one that was rewritten (RFC 8839 §4.2.5).
        if is_relayed {
            media.transport.addresses = vec![rtp];
            let rtcp = rtcp.map(|rtcp| rtcp.port());
            media.transport.rtcp_port = rtcp.filter(|rtcp| *rtcp != rtp.port().wrapping_add(1));
        }
        if leg.restarting {
            leg.restarting = false;
            if let (Some(negotiator), Some(media)) = (&mut leg.negotiator, &leg.media) {
                // The one medium there is.
                let _ = negotiator.set_transport(0, media.transport.clone());
            }
            self.answer_waiting_offer(id, end, now);
        } else if !leg.is_ready {
            self.on_ready(id, end, now);
        }
    }

    /// A leg can be described now.
    pub(super) fn on_ready(&mut self, id: PassageId, end: End, now: Instant) {
        let Some(passage) = self.passages.get_mut(&id) else { return };
        passage.leg_mut(end).is_ready = true;
        if end == End::Caller {
            let negotiator = self.negotiator(id, End::Caller);
            let Some(passage) = self.passages.get_mut(&id) else { return };
            passage.caller.negotiator = negotiator;
            if let Err(error) = self.judge_offer(id, now) {
                return self.refuse_offer_of_caller(id, &error, now);
            }
            if self.passages.get(&id).is_some_and(|passage| passage.caller.guest().is_some()) {
                self.answer_visitor(id, now);
            }
        }
        let ready =
            |passage: &super::Passage| passage.caller.is_ready && passage.callee.is_ready && !passage.placed;
        if self.passages.get(&id).is_some_and(ready) {
            self.place(id, now);
        }
    }

    /// Whether anything can come of the caller's offer is known before anybody's bell rings.
    fn judge_offer(&mut self, id: PassageId, now: Instant) -> Result<(), NegotiationError> {
        let Some(passage) = self.passages.get_mut(&id) else { return Ok(()) };
        let Some(offer) = passage.caller.offer.take() else { return Ok(()) };
        let Some(negotiator) = &mut passage.caller.negotiator else { return Ok(()) };
        let description = Description::of_remote(negotiator.receive_offer(&offer)?);
        negotiator.fork().make_answer()?;
        self.note(id, End::Caller, Fact::Described { by: Who::Peer, description }, now);
        Ok(())
    }

    fn refuse_offer_of_caller(&mut self, id: PassageId, error: &NegotiationError, now: Instant) {
        if let NegotiationError::Mismatch(mismatch) = error {
            self.note(id, End::Caller, Fact::of_mismatch(mismatch, Who::Peer), now);
        }
        self.line(format!("{id}: {error}"));
        let reply = super::offering::refusal(error);
        self.refuse_with(id, &reply, &error.to_string(), now);
    }

    // ---- keys

    /// A key that a leg's peer pressed. Between two telephones the bridge passes it on itself.
    fn on_key(&mut self, id: PassageId, end: End, digit: char) {
        let other = self.passages.get(&id).map(|passage| passage.leg(end.other()).link);
        if let Some(Link::Guest(guest)) = other {
            self.tell_guest(guest, Told::Digit(digit));
        }
    }

    fn signal_key(&mut self, id: PassageId, end: End, digit: Digit, now: Instant) {
        let call = self.passages.get(&id).and_then(|passage| passage.leg(end).call());
        if let Some(call) = call {
            let (headers, body) = (Headers::new(), digit.to_body());
            // A call that has ended meanwhile hears no more keys.
            let _ = self.endpoint.request_in_dialog(call, Method::Info, &headers, Some(&body), now);
        }
    }

    /// Something went wrong with the media that cannot be mended.
    fn end_both(&mut self, id: PassageId, sentence: &str, now: Instant) {
        self.refuse(id, &Refused::new(StatusCode::SERVER_INTERNAL_ERROR, sentence), now);
    }
}
