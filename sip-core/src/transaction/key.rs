//! By what a message finds its transaction: RFC 3261 §17.1.3 and §17.2.3.
//!
//! A branch of ours carries the slot of its transaction beside 96 random bits, so that a response needs no table. A branch
//! of theirs is looked up together with sent-by and method; without the magic cookie the rules of RFC 2543 apply.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::hash::{DefaultHasher, Hasher};

use smallvec::SmallVec;

use crate::{
    error::ParseError,
    header::{BRANCH_COOKIE, Via, ViaFacts},
    id::Id,
    message::{Host, Method, Request},
    random::Random,
};

/// What identifies a server transaction: 128 bits of SipHash over secrets, so that 16 bytes stand for any branch and
/// nobody can make two requests collide.
pub(crate) type ServerKey = u128;

/// The secrets of a layer.
pub(crate) type KeySecret = [u8; 16];

/// A key but for the method: an ACK and a CANCEL look for another method's transaction.
#[derive(Debug, Clone)]
pub(crate) struct KeyBase {
    halves: [DefaultHasher; 2],
}

impl KeyBase {
    /// By branch and sent-by, if the branch was made by the rules of RFC 3261.
    pub(crate) fn of_branch(secrets: &[KeySecret; 2], via: &Via<'_>, facts: &ViaFacts<'_>) -> Option<Self> {
        let branch = facts.branch?;
        let mut text: SmallVec<[u8; 128]> = SmallVec::from_slice(branch.as_bytes());
        text.push(0);
        push_sent_by(via, &mut text);
        Some(Self::new(secrets, &text))
    }

    /// RFC 2543: Request-URI, From tag, Call-ID, CSeq number and the whole top Via. The To tag is left out, since that of
    /// an ACK is one that the server chose; a request within a dialog differs in its CSeq.
    pub(crate) fn of_rfc2543(secrets: &[KeySecret; 2], request: &Request) -> Result<Self, ParseError> {
        let via = request.via()?;
        let mut text: SmallVec<[u8; 128]> = SmallVec::new();
        for part in [
            "2543",
            request.uri_text(),
            request.from()?.tag().unwrap_or_default(),
            request.call_id()?,
            via.branch().unwrap_or_default(),
        ] {
            text.extend_from_slice(part.as_bytes());
            text.push(0);
        }
        text.extend_from_slice(&request.cseq()?.sequence.to_be_bytes());
        push_sent_by(&via, &mut text);
        Ok(Self::new(secrets, &text))
    }

    fn new(secrets: &[KeySecret; 2], text: &[u8]) -> Self {
        // `DefaultHasher::new()` is SipHash with fixed keys; the secret in front keys it.
        let halves = secrets.map(|secret| {
            let mut hasher = DefaultHasher::new();
            hasher.write(&secret);
            hasher.write(text);
            hasher
        });
        Self { halves }
    }

    /// The key of a transaction of this method.
    pub(crate) fn of(&self, method: &Method) -> ServerKey {
        let [high, low] = &self.halves;
        let finish = |half: &DefaultHasher| {
            let mut half = half.clone();
            half.write(method.as_str().as_bytes());
            u128::from(half.finish())
        };
        (finish(high) << 64) | finish(low)
    }
}

fn push_sent_by(via: &Via<'_>, text: &mut SmallVec<[u8; 128]>) {
    match via.host {
        Host::Name(name) => text.extend(name.bytes().map(|byte| byte.to_ascii_lowercase())),
        Host::V4(address) => text.extend_from_slice(&address.octets()),
        Host::V6(address) => text.extend_from_slice(&address.octets()),
    }
    text.extend_from_slice(&via.port.unwrap_or(0).to_be_bytes());
}

/// The part of a branch of ours that cannot be guessed.
pub(crate) type Nonce = [u8; 12];

/// The branch of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch<'a> {
    pub(crate) id: Id,
    pub(crate) nonce: Nonce,
    pub(crate) suffix: Option<&'a str>,
}

impl Branch<'_> {
    /// For a request without a transaction: the ACK to a 2xx.
    pub(crate) fn stateless(random: &mut Random) -> Self {
        Self { id: Id { index: u32::MAX, generation: 0 }, nonce: random.bytes(), suffix: None }
    }

    pub(crate) fn push_to(&self, text: &mut String) {
        text.push_str(BRANCH_COOKIE);
        crate::random::push_hex(text, &self.id.index.to_be_bytes());
        crate::random::push_hex(text, &self.nonce);
        if let Some(suffix) = self.suffix {
            text.push('.');
            text.push_str(suffix);
        }
    }
}

/// Slot and nonce of a branch, if it looks like one of ours.
pub(crate) fn read_branch(branch: &str) -> Option<(u32, Nonce)> {
    let digits = branch.get(BRANCH_COOKIE.len()..)?;
    let (digits, rest) = digits.split_at_checked(32)?;
    if !(rest.is_empty() || rest.starts_with('.')) {
        return None;
    }
    let mut bytes = [0_u8; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = (hex(*high)? << 4) | hex(*low)?;
    }
    let (index, nonce) = bytes.split_at_checked(4)?;
    Some((u32::from_be_bytes(index.try_into().ok()?), nonce.try_into().ok()?))
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::ParseOptions;

    #[test]
    fn a_branch_of_ours_is_read_back() {
        let id = Id { index: 0xabcd, generation: 3 };
        let nonce = [7; 12];
        for suffix in [None, Some("loop1")] {
            let mut text = String::new();
            Branch { id, nonce, suffix }.push_to(&mut text);
            assert_eq!(read_branch(&text), Some((0xabcd, nonce)), "{text}");
        }
        for text in [
            "z9hG4bK",
            "z9hG4bKabc",
            "z9hG4bKzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "z9hG4bK0000abcd0707070707070707070707070x",
        ] {
            assert_eq!(read_branch(text), None, "{text}");
        }
    }

    fn key(via: &str, method: &Method) -> ServerKey {
        let text = format!(
            "INVITE sip:a@b SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n"
        );
        let request = Request::parse(Bytes::from(text), &ParseOptions::default()).unwrap();
        let secrets = [[1; 16], [2; 16]];
        let via = request.via().unwrap();
        let base = KeyBase::of_branch(&secrets, &via, &via.facts());
        base.unwrap_or_else(|| KeyBase::of_rfc2543(&secrets, &request).unwrap()).of(method)
    }

    #[test]
    fn branch_sent_by_and_method_make_the_key() {
        let invite = key("SIP/2.0/UDP a.example:5060;branch=z9hG4bK1", &Method::Invite);
        assert_eq!(invite, key("SIP/2.0/TCP A.EXAMPLE:5060;branch=z9hG4bK1;rport", &Method::Invite));
        assert_ne!(invite, key("SIP/2.0/UDP a.example:5061;branch=z9hG4bK1", &Method::Invite));
        assert_ne!(invite, key("SIP/2.0/UDP a.example:5060;branch=z9hG4bK2", &Method::Invite));
        assert_ne!(invite, key("SIP/2.0/UDP a.example:5060;branch=z9hG4bK1", &Method::Cancel));
        let old = key("SIP/2.0/UDP a.example:5060;branch=1", &Method::Invite);
        assert_eq!(old, key("SIP/2.0/UDP a.example:5060;branch=1", &Method::Invite));
        assert_ne!(old, key("SIP/2.0/UDP a.example:5060", &Method::Invite));
    }
}
