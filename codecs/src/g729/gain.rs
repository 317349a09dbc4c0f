//! The gains: predicted fixed-codebook gain, conjugate-structure quantiser, decoder (§3.9, §4.1.5, §4.4.3).

use super::{basic_operators::*, filter::SUBFRAME, pitch, tables::*};

/// Both gains: adaptive Q14, fixed Q1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gains {
    pub(super) adaptive: i16,
    pub(super) fixed: i16,
}

/// The predictor's memory: the quantised energies of the last four subframes, Q10.
#[derive(Debug, Clone)]
pub(super) struct Predictor([i16; 4]);

impl Predictor {
    pub(super) fn new() -> Self {
        Self([-14_336; 4])
    }

    /// The predicted fixed gain: mantissa and exponent.
    fn predict(&self, code: &[i16; SUBFRAME]) -> (i16, i16) {
        let (exponent, fraction) = log2(energy_saturating(0, code));
        let mut t = Split::new(exponent, fraction).times_16(-24_660);
        t = l_mac(t, 32_588, 32);
        t = l_shl(t, 10);
        for (&coefficient, &energy) in GAIN_PREDICTOR.iter().zip(&self.0) {
            t = l_mac(t, coefficient, energy);
        }
        let power = Split::of(l_shr(l_mult(extract_h(t), 5_439), 8));
        (extract_l(pow2(14, power.low)), 14 - power.high)
    }

    /// Remembers the correction (Q13) that was chosen.
    fn update(&mut self, correction: i32) {
        let (exponent, fraction) = log2(correction);
        let t = Split::new(exponent - 13, fraction).join();
        self.push(mult(extract_h(l_shl(t, 13)), 24_660));
    }

    /// A frame was lost: the mean less 4 dB.
    fn decay(&mut self) {
        let sum: i32 = self.0.iter().map(|&energy| i32::from(energy)).sum();
        self.push(sub(extract_l(sum >> 2), 4_096).max(-14_336));
    }

    fn push(&mut self, energy: i16) {
        self.0.rotate_right(1);
        self.0[0] = energy;
    }

    /// The gains of a received index.
    pub(super) fn decode(&mut self, index: i16, code: &[i16; SUBFRAME]) -> Gains {
        let one = &GAIN_CODEBOOK_1[GAIN_UNMAP_1[(index >> 4 & 7) as usize]];
        let two = &GAIN_CODEBOOK_2[GAIN_UNMAP_2[(index & 15) as usize]];
        let (predicted, exponent) = self.predict(code);
        let gains = combine(one, two, predicted, exponent);
        self.update(i32::from(one[1]) + i32::from(two[1]));
        gains
    }

    /// The gains of a lost frame, from the last ones.
    pub(super) fn conceal(&mut self, last: Gains) -> Gains {
        self.decay();
        Gains { adaptive: mult(last.adaptive, 29_491).min(29_491), fixed: mult(last.fixed, 32_111) }
    }

    /// Chooses the gains; returns them and the index. `tame` keeps the adaptive one below 1.
    pub(super) fn quantise(
        &mut self,
        fit: &Correlations,
        code: &[i16; SUBFRAME],
        tame: bool,
    ) -> (Gains, i16) {
        let (predicted, exponent) = self.predict(code);
        let (first, second) = preselect(fit, predicted, exponent, tame);
        let coefficients = fit.aligned(exponent);
        let mut least = i32::MAX;
        let mut choice = (first, second);
        for i in first..first + 4 {
            for j in second..second + 8 {
                let adaptive = add(GAIN_CODEBOOK_1[i][0], GAIN_CODEBOOK_2[j][0]);
                if tame && adaptive >= 16_383 {
                    continue;
                }
                let correction = i32::from(GAIN_CODEBOOK_1[i][1]) + i32::from(GAIN_CODEBOOK_2[j][1]);
                let fixed = mult(predicted, extract_l(correction >> 1));
                let terms =
                    [mult(adaptive, adaptive), adaptive, mult(fixed, fixed), fixed, mult(fixed, adaptive)];
                let cost = coefficients
                    .iter()
                    .zip(terms)
                    .fold(0, |sum, (coefficient, term)| l_add(sum, coefficient.times_16(term)));
                if cost < least {
                    (least, choice) = (cost, (i, j));
                }
            }
        }
        let (one, two) = (&GAIN_CODEBOOK_1[choice.0], &GAIN_CODEBOOK_2[choice.1]);
        let gains = combine(one, two, predicted, exponent);
        self.update(i32::from(one[1]) + i32::from(two[1]));
        (gains, (GAIN_MAP_1[choice.0] * 16 + GAIN_MAP_2[choice.1]) as i16)
    }
}

fn combine(one: &[i16; 2], two: &[i16; 2], predicted: i16, exponent: i16) -> Gains {
    let correction = extract_l((i32::from(one[1]) + i32::from(two[1])) >> 1);
    Gains {
        adaptive: add(one[0], two[0]),
        fixed: extract_h(l_shl(l_mult(correction, predicted), 4 - exponent)),
    }
}

/// The five correlations of target, filtered adaptive and filtered fixed vector: mantissas and exponents.
#[derive(Debug, Clone)]
pub(super) struct Correlations {
    mantissa: [i16; 5],
    exponent: [i16; 5],
}

impl Correlations {
    pub(super) fn new(
        gain: &pitch::Gain,
        target: &[i16; SUBFRAME],
        adaptive: &[i16; SUBFRAME],
        fixed: &[i16; SUBFRAME],
    ) -> Self {
        let fixed = fixed.map(|y| y >> 3);
        let scaled = |sum: i32| {
            let norm = norm_l(sum);
            (round(l_shl(sum, norm)), norm)
        };
        let (g2, n2) = scaled(dot(1, &fixed, &fixed));
        let (g3, n3) = scaled(dot(1, target, &fixed));
        let (g4, n4) = scaled(dot(1, adaptive, &fixed));
        Self {
            mantissa: [gain.yy.0, negate(gain.xy.0), g2, negate(g3), g4],
            exponent: [negate(gain.yy.1), negate(gain.xy.1 + 1), n2 + 3, n3 - 7, n4 - 7],
        }
    }

    /// The coefficients of the search, brought to one exponent.
    fn aligned(&self, gain_exponent: i16) -> [Split; 5] {
        let shifts = [
            self.exponent[0] + 13,
            self.exponent[1] + 14,
            self.exponent[2] + 2 * gain_exponent - 21,
            self.exponent[3] + gain_exponent - 3,
            self.exponent[4] + gain_exponent - 4,
        ];
        let least = shifts.into_iter().fold(i16::MAX, i16::min);
        let mut out = [Split::default(); 5];
        for i in 0..5 {
            out[i] = Split::of(l_shr(deposit_h(self.mantissa[i]), shifts[i] - least));
        }
        out
    }

    /// The gains that would fit best if they were not quantised: adaptive Q9, fixed Q2.
    fn optimum(&self, tame: bool) -> (i16, i16) {
        let (g, e) = (&self.mantissa, &self.exponent);
        let (l1, x1) = (l_mult(g[0], g[2]), e[0] + e[2] - 1);
        let (l2, x2) = (l_mult(g[4], g[4]), 2 * e[4] + 1);
        let (l, x) =
            if x1 > x2 { (l_sub(l_shr(l1, x1 - x2), l2), x2) } else { (l_sub(l1, l_shr(l2, x2 - x1)), x1) };
        let norm = norm_l(l);
        let determinant = extract_h(l_shl(l, norm));
        let inverse = negate(div_s(16_384, determinant));
        let inverse_exponent = 29 - (x + norm - 16);
        let ratio = |one: (usize, usize), two: (usize, usize), q: i16| {
            let (l1, x1) = (l_mult(g[one.0], g[one.1]), e[one.0] + e[one.1]);
            let (l2, x2) = (l_mult(g[two.0], g[two.1]), e[two.0] + e[two.1] + 1);
            let (l, x) = if x1 > x2 {
                (l_sub(l_shr(l1, x1 - x2 + 1), l_shr(l2, 1)), x2 - 1)
            } else {
                (l_sub(l_shr(l1, 1), l_shr(l2, x2 - x1 + 1)), x1 - 1)
            };
            let norm = norm_l(l);
            let numerator = extract_h(l_shl(l, norm));
            let exponent = x + norm - 16;
            extract_h(l_shr(l_mult(numerator, inverse), exponent + inverse_exponent - q))
        };
        let adaptive = ratio((2, 1), (3, 4), 24);
        let fixed = ratio((0, 3), (1, 4), 17);
        (if tame { adaptive.min(481) } else { adaptive }, fixed)
    }
}

/// The first rows of the codebook windows that are searched.
fn preselect(fit: &Correlations, predicted: i16, exponent: i16, tame: bool) -> (usize, usize) {
    let (adaptive, fixed) = fit.optimum(tame);
    // The predicted gain in Q4.
    let gain = if exponent >= 4 {
        shr(predicted, exponent - 4)
    } else {
        extract_h(l_shl(i32::from(predicted), 20 - exponent))
    };
    let c = l_mult(GAIN_PRESELECT[0][0], adaptive);
    let a = extract_h(l_add(c, l_shr(GAIN_PRESELECT_LONG[1][1], 15)));
    let t = l_sub(l_shl(i32::from(fixed), 7), l_mult(a, gain));
    let x = l_mult(extract_h(l_shl(t, 2)), -17_103);
    let a = mult(extract_h(l_sub(c, l_shr(GAIN_PRESELECT_LONG[0][1], 10))), gain);
    let t = l_sub(l_mult(a, GAIN_PRESELECT[1][0]), l_shr(l_mult(GAIN_PRESELECT[0][0], fixed), 3));
    let y = l_mult(extract_h(l_shl(t, 2)), -17_103);
    let beyond = |value: i32, threshold: i32| if gain > 0 { value > threshold } else { value < threshold };
    let count = |value: i32, thresholds: &[i16], shift: i16| {
        thresholds
            .iter()
            .take_while(|&&threshold| beyond(value, l_shr(l_mult(threshold, gain), shift)))
            .count()
    };
    (count(y, &GAIN_THRESHOLD_1, 3), count(x, &GAIN_THRESHOLD_2, 5))
}
