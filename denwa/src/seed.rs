//! Where a machine's randomness comes from: 32 bytes given at construction.

use core::fmt;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The randomness of a machine. The same seed and the same inputs give the same outputs; a seed from the system's entropy
/// (which the drivers fetch) makes everything drawn from it unguessable.
#[derive(Clone)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// A seed of its own for the `number`th child machine: unguessable without this one.
    #[must_use]
    pub fn derive(&self, number: u64) -> Self {
        let mut generator = ChaCha20Rng::from_seed(self.0);
        // Streams of one key never meet.
        generator.set_stream(number);
        let mut bytes = [0; 32];
        generator.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// The generator inside a machine: ChaCha20 from the machine's seed.
pub(crate) struct Generator(ChaCha20Rng);

impl Generator {
    pub(crate) fn new(seed: Seed) -> Self {
        Self(ChaCha20Rng::from_seed(seed.0))
    }

    /// 32 bytes for a child machine.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generator(..)")
    }
}
