//! Reliable provisional responses and PRACK: RFC 3262, both sides.
//!
//! The server sends one at a time and repeats it until its PRACK comes; what follows waits in a queue, and so does a 2xx
//! while one with a description is not acknowledged (§3). The client takes them in order, acknowledges each once
//! (the PRACK's own transaction repeats it), and drops repeats and those that came too early (§4).

use super::{
    Common,
    offer_answer::{Carrier, Meaning, Side},
    session::Session,
};
use crate::{
    command::{Body, Reply},
    context::{Context, Owner, description, request_body},
    event::{OfferAbort, Refusal},
    header::{HeaderName, RAck, RSeq},
    io::Flow,
    message::{Method, Request, Response, StatusCode},
    transaction::{ClientId, ServerId},
};
use smallvec::SmallVec;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// At most so many provisional responses wait behind one that is not acknowledged.
const QUEUE: usize = 8;

/// The server's side of one INVITE.
#[derive(Debug, Default)]
pub(super) struct ReliableSender {
    /// The number of the last one sent.
    last: Option<u32>,
    waiting: Option<Unacknowledged>,
    pub(super) queue: VecDeque<Reply>,
    /// A 2xx that has to wait.
    pub(super) delayed_answer: Option<Reply>,
}

#[derive(Debug)]
struct Unacknowledged {
    number: u32,
    response: Response,
    described: bool,
    resend_at: Instant,
    interval: Duration,
    give_up_at: Instant,
}

/// A reliable response that was not acknowledged before the 2xx.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outstanding {
    number: u32,
    invite_sequence: u32,
}

/// Whether `rack` names this response to this INVITE.
fn names(rack: &RAck, number: u32, invite_sequence: u32) -> bool {
    rack.response == number && rack.cseq.sequence == invite_sequence && rack.cseq.method == Method::Invite
}

/// What time brings.
#[derive(Debug)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// This is to be sent once more.
    Resend(Box<Response>),
    /// It stayed without PRACK for 64·T1: the INVITE is refused.
    GiveUp,
}

impl ReliableSender {
    /// Whether the next one has to wait for a PRACK.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether a 2xx has to wait (§3).
    pub(super) fn delays_answer(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.described)
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < QUEUE
    }

    /// The number of the next one: the first is random (§3).
    pub(super) fn next_number(&mut self, cx: &mut Context) -> u32 {
        let next = match self.last {
            Some(last) => last.saturating_add(1),
            None => cx.random.below(0x7fff_fffe).saturating_add(1),
        };
        self.last = Some(next);
        next
    }

    pub(super) fn sent(&mut self, cx: &Context, number: u32, response: Response, described: bool) {
        let t1 = cx.config.transactions.timers.t1;
        self.waiting = Some(Unacknowledged {
            number,
            response,
            described,
            resend_at: cx.now.checked_add(t1).unwrap_or(cx.now),
            interval: t1,
            give_up_at: cx.now.checked_add(t1.saturating_mul(64)).unwrap_or(cx.now),
        });
    }

    /// Whether a PRACK acknowledges what waits; then it waits no more.
    pub(super) fn acknowledged(&mut self, rack: &RAck, invite_sequence: u32) -> bool {
        self.waiting.take_if(|waiting| names(rack, waiting.number, invite_sequence)).is_some()
    }

    /// What waits still when the INVITE is answered. It is not repeated any more, but its PRACK may come (§3).
    pub(super) fn outstanding(&self, invite_sequence: u32) -> Option<Outstanding> {
        self.waiting.as_ref().map(|waiting| Outstanding { number: waiting.number, invite_sequence })
    }

    pub(super) fn on_timeout(&mut self, now: Instant) -> Due {
        let Some(waiting) = &mut self.waiting else { return Due::Nothing };
        if waiting.give_up_at <= now {
            self.waiting = None;
            return Due::GiveUp;
        }
        if waiting.resend_at > now {
            return Due::Nothing;
        }
        // Doubling without the cap of T2, for PRACKs repeat by themselves (§3).
        waiting.interval = waiting.interval.saturating_mul(2);
        waiting.resend_at = now.checked_add(waiting.interval).unwrap_or(waiting.give_up_at);
        Due::Resend(Box::new(waiting.response.clone()))
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.resend_at.min(waiting.give_up_at))
    }
}

/// The client's side of one INVITE in one dialog.
#[derive(Debug, Default)]
pub(super) struct ReliableReceiver {
    /// The INVITE's sequence number, and the last number taken.
    taken: Option<(u32, u32)>,
    /// PRACKs under way.
    pracks: SmallVec<[ClientId; 2]>,
    /// The number whose PRACK waits for the application's answer to the offer it held.
    held: Option<(u32, u32)>,
}

impl ReliableReceiver {
    /// Whether a response is the next one. Repeats and gaps are not.
    fn takes(&mut self, invite_sequence: u32, number: u32) -> bool {
        let is_next = match self.taken {
            Some((sequence, last)) if sequence == invite_sequence => number == last.wrapping_add(1),
            _ => true,
        };
        if is_next {
            self.taken = Some((invite_sequence, number));
        }
        is_next
    }

    pub(super) fn owns(&self, client: ClientId) -> bool {
        self.pracks.contains(&client)
    }

    pub(super) fn on_resent(&mut self, old: ClientId, new: ClientId) {
        if let Some(prack) = self.pracks.iter_mut().find(|prack| **prack == old) {
            *prack = new;
        }
    }

    pub(super) fn forget(&mut self, cx: &mut Context) {
        for client in self.pracks.drain(..) {
            cx.clients.remove(&client);
        }
    }
}

/// What became of a provisional response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is to be told.
    News,
    /// A repeat, or one that came before its turn.
    Nothing,
}

impl Session {
    /// A provisional response to our INVITE, reliable or not.
    pub(super) fn on_provisional(
        &mut self,
        common: &Common,
        cx: &mut Context,
        response: &Response,
        silent: bool,
    ) -> Taken {
        let number = response.typed::<RSeq>().ok().flatten().map(|number| number.0);
        let reliable = number.filter(|_| response.lists(HeaderName::Require, "100rel"));
        let body = description(response);
        let Some(number) = reliable else {
            if self.offer_answer.provisional(Side::Remote, body.is_some()) == Meaning::Preview {
                self.note_remote(body.as_ref());
                if !silent {
                    common.answer(cx, self.fork, Carrier::Provisional, body, true);
                }
            }
            return Taken::News;
        };
        let sequence = response.cseq().map_or(0, |cseq| cseq.sequence);
        if !self.reliable.takes(sequence, number) {
            return Taken::Nothing;
        }
        if let Some(dialog) = cx.dialogs.get_mut(self.dialog) {
            let _ = dialog.refresh_target(response);
        }
        match self.offer_answer.reliable(Side::Remote, body.is_some()) {
            Ok(Meaning::Answer) => {
                self.note_remote(body.as_ref());
                common.answer(cx, self.fork, Carrier::Reliable, body, false);
            }
            Ok(Meaning::Offer) => {
                self.note_remote(body.as_ref());
                self.reliable.held = Some((number, sequence));
                common.offer(cx, self.fork, Carrier::Reliable, body);
                return Taken::News;
            }
            Ok(_) | Err(_) => {}
        }
        self.send_prack(common, cx, number, sequence, None);
        Taken::News
    }

    /// Sends the PRACK that waited for an answer.
    pub(super) fn acknowledge_held(&mut self, common: &Common, cx: &mut Context, answer: &Body) -> bool {
        let Some((number, sequence)) = self.reliable.held.take() else { return false };
        let _ = self.offer_answer.prack(Side::Local, true);
        self.note_local(Some(answer));
        self.send_prack(common, cx, number, sequence, Some(answer));
        true
    }

    /// Whether a PRACK waits for an answer.
    pub(super) fn holds_prack(&self) -> bool {
        self.reliable.held.is_some()
    }

    fn send_prack(
        &mut self,
        common: &Common,
        cx: &mut Context,
        number: u32,
        sequence: u32,
        body: Option<&Body>,
    ) {
        let Some(dialog) = cx.dialogs.get_mut(self.dialog) else { return };
        let (Ok(target), Ok(builder)) = (dialog.target(), dialog.request(Method::Prack)) else { return };
        let rack = RAck { response: number, cseq: crate::header::CSeq { sequence, method: Method::Invite } };
        let builder = builder
            .header(HeaderName::RAck, rack)
            .header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        let Ok(prack) = request_body(builder, body).finish() else { return };
        let options = common.face.send_options(false);
        let owner = Owner::Session(common.handle);
        if let Ok(client) = cx.send(owner, prack, target, options, common.auth, Some(self.dialog)) {
            self.reliable.pracks.push(client);
        }
    }

    /// The response to a PRACK.
    pub(super) fn on_prack_response(
        &mut self,
        common: &Common,
        cx: &mut Context,
        client: ClientId,
        response: &Response,
    ) {
        if !response.status().is_final() {
            return;
        }
        self.reliable.pracks.retain(|prack| *prack != client);
        let body = description(response);
        let success = response.status().is_success();
        match self.offer_answer.prack_final(Side::Remote, success, body.is_some()) {
            Ok(Meaning::Answer) => {
                self.note_remote(body.as_ref());
                common.answer(cx, self.fork, Carrier::PrackSuccess, body, false);
            }
            Ok(Meaning::AnswerMissing) => common.abort(cx, OfferAbort::NotAnswered),
            Ok(_) | Err(_) => {}
        }
    }

    /// A PRACK for a call that is answered: of a response that was sent before the 2xx, without description, or of none (§3).
    pub(super) fn on_late_prack(
        &mut self,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
        flow: Flow,
    ) {
        let rack = request.typed::<RAck>().ok().flatten();
        let fits =
            |it: &mut Outstanding| rack.is_some_and(|rack| names(&rack, it.number, it.invite_sequence));
        if self.outstanding.take_if(fits).is_some() {
            return cx.answer_plainly(server, request, StatusCode::OK);
        }
        let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
        cx.refuse(server, request, flow, status, Refusal::NoSuchTransaction);
    }

    /// A PRACK stayed without response; the INVITE's own timers decide what becomes of the call.
    pub(super) fn on_prack_failure(&mut self, client: ClientId) {
        self.reliable.pracks.retain(|prack| *prack != client);
        let _ = self.offer_answer.prack_final(Side::Remote, false, false);
    }
}

/// Whether the peer takes reliable provisional responses to this INVITE of his.
pub(super) fn peer_takes(invite: &Request) -> bool {
    invite.lists(HeaderName::Supported, "100rel") || invite.lists(HeaderName::Require, "100rel")
}

/// Whether he demands them.
pub(super) fn peer_demands(invite: &Request) -> bool {
    invite.lists(HeaderName::Require, "100rel")
}
