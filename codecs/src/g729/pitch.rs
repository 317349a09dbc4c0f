//! The adaptive codebook: open-loop lag (Annex A), closed-loop lag with thirds of a sample, its gain (§3.4, §3.7).

use crate::arch::convolution::convolve;

use super::{
    basic_operators::*,
    filter::SUBFRAME,
    tables::{INTERPOLATION_THIRD, TAMING_ZONE},
};

/// Shortest and longest lag, in samples.
pub(super) const SHORTEST: i16 = 20;
pub(super) const LONGEST: i16 = 143;
/// Samples of excitation kept before the frame: the longest lag and the interpolation filter's reach.
pub(super) const HISTORY: usize = LONGEST as usize + 11;

/// A lag: whole samples and thirds (−1, 0, 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lag {
    pub(super) whole: i16,
    pub(super) third: i16,
}

/// The range searched around the open-loop lag, or around the first subframe's.
pub(super) fn first_range(open_loop: i16) -> (i16, i16) {
    let low = (open_loop - 3).max(SHORTEST);
    if low + 6 > LONGEST { (LONGEST - 6, LONGEST) } else { (low, low + 6) }
}

/// The range of the second subframe.
pub(super) fn second_range(first: i16) -> (i16, i16) {
    let low = (first - 5).max(SHORTEST);
    if low + 9 > LONGEST { (LONGEST - 9, LONGEST) } else { (low, low + 9) }
}

/// The open-loop lag over 80 samples of weighted speech, which have 143 of history before them.
pub(super) fn open_loop(weighted: &[i16; LONGEST as usize + 80]) -> i16 {
    let sum =
        weighted.iter().step_by(2).fold(0i64, |sum, &x| sum + 2 * i64::from(i32::from(x) * i32::from(x)));
    let mut scaled = *weighted;
    if sum > i64::from(i32::MAX) {
        scaled.iter_mut().for_each(|x| *x >>= 3);
    } else if sum < 1 << 20 {
        scaled.iter_mut().for_each(|x| *x = shl(*x, 3));
    }
    // Only every second sample counts, so the signal is laid out as its even and its odd half.
    let (mut even, mut odd) = ([0; 112], [0; 112]);
    for (pair, (even, odd)) in scaled.chunks(2).zip(even.iter_mut().zip(&mut odd)) {
        *even = pair[0];
        *odd = pair.get(1).copied().unwrap_or(0);
    }
    // The present begins at an odd place: LONGEST is odd.
    let now = &odd[LONGEST as usize / 2..LONGEST as usize / 2 + 40];
    let delayed = |lag: i16| {
        let at = (LONGEST - lag) as usize;
        if at.is_multiple_of(2) { &even[at / 2..at / 2 + 40] } else { &odd[at / 2..at / 2 + 40] }
    };
    let plain = {
        let (even, odd) = (exact_energy(&even), exact_energy(&odd));
        sums_fit(odd, even) && sums_fit(odd, odd)
    };
    let correlation =
        |lag: i16| if plain { dot_plain(now, delayed(lag)) } else { dot_in_order(0, now, delayed(lag)) };
    let best = |lags: &mut dyn Iterator<Item = i16>, start: (i32, i16)| {
        lags.fold(start, |(most, at), lag| {
            let value = correlation(lag);
            if value > most { (value, lag) } else { (most, at) }
        })
    };
    let normalised = |(most, lag): (i32, i16)| {
        let energy = energy_saturating(1, delayed(lag));
        let value = extract_l(Split::of(most).times(Split::of(inverse_sqrt(energy))));
        (value, lag)
    };
    let one = best(&mut (20..40), (i32::MIN, 20));
    let two = best(&mut (40..80), (i32::MIN, 40));
    let three = best(&mut (80..143).step_by(2), (i32::MIN, 80));
    let around = three.1;
    let three = best(&mut [around + 1, around - 1].into_iter(), three);

    let (mut max1, t1) = normalised(one);
    let (mut max2, t2) = normalised(two);
    let (max3, t3) = normalised(three);
    // Short lags are favoured where a longer one is their multiple.
    let mut i = sub(shl(t2, 1), t3);
    if abs_s(i) < 5 {
        max2 = add(max2, shr(max3, 2));
    }
    i = add(i, t2);
    if abs_s(i) < 7 {
        max2 = add(max2, shr(max3, 2));
    }
    i = sub(shl(t1, 1), t2);
    if abs_s(i) < 5 {
        max1 = add(max1, mult(max2, 6_554));
    }
    i = add(i, t1);
    if abs_s(i) < 7 {
        max1 = add(max1, mult(max2, 6_554));
    }
    let mut lag = t1;
    if max1 < max2 {
        (max1, lag) = (max2, t2);
    }
    if max1 < max3 { t3 } else { lag }
}

/// The target filtered backwards through `h`, scaled so that 13 bits remain.
pub(super) fn backward_filtered(target: &[i16; SUBFRAME], h: &[i16; SUBFRAME]) -> [i16; SUBFRAME] {
    let mut long = [0i32; SUBFRAME];
    if sums_fit(exact_energy(target), exact_energy(h)) {
        // In whatever order: beyond the target's end there is nothing.
        convolve(target, h, &mut long);
        long.iter_mut().for_each(|sum| *sum = sum.wrapping_mul(2));
    } else {
        for (i, value) in long.iter_mut().enumerate() {
            *value = dot_in_order(0, &target[i..], &h[..SUBFRAME - i]);
        }
    }
    let largest = long.iter().fold(0, |largest, &value| largest.max(l_abs(value)));
    let shift = 18 - norm_l(largest).min(16);
    long.map(|value| extract_l(l_shr(value, shift)))
}

/// The adaptive-codebook vector at `lag`, written at `excitation[at..at + 40]` from what lies before it.
///
/// Lags below 40 read what is being written, as the reference does.
pub(super) fn predict(excitation: &mut [i16], at: usize, lag: Lag) {
    let mut start = at - lag.whole as usize;
    let mut fraction = negate(lag.third);
    if fraction < 0 {
        fraction += 3;
        start -= 1;
    }
    let filter = &INTERPOLATION[fraction as usize];
    let limit = PREDICTED_PLAINLY[fraction as usize];
    // The largest of all, so that there is no early way out and the loop can be made wide.
    let largest = |samples: &[i16]| samples.iter().fold(0, |most, x| x.unsigned_abs().max(most));
    let mut plain = largest(&excitation[start - 9..at.min(start + SUBFRAME + 10)]) <= limit;
    // As many samples at a time as read nothing that they write.
    let apart = at - start - 10;
    let mut done = 0;
    while plain && done < SUBFRAME {
        let count = apart.min(SUBFRAME - done);
        let mut sums = [0i32; SUBFRAME];
        let from = start + done - 9;
        convolve(&excitation[from..from + count + 19], filter, &mut sums[..count]);
        let made = &mut excitation[at + done..at + done + count];
        for (out, sum) in made.iter_mut().zip(sums) {
            *out = ((2 * sum + 0x8000) >> 16) as i16;
        }
        plain = largest(made) <= limit;
        done += count;
    }
    for n in done..SUBFRAME {
        let window = &excitation[start + n - 9..start + n + 11];
        let sum = (0..10).fold(0, |sum, i| {
            let sum = l_mac(sum, window[9 - i], filter[9 - i]);
            l_mac(sum, window[10 + i], filter[10 + i])
        });
        excitation[at + n] = round(sum);
    }
}

/// The interpolation filters in the order of the samples they meet: ten up to the lag, ten after it, by third.
static INTERPOLATION: [[i16; 20]; 3] = {
    let mut filters = [[0; 20]; 3];
    let mut fraction = 0;
    while fraction < 3 {
        let mut i = 0;
        while i < 10 {
            filters[fraction][9 - i] = INTERPOLATION_THIRD[fraction + 3 * i];
            filters[fraction][10 + i] = INTERPOLATION_THIRD[3 - fraction + 3 * i];
            i += 1;
        }
        fraction += 1;
    }
    filters
};

/// The largest sample for which no partial sum of a filter can leave 32 bits (the rounding included), by third.
static PREDICTED_PLAINLY: [u16; 3] = {
    let mut limits = [0; 3];
    let mut fraction = 0;
    while fraction < 3 {
        let (mut sum, mut i) = (0, 0);
        while i < 20 {
            sum += (INTERPOLATION[fraction][i] as i32).abs();
            i += 1;
        }
        let limit = (i32::MAX - 0x8000) / 2 / sum;
        limits[fraction] = if limit > 0x8000 { 0x8000 } else { limit as u16 };
        fraction += 1;
    }
    limits
};

/// Finds the lag and leaves its vector in the excitation. `thirds_above` is the lag above which only whole ones are tried.
pub(super) fn closed_loop(
    excitation: &mut [i16],
    at: usize,
    target: &[i16; SUBFRAME],
    h: &[i16; SUBFRAME],
    (low, high): (i16, i16),
    first_subframe: bool,
) -> Lag {
    let filtered = backward_filtered(target, h);
    let (mut most, mut whole) = (i32::MIN, low);
    let reach = exact_energy(&excitation[at - high as usize..at - low as usize + SUBFRAME]);
    let plain = sums_fit(exact_energy(&filtered), reach);
    let mut sums = [0; 10];
    let sums = &mut sums[..=(high - low) as usize];
    if plain {
        convolve(&excitation[at - high as usize..at - low as usize + SUBFRAME], &filtered, sums);
    }
    for (lag, sum) in (low..=high).zip(sums.iter().rev()) {
        let from = at - lag as usize;
        let value =
            if plain { 2 * sum } else { dot_in_order(0, &filtered, &excitation[from..from + SUBFRAME]) };
        if value > most {
            (most, whole) = (value, lag);
        }
    }
    predict(excitation, at, Lag { whole, third: 0 });
    if first_subframe && whole > 84 {
        return Lag { whole, third: 0 };
    }
    let mut third = 0;
    most = dot(0, &filtered, &excitation[at..at + SUBFRAME]);
    let mut best = [0; SUBFRAME];
    best.copy_from_slice(&excitation[at..at + SUBFRAME]);
    for candidate in [-1, 1] {
        predict(excitation, at, Lag { whole, third: candidate });
        let value = dot(0, &filtered, &excitation[at..at + SUBFRAME]);
        if value > most {
            (most, third) = (value, candidate);
            best.copy_from_slice(&excitation[at..at + SUBFRAME]);
        }
    }
    excitation[at..at + SUBFRAME].copy_from_slice(&best);
    Lag { whole, third }
}

/// The transmitted index of the first subframe's lag.
pub(super) fn encode_first(lag: Lag) -> i16 {
    if lag.whole <= 85 { 3 * lag.whole - 58 + lag.third } else { lag.whole + 112 }
}

/// The transmitted index of the second subframe's lag.
pub(super) fn encode_second(lag: Lag, low: i16) -> i16 {
    3 * (lag.whole - low) + 2 + lag.third
}

/// The lag of a received index of the first subframe.
pub(super) fn decode_first(index: i16) -> Lag {
    if index < 197 {
        let whole = mult(index + 2, 10_923) + 19;
        Lag { whole, third: index - 3 * whole + 58 }
    } else {
        Lag { whole: index - 112, third: 0 }
    }
}

/// The lag of a received index of the second subframe.
pub(super) fn decode_second(index: i16, first: i16) -> Lag {
    let (low, _) = second_range(first);
    let i = mult(index + 2, 10_923) - 1;
    Lag { whole: i + low, third: index - 2 - 3 * i }
}

/// The parity bit over the six most significant bits of the first lag's index.
pub(super) fn parity(index: i16) -> i16 {
    ((1 + (index >> 2 & 0x3f).count_ones()) & 1) as i16
}

/// The adaptive gain (Q14) and the correlations that the gain quantiser needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gain {
    pub(super) gain: i16,
    /// <y1,y1>: mantissa and 15 less its exponent.
    pub(super) yy: (i16, i16),
    /// <xn,y1>: the same.
    pub(super) xy: (i16, i16),
}

/// The gain that fits the filtered adaptive vector `y1` to the target.
pub(super) fn gain(target: &[i16; SUBFRAME], y1: &[i16; SUBFRAME]) -> Gain {
    let scaled = y1.map(|y| y >> 2);
    let (sum, less) = match energy(1, y1) {
        Some(sum) => (sum, 0),
        None => (energy_saturating(1, &scaled), 4),
    };
    let norm = norm_l(sum);
    let (yy, yy_exponent) = (round(l_shl(sum, norm)), norm - less);
    let plain = target.iter().zip(y1).try_fold(0i32, |sum, (&x, &y)| sum.checked_add(l_mult(x, y)));
    let (sum, less) = match plain {
        Some(sum) => (sum, 0),
        None => (dot(0, target, &scaled), 2),
    };
    let norm = norm_l(sum);
    let (xy, xy_exponent) = (round(l_shl(sum, norm)), norm - less);
    let mut out = Gain { gain: 0, yy: (yy, 15 - yy_exponent), xy: (xy, 15 - xy_exponent) };
    if xy <= 0 {
        out.xy.1 = -15;
    } else {
        out.gain = shr(div_s(shr(xy, 1), yy), xy_exponent - yy_exponent).min(19_661);
    }
    out
}

/// Taming: watches how far an error in the past excitation could have grown, so that a decoder that lost frames recovers.
#[derive(Debug, Clone)]
pub(super) struct Taming([i32; 4]);

impl Taming {
    pub(super) fn new() -> Self {
        Self([0x4000; 4])
    }

    /// Whether the gain at this lag must be kept small.
    pub(super) fn needed(&self, lag: Lag) -> bool {
        let reach = lag.whole + i16::from(lag.third > 0);
        let from = TAMING_ZONE[(reach - 50).max(0) as usize];
        let to = TAMING_ZONE[(reach + 8) as usize];
        self.0[from..=to].iter().copied().fold(-1, i32::max) > 983_040_000
    }

    /// An excitation was made with this gain (Q14) and lag.
    pub(super) fn update(&mut self, gain: i16, lag: i16) {
        let grown = |error: i32| l_add(0x4000, l_shl(Split::of(error).times_16(gain), 1));
        let mut worst = -1;
        if lag < 40 {
            let once = grown(self.0[0]);
            let twice = grown(once);
            worst = worst.max(once).max(twice);
        } else {
            let from = TAMING_ZONE[(lag - 40) as usize];
            let to = TAMING_ZONE[(lag - 1) as usize];
            for &error in &self.0[from..=to] {
                worst = worst.max(grown(error));
            }
        }
        self.0.rotate_right(1);
        self.0[0] = worst;
    }
}
