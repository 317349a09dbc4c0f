//! A back-to-back user agent's mapping of signalling: what of one call's messages passes to the other's, and what does
//! not (RFC 7092 §3.1.3, RFC 7332).
//!
//! Nothing here holds state or sends anything: [`across`] says what an event of one leg means for the other, and the
//! application carries it out, after `denwa` has made the session descriptions fit. Via, Call-ID, tags, CSeq, Contact,
//! Record-Route and Route never pass, for they belong to one leg; what tells of the caller passes only as far as the
//! other side is trusted; media is somebody else's.

use crate::{
    call::offer_answer::Carrier,
    command::{Body, Headers, Party, PlaceCall, Reply},
    event::{CallEnd, Event, OfferAbort},
    header::{Fields, HeaderName},
    message::{Method, Request, Response, StatusCode, UriBuf},
    transport::Target,
};

/// What passes beyond what every back-to-back agent passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// The other side is trusted (RFC 3325): identities and the history of the call pass as well.
    pub trusted: bool,
    /// Further header fields that pass.
    pub pass: Vec<String>,
    /// Header fields that do not, although they would.
    pub stop: Vec<String>,
}

/// Pass to everybody: they describe the call, not the leg.
const DESCRIPTIVE: &[&str] = &[
    "Accept-Language",
    "Alert-Info",
    "Answer-Mode",
    "Call-Info",
    "Priority",
    "Priv-Answer-Mode",
    "Privacy",
    "Reason",
    "Retry-After",
    "Subject",
    "User-to-User",
    "Warning",
];

/// Pass to those who are trusted: who calls, and by which ways the call came.
const IDENTIFYING: &[&str] = &[
    "Diversion",
    "History-Info",
    "P-Asserted-Identity",
    "P-Charging-Vector",
    "P-Early-Media",
    "Referred-By",
];

/// Never pass, whatever rules say: they belong to one leg, or would let the other side into it.
const OF_THE_LEG: &[&str] = &[
    "Authentication-Info",
    "Authorization",
    "CSeq",
    "Call-ID",
    "Contact",
    "Content-Length",
    "Content-Type",
    "From",
    "Max-Forwards",
    "Min-SE",
    "Path",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "RSeq",
    "Record-Route",
    "Require",
    "Route",
    "Service-Route",
    "Session-Expires",
    "Supported",
    "To",
    "Via",
    "WWW-Authenticate",
];

impl HeaderRules {
    /// Whether a header passes.
    #[must_use]
    pub fn passes(&self, name: &str) -> bool {
        let known = HeaderName::parse(name);
        let full = known.map_or(name, |known| known.as_str());
        let is_in = |list: &[&str]| list.iter().any(|own| own.eq_ignore_ascii_case(full));
        let listed = |list: &[String]| list.iter().any(|own| own.eq_ignore_ascii_case(full));
        if is_in(OF_THE_LEG) || listed(&self.stop) {
            return false;
        }
        is_in(DESCRIPTIVE) || self.trusted && is_in(IDENTIFYING) || listed(&self.pass)
    }

    /// The header fields of a message that pass, in order.
    #[must_use]
    pub fn pass_on(&self, message: &Fields) -> Headers {
        let mut headers = Headers::new();
        for header in message.headers() {
            if self.passes(header.name.as_str()) {
                // What was read can hold what may not be written (folded lines): that is left behind.
                let _ = headers.push(header.name.as_str(), header.value);
            }
        }
        headers
    }
}

/// `Max-Forwards` of the INVITE of the other leg (RFC 3261 §8.1.1.6, RFC 7332 §3): one less than what came.
///
/// # Errors
/// 483 when it is used up: this is where a loop of back-to-back agents ends.
pub fn hops_left(invite: &Request) -> Result<u8, StatusCode> {
    let hops = invite.max_forwards().map_err(|_| StatusCode::BAD_REQUEST)?.unwrap_or(70);
    hops.checked_sub(1).filter(|left| *left > 0).ok_or(StatusCode::TOO_MANY_HOPS)
}

/// What one leg's event means for the other leg.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Across {
    /// A description that belongs to what follows at once, `Ring`, `Answer` or `Accept`: made fit, it is the body there.
    Description(Body),
    /// `ring` the caller, or `ring_reliably` when it came so and the caller can.
    Ring {
        /// With this.
        reply: Reply,
        /// Whether it was sent reliably.
        reliably: bool,
    },
    /// `answer` the caller with this.
    Answer(Reply),
    /// `refuse` the caller with this.
    Refuse(Reply),
    /// `hang_up` the other leg, whatever it takes.
    HangUp(Headers),
    /// Offer this to the other leg: `reinvite`, or `update` when it came so and the other side can.
    Offer {
        /// The offer, to be made fit.
        body: Body,
        /// In which message it came.
        carrier: Carrier,
    },
    /// Ask the other leg for an offer: `reinvite` without body.
    AskForOffer,
    /// `answer_offer` on the other leg with the description that came before: its change was accepted here.
    Accept,
    /// `answer_offer` on the other leg with this: the answer came in an ACK or a PRACK, and nothing follows.
    AnswerOffer(Body),
    /// `refuse_offer` on the other leg: what it offered was refused.
    RefuseOffer(Reply),
    /// Send this in the dialog of the other leg, and answer here as it is answered there.
    Request {
        /// Method.
        method: Method,
        /// Header fields that pass.
        headers: Headers,
        /// Body.
        body: Option<Body>,
    },
    /// One side wants the other transferred: act on it here, or `transfer` the other leg and report how it goes.
    Transfer {
        /// Whom to call.
        refer_to: UriBuf,
        /// The dialog to be replaced, which is one of ours: look it up with `find_call`; it means nothing elsewhere.
        replaces: Option<String>,
        /// Who asks; told on to those who are trusted only.
        referred_by: Option<String>,
    },
    /// Nothing.
    Nothing,
}

/// What an event of one leg means for the other. `is_caller` tells which leg it happened to: the one that called us.
#[must_use]
pub fn across(event: &Event, is_caller: bool, rules: &HeaderRules) -> Across {
    match event {
        Event::CallProgress { response, .. } => Across::Ring {
            reply: reply(response, rules),
            reliably: response.lists(HeaderName::Require, "100rel"),
        },
        Event::CallAnswered { response, .. } => Across::Answer(reply(response, rules)),
        Event::CallEnded { reason, .. } => ended(reason, is_caller, rules),
        Event::OfferReceived { body, carrier, .. } => match carrier {
            // The first INVITE's offer is told with this too: it went into the INVITE of the other leg already.
            Carrier::Invite | Carrier::Update | Carrier::Prack => {
                Across::Offer { body: body.clone(), carrier: *carrier }
            }
            _ => Across::Description(body.clone()),
        },
        Event::AnswerReceived { body, carrier: Carrier::Ack | Carrier::Prack, .. } => {
            Across::AnswerOffer(body.clone())
        }
        // Nothing is told after the 2xx of a PRACK.
        Event::AnswerReceived { body, carrier: Carrier::PrackSuccess, .. } => {
            Across::AnswerOffer(body.clone())
        }
        Event::AnswerReceived { body, .. } => Across::Description(body.clone()),
        Event::Modified { .. } => Across::Accept,
        Event::OfferRequested { .. } => Across::AskForOffer,
        Event::OfferAborted { reason, .. } => match reason {
            OfferAbort::Refused { response } => Across::RefuseOffer(reply(response, rules)),
            OfferAbort::Glare => Across::RefuseOffer(Reply::new(StatusCode::REQUEST_PENDING)),
            OfferAbort::Failed(_) | OfferAbort::NotAnswered => {
                Across::RefuseOffer(Reply::new(StatusCode::SERVER_INTERNAL_ERROR))
            }
            _ => Across::Nothing,
        },
        Event::DialogRequest { message, .. } => request(message, rules),
        Event::TransferRequested { call: Some(_), refer_to, replaces, referred_by, .. } => Across::Transfer {
            refer_to: refer_to.clone(),
            replaces: replaces.clone(),
            referred_by: referred_by.clone().filter(|_| rules.passes("Referred-By")),
        },
        _ => Across::Nothing,
    }
}

/// The INVITE of the other leg: to whom the application decided, with what passes of the one that came. Its body, made
/// fit, is the application's to put in; the caller's From stays, with a tag of our own.
///
/// # Errors
/// The status to refuse the INVITE with: 483 when it came round too often, 400 when it cannot be read.
pub fn place_call(
    invite: &Request,
    to: UriBuf,
    target: Target,
    rules: &HeaderRules,
) -> Result<PlaceCall, StatusCode> {
    let from = invite.from().map_err(|_| StatusCode::BAD_REQUEST)?;
    let name = from.display_name.map(|name| name.text().into_owned());
    let from = Party { display_name: name, uri: from.uri.to_owned() };
    let mut place = PlaceCall::new(from, Party::new(to), target);
    place.options.max_forwards = hops_left(invite)?;
    place.headers = rules.pass_on(invite);
    Ok(place)
}

/// A response as it is given on: status, phrase, what passes of its headers. Its description is not: that is made fit.
fn reply(response: &Response, rules: &HeaderRules) -> Reply {
    let mut reply = Reply::new(response.status()).with_headers(rules.pass_on(response));
    let usual = response.status().reason();
    if !response.reason().is_empty() && response.reason() != usual {
        reply.reason = Some(response.reason().to_owned());
    }
    reply
}

fn request(message: &Request, rules: &HeaderRules) -> Across {
    let headers = rules.pass_on(message);
    match message.method() {
        Method::Info | Method::Message => {
            let bytes = message.body_bytes();
            let body = message
                .get(HeaderName::ContentType)
                .filter(|_| !bytes.is_empty())
                .map(|content_type| Body::new(content_type, bytes.clone()));
            let mut headers = headers;
            for name in [HeaderName::InfoPackage.as_str(), HeaderName::ContentDisposition.as_str()] {
                if let Some(value) = message.get(name) {
                    let _ = headers.push(name, value);
                }
            }
            Across::Request { method: message.method().clone(), headers, body }
        }
        // OPTIONS is a question to us, REFER is acted upon here, NOTIFY belongs to a subscription of one leg.
        _ => Across::Nothing,
    }
}

/// The end of one leg is the end of the other. Who refused and why is told on, challenges and redirections are not:
/// they are between us and the callee.
fn ended(end: &CallEnd, is_caller: bool, rules: &HeaderRules) -> Across {
    let mut headers = Headers::new();
    let mut because = |reason: &str| {
        let _ = headers.push(HeaderName::Reason.as_str(), reason);
    };
    match end {
        CallEnd::Refused { response } if !is_caller => {
            let code = response.status().code();
            return Across::Refuse(match code {
                300..=399 => Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE),
                401 | 407 => Reply::new(StatusCode::SERVER_INTERNAL_ERROR),
                // §16.7 of RFC 3261 for proxies, and right here too: it is not we who are overloaded.
                503 => Reply::new(StatusCode::SERVER_INTERNAL_ERROR),
                _ => reply(response, rules),
            });
        }
        CallEnd::NotAuthenticated { .. } => {
            return Across::Refuse(Reply::new(StatusCode::SERVER_INTERNAL_ERROR));
        }
        CallEnd::Unreachable(_) if !is_caller => {
            return Across::Refuse(Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE));
        }
        CallEnd::NotAnswered if !is_caller => {
            return Across::Refuse(Reply::new(StatusCode::TEMPORARILY_UNAVAILABLE));
        }
        CallEnd::HungUp { reason: Some(reason), .. } | CallEnd::Cancelled { reason: Some(reason), .. } => {
            because(reason);
        }
        CallEnd::NotAcknowledged => because("SIP;cause=408;text=\"ACK never came\""),
        CallEnd::SessionExpired => because("SIP;cause=408;text=\"Session timer expired\""),
        CallEnd::DialogLost { .. } => because("SIP;cause=481;text=\"The other leg was lost\""),
        CallEnd::NoSession { .. } => because("SIP;cause=488;text=\"No session description\""),
        CallEnd::Replaced { .. } => return Across::Nothing,
        _ => {}
    }
    Across::HangUp(headers)
}
