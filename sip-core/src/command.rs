//! What the application hands to an endpoint: plain values, checked when they are used.

use crate::{
    auth::client::Credentials,
    call::session_timer::SessionTimerPolicy,
    config::SentBy,
    error::Misuse,
    handle::{CallHandle, RegistrationHandle, SubscriptionHandle},
    header::{HeaderName, Quoted},
    message::{Method, Response, StatusCode, UriBuf},
    transport::Target,
};
use bytes::Bytes;
use std::{fmt, time::Duration};

/// A body and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// `Content-Type`.
    pub content_type: String,
    /// `Content-Disposition`, when it is not the usual one of the type.
    pub disposition: Option<String>,
    /// The bytes.
    pub bytes: Bytes,
}

impl Body {
    /// A body of any type.
    #[must_use]
    pub fn new(content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), disposition: None, bytes: bytes.into() }
    }

    /// A session description.
    #[must_use]
    pub fn sdp(bytes: impl Into<Bytes>) -> Self {
        Self::new("application/sdp", bytes)
    }
}

/// Header fields to be added to a message, in order. What could smuggle a line is refused when it is pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`Misuse::Build`] when the name is no token or the value holds a control character.
    pub fn push(&mut self, name: &str, value: impl fmt::Display) -> Result<(), Misuse> {
        let value = value.to_string();
        // Written once for the check alone: what cannot be written is our caller's mistake, and he is told here.
        Response::builder(StatusCode::OK).header(name, &value).finish()?;
        self.0.push((name.to_owned(), value));
        Ok(())
    }

    /// The same with one more; for chains.
    ///
    /// # Errors
    /// As [`Headers::push`].
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Result<Self, Misuse> {
        self.push(name, value)?;
        Ok(self)
    }

    /// Each name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first value of a header, compact name or not.
    #[must_use]
    pub fn get(&self, name: HeaderName) -> Option<&str> {
        self.iter().find(|(own, _)| HeaderName::parse(own) == Some(name)).map(|(_, value)| value)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What to answer a request with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: StatusCode,
    /// Reason phrase; the usual one when `None`.
    pub reason: Option<String>,
    /// Further header fields.
    pub headers: Headers,
    /// Body.
    pub body: Option<Body>,
}

impl Reply {
    /// A bare one.
    #[must_use]
    pub const fn new(status: StatusCode) -> Self {
        Self { status, reason: None, headers: Headers::new(), body: None }
    }

    /// With a body.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }

    /// With these headers instead of none.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// With a reason phrase of one's own.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// Who we are towards one peer: what goes into Via and Contact. A telephone on the LAN and one beyond a NAT are told
/// different addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalIdentity {
    /// The user part of our Contact; none when empty.
    pub user: String,
    /// The address told. `None`: the local address the message leaves by.
    pub advertised: Option<SentBy>,
    /// Header parameters of our Contact, with leading semicolons: `;+sip.instance="…"`.
    pub contact_parameters: String,
    /// What the Contact names us by.
    pub contact: ContactAddress,
}

/// What a Contact of ours names us by. A GRUU leads to this very device from wherever it is called (RFC 5627 §4.4); where
/// the registration holds none, the address stands there instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContactAddress {
    /// User and address: who asked may call back for as long as the address stays.
    #[default]
    Address,
    /// The public GRUU that this registration was granted.
    Gruu(RegistrationHandle),
    /// A temporary one of it, for calls that are to be anonymous (RFC 5627 §10.3).
    TemporaryGruu(RegistrationHandle),
}

/// A name and an address, for From and To.
#[derive(Clone, Debug, PartialEq)]
pub struct Party {
    /// Display name; quoted and escaped when written.
    pub display_name: Option<String>,
    /// Address.
    pub uri: UriBuf,
}

impl Party {
    /// Without a name.
    #[must_use]
    pub const fn new(uri: UriBuf) -> Self {
        Self { display_name: None, uri }
    }

    /// With a name.
    #[must_use]
    pub fn named(name: impl Into<String>, uri: UriBuf) -> Self {
        Self { display_name: Some(name.into()), uri }
    }
}

/// A party as From or To.
pub(crate) struct Tagged<'a>(pub(crate) &'a Party, pub(crate) Option<&'a str>);

impl fmt::Display for Tagged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.0.display_name.as_ref().filter(|name| !name.is_empty()) {
            write!(f, "{} ", Quoted(name))?;
        }
        write!(f, "<{}>", self.0.uri)?;
        match self.1 {
            Some(tag) => write!(f, ";tag={tag}"),
            None => Ok(()),
        }
    }
}

/// By which way requests inside a dialog go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDialogRouting {
    /// To the peer's Contact or the route set, as RFC 3261 §12.2.1.1 says; but back on the flow when the peer is our
    /// neighbour (his INVITE had one Via, or ours went to an address or flow that was given) and nobody put himself on
    /// the route. A Contact with an address nobody can reach is daily life behind NATs and VPNs.
    #[default]
    Automatic,
    /// Always to the Contact or the route set.
    Contact,
    /// Always back on the flow the dialog was made on.
    Flow,
}

/// How reliable provisional responses (RFC 3262) are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReliableProvisional {
    /// Not offered; a peer that requires it is refused with 420.
    Off,
    /// Offered; used when the peer demands it, and by `ring_reliably`.
    #[default]
    Supported,
    /// Demanded of those we call, and used with all callers that know it.
    Required,
}

/// What holds for one call.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// RFC 3262.
    pub reliable_provisional: ReliableProvisional,
    /// RFC 4028. `None`: the extension is not offered.
    pub session_timer: Option<SessionTimerPolicy>,
    /// The way of requests inside the dialog.
    pub in_dialog: InDialogRouting,
    /// Give up (CANCEL, or 480 to an incoming call) when there is no final response for so long.
    pub ring_timeout: Option<Duration>,
    /// `Max-Forwards` of the INVITE; a B2BUA hands on what came, less one.
    pub max_forwards: u8,
    /// The call that this one replaces (RFC 3891): it is ended when this one is answered.
    pub replaces: Option<CallHandle>,
    /// The transfer that asked for this call: how it goes is reported there.
    pub reports_to: Option<SubscriptionHandle>,
}

impl CallOptions {
    pub(crate) fn offers_reliable(&self) -> bool {
        self.reliable_provisional != ReliableProvisional::Off
    }
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            reliable_provisional: ReliableProvisional::default(),
            session_timer: Some(SessionTimerPolicy { interval: None, ..SessionTimerPolicy::default() }),
            in_dialog: InDialogRouting::default(),
            ring_timeout: Some(Duration::from_secs(180)),
            max_forwards: 70,
            replaces: None,
            reports_to: None,
        }
    }
}

/// A call to be placed.
#[derive(Clone, Debug)]
pub struct PlaceCall {
    /// From.
    pub from: Party,
    /// To.
    pub to: Party,
    /// The request line.
    pub request_uri: UriBuf,
    /// Whom the INVITE is sent to.
    pub target: Target,
    /// `Route` values, topmost first: an outbound proxy, a binding's Path.
    pub routes: Vec<String>,
    /// Who we are to this peer.
    pub local: LocalIdentity,
    /// The offer; `None` leaves the offer to the peer.
    pub body: Option<Body>,
    /// Further header fields of the INVITE.
    pub headers: Headers,
    /// What may be answered to challenges, and whose.
    pub credentials: Vec<Credentials>,
    /// Everything else.
    pub options: CallOptions,
    /// `Call-ID`; made up when `None`.
    pub call_id: Option<String>,
}

impl PlaceCall {
    /// A call from one to another, to be filled in further.
    #[must_use]
    pub fn new(from: Party, to: Party, target: Target) -> Self {
        Self {
            request_uri: to.uri.clone(),
            from,
            to,
            target,
            routes: Vec::new(),
            local: LocalIdentity::default(),
            body: None,
            headers: Headers::new(),
            credentials: Vec::new(),
            options: CallOptions::default(),
            call_id: None,
        }
    }
}

/// A request outside any dialog.
#[derive(Clone, Debug)]
pub struct SendRequest {
    /// Method; not INVITE, ACK, CANCEL, BYE, PRACK.
    pub method: Method,
    /// From.
    pub from: Party,
    /// To.
    pub to: Party,
    /// The request line.
    pub request_uri: UriBuf,
    /// Whom it is sent to.
    pub target: Target,
    /// `Route` values, topmost first.
    pub routes: Vec<String>,
    /// Who we are to this peer; the Contact is written when `contact` is set.
    pub local: LocalIdentity,
    /// Whether it has a Contact: OPTIONS and SUBSCRIBE do, MESSAGE must not (RFC 3428 §4).
    pub contact: bool,
    /// Further header fields.
    pub headers: Headers,
    /// Body.
    pub body: Option<Body>,
    /// What may be answered to challenges, and whose.
    pub credentials: Vec<Credentials>,
    /// `Max-Forwards`.
    pub max_forwards: u8,
}

impl SendRequest {
    /// A request to be filled in further.
    #[must_use]
    pub fn new(method: Method, from: Party, to: Party, target: Target) -> Self {
        Self {
            contact: method == Method::Options,
            method,
            request_uri: to.uri.clone(),
            from,
            to,
            target,
            routes: Vec::new(),
            local: LocalIdentity::default(),
            headers: Headers::new(),
            body: None,
            credentials: Vec::new(),
            max_forwards: 70,
        }
    }
}

/// A registration to be made and kept.
#[derive(Clone, Debug)]
pub struct Register {
    /// The address of record.
    pub address_of_record: Party,
    /// The registrar: the request line, without user part.
    pub registrar: UriBuf,
    /// Whom the REGISTER is sent to.
    pub target: Target,
    /// `Route` values, topmost first.
    pub routes: Vec<String>,
    /// Who we are to this registrar.
    pub local: LocalIdentity,
    /// Further header fields.
    pub headers: Headers,
    /// What may be answered to challenges, and whose.
    pub credentials: Vec<Credentials>,
    /// How long to ask for.
    pub expires: Duration,
}

impl Register {
    /// For five minutes at a time, with the registrar at this URI (`sip:pbx.example`), found by RFC 3263. The Contact has
    /// the user part of the address of record.
    #[must_use]
    pub fn new(address_of_record: Party, registrar: UriBuf) -> Self {
        let user = address_of_record.uri.as_uri().user().unwrap_or_default().to_owned();
        Self {
            address_of_record,
            target: Target::Uri(registrar.clone()),
            registrar,
            routes: Vec::new(),
            local: LocalIdentity { user, ..LocalIdentity::default() },
            headers: Headers::new(),
            credentials: Vec::new(),
            expires: Duration::from_secs(300),
        }
    }
}

/// A device that registers over several flows at once (RFC 5626), so that it is reached while one of them is gone.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Which device: a URN that never changes, without angle brackets, as `urn:uuid:…`.
    pub instance: String,
    /// Whom to register with over each flow; the first `reg-id` is 1.
    pub flows: Vec<Target>,
    /// How often a flow is kept alive when the registrar does not say by `Flow-Timer`.
    pub keep_alive: Duration,
}

/// Event state to be published (RFC 3903).
#[derive(Clone, Debug)]
pub struct Publish {
    /// `Event`: the package.
    pub event: String,
    /// From: who publishes.
    pub from: Party,
    /// To: whose state it is.
    pub to: Party,
    /// The request line.
    pub request_uri: UriBuf,
    /// Whom the PUBLISH is sent to.
    pub target: Target,
    /// `Route` values, topmost first.
    pub routes: Vec<String>,
    /// Who we are to this peer.
    pub local: LocalIdentity,
    /// Further header fields.
    pub headers: Headers,
    /// The state.
    pub body: Option<Body>,
    /// What may be answered to challenges, and whose.
    pub credentials: Vec<Credentials>,
    /// How long to ask for.
    pub expires: Duration,
}

impl Publish {
    /// One's own state, for an hour; to be filled in further.
    #[must_use]
    pub fn new(event: impl Into<String>, whose: Party, body: Body, target: Target) -> Self {
        Self {
            event: event.into(),
            request_uri: whose.uri.clone(),
            from: whose.clone(),
            to: whose,
            target,
            routes: Vec::new(),
            local: LocalIdentity::default(),
            headers: Headers::new(),
            body: Some(body),
            credentials: Vec::new(),
            expires: Duration::from_secs(3600),
        }
    }
}

/// A subscription to be made.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// `Event`: the package, perhaps with `;id=…`.
    pub event: String,
    /// From.
    pub from: Party,
    /// To: the watched.
    pub to: Party,
    /// The request line.
    pub request_uri: UriBuf,
    /// Whom the SUBSCRIBE is sent to.
    pub target: Target,
    /// `Route` values, topmost first.
    pub routes: Vec<String>,
    /// Who we are to this peer.
    pub local: LocalIdentity,
    /// `Accept`: the types of body that are understood; none written when empty.
    pub accept: String,
    /// Further header fields.
    pub headers: Headers,
    /// A body: a filter.
    pub body: Option<Body>,
    /// What may be answered to challenges, and whose.
    pub credentials: Vec<Credentials>,
    /// How long to ask for. Zero asks once (RFC 6665 §4.4.3).
    pub expires: Duration,
    /// Whether it is made anew when it is lost.
    pub keep: bool,
}

impl Subscribe {
    /// A subscription to be filled in further: for an hour, kept.
    #[must_use]
    pub fn new(event: impl Into<String>, from: Party, to: Party, target: Target) -> Self {
        Self {
            event: event.into(),
            request_uri: to.uri.clone(),
            from,
            to,
            target,
            routes: Vec::new(),
            local: LocalIdentity::default(),
            accept: String::new(),
            headers: Headers::new(),
            body: None,
            credentials: Vec::new(),
            expires: Duration::from_secs(3600),
            keep: true,
        }
    }
}

/// How a SUBSCRIBE is accepted.
#[derive(Clone, Debug)]
pub struct AcceptSubscription {
    /// Who we are to this peer.
    pub local: LocalIdentity,
    /// The longest time granted, and what is granted to who does not say.
    pub longest: Duration,
    /// Shorter wishes are refused with 423; zero, which asks once, is not.
    pub shortest: Duration,
    /// `true`: not decided upon yet.
    pub pending: bool,
    /// The state of what is watched: the body of the NOTIFY that follows at once.
    pub body: Option<Body>,
}

impl Default for AcceptSubscription {
    /// An hour at most, active, no body.
    fn default() -> Self {
        Self {
            local: LocalIdentity::default(),
            longest: Duration::from_secs(3600),
            shortest: Duration::from_secs(60),
            pending: false,
            body: None,
        }
    }
}

/// A transfer to be asked for (RFC 3515).
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Whom the peer is to call.
    pub refer_to: UriBuf,
    /// Which call of ours with the third party the new one is to replace: an attended transfer (RFC 5589 §7).
    pub replaces: Option<CallHandle>,
    /// `Referred-By` (RFC 3892).
    pub referred_by: Option<Party>,
    /// `Refer-Sub: false`: no reports wanted, if the peer knows RFC 4488.
    pub without_reports: bool,
    /// Further header fields.
    pub headers: Headers,
}

impl Transfer {
    /// A blind transfer.
    #[must_use]
    pub const fn to(refer_to: UriBuf) -> Self {
        Self { refer_to, replaces: None, referred_by: None, without_reports: false, headers: Headers::new() }
    }
}

/// Where a registered telephone is called: a binding made into the parts of [`PlaceCall`].
#[derive(Clone, Debug)]
pub struct Route {
    /// The request line.
    pub request_uri: UriBuf,
    /// `Route` values.
    pub routes: Vec<String>,
    /// Whom the request is sent to.
    pub target: Target,
}
