//! What becomes of the answers: the response context of RFC 3261 §16.7, CANCEL of losers (§16.10), timer C (§16.8).
//!
//! Provisional responses and every 2xx pass at once. A 2xx or 6xx ends the race: the other branches are cancelled. When
//! all have ended the best is chosen: 6xx, else the lowest class, 401/407/415/420/484 before others of 4xx, and 503 is
//! passed on as 500. The challenges of all branches go back together (§16.7 step 7). A branch that ends while others go
//! on is told by 199 (RFC 6228), and one whose flow is dead is replaced by another flow of the same device (RFC 5626 §7).

use super::{
    Branch, ForwardHandle, ForwardOptions, Proxy, ProxyEvent, TargetSet, early_dialogs::EarlyDialogs,
    preprocess::Unfit,
};
use crate::{
    command::Reply,
    header::{HeaderName, Name},
    io::Flow,
    message::{Method, Request, Response, StatusCode},
    transaction::{ClientId, EndReason, ServerId},
};
use std::time::Instant;

/// How a branch ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BranchEnd {
    /// A final response.
    Answered(StatusCode),
    /// None.
    Failed(EndReason),
    /// It was never sent: another had been answered.
    NotTried,
}

/// The response context of one request.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) server: ServerId,
    pub(super) request: Request,
    /// Where it came from.
    pub(super) flow: Flow,
    /// The flow that our own Route value names (RFC 5626 §5.3).
    pub(super) way: Option<Flow>,
    pub(super) options: ForwardOptions,
    waiting: TargetSet,
    pub(super) legs: Vec<Leg>,
    early: EarlyDialogs,
    best: Option<Response>,
    challenges: Vec<(HeaderName, String)>,
    /// A 2xx or 6xx has come, or the client sent CANCEL: nobody else is tried.
    pub(super) decided: bool,
    /// The final status that was forwarded.
    answered: Option<StatusCode>,
    /// `Reason` of the client's CANCEL.
    reason: Option<String>,
}

#[derive(Debug)]
pub(super) struct Leg {
    pub(super) branch: Branch,
    pub(super) state: LegState,
}

#[derive(Debug, PartialEq)]
pub(super) enum LegState {
    /// Where to is being found out.
    Locating,
    Sent {
        client: ClientId,
        /// A provisional response has come.
        heard: bool,
        cancelled: bool,
        give_up_at: Option<Instant>,
        /// Provisional responses do not put this off.
        ring_until: Option<Instant>,
    },
    Ended,
}

impl Context {
    pub(super) fn new(server: ServerId, request: Request, flow: Flow, way: Option<Flow>) -> Self {
        Self {
            server,
            early: EarlyDialogs::of(&request),
            request,
            flow,
            way,
            options: ForwardOptions::default(),
            waiting: TargetSet::default(),
            legs: Vec::new(),
            best: None,
            challenges: Vec::new(),
            decided: false,
            answered: None,
            reason: None,
        }
    }

    pub(super) fn add(&mut self, targets: TargetSet, options: ForwardOptions) {
        self.waiting.append(targets);
        self.options = options;
    }

    pub(super) fn branches(&self) -> usize {
        self.legs.len().saturating_add(self.waiting.len())
    }

    pub(super) fn is_forwarding(&self) -> bool {
        self.legs.iter().any(|leg| leg.state != LegState::Ended)
    }

    pub(super) fn clients(&self) -> Vec<ClientId> {
        let client = |leg: &Leg| match leg.state {
            LegState::Sent { client, .. } => Some(client),
            LegState::Locating | LegState::Ended => None,
        };
        self.legs.iter().filter_map(client).collect()
    }

    fn leg_of(&mut self, wanted: ClientId) -> Option<(usize, &mut Leg)> {
        self.legs
            .iter_mut()
            .enumerate()
            .find(|(_, leg)| matches!(leg.state, LegState::Sent { client, .. } if client == wanted))
    }

    fn due(&self) -> Option<Instant> {
        let due = |leg: &Leg| match leg.state {
            LegState::Sent { give_up_at, ring_until, .. } => {
                give_up_at.into_iter().chain(ring_until.filter(|_| give_up_at.is_some())).min()
            }
            LegState::Locating | LegState::Ended => None,
        };
        self.legs.iter().filter_map(due).min()
    }

    /// §16.7 step 6: how good a response is; lower is better.
    fn rank(status: StatusCode) -> (u16, u16) {
        let code = status.code();
        let class = if code >= 600 { 0 } else { code / 100 };
        let wanted = matches!(code, 401 | 407 | 415 | 420 | 484);
        (class, if wanted { 0 } else { code })
    }

    fn take_best(&mut self, response: Response) {
        let better =
            self.best.as_ref().is_none_or(|best| Self::rank(response.status()) < Self::rank(best.status()));
        for (name, status) in [(HeaderName::WwwAuthenticate, 401), (HeaderName::ProxyAuthenticate, 407)] {
            if response.status().code() == status {
                self.challenges.extend(response.get_all(name).map(|value| (name, value.to_owned())));
            }
        }
        if better {
            self.best = Some(response);
        }
    }
}

impl Proxy {
    /// Sends the next group, if nothing is under way; else answers with the best there is.
    pub(super) fn try_next(&mut self, handle: ForwardHandle) {
        let Some(context) = self.contexts.get_mut(handle) else { return };
        if context.is_forwarding() || context.decided {
            return self.conclude(handle);
        }
        let Some(group) = context.waiting.next_group() else { return self.conclude(handle) };
        let first = context.legs.len();
        let breadth = breadth_of(&context.request).unwrap_or(self.config.breadth);
        let wanted = u16::try_from(group.len()).unwrap_or(u16::MAX);
        let Some(share) = breadth.checked_div(wanted).filter(|share| *share > 0) else {
            let reply = Unfit::Breadth.reply();
            let (server, request) = (context.server, context.request.clone());
            let _ = self.answer_for(server, &request, &reply);
            return self.finish(handle, Some(reply.status));
        };
        context.legs.extend(group.into_iter().map(|branch| Leg { branch, state: LegState::Locating }));
        let last = context.legs.len();
        for at in first..last {
            self.start(handle, at, share);
        }
        self.try_to_end(handle);
    }

    fn answer_for(
        &mut self,
        server: ServerId,
        request: &Request,
        reply: &Reply,
    ) -> Result<(), crate::error::Misuse> {
        let response = self.write_reply(request, reply)?;
        self.transactions.respond(server, &response, self.now)
    }

    pub(super) fn on_response(&mut self, handle: ForwardHandle, client: ClientId, response: &Response) {
        let ringing = self.now.checked_add(self.config.ringing);
        let Some(context) = self.contexts.get_mut(handle) else { return };
        let status = response.status();
        let is_invite = *context.request.method() == Method::Invite;
        let first = context.answered.is_none();
        let Some((at, leg)) = context.leg_of(client) else { return };
        if status == StatusCode::TRYING {
            return;
        }
        let Ok(response) = response.edit().pop_first(HeaderName::Via).finish() else { return };
        if status.is_provisional() {
            if let LegState::Sent { heard, give_up_at, .. } = &mut leg.state {
                *heard = true;
                *give_up_at = give_up_at.and(ringing);
            }
            if first && context.early.passes(at, &response) {
                self.pass(handle, response);
            }
            return self.arm(handle);
        }
        if status.is_success() {
            // Every 2xx to an INVITE passes, also repeated ones and those of other branches.
            if !is_invite {
                leg.state = LegState::Ended;
            } else if let LegState::Sent { give_up_at, .. } = &mut leg.state {
                *give_up_at = None;
            }
            if first || is_invite {
                self.pass(handle, response);
            }
            if first {
                self.event(ProxyEvent::BranchEnded {
                    request: handle,
                    branch: at,
                    end: BranchEnd::Answered(status),
                });
                self.decide(handle, Some(status));
            }
            return self.try_to_end(handle);
        }
        if status.code() >= 600 {
            self.cancel_others(handle, Some(at));
        }
        if let Some(context) = self.contexts.get_mut(handle) {
            context.take_best(response);
            context.decided |= status.code() >= 600;
        }
        self.end_branch(handle, at, BranchEnd::Answered(status));
        if matches!(status, StatusCode::FLOW_FAILED | StatusCode::REQUEST_TIMEOUT) {
            self.replace_flow(handle, at);
        }
        self.try_to_end(handle);
        self.tell_early_end(handle, at, status);
    }

    fn pass(&mut self, handle: ForwardHandle, response: Response) {
        let Some(context) = self.contexts.get(handle) else { return };
        let _ = self.transactions.respond(context.server, &response, self.now);
        self.event(ProxyEvent::Response { request: handle, response });
    }

    /// A branch's transaction is over. `Completed` follows its final response, which was dealt with.
    pub(super) fn on_client_ended(&mut self, handle: ForwardHandle, client: ClientId, reason: EndReason) {
        let Some(context) = self.contexts.get_mut(handle) else { return };
        let Some((at, _)) = context.leg_of(client) else { return };
        if reason != EndReason::Completed {
            self.fail_branch(handle, at, reason);
        } else if let Some(leg) = self.contexts.get_mut(handle).and_then(|context| context.legs.get_mut(at)) {
            leg.state = LegState::Ended;
        }
        self.try_to_end(handle);
    }

    /// §16.9: as if 408 or 503 had come; 430 from a flow that is dead (RFC 5626 §5.3.1).
    pub(super) fn fail_branch(&mut self, handle: ForwardHandle, at: usize, reason: EndReason) {
        let Some(context) = self.contexts.get(handle) else { return };
        let by_flow = context.legs.get(at).is_some_and(|leg| leg.branch.flow().or(context.way).is_some());
        let status = match reason {
            EndReason::TimedOut => StatusCode::REQUEST_TIMEOUT,
            _ if by_flow => StatusCode::FLOW_FAILED,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let request = context.request.clone();
        if let Ok(response) = self.write_reply(&request, &Reply::new(status))
            && let Some(context) = self.contexts.get_mut(handle)
        {
            context.take_best(response);
        }
        self.end_branch(handle, at, BranchEnd::Failed(reason));
        self.replace_flow(handle, at);
        self.tell_early_end(handle, at, status);
    }

    /// RFC 5626 §7: the device has registered over another flow too.
    fn replace_flow(&mut self, handle: ForwardHandle, at: usize) {
        let Some(context) = self.contexts.get_mut(handle).filter(|context| !context.decided) else { return };
        let Some(leg) = context.legs.get_mut(at) else { return };
        let mut others = std::mem::take(&mut leg.branch.other_flows);
        if others.is_empty() {
            return;
        }
        let mut branch = others.remove(0);
        branch.other_flows = others;
        let next = context.legs.len();
        context.legs.push(Leg { branch, state: LegState::Locating });
        let breadth = breadth_of(&context.request).unwrap_or(self.config.breadth);
        self.start(handle, next, breadth);
    }

    /// RFC 6228 §6: early dialogs are over, and the caller would hear nothing of it for as long as others ring.
    fn tell_early_end(&mut self, handle: ForwardHandle, at: usize, status: StatusCode) {
        let Some(context) = self.contexts.get_mut(handle) else { return };
        if context.answered.is_some() {
            return;
        }
        let over = context.early.end(at);
        let request = context.request.clone();
        for tag in over {
            let told = request
                .response(StatusCode::EARLY_DIALOG_TERMINATED)
                .to_tag(&tag)
                .header(HeaderName::Reason, format_args!("SIP;cause={}", status.code()))
                .finish();
            if let Ok(told) = told {
                self.pass(handle, told);
            }
        }
    }

    pub(super) fn end_branch(&mut self, handle: ForwardHandle, at: usize, end: BranchEnd) {
        let Some(leg) = self.contexts.get_mut(handle).and_then(|context| context.legs.get_mut(at)) else {
            return;
        };
        if let LegState::Sent { client, .. } = leg.state {
            self.clients.remove(&client);
        }
        leg.state = LegState::Ended;
        self.event(ProxyEvent::BranchEnded { request: handle, branch: at, end });
        self.arm(handle);
    }

    /// The race is over.
    fn decide(&mut self, handle: ForwardHandle, status: Option<StatusCode>) {
        if let Some(context) = self.contexts.get_mut(handle) {
            context.decided = true;
            context.answered = context.answered.or(status);
            context.waiting.clear();
        }
        self.cancel_others(handle, None);
    }

    /// §16.10: CANCEL to every branch that rings. What was answered is not harmed by it.
    fn cancel_others(&mut self, handle: ForwardHandle, except: Option<usize>) {
        let Some(context) = self.contexts.get_mut(handle) else { return };
        let reason = context.reason.clone();
        let mut losers = Vec::new();
        for (at, leg) in context.legs.iter_mut().enumerate() {
            if let LegState::Sent { client, cancelled, give_up_at, .. } = &mut leg.state
                && Some(at) != except
                && give_up_at.is_some()
                && !*cancelled
            {
                *cancelled = true;
                losers.push(*client);
            }
        }
        let headers: Vec<(Name<'_>, &str)> =
            reason.as_deref().map(|reason| (Name::from(HeaderName::Reason), reason)).into_iter().collect();
        for client in losers {
            let _ = self.transactions.cancel(client, &headers, self.now);
        }
    }

    /// The client sent CANCEL (answered 200 below): it goes to all branches.
    pub(super) fn on_cancel(&mut self, handle: ForwardHandle, cancel: &Request) {
        let mut unsent = Vec::new();
        if let Some(context) = self.contexts.get_mut(handle) {
            context.reason = cancel.get(HeaderName::Reason).map(str::to_owned);
            context.decided = true;
            context.waiting.clear();
            let legs = context.legs.iter().enumerate();
            unsent.extend(legs.filter(|(_, leg)| leg.state == LegState::Locating).map(|(at, _)| at));
        }
        for at in unsent {
            self.end_branch(handle, at, BranchEnd::NotTried);
        }
        self.cancel_others(handle, None);
        let idle = self.contexts.get(handle).is_some_and(|context| !context.is_forwarding());
        if idle {
            let Some(context) = self.contexts.get(handle) else { return };
            let (server, request) = (context.server, context.request.clone());
            let _ = self.answer_for(server, &request, &Reply::new(StatusCode::REQUEST_TERMINATED));
            self.finish(handle, Some(StatusCode::REQUEST_TERMINATED));
        }
    }

    pub(super) fn on_server_ended(&mut self, handle: ForwardHandle) {
        let answered = self.contexts.get(handle).and_then(|context| context.answered);
        if answered.is_none() {
            self.cancel_others(handle, None);
        }
        self.finish(handle, answered);
    }

    /// Timer C (§16.8): CANCEL what rings too long; what never rang counts as 408.
    pub(super) fn on_timer_c(&mut self, handle: ForwardHandle) {
        let now = self.now;
        let Some(context) = self.contexts.get_mut(handle) else { return };
        let mut rung = Vec::new();
        let mut silent = Vec::new();
        for (at, leg) in context.legs.iter_mut().enumerate() {
            let LegState::Sent { client, heard, cancelled, give_up_at, ring_until } = &mut leg.state else {
                continue;
            };
            let is_due = |at: &Option<Instant>| at.is_some_and(|at| at <= now);
            if give_up_at.is_none() || !is_due(give_up_at) && !is_due(ring_until) {
                continue;
            }
            *give_up_at = None;
            if *heard && !*cancelled {
                *cancelled = true;
                rung.push(*client);
            } else {
                silent.push((at, *client));
            }
        }
        for client in rung {
            let _ = self.transactions.cancel(client, &[], now);
        }
        for (_, client) in silent {
            self.on_client_ended(handle, client, EndReason::TimedOut);
        }
        self.arm(handle);
    }

    pub(super) fn try_to_end(&mut self, handle: ForwardHandle) {
        let Some(context) = self.contexts.get(handle) else { return };
        if context.is_forwarding() {
            return;
        }
        if context.decided || context.waiting.is_empty() {
            self.conclude(handle);
        } else {
            self.try_next(handle);
        }
    }

    /// Everything has ended: the best response goes back, unless a final one has.
    fn conclude(&mut self, handle: ForwardHandle) {
        let Some(context) = self.contexts.get_mut(handle) else { return };
        if context.is_forwarding() {
            return;
        }
        if let Some(status) = context.answered {
            return self.finish(handle, Some(status));
        }
        let Some(best) = context.best.take() else {
            if context.legs.is_empty() && context.waiting.is_empty() {
                return;
            }
            let (server, request) = (context.server, context.request.clone());
            let reply = Reply::new(StatusCode::REQUEST_TIMEOUT);
            let _ = self.answer_for(server, &request, &reply);
            return self.finish(handle, Some(reply.status));
        };
        let response = as_forwarded(best, &context.challenges, context.way.is_some());
        let status = response.status();
        self.pass(handle, response);
        self.finish(handle, Some(status));
    }

    pub(super) fn arm(&mut self, handle: ForwardHandle) {
        let due = self.contexts.get(handle).and_then(|context| context.due());
        self.agenda.set(handle, due);
    }
}

/// §16.7 steps 6 and 7: a 503 is passed as 500, and the challenges of all branches go back together. A 430 is between
/// proxies alone (RFC 5626 §11.5): whoever is no edge for this request says that nobody is there.
fn as_forwarded(best: Response, challenges: &[(HeaderName, String)], is_edge: bool) -> Response {
    let code = best.status().code();
    let mut edit = best.edit();
    let instead = match code {
        503 => Some(StatusCode::SERVER_INTERNAL_ERROR),
        430 if !is_edge => Some(StatusCode::TEMPORARILY_UNAVAILABLE),
        _ => None,
    };
    if let Some(status) = instead {
        edit = edit.status(status, status.reason());
    }
    if matches!(code, 401 | 407) {
        edit = edit.remove(HeaderName::WwwAuthenticate).remove(HeaderName::ProxyAuthenticate);
        for (name, value) in challenges {
            edit = edit.append(*name, value);
        }
    }
    edit.finish().unwrap_or(best)
}

/// `Max-Breadth` (RFC 5393 §5.3).
fn breadth_of(request: &Request) -> Option<u16> {
    request.get("Max-Breadth")?.trim().parse().ok()
}
