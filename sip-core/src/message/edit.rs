//! A changed copy of a message: what is not touched is copied byte for byte (RFC 3261 §16.6, §16.7).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

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
    start: Option<Start>,
    changes: SmallVec<[Change<'m>; 8]>,
    body: Option<(Option<String>, Bytes)>,
}

#[derive(Debug)]
enum Start {
    Request(Option<Method>, Option<String>),
    Status(StatusCode, String),
}

#[derive(Debug)]
enum Change<'m> {
    Prepend(Name<'m>, String),
    Append(Name<'m>, String),
    Set(Name<'m>, String),
    Remove(Name<'m>),
    PopFirst(HeaderName),
}

impl<'m, M: Editable> Edit<'m, M> {
    pub(super) fn new(message: &'m M) -> Self {
        Self { message, start: None, changes: SmallVec::new(), body: None }
    }

    /// Puts a header line before the first of its name, or before all others if there is none.
    #[must_use]
    pub fn prepend(mut self, name: impl Into<Name<'m>>, value: impl fmt::Display) -> Self {
        self.changes.push(Change::Prepend(name.into(), value.to_string()));
        self
    }

    /// Adds a header line behind all others.
    #[must_use]
    pub fn append(mut self, name: impl Into<Name<'m>>, value: impl fmt::Display) -> Self {
        self.changes.push(Change::Append(name.into(), value.to_string()));
        self
    }

    /// Makes this the only header line of its name, in the place of the first one, or behind all others.
    #[must_use]
    pub fn set(mut self, name: impl Into<Name<'m>>, value: impl fmt::Display) -> Self {
        self.changes.push(Change::Set(name.into(), value.to_string()));
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
        self.start = Some(Start::Request(method, Some(uri.to_string())));
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
            Some(Start::Request(method, uri)) => (method.as_ref(), uri.as_deref()),
            _ => (None, None),
        };
        let method = method.unwrap_or(&self.message.method).clone();
        let uri = writer.request_line(&method, uri.unwrap_or_else(|| self.message.uri_text()));
        let fields = self.write(writer, &self.message.fields)?;
        Ok(Request { method, uri, fields: fields.into() })
    }
}

impl Edit<'_, Response> {
    /// Another status and phrase.
    #[must_use]
    pub fn status(mut self, status: StatusCode, reason: &str) -> Self {
        self.start = Some(Start::Status(status, reason.to_owned()));
        self
    }

    /// The changed response.
    ///
    /// # Errors
    /// If a change would smuggle a line or the head grows too long.
    pub fn finish(self) -> Result<Response, BuildError> {
        let mut writer = self.writer(&self.message.fields);
        let (status, reason) = match &self.start {
            Some(Start::Status(status, reason)) => (*status, reason.as_str()),
            _ => (self.message.status, self.message.reason()),
        };
        let reason = writer.status_line(status, reason);
        let fields = self.write(writer, &self.message.fields)?;
        Ok(Response { status, reason, fields: fields.into() })
    }
}

impl<M> Edit<'_, M> {
    fn writer(&self, base: &Fields) -> Writer {
        let added: usize = self
            .changes
            .iter()
            .map(|change| match change {
                Change::Prepend(name, value) | Change::Append(name, value) | Change::Set(name, value) => {
                    name.as_str().len().saturating_add(value.len()).saturating_add(4)
                }
                Change::Remove(_) | Change::PopFirst(_) => 0,
            })
            .sum();
        let body = self.body.as_ref().map_or(0, |(_, body)| body.len());
        Writer::new(base.bytes.len().saturating_add(added).saturating_add(body).saturating_add(64))
    }

    fn write(&self, mut writer: Writer, base: &Fields) -> Result<Fields, BuildError> {
        let mut lines: SmallVec<[Line<'_>; 32]> = base.index.iter().map(Line::Kept).collect();
        for change in &self.changes {
            apply(&mut lines, change, base);
        }
        let body = match &self.body {
            None => base.body(),
            Some((content_type, body)) => {
                if let Some(content_type) = content_type {
                    set(&mut lines, HeaderName::ContentType.into(), content_type, base);
                }
                set(&mut lines, HeaderName::ContentLength.into(), &body.len().to_string(), base);
                body
            }
        };
        for line in &lines {
            match line {
                Line::Kept(entry) => writer.copy(base, entry),
                Line::New(name, value) => writer.header(*name, value),
            }
        }
        let mut fields = writer.finish(body)?;
        fields.attitude = base.attitude;
        fields.limits = base.limits;
        Ok(fields)
    }
}

enum Line<'a> {
    Kept(&'a Entry),
    New(Name<'a>, String),
}

impl Line<'_> {
    fn is(&self, name: Name<'_>, base: &Fields) -> bool {
        match self {
            Self::Kept(entry) => base.is(entry, name),
            Self::New(own, _) => *own == name,
        }
    }
}

fn apply<'a>(lines: &mut SmallVec<[Line<'a>; 32]>, change: &Change<'a>, base: &Fields) {
    match change {
        Change::Prepend(name, value) => {
            let at = lines.iter().position(|line| line.is(*name, base)).unwrap_or(0);
            lines.insert(at, Line::New(*name, value.clone()));
        }
        Change::Append(name, value) => lines.push(Line::New(*name, value.clone())),
        Change::Set(name, value) => set(lines, *name, value, base),
        Change::Remove(name) => lines.retain(|line| !line.is(*name, base)),
        Change::PopFirst(name) => {
            let Some(at) = lines.iter().position(|line| line.is((*name).into(), base)) else { return };
            let rest = match lines.get(at) {
                Some(Line::Kept(entry)) => after_first_value(base.value(entry)),
                Some(Line::New(_, value)) => after_first_value(value),
                None => return,
            };
            let rest = rest.map(str::to_owned);
            match (rest, lines.get_mut(at)) {
                (Some(rest), Some(line)) => *line = Line::New((*name).into(), rest),
                _ => drop(lines.remove(at)),
            }
        }
    }
}

fn set<'a>(lines: &mut SmallVec<[Line<'a>; 32]>, name: Name<'a>, value: &str, base: &Fields) {
    let Some(at) = lines.iter().position(|line| line.is(name, base)) else {
        lines.push(Line::New(name, value.to_owned()));
        return;
    };
    let mut seen = 0_usize;
    lines.retain(|line| {
        let is = line.is(name, base);
        seen = seen.saturating_add(usize::from(is));
        !is || seen == 1
    });
    if let Some(line) = lines.get_mut(at) {
        *line = Line::New(name, value.to_owned());
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
