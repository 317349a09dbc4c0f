//! Requests outside any call: who sent them, and whether they may.
//!
//! An INVITE from a neighbour's address needs no password; any other is challenged, and whoever cannot answer is refused.
//! A REGISTER is always challenged. OPTIONS is answered, for telephones and neighbours ask with it whether we live.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use denwa::evidence::{Evidence, Fact, Rule};
use denwa_sip_core::auth::identity::{self, IdentityError, TrustStore};
use denwa_sip_core::auth::server::{AuthenticationFailure, ChallengePolicy};
use denwa_sip_core::endpoint::{Headers, Reply, RequestEnd, RequestHandle};
use denwa_sip_core::io::Flow;
use denwa_sip_core::message::{Method, Request};
use denwa_sip_core::{HeaderName, StatusCode};

use super::call::{Call, refusal};
use super::desk::Desk;
use super::invitation::{Caller, CallerKind, Invitation, dialled, number_in, whence};
use super::messages::Messages;
use super::planned::described;
use super::registrar::Registrar;
use super::{Event, Output, facts};
use crate::links::Link;
use crate::route::{Completion, Destination};
use crate::store::CallRecord;
use crate::store::thread::StoreRequest;
use crate::why::{End, explain, remedy_of_credentials};

/// What is allowed in a request line here.
const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, MESSAGE, REFER, SUBSCRIBE";

/// Before a number: the telephones there answer by themselves, to be spoken to.
const INTERCOM: &str = "*80";

/// Before a number: the caller's own is not shown.
const WITHHOLD: &str = "*67";

/// How old or new a signature may be (RFC 8224 section 6.2).
const FRESH: Duration = Duration::from_secs(60);

/// Requests whose sender is not known yet, or the way to him not.
#[derive(Debug, Default)]
pub(super) struct Admission {
    waiting: BTreeMap<RequestHandle, Waiting>,
    /// Short messages on their way.
    pub(super) messages: Messages,
}

#[derive(Debug)]
enum Waiting {
    /// For the right password.
    Password { message: Request, flow: Flow },
    /// For the route to the caller.
    Route(Invitation),
    /// For more digits, until this moment.
    Digits(Box<Invitation>, Instant),
}

impl Admission {
    /// A request came. A call begins at once when its sender is a neighbour and the way to him is known.
    pub(super) fn incoming(
        &mut self,
        desk: &mut Desk,
        request: RequestHandle,
        message: Request,
        flow: Flow,
        calls: usize,
    ) -> Option<Call> {
        match message.method() {
            Method::Invite => {
                if let Some(link) = desk.links.from(flow.protocol, flow.remote) {
                    let invited = invited_by(desk, link, request, message, flow);
                    return self.invited_from_outside(desk, invited, calls);
                }
                self.ask_password(desk, request, message, flow, true);
            }
            Method::Message => match desk.links.from(flow.protocol, flow.remote) {
                Some(link) => {
                    let sender = Caller::trunk(link, &message, &desk.setup.plan);
                    self.messages.pass(desk, request, &message, &sender, &dialled(&message));
                }
                None => self.ask_password(desk, request, message, flow, true),
            },
            Method::Register => self.ask_password(desk, request, message, flow, false),
            Method::Options => {
                let headers = Headers::new()
                    .with("Allow", ALLOW)
                    .and_then(|headers| headers.with("Accept", "application/sdp"));
                answer(desk, request, Reply::new(StatusCode::OK).with_headers(headers.unwrap_or_default()));
            }
            Method::Subscribe => self.ask_password(desk, request, message, flow, false),
            Method::Publish => answer(desk, request, Reply::new(StatusCode::BAD_EVENT)),
            method => {
                let cause = format!("{} is not served here outside a call", method.as_str());
                let from = whence(flow.protocol, flow.remote);
                desk.tell(Event::Refused {
                    from,
                    what: method.as_str().to_owned(),
                    cause,
                    remedy: String::new(),
                });
                let headers = Headers::new().with("Allow", ALLOW).unwrap_or_default();
                answer(desk, request, Reply::new(StatusCode::METHOD_NOT_ALLOWED).with_headers(headers));
            }
        }
        None
    }

    /// A request came from a telephone that is known without a password. OPTIONS and the like are anybody's.
    pub(super) fn known(
        &mut self,
        desk: &mut Desk,
        request: RequestHandle,
        message: Request,
        flow: Flow,
        number: &str,
        calls: usize,
    ) -> Option<Call> {
        if !matches!(message.method(), Method::Invite | Method::Message | Method::Register) {
            return self.incoming(desk, request, message, flow, calls);
        }
        self.waiting.insert(request, Waiting::Password { message, flow });
        self.authenticated(desk, request, number, calls)
    }

    /// Where a request that waits came from.
    pub(super) fn flow_of(&self, request: RequestHandle) -> Option<Flow> {
        match self.waiting.get(&request)? {
            Waiting::Password { flow, .. } => Some(*flow),
            Waiting::Route(invitation) => Some(invitation.flow),
            Waiting::Digits(invitation, _) => Some(invitation.flow),
        }
    }

    /// The same, when it is an INVITE that waits for a password.
    pub(super) fn invite_of(&self, request: RequestHandle) -> Option<Flow> {
        match self.waiting.get(&request)? {
            Waiting::Password { message, flow } if *message.method() == Method::Invite => Some(*flow),
            _ => None,
        }
    }

    /// A SUBSCRIBE whose password was right.
    pub(super) fn subscription(&mut self, request: RequestHandle) -> Option<(Request, Flow)> {
        let is_one = matches!(self.waiting.get(&request), Some(Waiting::Password { message, .. })
            if *message.method() == Method::Subscribe);
        match is_one.then(|| self.waiting.remove(&request))?? {
            Waiting::Password { message, flow } => Some((message, flow)),
            Waiting::Route(_) | Waiting::Digits(..) => None,
        }
    }

    /// The password of a request was right.
    pub(super) fn authenticated(
        &mut self,
        desk: &mut Desk,
        request: RequestHandle,
        username: &str,
        calls: usize,
    ) -> Option<Call> {
        let Some(Waiting::Password { message, flow }) = self.waiting.remove(&request) else { return None };
        if !may_come_so(desk, username, &flow) {
            let from = whence(flow.protocol, flow.remote);
            let cause = format!("the `allow` of {username} in the file names other addresses or transports");
            if *message.method() == Method::Invite
                && let Some(caller) = Caller::extension(username, desk)
            {
                let dialled = dialled(&message);
                let invitation = Invitation { request, message, flow, caller, dialled };
                let end =
                    End::NotAllowed { limit: format!("{from} may not call: {cause}"), rule: Rule::Listed };
                refuse(desk, &invitation, &Destination::Unknown, &end);
                return None;
            }
            let what = format!("{} as {username}", message.method().as_str());
            let remedy = Rule::Listed.remedy().to_owned();
            desk.tell(Event::Refused { from, what, cause, remedy });
            answer(desk, request, Reply::new(StatusCode::FORBIDDEN));
            return None;
        }
        if *message.method() == Method::Register {
            let asked =
                message.to().ok().and_then(|to| to.uri.user_unescaped()).unwrap_or_default().into_owned();
            if !Registrar::authenticated(desk, request, &asked, username) {
                let cause = format!("it showed the password of {username}");
                let from = whence(flow.protocol, flow.remote);
                let remedy = "Have it register by the number whose password it has.".to_owned();
                desk.tell(Event::RegistrationRefused { number: asked, from, cause, remedy });
                answer(desk, request, Reply::new(StatusCode::FORBIDDEN));
            }
            return None;
        }
        if let Some(link) = desk.links.by_user(username) {
            if *message.method() == Method::Message {
                let sender = Caller::trunk(link, &message, &desk.setup.plan);
                self.messages.pass(desk, request, &message, &sender, &dialled(&message));
                return None;
            }
            let invited = invited_by(desk, link, request, message, flow);
            return self.invited_from_outside(desk, invited, calls);
        }
        let Some(mut caller) = Caller::extension(username, desk) else {
            // The extension was removed between the challenge and the answer.
            answer(desk, request, Reply::new(StatusCode::FORBIDDEN));
            return None;
        };
        let mut dialled = dialled(&message);
        if let Some(rest) = dialled.strip_prefix(INTERCOM).filter(|rest| !rest.is_empty()) {
            caller.intercom = true;
            dialled = rest.to_owned();
        }
        if let Some(rest) = dialled.strip_prefix(WITHHOLD).filter(|rest| !rest.is_empty()) {
            caller.withheld = true;
            dialled = rest.to_owned();
        }
        if *message.method() == Method::Message {
            self.messages.pass(desk, request, &message, &caller, &dialled);
            return None;
        }
        let invitation = Invitation { request, message, flow, caller, dialled };
        if desk.directory.get(username).is_some_and(|account| account.overlap) {
            return self.dialled_on(desk, invitation, calls);
        }
        self.invited(desk, invitation, calls)
    }

    /// Somebody who dials digit by digit has dialled one more: the same call again with a longer number (RFC 3578).
    fn dialled_on(&mut self, desk: &mut Desk, invitation: Invitation, calls: usize) -> Option<Call> {
        let call_id = invitation.message.call_id().unwrap_or_default();
        let is_before = |waiting: &Waiting| matches!(waiting, Waiting::Digits(one, _) if one.message.call_id().unwrap_or_default() == call_id);
        let before = self.waiting.iter().find(|(_, waiting)| is_before(waiting)).map(|(request, _)| *request);
        if let Some(before) = before {
            self.waiting.remove(&before);
            answer(desk, before, Reply::new(StatusCode::ADDRESS_INCOMPLETE));
        }
        match desk.completion(&invitation.dialled) {
            Completion::Incomplete => {
                answer(desk, invitation.request, Reply::new(StatusCode::ADDRESS_INCOMPLETE));
                None
            }
            Completion::MayGrow => {
                let until = desk.now.checked_add(desk.setup.digits).unwrap_or(desk.now);
                self.waiting.insert(invitation.request, Waiting::Digits(Box::new(invitation), until));
                None
            }
            Completion::Complete | Completion::Nothing => self.invited(desk, invitation, calls),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let until = |waiting: &Waiting| match waiting {
            Waiting::Digits(_, until) => Some(*until),
            Waiting::Password { .. } | Waiting::Route(_) => None,
        };
        self.waiting.values().filter_map(until).min()
    }

    /// Who has waited long enough for the next digit has dialled the whole number.
    pub(super) fn handle_timeout(&mut self, desk: &mut Desk, calls: usize) -> Vec<Call> {
        let is_due = |waiting: &Waiting| matches!(waiting, Waiting::Digits(_, until) if *until <= desk.now);
        let due: Vec<RequestHandle> =
            self.waiting.iter().filter(|(_, waiting)| is_due(waiting)).map(|(request, _)| *request).collect();
        let mut begun = Vec::new();
        for request in due {
            if let Some(Waiting::Digits(invitation, _)) = self.waiting.remove(&request) {
                begun.extend(self.invited(desk, *invitation, calls + begun.len()));
            }
        }
        begun
    }

    /// Credentials were wrong.
    pub(super) fn not_authenticated(
        &mut self,
        desk: &mut Desk,
        request: RequestHandle,
        flow: &Flow,
        username: &str,
        reason: AuthenticationFailure,
    ) {
        let waiting = self.waiting.remove(&request);
        let from = whence(flow.protocol, flow.remote);
        let number: String = username.chars().filter(|letter| !letter.is_control()).take(64).collect();
        let cause = match reason {
            AuthenticationFailure::WrongPassword => "the password is wrong".to_owned(),
            AuthenticationFailure::UnknownUser if desk.is_account(username) => {
                "its password was guessed too often of late, so that strangers cannot log in with it"
                    .to_owned()
            }
            AuthenticationFailure::UnknownUser => "there is no such extension".to_owned(),
            AuthenticationFailure::NoSecretForAlgorithm => {
                "its password is not kept for that algorithm".to_owned()
            }
            AuthenticationFailure::ReplayedNonceCount => {
                "its credentials were used before: a replayed message, or a telephone that cannot count"
                    .to_owned()
            }
            AuthenticationFailure::Unfit(what) => {
                format!("its credentials are not what was asked for: {what}")
            }
            other => format!("{other:?}"),
        };
        let remedy = match reason {
            AuthenticationFailure::WrongPassword => remedy_of_credentials(&number, true, desk.now),
            AuthenticationFailure::UnknownUser if desk.is_account(username) => {
                Rule::Banned.remedy().to_owned()
            }
            AuthenticationFailure::UnknownUser => remedy_of_credentials(&number, false, desk.now),
            AuthenticationFailure::NoSecretForAlgorithm => {
                "Give it a password anew: `pbx extensions password`.".to_owned()
            }
            _ => String::new(),
        };
        match waiting {
            Some(Waiting::Password { message, .. }) if *message.method() == Method::Invite => {
                desk.tell(Event::Refused { from, what: format!("a call as {number}"), cause, remedy });
            }
            _ => desk.tell(Event::RegistrationRefused { number, from, cause, remedy }),
        }
    }

    /// Nothing more will be heard of a request.
    pub(super) fn ended(&mut self, desk: &mut Desk, request: RequestHandle, reason: &RequestEnd) {
        let Some(waiting) = self.waiting.remove(&request) else { return };
        if let (Waiting::Password { message, flow }, RequestEnd::BadExtension(extension)) = (waiting, reason)
        {
            let from = whence(flow.protocol, flow.remote);
            let cause = format!("it requires the extension {extension}, which is not known here");
            let what = message.method().as_str().to_owned();
            desk.tell(Event::Refused { from, what, cause, remedy: String::new() });
        }
    }

    /// The route to a peer became known: calls that waited for it begin.
    pub(super) fn routed(&mut self, desk: &mut Desk, peer: IpAddr, calls: usize) -> Vec<Call> {
        let ready: Vec<RequestHandle> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| matches!(waiting, Waiting::Route(one) if one.flow.remote.ip().to_canonical() == peer))
            .map(|(request, _)| *request)
            .collect();
        let mut begun = Vec::new();
        for request in ready {
            if let Some(Waiting::Route(invitation)) = self.waiting.remove(&request) {
                begun.extend(self.invited(desk, invitation, calls + begun.len()));
            }
        }
        begun
    }

    /// A neighbour's call, when it is signed as the file wants it.
    fn invited_from_outside(
        &mut self,
        desk: &mut Desk,
        invited: Result<Invitation, Box<Unsigned>>,
        calls: usize,
    ) -> Option<Call> {
        match invited {
            Ok(invitation) => self.invited(desk, invitation, calls),
            Err(unsigned) => {
                let Unsigned { invitation, trunk, error } = *unsigned;
                let end = End::NotSigned { trunk, status: error.status().code(), error: error.to_string() };
                refuse(desk, &invitation, &Destination::Unknown, &end);
                None
            }
        }
    }

    fn ask_password(
        &mut self,
        desk: &mut Desk,
        request: RequestHandle,
        message: Request,
        flow: Flow,
        proxy: bool,
    ) {
        let algorithms = desk.setup.digest.clone();
        let policy = ChallengePolicy { proxy, algorithms, ..ChallengePolicy::new(desk.setup.realm.clone()) };
        // Before the command: what it finds out may come at once.
        self.waiting.insert(request, Waiting::Password { message, flow });
        if desk.endpoint.authenticate(request, &policy, desk.now).is_err() {
            self.waiting.remove(&request);
        }
    }

    /// A caller who may call has called.
    fn invited(&mut self, desk: &mut Desk, invitation: Invitation, calls: usize) -> Option<Call> {
        let is_emergency = desk.setup.emergency.contains(&invitation.dialled);
        if let Some(end) = forbidden(desk, &invitation.caller).filter(|_| !is_emergency) {
            refuse(desk, &invitation, &Destination::Unknown, &end);
            return None;
        }
        if !is_emergency && calls >= usize::try_from(desk.setup.call_limit).unwrap_or(usize::MAX) {
            let limit = desk.setup.call_limit;
            desk.tell(Event::LimitReached { limit: format!("{limit} calls at a time") });
            refuse(desk, &invitation, &Destination::Unknown, &End::TooManyCalls { limit });
            return None;
        }
        if desk.place_of(invitation.flow.remote.ip()).is_none() {
            self.waiting.insert(invitation.request, Waiting::Route(invitation));
            return None;
        }
        let reaches = desk.find(&invitation.dialled);
        match Call::begin(desk, invitation, reaches.clone()) {
            Ok(call) => Some(call),
            Err(refused) => {
                let (invitation, end) = *refused;
                refuse(desk, &invitation, &reaches, &end);
                None
            }
        }
    }
}

/// A call whose signature is missing or wrong.
struct Unsigned {
    invitation: Invitation,
    trunk: String,
    error: IdentityError,
}

/// A call from a neighbour: who calls, as it says, and whom.
fn invited_by(
    desk: &Desk,
    link: &Link,
    request: RequestHandle,
    message: Request,
    flow: Flow,
) -> Result<Invitation, Box<Unsigned>> {
    let error = distrust(desk, link, &message);
    let caller = Caller::trunk(link, &message, &desk.setup.plan);
    let style = &link.trunk.style;
    let asked = style.called_in.as_deref().and_then(|header| number_in(&message, header));
    let asked = style.incoming(&asked.unwrap_or_else(|| dialled(&message)));
    let dialled = link.number_asked_for(asked, |number| desk.find(number) != Destination::Unknown);
    let invitation = Invitation { request, message, flow, caller, dialled };
    match error {
        Some(error) => Err(Box::new(Unsigned { invitation, trunk: link.trunk.name.clone(), error })),
        None => Ok(invitation),
    }
}

/// Why a neighbour's signature of a caller is not believed.
fn distrust(desk: &Desk, link: &Link, message: &Request) -> Option<IdentityError> {
    let signatures = &link.trunk.signatures;
    let (url, key) = signatures.trusted_key()?;
    let mut store = TrustStore::new();
    store.trust(url, key);
    let error = identity::verify(message, &store, desk.unix(), FRESH).err()?;
    // What is not demanded may be missing; what is there must be right.
    (signatures.required || error != IdentityError::Missing).then_some(error)
}

/// Whether somebody who has proved to be `username` may do so from there.
pub(super) fn may_come_so(desk: &Desk, username: &str, flow: &Flow) -> bool {
    let inbound = desk.links.by_user(username).and_then(|link| link.trunk.inbound.as_ref());
    let allow = desk.directory.get(username).map(|account| &account.allow);
    allow
        .or(inbound.map(|inbound| &inbound.allow))
        .is_none_or(|allow| allow.allows(flow.protocol, flow.remote.ip()))
}

/// Why a caller may not call now.
fn forbidden(desk: &Desk, caller: &Caller) -> Option<End> {
    let limit = match &caller.kind {
        CallerKind::Extension => {
            let limit = desk.directory.get(&caller.number)?.call_limit?;
            (desk.calls_of(&caller.number) >= limit)
                .then(|| format!("{} has {limit} calls already, as many as it may have", caller.number))?
        }
        CallerKind::Trunk(name) => {
            let blocked =
                desk.setup.blocked.iter().find(|blocked| caller.number.starts_with(blocked.as_str()));
            if let Some(blocked) = blocked {
                let limit = format!("callers that begin with {blocked} are blocked");
                return Some(End::NotAllowed { limit, rule: Rule::Blocked });
            }
            let limit = desk.links.get(name)?.trunk.limits.calls?;
            (desk.calls_of(&format!("trunk {name}")) >= limit)
                .then(|| format!("there are {limit} calls by the trunk {name} already, as many as may be"))?
        }
        CallerKind::Exchange => return None,
    };
    Some(End::NotAllowed { limit, rule: Rule::Calls })
}

fn answer(desk: &mut Desk, request: RequestHandle, reply: Reply) {
    // A request that has ended meanwhile (CANCEL, a lost connection) needs no answer.
    let _ = desk.endpoint.respond(request, &reply, desk.now);
}

/// Refuses a call that never became one, and keeps its record all the same.
fn refuse(desk: &mut Desk, invitation: &Invitation, reaches: &Destination, end: &End) {
    answer(desk, invitation.request, refusal(end));
    desk.note_busy(&invitation.caller, end);
    let number = desk.new_call();
    let began_at = desk.time_of_day(desk.now);
    let mut evidence = Evidence::new(format!("call {number}"), 2, desk.now);
    if let End::NotAllowed { limit, rule } = end {
        evidence.add(None, Fact::Forbidden { rule: *rule, why: limit.clone() }, desk.now);
    }
    let cause = explain(end, false, &evidence);
    let from = invitation.caller.described(&invitation.flow);
    let agent = invitation.message.get(HeaderName::UserAgent).unwrap_or_default();
    let record = Arc::new(CallRecord {
        call: i64::try_from(number).unwrap_or(0),
        began_at,
        answered_at: None,
        ended_at: began_at,
        caller: invitation.caller.number.clone(),
        caller_side: invitation.caller.side(),
        dialled: invitation.dialled.clone(),
        callee_side: described(reaches),
        outcome: end.outcome(false),
        status: end.status(),
        cause: cause.as_ref().map(|cause| cause.sentence.clone()).unwrap_or_default(),
        remedy: cause.map(|cause| cause.remedy).unwrap_or_default(),
        codec: String::new(),
        evidence: format!("INVITE from {from} {agent}\n{}", facts::lines(&evidence)),
    });
    desk.put(Output::Store(StoreRequest::PutCall(Arc::clone(&record))));
    desk.tell(Event::CallEnded { call: number, record });
}
