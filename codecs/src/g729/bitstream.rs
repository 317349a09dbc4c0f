//! The bits of a frame: parameters to octets and back (§3.9.3 Table 8; Annex B §B.4.3; RFC 3551 §4.5.6).

use super::{FRAME_BYTES, SILENCE_BYTES, lsp_quantizer::Indices};

/// Bits of each parameter of a speech frame, in order of transmission.
const SPEECH_BITS: [u32; 11] = [8, 10, 8, 1, 13, 4, 7, 5, 13, 4, 7];
/// Bits of each parameter of a silence descriptor.
const SILENCE_BITS: [u32; 4] = [1, 5, 4, 5];

/// One subframe's parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Subframe {
    pub(super) lag: i16,
    pub(super) positions: i16,
    pub(super) signs: i16,
    pub(super) gains: i16,
}

/// A speech frame's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Speech {
    pub(super) lsp: Indices,
    pub(super) parity: i16,
    pub(super) subframes: [Subframe; 2],
}

/// A silence descriptor's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) mode: usize,
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) gain: usize,
}

/// What one frame brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Speech(Speech),
    Silence(Silence),
    /// Nothing was sent for this frame.
    Untransmitted,
    /// Something was sent and did not arrive.
    Erased,
}

impl Speech {
    pub(super) fn pack(&self) -> [u8; FRAME_BYTES] {
        let [one, two] = &self.subframes;
        let values = [
            (self.lsp.mode << 7 | self.lsp.first) as u32,
            (self.lsp.second_low << 5 | self.lsp.second_high) as u32,
            one.lag as u32,
            self.parity as u32,
            one.positions as u32,
            one.signs as u32,
            one.gains as u32,
            two.lag as u32,
            two.positions as u32,
            two.signs as u32,
            two.gains as u32,
        ];
        let mut out = [0; FRAME_BYTES];
        write(&values, &SPEECH_BITS, &mut out);
        out
    }

    pub(super) fn unpack(bytes: &[u8; FRAME_BYTES]) -> Self {
        let v = read::<11>(bytes, &SPEECH_BITS);
        let word = |index: usize| v[index] as i16;
        Self {
            lsp: Indices {
                mode: (v[0] >> 7) as usize,
                first: (v[0] & 127) as usize,
                second_low: (v[1] >> 5) as usize,
                second_high: (v[1] & 31) as usize,
            },
            parity: word(3),
            subframes: [
                Subframe { lag: word(2), positions: word(4), signs: word(5), gains: word(6) },
                Subframe { lag: word(7), positions: word(8), signs: word(9), gains: word(10) },
            ],
        }
    }
}

impl Silence {
    pub(super) fn pack(&self) -> [u8; SILENCE_BYTES] {
        let values = [self.mode as u32, self.first as u32, self.second as u32, self.gain as u32];
        let mut out = [0; SILENCE_BYTES];
        write(&values, &SILENCE_BITS, &mut out);
        out
    }

    pub(super) fn unpack(bytes: &[u8; SILENCE_BYTES]) -> Self {
        let v = read::<4>(bytes, &SILENCE_BITS).map(|value| value as usize);
        Self { mode: v[0], first: v[1], second: v[2], gain: v[3] }
    }
}

/// Most significant bit first; bits that are not used stay 0.
fn write(values: &[u32], bits: &[u32], out: &mut [u8]) {
    let mut at = 0;
    for (&value, &bits) in values.iter().zip(bits) {
        for bit in (0..bits).rev() {
            out[at / 8] |= ((value >> bit & 1) as u8) << (7 - at % 8);
            at += 1;
        }
    }
}

fn read<const N: usize>(bytes: &[u8], bits: &[u32; N]) -> [u32; N] {
    let mut at = 0;
    bits.map(|bits| {
        (0..bits).fold(0, |value, _| {
            let bit = bytes[at / 8] >> (7 - at % 8) & 1;
            at += 1;
            value << 1 | u32::from(bit)
        })
    })
}
