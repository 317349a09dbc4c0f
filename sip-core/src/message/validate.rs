//! Every header of a message read as what it claims to be: for validators, tests, and whoever wants to know what an odd
//! device sends. One table says which grammar each header has.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt::{Display, Write};

use super::{
    Message, Request, Response, Uri,
    build::Writer,
    rules::{self, Rule},
};
use crate::{
    error::{Attitude, Forgiven, Liberty, Misuse, ParseError, Problem},
    header::{
        AuthInfo, AuthValue, CSeq, CallId, Date, DialogReference, Event, Features, Fields, HeaderName as H,
        HeaderValue, MediaType, MimeVersion, MinSe, NameAddr, Number, OpaqueParams, Privacy, Product, RAck,
        RSeq, Reason, ResourcePriority, RetryAfter, Scanner, SessionExpires, SubscriptionState, Timestamp,
        Token, TokenParams, Via, Warning,
        map::{Entry, next_element},
    },
    limits::Limit,
};

impl Message {
    /// Reads every header by its own grammar, and looks whether those are there that every message has.
    ///
    /// Gives what was forgiven in the whole message; nothing with [`Attitude::Strict`].
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self, attitude: Attitude) -> Result<Vec<Forgiven>, ParseError> {
        let mut forgiven = self.forgiven().to_vec();
        if attitude == Attitude::Strict
            && let Some(first) = forgiven.first()
        {
            return Err(ParseError {
                offset: first.offset,
                header: first.header,
                problem: Problem::Expected("strict grammar"),
            });
        }
        if let Self::Request(request) = self {
            let text = request.uri_text();
            let mut scanner = Scanner::at(text, usize::from(request.uri.0), None, attitude, self.limits);
            let uri = Uri::scan(&mut scanner, text.len())?;
            if uri.is_sip() {
                rules::distinct(uri.params(), &mut scanner)?;
            }
            if let Some(headers) = uri.headers_str() {
                let at = text.len().saturating_sub(headers.len()).saturating_sub(1);
                scanner.forgive(at, Liberty::HeadersInRequestUri, "a Request-URI without headers")?;
            }
            forgiven.append(&mut scanner.take_forgiven());
        }
        if let Self::Response(response) = self {
            // `Reason-Phrase` has no quotes and brackets but round ones. A `%` is let pass, whatever follows: people write it.
            let odd = |byte: u8| {
                matches!(
                    byte,
                    b'"' | b'#' | b'<' | b'>' | b'[' | b'\\' | b']' | b'^' | b'`' | b'{' | b'|' | b'}'
                )
            };
            let (text, start) = (response.reason(), usize::from(response.reason.0));
            let mut scanner = Scanner::at(text, start, None, attitude, self.limits);
            if let Some(at) = text.bytes().position(odd) {
                scanner.forgive(at, Liberty::UnescapedCharacter, "a character of a reason phrase")?;
            }
            forgiven.append(&mut scanner.take_forgiven());
        }
        let mut seen = Vec::new();
        for entry in &self.index {
            let Some(name) = H::ALL.get(usize::from(entry.id)).copied() else { continue };
            if is_single(name) {
                if seen.contains(&name) && name != H::ContentLength {
                    let offset = usize::from(entry.value_start);
                    return Err(ParseError { offset, header: Some(name), problem: Problem::Repeated(name) });
                }
                seen.push(name);
            }
            check(self, entry, name, attitude, &mut forgiven, None)?;
        }
        self.check_wildcard()?;
        for name in [H::Via, H::From, H::To, H::CallId, H::CSeq] {
            if !self.has(name) {
                return Err(ParseError::new(usize::from(self.headers_start), Problem::Missing(name)));
            }
        }
        self.check_method(attitude, &mut forgiven)?;
        Ok(forgiven)
    }

    /// The same message in strict form: long names, one line a header, each known header written anew from what was
    /// understood. What an old device sent becomes something that anybody can read.
    ///
    /// # Errors
    /// [`Misuse::Message`](crate::Misuse) if a header cannot be understood even leniently, [`Misuse::Build`](crate::Misuse)
    /// if it holds what must not be written.
    pub fn normalized(&self) -> Result<Self, Misuse> {
        let mut writer = Writer::new(self.bytes().len());
        let method_or_status = match self {
            Self::Request(request) => {
                let uri = request.uri()?;
                let uri = if uri.headers_str().is_some() { uri.for_request() } else { uri.to_owned() };
                let uri = uri.as_uri().to_strict();
                Ok((request.method().clone(), writer.request_line(request.method(), uri)))
            }
            Self::Response(response) => {
                Err((response.status(), writer.status_line(response.status(), response.reason())))
            }
        };
        let mut text = String::new();
        for entry in &self.index {
            text.clear();
            let header = self.header(entry);
            let Some(name) = H::ALL.get(usize::from(entry.id)).copied() else {
                writer.header(header.name, header.value);
                continue;
            };
            if name == H::ContentLength {
                continue;
            }
            check(self, entry, name, Attitude::Lenient, &mut Vec::new(), Some(&mut text))?;
            let value = if text.is_empty() { header.value } else { text.as_str() };
            writer.header(header.name, value);
        }
        writer.header(H::ContentLength.into(), self.body().len());
        let fields = writer.finish(self.body())?;
        Ok(match method_or_status {
            Ok((method, uri)) => Self::Request(Request { method, uri, fields }),
            Err((status, reason)) => Self::Response(Response { status, reason, fields }),
        })
    }

    /// `*` stands alone, whatever the attitude: nobody knows what it means beside an address (RFC 3261 §10.3).
    fn check_wildcard(&self) -> Result<(), ParseError> {
        let mut contacts = self.index.iter().filter(|entry| entry.id == H::Contact as u8);
        match contacts.find(|entry| self.value(entry) == "*") {
            Some(entry) if self.get_all(H::Contact).count() > 1 => {
                Err(self.scanner(entry).expected("`*` alone"))
            }
            _ => Ok(()),
        }
    }

    fn check_method(&self, attitude: Attitude, forgiven: &mut Vec<Forgiven>) -> Result<(), ParseError> {
        let Self::Request(request) = self else { return Ok(()) };
        let cseq = self.cseq()?;
        if cseq.method == *request.method() {
            return Ok(());
        }
        let offset = self.find(H::CSeq.into()).map_or(0, |entry| usize::from(entry.value_start));
        if attitude == Attitude::Lenient
            && cseq.method.as_str().eq_ignore_ascii_case(request.method().as_str())
        {
            forgiven.push(Forgiven { offset, header: Some(H::CSeq), liberty: Liberty::MethodCase });
            return Ok(());
        }
        Err(ParseError { offset, header: Some(H::CSeq), problem: Problem::MethodMismatch })
    }
}

/// Headers of which there is one at most, and which hold one value.
fn is_single(name: H) -> bool {
    matches!(
        name,
        H::From
            | H::To
            | H::CallId
            | H::CSeq
            | H::MaxForwards
            | H::ContentLength
            | H::ContentType
            | H::ContentDisposition
            | H::Expires
            | H::MinExpires
            | H::Date
            | H::Event
            | H::SubscriptionState
            | H::SessionExpires
            | H::MinSe
            | H::RSeq
            | H::RAck
            | H::Replaces
            | H::Join
            | H::TargetDialog
            | H::ReferTo
            | H::ReferredBy
            | H::ReplyTo
            | H::RetryAfter
            | H::SipEtag
            | H::SipIfMatch
            | H::Timestamp
            | H::MimeVersion
            | H::Priority
            | H::Organization
            | H::Subject
            | H::MaxBreadth
            | H::FlowTimer
            | H::SessionId
            | H::ReferSub
            | H::SuppressIfMatch
            | H::Server
            | H::UserAgent
    )
}

/// Reads one header line by the grammar of its name.
fn check(
    fields: &Fields,
    entry: &Entry,
    name: H,
    attitude: Attitude,
    forgiven: &mut Vec<Forgiven>,
    out: Option<&mut String>,
) -> Result<(), ParseError> {
    let value = fields.value(entry);
    let mut scanner = Scanner::at(value, usize::from(entry.value_start), Some(name), attitude, fields.limits);
    let s = &mut Visit { scanner: &mut scanner, out };
    match name {
        H::Via => list_by::<Via<'_>>(s, Least::One, rules::via),
        H::Contact if value == "*" => Ok(()),
        H::Contact => list_by::<NameAddr<'_>>(s, Least::One, rules::contact),
        H::Route
        | H::RecordRoute
        | H::Path
        | H::ServiceRoute
        | H::PAssociatedUri
        | H::Diversion
        | H::HistoryInfo
        | H::RemotePartyId
        | H::Geolocation
        | H::TriggerConsent => list_by::<NameAddr<'_>>(s, Least::One, rules::bracketed),
        H::AlertInfo | H::CallInfo | H::ErrorInfo => list_by::<NameAddr<'_>>(s, Least::One, rules::nameless),
        H::PAssertedIdentity | H::PPreferredIdentity | H::PermissionMissing => {
            list_by::<NameAddr<'_>>(s, Least::One, rules::address)
        }
        H::From | H::To | H::ReferTo | H::ReferredBy | H::ReplyTo => {
            one_by::<NameAddr<'_>>(s, rules::address)
        }
        H::PCalledPartyId | H::PServedUser => one_by::<NameAddr<'_>>(s, rules::bracketed),
        H::CSeq => one::<CSeq>(s),
        H::CallId => one::<CallId<'_>>(s),
        H::InReplyTo => list::<CallId<'_>>(s, Least::One),
        H::MaxForwards => s.number("a number of hops", 255),
        H::ContentLength => s.number("a number of bytes", u64::MAX),
        H::Expires | H::MinExpires | H::MaxBreadth | H::FlowTimer => one::<Number>(s),
        H::RSeq => one::<RSeq>(s),
        H::RAck => one::<RAck>(s),
        H::WwwAuthenticate | H::ProxyAuthenticate | H::Authorization | H::ProxyAuthorization => {
            one_by::<AuthValue<'_>>(s, rules::digest)
        }
        H::AuthenticationInfo | H::ProxyAuthenticationInfo => one::<AuthInfo<'_>>(s),
        H::Event => one_by::<Event<'_>>(s, rules::event),
        H::SubscriptionState => one_by::<SubscriptionState<'_>>(s, rules::subscription_state),
        H::SessionExpires => one::<SessionExpires<'_>>(s),
        H::MinSe => one::<MinSe<'_>>(s),
        H::RetryAfter => one_by::<RetryAfter<'_>>(s, rules::retry_after),
        H::Replaces | H::Join | H::TargetDialog => one::<DialogReference<'_>>(s),
        H::Reason => list_by::<Reason<'_>>(s, Least::One, rules::reason),
        H::Warning => list::<Warning<'_>>(s, Least::One),
        H::ContentType => one_by::<MediaType<'_>>(s, rules::media_type),
        H::Accept => list_by::<MediaType<'_>>(s, Least::None, rules::range),
        H::ContentDisposition
        | H::AnswerMode
        | H::PrivAnswerMode
        | H::InfoPackage
        | H::ReferSub
        | H::GeolocationRouting
        | H::GeolocationError
        | H::PAnswerState => one::<TokenParams<'_>>(s),
        H::PAccessNetworkInfo | H::PEarlyMedia => list::<TokenParams<'_>>(s, Least::None),
        H::AcceptLanguage => list_by::<TokenParams<'_>>(s, Least::None, rules::language),
        H::AcceptEncoding | H::RecvInfo => list_by::<TokenParams<'_>>(s, Least::None, rules::weighted),
        H::SecurityClient | H::SecurityServer | H::SecurityVerify => {
            list_by::<TokenParams<'_>>(s, Least::One, rules::weighted)
        }
        H::AllowEvents => list_by::<Token<'_>>(s, Least::One, rules::event_type),
        H::ContentLanguage => list_by::<Token<'_>>(s, Least::One, rules::language_tag),
        H::Allow | H::Supported => list::<Token<'_>>(s, Least::None),
        H::Require | H::ProxyRequire | H::Unsupported | H::ContentEncoding | H::RequestDisposition => {
            list::<Token<'_>>(s, Least::One)
        }
        H::Priority | H::SipEtag | H::SipIfMatch | H::SuppressIfMatch => one::<Token<'_>>(s),
        H::AcceptContact | H::RejectContact | H::FeatureCaps => list::<Features<'_>>(s, Least::One),
        H::Privacy => one::<Privacy<'_>>(s),
        H::ResourcePriority => list::<ResourcePriority<'_>>(s, Least::One),
        H::AcceptResourcePriority => list::<ResourcePriority<'_>>(s, Least::None),
        H::UserToUser | H::Identity | H::PVisitedNetworkId | H::PChargingVector => {
            list::<OpaqueParams<'_>>(s, Least::One)
        }
        H::SessionId => one::<OpaqueParams<'_>>(s),
        H::Date => one::<Date>(s),
        H::Timestamp => one::<Timestamp<'_>>(s),
        H::MimeVersion => one::<MimeVersion>(s),
        H::Server | H::UserAgent => one::<Product<'_>>(s),
        // Text, or headers of private use whose grammar nobody here needs.
        _ => Ok(()),
    }?;
    forgiven.append(&mut scanner.take_forgiven());
    Ok(())
}

/// Whether a list may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Least {
    None,
    One,
}

/// Reads, and writes what was read if somebody wants it.
struct Visit<'s, 'a, 'o> {
    scanner: &'s mut Scanner<'a>,
    out: Option<&'o mut String>,
}

impl Visit<'_, '_, '_> {
    fn write<'v, T: HeaderValue<'v> + Display>(&mut self, value: &T) {
        if let Some(out) = &mut self.out {
            if !out.is_empty() {
                out.push_str(", ");
            }
            value.write_strict(out);
        }
    }

    fn number(&mut self, what: &'static str, most: u64) -> Result<(), ParseError> {
        let number = self.scanner.number(what, most)?;
        if let Some(out) = &mut self.out {
            let _ = write!(out, "{number}");
        }
        self.scanner.end()
    }

    fn count(&self, count: &mut usize) -> Result<(), ParseError> {
        *count = count.saturating_add(1);
        if *count > usize::from(self.scanner.limits().values) {
            return Err(self.scanner.error(Problem::Limit(Limit::Values)));
        }
        Ok(())
    }
}

fn one<'a, T: HeaderValue<'a> + Display>(visit: &mut Visit<'_, 'a, '_>) -> Result<(), ParseError> {
    one_by::<T>(visit, |_, _, _| Ok(()))
}

fn one_by<'a, T: HeaderValue<'a> + Display>(
    visit: &mut Visit<'_, 'a, '_>,
    rule: Rule<T>,
) -> Result<(), ParseError> {
    let start = visit.scanner.position();
    let value = T::scan(visit.scanner)?;
    rule(&value, visit.scanner, start)?;
    visit.write(&value);
    visit.scanner.end()
}

fn list<'a, T: HeaderValue<'a> + Display>(
    visit: &mut Visit<'_, 'a, '_>,
    least: Least,
) -> Result<(), ParseError> {
    list_by::<T>(visit, least, |_, _, _| Ok(()))
}

fn list_by<'a, T: HeaderValue<'a> + Display>(
    visit: &mut Visit<'_, 'a, '_>,
    least: Least,
    rule: Rule<T>,
) -> Result<(), ParseError> {
    let mut count = 0_usize;
    loop {
        let start = visit.scanner.position();
        let Some(value) = next_element::<T>(visit.scanner)? else { break };
        visit.count(&mut count)?;
        rule(&value, visit.scanner, start)?;
        visit.write(&value);
    }
    if count == 0 && least == Least::One {
        visit.scanner.forgive(0, Liberty::EmptyValue, "at least one value")?;
    }
    Ok(())
}
