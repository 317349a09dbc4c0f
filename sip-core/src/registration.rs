//! The registration client: makes a registration with a registrar elsewhere, keeps it, withdraws it
//! (RFC 3261 §10.2, RFC 5626 for several flows). When it refreshes and how long it waits: `upkeep`.

use crate::{
    auth::client::ChallengeRefusal,
    command::{Headers, Party},
    context::{Context, Over, Owner, Timer, request_headers},
    dialog::{Face, values},
    error::Attitude,
    event::{Event, Gruu, RegistrationFailure},
    handle::{AuthHandle, RegistrationHandle},
    header::{self, CSeq, HeaderName, HeaderValue, NameAddr},
    io::Flow,
    message::{Method, Request, Response, StatusCode, UriBuf},
    transaction::EndReason,
    transport::Target,
    upkeep::{State, Upkeep, retry_after},
};
use std::time::Duration;

/// How registrations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationPolicy {
    /// The first wait after a failure; doubled with each further one.
    pub first_wait: Duration,
    /// The same while other flows of the device stand (RFC 5626 §4.5).
    pub first_wait_with_others: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Default for RegistrationPolicy {
    /// 30 s (90 s while other flows stand), doubled up to half an hour, as RFC 5626 §4.5 recommends.
    fn default() -> Self {
        Self {
            first_wait: Duration::from_secs(30),
            first_wait_with_others: Duration::from_secs(90),
            longest_wait: Duration::from_secs(1800),
        }
    }
}

/// One registration.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) handle: RegistrationHandle,
    pub(crate) address_of_record: Party,
    pub(crate) registrar: UriBuf,
    pub(crate) target: Target,
    pub(crate) routes: Vec<String>,
    pub(crate) face: Face,
    pub(crate) headers: Headers,
    pub(crate) auth: Option<AuthHandle>,
    pub(crate) call_id: String,
    pub(crate) tag: String,
    pub(crate) outbound: Option<OutboundFlow>,
    /// What the last 2xx granted.
    pub(crate) granted: Option<Gruu>,
    pub(crate) upkeep: Upkeep<RegistrationFailure>,
}

/// One of several flows to one registrar (RFC 5626 §4.2).
#[derive(Debug)]
pub(crate) struct OutboundFlow {
    /// All registrations of one device with one registrar.
    pub(crate) group: u64,
    /// `+sip.instance`, with its angle brackets.
    pub(crate) instance: String,
    /// How often the flow is kept alive when the registrar does not say.
    pub(crate) keep_alive: Duration,
    /// The flow it stands on.
    pub(crate) flow: Option<Flow>,
}

impl Registration {
    /// Sends REGISTER for as long as is wished.
    pub(crate) fn ask(&mut self, cx: &mut Context) {
        self.send(cx, self.upkeep.expires);
    }

    /// Sends REGISTER.
    fn send(&mut self, cx: &mut Context, expires: Duration) {
        self.upkeep.next_sequence();
        let sent = self.write(cx, expires).and_then(|request| {
            let owner = Owner::Registration(self.handle);
            cx.send(owner, request, self.target.clone(), self.face.send_options(true), self.auth, None)
        });
        if !self.upkeep.sent(sent.is_ok(), expires.is_zero()) {
            self.wait(cx, RegistrationFailure::Unreachable(EndReason::Unreachable), None);
        }
        self.arm(cx);
    }

    fn write(&self, cx: &Context, expires: Duration) -> Result<Request, crate::error::Misuse> {
        let mut builder = Request::builder(Method::Register, &self.registrar);
        for route in &self.routes {
            builder = builder.header(HeaderName::Route, route);
        }
        let from = crate::command::Tagged(&self.address_of_record, Some(&self.tag));
        let to = crate::command::Tagged(&self.address_of_record, None);
        let builder = builder
            .header(HeaderName::MaxForwards, 70)
            .header(HeaderName::From, from)
            .header(HeaderName::To, to)
            .header(HeaderName::CallId, &self.call_id)
            .header(HeaderName::CSeq, CSeq { sequence: self.upkeep.sequence, method: Method::Register })
            .header(HeaderName::Expires, expires.as_secs())
            .header_if(HeaderName::UserAgent, cx.config.software.as_ref());
        let mut builder = cx.capabilities(builder);
        if self.outbound.is_some() {
            builder = builder.header(HeaderName::Supported, "path, outbound, gruu");
        }
        Ok(request_headers(builder, &self.headers).finish()?)
    }

    /// It was challenged and sent again with this number.
    pub(crate) fn on_resent(&mut self, sequence: Option<u32>) {
        self.upkeep.on_resent(sequence);
    }

    pub(crate) fn on_response(
        &mut self,
        cx: &mut Context,
        response: &Response,
        flow: Flow,
        refusal: Option<ChallengeRefusal>,
    ) {
        let status = response.status();
        if !status.is_final() {
            return;
        }
        match self.upkeep.state {
            State::Withdrawing => self.over(cx, None),
            State::Asking { withdraw: true } => self.send(cx, Duration::ZERO),
            State::Asking { withdraw: false } if status.is_success() => self.on_success(cx, response, flow),
            State::Asking { withdraw: false } => match (status, refusal) {
                (StatusCode::INTERVAL_TOO_BRIEF, _) if self.upkeep.ask_for_longer(response) => self.ask(cx),
                (_, Some(reason)) => self.wait(cx, RegistrationFailure::NotAuthenticated(reason), None),
                (_, None) => {
                    let after = retry_after(response);
                    self.wait(cx, RegistrationFailure::Refused(Box::new(response.clone())), after);
                }
            },
            State::Held { .. } | State::Waiting { .. } | State::Over(_) => {}
        }
        self.arm(cx);
    }

    fn on_success(&mut self, cx: &mut Context, response: &Response, flow: Flow) {
        let contacts = match response.contacts() {
            Ok(header::Contacts::List(list)) => list,
            _ => Vec::new(),
        };
        let for_all = response.expires().ok().flatten();
        let granted = match contacts.as_slice() {
            [] => {
                self.wait(cx, RegistrationFailure::NotBound, None);
                return;
            }
            // A lone one is ours, whatever a box on the way made of it.
            [only] => only.expires().or(for_all),
            several => match self.own_binding(cx, several, &flow) {
                Some(own) => own.expires().or(for_all),
                None => several.iter().filter_map(NameAddr::expires).min().or(for_all),
            },
        };
        let expires_in =
            granted.map_or(self.upkeep.expires, |seconds| Duration::from_secs(u64::from(seconds)));
        let expires_in = expires_in.max(Duration::from_secs(1));
        self.upkeep.held(cx, expires_in);
        let service_route =
            values(response, HeaderName::ServiceRoute).iter().map(ToString::to_string).collect();
        let gruu = self.gruu(response);
        self.granted.clone_from(&gruu);
        self.flow_is_up(cx, flow, response);
        let response = response.clone();
        cx.event(Event::Registered { registration: self.handle, expires_in, response, service_route, gruu });
    }

    /// Ours among the bindings of the address of record (RFC 3261 §10.2.4): of the same device and flow (RFC 5626 §6),
    /// or of the same URI. `None` when a box on the way has rewritten it.
    fn own_binding<'a, 'b>(
        &self,
        cx: &Context,
        bindings: &'a [NameAddr<'b>],
        flow: &Flow,
    ) -> Option<&'a NameAddr<'b>> {
        let request = self.write(cx, self.upkeep.expires).ok()?;
        let contact = self.face.contact_on(flow, &request, &cx.transactions);
        let own = NameAddr::parse(&contact, Attitude::Lenient).ok()?;
        let device =
            |it: &NameAddr<'_>| it.params.unquoted("+sip.instance").map(|it| it.to_ascii_lowercase());
        let number = |it: &NameAddr<'_>| it.params.number("reg-id");
        bindings.iter().find(|binding| match (device(&own), device(binding)) {
            (Some(ours), Some(theirs)) if ours != theirs => false,
            (Some(_), Some(_)) if number(&own).is_some() => number(&own) == number(binding),
            _ => own.uri == binding.uri,
        })
    }

    /// The GRUUs that may be used: those of a registration that has lapsed may not (RFC 5627 §4.4).
    pub(crate) const fn granted(&self) -> Option<&Gruu> {
        match self.upkeep.state {
            State::Held { .. } | State::Asking { .. } => self.granted.as_ref(),
            State::Waiting { .. } | State::Withdrawing | State::Over(_) => None,
        }
    }

    /// The GRUUs granted to our own Contact (RFC 5627 §4.2).
    fn gruu(&self, response: &Response) -> Option<Gruu> {
        let instance = &self.outbound.as_ref()?.instance;
        let header::Contacts::List(contacts) = response.contacts().ok()? else { return None };
        let own = contacts.iter().find(|contact| {
            contact.params.unquoted("+sip.instance").is_some_and(|it| it.eq_ignore_ascii_case(instance))
        })?;
        let uri = |name| UriBuf::parse(&own.params.unquoted(name)?).ok();
        Some(Gruu { public: uri("pub-gruu")?, temporary: uri("temp-gruu") })
    }

    /// The flow stands: it is kept alive, as often as the registrar says (RFC 5626 §4.4).
    fn flow_is_up(&mut self, cx: &mut Context, flow: Flow, response: &Response) {
        let Some(outbound) = &mut self.outbound else { return };
        if outbound.flow == Some(flow) {
            return;
        }
        let told = response.number(HeaderName::FlowTimer, 86_400).ok().flatten().map(Duration::from_secs);
        // Whoever does not grant flows may not answer on them either (RFC 5626 §4.2.1).
        if told.is_some() || response.lists(HeaderName::Require, "outbound") {
            let _ = cx.transactions.keep_alive(flow, told.unwrap_or(outbound.keep_alive), cx.now);
        }
        if let Some(before) = outbound.flow.replace(flow) {
            cx.transactions.let_go(&before);
        } else {
            let up = cx.flows_up.entry(outbound.group).or_default();
            *up = up.saturating_add(1);
        }
    }

    fn flow_is_down(&mut self, cx: &mut Context) {
        let Some(outbound) = &mut self.outbound else { return };
        let Some(flow) = outbound.flow.take() else { return };
        cx.transactions.let_go(&flow);
        if let Some(up) = cx.flows_up.get_mut(&outbound.group) {
            *up = up.saturating_sub(1);
            if *up == 0 {
                cx.flows_up.remove(&outbound.group);
            }
        }
    }

    /// The flow is lost (RFC 5626 §4.5): the registration is made anew at once, over a new one.
    pub(crate) fn on_flow_lost(&mut self, cx: &mut Context, flow: &Flow) {
        if self.outbound.as_ref().is_none_or(|outbound| outbound.flow.as_ref() != Some(flow)) {
            return;
        }
        self.flow_is_down(cx);
        if matches!(self.upkeep.state, State::Held { .. }) {
            self.ask(cx);
        }
    }

    pub(crate) fn on_failure(&mut self, cx: &mut Context, failure: EndReason) {
        match self.upkeep.state {
            State::Withdrawing | State::Asking { withdraw: true } => self.over(cx, None),
            State::Asking { withdraw: false } => {
                self.wait(cx, RegistrationFailure::Unreachable(failure), None);
            }
            State::Held { .. } | State::Waiting { .. } | State::Over(_) => {}
        }
        self.arm(cx);
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Context) {
        if self.upkeep.due().is_some_and(|at| at <= cx.now) {
            self.ask(cx);
        }
        self.arm(cx);
    }

    /// Withdraws it.
    pub(crate) fn withdraw(&mut self, cx: &mut Context) {
        match &mut self.upkeep.state {
            State::Asking { withdraw } => *withdraw = true,
            State::Held { .. } => self.send(cx, Duration::ZERO),
            State::Waiting { .. } => self.over(cx, None),
            State::Withdrawing | State::Over(_) => {}
        }
        self.arm(cx);
    }

    fn wait(&mut self, cx: &mut Context, reason: RegistrationFailure, at_least: Option<Duration>) {
        self.flow_is_down(cx);
        let policy = cx.config.registration;
        let others = self.outbound.as_ref().is_some_and(|outbound| cx.flows_up.contains_key(&outbound.group));
        let first = if others { policy.first_wait_with_others } else { policy.first_wait };
        let retry_in = self.upkeep.failed(cx, first, at_least);
        cx.event(Event::RegistrationFailed { registration: self.handle, reason, retry_in });
    }

    fn over(&mut self, cx: &mut Context, reason: Option<RegistrationFailure>) {
        self.flow_is_down(cx);
        self.upkeep.state = State::Over(reason);
    }

    fn arm(&self, cx: &mut Context) {
        self.upkeep.arm(cx, Timer::Registration(self.handle), Over::Registration(self.handle));
    }

    /// It has left the table: its last words.
    pub(crate) fn bury(self: Box<Self>, cx: &mut Context) {
        cx.forget_credentials(self.auth);
        cx.deadlines.set(Timer::Registration(self.handle), None);
        if let State::Over(reason) = self.upkeep.state {
            cx.event(Event::RegistrationEnded { registration: self.handle, reason });
        }
    }
}
