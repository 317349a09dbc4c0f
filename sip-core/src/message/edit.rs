//! A changed copy of a message: what is not touched is copied byte for byte (RFC 3261 §16.6, §16.7).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    fmt::{self, Write},
    ops::Range,
};

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Method, Request, Response, StatusCode, build::Writer};
use crate::{
    error::BuildError,
    header::{Fields, HeaderName, Name, map::Entry},
};

/// A message that can be edited.
pub trait Editable: Sized + sealed::Sealed {}

impl Editable for Request {}
impl Editable for Response {}

/// Collects changes to a message; [`Edit::finish`] writes them.
///
/// Changes apply in the order they were asked for. Header lines that stay keep their text and their order.
#[derive(Debug)]
pub struct Edit<'m, M> {
    message: &'m M,
    /// Every new value, one behind the other.
    text: String,
    start: Option<Start>,
    changes: SmallVec<[Change<'m>; 8]>,
    body: Option<(Option<String>, Bytes)>,
}

/// Where a new value stands among the others.
type Span = Range<usize>;

#[derive(Debug)]
enum Start {
    Request(Option<Method>, Option<Span>),
    Status(StatusCode, Span),
}

#[derive(Debug)]
enum Change<'m> {
    Prepend(Name<'m>, Span),
    Append(Name<'m>, Span),
    Set(Name<'m>, Span),
    Remove(Name<'m>),
    PopFirst(HeaderName),
}

impl<'m, M: Editable> Edit<'m, M> {
    pub(super) fn new(message: &'m M) -> Self {
        // A Via, a URI and a number are what a proxy writes.
        let text = String::with_capacity(128);
        Self { message, text, start: None, changes: SmallVec::new(), body: None }
    }

    /// Puts a header line before the first of its name, or before all others if there is none.
    #[must_use]
    pub fn prepend(mut self, name: impl Into<Name<'m>>, value: impl fmt::Display) -> Self {
        let value = self.keep(value);
        self.changes.push(Change::Prepend(name.into(), value));
        self
    }

    /// Adds a header line behind all others.
    #[must_use]
    pub fn append(mut self, name: impl Into<Name<'m>>, value: impl fmt::Display) -> Self {
        let value = self.keep(value);
        self.changes.push(Change::Append(name.into(), value));
        self
    }

    /// Makes this the only header line of its name, in the place of the first one, or behind all others.
    #[must_use]
    pub fn set(mut self, name: impl Into<Name<'m>>, value: impl fmt::Display) -> Self {
        let value = self.keep(value);
        self.changes.push(Change::Set(name.into(), value));
        self
    }

    /// Removes every header line of this name.
    #[must_use]
    pub fn remove(mut self, name: impl Into<Name<'m>>) -> Self {
        self.changes.push(Change::Remove(name.into()));
        self
    }

    /// Removes the first value of a header, which may share its line with others: a Via, a Route.
    #[must_use]
    pub fn pop_first(mut self, name: HeaderName) -> Self {
        self.changes.push(Change::PopFirst(name));
        self
    }

    /// Another body; `None` as content type keeps the Content-Type there is. Content-Length follows by itself.
    #[must_use]
    pub fn body(mut self, content_type: Option<&str>, body: impl Into<Bytes>) -> Self {
        self.body = Some((content_type.map(str::to_owned), body.into()));
        self
    }

    /// No body, and none of the headers that describe one.
    #[must_use]
    pub fn without_body(self) -> Self {
        self.remove(HeaderName::ContentType)
            .remove(HeaderName::ContentDisposition)
            .remove(HeaderName::ContentEncoding)
            .remove(HeaderName::ContentLanguage)
            .body(None, Bytes::new())
    }
}

impl Edit<'_, Request> {
    /// Another Request-URI.
    #[must_use]
    pub fn uri(mut self, uri: impl fmt::Display) -> Self {
        let method = match self.start.take() {
            Some(Start::Request(method, _)) => method,
            _ => None,
        };
        self.start = Some(Start::Request(method, Some(self.keep(uri))));
        self
    }

    /// Another method; CSeq is the caller's to change.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        let uri = match self.start.take() {
            Some(Start::Request(_, uri)) => uri,
            _ => None,
        };
        self.start = Some(Start::Request(Some(method), uri));
        self
    }

    /// The changed request.
    ///
    /// # Errors
    /// If a change would smuggle a line or the head grows too long.
    pub fn finish(self) -> Result<Request, BuildError> {
        let mut writer = self.writer(&self.message.fields);
        let (method, uri) = match &self.start {
            Some(Start::Request(method, uri)) => (method.as_ref(), uri.clone().map(|uri| self.kept(&uri))),
            _ => (None, None),
        };
        let method = method.unwrap_or(&self.message.method).clone();
        let uri = writer.request_line(&method, uri.unwrap_or_else(|| self.message.uri_text()));
        let fields = self.write(writer, &self.message.fields)?;
        Ok(Request { method, uri, fields })
    }
}

impl Edit<'_, Response> {
    /// Another status and phrase.
    #[must_use]
    pub fn status(mut self, status: StatusCode, reason: &str) -> Self {
        self.start = Some(Start::Status(status, self.keep(reason)));
        self
    }

    /// The changed response.
    ///
    /// # Errors
    /// If a change would smuggle a line or the head grows too long.
    pub fn finish(self) -> Result<Response, BuildError> {
        let mut writer = self.writer(&self.message.fields);
        let (status, reason) = match &self.start {
            Some(Start::Status(status, reason)) => (*status, self.kept(reason)),
            _ => (self.message.status, self.message.reason()),
        };
        let reason = writer.status_line(status, reason);
        let fields = self.write(writer, &self.message.fields)?;
        Ok(Response { status, reason, fields })
    }
}

impl<M> Edit<'_, M> {
    fn keep(&mut self, value: impl fmt::Display) -> Span {
        let start = self.text.len();
        // A `Display` that fails leaves what it wrote; a string takes everything.
        let _ = write!(self.text, "{value}");
        start..self.text.len()
    }

    fn kept(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    fn writer(&self, base: &Fields) -> Writer {
        let names: usize = self
            .changes
            .iter()
            .map(|change| match change {
                Change::Prepend(name, _) | Change::Append(name, _) | Change::Set(name, _) => {
                    name.as_str().len().saturating_add(4)
                }
                Change::Remove(_) | Change::PopFirst(_) => 0,
            })
            .sum();
        let body = self.body.as_ref().map_or(0, |(_, body)| body.len());
        let added = names.saturating_add(self.text.len()).saturating_add(body);
        Writer::new(base.bytes.len().saturating_add(added).saturating_add(64))
    }

    fn write(&self, mut writer: Writer, base: &Fields) -> Result<Fields, BuildError> {
        let length = self.body.as_ref().map(|(_, body)| body.len().to_string());
        let mut lines: Lines<'_> = base.index.iter().map(Line::Kept).collect();
        for change in &self.changes {
            self.apply(&mut lines, change, base);
        }
        let body = match (&self.body, &length) {
            (Some((content_type, body)), Some(length)) => {
                if let Some(content_type) = content_type {
                    set(&mut lines, HeaderName::ContentType.into(), content_type, base);
                }
                set(&mut lines, HeaderName::ContentLength.into(), length, base);
                body
            }
            _ => base.body(),
        };
        write_lines(&mut writer, &lines, base);
        let mut fields = writer.finish(body)?;
        fields.attitude = base.attitude;
        fields.limits = base.limits;
        Ok(fields)
    }

    fn apply<'a>(&'a self, lines: &mut Lines<'a>, change: &Change<'a>, base: &'a Fields) {
        match change {
            Change::Prepend(name, value) => {
                let at = lines.iter().position(|line| line.is(*name, base)).unwrap_or(0);
                lines.insert(at, Line::New(*name, self.kept(value)));
            }
            Change::Append(name, value) => lines.push(Line::New(*name, self.kept(value))),
            Change::Set(name, value) => set(lines, *name, self.kept(value), base),
            Change::Remove(name) => lines.retain(|line| !line.is(*name, base)),
            Change::PopFirst(name) => {
                let Some(at) = lines.iter().position(|line| line.is((*name).into(), base)) else { return };
                let Some(line) = lines.get_mut(at) else { return };
                match after_first_value(line.value(base)) {
                    Some(rest) => *line = Line::New((*name).into(), rest),
                    None => drop(lines.remove(at)),
                }
            }
        }
    }
}

type Lines<'a> = SmallVec<[Line<'a>; 32]>;

#[derive(Clone, Copy)]
enum Line<'a> {
    Kept(&'a Entry),
    New(Name<'a>, &'a str),
}

impl<'a> Line<'a> {
    fn is(&self, name: Name<'_>, base: &Fields) -> bool {
        match self {
            Self::Kept(entry) => base.is(entry, name),
            Self::New(own, _) => *own == name,
        }
    }

    fn value(&self, base: &'a Fields) -> &'a str {
        match *self {
            Self::Kept(entry) => base.value(entry),
            Self::New(_, value) => value,
        }
    }
}

/// Lines that stay and follow each other are copied at one go.
fn write_lines(writer: &mut Writer, lines: &[Line<'_>], base: &Fields) {
    let mut run: SmallVec<[Entry; 32]> = SmallVec::new();
    for line in lines {
        match *line {
            Line::Kept(entry) => {
                if run.last().is_some_and(|last| !follows(entry, last, base)) {
                    writer.copy_run(base, &run);
                    run.clear();
                }
                run.push(*entry);
            }
            Line::New(name, value) => {
                writer.copy_run(base, &run);
                run.clear();
                writer.header(name, value);
            }
        }
    }
    writer.copy_run(base, &run);
}

/// Whether nothing but a line break is between two lines: no white space, no line that was left out.
fn follows(entry: &Entry, before: &Entry, base: &Fields) -> bool {
    base.bytes.get(usize::from(before.value_end)..usize::from(entry.start)) == Some(b"\r\n")
}

fn set<'a>(lines: &mut Lines<'a>, name: Name<'a>, value: &'a str, base: &Fields) {
    let Some(at) = lines.iter().position(|line| line.is(name, base)) else {
        lines.push(Line::New(name, value));
        return;
    };
    let mut seen = 0_usize;
    lines.retain(|line| {
        let is = line.is(name, base);
        seen = seen.saturating_add(usize::from(is));
        !is || seen == 1
    });
    if let Some(line) = lines.get_mut(at) {
        *line = Line::New(name, value);
    }
}

/// What stands behind the first comma that is neither in quotes nor in angle brackets.
fn after_first_value(value: &str) -> Option<&str> {
    let mut in_brackets = false;
    let mut in_quotes = false;
    let mut escaped = false;
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_quotes => escaped = true,
            b'"' if !in_brackets => in_quotes = !in_quotes,
            b'<' if !in_quotes => in_brackets = true,
            b'>' if !in_quotes => in_brackets = false,
            b',' if !in_quotes && !in_brackets => {
                let rest =
                    value.get(at.saturating_add(1)..)?.trim_start_matches([' ', '\t', '\r', '\n', ',']);
                return Some(rest).filter(|rest| !rest.is_empty());
            }
            _ => {}
        }
    }
    None
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Request {}
    impl Sealed for super::Response {}
}
