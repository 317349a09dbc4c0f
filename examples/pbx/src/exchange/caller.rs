//! The caller's side of a call: his offer, what he is answered, and his end.

use bytes::Bytes;
use denwa::evidence::Side as EvidenceSide;
use denwa_sip_core::StatusCode;
use denwa_sip_core::endpoint::{Body, By, CallEnd, Reply};

use super::call::{Call, Stage, Which, media_refused, no_session, vanished};
use super::desk::Desk;
use super::facts;
use crate::why::{End, Side};

impl Call {
    pub(super) fn offer_received(&mut self, desk: &mut Desk, offer: &[u8]) {
        self.evidence.add(Some(EvidenceSide::FIRST), facts::described_by_peer(offer), desk.now);
        if let Err(error) = self.caller.receive_offer(desk, offer) {
            return self.end(desk, media_refused(&error, Side::Caller));
        }
        self.caller.carry(desk);
        // Before anything rings: could this offer be answered at all?
        match self.caller.common_codecs(desk) {
            // Nothing rings for whom nobody could be heard by.
            Ok(codecs) if codecs.is_empty() => self.end(desk, no_session(Side::Caller)),
            Ok(codecs) => {
                self.caller.common = Some(codecs);
                self.reach(desk);
            }
            Err(error) => self.end(desk, media_refused(&error, Side::Caller)),
        }
    }

    /// The caller may go on: call the telephones, or answer for a service.
    pub(super) fn reach(&mut self, desk: &mut Desk) {
        self.stage = Stage::Calling;
        if let Some(attempt) = self.attempt.take() {
            self.try_attempt(desk, attempt);
        }
    }

    /// Sends the caller the 200 with his answer, or with our offer. `false` when the call ended over it.
    pub(super) fn answer_caller(&mut self, desk: &mut Desk) -> bool {
        let body = if self.offer_is_ours {
            self.caller.negotiator.offer().map_err(|error| error.to_string())
        } else {
            self.caller_answer().map_err(|error| error.to_string())
        };
        let (Some(handle), Ok(body)) = (self.caller.handle, body) else {
            self.end(
                desk,
                End::PeerVanished { side: Side::Caller, what: "it had no call any more".to_owned() },
            );
            return false;
        };
        let reply = Reply::new(StatusCode::OK).with_body(Body::sdp(body));
        if desk.endpoint.answer(handle, &reply, desk.now).is_err() {
            // He cancelled, and the event about it is on its way.
            return false;
        }
        if let Some((_, flow)) = &self.origin.came {
            self.evidence.add(Some(EvidenceSide::FIRST), facts::answer_sent(flow), desk.now);
        }
        self.answered = Some(desk.now);
        self.stage = Stage::Talking;
        self.deadline = None;
        if !self.offer_is_ours && self.caller.configure(desk).is_err() {
            self.end(desk, no_session(Side::Caller));
            return false;
        }
        self.note_agreed(desk, Which::Caller);
        true
    }

    /// The answer to the caller's offer; the same each time once it was made.
    pub(super) fn caller_answer(&mut self) -> Result<Bytes, denwa_sdp::OfferError> {
        if let Some(described) = &self.described {
            return Ok(described.clone());
        }
        self.caller.common = None;
        let answer = self.caller.negotiator.make_answer()?;
        self.described = Some(answer.clone());
        Ok(answer)
    }

    /// The answer to our offer in the 200 came with the caller's ACK.
    pub(super) fn late_answer(&mut self, desk: &mut Desk, answer: &[u8]) {
        self.evidence.add(Some(EvidenceSide::FIRST), facts::described_by_peer(answer), desk.now);
        let agreed = self.caller.negotiator.accept_answer(answer).map(|_| ());
        if let Err(error) = agreed {
            return self.end(desk, media_refused(&error, Side::Caller));
        }
        if self.caller.configure(desk).is_err() {
            return self.end(desk, no_session(Side::Caller));
        }
        self.note_agreed(desk, Which::Caller);
    }

    pub(super) fn caller_ended(&mut self, desk: &mut Desk, reason: CallEnd) {
        self.caller.handle = None;
        if self.left_transfer(Which::Caller) {
            return self.caller.close(desk);
        }
        let end = match reason {
            CallEnd::HungUp { by: By::Remote, .. } => End::HungUp(Side::Caller),
            CallEnd::Cancelled { .. } => End::CallerGaveUp,
            reason => vanished(Side::Caller, &reason),
        };
        self.end(desk, end);
        self.caller.close(desk);
    }
}
