//! Multipart bodies (RFC 2046 §5.1, RFC 5621) and message/sipfrag (RFC 3420).
//!
//! Parts are slices of the message's buffer. Nesting and number are limited; what cannot be cut is an error, not a guess.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use bytes::Bytes;

use super::{ParseOptions, StatusCode, class, salvage};
use crate::{
    error::{ParseError, Problem},
    header::{DialogReference, Fields, HeaderName, MediaType},
    limits::Limit,
};

/// One part of a body: headers of its own and content.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    fields: Fields,
}

impl Part {
    /// The content, its transfer encoding as it came.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.fields.body()
    }

    /// The content as a slice that shares the message's buffer.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        self.fields.body_bytes()
    }

    /// The part's headers.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Content-Type; none means `text/plain`.
    ///
    /// # Errors
    /// If it is there and not well-formed.
    pub fn content_type(&self) -> Result<Option<MediaType<'_>>, ParseError> {
        self.fields.content_type()
    }

    /// The parts of this part; itself alone if it is not multipart.
    ///
    /// # Errors
    /// As [`Fields::parts`].
    pub fn parts(&self) -> Result<Vec<Self>, ParseError> {
        self.fields.parts()
    }
}

impl Fields {
    /// The parts of the body, those of nested multiparts in their place. A body that is not multipart is one part; no body
    /// is none.
    ///
    /// # Errors
    /// If Content-Type is not well-formed or names no boundary, if a part cannot be cut out, or beyond the limits.
    pub fn parts(&self) -> Result<Vec<Part>, ParseError> {
        let mut parts = Vec::new();
        collect(self, 0, &mut parts)?;
        Ok(parts)
    }

    /// The first part of this type, such as `application/sdp`, wherever it is.
    ///
    /// # Errors
    /// As [`Fields::parts`].
    pub fn part_of_type(&self, media_type: &str) -> Result<Option<Bytes>, ParseError> {
        // The usual body is no multipart, and then nothing is copied.
        if self.content_type()?.is_some_and(|content| content.is(media_type)) {
            return Ok(Some(self.body_bytes()));
        }
        for part in self.parts()? {
            if part.content_type()?.is_some_and(|content| content.is(media_type)) {
                return Ok(Some(part.body_bytes()));
            }
        }
        Ok(None)
    }
}

fn collect(fields: &Fields, depth: usize, parts: &mut Vec<Part>) -> Result<(), ParseError> {
    let body = fields.body_bytes();
    if body.is_empty() {
        return Ok(());
    }
    let content_type = fields.content_type()?;
    let Some(multipart) = content_type.filter(MediaType::is_multipart) else {
        push(parts, Part { fields: fields.clone() }, fields)?;
        return Ok(());
    };
    if depth >= usize::from(fields.limits.nesting) {
        return Err(ParseError::new(fields.body_start, Problem::Limit(Limit::Nesting)));
    }
    let boundary =
        multipart.params.unquoted("boundary").filter(|boundary| !boundary.is_empty() && boundary.len() <= 70);
    let Some(boundary) = boundary else {
        let offset =
            fields.find(HeaderName::ContentType.into()).map_or(0, |entry| usize::from(entry.value_start));
        return Err(ParseError {
            offset,
            header: Some(HeaderName::ContentType),
            problem: Problem::Expected("a boundary"),
        });
    };
    let base = fields.body_start;
    for range in cut(&body, boundary.as_bytes(), base)? {
        let bytes = body.slice(range.clone());
        let part = salvage::part(bytes, fields.attitude, fields.limits).map_err(|mut error| {
            error.offset = error.offset.saturating_add(base).saturating_add(range.start);
            error
        })?;
        if part.content_type()?.is_some_and(|content| content.is_multipart()) {
            collect(&part, depth.saturating_add(1), parts)?;
        } else {
            push(parts, Part { fields: part }, fields)?;
        }
    }
    Ok(())
}

fn push(parts: &mut Vec<Part>, part: Part, fields: &Fields) -> Result<(), ParseError> {
    if parts.len() >= usize::from(fields.limits.parts) {
        return Err(ParseError::new(fields.body_start, Problem::Limit(Limit::Parts)));
    }
    parts.push(part);
    Ok(())
}

/// What stands between the delimiter lines.
fn cut(body: &[u8], boundary: &[u8], base: usize) -> Result<Vec<std::ops::Range<usize>>, ParseError> {
    let delimiter = [b"--", boundary].concat();
    let mut ranges = Vec::new();
    let mut start: Option<usize> = None;
    let mut from = 0_usize;
    for at in memchr::memmem::find_iter(body, &delimiter) {
        if at < from {
            continue;
        }
        // A delimiter stands at the start of a line; the line break before it belongs to it.
        let before = body.get(..at).unwrap_or_default();
        let content_end = match before {
            [] => 0,
            [rest @ .., b'\r', b'\n'] | [rest @ .., b'\n'] => rest.len(),
            _ => continue,
        };
        let after = at.saturating_add(delimiter.len());
        let rest = body.get(after..).unwrap_or_default();
        let is_last = rest.starts_with(b"--");
        let rest = if is_last { rest.get(2..).unwrap_or_default() } else { rest };
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let line_end = match rest.get(padding..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([b'\n', ..]) => 1,
            Some([]) | None if is_last => 0,
            // A longer boundary that begins like this one.
            _ => continue,
        };
        if let Some(start) = start.take() {
            ranges.push(start..content_end.max(start));
        }
        from = after
            .saturating_add(if is_last { 2 } else { 0 })
            .saturating_add(padding)
            .saturating_add(line_end);
        if is_last {
            return Ok(ranges);
        }
        start = Some(from);
    }
    Err(ParseError::new(base.saturating_add(body.len()), Problem::Expected("the closing boundary")))
}

/// A fragment of a message: what a NOTIFY after a REFER tells (RFC 3420).
#[derive(Debug, Clone, PartialEq)]
pub struct SipFragment {
    /// The status, if the fragment begins with a status line.
    pub status: Option<StatusCode>,
    /// The start line as written; empty if there is none.
    pub start_line: String,
    /// The headers that are there, and the body.
    pub fields: Fields,
}

impl SipFragment {
    /// Reads a fragment. Any part of a message may be missing but order is kept.
    ///
    /// # Errors
    /// If a line is neither a start line nor a header.
    pub fn parse(body: Bytes, options: &ParseOptions) -> Result<Self, ParseError> {
        let first = memchr::memchr(b'\n', &body).map_or(body.len(), |at| at.saturating_add(1));
        let line = body.get(..first).unwrap_or_default();
        let text = String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned();
        let name_length = class::span(line, class::TOKEN);
        let is_header = matches!(line.get(name_length..).unwrap_or_default().trim_ascii_start(), [b':', ..]);
        let is_start_line = !text.is_empty() && !is_header;
        let rest = if is_start_line { body.slice(first..) } else { body };
        let start_line = if is_start_line { text } else { String::new() };
        let status = match start_line.get(..8) {
            Some(version) if version.eq_ignore_ascii_case("SIP/2.0 ") => {
                let code = start_line.get(8..11).and_then(|code| code.parse().ok()).and_then(StatusCode::new);
                Some(code.ok_or(ParseError::new(8, Problem::Expected("a status code from 100 to 699")))?)
            }
            _ => None,
        };
        let is_request_line = start_line.to_ascii_uppercase().trim_end().ends_with(" SIP/2.0");
        if is_start_line && status.is_none() && !is_request_line {
            return Err(ParseError::new(0, Problem::Expected("a start line or a header")));
        }
        let fields = salvage::part(rest, options.attitude, options.limits.for_values())?;
        Ok(Self { status, start_line, fields })
    }
}

/// Kept for readers of NOTIFY bodies: which dialog a fragment's Replaces means.
impl SipFragment {
    /// The dialog that the fragment's `Replaces` names.
    ///
    /// # Errors
    /// If it is there and not well-formed.
    pub fn replaces(&self) -> Result<Option<DialogReference<'_>>, ParseError> {
        self.fields.typed_as(HeaderName::Replaces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Method, Request};

    fn message(content_type: &str, body: &str) -> Request {
        Request::builder(Method::Message, "sip:a@b")
            .header(HeaderName::From, "<sip:a@b>;tag=1")
            .body(content_type, body.to_owned())
            .finish()
            .unwrap()
    }

    #[test]
    fn parts_are_cut_at_their_boundary() {
        let body = "preamble\r\n--x\r\nContent-Type: text/plain\r\n\r\none--x\r\n--xy\r\n--x \t\r\n\r\ntwo\r\n--x--\r\nepilogue";
        let message = message("multipart/mixed;boundary=\"x\"", body);
        let parts = message.parts().unwrap();
        assert_eq!(parts.iter().map(Part::body).collect::<Vec<_>>(), [&b"one--x\r\n--xy"[..], b"two"]);
        assert!(parts[0].content_type().unwrap().unwrap().is("text/plain"));
        assert!(parts[1].content_type().unwrap().is_none());
    }

    #[test]
    fn nested_parts_stand_in_their_place_and_nesting_has_a_limit() {
        let inner = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n";
        let body = format!(
            "--a\r\nContent-Type: multipart/alternative;boundary=b\r\n\r\n{inner}\r\n--a\r\n\r\nx\r\n--a--"
        );
        let request = message("multipart/mixed;boundary=a", &body);
        assert_eq!(request.parts().unwrap().len(), 2);
        assert_eq!(request.part_of_type("application/sdp").unwrap().unwrap(), "v=0");
        let mut deep = "x".to_owned();
        for level in 0..10 {
            deep = format!(
                "--b{level}\r\nContent-Type: multipart/mixed;boundary=b{}\r\n\r\n{deep}\r\n--b{level}--\r\n",
                level - 1
            );
        }
        assert_eq!(
            message("multipart/mixed;boundary=b9", &deep).parts().unwrap_err().problem,
            Problem::Limit(Limit::Nesting)
        );
        let many = "--a\r\n\r\nx\r\n".repeat(100) + "--a--";
        assert_eq!(
            message("multipart/mixed;boundary=a", &many).parts().unwrap_err().problem,
            Problem::Limit(Limit::Parts)
        );
    }

    /// pjsip GHSA-x5pq and the empty multipart of 2026-08, OpenSIPS GHSA-hx7p and -wrjf, AST-2017-002: bodies that announce
    /// parts and hold none, or never close.
    #[test]
    fn broken_multiparts_are_errors() {
        for (content_type, body) in [
            ("multipart/mixed", "--x\r\n\r\n--x--"),
            ("multipart/mixed;boundary=\"\"", "----"),
            ("multipart/mixed;boundary=x", "x"),
            ("multipart/mixed;boundary=x", "--x"),
            ("multipart/mixed;boundary=x", "--x\r\n"),
            ("multipart/mixed;boundary=x", "--x\r\n\r\nnever closed"),
            ("multipart/mixed;boundary=x", "--x\r\nContent-Length: -1\r\nBad Header\u{1}: x\r\n\r\n--x--"),
        ] {
            assert!(message(content_type, body).parts().is_err(), "{content_type} {body}");
        }
        assert_eq!(message("multipart/mixed;boundary=x", "--x--").parts().unwrap(), []);
        assert_eq!(message("multipart/mixed;boundary=x", "--x\r\n--x--").parts().unwrap()[0].body(), b"");
        assert_eq!(message("text/plain", "").parts().unwrap(), []);
    }

    #[test]
    fn fragments() {
        let options = ParseOptions::default();
        let fragment = |text: &'static str| SipFragment::parse(Bytes::from_static(text.as_bytes()), &options);
        assert_eq!(fragment("SIP/2.0 603 Declined").unwrap().status, Some(StatusCode::DECLINE));
        assert_eq!(
            fragment("SIP/2.0 200 OK\r\nTo: <sip:a@b>;tag=1\r\n").unwrap().fields.to().unwrap().tag(),
            Some("1")
        );
        assert_eq!(fragment("INVITE sip:a@b SIP/2.0\r\n\r\nbody").unwrap().fields.body(), b"body");
        assert_eq!(
            fragment("Replaces: x;to-tag=1;from-tag=2").unwrap().replaces().unwrap().unwrap().call_id,
            "x"
        );
        assert!(fragment("no header here").is_err());
        assert!(fragment("SIP/2.0 9999 x").is_err());
        let _ = Message::parse_lenient(Bytes::new());
    }
}
