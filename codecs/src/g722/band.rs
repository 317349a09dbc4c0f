//! One band's adaptive predictor and step (G.722 §3.5 and §3.6: blocks 3 and 4), the same in encoder and decoder.

use super::tables::POWERS;

/// Taps of the predictor's zero section.
const ZEROS: usize = 6;
/// The same, and two that make a vector even: their differences stay zero, so what their coefficients are is all one.
const LANES: usize = 8;

/// How the step of a band follows its codes.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepLimits {
    /// The largest logarithm of the step.
    pub(super) largest: i16,
    /// How far the power of two is shifted down.
    pub(super) shift: i16,
}

/// Lower band (§3.5.2, §3.5.3).
pub(super) const LOW: StepLimits = StepLimits { largest: 18_432, shift: 8 };
/// Higher band.
pub(super) const HIGH: StepLimits = StepLimits { largest: 22_528, shift: 10 };

/// The state of one band.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// What is expected next.
    pub(super) prediction: i16,
    /// The quantiser's step.
    pub(super) step: i16,
    step_logarithm: i16,
    zero_prediction: i16,
    /// The last quantised differences, newest first.
    differences: [i16; LANES],
    /// The zero section's coefficients.
    zeros: [i16; LANES],
    /// The pole section's coefficients.
    poles: [i16; 2],
    /// The last reconstructed samples, newest first.
    reconstructed: [i16; 2],
    /// The last partly reconstructed samples.
    partial: [i16; 2],
}

impl Band {
    /// The state that the Recommendation resets to; `step` is the smallest.
    pub(super) const fn new(step: i16) -> Self {
        Self {
            prediction: 0,
            step,
            step_logarithm: 0,
            zero_prediction: 0,
            differences: [0; LANES],
            zeros: [0; LANES],
            poles: [0; 2],
            reconstructed: [0; 2],
            partial: [0; 2],
        }
    }

    /// Takes one code's consequences: `difference` is what it stood for, `change` moves the step's logarithm.
    #[inline]
    pub(super) fn adapt(&mut self, difference: i16, change: i16, limits: StepLimits) {
        self.predict(difference);
        self.scale(change, limits);
    }

    /// LOGSCL and SCALEL, or LOGSCH and SCALEH.
    #[inline]
    fn scale(&mut self, change: i16, limits: StepLimits) {
        let leaked = (i32::from(self.step_logarithm) * 127) >> 7;
        let logarithm = (leaked + i32::from(change)).clamp(0, i32::from(limits.largest)) as i16;
        self.step_logarithm = logarithm;
        let power = POWERS[usize::from(logarithm.cast_unsigned() >> 6 & 31)];
        let shift = limits.shift - (logarithm >> 11);
        // The lower band's largest logarithm asks for a shift up by one.
        self.step = if shift < 0 { power << -shift << 2 } else { power >> shift << 2 };
    }

    /// Block 4: RECONS to PREDIC.
    #[inline]
    fn predict(&mut self, difference: i16) {
        let reconstructed = self.prediction.saturating_add(difference);
        let partial = self.zero_prediction.saturating_add(difference);
        let [first, second] = self.poles;
        let same_as_last = (partial ^ self.partial[0]) >= 0;
        let same_as_before = (partial ^ self.partial[1]) >= 0;

        // UPPOL2
        let four = first.saturating_mul(4);
        let turned = if same_as_last { 0i16.saturating_sub(four) } else { four };
        let kick = if same_as_before { 128 } else { -128 };
        let second = (turned >> 7) + kick + product(second, 32_512);
        let second = second.clamp(-12_288, 12_288);
        // UPPOL1
        let kick = if same_as_last { 192 } else { -192 };
        let bound = 15_360 - second;
        let first = (kick + product(first, 32_640)).clamp(-bound, bound);
        self.poles = [first, second];

        // UPZERO: 32,640 / 32,768 of each, rounded down, and a kick. All eight lanes, so that they make one vector.
        let size = if difference == 0 { 0 } else { 128 };
        for (coefficient, past) in self.zeros.iter_mut().zip(&self.differences) {
            let unlike = (difference ^ past) >> 15;
            let leaked = *coefficient - (*coefficient >> 8) - i16::from(*coefficient & 0xff != 0);
            *coefficient = leaked.saturating_add((size ^ unlike) - unlike);
        }

        // DELAYA
        self.differences.copy_within(..ZEROS - 1, 1);
        self.differences[0] = difference;
        self.partial = [partial, self.partial[0]];
        self.reconstructed = [reconstructed, self.reconstructed[0]];

        // FILTEP
        let pole_prediction = product(first, self.reconstructed[0].saturating_mul(2))
            .saturating_add(product(second, self.reconstructed[1].saturating_mul(2)));
        self.zero_prediction = self.predict_from_zeros();
        // PREDIC
        self.prediction = pole_prediction.saturating_add(self.zero_prediction);
    }
}

impl Band {
    /// FILTEZ.
    #[inline]
    fn predict_from_zeros(&self) -> i16 {
        let mut products = [0i32; LANES];
        for ((product, coefficient), past) in products.iter_mut().zip(&self.zeros).zip(&self.differences) {
            *product = (i32::from(*coefficient) * i32::from(past.saturating_mul(2))) >> 15;
        }
        let magnitudes: i32 = products.iter().map(|product| product.abs()).sum();
        if magnitudes <= i32::from(i16::MAX) {
            return products.iter().sum::<i32>() as i16;
        }
        // Where saturation can strike, the order matters: from the oldest to the newest.
        products
            .iter()
            .rev()
            .fold(0, |sum: i16, product| sum.saturating_add((*product).min(i32::from(i16::MAX)) as i16))
    }
}

/// The product of two numbers in 2^-15, truncated towards minus infinity, saturated.
#[inline]
pub(super) fn product(one: i16, other: i16) -> i16 {
    let product = (i32::from(one) * i32::from(other)) >> 15;
    product.min(i32::from(i16::MAX)) as i16
}
