//! Unguessable numbers from a seed: transaction numbers, passwords, tie-breakers, nonces.

use crate::io::Seed;
use crate::stun::TransactionId;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// Seeded by the machine's own generator: keys that collide cannot be found from outside, and a seed replays a run.
pub(crate) type TableHasher = foldhash::fast::SeedableRandomState;

/// The generator inside a machine.
#[derive(Debug, Clone)]
pub(crate) struct Generator(ChaCha20Rng);

impl Generator {
    pub(crate) fn new(seed: Seed) -> Self {
        Self(ChaCha20Rng::from_seed(seed.0))
    }

    /// A seed for a machine within this one.
    pub(crate) fn seed(&mut self) -> Seed {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Seed(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn transaction_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.0.fill_bytes(&mut id);
        TransactionId(id)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A hasher for a table whose keys others choose.
    pub(crate) fn table_hasher(&mut self) -> TableHasher {
        TableHasher::with_seed(self.next_u64(), foldhash::SharedSeed::global_fixed())
    }

    /// A number below `bound`, or 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.0.next_u64()).saturating_mul(u128::from(bound)) >> 64;
        u64::try_from(product).unwrap_or(0)
    }

    /// Letters, digits, `+` and `/` (the ice-char of RFC 8839), six bits of chance each.
    pub(crate) fn ice_chars(&mut self, count: usize) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bytes = vec![0; count];
        self.0.fill_bytes(&mut bytes);
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
    }
}
