//! An INVITE of ours that is not yet answered: RFC 3261 §13.2, §9.1; forks by §12.1 and §13.2.2.
//!
//! Each telephone that rings has a dialog and an offer/answer state of its own. The first 2xx wins; what comes after
//! is [`aftermath`](super::aftermath)'s. A 2xx that crosses our CANCEL is acknowledged and hung up.

use super::{
    Common, State,
    aftermath::{Aftermath, hang_up_unwanted},
    established::Established,
    offer_answer::{Carrier, Meaning, OfferAnswer, Side},
    reason_of,
};
use crate::{
    auth::client::ChallengeRefusal,
    command::Headers,
    context::{Client, Context, Owner, description},
    dialog::{Dialog, DialogHandle, Usage, Way},
    event::{By, CallEnd, Event},
    handle::ForkHandle,
    header::Name,
    io::Flow,
    limits::Limit,
    message::{Request, Response, StatusCode},
    transaction::{ClientId, EndReason, ServerId},
};
use std::time::Instant;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) invite: ClientId,
    /// The INVITE as first sent: dialogs are made from its From and Call-ID.
    pub(crate) request: Request,
    /// Whether the first hop is the peer himself, as far as we know.
    pub(crate) way: Way,
    pub(crate) offer_answer: OfferAnswer,
    pub(crate) forks: Vec<Fork>,
    /// CANCEL was asked for: this will be the end.
    pub(crate) cancelled: Option<CallEnd>,
    pub(crate) give_up_at: Option<Instant>,
    pub(crate) offer: Option<crate::command::Body>,
}

/// A telephone that rings.
#[derive(Debug)]
pub(crate) struct Fork {
    handle: ForkHandle,
    dialog: DialogHandle,
    offer_answer: OfferAnswer,
    /// An answer was seen in an unreliable provisional response.
    previewed: bool,
}

impl Outgoing {
    pub(crate) fn on_response(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        response: &Response,
        flow: Flow,
        refusal: Option<ChallengeRefusal>,
    ) -> State {
        if client != self.invite {
            return State::Outgoing(self);
        }
        let status = response.status();
        if status == StatusCode::TRYING {
            State::Outgoing(self)
        } else if status.is_provisional() {
            self.on_provisional(common, cx, response, flow);
            State::Outgoing(self)
        } else if status.is_success() {
            self.on_success(common, cx, response, flow)
        } else {
            self.on_refused(common, cx, response, refusal)
        }
    }

    fn on_provisional(&mut self, common: &mut Common, cx: &mut Context, response: &Response, flow: Flow) {
        let Some(at) = self.fork_of(common, cx, response, flow) else { return };
        let Some(fork) = self.forks.get_mut(at) else { return };
        if let Some(dialog) = cx.dialogs.get_mut(fork.dialog) {
            // A 18x without Contact leaves the target as it was.
            let _ = dialog.heard(response, flow);
        }
        if self.cancelled.is_some() {
            return;
        }
        let body = description(response);
        if fork.offer_answer.provisional(Side::Remote, body.is_some()) == Meaning::Preview {
            fork.previewed = true;
            common.answer(cx, fork.handle, Carrier::Provisional, body, true);
        }
        cx.event(Event::CallProgress { call: common.handle, fork: fork.handle, response: response.clone() });
    }

    fn on_success(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
    ) -> State {
        let mut aftermath = Aftermath::new(self.request.clone(), common.face.clone(), self.way);
        if let Some(end) = self.cancelled.take() {
            self.release_forks(common, cx, None);
            let ack = hang_up_unwanted(
                cx,
                &self.request,
                response,
                flow,
                self.way,
                &common.face,
                common.auth.take(),
            );
            aftermath.remember(tag_of(response), ack);
            self.hand_over(cx, aftermath);
            return State::over(end);
        }
        let Some(at) = self.fork_of(common, cx, response, flow) else {
            return self.unusable(
                common,
                cx,
                response,
                flow,
                aftermath,
                CallEnd::NoSession { carrier: Carrier::Success },
            );
        };
        let fork = self.forks.remove(at);
        self.release_forks(common, cx, Some(fork.dialog));
        let confirmed = match cx.dialogs.get_mut(fork.dialog) {
            Some(dialog) => {
                let confirmed = dialog.confirm_by(response, flow);
                dialog.way = way(self.way, dialog.has_routes());
                confirmed
            }
            None => Ok(()),
        };
        if let Err(error) = confirmed {
            cx.dialogs.release(fork.dialog, Usage::Call(common.handle));
            return self.unusable(common, cx, response, flow, aftermath, CallEnd::Malformed(error));
        }
        let mut established =
            Established::as_caller(common, fork.dialog, fork.handle, fork.offer_answer, self.offer.take());
        let next =
            established.on_first_success(common, cx, response, fork.previewed, &mut aftermath, self.invite);
        self.hand_over(cx, aftermath);
        match next {
            Ok(()) => State::Established(Box::new(established)),
            Err(end) => Box::new(established).hung_up(common, cx, end),
        }
    }

    /// A 2xx that makes no dialog we can use.
    fn unusable(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
        mut aftermath: Aftermath,
        end: CallEnd,
    ) -> State {
        self.release_forks(common, cx, None);
        let ack =
            hang_up_unwanted(cx, &self.request, response, flow, self.way, &common.face, common.auth.take());
        aftermath.remember(tag_of(response), ack);
        self.hand_over(cx, aftermath);
        State::over(end)
    }

    fn on_refused(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        response: &Response,
        refusal: Option<ChallengeRefusal>,
    ) -> State {
        self.release_forks(common, cx, None);
        let response = Box::new(response.clone());
        State::over(match (self.cancelled.take(), refusal) {
            (Some(end), _) => end,
            (None, Some(reason)) => CallEnd::NotAuthenticated { reason, response },
            (None, None) => CallEnd::Refused { response },
        })
    }

    pub(crate) fn on_failure(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        failure: EndReason,
    ) -> State {
        if client != self.invite {
            return State::Outgoing(self);
        }
        self.release_forks(common, cx, None);
        State::over(self.cancelled.take().unwrap_or(CallEnd::Unreachable(failure)))
    }

    pub(crate) fn on_resent(&mut self, old: ClientId, new: ClientId) {
        if self.invite == old {
            self.invite = new;
        }
    }

    /// The peer hangs up before he has answered (§15 allows it on early dialogs): that fork is gone; our INVITE will
    /// be answered by the 487 that he owes.
    pub(crate) fn on_bye(
        self: Box<Self>,
        _common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
    ) -> State {
        cx.answer_plainly(server, request, StatusCode::OK);
        let _ = reason_of(request);
        State::Outgoing(self)
    }

    pub(crate) fn cancel(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        headers: &Headers,
        end: CallEnd,
    ) -> State {
        if self.cancelled.is_none() {
            let fields: Vec<(Name<'_>, &str)> =
                headers.iter().map(|(name, value)| (name.into(), value)).collect();
            let _ = cx.transactions.cancel(self.invite, &fields, cx.now);
            self.cancelled = Some(end);
            // §9.1: with no final response 64·T1 after the CANCEL, the transaction is given up. It may have had to
            // wait for a provisional response first, so twice that.
            self.give_up_at = cx.now.checked_add(cx.config.transactions.timers.t1.saturating_mul(128));
            let _ = common;
        }
        State::Outgoing(self)
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, common: &mut Common, cx: &mut Context) -> State {
        if self.give_up_at.is_none_or(|at| at > cx.now) {
            return State::Outgoing(self);
        }
        self.give_up_at = None;
        match self.cancelled.take() {
            None => self.cancel(common, cx, &Headers::new(), CallEnd::NotAnswered),
            Some(end) => {
                self.release_forks(common, cx, None);
                let aftermath = Aftermath::new(self.request.clone(), common.face.clone(), self.way);
                self.hand_over(cx, aftermath);
                State::over(end)
            }
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.give_up_at
    }

    pub(crate) fn dialogs(&self) -> Vec<DialogHandle> {
        self.forks.iter().map(|fork| fork.dialog).collect()
    }

    /// The fork a response belongs to; a new one when its tag is new.
    fn fork_of(
        &mut self,
        common: &Common,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
    ) -> Option<usize> {
        let tag = tag_of(response);
        let known = self
            .forks
            .iter()
            .position(|fork| cx.dialogs.get(fork.dialog).is_some_and(|dialog| *dialog.id.remote_tag == *tag));
        if known.is_some() {
            return known;
        }
        if self.forks.len() >= cx.config.limits.forks_per_call {
            cx.limit(Limit::Forks);
            return None;
        }
        let mut dialog = Dialog::of_client(&self.request, response, flow, self.way).ok()?;
        dialog.way = way(self.way, dialog.has_routes());
        let dialog = cx.dialogs.insert(dialog, Usage::Call(common.handle))?;
        let handle = ForkHandle(u16::try_from(self.forks.len()).unwrap_or(u16::MAX));
        self.forks.push(Fork { handle, dialog, offer_answer: self.offer_answer.clone(), previewed: false });
        self.forks.len().checked_sub(1)
    }

    fn release_forks(&mut self, common: &Common, cx: &mut Context, keep: Option<DialogHandle>) {
        for fork in self.forks.drain(..) {
            if Some(fork.dialog) != keep {
                cx.dialogs.release(fork.dialog, Usage::Call(common.handle));
            }
        }
    }

    /// Responses that still come for the INVITE are the aftermath's from now on.
    fn hand_over(&self, cx: &mut Context, aftermath: Aftermath) {
        if let Some(client) = cx.clients.get_mut(&self.invite) {
            *client = Client { owner: Owner::Answered(Box::new(aftermath)), auth: client.auth, sent: None };
        }
    }
}

/// Back on the flow only as long as nobody put himself on the route.
fn way(wanted: Way, has_routes: bool) -> Way {
    if has_routes { Way::Target } else { wanted }
}

fn tag_of(response: &Response) -> &str {
    response.to().ok().and_then(|to| to.tag()).unwrap_or_default()
}

/// The end a CANCEL of ours brings.
pub(crate) fn cancelled_here(headers: &Headers) -> CallEnd {
    CallEnd::Cancelled {
        by: By::Local,
        reason: headers.get(crate::header::HeaderName::Reason).map(str::to_owned),
    }
}
