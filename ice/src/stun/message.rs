//! A STUN message read in place (RFC 8489 sections 5 and 6.3).
//!
//! [`Message::parse`] walks the attributes once: every length is checked, so what is read afterwards is there. Values
//! are judged only when they are asked for. Attributes after MESSAGE-INTEGRITY (or its SHA-256 sister) are not
//! protected and, but for the ones the RFC names, not seen.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::attribute::{Attribute, AttributeKind};
use std::fmt;
use std::ops::Range;
use thiserror::Error;

/// Bytes before the first attribute.
pub const HEADER_BYTES: usize = 20;
/// The number in bytes 4 to 7 of every message.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// What kind of message (RFC 8489 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The request was done.
    Success,
    /// The request was not done.
    Error,
}

/// What a message is about: 12 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(u16);

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl Method {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The name in the RFC that defines it.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

methods! {
    /// What is my address? (RFC 8489)
    BINDING = 0x001, "Binding";
    /// Give me a relayed address (RFC 8656).
    ALLOCATE = 0x003, "Allocate";
    /// Keep my allocation, or delete it (RFC 8656).
    REFRESH = 0x004, "Refresh";
    /// To a peer (RFC 8656).
    SEND = 0x006, "Send";
    /// From a peer (RFC 8656).
    DATA = 0x007, "Data";
    /// Let this peer send to me (RFC 8656).
    CREATE_PERMISSION = 0x008, "CreatePermission";
    /// A number for this peer (RFC 8656).
    CHANNEL_BIND = 0x009, "ChannelBind";
    /// Open a TCP connection to this peer (RFC 6062).
    CONNECT = 0x00A, "Connect";
    /// This connection carries that peer's data (RFC 6062).
    CONNECTION_BIND = 0x00B, "ConnectionBind";
    /// A peer has connected (RFC 6062).
    CONNECTION_ATTEMPT = 0x00C, "ConnectionAttempt";
}

impl Method {
    /// A method by its number, of which 12 bits are used.
    #[must_use]
    pub const fn from_code(code: u16) -> Self {
        Self(code & 0xFFF)
    }

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "Method({:#05x})", self.0),
        }
    }
}

/// What joins a response to its request: 96 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// The first 16 bits of a message: class and method, interleaved as RFC 8489 figure 3 shows.
pub(super) const fn type_field(class: Class, method: Method) -> u16 {
    let method = method.0;
    let class = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    (method & 0xF80) << 2 | (method & 0x070) << 1 | (method & 0x00F) | class
}

const fn split_type(field: u16) -> (Class, Method) {
    let class = match field & 0x110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    };
    (class, Method((field & 0x3E00) >> 2 | (field & 0x00E0) >> 1 | (field & 0x000F)))
}

/// Why bytes are no STUN message, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("byte {offset}: {expected}")]
pub struct ParseError {
    /// Counted from the beginning of the message.
    pub offset: usize,
    /// What should have been there.
    pub expected: &'static str,
}

/// Whether a datagram is for STUN, by its first byte, its cookie and its length (RFC 7983, RFC 8489 section 5). A
/// yes does not mean that it parses.
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    let Some((header, _)) = datagram.split_first_chunk::<HEADER_BYTES>() else { return false };
    let [first, _, _, length, c0, c1, c2, c3, ..] = *header;
    first < 4 && length % 4 == 0 && u32::from_be_bytes([c0, c1, c2, c3]) == MAGIC_COOKIE
}

/// A STUN message in somebody's buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    id: TransactionId,
    /// Where attributes end that are protected, or that could be: the first integrity attribute, or the end.
    trusted_end: usize,
    /// Offsets of the attribute headers; 0: not there.
    integrity_at: usize,
    integrity_sha256_at: usize,
    fingerprint_at: usize,
}

impl<'a> Message<'a> {
    /// Checks the header and every attribute's length.
    ///
    /// # Errors
    /// Where the first fault is: bytes that are no STUN, a length that is not the datagram's, an attribute that runs
    /// over the end, an integrity attribute of the wrong size, something after FINGERPRINT.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let fault = |offset, expected| ParseError { offset, expected };
        let Some((header, body)) = datagram.split_first_chunk::<HEADER_BYTES>() else {
            return Err(fault(datagram.len(), "a header of 20 bytes"));
        };
        let [t0, t1, l0, l1, c0, c1, c2, c3, id @ ..] = *header;
        let (field, length) = (u16::from_be_bytes([t0, t1]), usize::from(u16::from_be_bytes([l0, l1])));
        if field & 0xC000 != 0 {
            return Err(fault(0, "two zero bits"));
        }
        if u32::from_be_bytes([c0, c1, c2, c3]) != MAGIC_COOKIE {
            return Err(fault(4, "the magic cookie"));
        }
        if length % 4 != 0 || length != body.len() {
            return Err(fault(2, "the length of the rest, a multiple of four"));
        }
        let (class, method) = split_type(field);
        let mut message = Self {
            bytes: datagram,
            class,
            method,
            id: TransactionId(id),
            trusted_end: datagram.len(),
            integrity_at: 0,
            integrity_sha256_at: 0,
            fingerprint_at: 0,
        };
        message.find_protection()?;
        Ok(message)
    }

    /// Walks the attributes and notes the three that protect the others.
    fn find_protection(&mut self) -> Result<(), ParseError> {
        let mut walk = Walk { bytes: self.bytes, at: HEADER_BYTES };
        let fault = |offset, expected| Err(ParseError { offset, expected });
        loop {
            let at = walk.at;
            let Some((kind, value)) = walk.step()? else { return Ok(()) };
            if self.fingerprint_at != 0 {
                return fault(at, "nothing after FINGERPRINT");
            }
            match kind {
                AttributeKind::MESSAGE_INTEGRITY
                    if self.integrity_at == 0 && self.integrity_sha256_at == 0 =>
                {
                    if value.len() != 20 {
                        return fault(at, "20 bytes of MESSAGE-INTEGRITY");
                    }
                    self.integrity_at = at;
                    self.trusted_end = self.trusted_end.min(at);
                }
                AttributeKind::MESSAGE_INTEGRITY_SHA256 if self.integrity_sha256_at == 0 => {
                    if !(16..=32).contains(&value.len()) || value.len() % 4 != 0 {
                        return fault(at, "16 to 32 bytes of MESSAGE-INTEGRITY-SHA256");
                    }
                    self.integrity_sha256_at = at;
                    self.trusted_end = self.trusted_end.min(at);
                }
                AttributeKind::FINGERPRINT => {
                    if value.len() != 4 {
                        return fault(at, "4 bytes of FINGERPRINT");
                    }
                    self.fingerprint_at = at;
                    self.trusted_end = self.trusted_end.min(at);
                }
                _ => {}
            }
        }
    }

    /// Request, indication or which response.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// What it is about.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Which transaction it belongs to.
    #[must_use]
    pub const fn id(&self) -> TransactionId {
        self.id
    }

    /// The whole message.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes before the first of MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT, in order.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes { walk: Walk { bytes: self.bytes, at: HEADER_BYTES }, end: self.trusted_end }
    }

    /// The value of the first attribute of this kind.
    #[must_use]
    pub fn value(&self, kind: AttributeKind) -> Option<&'a [u8]> {
        self.attributes().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// Where in the message the value of the first attribute of this kind lies.
    #[must_use]
    pub fn range(&self, kind: AttributeKind) -> Option<Range<usize>> {
        let (at, value) = self.place(kind)?;
        let start = at.saturating_add(4);
        Some(start..start.saturating_add(value.len()))
    }

    /// Whether there is an attribute of this kind.
    #[must_use]
    pub fn has(&self, kind: AttributeKind) -> bool {
        self.value(kind).is_some()
    }

    /// The first attribute of this type, understood.
    ///
    /// # Errors
    /// It is there, and its value is not what it must be.
    pub fn get<A: Attribute<'a>>(&self) -> Result<Option<A>, ParseError> {
        let Some((at, value)) = self.place(A::KIND) else { return Ok(None) };
        let malformed = ParseError { offset: at, expected: A::EXPECTED };
        A::decode(value, self.id).map(Some).ok_or(malformed)
    }

    /// Every attribute of this type that can be understood (XOR-PEER-ADDRESS comes several times).
    pub fn get_all<A: Attribute<'a>>(&self) -> impl Iterator<Item = Option<A>> {
        let id = self.id;
        self.attributes().filter(|(kind, _)| *kind == A::KIND).map(move |(_, value)| A::decode(value, id))
    }

    fn place(&self, wanted: AttributeKind) -> Option<(usize, &'a [u8])> {
        let mut walk = self.attributes();
        loop {
            let at = walk.walk.at;
            let (kind, value) = walk.next()?;
            if kind == wanted {
                return Some((at, value));
            }
        }
    }

    /// The comprehension-required attributes that `known` does not know, in order, each kind as often as it comes (RFC 8489
    /// section 6.3.1).
    pub fn unknown_required(
        &self,
        known: impl Fn(AttributeKind) -> bool,
    ) -> impl Iterator<Item = AttributeKind> {
        self.attributes().map(|(kind, _)| kind).filter(move |kind| kind.is_required() && !known(*kind))
    }

    pub(super) fn integrity_place(&self) -> Option<(usize, &'a [u8])> {
        self.value_at(self.integrity_at)
    }

    pub(super) fn integrity_sha256_place(&self) -> Option<(usize, &'a [u8])> {
        self.value_at(self.integrity_sha256_at)
    }

    pub(super) fn fingerprint_place(&self) -> Option<(usize, &'a [u8])> {
        self.value_at(self.fingerprint_at)
    }

    /// Whether there is a MESSAGE-INTEGRITY of either kind.
    #[must_use]
    pub const fn has_integrity(&self) -> bool {
        self.integrity_at != 0 || self.integrity_sha256_at != 0
    }

    /// Whether the integrity attribute is there that SHA-256 gives.
    #[must_use]
    pub const fn has_integrity_sha256(&self) -> bool {
        self.integrity_sha256_at != 0
    }

    fn value_at(&self, at: usize) -> Option<(usize, &'a [u8])> {
        if at == 0 {
            return None;
        }
        let (_, value) = Walk { bytes: self.bytes, at }.step().ok()??;
        Some((at, value))
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {:?} [", self.method, self.class)?;
        for (index, (kind, value)) in self.attributes().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{kind:?} {} bytes", value.len())?;
        }
        formatter.write_str("]")
    }
}

/// The attributes of a message, in order: kind and value without padding.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    walk: Walk<'a>,
    end: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (AttributeKind, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.walk.at >= self.end {
            return None;
        }
        self.walk.step().ok().flatten()
    }
}

#[derive(Debug, Clone)]
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// The attribute here, and on to the next. `None` at the end.
    #[inline]
    fn step(&mut self) -> Result<Option<(AttributeKind, &'a [u8])>, ParseError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let fault = |expected| ParseError { offset: self.at, expected };
        let Some((head, rest)) = rest.split_first_chunk::<4>() else {
            return Err(fault("the four bytes that begin an attribute"));
        };
        let [k0, k1, l0, l1] = *head;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let padded = length.saturating_add(3) & !3;
        let (Some(value), true) = (rest.get(..length), rest.len() >= padded) else {
            return Err(fault("an attribute that ends within the message"));
        };
        self.at = self.at.saturating_add(padded).saturating_add(4);
        Ok(Some((AttributeKind(u16::from_be_bytes([k0, k1])), value)))
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    #[test]
    fn every_type_field_splits_into_what_it_was_made_of() {
        for code in 0..0x1000 {
            for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
                let field = type_field(class, Method::from_code(code));
                assert!(field < 0x4000);
                assert_eq!(split_type(field), (class, Method::from_code(code)));
            }
        }
        assert_eq!(type_field(Class::Success, Method::BINDING), 0x0101);
        assert_eq!(type_field(Class::Error, Method::ALLOCATE), 0x0113);
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, body.len() as u8, 0x21, 0x12, 0xA4, 0x42];
        bytes.extend([7; 12]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let offset = |bytes: &[u8]| Message::parse(bytes).map(|_| ()).unwrap_err().offset;
        assert_eq!(offset(&[0; 19]), 19);
        assert_eq!(offset(&[0xFF; 20]), 0);
        assert_eq!(offset(&[0; 20]), 4);
        let mut long = message(&[]);
        long.push(0);
        assert_eq!(offset(&long), 2);
        assert_eq!(offset(&message(&[0, 6, 0, 5, 1, 2, 3, 4])), 20);
        assert_eq!(offset(&message(&[0x80, 0x22, 0, 0, 0x80, 0x28, 0, 0])), 24);
        assert_eq!(offset(&message(&[0x80, 0x28, 0, 4, 0, 0, 0, 0, 0x80, 0x22, 0, 0])), 28);
    }

    #[test]
    fn attributes_after_the_integrity_are_not_seen() {
        let mut body = vec![0, 8, 0, 20];
        body.extend([0; 20]);
        body.extend([0, 6, 0, 1, b'x', 0, 0, 0]);
        let bytes = message(&body);
        let parsed = Message::parse(&bytes).unwrap();
        assert!(parsed.has_integrity());
        assert!(!parsed.has(AttributeKind::USERNAME));
        assert_eq!(parsed.attributes().count(), 0);
    }
}
