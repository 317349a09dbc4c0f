//! The serial format of the ITU-T test vectors: 16-bit words, a synchronisation word, a count, a word for each bit.
//!
//! A count of 80 is a speech frame, 15 or 16 a silence descriptor, 0 a frame that was not sent. A frame is erased if one
//! of its bit words is 0, or if nothing was sent and the synchronisation word is not the usual one.

use alloc::vec::Vec;

use super::{FRAME_BYTES, SILENCE_BYTES};

const SYNCHRONISATION: u16 = 0x6b21;
const ZERO: u16 = 0x7f;
const ONE: u16 = 0x81;

/// One frame of the serial format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerialFrame {
    /// 80 bits of speech.
    Speech([u8; FRAME_BYTES]),
    /// A silence descriptor, 15 bits and one that is 0.
    Silence([u8; SILENCE_BYTES]),
    /// Nothing was sent.
    Untransmitted,
    /// The frame was lost.
    Erased,
}

/// Reads 16-bit words (`.bit` files hold them little-endian). A last frame that is cut off is left out.
#[must_use]
pub fn read(words: &[u16]) -> Vec<SerialFrame> {
    let mut frames = Vec::new();
    let mut rest = words;
    while let [first, count, tail @ ..] = rest {
        let Some(bits) = tail.get(..usize::from(*count)) else { break };
        frames.push(frame(*first, bits));
        rest = &tail[bits.len()..];
    }
    frames
}

fn frame(first: u16, bits: &[u16]) -> SerialFrame {
    if bits.contains(&0) {
        return SerialFrame::Erased;
    }
    let mut bytes = [0; FRAME_BYTES];
    for (at, bit) in bits.iter().take(80).enumerate() {
        bytes[at / 8] |= u8::from(*bit == ONE) << (7 - at % 8);
    }
    match bits.len() {
        80 => SerialFrame::Speech(bytes),
        15 | 16 => SerialFrame::Silence([bytes[0], bytes[1]]),
        0 if first == SYNCHRONISATION => SerialFrame::Untransmitted,
        _ => SerialFrame::Erased,
    }
}

/// Writes one payload (10 bytes of speech, 2 of a silence descriptor, or nothing) as words.
///
/// `octets` is the form of the silence descriptor: 16 bits, as the ITU vectors have, or the 15 that mean something.
pub fn write(payload: &[u8], octets: bool, words: &mut Vec<u16>) {
    let bits = match payload.len() {
        SILENCE_BYTES if !octets => 15,
        length => length * 8,
    };
    words.push(SYNCHRONISATION);
    words.push(bits as u16);
    words.extend((0..bits).map(|at| if payload[at / 8] >> (7 - at % 8) & 1 == 1 { ONE } else { ZERO }));
}
