//! Making messages. The index is made while writing, so nothing is parsed again; whatever would smuggle a line —
//! CR, LF, NUL, other control characters — is refused when the message is finished.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt::{self, Write};

use bytes::Bytes;

use super::{Message, Method, Request, Response, StatusCode, class};
use crate::{
    error::{Attitude, BuildError},
    header::{
        Fields, HeaderName, Name,
        map::{Entry, Index, OTHER},
        name_addr::tag_in,
    },
    limits::MessageLimits,
};

/// Writes head and index. The first error is kept and told at the end, so that calls can be chained.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) buffer: Vec<u8>,
    pub(crate) index: Index,
    pub(crate) headers_start: usize,
    error: Option<BuildError>,
}

impl Writer {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { buffer: Vec::with_capacity(capacity), index: Index::new(), headers_start: 0, error: None }
    }

    pub(crate) fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    /// `METHOD uri SIP/2.0`. Returns where the URI is.
    pub(crate) fn request_line(&mut self, method: &Method, uri: impl fmt::Display) -> (u16, u16) {
        if !class::is_token(method.as_str()) {
            self.fail(BuildError::NotAToken);
        }
        self.buffer.extend_from_slice(method.as_str().as_bytes());
        self.buffer.push(b' ');
        let start = self.buffer.len();
        let _ = write!(Text(&mut self.buffer), "{uri}");
        let end = self.buffer.len();
        let written = self.buffer.get(start..).unwrap_or_default();
        if written.is_empty() || written.iter().any(|byte| byte.is_ascii_control() || *byte == b' ') {
            self.fail(BuildError::RequestUri);
        }
        self.buffer.extend_from_slice(b" SIP/2.0\r\n");
        self.headers_start = self.buffer.len();
        (self.narrow(start), self.narrow(end))
    }

    /// `SIP/2.0 code reason`. Returns where the reason is.
    pub(crate) fn status_line(&mut self, status: StatusCode, reason: &str) -> (u16, u16) {
        self.buffer.extend_from_slice(b"SIP/2.0 ");
        self.push_number(usize::from(status.code()));
        self.buffer.push(b' ');
        let start = self.buffer.len();
        self.buffer.extend_from_slice(reason.as_bytes());
        if reason.bytes().any(|byte| byte.is_ascii_control()) {
            self.fail(BuildError::ControlCharacter("the reason phrase"));
        }
        let end = self.buffer.len();
        self.buffer.extend_from_slice(b"\r\n");
        self.headers_start = self.buffer.len();
        (self.narrow(start), self.narrow(end))
    }

    pub(crate) fn header(&mut self, name: Name<'_>, value: impl fmt::Display) {
        let start = self.buffer.len();
        if let Name::Other(text) = name
            && !class::is_token(text)
        {
            self.fail(BuildError::NotAToken);
            return;
        }
        self.buffer.extend_from_slice(name.as_str().as_bytes());
        self.buffer.extend_from_slice(b": ");
        let value_start = self.buffer.len();
        let _ = write!(Text(&mut self.buffer), "{value}");
        if has_control(self.buffer.get(value_start..).unwrap_or_default()) {
            self.clean(value_start, name);
        }
        let value_end = self.buffer.len();
        self.buffer.extend_from_slice(b"\r\n");
        self.entry(name, start, name.as_str().len(), value_start, value_end);
    }

    /// A header that is a number, without the machinery of formatting.
    fn header_number(&mut self, name: HeaderName, number: usize) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(name.as_str().as_bytes());
        self.buffer.extend_from_slice(b": ");
        let value_start = self.buffer.len();
        self.push_number(number);
        let value_end = self.buffer.len();
        self.buffer.extend_from_slice(b"\r\n");
        self.entry(name.into(), start, name.as_str().len(), value_start, value_end);
    }

    fn push_number(&mut self, number: usize) {
        let mut digits = [0_u8; 20];
        let mut rest = number;
        let mut used = 0_usize;
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.wrapping_add(u8::try_from(rest % 10).unwrap_or(0));
            rest /= 10;
            used = used.saturating_add(1);
            if rest == 0 {
                break;
            }
        }
        self.buffer.extend_from_slice(digits.get(20_usize.saturating_sub(used)..).unwrap_or_default());
    }

    /// A value that was copied from a folded header is written on one line; any other control character is refused.
    #[cold]
    fn clean(&mut self, value_start: usize, name: Name<'_>) {
        let value = String::from_utf8_lossy(self.buffer.get(value_start..).unwrap_or_default()).into_owned();
        let is_folded = value.split("\r\n").skip(1).all(|line| line.starts_with([' ', '\t']))
            && value.split("\r\n").all(|line| !line.contains(['\r', '\n']));
        let value = if is_folded { crate::header::scan::unfold(&value) } else { value };
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            self.fail(BuildError::ControlCharacter(match name {
                Name::Known(name) => name.as_str(),
                Name::Other(_) => "a header",
            }));
        }
        self.buffer.truncate(value_start);
        self.buffer.extend_from_slice(value.as_bytes());
    }

    /// Copies a header line as it stands in another message.
    pub(crate) fn copy(&mut self, from: &Fields, entry: &Entry) {
        self.copy_run(from, std::slice::from_ref(entry));
    }

    /// Copies header lines that stand one behind the other in another message.
    pub(crate) fn copy_run(&mut self, from: &Fields, run: &[Entry]) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let from_start = usize::from(first.start);
        let lines = from.bytes.get(from_start..usize::from(last.value_end)).unwrap_or_default();
        let start = self.buffer.len();
        self.buffer.extend_from_slice(lines);
        self.buffer.extend_from_slice(b"\r\n");
        // Where the last value ends is where the others are within bounds.
        self.narrow(self.buffer.len());
        let moved = |offset: u16| {
            let moved = start.wrapping_add(usize::from(offset)).wrapping_sub(from_start);
            u16::try_from(moved).unwrap_or(u16::MAX)
        };
        self.index.extend(run.iter().map(|entry| Entry {
            id: entry.id,
            name_length: entry.name_length,
            start: moved(entry.start),
            value_start: moved(entry.value_start),
            value_end: moved(entry.value_end),
        }));
    }

    pub(crate) fn copy_all(&mut self, from: &Fields, name: HeaderName) {
        for entry in from.index.iter().filter(|entry| entry.id == name as u8) {
            self.copy(from, entry);
        }
    }

    fn entry(
        &mut self,
        name: Name<'_>,
        start: usize,
        name_length: usize,
        value_start: usize,
        value_end: usize,
    ) {
        let id = match name {
            Name::Known(name) => name as u8,
            Name::Other(_) => OTHER,
        };
        let entry = Entry {
            id,
            start: self.narrow(start),
            name_length: u8::try_from(name_length).unwrap_or(u8::MAX),
            value_start: self.narrow(value_start),
            value_end: self.narrow(value_end),
        };
        self.index.push(entry);
    }

    /// Puts bytes in at an offset; the index is the caller's to correct.
    fn insert(&mut self, at: usize, parts: &[&[u8]]) {
        let by: usize = parts.iter().map(|part| part.len()).sum();
        let old_end = self.buffer.len();
        let at = at.min(old_end);
        self.buffer.resize(old_end.saturating_add(by), 0);
        self.buffer.copy_within(at..old_end, at.saturating_add(by));
        let mut to = at;
        for part in parts {
            let end = to.saturating_add(part.len());
            if let Some(gap) = self.buffer.get_mut(to..end) {
                gap.copy_from_slice(part);
            }
            to = end;
        }
    }

    pub(crate) fn narrow(&mut self, offset: usize) -> u16 {
        u16::try_from(offset).unwrap_or_else(|_| {
            self.fail(BuildError::TooLong);
            u16::MAX
        })
    }

    /// The empty line and the body.
    pub(crate) fn finish(mut self, body: &[u8]) -> Result<Fields, BuildError> {
        self.buffer.extend_from_slice(b"\r\n");
        let body_start = self.buffer.len();
        self.narrow(body_start);
        self.buffer.extend_from_slice(body);
        if let Some(error) = self.error {
            return Err(error);
        }
        let headers_start = u16::try_from(self.headers_start).map_err(|_| BuildError::TooLong)?;
        Ok(Fields {
            bytes: Bytes::from(self.buffer),
            index: self.index,
            headers_start,
            body_start,
            attitude: Attitude::Lenient,
            limits: MessageLimits::default().for_values(),
            forgiven: Vec::new(),
        })
    }
}

/// Whether a value holds a control character other than the tab. Every byte is looked at, which goes many at a time.
fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, byte| found | (byte.is_ascii_control() & (*byte != b'\t')))
}

/// `fmt::Write` over bytes.
struct Text<'a>(&'a mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Which message is being made.
#[derive(Debug)]
enum Kind {
    Request { method: Method, uri: (u16, u16) },
    Response { status: StatusCode, reason: (u16, u16) },
}

/// Makes a message, header by header in the order given.
#[derive(Debug)]
pub struct Builder {
    kind: Kind,
    writer: Writer,
    body: Bytes,
}

impl Builder {
    fn request(method: Method, uri: impl fmt::Display) -> Self {
        // As much as they mostly come to, without growing.
        let capacity = if method == Method::Invite { 1024 } else { 512 };
        let mut writer = Writer::new(capacity);
        let uri = writer.request_line(&method, uri);
        Self { kind: Kind::Request { method, uri }, writer, body: Bytes::new() }
    }

    fn response(status: StatusCode, reason: &str, capacity: usize) -> Self {
        let mut writer = Writer::new(capacity);
        let reason = writer.status_line(status, reason);
        Self { kind: Kind::Response { status, reason }, writer, body: Bytes::new() }
    }

    fn finish(mut self) -> Result<Message, BuildError> {
        self.writer.header_number(HeaderName::ContentLength, self.body.len());
        let fields = self.writer.finish(&self.body)?;
        Ok(match self.kind {
            Kind::Request { method, uri } => Message::Request(Request { method, uri, fields }),
            Kind::Response { status, reason } => Message::Response(Response { status, reason, fields }),
        })
    }
}

/// Makes a request.
#[derive(Debug)]
pub struct RequestBuilder(Builder);

/// Makes a response.
#[derive(Debug)]
pub struct ResponseBuilder(Builder);

macro_rules! shared {
    ($builder:ident) => {
        impl $builder {
            /// Adds a header behind those that are there.
            #[must_use]
            pub fn header<'n>(mut self, name: impl Into<Name<'n>>, value: impl fmt::Display) -> Self {
                self.0.writer.header(name.into(), value);
                self
            }

            /// Adds a header, if there is a value.
            #[must_use]
            pub fn header_if<'n>(self, name: impl Into<Name<'n>>, value: Option<impl fmt::Display>) -> Self {
                match value {
                    Some(value) => self.header(name, value),
                    None => self,
                }
            }

            /// Copies every header of this name from another message, as written there.
            #[must_use]
            pub fn copy(mut self, from: &Fields, name: HeaderName) -> Self {
                self.0.writer.copy_all(from, name);
                self
            }

            /// Adds a body and its Content-Type. Content-Length is always written.
            #[must_use]
            pub fn body(mut self, content_type: impl fmt::Display, body: impl Into<Bytes>) -> Self {
                self.0.writer.header(HeaderName::ContentType.into(), content_type);
                self.0.body = body.into();
                self
            }
        }
    };
}

shared!(RequestBuilder);
shared!(ResponseBuilder);

impl RequestBuilder {
    pub(super) fn new(method: Method, uri: impl fmt::Display) -> Self {
        Self(Builder::request(method, uri))
    }

    /// The request.
    ///
    /// # Errors
    /// If a header would smuggle a line or the head is too long.
    pub fn finish(self) -> Result<Request, BuildError> {
        match self.0.finish()? {
            Message::Request(request) => Ok(request),
            Message::Response(_) => Err(BuildError::RequestUri),
        }
    }
}

impl ResponseBuilder {
    pub(super) fn new(status: StatusCode) -> Self {
        Self(Builder::response(status, status.reason(), 512))
    }

    /// See [`Request::response`].
    pub(super) fn to_request(request: &Request, status: StatusCode) -> Self {
        let dialog = status.code() > 100 && status.code() < 300;
        let is_wanted = |entry: &&Entry| match HeaderName::ALL.get(usize::from(entry.id)) {
            Some(
                HeaderName::Via | HeaderName::From | HeaderName::To | HeaderName::CallId | HeaderName::CSeq,
            ) => true,
            Some(HeaderName::RecordRoute) => dialog,
            Some(HeaderName::Timestamp) => status == StatusCode::TRYING,
            _ => false,
        };
        // Room for what is copied, a tag and Content-Length; a transaction keeps the buffer for long.
        let copied: usize = request
            .index
            .iter()
            .filter(is_wanted)
            .map(|entry| {
                usize::from(entry.value_end).saturating_sub(usize::from(entry.start)).saturating_add(2)
            })
            .sum();
        let mut builder = Builder::response(status, status.reason(), copied.saturating_add(72));
        for entry in request.index.iter().filter(is_wanted) {
            builder.writer.copy(request, entry);
        }
        Self(builder)
    }

    /// Makes room for so many bytes of headers and body to come, so that the message is not moved as it grows.
    #[must_use]
    pub(crate) fn with_room(mut self, bytes: usize) -> Self {
        self.0.writer.buffer.reserve_exact(bytes);
        self
    }

    /// Another reason phrase.
    #[must_use]
    pub fn reason(self, reason: &str) -> Self {
        let Kind::Response { status, .. } = self.0.kind else { return self };
        let mut rebuilt = Builder::response(status, reason, self.0.writer.buffer.capacity());
        let old = self.0.writer;
        let shift_from = old.headers_start;
        let shift_to = rebuilt.writer.buffer.len();
        rebuilt.writer.buffer.extend_from_slice(old.buffer.get(shift_from..).unwrap_or_default());
        for entry in &old.index {
            let moved = |offset: u16| usize::from(offset).saturating_sub(shift_from).saturating_add(shift_to);
            let (start, value_start, value_end) =
                (moved(entry.start), moved(entry.value_start), moved(entry.value_end));
            let entry = Entry {
                start: rebuilt.writer.narrow(start),
                value_start: rebuilt.writer.narrow(value_start),
                value_end: rebuilt.writer.narrow(value_end),
                ..*entry
            };
            rebuilt.writer.index.push(entry);
        }
        if let Some(error) = old.error {
            rebuilt.writer.fail(error);
        }
        rebuilt.body = self.0.body;
        Self(rebuilt)
    }

    /// Adds this tag to To if it has none (RFC 3261 §8.2.6.2).
    #[must_use]
    pub fn to_tag(mut self, tag: &str) -> Self {
        let writer = &mut self.0.writer;
        if !class::is_token(tag) {
            writer.fail(BuildError::NotAToken);
            return self;
        }
        let Some(at) = writer.index.iter().position(|entry| entry.id == HeaderName::To as u8) else {
            writer.fail(BuildError::Missing(HeaderName::To));
            return self;
        };
        let Some(entry) = writer.index.get(at).copied() else { return self };
        let value = writer.buffer.get(usize::from(entry.value_start)..usize::from(entry.value_end));
        let value = std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default();
        let has_tag = tag_in(value).is_some();
        if has_tag {
            return self;
        }
        writer.insert(usize::from(entry.value_end), &[b";tag=", tag.as_bytes()]);
        let by = tag.len().saturating_add(5);
        let later = writer.index.get_mut(at..).unwrap_or_default();
        let mut overflow = false;
        for (step, entry) in later.iter_mut().enumerate() {
            let mut shift = |offset: &mut u16| {
                let moved = usize::from(*offset).saturating_add(by);
                *offset = u16::try_from(moved).unwrap_or_else(|_| {
                    overflow = true;
                    u16::MAX
                });
            };
            if step > 0 {
                shift(&mut entry.start);
                shift(&mut entry.value_start);
            }
            shift(&mut entry.value_end);
        }
        if overflow {
            writer.fail(BuildError::TooLong);
        }
        self
    }

    /// The response.
    ///
    /// # Errors
    /// If a header would smuggle a line or the head is too long.
    pub fn finish(self) -> Result<Response, BuildError> {
        match self.0.finish()? {
            Message::Response(response) => Ok(response),
            Message::Request(_) => Err(BuildError::RequestUri),
        }
    }
}
