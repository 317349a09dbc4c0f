//! The simulation's own generator: SplitMix64, seeded from one number, a separate stream for each link.
//!
//! It decides which packet is lost, not which key is used, so it has no need to be unguessable; it must be
//! small, fast, and the same on every machine and in every version. Machines under test get their
//! randomness from the [`seed`](Random::seed) they are made with.

/// A deterministic generator of numbers.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator for `seed`. The same seed gives the same numbers, always.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// An independent generator for the part of the simulation called `stream`, so that one part's draws do not
    /// move when another part draws more often.
    #[must_use]
    pub fn derive(seed: u64, stream: u64) -> Self {
        let mut parent = Self::new(seed ^ stream.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Self::new(parent.next_u64() ^ stream)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when `bound` is 0. The bias is below 2⁻³² for bounds that fit 32 bits.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with the given probability. Draws nothing when it is 0, so that a link without loss costs no numbers.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// 32 bytes to seed a machine with.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes());
        }
        seed
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// FNV-1a over `bytes`: the short fingerprint that stands for a payload in the trace.
#[must_use]
pub fn fingerprint(bytes: &[u8]) -> u32 {
    let mut hash = 0x811C_9DC5_u32;
    for byte in bytes {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_streams_differ() {
        let draw = |mut random: Random| [random.next_u64(), random.next_u64(), random.below(10)];
        assert_eq!(draw(Random::new(1)), draw(Random::new(1)));
        assert_ne!(draw(Random::derive(1, 1)), draw(Random::derive(1, 2)));
        assert_ne!(draw(Random::derive(1, 1)), draw(Random::derive(2, 1)));
        // The published first output of SplitMix64 for seed 0: this must never change.
        assert_eq!(Random::new(0).next_u64(), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn chances_come_out_as_asked() {
        let mut random = Random::new(3);
        let hits = (0..100_000).filter(|_| random.chance(0.3)).count();
        assert!((29_000..31_000).contains(&hits), "{hits}");
        assert!(!random.chance(0.0));
        assert!(random.chance(1.0));
    }
}
