//! The quadrature mirror filters that split 16 kHz in two bands and join them again (G.722 §3.1, §3.2 and §4.4).

use super::tables::{QMF, QMF_ALTERNATING};

/// Pairs of samples that are filtered at once.
const BATCH: usize = 80;
/// Samples before the newest pair that the filter sees.
const PAST: usize = QMF.len() - 2;

/// The last samples, with room for a batch after them, so that the filter reads in one piece.
#[derive(Debug, Clone)]
pub(super) struct FilterBank {
    line: [i16; PAST + 2 * BATCH],
}

impl FilterBank {
    pub(super) const fn new() -> Self {
        Self { line: [0; PAST + 2 * BATCH] }
    }

    /// How many pairs may be given at once.
    pub(super) const BATCH: usize = BATCH;

    /// Takes up to [`Self::BATCH`] pairs of samples in order and gives, for each, the sum over the odd taps and the even
    /// ones together, and the odd ones less the even ones.
    #[inline]
    pub(super) fn filter(&mut self, samples: &[i16], mut each: impl FnMut(usize, i32, i32)) {
        self.line[PAST..PAST + samples.len()].copy_from_slice(samples);
        for pair in 0..samples.len() / 2 {
            let window: &[i16; QMF.len()] = self.line[2 * pair..].first_chunk().unwrap_or(&[0; QMF.len()]);
            each(pair, dot(window, &QMF), dot(window, &QMF_ALTERNATING));
        }
        self.line.copy_within(samples.len()..samples.len() + PAST, 0);
    }
}

#[inline]
fn dot(window: &[i16; QMF.len()], taps: &[i16; QMF.len()]) -> i32 {
    window.iter().zip(taps).map(|(sample, tap)| i32::from(*sample) * i32::from(*tap)).sum()
}

/// Into 16 bits.
#[inline]
pub(super) fn saturate(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}
