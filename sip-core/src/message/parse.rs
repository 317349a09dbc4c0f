//! The one pass over a message: start line, header index, body (RFC 3261 §7, §18.3, §25.1).
//!
//! Lines are found with memchr, names by a table of octet classes. Values are not looked at here, except Content-Length.
//! The head is made sure to be UTF-8 without control characters, so that what reads values need not care. No work is
//! done twice on a byte, whatever the byte is.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use bytes::Bytes;

use super::{Message, Method, Request, Response, StatusCode, Uri, class, text::check_text};
use crate::{
    error::{Attitude, Forgiven, Liberty, ParseError, Problem},
    header::{
        Fields, HeaderName, Scanner,
        map::{Entry, Index, OTHER},
    },
    limits::{Limit, MessageLimits},
};

/// How to read a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// Strict or lenient; lenient by default.
    pub attitude: Attitude,
    /// Bounds.
    pub limits: MessageLimits,
}

impl ParseOptions {
    /// Strict, with default limits. Of header values only those that framing needs are looked at; [`Message::validate`] looks at
    /// all of them.
    #[must_use]
    pub fn strict() -> Self {
        Self { attitude: Attitude::Strict, ..Self::default() }
    }
}

/// See [`Message::parse`].
pub(super) fn parse(bytes: Bytes, options: &ParseOptions) -> Result<Message, ParseError> {
    match Scanned::new(&bytes, options) {
        Ok(scanned) => Ok(scanned.into_message(bytes)),
        Err(ParseError { problem: Problem::NotUtf8, .. }) if options.attitude == Attitude::Lenient => {
            let (text, offset) = from_latin1(&bytes);
            let mut scanned = Scanned::new(&text, options).map_err(|mut error| {
                error.offset = latin1_offset(&bytes, error.offset);
                error
            })?;
            scanned.forgiven.push(Forgiven { offset, header: None, liberty: Liberty::Latin1 });
            Ok(scanned.into_message(text))
        }
        Err(error) => Err(error),
    }
}

/// The head read as Latin-1 and written as UTF-8, the body as it is; and where the first such character stood.
fn from_latin1(bytes: &[u8]) -> (Bytes, usize) {
    let head_end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at.saturating_add(4));
    let offset = bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(0);
    let (head, body) = bytes.split_at_checked(head_end).unwrap_or((bytes, &[]));
    let mut out: Vec<u8> = head.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes();
    out.extend_from_slice(body);
    (Bytes::from(out), offset)
}

/// Where an offset into the UTF-8 text is in the Latin-1 bytes it was made from.
fn latin1_offset(bytes: &[u8], offset: usize) -> usize {
    let mut in_text = 0_usize;
    let before = bytes.iter().take_while(|byte| {
        in_text = in_text.saturating_add(if byte.is_ascii() { 1 } else { 2 });
        in_text <= offset
    });
    before.count()
}

/// What the pass over a message found: offsets and no copy of the bytes yet, so that what is refused costs little and
/// what is accepted is copied once.
#[derive(Debug)]
pub(crate) struct Scanned {
    start_line: StartLine,
    headers_start: u16,
    index: Index,
    /// Empty lines before the start line, which are left out of the message.
    blank: usize,
    body_start: usize,
    body_end: usize,
    options: ParseOptions,
    forgiven: Vec<Forgiven>,
}

impl Scanned {
    /// Passes over a message. Offsets in the result count from the start line.
    pub(crate) fn new(whole: &[u8], options: &ParseOptions) -> Result<Self, ParseError> {
        // Empty lines before the start line are ignored (§7.5).
        let blank = whole.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        Self::from_start_line(whole.get(blank..).unwrap_or_default(), blank, options).map_err(|mut error| {
            error.offset = error.offset.saturating_add(blank);
            error
        })
    }

    fn from_start_line(bytes: &[u8], blank: usize, options: &ParseOptions) -> Result<Self, ParseError> {
        let limits = options.limits;
        if bytes.len() > limits.message_bytes {
            return Err(ParseError::new(limits.message_bytes, Problem::Limit(Limit::MessageBytes)));
        }
        let mut reader = Reader {
            bytes,
            attitude: options.attitude,
            position: 0,
            forgiven: Vec::new(),
            head_limit: limits.head_bytes.min(usize::from(u16::MAX)),
            line_break_bytes: 0,
        };
        let start_line = reader.start_line()?;
        let headers_start = narrow(reader.position);
        let mut index = Index::new();
        let content_length = reader.headers(&mut index, &limits)?;
        let body_start = reader.position;
        if let Some((offset, problem)) =
            check_text(bytes.get(..body_start).unwrap_or_default(), reader.line_break_bytes)
        {
            return Err(ParseError::new(offset, problem));
        }
        let body_end = reader.body_end(content_length)?;
        let mut forgiven = std::mem::take(&mut reader.forgiven);
        if let StartLine::Request { uri, .. } = &start_line {
            let text = bytes.get(usize::from(uri.0)..usize::from(uri.1)).unwrap_or_default();
            let text = std::str::from_utf8(text).unwrap_or_default();
            let mut scanner =
                Scanner::at(text, usize::from(uri.0), None, options.attitude, limits.for_values());
            Uri::scan(&mut scanner, text.len())?;
            forgiven.append(&mut scanner.take_forgiven());
        }
        Ok(Self {
            start_line,
            headers_start,
            index,
            blank,
            body_start,
            body_end,
            options: *options,
            forgiven,
        })
    }

    /// The message over the bytes that were scanned.
    pub(crate) fn into_message(self, mut bytes: Bytes) -> Message {
        let end = self.blank.saturating_add(self.body_end);
        if self.blank > 0 || end != bytes.len() {
            bytes = bytes.slice(self.blank.min(bytes.len())..end.min(bytes.len()));
        }
        let fields = Fields {
            bytes,
            index: self.index,
            headers_start: self.headers_start,
            body_start: self.body_start,
            attitude: self.options.attitude,
            limits: self.options.limits.for_values(),
            forgiven: self.forgiven,
        };
        match self.start_line {
            StartLine::Request { method, uri } => Message::Request(Request { method, uri, fields }),
            StartLine::Response { status, reason } => Message::Response(Response { status, reason, fields }),
        }
    }

    /// Whether it is a request.
    pub(crate) const fn is_request(&self) -> bool {
        matches!(self.start_line, StartLine::Request { .. })
    }

    /// A cursor over the first header of a name.
    pub(crate) fn header<'b>(&self, whole: &'b [u8], name: HeaderName) -> Option<Scanner<'b>> {
        let entry = self.index.iter().find(|entry| entry.id == name as u8)?;
        let bytes =
            whole.get(self.blank..)?.get(usize::from(entry.value_start)..usize::from(entry.value_end))?;
        let text = std::str::from_utf8(bytes).ok()?;
        Some(Scanner::at(
            text,
            usize::from(entry.value_start),
            Some(name),
            self.options.attitude,
            self.options.limits.for_values(),
        ))
    }

    /// The message over a copy of the bytes in which `text` stands in place of `replaced`, a range (from the start
    /// line) that lies within the value of one header. `None` if the head would grow too long.
    pub(crate) fn into_message_with(
        mut self,
        whole: &[u8],
        replaced: std::ops::Range<usize>,
        text: &[u8],
    ) -> Option<Message> {
        let bytes = whole.get(self.blank..self.blank.saturating_add(self.body_end))?;
        let (before, after) = (bytes.get(..replaced.start)?, bytes.get(replaced.end..)?);
        let mut copy =
            Vec::with_capacity(before.len().saturating_add(text.len()).saturating_add(after.len()));
        copy.extend_from_slice(before);
        copy.extend_from_slice(text);
        copy.extend_from_slice(after);
        let removed = replaced.end.saturating_sub(replaced.start);
        let shift = |offset: usize| offset.saturating_add(text.len()).saturating_sub(removed);
        self.body_start = shift(self.body_start);
        u16::try_from(self.body_start).ok()?;
        for entry in &mut self.index {
            // The body starts later than any header, so nothing is cut off here.
            for offset in [&mut entry.start, &mut entry.value_start, &mut entry.value_end] {
                if usize::from(*offset) >= replaced.end {
                    *offset = narrow(shift(usize::from(*offset)));
                }
            }
        }
        self.blank = 0;
        self.body_end = copy.len();
        Some(self.into_message(Bytes::from(copy)))
    }
}

#[derive(Debug)]
enum StartLine {
    Request { method: Method, uri: (u16, u16) },
    Response { status: StatusCode, reason: (u16, u16) },
}

/// How many liberties are noted: a message of junk lines must not make a list many times its own size.
const FORGIVEN: usize = 64;

/// Nearly every header name is shorter.
const NAME: usize = 24;

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) attitude: Attitude,
    pub(super) position: usize,
    pub(super) forgiven: Vec<Forgiven>,
    pub(super) head_limit: usize,
    /// Carriage returns and line feeds that end lines.
    pub(super) line_break_bytes: usize,
}

impl<'a> Reader<'a> {
    fn note(&mut self, offset: usize, liberty: Liberty) {
        if self.forgiven.len() < FORGIVEN {
            self.forgiven.push(Forgiven { offset, header: None, liberty });
        }
    }

    fn forgive(&mut self, offset: usize, liberty: Liberty, what: &'static str) -> Result<(), ParseError> {
        if self.attitude == Attitude::Strict {
            return Err(ParseError::new(offset, Problem::Expected(what)));
        }
        self.note(offset, liberty);
        Ok(())
    }

    /// The line at the cursor without its line break, and where it starts. The cursor goes behind the break.
    #[inline]
    pub(super) fn line(&mut self) -> Result<(usize, &'a [u8]), ParseError> {
        let start = self.position;
        let rest = self.bytes.get(start..).unwrap_or_default();
        // A carriage return in the middle of a line is found by whoever checks the text: it is counted as no line break.
        let Some(length) = memchr::memchr(b'\n', rest) else { return Err(self.no_line_break()) };
        let mut line = rest.get(..length).unwrap_or_default();
        let broken_at = start.saturating_add(length);
        self.position = broken_at.saturating_add(1);
        if let [before @ .., b'\r'] = line {
            line = before;
            self.line_break_bytes = self.line_break_bytes.wrapping_add(2);
        } else {
            self.forgive(broken_at, Liberty::BareLineFeed, "a carriage return before the line feed")?;
            self.line_break_bytes = self.line_break_bytes.wrapping_add(1);
        }
        if self.position > self.head_limit {
            return Err(ParseError::new(self.head_limit, Problem::Limit(Limit::HeadBytes)));
        }
        Ok((start, line))
    }

    #[cold]
    fn no_line_break(&self) -> ParseError {
        let end = self.bytes.len();
        if end > self.head_limit {
            ParseError::new(self.head_limit, Problem::Limit(Limit::HeadBytes))
        } else {
            ParseError::new(end, Problem::Expected("a line break"))
        }
    }

    fn start_line(&mut self) -> Result<StartLine, ParseError> {
        let (start, line) = self.line()?;
        if line.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"SIP/")) {
            self.status_line(start, line)
        } else {
            self.request_line(start, line)
        }
    }

    fn status_line(&mut self, start: usize, line: &[u8]) -> Result<StartLine, ParseError> {
        let version = line.get(4..7).unwrap_or_default();
        let mut at = 7_usize;
        if version != b"2.0" || !matches!(line.get(at), None | Some(b' ')) {
            return Err(ParseError::new(start.saturating_add(4), Problem::Version));
        }
        if line.get(at) != Some(&b' ') {
            return Err(ParseError::new(
                start.saturating_add(at),
                Problem::Expected("a space before the status code"),
            ));
        }
        at = at.saturating_add(1);
        let spaces = line.get(at..).unwrap_or_default().iter().take_while(|byte| **byte == b' ').count();
        if spaces > 0 {
            self.forgive(start.saturating_add(at), Liberty::StartLineSpace, "a status code")?;
            at = at.saturating_add(spaces);
        }
        let digits = class::span(line.get(at..).unwrap_or_default(), class::DIGIT);
        let code =
            line.get(at..at.saturating_add(digits)).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.filter(|_| digits == 3).and_then(|code| code.parse().ok()).and_then(StatusCode::new);
        let Some(status) = code else {
            let problem = if digits > 3 {
                Problem::OutOfRange { most: 699 }
            } else {
                Problem::Expected("a status code from 100 to 699")
            };
            return Err(ParseError::new(start.saturating_add(at), problem));
        };
        at = at.saturating_add(3);
        match line.get(at) {
            Some(b' ') => at = at.saturating_add(1),
            None => self.forgive(
                start.saturating_add(at),
                Liberty::NoReasonSpace,
                "a space after the status code",
            )?,
            Some(_) => {
                return Err(ParseError::new(
                    start.saturating_add(at),
                    Problem::Expected("a space after the status code"),
                ));
            }
        }
        let reason = (narrow(start.saturating_add(at)), narrow(start.saturating_add(line.len())));
        Ok(StartLine::Response { status, reason })
    }

    fn request_line(&mut self, start: usize, line: &[u8]) -> Result<StartLine, ParseError> {
        let method_length = class::span(line, class::TOKEN);
        let method =
            line.get(..method_length).and_then(|text| std::str::from_utf8(text).ok()).and_then(Method::parse);
        let (Some(method), Some(b' ')) = (method, line.get(method_length)) else {
            return Err(ParseError::new(
                start.saturating_add(method_length),
                Problem::Expected("a method and a space"),
            ));
        };
        // The version is the last word; what is between is the Request-URI.
        let trimmed = trim_end(line);
        if trimmed.len() != line.len() {
            self.forgive(
                start.saturating_add(trimmed.len()),
                Liberty::StartLineSpace,
                "the end of the line after the version",
            )?;
        }
        let rest_start = method_length.saturating_add(1);
        let last_space = memchr::memrchr(b' ', trimmed).filter(|at| *at >= rest_start);
        let Some(last_space) = last_space else {
            return Err(ParseError::new(
                start.saturating_add(trimmed.len()),
                Problem::Expected("a space and SIP/2.0"),
            ));
        };
        let version = trimmed.get(last_space.saturating_add(1)..).unwrap_or_default();
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            let at = start.saturating_add(last_space).saturating_add(1);
            let is_version = version.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"SIP/"));
            return Err(ParseError::new(
                at,
                if is_version { Problem::Version } else { Problem::Expected("SIP/2.0") },
            ));
        }
        let mut uri_start = rest_start;
        let mut uri_end = last_space;
        let middle = trimmed.get(uri_start..uri_end).unwrap_or_default();
        let leading = middle.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let trailing = middle.len().saturating_sub(trim_end(middle).len());
        if leading > 0 || (trailing > 0 && leading < middle.len()) {
            self.forgive(
                start.saturating_add(uri_start),
                Liberty::StartLineSpace,
                "one space on each side of the Request-URI",
            )?;
            uri_start = uri_start.saturating_add(leading);
            uri_end = uri_end.saturating_sub(trailing);
        }
        if let Some([b'<', .., b'>']) = trimmed.get(uri_start..uri_end) {
            self.forgive(
                start.saturating_add(uri_start),
                Liberty::BracketedRequestUri,
                "a Request-URI without angle brackets",
            )?;
            uri_start = uri_start.saturating_add(1);
            uri_end = uri_end.saturating_sub(1);
        }
        if uri_start >= uri_end {
            return Err(ParseError::new(start.saturating_add(uri_start), Problem::Expected("a Request-URI")));
        }
        let uri = (narrow(start.saturating_add(uri_start)), narrow(start.saturating_add(uri_end)));
        Ok(StartLine::Request { method, uri })
    }

    /// Fills the index up to the empty line. Returns Content-Length if there is one.
    pub(super) fn headers(
        &mut self,
        index: &mut Index,
        limits: &MessageLimits,
    ) -> Result<Option<(usize, usize)>, ParseError> {
        let mut content_length: Option<(usize, usize)> = None;
        loop {
            let start = self.position;
            match self.bytes.get(start..) {
                Some([b'\r', b'\n', ..]) => {
                    self.position = start.saturating_add(2);
                    self.line_break_bytes = self.line_break_bytes.wrapping_add(2);
                    return Ok(content_length);
                }
                Some([b'\n', ..]) => {
                    self.forgive(start, Liberty::BareLineFeed, "a carriage return before the line feed")?;
                    self.position = start.saturating_add(1);
                    self.line_break_bytes = self.line_break_bytes.wrapping_add(1);
                    return Ok(content_length);
                }
                None | Some([]) => {
                    let end = self.bytes.len();
                    if end >= self.head_limit {
                        return Err(ParseError::new(self.head_limit, Problem::Limit(Limit::HeadBytes)));
                    }
                    // A datagram that ends with its last header is whole if no body was announced.
                    if index.is_empty() || content_length.is_some_and(|(length, _)| length > 0) {
                        return Err(ParseError::new(
                            end,
                            Problem::Expected("an empty line after the headers"),
                        ));
                    }
                    self.forgive(end, Liberty::MissingEmptyLine, "an empty line after the headers")?;
                    return Ok(content_length);
                }
                Some(_) => {}
            }
            let Some(entry) = self.header_line()? else { continue };
            if index.len() >= limits.headers {
                return Err(ParseError::new(start, Problem::Limit(Limit::Headers)));
            }
            if entry.id == HeaderName::ContentLength as u8 {
                content_length = Some(self.content_length(&entry, content_length)?);
            }
            index.push(entry);
        }
    }

    /// One header with its folds; `None` for a line that is none and was forgiven.
    #[inline]
    pub(super) fn header_line(&mut self) -> Result<Option<Entry>, ParseError> {
        let (start, line) = self.line()?;
        // Names are short: a call for each would cost more than looking.
        let colon = line.iter().take(NAME).position(|byte| *byte == b':');
        let colon = colon.or_else(|| memchr::memchr(b':', line)).unwrap_or(usize::MAX);
        // A line that starts with white space belongs to the one before it.
        let line = match self.bytes.get(self.position) {
            Some(b' ' | b'\t') => self.folded(start)?,
            _ => line,
        };
        let name = trim_end(line.get(..colon).unwrap_or_default());
        let known = HeaderName::from_bytes(name);
        // A known name is a token. Another is looked at: what is none must not be taken for a header.
        let is_header = colon < line.len()
            && (known.is_some() || (!name.is_empty() && class::span(name, class::TOKEN) == name.len()));
        if !is_header {
            return self.junk(start, line);
        }
        let mut value_start = colon.saturating_add(1);
        while line.get(value_start).is_some_and(|byte| class::is(*byte, class::SPACE)) {
            value_start = value_start.saturating_add(1);
        }
        let value_end = trim_end(line).len().max(value_start);
        Ok(Some(Entry {
            id: known.map_or(OTHER, |name| name as u8),
            start: narrow(start),
            name_length: u8::try_from(name.len()).unwrap_or(u8::MAX),
            value_start: narrow(start.saturating_add(value_start)),
            value_end: narrow(start.saturating_add(value_end)),
        }))
    }

    /// A line that is no header: the lenient attitude leaves it out.
    #[cold]
    fn junk(&mut self, start: usize, line: &[u8]) -> Result<Option<Entry>, ParseError> {
        let name_length = class::span(line, class::TOKEN);
        let what = if name_length == 0 { "a header name" } else { "a colon after the header name" };
        self.forgive(start.saturating_add(name_length), Liberty::JunkLine, what)?;
        Ok(None)
    }

    /// The line that starts at `start` with those that continue it.
    #[cold]
    fn folded(&mut self, start: usize) -> Result<&'a [u8], ParseError> {
        let mut end = self.position;
        while matches!(self.bytes.get(self.position), Some(b' ' | b'\t')) {
            let (more_start, more) = self.line()?;
            end = more_start.saturating_add(more.len());
        }
        Ok(self.bytes.get(start..end).unwrap_or_default())
    }

    /// The number and where it stands. A number that does not fit is as large as can be, never small.
    fn content_length(
        &mut self,
        entry: &Entry,
        before: Option<(usize, usize)>,
    ) -> Result<(usize, usize), ParseError> {
        let at = usize::from(entry.value_start);
        let text = self.bytes.get(at..usize::from(entry.value_end)).unwrap_or_default();
        let header = Some(HeaderName::ContentLength);
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Err(ParseError { offset: at, header, problem: Problem::Expected("a number of bytes") });
        }
        let number = text.iter().fold(0_usize, |sum, digit| {
            sum.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0')))
        });
        match before {
            Some((other, _)) if other != number => {
                Err(ParseError { offset: at, header, problem: Problem::Repeated(HeaderName::ContentLength) })
            }
            Some(_) => {
                if self.attitude == Attitude::Strict {
                    return Err(ParseError {
                        offset: at,
                        header,
                        problem: Problem::Repeated(HeaderName::ContentLength),
                    });
                }
                self.forgiven.push(Forgiven { offset: at, header, liberty: Liberty::RepeatedContentLength });
                Ok((number, at))
            }
            None => Ok((number, at)),
        }
    }

    /// Where the message ends (§18.3): after the announced body, or where the datagram ends.
    fn body_end(&self, content_length: Option<(usize, usize)>) -> Result<usize, ParseError> {
        let Some((declared, at)) = content_length else { return Ok(self.bytes.len()) };
        let present = self.bytes.len().saturating_sub(self.position);
        if declared > present {
            let header = Some(HeaderName::ContentLength);
            return Err(ParseError {
                offset: at,
                header,
                problem: Problem::BodyTooShort { declared, present },
            });
        }
        Ok(self.position.saturating_add(declared))
    }
}

/// Without white space and line breaks at its end.
fn trim_end(line: &[u8]) -> &[u8] {
    let mut line = line;
    while let [rest @ .., last] = line {
        if !class::is(*last, class::SPACE) {
            break;
        }
        line = rest;
    }
    line
}

/// The head is at most 65,535 bytes long, which the reader has made sure of.
#[inline]
fn narrow(offset: usize) -> u16 {
    u16::try_from(offset).unwrap_or(u16::MAX)
}
