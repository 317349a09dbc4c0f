//! How calls end, in the program's words, and what is given back then.

use super::call::{Call, words};
use super::{CallId, Ending, Event, UserAgent};
use crate::evidence::{EndCause, Fact, Party as Who};
use crate::media::MediaSession;
use denwa_sip_core::endpoint::{By, CallEnd};
use denwa_sip_core::message::Response;
use denwa_sip_core::{HeaderName, Protocol, StatusCode};
use std::time::Instant;

impl UserAgent {
    // ---- the end

    pub(super) fn ending(&mut self, id: CallId, reason: CallEnd, now: Instant) -> Ending {
        let account = self.calls.get(&id).and_then(|call| call.account);
        let state = account.and_then(|account| self.accounts.get(&account));
        let protocol = state.and_then(|state| state.server()).map_or(Protocol::Udp, |server| server.protocol);
        let account = state.map(|state| state.account.user.clone());
        let Some(call) = self.calls.get_mut(&id) else { return Ending::ShutDown };
        if let Some(sentence) = call.nothing_in_common.take() {
            return Ending::NothingInCommon(sentence);
        }
        match reason {
            CallEnd::HungUp { by: By::Local, .. } => Ending::HungUpHere,
            CallEnd::HungUp { by: By::Remote, .. } => Ending::HungUpThere,
            CallEnd::Cancelled { by: By::Local, .. } if call.ended_here => Ending::CancelledHere,
            CallEnd::Cancelled { by: By::Local, .. } | CallEnd::NotAnswered => Ending::NotAnswered,
            CallEnd::Cancelled { by: By::Remote, .. } => Ending::CancelledThere,
            CallEnd::Refused { response } => refused(call, &response, now),
            CallEnd::RefusedHere(status) => Ending::RefusedHere(status),
            CallEnd::Unreachable(reason) => {
                if let Some(peer) = call.peer {
                    let waited = now.saturating_duration_since(call.evidence.began());
                    call.note(Fact::of_end(reason, "INVITE", peer, protocol, waited), now);
                }
                Ending::Unreachable(words(reason))
            }
            CallEnd::NotAuthenticated { reason, response } => {
                let account = account.unwrap_or_default();
                match Fact::of_challenge(reason, account) {
                    Some(fact @ Fact::RuleBroken { .. }) => {
                        call.note(fact, now);
                        let words = "it asks for a password in a way that is not known here".to_owned();
                        Ending::Refused { status: response.status(), words }
                    }
                    fact => {
                        if let Some(fact) = fact {
                            call.note(fact, now);
                        }
                        Ending::NotAuthenticated
                    }
                }
            }
            CallEnd::NoSession { .. } => {
                call.note(Fact::no_session(), now);
                Ending::NothingInCommon("the other side answered without one".to_owned())
            }
            CallEnd::Malformed(error) => {
                let why = format!("the other side's message cannot be read: {error}");
                call.note(
                    Fact::RuleBroken { what: format!("sent a message that cannot be read: {error}") },
                    now,
                );
                Ending::Lost(why)
            }
            CallEnd::NotAcknowledged => Ending::NotConfirmed,
            CallEnd::SessionExpired => Ending::SessionExpired,
            CallEnd::DialogLost { method, status } => Ending::Lost(match status {
                Some(status) => {
                    format!("the other side knows nothing of the call any more ({method}: {})", status.code())
                }
                None => format!("{method} got no reply"),
            }),
            CallEnd::Replaced { .. } => Ending::TakenOver,
            CallEnd::ShutDown => Ending::ShutDown,
            other => Ending::Lost(format!("{other:?}")),
        }
    }

    /// The call is over: its media say good-bye, its ports are closed, the program is told.
    /// What a call has of sockets, and its Call-ID, are given up; its media session stays, for its last figures.
    pub(super) fn let_go(&mut self, id: CallId, now: Instant) {
        if let Some(media) = self.calls.get_mut(&id).and_then(|call| call.media.as_mut()) {
            media.leave(now);
        }
        self.drain_media(id, now);
        self.close_relays(id);
        self.close_ports(id);
        self.by_call_id.retain(|_, call| *call != id);
    }

    pub(super) fn end(&mut self, id: CallId, reason: Ending, now: Instant) {
        self.let_go(id, now);
        let Some(mut call) = self.calls.remove(&id) else { return };
        if call.confers {
            self.seat();
        }
        if call.handle.is_none() {
            self.report_unplaced(call.reports_to.take(), now);
        }
        self.asked_transfers.retain(|_, asked| asked.call != id);
        self.transfers.retain(|_, call| *call != id);
        let report = call.media.as_ref().map(MediaSession::report).unwrap_or_default();
        if call.media.is_some() {
            call.note(Fact::of_report(&report), now);
        }
        let (by, cause) = end_cause(&reason);
        call.note(Fact::Ended { by, cause }, now);
        self.tell(Event::Ended { call: id, reason, report, evidence: Box::new(call.evidence) });
    }
}

fn refused(call: &mut Call, response: &Response, now: Instant) -> Ending {
    let warning = response.get(HeaderName::Warning);
    if response.status() == StatusCode::NOT_ACCEPTABLE_HERE
        && let Some(media) = &mut call.media
        && let Ok(mismatch) = media.refused(Some(response.body()).filter(|body| !body.is_empty()), warning)
    {
        call.note(Fact::of_mismatch(&mismatch, Who::Here), now);
    }
    let mut words = response.reason().to_owned();
    if let Some(warning) = warning {
        words.push_str(", ");
        words.push_str(warning);
    }
    Ending::Refused { status: response.status(), words }
}

fn end_cause(reason: &Ending) -> (Who, EndCause) {
    match reason {
        Ending::HungUpHere => (Who::Here, EndCause::HungUp),
        Ending::HungUpThere => (Who::Peer, EndCause::HungUp),
        Ending::CancelledHere => (Who::Here, EndCause::Cancelled),
        Ending::CancelledThere => (Who::Peer, EndCause::Cancelled),
        Ending::Refused { status, .. } => (Who::Peer, EndCause::Refused(status.code())),
        Ending::RefusedHere(status) => (Who::Here, EndCause::Refused(status.code())),
        Ending::NotAnswered => (Who::Here, EndCause::NoAnswer),
        Ending::NothingInCommon(_) => (Who::Here, EndCause::Refused(488)),
        Ending::NotAuthenticated => (Who::Peer, EndCause::Refused(401)),
        Ending::Unreachable(_) => (Who::Here, EndCause::Unanswered),
        Ending::NoPort(_) => (Who::Here, EndCause::Refused(500)),
        Ending::NotConfirmed => (Who::Here, EndCause::Unconfirmed),
        Ending::SessionExpired => (Who::Here, EndCause::SessionExpired),
        Ending::TakenOver => (Who::Peer, EndCause::HungUp),
        Ending::Lost(_) => (Who::Here, EndCause::TransportFailed),
        Ending::ShutDown => (Who::Here, EndCause::ShutDown),
    }
}
