//! WebSocket frames without sockets (RFC 6455 §5), and the handshake as far as SIP has a say in it (RFC 7118 §4).
//!
//! For drivers without a WebSocket library, and for tests. One SIP message is one WebSocket message, so the transport layer
//! takes each [`Event::Message`] as one `StreamData`. Left out on purpose: extensions such as compression, which SIP does
//! not need and which are a way to make a small frame large; SHA-1 for the handshake, which is the driver's.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Which end this is: a client masks what it sends, a server does not (§5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The side that connected.
    Client,
    /// The side that listened.
    Server,
}

/// The subprotocol that both sides name in the handshake (RFC 7118 §4).
pub const SUBPROTOCOL: &str = "sip";

/// Whether a `Sec-WebSocket-Protocol` header offers SIP.
#[must_use]
pub fn offers_sip(header: &str) -> bool {
    header.split(',').any(|word| word.trim().eq_ignore_ascii_case(SUBPROTOCOL))
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole message, its fragments joined. Text and binary are the same to SIP.
    Message(Bytes),
    /// The peer asks whether anybody is there: answer with [`encode`] and [`Opcode::Pong`].
    Ping(Bytes),
    /// The answer to a ping.
    Pong(Bytes),
    /// The peer closes; answer with the same and close.
    Close(Option<u16>),
}

/// Why a stream is no WebSocket stream any more. Close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A reserved bit is set, though no extension was agreed on.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// An opcode that means nothing.
    #[error("an unknown opcode")]
    Opcode,
    /// A client's frame without a mask, or a server's with one (§5.1).
    #[error("a frame that should be masked is not, or the other way round")]
    Mask,
    /// A control frame that is fragmented or longer than 125 bytes (§5.5).
    #[error("a control frame that is fragmented or too long")]
    Control,
    /// A continuation of nothing, or a new message within another (§5.4).
    #[error("fragments out of order")]
    Fragment,
    /// A length that is not written in the shortest form, or has its highest bit set (§5.2).
    #[error("a length that is not in its shortest form")]
    Length,
    /// A message longer than the limit.
    #[error("a message beyond the limit")]
    TooLong,
    /// A text message that is not UTF-8 (§8.1).
    #[error("text that is not UTF-8")]
    NotUtf8,
}

impl FrameError {
    /// The code for the close frame (§7.4.1).
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::TooLong => 1009,
            Self::NotUtf8 => 1007,
            _ => 1002,
        }
    }
}

/// The kind of a frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A message of UTF-8.
    Text,
    /// Any other message.
    Binary,
    /// The connection ends.
    Close,
    /// Is anybody there?
    Ping,
    /// Yes.
    Pong,
}

impl Opcode {
    const fn bits(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// Cuts a stream into messages. A frame's length never allocates: bytes are kept as they come, up to the limit.
pub struct Decoder {
    role: Role,
    limit: usize,
    buffer: BytesMut,
    message: BytesMut,
    /// The opcode of the message that is being put together.
    begun: Option<u8>,
    broken: bool,
}

/// The head of one frame.
struct Head {
    is_last: bool,
    opcode: u8,
    mask: Option<[u8; 4]>,
    head_length: usize,
    length: usize,
}

impl Decoder {
    /// A decoder for what the other end of `role` sends; messages of more than `limit` bytes break the stream.
    #[must_use]
    pub fn new(role: Role, limit: usize) -> Self {
        Self { role, limit, buffer: BytesMut::new(), message: BytesMut::new(), begun: None, broken: false }
    }

    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// What came next; `None` when more bytes are needed. After an error nothing comes any more.
    #[expect(
        clippy::should_implement_trait,
        reason = "a decoder is no iterator: it may give more after `None`"
    )]
    pub fn next(&mut self) -> Option<Result<Event, FrameError>> {
        loop {
            if self.broken {
                return None;
            }
            match self.step() {
                Ok(Step::NeedMore) => return None,
                Ok(Step::Fragment) => {}
                Ok(Step::Done(event)) => return Some(Ok(event)),
                Err(error) => {
                    self.broken = true;
                    return Some(Err(error));
                }
            }
        }
    }

    fn step(&mut self) -> Result<Step, FrameError> {
        let Some(head) = self.head()? else { return Ok(Step::NeedMore) };
        let whole = head.head_length.saturating_add(head.length);
        if self.buffer.len() < whole {
            return Ok(Step::NeedMore);
        }
        self.buffer.advance(head.head_length);
        let mut payload = self.buffer.split_to(head.length);
        if let Some(mask) = head.mask {
            for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
                *byte ^= key;
            }
        }
        if head.opcode >= 8 {
            return Ok(Step::Done(control(head.opcode, payload.freeze())?));
        }
        self.message.extend_from_slice(&payload);
        if head.opcode != 0 {
            self.begun = Some(head.opcode);
        }
        if !head.is_last {
            return Ok(Step::Fragment);
        }
        let is_text = self.begun.take() == Some(1);
        let message = self.message.split().freeze();
        if is_text && std::str::from_utf8(&message).is_err() {
            return Err(FrameError::NotUtf8);
        }
        Ok(Step::Done(Event::Message(message)))
    }

    /// Reads the head of a frame and judges it before a byte of its payload is waited for.
    fn head(&self) -> Result<Option<Head>, FrameError> {
        let Some(&[first, second, ref rest @ ..]) = self.buffer.get(..) else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBit);
        }
        let is_last = first & 0x80 != 0;
        let opcode = first & 0x0f;
        let is_control = opcode >= 8;
        match (opcode, self.begun) {
            (0, None) | (1 | 2, Some(_)) => return Err(FrameError::Fragment),
            (0, Some(_)) | (1 | 2, None) => {}
            (8..=10, _) if is_last => {}
            (8..=10, _) => return Err(FrameError::Control),
            _ => return Err(FrameError::Opcode),
        }
        let is_masked = second & 0x80 != 0;
        if is_masked != (self.role == Role::Server) {
            return Err(FrameError::Mask);
        }
        let short = second & 0x7f;
        let (length, length_bytes) = match (short, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2_usize),
            (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0),
        };
        let is_shortest = match length_bytes {
            0 => true,
            2 => length > 125,
            _ => length > 0xffff && length >> 63 == 0,
        };
        if !is_shortest {
            return Err(FrameError::Length);
        }
        if is_control && length > 125 {
            return Err(FrameError::Control);
        }
        // A length that no memory could hold is judged as a number, not used as one (GHSA-8h6x).
        let length = usize::try_from(length).map_err(|_| FrameError::TooLong)?;
        if !is_control && self.message.len().saturating_add(length) > self.limit {
            return Err(FrameError::TooLong);
        }
        let mut mask = None;
        let mut head_length = length_bytes.saturating_add(2);
        if is_masked {
            let Some([a, b, c, d, ..]) = rest.get(length_bytes..) else { return Ok(None) };
            mask = Some([*a, *b, *c, *d]);
            head_length = head_length.saturating_add(4);
        }
        Ok(Some(Head { is_last, opcode, mask, head_length, length }))
    }
}

enum Step {
    NeedMore,
    Fragment,
    Done(Event),
}

fn control(opcode: u8, payload: Bytes) -> Result<Event, FrameError> {
    match (opcode, payload.get(..)) {
        (9, _) => Ok(Event::Ping(payload)),
        (10, _) => Ok(Event::Pong(payload)),
        (_, Some([a, b, reason @ ..])) => {
            if std::str::from_utf8(reason).is_err() {
                return Err(FrameError::NotUtf8);
            }
            Ok(Event::Close(Some(u16::from_be_bytes([*a, *b]))))
        }
        (_, Some([_])) => Err(FrameError::Control),
        _ => Ok(Event::Close(None)),
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("role", &self.role)
            .field("waiting", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

/// One frame. A client gives a mask that nobody can guess (§5.3); a server gives none.
#[must_use]
pub fn encode(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) -> Bytes {
    let mut out = Vec::with_capacity(payload.len().saturating_add(14));
    out.push(0x80 | opcode.bits());
    let mask_bit = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..=125 => out.push(mask_bit | u8::try_from(length).unwrap_or(0)),
        length => match u16::try_from(length) {
            Ok(length) => {
                out.push(mask_bit | 126);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(mask_bit | 127);
                out.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
            }
        },
    }
    match mask {
        None => out.extend_from_slice(payload),
        Some(mask) => {
            out.extend_from_slice(&mask);
            out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
    Bytes::from(out)
}

/// The payload of a close frame.
#[must_use]
pub fn close_payload(code: u16) -> [u8; 2] {
    code.to_be_bytes()
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn decode(role: Role, bytes: &[u8]) -> Vec<Result<Event, FrameError>> {
        let mut decoder = Decoder::new(role, 70_000);
        decoder.push(bytes);
        std::iter::from_fn(|| decoder.next()).collect()
    }

    /// RFC 6455 §5.7.
    #[test]
    fn examples_of_the_rfc() {
        let hello = || Ok(Event::Message(Bytes::from_static(b"Hello")));
        assert_eq!(decode(Role::Client, &hex("810548656c6c6f")), [hello()]);
        assert_eq!(decode(Role::Server, &hex("818537fa213d7f9f4d5158")), [hello()]);
        assert_eq!(decode(Role::Client, &hex("010348656c80026c6f")), [hello()]);
        assert_eq!(
            decode(Role::Client, &hex("890548656c6c6f")),
            [Ok(Event::Ping(Bytes::from_static(b"Hello")))]
        );
        assert_eq!(
            decode(Role::Server, &hex("8a8537fa213d7f9f4d5158")),
            [Ok(Event::Pong(Bytes::from_static(b"Hello")))]
        );
        assert_eq!(
            encode(Opcode::Text, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d])),
            hex("818537fa213d7f9f4d5158")
        );
        assert_eq!(encode(Opcode::Binary, &[0; 256], None)[..4], hex("827e0100"));
        assert_eq!(encode(Opcode::Binary, &[0; 65_536], None)[..10], hex("827f0000000000010000"));
    }

    #[test]
    fn lengths_go_there_and_back() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; length];
            for (role, mask) in [(Role::Client, None), (Role::Server, Some([1, 2, 3, 4]))] {
                let frame = encode(Opcode::Text, &payload, mask);
                assert_eq!(decode(role, &frame), [Ok(Event::Message(Bytes::from(payload.clone())))]);
            }
        }
    }

    #[test]
    fn a_control_frame_may_stand_between_fragments() {
        let events = decode(Role::Client, &hex("010348656c8900 80026c6f".replace(' ', "").as_str()));
        assert_eq!(events, [Ok(Event::Ping(Bytes::new())), Ok(Event::Message(Bytes::from_static(b"Hello")))]);
    }

    /// sipgo GHSA-8h6x, reSIProcate 2026-08: a frame length that is used before it is judged.
    #[test]
    fn lying_lengths_break_the_stream_before_a_byte_is_kept() {
        for (frame, error) in [
            ("827fffffffffffffffff", FrameError::Length),
            ("827f7fffffffffffffff", FrameError::TooLong),
            ("827f0000000000011171", FrameError::TooLong),
            ("827e0005", FrameError::Length),
            ("827f000000000000ffff", FrameError::Length),
            ("89fe", FrameError::Mask),
            ("897e0100", FrameError::Control),
            ("0900", FrameError::Control),
            ("8000", FrameError::Fragment),
            ("010141810142", FrameError::Fragment),
            ("8300", FrameError::Opcode),
            ("c100", FrameError::ReservedBit),
            ("8102c328", FrameError::NotUtf8),
            ("880100", FrameError::Control),
        ] {
            let events = decode(Role::Client, &hex(frame));
            assert_eq!(events.last(), Some(&Err(error)), "{frame}");
        }
        assert_eq!(decode(Role::Server, &hex("8100")), [Err(FrameError::Mask)]);
        assert_eq!(FrameError::TooLong.close_code(), 1009);
    }

    #[test]
    fn fragments_share_one_limit() {
        let mut decoder = Decoder::new(Role::Client, 10);
        decoder.push(&hex("010548656c6c6f"));
        decoder.push(&hex("000648656c6c6f21"));
        assert_eq!(decoder.next(), Some(Err(FrameError::TooLong)));
        assert_eq!(decoder.next(), None);
    }

    #[test]
    fn the_subprotocol_is_named() {
        assert!(offers_sip("xmpp, SIP"));
        assert!(!offers_sip("sips"));
    }
}
