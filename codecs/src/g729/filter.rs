//! The linear-prediction filters, and the high-pass filters at both ends of the codec (§3.1, §4.2.5).

use super::basic_operators::*;

/// A prediction filter: 4096 (1 in Q12) and ten coefficients.
pub(super) type Lpc = [i16; 11];
/// The samples of a subframe.
pub(super) const SUBFRAME: usize = 40;

/// Bandwidth expansion: A(z/γ), γ in Q15.
pub(super) fn expand(a: &Lpc, gamma: i16) -> Lpc {
    let mut out = *a;
    let mut factor = gamma;
    for coefficient in &mut out[1..] {
        *coefficient = round(l_mult(*coefficient, factor));
        factor = round(l_mult(factor, gamma));
    }
    out
}

/// The residual of A(z). `x` has ten samples of history before those that are filtered into `out`.
pub(super) fn residual(a: &Lpc, x: &[i16], out: &mut [i16]) {
    let limit = i32::MAX / 2 / weight(a);
    let plain = x.iter().all(|&x| i32::from(x).abs() <= limit);
    for (n, out) in out.iter_mut().enumerate() {
        let window = &x[n..n + 11];
        let sum = if plain {
            2 * window.iter().rev().zip(a).fold(0, |sum, (&x, &a)| sum + i32::from(x) * i32::from(a))
        } else {
            window.iter().rev().zip(a).fold(0, |sum, (&x, &a)| l_mac(sum, x, a))
        };
        *out = round(l_shl(sum, 3));
    }
}

/// The synthesis filter 1/A(z): `signal` in place, `memory` the last ten outputs before it (oldest first), left alone.
///
/// Returns whether anything saturated on the way.
pub(super) fn synthesis(a: &Lpc, signal: &mut [i16], memory: &[i16; 10]) -> bool {
    const LONGEST: usize = 80;
    let mut y = [0i16; 10 + LONGEST];
    y[..10].copy_from_slice(memory);
    let mut saturated = false;
    // While no sample is larger than this, no partial sum can leave 32 bits, in whatever order it is made.
    let limit = i32::MAX / 2 / weight(a);
    let small = |x: &i16| i32::from(*x).abs() <= limit;
    let mut plain = memory.iter().all(small) && signal.iter().all(small);
    // The newest output stays in a register: through memory it would come late.
    let mut newest = i32::from(memory[9]);
    for (n, sample) in signal.iter_mut().enumerate() {
        let past = &y[n..n + 10];
        let mut value = None;
        if plain {
            // The newest output is needed last, so that the sum of the others need not wait for it.
            let mut sum = i32::from(*sample) * i32::from(a[0]);
            for j in (2..11).rev() {
                sum -= i32::from(a[j]) * i32::from(past[10 - j]);
            }
            let sum = 2 * (sum - i32::from(a[1]) * newest);
            let fits = sum < (i32::MAX >> 3) - 0x1000 && sum > -(i32::MAX >> 3);
            value = fits.then(|| round(sum << 3));
        }
        let value = value.unwrap_or_else(|| slow_step(a, *sample, past, &mut saturated));
        plain &= small(&value);
        newest = i32::from(value);
        y[n + 10] = value;
        *sample = value;
    }
    saturated
}

/// Σ |a|: what the largest sample can grow to in one step.
fn weight(a: &Lpc) -> i32 {
    a.iter().map(|&a| i32::from(a).abs()).sum::<i32>().max(1)
}

/// One sample in the reference's order, watching for saturation.
#[cold]
fn slow_step(a: &Lpc, sample: i16, past: &[i16], saturated: &mut bool) -> i16 {
    let mut sum = l_mult(sample, a[0]);
    for j in 1..11 {
        let product = l_mult(a[j], past[10 - j]);
        *saturated |= sum.checked_sub(product).is_none();
        sum = sum.saturating_sub(product);
    }
    let shifted = l_shl(sum, 3);
    *saturated |= i64::from(sum) << 3 != i64::from(shifted) || shifted.checked_add(0x8000).is_none();
    round(shifted)
}

/// The last ten samples of a signal, as a filter's memory.
pub(super) fn memory_of(signal: &[i16]) -> [i16; 10] {
    let mut memory = [0; 10];
    memory.copy_from_slice(&signal[signal.len() - 10..]);
    memory
}

/// The impulse response of 1/A(z) over a subframe, Q12.
pub(super) fn impulse_response(a: &Lpc) -> [i16; SUBFRAME] {
    let mut h = [0; SUBFRAME];
    h[0] = 4_096;
    synthesis(a, &mut h, &[0; 10]);
    h
}

/// A second-order high-pass: at the input with halving (140 Hz), at the output with doubling (100 Hz).
#[derive(Debug, Clone, Default)]
pub(super) struct HighPass {
    y1: Split,
    y2: Split,
    x1: i16,
    x2: i16,
}

impl HighPass {
    /// Filters in place. `shift` is 3 at the input, 2 at the output (where the result is doubled).
    pub(super) fn run(&mut self, signal: &mut [i16], zeros: &[i16; 3], poles: &[i16; 3], shift: i16) {
        for sample in signal {
            let x0 = *sample;
            // While neither the input nor what was made of it is loud, nothing here can saturate.
            let quiet = |y: Split| i32::from(y.high).abs() < QUIET;
            let small = |x: i16| i32::from(x).abs() < QUIET;
            let sum = if quiet(self.y1) && quiet(self.y2) && small(x0) && small(self.x1) && small(self.x2) {
                let past = |y: Split, pole: i16| {
                    let (high, low, pole) = (i32::from(y.high), i32::from(y.low), i32::from(pole));
                    2 * (high * pole + ((low * pole) >> 15))
                };
                let new = |x: i16, zero: i16| i32::from(x) * i32::from(zero);
                past(self.y2, poles[2])
                    + 2 * (new(x0, zeros[0]) + new(self.x1, zeros[1]) + new(self.x2, zeros[2]))
                    + past(self.y1, poles[1])
            } else {
                let mut sum = l_add(self.y1.times_16(poles[1]), self.y2.times_16(poles[2]));
                sum = l_mac(sum, x0, zeros[0]);
                sum = l_mac(sum, self.x1, zeros[1]);
                l_mac(sum, self.x2, zeros[2])
            };
            let sum = l_shl(sum, shift);
            *sample = round(if shift == 2 { l_shl(sum, 1) } else { sum });
            self.y2 = self.y1;
            self.y1 = Split::of(sum);
            self.x2 = self.x1;
            self.x1 = x0;
        }
    }
}

/// Five products of such a number with a coefficient below 2 in Q14, doubled, stay within 32 bits.
const QUIET: i32 = 1 << 12;
