//! The header fields and the body of a message: order and text as they came, an index of slices, typed access on
//! demand.
//!
//! Nothing here has an address or a socket, and nothing changes: [`Edit`](crate::message::Edit) makes a new message.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use super::{HeaderName, HeaderValue, Name, Scanner};
use crate::{
    error::{Attitude, Forgiven, ParseError, Problem},
    limits::{Limit, ValueLimits},
    message::class,
};

/// Where one header is: offsets into the message. Eight bytes, for a message is moved about more often than it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `HeaderName as u8`, or [`OTHER`].
    pub(crate) id: u8,
    /// Length of the name; 255 and more are looked at anew.
    pub(crate) name_length: u8,
    pub(crate) start: u16,
    pub(crate) value_start: u16,
    pub(crate) value_end: u16,
}

/// The id of a header that is not in the table.
pub(crate) const OTHER: u8 = u8::MAX;

/// The index; 32 headers need no allocation.
pub(crate) type Index = SmallVec<[Entry; 32]>;

/// Header fields and body. [`Request`](crate::message::Request) and [`Response`](crate::message::Response) deref to it.
pub struct Fields {
    pub(crate) bytes: Bytes,
    pub(crate) index: Index,
    /// End of the start line, its line break included.
    pub(crate) headers_start: u16,
    /// Where the body starts; what is before is the head, its empty line included.
    pub(crate) body_start: usize,
    pub(crate) attitude: Attitude,
    pub(crate) limits: ValueLimits,
    pub(crate) forgiven: Vec<Forgiven>,
}

/// The index is copied at one go: the derived way would go entry by entry.
impl Clone for Fields {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            index: Index::from_slice(&self.index),
            forgiven: self.forgiven.clone(),
            ..*self
        }
    }
}

/// One header as it came.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// Its name.
    pub name: Name<'a>,
    /// The name as written: perhaps the compact form.
    pub name_text: &'a str,
    /// The value without white space around it; a fold is still in it.
    pub value: &'a str,
    /// Offset of the value from the start of the message.
    pub offset: usize,
}

impl Fields {
    /// The whole message as it goes over the wire. Cloning it costs a reference count.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Every header in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        self.index.iter().map(|entry| self.header(entry))
    }

    /// How many header lines there are.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.index.len()
    }

    /// The value of the first header of this name.
    #[must_use]
    pub fn get<'n>(&self, name: impl Into<Name<'n>>) -> Option<&str> {
        self.find(name.into()).map(|entry| self.value(entry))
    }

    /// The value of each header line of this name; not split at commas.
    pub fn get_all<'s, 'n: 's>(&'s self, name: impl Into<Name<'n>>) -> impl Iterator<Item = &'s str> {
        let name = name.into();
        self.index.iter().filter(move |entry| self.is(entry, name)).map(|entry| self.value(entry))
    }

    /// Whether there is a header of this name.
    #[must_use]
    pub fn has<'n>(&self, name: impl Into<Name<'n>>) -> bool {
        self.find(name.into()).is_some()
    }

    /// The first header of the type's name, typed; `None` if there is none.
    ///
    /// # Errors
    /// If its value is not what the grammar says.
    pub fn typed<'s, T: HeaderValue<'s>>(&'s self) -> Result<Option<T>, ParseError> {
        self.typed_as(T::NAME)
    }

    /// As [`Fields::typed`], for types that several headers share.
    ///
    /// # Errors
    /// If its value is not what the grammar says.
    pub fn typed_as<'s, T: HeaderValue<'s>>(&'s self, name: HeaderName) -> Result<Option<T>, ParseError> {
        let Some(entry) = self.find(Name::Known(name)) else { return Ok(None) };
        let mut scanner = self.scanner(entry);
        let value = T::scan(&mut scanner)?;
        if !T::IS_LIST {
            scanner.end()?;
        }
        Ok(Some(value))
    }

    /// The first header of the type's name, which must be there.
    ///
    /// # Errors
    /// If it is missing or not what the grammar says.
    pub fn required<'s, T: HeaderValue<'s>>(&'s self) -> Result<T, ParseError> {
        self.typed()?.ok_or(ParseError::new(0, Problem::Missing(T::NAME)))
    }

    /// Every value of the type's name, over all header lines and commas.
    #[must_use]
    pub fn list<'s, T: HeaderValue<'s>>(&'s self) -> List<'s, T> {
        self.list_as(T::NAME)
    }

    /// As [`Fields::list`], for types that several headers share.
    #[must_use]
    pub fn list_as<'s, T: HeaderValue<'s>>(&'s self, name: HeaderName) -> List<'s, T> {
        List { fields: self, name, line: 0, scanner: None, count: 0, of: std::marker::PhantomData }
    }

    /// The body; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body_start..).unwrap_or_default()
    }

    /// The body as a slice that shares the message's buffer.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        if self.body().is_empty() { Bytes::new() } else { self.bytes.slice(self.body_start..) }
    }

    /// What the parser forgave. Liberties inside of header values show when [validated](crate::message::Message::validate).
    #[must_use]
    pub fn forgiven(&self) -> &[Forgiven] {
        &self.forgiven
    }

    /// The attitude with which the message was parsed and typed access reads.
    #[must_use]
    pub const fn attitude(&self) -> Attitude {
        self.attitude
    }

    pub(crate) fn find(&self, name: Name<'_>) -> Option<&Entry> {
        match name {
            Name::Known(known) => {
                let id = known as u8;
                self.index.iter().find(|entry| entry.id == id)
            }
            Name::Other(_) => self.index.iter().find(|entry| self.is(entry, name)),
        }
    }

    pub(crate) fn is(&self, entry: &Entry, name: Name<'_>) -> bool {
        match name {
            Name::Known(known) => entry.id == known as u8,
            Name::Other(text) => entry.id == OTHER && self.name_text(entry).eq_ignore_ascii_case(text),
        }
    }

    pub(crate) fn value(&self, entry: &Entry) -> &str {
        self.text(usize::from(entry.value_start), usize::from(entry.value_end))
    }

    pub(crate) fn name_text(&self, entry: &Entry) -> &str {
        let start = usize::from(entry.start);
        let length = match entry.name_length {
            u8::MAX => class::span(self.bytes.get(start..).unwrap_or_default(), class::TOKEN),
            length => usize::from(length),
        };
        self.text(start, start.saturating_add(length))
    }

    /// A slice of the head. The head is UTF-8, which the parser has seen to, and the offsets are between characters.
    #[inline]
    pub(crate) fn text(&self, start: usize, end: usize) -> &str {
        let bytes = self.bytes.get(start..end).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    pub(crate) fn scanner(&self, entry: &Entry) -> Scanner<'_> {
        let header = HeaderName::ALL.get(usize::from(entry.id)).copied();
        Scanner::at(self.value(entry), usize::from(entry.value_start), header, self.attitude, self.limits)
    }

    pub(crate) fn header(&self, entry: &Entry) -> Header<'_> {
        let name_text = self.name_text(entry);
        let name = HeaderName::ALL
            .get(usize::from(entry.id))
            .map_or(Name::Other(name_text), |name| Name::Known(*name));
        Header { name, name_text, value: self.value(entry), offset: usize::from(entry.value_start) }
    }
}

impl Fields {
    /// The whole message as text.
    pub(crate) fn fmt_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.bytes))
    }
}

/// Equal bytes.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// Each value of a header over all its lines and commas.
#[derive(Debug, Clone)]
pub struct List<'s, T> {
    fields: &'s Fields,
    name: HeaderName,
    line: usize,
    scanner: Option<Scanner<'s>>,
    count: usize,
    of: std::marker::PhantomData<T>,
}

impl<'s, T: HeaderValue<'s>> Iterator for List<'s, T> {
    type Item = Result<T, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(scanner) = &mut self.scanner {
                let outcome = next_element::<T>(scanner);
                match outcome {
                    Ok(Some(value)) => {
                        self.count = self.count.saturating_add(1);
                        if self.count > usize::from(self.fields.limits.values) {
                            let error = scanner.error(Problem::Limit(Limit::Values));
                            self.stop();
                            return Some(Err(error));
                        }
                        return Some(Ok(value));
                    }
                    Ok(None) => self.scanner = None,
                    Err(error) => {
                        self.stop();
                        return Some(Err(error));
                    }
                }
            }
            let rest = self.fields.index.get(self.line..)?;
            let step = rest.iter().position(|entry| entry.id == self.name as u8)?;
            let entry = rest.get(step)?;
            self.line = self.line.saturating_add(step).saturating_add(1);
            self.scanner = Some(self.fields.scanner(entry));
        }
    }
}

impl<T> List<'_, T> {
    /// After an error nothing more comes.
    fn stop(&mut self) {
        self.scanner = None;
        self.line = usize::MAX;
    }
}

/// The next element of a comma list, or `None` at its end. Empty elements are skipped when lenient; a list that is
/// empty altogether is fine, since several headers may be (`Supported:`).
pub(crate) fn next_element<'a, T: HeaderValue<'a>>(
    scanner: &mut Scanner<'a>,
) -> Result<Option<T>, ParseError> {
    use crate::error::Liberty;
    scanner.skip_space();
    while scanner.peek() == Some(b',') {
        scanner.forgive(scanner.position(), Liberty::ListSeparator, "a value before the comma")?;
        scanner.eat_separator(b',');
    }
    if scanner.is_at_end() {
        return Ok(None);
    }
    let value = T::scan(scanner)?;
    if !T::IS_LIST {
        scanner.end()?;
        return Ok(Some(value));
    }
    if scanner.eat_separator(b',') {
        if scanner.is_at_end() {
            scanner.forgive(scanner.position(), Liberty::ListSeparator, "a value after the comma")?;
        }
        return Ok(Some(value));
    }
    scanner.skip_space();
    if !scanner.is_at_end() {
        scanner.forgive(scanner.position(), Liberty::ListSeparator, "a comma or the end of the value")?;
    }
    Ok(Some(value))
}
