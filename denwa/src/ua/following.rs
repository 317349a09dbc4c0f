//! What the endpoint tells of calls, and what follows from it.

use super::call::Stage;
use super::placing::refusal_of;
use super::{AccountId, CallId, Event, UserAgent};
use crate::evidence::{Fact, Header};
use crate::media::Refusal;
use bytes::Bytes;
use denwa_sip_core::StatusCode;
use denwa_sip_core::config::SentBy;
use denwa_sip_core::endpoint::{Body, CallEnd, CallHandle, Event as SipEvent, Reply, RequestHandle};
use denwa_sip_core::io::Flow;
use denwa_sip_core::message::{Request, UriBuf};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

impl UserAgent {
    // ---- what the endpoint tells

    pub(super) fn on_invite(&mut self, request: RequestHandle, message: &Request, flow: Flow, now: Instant) {
        // A call that takes the place of another one needs no bell (RFC 3891 §3).
        let replaced = match self.endpoint.replaced_call(request) {
            Ok(replaced) => replaced,
            Err(status) => {
                let _ = self.endpoint.respond(request, &Reply::new(status), now);
                return;
            }
        };
        let takes_over = replaced.and_then(|handle| self.by_handle.get(&handle).copied());
        let id = self.new_call(self.account_for(message, &flow), false, now);
        let mut options = self.options();
        options.replaces = replaced;
        if let Some(call) = self.calls.get_mut(&id) {
            call.stage = Stage::Calling;
            call.peer = Some(flow.remote);
            call.takes_over = takes_over;
            call.remote_party =
                message.from().ok().and_then(|from| UriBuf::parse(&from.uri.to_string()).ok());
            call.route = Some(flow.local.ip()).filter(|local| !local.is_unspecified());
        }
        self.witness_invite(id, message, &flow, now);
        // A peer that calls us by an address sees us there.
        let called: Option<IpAddr> = message.uri().ok().and_then(|uri| uri.host_str().parse().ok());
        if let Some(called) = called.filter(|called| *called != flow.local.ip()) {
            let address = SocketAddr::new(called, flow.local.port());
            let sighting = super::Sighting { address, sent_from: flow.local };
            self.sightings.entry(flow.remote.ip()).or_insert(sighting);
        }
        let local = self.local_identity(id);
        match self.endpoint.accept_call(request, &local, options, now) {
            Ok(handle) => {
                self.by_handle.insert(handle, id);
                if let Some(call) = self.calls.get_mut(&id) {
                    call.handle = Some(handle);
                }
            }
            Err(_) => {
                self.calls.remove(&id);
                self.by_call_id.retain(|_, call| *call != id);
                return;
            }
        }
        if let Some(old) = takes_over {
            self.tell(Event::TakenOver { call: old, by: id });
            // Nobody can have answered it before.
            let _ = self.answer(id, now);
            return;
        }
        if let Some(handle) = self.calls.get(&id).and_then(|call| call.handle) {
            let _ = self.endpoint.ring(handle, &Reply::new(StatusCode::RINGING), now);
        }
        let from = message.from().ok();
        self.tell(Event::Incoming {
            call: id,
            from: from.as_ref().map(|from| from.uri.to_string()).unwrap_or_default(),
            name: from
                .and_then(|from| from.display_name.map(|name| name.text().into_owned()))
                .filter(|name| !name.is_empty()),
            to: message.uri_text().to_owned(),
        });
    }

    /// The account a request is for: the one it names, and of several that whose server sent it.
    pub(super) fn account_for(&self, message: &Request, flow: &Flow) -> Option<AccountId> {
        let uri = message.uri().ok()?;
        let user = uri.user();
        let named = || self.accounts.iter().filter(|(_, state)| Some(state.account.user.as_str()) == user);
        named()
            .find(|(_, state)| state.is_served_by(flow.remote.ip()))
            .or_else(|| named().next())
            .map(|(id, _)| *id)
    }

    pub(super) fn on_call_event(&mut self, event: SipEvent, now: Instant) {
        match event {
            SipEvent::ViaAltered { call: Some(call), sent, returned, .. } => {
                self.on_via_altered(call, &sent, &returned, now);
            }
            SipEvent::CallProgress { call, response, .. } => {
                let Some(id) = self.noted(call) else { return };
                self.tell(Event::Ringing { call: id, status: response.status() });
            }
            SipEvent::CallAnswered { call, .. } => {
                let Some(id) = self.noted(call) else { return };
                self.go_up(id, now);
            }
            SipEvent::CallConfirmed { call } => {
                if let Some(id) = self.by_handle.get(&call).copied() {
                    self.go_up(id, now);
                }
            }
            SipEvent::RequestCompleted { outgoing, outcome, .. } => {
                self.on_completed(outgoing, &outcome, now)
            }
            SipEvent::Notified { subscription, message, .. } => self.on_notified(subscription, &message),
            SipEvent::SubscriptionEnded { subscription, reason } => {
                self.on_transfer_ended(subscription, &reason, now);
                self.on_watch_ended(subscription, &reason);
            }
            SipEvent::TransferRequested { call, request, refer_to, replaces, referred_by, .. } => {
                self.on_transfer_requested(call, request, refer_to, replaces, referred_by, now);
            }
            SipEvent::TransferProgress { transfer, status, reason } => {
                self.on_transfer_progress(transfer, status, &reason, now);
            }
            SipEvent::OfferReceived { call, body, .. } => self.on_offer(call, body.bytes, now),
            SipEvent::AnswerReceived { call, body, preview, .. } => {
                self.on_answer_received(call, &body.bytes, preview, now)
            }
            SipEvent::OfferRequested { call } => self.on_offer_requested(call, now),
            SipEvent::OfferAborted { call, reason } => {
                let Some(id) = self.by_handle.get(&call).copied() else { return };
                if let Some(media) = self.calls.get_mut(&id).and_then(|call| call.media.as_mut()) {
                    media.rollback();
                }
                self.tell(Event::ChangeRefused { call: id, why: reason.to_string() });
            }
            SipEvent::CallEnded { call, reason } => {
                if let Some(id) = self.by_handle.remove(&call) {
                    if let CallEnd::Refused { response } = &reason
                        && self.follow_elsewhere(id, response, now)
                    {
                        return;
                    }
                    let ending = self.ending(id, reason, now);
                    self.end(id, ending, now);
                }
            }
            _ => {}
        }
    }

    /// The call that progresses or is answered; whoever says so may send its media.
    fn noted(&mut self, handle: CallHandle) -> Option<CallId> {
        let id = self.by_handle.get(&handle).copied()?;
        let flow = self.endpoint.call(handle).and_then(|call| call.flow);
        let call = self.calls.get_mut(&id)?;
        if let (Some(flow), Some(media)) = (flow, &mut call.media) {
            media.know_host(flow.remote.ip());
        }
        Some(id)
    }

    fn on_via_altered(&mut self, handle: CallHandle, sent: &SentBy, returned: &SentBy, now: Instant) {
        let Some(call) = self.by_handle.get(&handle).and_then(|id| self.calls.get_mut(id)) else { return };
        // Once is enough: each further response says the same.
        if !std::mem::replace(&mut call.was_altered, true) {
            let (sent, returned) = (sent.to_string(), returned.to_string());
            call.note(Fact::Altered { header: Header::Via, sent, returned }, now);
        }
    }

    fn go_up(&mut self, id: CallId, now: Instant) {
        if let Some(call) = self.calls.get_mut(&id).filter(|call| call.stage != Stage::Up) {
            call.go_up(now);
            self.tell(Event::Answered { call: id });
        }
    }

    fn on_offer(&mut self, handle: CallHandle, offer: Bytes, now: Instant) {
        let Some(id) = self.by_handle.get(&handle).copied() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(media) = &mut call.media else {
            call.offer = Some(offer);
            return;
        };
        match media.answer(&offer, now) {
            Ok(answer) => {
                self.note_agreement(id, now);
                let _ = self.endpoint.answer_offer(handle, Some(Body::sdp(answer)), &Self::no_headers(), now);
            }
            Err(error) => {
                let _ = self.endpoint.refuse_offer(handle, &refusal_of(&error), now);
            }
        }
        self.drain_media(id, now);
    }

    fn on_offer_requested(&mut self, handle: CallHandle, now: Instant) {
        let Some(id) = self.by_handle.get(&handle).copied() else { return };
        // Before the answer there are no ports yet: the offer goes into the 200.
        let Some(media) = self.calls.get_mut(&id).and_then(|call| call.media.as_mut()) else { return };
        if let Ok(offer) = media.offer() {
            let _ = self.endpoint.answer_offer(handle, Some(Body::sdp(offer)), &Self::no_headers(), now);
        }
    }

    fn on_answer_received(&mut self, handle: CallHandle, answer: &Bytes, preview: bool, now: Instant) {
        let Some(id) = self.by_handle.get(&handle).copied() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(media) = &mut call.media else { return };
        let accepted =
            if preview { media.preview_answer(answer, now) } else { media.accept_answer(answer, now) };
        match accepted {
            Ok(()) => {
                call.start_sound(now);
                self.note_agreement(id, now);
            }
            // A preview that cannot be used is no harm: the answer proper follows.
            Err(_) if preview => {}
            Err(refusal) => {
                let fact = match &refusal {
                    Refusal::Answer(error) => Fact::of_bad_answer(error),
                    other => Fact::unusable_answer(other),
                };
                call.note(fact, now);
                call.nothing_in_common = Some(refusal.to_string());
                let _ = self.endpoint.hang_up(handle, &Self::no_headers(), now);
            }
        }
        self.drain_media(id, now);
    }
}
