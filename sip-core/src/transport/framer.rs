//! From the bytes of a stream to messages (RFC 3261 §18.3, §7.5): find the end of the head, read Content-Length, wait for
//! the body. Each byte is looked at once, however the stream is cut.
//!
//! Left out on purpose: WebSocket, where each frame is a message already.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    error::{ParseError, Problem},
    limits::Limit,
    message::{ParseOptions, stream_body_length},
};

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: BytesMut,
    /// Up to here no end of the head was found.
    searched: usize,
    /// Length of the message at the start of the buffer, once its head is there.
    length: Option<usize>,
    is_broken: bool,
    /// A line break was the last thing between messages.
    is_half_ping: bool,
}

/// What a stream held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A whole message, or what claims to be one.
    Message(Bytes),
    /// Two line breaks between messages: the peer asks whether anybody is there (RFC 5626 §4.4.1).
    Ping,
    /// One line break between messages: the answer to that.
    Pong,
    /// The stream cannot be cut into messages any more. The bytes are what there is of the head.
    Broken(ParseError, Bytes),
}

impl Framer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !self.is_broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The line break that came last was the answer to one of ours.
    pub(crate) fn was_answer(&mut self) {
        self.is_half_ping = false;
    }

    /// Whether the peer owes the rest of a message.
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.is_broken && !matches!(self.buffer.get(..), None | Some([] | [b'\r']))
    }

    pub(crate) fn next(&mut self, options: &ParseOptions) -> Option<Frame> {
        if self.is_broken {
            return None;
        }
        if self.length.is_none() {
            if self.searched == 0 {
                if let Some(frame) = self.line_breaks() {
                    return Some(frame);
                }
                if matches!(self.buffer.get(..), None | Some([] | [b'\r'])) {
                    return None;
                }
            }
            let Some(head_end) = self.head_end() else {
                let limit = options.limits.head_bytes.min(options.limits.message_bytes);
                if self.buffer.len() > limit {
                    return Some(self.break_off(ParseError::new(limit, Problem::Limit(Limit::HeadBytes))));
                }
                return None;
            };
            let head = self.buffer.get(..head_end).unwrap_or_default();
            let length = stream_body_length(head, options).map(|body| head_end.saturating_add(body));
            match length {
                Ok(length) if length > options.limits.message_bytes => {
                    let error = ParseError::new(head_end, Problem::Limit(Limit::MessageBytes));
                    return Some(self.break_off(error));
                }
                Ok(length) => self.length = Some(length),
                Err(error) => return Some(self.break_off(error)),
            }
        }
        let length = self.length.filter(|length| *length <= self.buffer.len())?;
        self.length = None;
        self.searched = 0;
        self.is_half_ping = false;
        let message = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
        self.buffer.advance(length);
        if self.buffer.is_empty() {
            // A burst must not leave a large buffer with a stream that is idle for hours.
            self.buffer = BytesMut::new();
        }
        Some(Frame::Message(message))
    }

    /// Line breaks before a message. A ping that arrives in two halves is a ping all the same.
    fn line_breaks(&mut self) -> Option<Frame> {
        let (length, is_ping) = match self.buffer.get(..) {
            Some([b'\r', b'\n', b'\r', b'\n', ..]) => (4, true),
            Some([b'\r', b'\n', ..]) => (2, self.is_half_ping),
            Some([b'\n', ..]) => (1, self.is_half_ping),
            _ => return None,
        };
        self.buffer.advance(length);
        self.is_half_ping = !is_ping;
        Some(if is_ping { Frame::Ping } else { Frame::Pong })
    }

    /// Behind the empty line. Lenient about line feeds alone; the parser judges.
    fn head_end(&mut self) -> Option<usize> {
        let mut from = self.searched;
        loop {
            let rest = self.buffer.get(from..).unwrap_or_default();
            let Some(step) = memchr::memchr(b'\n', rest) else {
                self.searched = self.buffer.len();
                return None;
            };
            let at = from.saturating_add(step);
            let behind = at.saturating_add(1);
            match self.buffer.get(behind..) {
                Some([b'\n', ..]) => return Some(behind.saturating_add(1)),
                Some([b'\r', b'\n', ..]) => return Some(behind.saturating_add(2)),
                Some([] | [b'\r']) | None => {
                    // The line break is looked at again when more is there.
                    self.searched = at;
                    return None;
                }
                Some(_) => from = behind,
            }
        }
    }

    fn break_off(&mut self, error: ParseError) -> Frame {
        self.is_broken = true;
        let rest = std::mem::take(&mut self.buffer).freeze();
        Frame::Broken(error, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 3\r\n\r\nabc";

    fn frames(chunks: impl IntoIterator<Item = Vec<u8>>) -> Vec<Frame> {
        let mut framer = Framer::default();
        let mut out = Vec::new();
        for chunk in chunks {
            framer.push(&chunk);
            while let Some(frame) = framer.next(&ParseOptions::default()) {
                out.push(frame);
            }
        }
        assert!(out.iter().any(|frame| matches!(frame, Frame::Broken(..))) || !framer.is_unfinished());
        out
    }

    #[test]
    fn however_it_is_cut() {
        let stream = format!("{MESSAGE}\r\n\r\n{MESSAGE}\r\n{MESSAGE}{MESSAGE}");
        let message = || Frame::Message(Bytes::from_static(MESSAGE.as_bytes()));
        for size in 1..stream.len() {
            let out = frames(stream.as_bytes().chunks(size).map(<[u8]>::to_vec));
            let messages: Vec<_> = out.iter().filter(|frame| matches!(frame, Frame::Message(_))).collect();
            assert_eq!(messages, vec![&message(); 4], "{size}");
        }
        assert_eq!(
            frames([stream.into_bytes()]),
            [message(), Frame::Ping, message(), Frame::Pong, message(), message()]
        );
    }

    #[test]
    fn a_lying_length_breaks_the_stream_at_once() {
        for length in ["-1", "99999999999999999999999", "70000", "1\r\nContent-Length: 2", "x", ""] {
            let text = format!("OPTIONS sip:a@b SIP/2.0\r\nContent-Length: {length}\r\n\r\n");
            let out = frames([text.clone().into_bytes(), MESSAGE.as_bytes().to_vec()]);
            assert!(matches!(out.as_slice(), [Frame::Broken(..)]), "{length}: {out:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_cut_off() {
        let mut framer = Framer::default();
        framer.push(b"OPTIONS sip:a@b SIP/2.0\r\n");
        let mut pushed = 0;
        let broken = loop {
            framer.push(b"X-Header: value\r\n");
            pushed += 1;
            if let Some(frame) = framer.next(&ParseOptions::default()) {
                break frame;
            }
            assert!(pushed < 5000);
        };
        assert!(
            matches!(broken, Frame::Broken(error, _) if error.problem == Problem::Limit(Limit::HeadBytes))
        );
        framer.push(MESSAGE.as_bytes());
        assert_eq!(framer.next(&ParseOptions::default()), None);
    }
}
