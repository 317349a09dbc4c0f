//! Nonces that need no memory for each client: a sealed time stamp (RFC 7616 §3.3, RFC 3261 §22.4).
//!
//! A nonce is base64url(time in ms ‖ number ‖ HMAC-SHA-256 of both and the realm, cut to 128 bits). Whoever asks
//! for a thousand challenges makes the server remember nothing. What is remembered, once a response has *verified*, is
//! which counts of that nonce were used; that table is [`NonceCounts`](super::replay::NonceCounts).
//! The address of the client is left out of the seal on purpose: telephones behind a NAT whose mapping changed would
//! be challenged again for nothing, and a replay is refused by count anyway.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;

const RAW_LENGTH: usize = 32;
const SEALED_LENGTH: usize = 16;
/// 32 bytes in base64url without padding.
const TEXT_LENGTH: usize = 43;

/// Makes nonces and tells its own from others'.
#[derive(Debug)]
pub struct NonceMint {
    key: Hmac<Sha256>,
    epoch: Instant,
    issued: u64,
    lifetime: Duration,
}

/// A nonce this server made: when, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NonceId {
    /// Milliseconds since the mint was made.
    pub issued_at_ms: u64,
    /// Counts nonces, so that two of one millisecond differ.
    pub number: u64,
}

/// What a nonce that came back is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceVerdict {
    /// Ours, for this realm, and young enough.
    Fresh(NonceId),
    /// Ours, for this realm, and too old.
    Expired,
    /// Not ours, for another realm, or made before a restart.
    Foreign,
}

impl NonceMint {
    /// A mint with a secret key; nonces are good for `lifetime`.
    #[must_use]
    pub fn new(key: [u8; 32], lifetime: Duration, now: Instant) -> Self {
        // HMAC takes keys of any length: the fallback is never taken, and would still be a keyed function.
        let key = Hmac::new_from_slice(&key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        Self { key, epoch: now, issued: 0, lifetime }
    }

    /// A fresh nonce for `realm`.
    pub fn issue(&mut self, realm: &str, now: Instant) -> String {
        self.issued = self.issued.wrapping_add(1);
        let id = NonceId { issued_at_ms: self.milliseconds(now), number: self.issued };
        let clear = clear_part(id);
        let mut raw = [0; RAW_LENGTH];
        for (to, from) in raw.iter_mut().zip(clear.iter().chain(self.seal(&clear, realm).iter())) {
            *to = *from;
        }
        encode(&raw)
    }

    /// Judges a nonce that came back in credentials for `realm`.
    #[must_use]
    pub fn judge(&self, nonce: &str, realm: &str, now: Instant) -> NonceVerdict {
        let Some(raw) = decode(nonce) else { return NonceVerdict::Foreign };
        let Some((clear, seal)) = raw.split_first_chunk::<SEALED_LENGTH>() else {
            return NonceVerdict::Foreign;
        };
        if !bool::from(self.seal(clear, realm).ct_eq(seal)) {
            return NonceVerdict::Foreign;
        }
        let Some((time, number)) = clear.split_first_chunk::<8>() else { return NonceVerdict::Foreign };
        let Some(number) = number.first_chunk::<8>() else { return NonceVerdict::Foreign };
        let id = NonceId { issued_at_ms: u64::from_be_bytes(*time), number: u64::from_be_bytes(*number) };
        let age = self.milliseconds(now).saturating_sub(id.issued_at_ms);
        if u128::from(age) > self.lifetime.as_millis() {
            NonceVerdict::Expired
        } else {
            NonceVerdict::Fresh(id)
        }
    }

    fn seal(&self, clear: &[u8; SEALED_LENGTH], realm: &str) -> [u8; SEALED_LENGTH] {
        let mut mac = self.key.clone();
        mac.update(clear);
        mac.update(realm.as_bytes());
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut cut = [0; SEALED_LENGTH];
        for (to, from) in cut.iter_mut().zip(full) {
            *to = from;
        }
        cut
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

fn clear_part(id: NonceId) -> [u8; SEALED_LENGTH] {
    let mut clear = [0; SEALED_LENGTH];
    let bytes = id.issued_at_ms.to_be_bytes().into_iter().chain(id.number.to_be_bytes());
    for (to, from) in clear.iter_mut().zip(bytes) {
        *to = from;
    }
    clear
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode(raw: &[u8; RAW_LENGTH]) -> String {
    let mut text = String::with_capacity(TEXT_LENGTH);
    for chunk in raw.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte));
        let group = if chunk.len() < 3 { group << 8 } else { group };
        for place in 0..=chunk.len() {
            let index = group >> (18usize.saturating_sub(place.saturating_mul(6))) & 63;
            let digit = usize::try_from(index).ok().and_then(|index| ALPHABET.get(index)).copied();
            text.push(char::from(digit.unwrap_or(b'A')));
        }
    }
    text
}

fn decode(text: &str) -> Option<[u8; RAW_LENGTH]> {
    if text.len() != TEXT_LENGTH {
        return None;
    }
    let mut raw = [0; RAW_LENGTH];
    let mut bits = 0u32;
    let mut held = 0u32;
    let mut out = raw.iter_mut();
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held = held.wrapping_add(6);
        if held >= 8 {
            held = held.wrapping_sub(8);
            let byte = u8::try_from(bits >> held & 0xff).ok()?;
            *out.next()? = byte;
        }
    }
    Some(raw)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mint(key: u8, now: Instant) -> NonceMint {
        NonceMint::new([key; 32], Duration::from_secs(60), now)
    }

    #[test]
    fn a_nonce_is_ours_until_it_is_too_old() {
        let start = Instant::now();
        let mut mint = mint(1, start);
        let nonce = mint.issue("pbx.example", start + Duration::from_secs(5));
        assert_eq!(nonce.len(), TEXT_LENGTH);
        let at = |seconds| mint.judge(&nonce, "pbx.example", start + Duration::from_secs(seconds));
        assert_eq!(at(5), NonceVerdict::Fresh(NonceId { issued_at_ms: 5000, number: 1 }));
        assert_eq!(at(65), NonceVerdict::Fresh(NonceId { issued_at_ms: 5000, number: 1 }));
        assert_eq!(at(66), NonceVerdict::Expired);
    }

    #[test]
    fn another_key_realm_or_a_flipped_bit_makes_it_foreign() {
        let start = Instant::now();
        let mut first = mint(1, start);
        let nonce = first.issue("pbx.example", start);
        assert_eq!(mint(2, start).judge(&nonce, "pbx.example", start), NonceVerdict::Foreign);
        assert_eq!(first.judge(&nonce, "other.example", start), NonceVerdict::Foreign);
        for at in 0..nonce.len() - 1 {
            let mut changed = nonce.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            if changed != nonce {
                assert_eq!(first.judge(&changed, "pbx.example", start), NonceVerdict::Foreign);
            }
        }
    }

    #[test]
    fn two_of_one_millisecond_differ() {
        let start = Instant::now();
        let mut mint = mint(1, start);
        assert_ne!(mint.issue("r", start), mint.issue("r", start));
    }

    proptest! {
        #[test]
        fn base64_is_read_back(raw in any::<[u8; 32]>()) {
            prop_assert_eq!(decode(&encode(&raw)), Some(raw));
        }

        #[test]
        fn anything_may_come_back(nonce in ".*") {
            let now = Instant::now();
            prop_assert_eq!(mint(1, now).judge(&nonce, "r", now), NonceVerdict::Foreign);
        }
    }
}
