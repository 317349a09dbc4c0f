//! A message over one `Bytes`: start line, header index, body (RFC 3261 §7). It is immutable and knows neither
//! addresses nor sockets; [`Edit`] makes a new one and copies what it does not touch byte for byte.

mod build;
pub(crate) mod class;
mod edit;
mod host;
mod method;
mod multipart;
mod parse;
mod rules;
mod salvage;
mod status;
mod text;
pub(crate) mod uri;
mod uri_buf;
mod uri_compare;
mod uri_scan;
mod validate;

use std::{fmt, ops::Deref};

use bytes::Bytes;

pub use build::{Builder, RequestBuilder, ResponseBuilder};
pub use edit::{Edit, Editable};
pub use host::Host;
pub use method::Method;
pub use multipart::{Part, SipFragment};
pub use parse::ParseOptions;
pub(crate) use parse::Scanned;
pub(crate) use salvage::{Salvaged, salvage, stream_body_length};
pub use status::StatusCode;
pub use uri::{Scheme, Uri};
pub use uri_buf::{UriBuf, UriBuilder};

/// Escapes what may not stand in the user part of a URI.
pub(crate) fn escape_user(user: &str) -> std::borrow::Cow<'_, str> {
    uri_compare::escape(user, class::USER)
}

use crate::{
    error::{Attitude, ParseError, Problem},
    header::{CSeq, Contacts, Fields, HeaderName, HeaderValue, List, NameAddr, Scanner, Via},
};

/// A request or a response.
#[derive(Clone, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "both hold the same index; a box would cost an allocation a message"
)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request.
#[derive(Clone, PartialEq)]
pub struct Request {
    pub(crate) method: Method,
    /// Where the Request-URI is.
    pub(crate) uri: (u16, u16),
    pub(crate) fields: Fields,
}

/// A response.
#[derive(Clone, PartialEq)]
pub struct Response {
    pub(crate) status: StatusCode,
    /// Where the reason phrase is.
    pub(crate) reason: (u16, u16),
    pub(crate) fields: Fields,
}

impl Message {
    /// Reads a datagram, or a message that the stream framer cut out.
    ///
    /// What follows the announced body is ignored (RFC 3261 §18.3). Header values are looked at when they are asked
    /// for; [`Message::validate`] looks at all of them.
    ///
    /// # Errors
    /// What is wrong, where, and in which header.
    pub fn parse(bytes: Bytes, options: &ParseOptions) -> Result<Self, ParseError> {
        parse::parse(bytes, options)
    }

    /// [`Message::parse`] with the lenient attitude and default limits.
    ///
    /// # Errors
    /// As [`Message::parse`].
    pub fn parse_lenient(bytes: Bytes) -> Result<Self, ParseError> {
        parse::parse(bytes, &ParseOptions::default())
    }

    /// The request, if it is one.
    #[must_use]
    pub const fn as_request(&self) -> Option<&Request> {
        match self {
            Self::Request(request) => Some(request),
            Self::Response(_) => None,
        }
    }

    /// The response, if it is one.
    #[must_use]
    pub const fn as_response(&self) -> Option<&Response> {
        match self {
            Self::Request(_) => None,
            Self::Response(response) => Some(response),
        }
    }

    /// The start line without its line break.
    #[must_use]
    pub fn start_line(&self) -> &str {
        self.text(0, usize::from(self.headers_start)).trim_end_matches(['\r', '\n'])
    }
}

impl Deref for Message {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        match self {
            Self::Request(request) => &request.fields,
            Self::Response(response) => &response.fields,
        }
    }
}

impl Deref for Request {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

impl Deref for Response {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// The message as it goes over the wire; bytes that are no UTF-8 are replaced. The bytes themselves are
/// [`Fields::bytes`].
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt_text(f)
    }
}

/// As of [`Message`].
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt_text(f)
    }
}

/// As of [`Message`].
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt_text(f)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt(f)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt(f)
    }
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// As [`Message::parse`]; also if it is a response.
    pub fn parse(bytes: Bytes, options: &ParseOptions) -> Result<Self, ParseError> {
        match parse::parse(bytes, options)? {
            Message::Request(request) => Ok(request),
            Message::Response(_) => Err(ParseError::new(0, Problem::Expected("a request"))),
        }
    }

    /// Starts a request.
    pub fn builder(method: Method, uri: impl fmt::Display) -> RequestBuilder {
        RequestBuilder::new(method, uri)
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI as written.
    #[must_use]
    pub fn uri_text(&self) -> &str {
        self.text(usize::from(self.uri.0), usize::from(self.uri.1))
    }

    /// The Request-URI.
    ///
    /// # Errors
    /// If it is none; the parser has refused such requests, so only in requests with an exotic scheme.
    pub fn uri(&self) -> Result<Uri<'_>, ParseError> {
        let mut scanner =
            Scanner::at(self.uri_text(), usize::from(self.uri.0), None, self.attitude, self.limits);
        let end = self.uri_text().len();
        Uri::scan(&mut scanner, end)
    }

    /// Starts a changed copy.
    #[must_use]
    pub fn edit(&self) -> Edit<'_, Self> {
        Edit::new(self)
    }

    /// Starts the response to this request by RFC 3261 §8.2.6: Via, From, To, Call-ID and CSeq are copied,
    /// Timestamp for 100, Record-Route for what may make a dialog.
    #[must_use]
    pub fn response(&self, status: StatusCode) -> ResponseBuilder {
        ResponseBuilder::to_request(self, status)
    }
}

impl Response {
    /// Reads a response.
    ///
    /// # Errors
    /// As [`Message::parse`]; also if it is a request.
    pub fn parse(bytes: Bytes, options: &ParseOptions) -> Result<Self, ParseError> {
        match parse::parse(bytes, options)? {
            Message::Response(response) => Ok(response),
            Message::Request(_) => Err(ParseError::new(0, Problem::Expected("a response"))),
        }
    }

    /// Starts a response that answers no request at hand.
    #[must_use]
    pub fn builder(status: StatusCode) -> ResponseBuilder {
        ResponseBuilder::new(status)
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase as written; may be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.text(usize::from(self.reason.0), usize::from(self.reason.1))
    }

    /// Starts a changed copy.
    #[must_use]
    pub fn edit(&self) -> Edit<'_, Self> {
        Edit::new(self)
    }
}

/// Typed access to the headers that every layer needs. All read by the message's attitude; an error tells offset and
/// header.
impl Fields {
    /// The top Via.
    ///
    /// # Errors
    /// If it is missing or not well-formed.
    #[inline]
    pub fn via(&self) -> Result<Via<'_>, ParseError> {
        self.required()
    }

    /// Every Via, the top one first.
    #[must_use]
    pub fn vias(&self) -> List<'_, Via<'_>> {
        self.list()
    }

    /// From.
    ///
    /// # Errors
    /// If it is missing or not well-formed.
    pub fn from(&self) -> Result<NameAddr<'_>, ParseError> {
        self.address(HeaderName::From)
    }

    /// To.
    ///
    /// # Errors
    /// If it is missing or not well-formed.
    pub fn to(&self) -> Result<NameAddr<'_>, ParseError> {
        self.address(HeaderName::To)
    }

    /// The tag of To, of a message whose To was looked at when it came: of the address only its end is.
    pub(crate) fn to_tag(&self) -> Option<&str> {
        self.tag_of(HeaderName::To)
    }

    /// The same of another header that is one address: From.
    pub(crate) fn tag_of(&self, name: HeaderName) -> Option<&str> {
        crate::header::name_addr::tag_in(self.get(name)?)
    }

    fn address(&self, name: HeaderName) -> Result<NameAddr<'_>, ParseError> {
        let entry = self.find(name.into()).ok_or(ParseError::new(0, Problem::Missing(name)))?;
        let mut scanner = self.scanner(entry);
        let address = NameAddr::scan(&mut scanner)?;
        scanner.end()?;
        Ok(address)
    }

    /// Call-ID.
    ///
    /// # Errors
    /// If it is missing or empty.
    pub fn call_id(&self) -> Result<&str, ParseError> {
        let name = HeaderName::CallId;
        let entry = self.find(name.into()).ok_or(ParseError::new(0, Problem::Missing(name)))?;
        let mut scanner = self.scanner(entry);
        let call_id = scanner.run(class::WORD);
        let more = scanner.eat(b'@');
        if more {
            scanner.run(class::WORD);
        }
        if call_id.is_empty() || scanner.since(0).ends_with('@') {
            return Err(scanner.expected("a Call-ID"));
        }
        if !scanner.is_at_end() {
            scanner.forgive(
                scanner.position(),
                crate::error::Liberty::UnescapedCharacter,
                "the end of the Call-ID",
            )?;
        }
        Ok(self.value(entry))
    }

    /// CSeq.
    ///
    /// # Errors
    /// If it is missing or not well-formed.
    pub fn cseq(&self) -> Result<CSeq, ParseError> {
        self.required()
    }

    /// The first Contact that is an address.
    ///
    /// # Errors
    /// If it is not well-formed.
    pub fn contact(&self) -> Result<Option<NameAddr<'_>>, ParseError> {
        if self.get(HeaderName::Contact) == Some("*") {
            return Ok(None);
        }
        self.list_as(HeaderName::Contact).next().transpose()
    }

    /// All of Contact.
    ///
    /// # Errors
    /// If one is not well-formed, or `*` is not alone.
    pub fn contacts(&self) -> Result<Contacts<'_>, ParseError> {
        let mut wildcards = self.index.iter().filter(|entry| self.is(entry, HeaderName::Contact.into()));
        if let Some(entry) = wildcards.find(|entry| self.value(entry) == "*") {
            if self.get_all(HeaderName::Contact).count() > 1 {
                return Err(self.scanner(entry).expected("`*` alone"));
            }
            return Ok(Contacts::Wildcard);
        }
        self.list_as(HeaderName::Contact).collect::<Result<_, _>>().map(Contacts::List)
    }

    /// Each Route, the next hop first.
    #[must_use]
    pub fn routes(&self) -> List<'_, NameAddr<'_>> {
        self.list_as(HeaderName::Route)
    }

    /// Each Record-Route, the topmost first.
    #[must_use]
    pub fn record_routes(&self) -> List<'_, NameAddr<'_>> {
        self.list_as(HeaderName::RecordRoute)
    }

    /// A header that is one number.
    ///
    /// # Errors
    /// If it is there and is no number of at most `most`.
    pub fn number(&self, name: HeaderName, most: u64) -> Result<Option<u64>, ParseError> {
        let Some(entry) = self.find(name.into()) else { return Ok(None) };
        let mut scanner = self.scanner(entry);
        let number = scanner.number("a number", most)?;
        scanner.end()?;
        Ok(Some(number))
    }

    /// Max-Forwards, 0 to 255.
    ///
    /// # Errors
    /// If it is there and is no such number.
    pub fn max_forwards(&self) -> Result<Option<u8>, ParseError> {
        Ok(self.number(HeaderName::MaxForwards, 255)?.and_then(|number| u8::try_from(number).ok()))
    }

    /// Expires in seconds. More than 2^32 − 1 counts as that.
    ///
    /// # Errors
    /// If it is there and is no number.
    pub fn expires(&self) -> Result<Option<u32>, ParseError> {
        let Some(entry) = self.find(HeaderName::Expires.into()) else { return Ok(None) };
        let mut scanner = self.scanner(entry);
        let digits = scanner.run(class::DIGIT);
        if digits.is_empty() {
            return Err(scanner.expected("a number of seconds"));
        }
        scanner.end()?;
        Ok(Some(digits.parse().unwrap_or(u32::MAX)))
    }

    /// Content-Length in bytes.
    ///
    /// # Errors
    /// If it is there and is no number, or larger than a message may be.
    pub fn content_length(&self) -> Result<Option<u32>, ParseError> {
        Ok(self
            .number(HeaderName::ContentLength, u64::from(u32::MAX))?
            .and_then(|number| u32::try_from(number).ok()))
    }

    /// Content-Type.
    ///
    /// # Errors
    /// If it is there and not well-formed.
    pub fn content_type(&self) -> Result<Option<crate::header::MediaType<'_>>, ParseError> {
        self.typed()
    }

    /// Whether a comma list of tokens (Supported, Require, Allow, …) names this one, without regard to case.
    #[must_use]
    pub fn lists(&self, name: HeaderName, token: &str) -> bool {
        let is_token = |item: &[u8]| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes());
        self.get_all(name).any(|value| value.as_bytes().split(|byte| *byte == b',').any(is_token))
    }

    /// Each token of a comma list of tokens.
    pub fn tokens(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.get_all(name)
            .flat_map(|value| value.split(','))
            .map(|item| item.trim_ascii())
            .filter(|item| !item.is_empty())
    }

    /// Of those headers that say what a message belongs to there is one each (RFC 3261 §7.3.1).
    pub(crate) fn check_repeats(&self) -> Result<(), ParseError> {
        let mut seen = 0_u8;
        for entry in &self.index {
            let bit = match HeaderName::ALL.get(usize::from(entry.id)) {
                Some(HeaderName::From) => 1,
                Some(HeaderName::To) => 2,
                Some(HeaderName::CallId) => 4,
                Some(HeaderName::CSeq) => 8,
                Some(HeaderName::MaxForwards) => 16,
                _ => continue,
            };
            if seen & bit != 0 {
                let header = HeaderName::ALL.get(usize::from(entry.id)).copied();
                let problem = Problem::Repeated(header.unwrap_or(HeaderName::CSeq));
                return Err(ParseError { offset: usize::from(entry.value_start), header, problem });
            }
            seen |= bit;
        }
        Ok(())
    }

    /// The headers without which no response can be handled: Via, From, To, Call-ID and CSeq
    /// (RFC 3261 §8.2.6.2) are there and well-formed. Those that say how it is matched are given back.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check_essentials(&self) -> Result<(Via<'_>, CSeq), ParseError> {
        let via = self.via()?;
        self.from()?;
        self.to()?;
        self.call_id()?;
        self.check_repeats()?;
        Ok((via, self.cseq()?))
    }

    /// CSeq is well-formed and names the request's method; leniently in any case.
    pub(crate) fn check_cseq(&self, method: &Method) -> Result<CSeq, ParseError> {
        let cseq = self.cseq()?;
        if cseq.method == *method {
            return Ok(cseq);
        }
        let entry = self.find(HeaderName::CSeq.into());
        let offset = entry.map_or(0, |entry| usize::from(entry.value_start));
        let same_word = cseq.method.as_str().eq_ignore_ascii_case(method.as_str());
        if same_word && self.attitude == Attitude::Lenient {
            return Ok(CSeq { method: method.clone(), ..cseq });
        }
        Err(ParseError { offset, header: Some(HeaderName::CSeq), problem: Problem::MethodMismatch })
    }
}
