//! The generator inside a machine: ChaCha from the seed, so that tags and branches cannot be guessed and a run can be
//! replayed.

use foldhash::quality::FixedState;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::io::Seed;

/// Draws everything unguessable.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    generator: ChaCha12Rng,
}

impl Random {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { generator: ChaCha12Rng::from_seed(seed.0) }
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.generator.next_u64()
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.generator.next_u32()
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.generator.fill_bytes(&mut bytes);
        bytes
    }

    /// A hasher for a table whose keys a peer chooses.
    pub(crate) fn hasher(&mut self) -> FixedState {
        FixedState::with_seed(self.u64())
    }

    /// Below `bound`; 0 for 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // Multiply-shift; its bias of 2^-32 is of no consequence for a share among servers.
        u32::try_from((u64::from(self.u32()).wrapping_mul(u64::from(bound))) >> 32).unwrap_or(0)
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    push_hex(&mut out, bytes);
    out
}

/// The same at the end of a text.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
}
