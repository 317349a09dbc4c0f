//! What every usage works with: the layers below, the outbox, the clock, the generator. The only way to emit anything.

use crate::{
    agenda::Agenda,
    arena::Arena,
    auth::{
        client::{ClientAuth, Credentials, Subject},
        server::Authenticator,
    },
    call::info::announcement,
    command::{Body, CallOptions, Headers, Reply},
    dialog::{DialogHandle, Dialogs, Usage},
    endpoint::EndpointConfig,
    error::Misuse,
    event::Event,
    handle::{
        AuthHandle, CallHandle, OutgoingHandle, PublicationHandle, RegistrationHandle, RequestHandle,
        SubscriptionHandle,
    },
    header::{CSeq, HeaderName, TokenParams},
    io::{Flow, Lookup, Output, QueryId},
    limits::Limit,
    message::{Request, RequestBuilder, Response, ResponseBuilder, StatusCode},
    random::{Random, hex},
    transaction::{ClientId, SendOptions, ServerId, Transactions},
    transport::Target,
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A table by ids that are made here: no peer chooses them, so a fast hasher does.
pub(crate) type IdMap<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;

/// Who sent a request and awaits its response.
#[derive(Debug)]
pub(crate) enum Owner {
    /// A call's first INVITE.
    Invite(CallHandle),
    /// A call's re-INVITE, UPDATE or PRACK.
    Session(CallHandle),
    /// A request of the application inside a call's dialog.
    InDialog(CallHandle, OutgoingHandle),
    /// A request of the application outside any dialog.
    Outgoing(OutgoingHandle),
    /// A REGISTER.
    Registration(RegistrationHandle),
    /// A SUBSCRIBE, NOTIFY or REFER.
    Subscription(SubscriptionHandle),
    /// A PUBLISH.
    Publication(PublicationHandle),
    /// A BYE whose call has ended already, and the dialog it is the last of.
    Farewell(Option<DialogHandle>),
    /// An INVITE that was answered: further 2xx are acknowledged.
    Answered(Box<crate::call::aftermath::Aftermath>),
}

impl Owner {
    /// The call whose request it is, while it is the call's affair.
    pub(crate) const fn call(&self) -> Option<CallHandle> {
        match self {
            Self::Invite(call) | Self::Session(call) | Self::InDialog(call, _) => Some(*call),
            Self::Outgoing(_)
            | Self::Registration(_)
            | Self::Subscription(_)
            | Self::Publication(_)
            | Self::Farewell(_)
            | Self::Answered(_) => None,
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) owner: Owner,
    pub(crate) auth: Option<AuthHandle>,
    /// What was sent, kept to be sent again with credentials.
    pub(crate) sent: Option<Box<Sent>>,
}

/// What was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) request: Request,
    pub(crate) target: Target,
    pub(crate) options: SendOptions,
    pub(crate) dialog: Option<DialogHandle>,
    pub(crate) attempts: u8,
}

/// Credentials of a call or registration, and what challenges taught.
#[derive(Debug)]
pub(crate) struct Auth {
    pub(crate) credentials: Vec<Credentials>,
    pub(crate) sessions: ClientAuth,
}

/// Whose request a server transaction carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// It awaits the application.
    Request(RequestHandle),
    /// A call's first INVITE.
    Invite(CallHandle),
    /// A call's re-INVITE, UPDATE or PRACK.
    Session(CallHandle),
}

/// `Allow` and `Supported`, written once.
#[derive(Clone, Debug)]
pub(crate) struct Capabilities {
    pub(crate) allow: String,
    supported: [[String; 2]; 2],
    /// `Recv-Info`.
    pub(crate) packages: Option<String>,
}

impl Capabilities {
    pub(crate) fn of(config: &EndpointConfig) -> Self {
        Self {
            allow: config.allow_text(),
            supported: [false, true]
                .map(|reliable| [false, true].map(|timer| config.supported_text(reliable, timer))),
            packages: config.info_packages.as_deref().map(announcement),
        }
    }

    /// How many bytes they and the ends of a message take at most.
    pub(crate) fn room(&self) -> usize {
        let packages = self.packages.as_ref().map_or(0, String::len);
        self.allow
            .len()
            .saturating_add(self.supported(true, true).len())
            .saturating_add(packages)
            .saturating_add(128)
    }

    /// `Supported`, with 100rel and timer or without.
    fn supported(&self, reliable: bool, timer: bool) -> &str {
        let [without, with] = &self.supported;
        let [plain, timed] = if reliable { with } else { without };
        if timer { timed } else { plain }
    }
}

/// How a call that a transfer asked for is going.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) transfer: SubscriptionHandle,
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
}

/// What has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Call(CallHandle),
    Registration(RegistrationHandle),
    Subscription(SubscriptionHandle),
    Publication(PublicationHandle),
}

/// What a question to the application was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    /// Credentials for a request.
    Authenticate(RequestHandle),
    /// Storing the outcome of a REGISTER.
    StoreBindings(RequestHandle),
}

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Timer {
    Call(CallHandle),
    Request(RequestHandle),
    Registration(RegistrationHandle),
    Subscription(SubscriptionHandle),
    Publication(PublicationHandle),
    EventState(crate::publication::compositor::StateHandle),
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: Instant,
    pub(crate) config: EndpointConfig,
    pub(crate) capabilities: Capabilities,
    pub(crate) transactions: Transactions,
    pub(crate) dialogs: Dialogs,
    pub(crate) authenticator: Authenticator,
    pub(crate) auths: Arena<AuthHandle, Auth>,
    pub(crate) clients: IdMap<ClientId, Client>,
    pub(crate) servers: IdMap<ServerId, Served>,
    pub(crate) queries: IdMap<QueryId, Query>,
    pub(crate) deadlines: Agenda<Timer>,
    pub(crate) outbox: VecDeque<Output<Event>>,
    pub(crate) random: Random,
    pub(crate) next_query: u64,
    /// Reports of calls that transfers asked for, to be sent.
    pub(crate) reports: Vec<Report>,
    /// Calls that others replace, and by which (RFC 3891).
    pub(crate) replaced: Vec<(CallHandle, CallHandle)>,
    /// Of each group of flows to one registrar (RFC 5626 §4.2), how many stand.
    pub(crate) flows_up: IdMap<u64, u16>,
    /// SUBSCRIBEs that may still be answered by NOTIFYs of further notifiers, by our tag (RFC 6665 §4.4.1).
    pub(crate) awaiting_notify: IdMap<Box<str>, SubscriptionHandle>,
    /// Calls and registrations that have ended and are to be cleared away.
    pub(crate) over: Vec<Over>,
    pub(crate) is_shutting_down: bool,
}

impl Context {
    pub(crate) fn event(&mut self, event: Event) {
        self.outbox.push_back(Output::Event(event));
    }

    pub(crate) fn limit(&mut self, limit: Limit) {
        self.event(Event::LimitReached { limit });
    }

    /// A tag: 64 random bits (RFC 3261 §19.3 asks for 32).
    pub(crate) fn tag(&mut self) -> String {
        hex(&self.random.bytes::<8>())
    }

    /// A Call-ID: 128 random bits, and no address that would tell where we are.
    pub(crate) fn new_call_id(&mut self) -> String {
        hex(&self.random.bytes::<16>())
    }

    /// How long to wait after so many failures: between half of and the full of first · 2ⁿ, at most the longest wait of
    /// the registration policy (RFC 5626 §4.5, used for publications as well).
    pub(crate) fn back_off(&mut self, failures: u32, first: Duration) -> Duration {
        let full = first.saturating_mul(1 << failures.min(16)).min(self.config.registration.longest_wait);
        let half = u64::try_from(full.as_millis()).unwrap_or(u64::MAX).saturating_div(2);
        let more = u64::from(self.random.below(u32::try_from(half).unwrap_or(u32::MAX)));
        Duration::from_millis(half.saturating_add(more))
    }

    pub(crate) fn ask(&mut self, query: Query, lookup: Lookup) -> QueryId {
        let id = QueryId(self.next_query);
        self.next_query = self.next_query.wrapping_add(1);
        self.queries.insert(id, query);
        self.outbox.push_back(Output::Lookup { id, lookup });
        id
    }

    /// Keeps credentials, if there are any.
    pub(crate) fn keep_credentials(&mut self, credentials: Vec<Credentials>) -> Option<AuthHandle> {
        if credentials.is_empty() {
            return None;
        }
        self.auths.insert_with(|_| Auth { credentials, sessions: ClientAuth::new() })
    }

    /// A BYE of ours has ended.
    pub(crate) fn bid_farewell(&mut self, dialog: Option<DialogHandle>, auth: Option<AuthHandle>) {
        self.forget_credentials(auth);
        if let Some(dialog) = dialog {
            self.dialogs.release(dialog, Usage::Farewell);
        }
    }

    pub(crate) fn forget_credentials(&mut self, auth: Option<AuthHandle>) {
        if let Some(auth) = auth {
            self.auths.remove(auth);
        }
    }

    /// Sends a request. With credentials that were asked for before, it carries them at once.
    pub(crate) fn send(
        &mut self,
        owner: Owner,
        request: Request,
        target: Target,
        options: SendOptions,
        auth: Option<AuthHandle>,
        dialog: Option<DialogHandle>,
    ) -> Result<ClientId, Misuse> {
        self.send_attempt(owner, request, target, options, auth, dialog, 0)
    }

    #[expect(clippy::too_many_arguments, reason = "one place that builds the record, called by two")]
    fn send_attempt(
        &mut self,
        owner: Owner,
        request: Request,
        target: Target,
        options: SendOptions,
        auth: Option<AuthHandle>,
        dialog: Option<DialogHandle>,
        attempts: u8,
    ) -> Result<ClientId, Misuse> {
        let request = self.authorize(request, auth)?;
        let kept = auth.is_some().then(|| (request.clone(), target.clone(), options.clone()));
        let client = self.transactions.send_request(request, target, options, self.now)?;
        let sent = kept
            .map(|(request, target, options)| Box::new(Sent { request, target, options, dialog, attempts }));
        self.clients.insert(client, Client { owner, auth, sent });
        Ok(client)
    }

    fn authorize(&mut self, request: Request, auth: Option<AuthHandle>) -> Result<Request, Misuse> {
        let Some(auth) = auth.and_then(|auth| self.auths.get_mut(auth)) else { return Ok(request) };
        if auth.sessions.is_empty() {
            return Ok(request);
        }
        let nonce = hex(&self.random.bytes::<8>());
        let subject =
            Subject { method: request.method().as_str(), uri: request.uri_text(), body: request.body() };
        let values = auth.sessions.authorize(subject, || nonce.clone());
        let mut edit =
            request.edit().remove(HeaderName::Authorization).remove(HeaderName::ProxyAuthorization);
        for (proxy, value) in values {
            let name = if proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization };
            edit = edit.append(name, value);
        }
        Ok(edit.finish()?)
    }

    /// A 401 or 407 came: sends the request again with credentials, if there are any for the realm.
    ///
    /// # Errors
    /// The record, and why it was not sent again.
    pub(crate) fn answer_challenge(
        &mut self,
        mut client: Client,
        response: &Response,
        flow: Flow,
    ) -> Result<(ClientId, u32), (Client, crate::auth::client::ChallengeRefusal)> {
        use crate::auth::client::ChallengeRefusal;
        let proxy = response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        let (header, own) = if proxy {
            (HeaderName::ProxyAuthenticate, HeaderName::ProxyAuthorization)
        } else {
            (HeaderName::WwwAuthenticate, HeaderName::Authorization)
        };
        let Some(sent) = client.sent.take() else { return Err((client, ChallengeRefusal::NoCredentials)) };
        let Some(auth) = client.auth.and_then(|auth| self.auths.get_mut(auth)) else {
            return Err((client, ChallengeRefusal::NoCredentials));
        };
        if sent.attempts >= self.config.challenges_per_request {
            return Err((client, ChallengeRefusal::TooMany));
        }
        let credentials = std::mem::take(&mut auth.credentials);
        let taken = auth.sessions.challenged(
            response.get_all(header),
            // The iterator is walked once for each challenge.
            sent.request.get_all(own).collect::<Vec<_>>().into_iter(),
            proxy,
            &credentials,
        );
        auth.credentials = credentials;
        if let Err(refusal) = taken {
            return Err((client, refusal));
        }
        let Sent { request, target, options, dialog, attempts } = *sent;
        let sequence = match dialog.and_then(|dialog| self.dialogs.get_mut(dialog)) {
            Some(dialog) => dialog.next_sequence(),
            None => request.cseq().map_or(1, |cseq| cseq.sequence.saturating_add(1)),
        };
        let again = request
            .edit()
            .set(HeaderName::CSeq, CSeq { sequence, method: request.method().clone() })
            .finish();
        let Client { owner, auth, .. } = client;
        let Ok(again) = again else {
            return Err((Client { owner, auth, sent: None }, ChallengeRefusal::NotWritten));
        };
        // The owner cannot be lent out and got back on failure, so failure is asked for first.
        let target = at_the_same_server(target, flow);
        match self.resend(again, target, options, auth, dialog, attempts.saturating_add(1)) {
            Ok((id, sent)) => {
                self.clients.insert(id, Client { owner, auth, sent: Some(sent) });
                Ok((id, sequence))
            }
            Err(_) => Err((Client { owner, auth, sent: None }, ChallengeRefusal::NotWritten)),
        }
    }

    fn resend(
        &mut self,
        request: Request,
        target: Target,
        options: SendOptions,
        auth: Option<AuthHandle>,
        dialog: Option<DialogHandle>,
        attempts: u8,
    ) -> Result<(ClientId, Box<Sent>), Misuse> {
        let request = self.authorize(request, auth)?;
        let sent = Box::new(Sent {
            request: request.clone(),
            target: target.clone(),
            options: options.clone(),
            dialog,
            attempts,
        });
        let id = self.transactions.send_request(request, target, options, self.now)?;
        Ok((id, sent))
    }

    /// Answers a server transaction. A transaction that is gone is no mistake: its end is told on another way.
    pub(crate) fn respond(&mut self, server: ServerId, response: Response) {
        let _ = self.transactions.respond(server, &response, self.now);
    }

    /// A response with what every response of ours has.
    pub(crate) fn response(
        &mut self,
        request: &Request,
        reply: &Reply,
        tag: Option<&str>,
    ) -> Result<ResponseBuilder, Misuse> {
        let mut builder = request.response(reply.status);
        if reply.status.code() > 100 {
            builder = match tag {
                Some(tag) => builder.to_tag(tag),
                None => {
                    let tag = self.tag();
                    builder.to_tag(&tag)
                }
            };
        }
        if let Some(reason) = &reply.reason {
            builder = builder.reason(reason);
        }
        if let Some(server) = &self.config.software {
            builder = builder.header(HeaderName::Server, server);
        }
        for (name, value) in reply.headers.iter() {
            builder = builder.header(name, value);
        }
        Ok(match &reply.body {
            Some(body) => respond_body(builder, body),
            None => builder,
        })
    }

    /// Writes `Allow` and `Supported` (RFC 3261 §13.2.1, §13.3.1.4) outside of calls.
    pub(crate) fn capabilities<B: Write>(&self, builder: B) -> B {
        self.write_capabilities(builder, self.capabilities.supported(true, true))
    }

    /// The same as far as a call may use it.
    pub(crate) fn capabilities_of<B: Write>(&self, builder: B, options: &CallOptions) -> B {
        let supported =
            self.capabilities.supported(options.offers_reliable(), options.session_timer.is_some());
        self.write_capabilities(builder, supported)
    }

    fn write_capabilities<B: Write>(&self, builder: B, supported: &str) -> B {
        let builder = builder
            .header(HeaderName::Allow, &self.capabilities.allow)
            .header(HeaderName::Supported, supported);
        match &self.capabilities.packages {
            Some(packages) => builder.header(HeaderName::RecvInfo, packages),
            None => builder,
        }
    }
}

/// The two builders, where they are used alike.
pub(crate) trait Write: Sized {
    fn header(self, name: HeaderName, value: &str) -> Self;
}

impl Write for RequestBuilder {
    fn header(self, name: HeaderName, value: &str) -> Self {
        Self::header(self, name, value)
    }
}

impl Write for ResponseBuilder {
    fn header(self, name: HeaderName, value: &str) -> Self {
        Self::header(self, name, value)
    }
}

pub(crate) fn respond_body(builder: ResponseBuilder, body: &Body) -> ResponseBuilder {
    builder
        .header_if(HeaderName::ContentDisposition, body.disposition.as_ref())
        .body(&body.content_type, body.bytes.clone())
}

pub(crate) fn request_body(builder: RequestBuilder, body: Option<&Body>) -> RequestBuilder {
    match body {
        Some(body) => builder
            .header_if(HeaderName::ContentDisposition, body.disposition.as_ref())
            .body(&body.content_type, body.bytes.clone()),
        None => builder,
    }
}

pub(crate) fn request_headers(mut builder: RequestBuilder, headers: &Headers) -> RequestBuilder {
    for (name, value) in headers.iter() {
        builder = builder.header(name, value);
    }
    builder
}

/// The session description of a message: its body, if it has one that is one.
pub(crate) fn description(fields: &crate::header::Fields) -> Option<Body> {
    let bytes = fields.body_bytes();
    if bytes.is_empty() {
        return None;
    }
    let content_type = fields.get(HeaderName::ContentType).unwrap_or("application/sdp");
    let disposition = fields.get(HeaderName::ContentDisposition);
    let is_session = disposition.is_none_or(|it| {
        it.trim().len() >= 7 && it.trim().get(..7).is_some_and(|it| it.eq_ignore_ascii_case("session"))
    });
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let is_multipart = kind.to_ascii_lowercase().starts_with("multipart/");
    // Among other parts (RFC 5621 §3.1), such as a caller's place or what ISUP says. What cannot be cut is refused as it is.
    if is_multipart && let Ok(part) = fields.part_of_type("application/sdp") {
        return part.map(Body::sdp);
    }
    let is_description = is_multipart || kind.eq_ignore_ascii_case("application/sdp");
    (is_session && is_description).then(|| Body {
        content_type: content_type.to_owned(),
        disposition: disposition.map(str::to_owned),
        bytes,
    })
}

/// Whether a body of another type than a description has to be understood: unless it is said to be optional, each has
/// (RFC 3261 §20.11). Of several parts each speaks for itself, and they are left alone here.
pub(crate) fn demands_another_body(fields: &crate::header::Fields) -> bool {
    if fields.body_bytes().is_empty() {
        return false;
    }
    let disposition = fields.typed::<TokenParams<'_>>().ok().flatten();
    let handling = disposition.and_then(|it| it.params.get("handling"));
    let is_optional = handling.is_some_and(|it| it.eq_ignore_ascii_case("optional"));
    let is_other = match fields.content_type() {
        Ok(kind) => kind.is_some_and(|it| !it.is("application/sdp") && !it.is_multipart()),
        Err(_) => true,
    };
    is_other && !is_optional
}

/// Who challenged is asked again, and not first a server that was passed by because it is dead.
fn at_the_same_server(target: Target, flow: Flow) -> Target {
    match target {
        Target::Hops(mut hops) => {
            let answered =
                hops.iter().position(|hop| (hop.protocol, hop.remote) == (flow.protocol, flow.remote));
            hops.rotate_left(answered.unwrap_or(0));
            Target::Hops(hops)
        }
        // Over UDP the URI is asked for again: with credentials the request may have become too large for it.
        Target::Uri(_) if flow.stream.is_some() => Target::Flow(flow),
        other => other,
    }
}
