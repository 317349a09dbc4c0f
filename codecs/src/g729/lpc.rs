//! Linear prediction: windowed autocorrelation, lag window, Levinson–Durbin (§3.2.1, §3.2.2).

use super::{basic_operators::*, filter::Lpc, tables::*};

/// Autocorrelation of the 240-sample window: thirteen lags and the exponent of the first.
#[derive(Debug, Clone)]
pub(super) struct Autocorrelation {
    /// Lags 0 to 12 without the lag window, upper halves (what Annex B's DTX sums up).
    pub(super) plain: [i16; 13],
    /// With the lag window.
    pub(super) r: [Split; 13],
    /// Exponent of lag 0.
    pub(super) exponent: i16,
}

impl Autocorrelation {
    pub(super) fn of(speech: &[i16; 240]) -> Self {
        let mut y = [0i16; 240];
        for ((y, &x), &w) in y.iter_mut().zip(speech).zip(&ANALYSIS_WINDOW) {
            *y = mult_r(x, w);
        }
        let mut exponent = 1;
        let sum = loop {
            if let Some(sum) = energy(1, &y) {
                break sum;
            }
            for y in &mut y {
                *y >>= 2;
            }
            exponent += 4;
        };
        let norm = norm_l(sum);
        exponent -= norm;
        let mut r = [Split::default(); 13];
        r[0] = Split::of(l_shl(sum, norm));
        for lag in 1..13 {
            // The energy fits 32 bits, so no correlation and no partial sum of one can leave them.
            r[lag] = Split::of(l_shl(dot_plain(&y[..240 - lag], &y[lag..]), norm));
        }
        let plain = r.map(|r| r.high);
        for lag in 1..13 {
            r[lag] = Split::of(r[lag].times(Split::new(LAG_WINDOW_HIGH[lag - 1], LAG_WINDOW_LOW[lag - 1])));
        }
        Self { plain, r, exponent }
    }
}

/// What Levinson–Durbin gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prediction {
    pub(super) a: Lpc,
    /// The first two reflection coefficients.
    pub(super) reflection: [i16; 2],
    /// The residual energy; `None` when the recursion was unstable.
    pub(super) error: Option<i16>,
}

/// Levinson–Durbin with the memory of the last stable filter.
#[derive(Debug, Clone)]
pub(super) struct Levinson {
    a: Lpc,
    reflection: [i16; 2],
}

impl Levinson {
    pub(super) fn new() -> Self {
        let mut a = [0; 11];
        a[0] = 4_096;
        Self { a, reflection: [0; 2] }
    }

    /// The prediction filter of an autocorrelation (eleven lags). An unstable one gives the last stable filter.
    pub(super) fn run(&mut self, r: &[Split]) -> Prediction {
        let mut reflection = [0i16; 10];
        let mut a = [Split::default(); 11];

        let first = r[1].join();
        let mut k = r[0].divides(l_abs(first));
        if first > 0 {
            k = l_negate(k);
        }
        let mut k_split = Split::of(k);
        reflection[0] = k_split.high;
        a[1] = Split::of(l_shr(k, 4));
        let rest = l_sub(i32::MAX, l_abs(k_split.times(k_split)));
        let mut alpha_long = r[0].times(Split::of(rest));
        let mut alpha_exponent = norm_l(alpha_long);
        alpha_long = l_shl(alpha_long, alpha_exponent);
        let mut alpha = Split::of(alpha_long);

        for i in 2..=10 {
            let mut t = 0;
            for j in 1..i {
                t = l_add(t, r[j].times(a[i - j]));
            }
            t = l_add(l_shl(t, 4), r[i].join());
            k = alpha.divides(l_abs(t));
            if t > 0 {
                k = l_negate(k);
            }
            k = l_shl(k, alpha_exponent);
            k_split = Split::of(k);
            reflection[i - 1] = k_split.high;
            if abs_s(k_split.high) > 32_750 {
                return Prediction { a: self.a, reflection: self.reflection, error: None };
            }
            let mut next = a;
            for j in 1..i {
                next[j] = Split::of(l_add(k_split.times(a[i - j]), a[j].join()));
            }
            next[i] = Split::of(l_shr(k, 4));
            a = next;
            let rest = l_sub(i32::MAX, l_abs(k_split.times(k_split)));
            alpha_long = alpha.times(Split::of(rest));
            let norm = norm_l(alpha_long);
            alpha_long = l_shl(alpha_long, norm);
            alpha = Split::of(alpha_long);
            alpha_exponent += norm;
        }
        let mut out = [4_096; 11];
        for i in 1..11 {
            out[i] = round(l_shl(a[i].join(), 1));
        }
        self.a = out;
        self.reflection = [reflection[0], reflection[1]];
        Prediction { a: out, reflection: self.reflection, error: Some(shr(alpha.high, alpha_exponent)) }
    }
}
