//! HMAC-SHA1 (RFC 2104) with a prepared key, over a message that lies in one piece but for its first four bytes.
//!
//! A connectivity check is two blocks long; the general construction spends as much again on copying its state and on buffering
//! what needs no buffer. The hash itself is the `sha1` crate's, with the processor's instructions where it has them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use sha1::block_api::compress;
use sha1::{Digest, Sha1};

/// What SHA-1 begins with (FIPS 180-4 section 5.3.1).
const BEGIN: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
const BLOCK: usize = 64;

/// A key, and what both hashes have come to when they have read it.
#[derive(Clone)]
pub(super) struct HmacSha1 {
    inner: [u32; 5],
    outer: [u32; 5],
}

impl HmacSha1 {
    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        // Longer keys than a block are hashed.
        let hashed = (key.len() > BLOCK).then(|| Sha1::digest(key));
        let key = hashed.as_ref().map_or(key, |hashed| hashed.as_slice());
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        let begin = |pad: u8| {
            let mut state = BEGIN;
            compress(&mut state, &[block.map(|byte| byte ^ pad)]);
            state
        };
        Self { inner: begin(0x36), outer: begin(0x5C) }
    }

    /// The code of `head` and what follows the first four bytes of `message`.
    pub(super) fn code(&self, head: [u8; 4], message: &[u8]) -> [u8; 20] {
        let mut state = self.inner;
        let mut rest = message;
        if let Some((first, more)) = message.split_first_chunk::<BLOCK>() {
            let mut block = *first;
            replace_head(&mut block, head);
            compress(&mut state, &[block]);
            let (whole, tail) = more.as_chunks::<BLOCK>();
            compress(&mut state, whole);
            rest = tail;
        }
        let mut last = [0; BLOCK];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        if message.len() < BLOCK {
            replace_head(&mut last, head);
        }
        finish(&mut state, last, rest.len(), message.len());
        let mut block = [0; BLOCK];
        for (to, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(state) {
            *to = word.to_be_bytes();
        }
        let mut outer = self.outer;
        finish(&mut outer, block, 20, 20);
        let mut code = [0; 20];
        for (to, word) in code.as_chunks_mut::<4>().0.iter_mut().zip(outer) {
            *to = word.to_be_bytes();
        }
        code
    }
}

fn replace_head(block: &mut [u8; BLOCK], head: [u8; 4]) {
    if let Some(first) = block.first_chunk_mut::<4>() {
        *first = head;
    }
}

/// Reads the last block of `used` bytes with the padding behind it: a one, zeros, and the length of key and message in bits.
fn finish(state: &mut [u32; 5], mut block: [u8; BLOCK], used: usize, message_bytes: usize) {
    if let Some(after) = block.get_mut(used) {
        *after = 0x80;
    }
    if used >= BLOCK.saturating_sub(8) {
        compress(state, &[block]);
        block = [0; BLOCK];
    }
    let bits = u64::try_from(message_bytes.saturating_add(BLOCK)).unwrap_or(0).saturating_mul(8);
    if let Some(end) = block.last_chunk_mut::<8>() {
        *end = bits.to_be_bytes();
    }
    compress(state, &[block]);
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use hmac::{Hmac, KeyInit, Mac};

    #[test]
    fn it_is_what_the_general_construction_gives_for_every_length() {
        let bytes: Vec<u8> = (0..300_u32).map(|n| (n * 31 % 251) as u8).collect();
        for key_length in [0, 1, 20, 63, 64, 65, 200] {
            let key = &bytes[..key_length];
            let own = HmacSha1::new(key);
            for length in 4..bytes.len() {
                let mut general = Hmac::<Sha1>::new_from_slice(key).unwrap();
                general.update(&[1, 2, 3, 4]);
                general.update(&bytes[4..length]);
                let expected: [u8; 20] = general.finalize().into_bytes().into();
                assert_eq!(own.code([1, 2, 3, 4], &bytes[..length]), expected, "{key_length} {length}");
            }
        }
    }
}
