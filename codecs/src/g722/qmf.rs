//! The quadrature mirror filters that split 16 kHz in two bands and join them again (G.722 §3.1, §3.2 and §4.4).

use super::tables::QMF;

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

    /// Takes up to [`Self::BATCH`] pairs of samples in order and gives, for each, the sums over the even and the odd taps.
    #[inline]
    pub(super) fn filter(&mut self, samples: &[i16], mut each: impl FnMut(usize, i32, i32)) {
        self.line[PAST..PAST + samples.len()].copy_from_slice(samples);
        for pair in 0..samples.len() / 2 {
            let window: &[i16; QMF.len()] = self.line[2 * pair..].first_chunk().unwrap_or(&[0; QMF.len()]);
            let (mut even, mut odd) = (0, 0);
            for tap in (0..QMF.len()).step_by(2) {
                even += i32::from(window[tap]) * i32::from(QMF[tap]);
                odd += i32::from(window[tap + 1]) * i32::from(QMF[tap + 1]);
            }
            each(pair, even, odd);
        }
        self.line.copy_within(samples.len()..samples.len() + PAST, 0);
    }
}

/// Into 16 bits.
#[inline]
pub(super) fn saturate(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}
