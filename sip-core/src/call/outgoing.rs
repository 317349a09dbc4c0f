//! An INVITE of ours that is not yet answered: RFC 3261 §13.2, §9.1; forks by §12.1 and §13.2.2.
//!
//! Each telephone that rings has a dialog and a session of its own. The first 2xx wins; what comes after is
//! [`aftermath`](super::aftermath)'s. A 2xx that crosses our CANCEL is acknowledged and hung up.

use super::{
    Common, State,
    aftermath::Aftermath,
    established::Established,
    offer_answer::{Carrier, OfferAnswer},
    reliable_provisional::Taken,
    session::{Session, read_session_timer},
    session_timer,
};
use crate::{
    auth::client::ChallengeRefusal,
    command::{Body, Headers},
    context::{Client, Context, Owner},
    dialog::{Dialog, DialogHandle, Usage, Way},
    error::Misuse,
    event::{By, CallEnd, Event, Refusal},
    handle::ForkHandle,
    header::{CSeq, HeaderName, Name},
    io::Flow,
    limits::Limit,
    message::{Method, Request, Response, StatusCode},
    transaction::{ClientId, EndReason, ServerId},
    transport::Target,
};
use std::time::{Duration, Instant};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) invite: ClientId,
    /// The INVITE as first sent: dialogs are made from its From and Call-ID.
    pub(crate) request: Request,
    pub(crate) target: Target,
    /// Whether the first hop is the peer himself, as far as we know.
    pub(crate) way: Way,
    pub(crate) offer_answer: OfferAnswer,
    /// The telephones that ring.
    pub(crate) forks: Vec<Session>,
    /// The highest number of a request of ours in the dialogs of forks that are gone.
    pub(crate) sequence: u32,
    pub(crate) next_fork: u16,
    /// CANCEL was asked for: this will be the end.
    pub(crate) cancelled: Option<CallEnd>,
    pub(crate) give_up_at: Option<Instant>,
    pub(crate) offer: Option<Body>,
    /// The largest Min-SE of a 422 (RFC 4028 §7.3).
    pub(crate) largest_minimum: Option<Duration>,
    /// How often it was refused so.
    pub(crate) intervals_refused: u8,
    /// Whether anything was heard of the INVITE, be it a 100 alone.
    pub(crate) is_proceeding: bool,
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
            return self.on_fork_response(common, cx, client, response, flow);
        }
        let status = response.status();
        self.is_proceeding = true;
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

    /// A response to a PRACK or UPDATE on an early dialog.
    fn on_fork_response(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        response: &Response,
        flow: Flow,
    ) -> State {
        let Some(fork) = self.forks.iter_mut().find(|fork| fork.owns(client)) else {
            return State::Outgoing(self);
        };
        if fork.reliable.owns(client) {
            fork.on_prack_response(common, cx, client, response);
        } else {
            // That the fork is lost is the INVITE's to say: its other forks may still be answered.
            let _ = fork.on_modification_response(common, cx, client, response, flow);
        }
        State::Outgoing(self)
    }

    fn on_provisional(&mut self, common: &mut Common, cx: &mut Context, response: &Response, flow: Flow) {
        let known = self.forks.len();
        let Some(at) = self.fork_of(common, cx, response, flow) else { return };
        let silent = self.cancelled.is_some();
        let Some(fork) = self.forks.get_mut(at) else { return };
        // A dialog that this response made has heard of it.
        if at < known
            && let Some(dialog) = cx.dialogs.get_mut(fork.dialog)
        {
            dialog.heard_of_peer(response, flow);
        }
        if fork.on_provisional(common, cx, response, silent) == Taken::News && !silent {
            common.report(cx, response.status(), response.reason());
            cx.event(Event::CallProgress {
                call: common.handle,
                fork: fork.fork,
                response: response.clone(),
            });
        }
        if response.status() == StatusCode::EARLY_DIALOG_TERMINATED {
            // RFC 6228: this telephone rings no more; the others do.
            let fork = self.forks.remove(at);
            self.release(common, cx, fork);
        }
    }

    fn on_success(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
    ) -> State {
        if let Some(end) = self.cancelled.take() {
            return self.unusable(common, cx, response, flow, end);
        }
        let Some(at) = self.fork_of(common, cx, response, flow) else {
            let end = CallEnd::NoSession { carrier: Carrier::Success };
            return self.unusable(common, cx, response, flow, end);
        };
        let fork = self.forks.remove(at);
        let confirmed = match cx.dialogs.get_mut(fork.dialog) {
            Some(dialog) => {
                let confirmed = dialog.confirm_by(response, flow);
                dialog.way = way(self.way, dialog.has_routes());
                confirmed
            }
            None => Ok(()),
        };
        if let Err(error) = confirmed {
            self.forks.push(fork);
            return self.unusable(common, cx, response, flow, CallEnd::Malformed(error));
        }
        self.release_forks(common, cx);
        let mut aftermath = self.aftermath(common);
        common.report(cx, response.status(), response.reason());
        let mut established = Established::as_caller(fork);
        let next = established.on_first_success(common, cx, response, &mut aftermath, self.invite);
        self.hand_over(cx, aftermath);
        match next {
            Ok(()) => State::Established(Box::new(established)),
            Err(end) => Box::new(established).hung_up(common, cx, end),
        }
    }

    /// A 2xx that nobody wants, or that makes no dialog we can use.
    fn unusable(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
        end: CallEnd,
    ) -> State {
        self.release_forks(common, cx);
        let mut aftermath = self.aftermath(common);
        aftermath.on_success(cx, response, flow, common.auth.take());
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
        let too_small =
            response.status() == StatusCode::SESSION_INTERVAL_TOO_SMALL && self.cancelled.is_none();
        if too_small && self.ask_for_longer(common, cx, response).is_some() {
            return State::Outgoing(self);
        }
        self.release_forks(common, cx);
        common.report(cx, response.status(), response.reason());
        let response = Box::new(response.clone());
        State::over(match (self.cancelled.take(), refusal) {
            (Some(end), _) => end,
            (None, Some(reason)) => CallEnd::NotAuthenticated { reason, response },
            (None, None) => CallEnd::Refused { response },
        })
    }

    /// 422 (RFC 4028 §7.3): the same INVITE with the interval the peer or a proxy asks for.
    fn ask_for_longer(&mut self, common: &Common, cx: &mut Context, response: &Response) -> Option<()> {
        let policy = common.options.session_timer.as_ref()?;
        let asked = read_session_timer(response).minimum?;
        // He who asks for more each time is not followed without end.
        let too_often = self.intervals_refused >= cx.config.modification_attempts;
        if too_often || self.largest_minimum.is_some_and(|known| asked <= known) {
            return None;
        }
        self.intervals_refused = self.intervals_refused.saturating_add(1);
        self.largest_minimum = Some(asked);
        let wanted = session_timer::request(policy, self.largest_minimum, None);
        let sequence = response.cseq().ok()?.sequence.checked_add(1)?;
        let mut edit = self
            .request
            .edit()
            .set(HeaderName::CSeq, CSeq { sequence, method: Method::Invite })
            .remove(HeaderName::SessionExpires)
            .remove(HeaderName::MinSe);
        if let Some(interval) = wanted.interval {
            edit = edit.append(HeaderName::SessionExpires, interval.as_secs());
        }
        let request = edit.append(HeaderName::MinSe, asked.as_secs()).finish().ok()?;
        let owner = Owner::Invite(common.handle);
        let options = common.face.send_options(true);
        self.invite =
            cx.send(owner, request.clone(), self.target.clone(), options, common.auth, None).ok()?;
        self.request = request;
        Some(())
    }

    pub(crate) fn on_failure(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        client: ClientId,
        failure: EndReason,
    ) -> State {
        if client == self.invite {
            self.release_forks(common, cx);
            common.report(cx, StatusCode::SERVICE_UNAVAILABLE, "Unreachable");
            return State::over(self.cancelled.take().unwrap_or(CallEnd::Unreachable(failure)));
        }
        if let Some(fork) = self.forks.iter_mut().find(|fork| fork.owns(client)) {
            if fork.reliable.owns(client) {
                fork.on_prack_failure(client);
            } else {
                let _ = fork.on_modification_failure(common, cx, client, failure);
            }
        }
        State::Outgoing(self)
    }

    pub(crate) fn on_resent(&mut self, old: ClientId, new: ClientId) {
        if self.invite == old {
            self.invite = new;
        }
        for fork in &mut self.forks {
            fork.on_resent(old, new);
        }
    }

    /// The peer hangs up before he has answered (§15 allows it on early dialogs): that telephone is gone; our INVITE
    /// will be answered by the 487 that he owes, or by another one.
    pub(crate) fn on_bye(
        self: Box<Self>,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
        _dialog: DialogHandle,
    ) -> State {
        cx.answer_plainly(server, request, StatusCode::OK);
        State::Outgoing(self)
    }

    /// The peer changes an early session.
    pub(crate) fn on_update(
        mut self: Box<Self>,
        common: &mut Common,
        cx: &mut Context,
        server: ServerId,
        request: &Request,
        flow: Flow,
        dialog: DialogHandle,
    ) -> State {
        match self.forks.iter_mut().find(|fork| fork.dialog == dialog) {
            Some(fork) => drop(fork.on_modify(common, cx, server, request, flow)),
            None => {
                let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
                cx.refuse(server, request, flow, status, Refusal::NoSuchDialog);
            }
        }
        State::Outgoing(self)
    }

    pub(crate) fn on_server_ended(&mut self, common: &Common, cx: &mut Context, server: ServerId) {
        for fork in &mut self.forks {
            fork.on_server_ended(common, cx, server);
        }
    }

    /// The fork that the application means: the one named, else the one that owes something, else the only one.
    pub(crate) fn fork_mut(&mut self, wanted: Option<ForkHandle>) -> Result<&mut Session, Misuse> {
        let at = match wanted {
            Some(wanted) => self.forks.iter().position(|fork| fork.fork == wanted),
            None => self.forks.iter().position(Session::owes).or((self.forks.len() == 1).then_some(0)),
        };
        at.and_then(|at| self.forks.get_mut(at)).ok_or(Misuse::WrongState)
    }

    pub(crate) fn cancel(
        mut self: Box<Self>,
        _common: &mut Common,
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
        }
        State::Outgoing(self)
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, common: &mut Common, cx: &mut Context) -> State {
        for fork in &mut self.forks {
            fork.on_modification_due(common, cx);
        }
        if self.give_up_at.is_none_or(|at| at > cx.now) {
            return State::Outgoing(self);
        }
        self.give_up_at = None;
        match self.cancelled.take() {
            None => self.cancel(common, cx, &Headers::new(), CallEnd::NotAnswered),
            Some(end) => {
                self.release_forks(common, cx);
                let aftermath = self.aftermath(common);
                self.hand_over(cx, aftermath);
                State::over(end)
            }
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let retries = self.forks.iter().filter_map(|fork| fork.ours.as_ref().and_then(|ours| ours.due()));
        retries.chain(self.give_up_at).min()
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
        let mut session = Session::new(dialog, ForkHandle(self.next_fork), self.offer_answer.clone());
        session.note_local(self.offer.as_ref());
        session.largest_minimum = self.largest_minimum;
        self.next_fork = self.next_fork.saturating_add(1);
        // Mostly there is one.
        self.forks.reserve_exact(1);
        self.forks.push(session);
        self.forks.len().checked_sub(1)
    }

    fn release_forks(&mut self, common: &Common, cx: &mut Context) {
        for fork in std::mem::take(&mut self.forks) {
            self.release(common, cx, fork);
        }
    }

    fn release(&mut self, common: &Common, cx: &mut Context, mut fork: Session) {
        fork.forget(common, cx);
        let sequence = cx.dialogs.get(fork.dialog).map_or(0, Dialog::last_sequence);
        self.sequence = self.sequence.max(sequence);
        cx.dialogs.release(fork.dialog, Usage::Call(common.handle));
    }

    /// What is left to do with 2xx that still come, once the forks are released.
    fn aftermath(&self, common: &Common) -> Aftermath {
        Aftermath::new(self.request.clone(), common.face.clone(), self.way, self.sequence)
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
    response.to_tag().unwrap_or_default()
}

/// The end a CANCEL of ours brings.
pub(crate) fn cancelled_here(headers: &Headers) -> CallEnd {
    CallEnd::Cancelled { by: By::Local, reason: headers.get(HeaderName::Reason).map(str::to_owned) }
}
