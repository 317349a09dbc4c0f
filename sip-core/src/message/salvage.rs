//! Readings that are no whole message: a part of a body, the head on a stream, what a 400 needs of a broken request.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use bytes::Bytes;

use super::{
    class,
    parse::{ParseOptions, Reader},
    text::check_text,
};
use crate::{
    error::{Attitude, ParseError, Problem},
    header::{Fields, HeaderName, map::Index},
    limits::{Limit, MessageLimits, ValueLimits},
};

/// Headers and content without a start line: a part of a body, or a fragment. Neither headers nor the empty line need be
/// there.
pub(crate) fn part(bytes: Bytes, attitude: Attitude, limits: ValueLimits) -> Result<Fields, ParseError> {
    let head_limit = usize::from(u16::MAX);
    let mut reader = Reader {
        bytes: &bytes,
        attitude,
        position: 0,
        forgiven: Vec::new(),
        head_limit,
        line_break_bytes: 0,
    };
    let mut index = Index::new();
    loop {
        let start = reader.position;
        match bytes.get(start..) {
            None | Some([]) => break,
            Some([b'\r', b'\n', ..]) => {
                reader.position = start.saturating_add(2);
                break;
            }
            Some([b'\n', ..]) => {
                reader.position = start.saturating_add(1);
                break;
            }
            Some(_) => {}
        }
        // The last line of a fragment may lack its line break.
        if memchr::memchr(b'\n', bytes.get(start..).unwrap_or_default()).is_none() {
            let closed = [&bytes, &b"\r\n"[..]].concat();
            return part(Bytes::from(closed), attitude, limits);
        }
        if index.len() >= usize::from(limits.headers) {
            return Err(ParseError::new(start, Problem::Limit(Limit::Headers)));
        }
        if let Some(entry) = reader.header_line()? {
            index.push(entry);
        }
    }
    let body_start = reader.position;
    let forgiven = reader.forgiven;
    if let Some((offset, problem)) =
        check_text(bytes.get(..body_start).unwrap_or_default(), reader.line_break_bytes)
    {
        return Err(ParseError::new(offset, problem));
    }
    Ok(Fields { bytes, index, headers_start: 0, body_start, attitude, limits, forgiven })
}

/// The length of the body that follows a head on a stream. Without Content-Length there is none (§18.3), which only the
/// strict attitude refuses.
pub(crate) fn stream_body_length(head: &[u8], options: &ParseOptions) -> Result<usize, ParseError> {
    let mut reader = Reader {
        bytes: head,
        attitude: options.attitude,
        position: 0,
        forgiven: Vec::new(),
        head_limit: options.limits.head_bytes.min(usize::from(u16::MAX)),
        line_break_bytes: 0,
    };
    reader.line()?;
    let mut index = Index::new();
    let content_length = reader.headers(&mut index, &options.limits)?;
    // A head that others cut into other lines says nothing certain of where the message ends.
    if let Some((offset, problem @ Problem::ControlCharacter)) = check_text(head, reader.line_break_bytes) {
        return Err(ParseError::new(offset, problem));
    }
    match content_length {
        Some((length, _)) => Ok(length),
        None if options.attitude == Attitude::Lenient => Ok(0),
        None => Err(ParseError::new(head.len(), Problem::Missing(HeaderName::ContentLength))),
    }
}

/// What can be found of a broken request so that a 400 finds its way: the lines of these headers, as they are.
/// Nothing is returned for a response, for an ACK, or when one of the five is missing.
pub(crate) fn salvage(bytes: &[u8], limits: &MessageLimits) -> Option<Salvaged> {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = bytes.get(blank..)?;
    let bytes = bytes.get(..bytes.len().min(limits.head_bytes).min(usize::from(u16::MAX)))?;
    let bytes: Vec<u8> = bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into_bytes();
    let bytes = bytes.get(..bytes.len().min(usize::from(u16::MAX)))?;
    let line_end = memchr::memchr(b'\n', bytes)?;
    let line = bytes.get(..line_end)?;
    let method = line.get(..class::span(line, class::TOKEN)).filter(|method| !method.is_empty())?;
    if method == b"ACK" || line.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"SIP/")) {
        return None;
    }
    let mut reader = Reader {
        bytes,
        attitude: Attitude::Lenient,
        position: line_end.saturating_add(1),
        forgiven: Vec::new(),
        head_limit: usize::from(u16::MAX),
        line_break_bytes: 0,
    };
    let mut salvaged = Salvaged { lines: Vec::new() };
    // An error in a later line, or the lack of an empty one, does not matter here.
    for _ in 0..limits.headers {
        if matches!(bytes.get(reader.position..), None | Some([] | [b'\r', b'\n', ..] | [b'\n', ..])) {
            break;
        }
        let Ok(entry) = reader.header_line() else { break };
        let Some(entry) = entry else { continue };
        let Some(name) = HeaderName::ALL.get(usize::from(entry.id)) else { continue };
        let wanted =
            [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];
        if !wanted.contains(name) || (*name != HeaderName::Via && salvaged.get(*name).is_some()) {
            continue;
        }
        let value =
            bytes.get(usize::from(entry.value_start)..usize::from(entry.value_end)).unwrap_or_default();
        let value: String =
            String::from_utf8_lossy(value).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        salvaged.lines.push((*name, value));
    }
    let complete = [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq]
        .iter()
        .all(|name| salvaged.get(*name).is_some_and(|value| !value.is_empty()));
    complete.then_some(salvaged)
}

/// Header values of a request that could not be parsed.
#[derive(Debug)]
pub(crate) struct Salvaged {
    pub(crate) lines: Vec<(HeaderName, String)>,
}

impl Salvaged {
    pub(crate) fn get(&self, name: HeaderName) -> Option<&str> {
        self.lines.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }
}
