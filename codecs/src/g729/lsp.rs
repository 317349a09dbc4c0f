//! Line spectral pairs: from prediction filters and back, to and from frequencies, interpolation (§3.2.3, §3.2.5, §3.2.6).

use super::{basic_operators::*, filter::Lpc, tables::*};

/// Ten line spectral pairs (cosines, Q15) or frequencies (Q13).
pub(super) type Pairs = [i16; 10];

/// A → LSP. `None` when not all ten roots are found.
pub(super) fn from_lpc(a: &Lpc) -> Option<Pairs> {
    // Q11 first; if a sum saturates there, Q10.
    let (polynomials, one) = match sum_and_difference(a, 2_048, 16_384) {
        (polynomials, false) => (polynomials, true),
        _ => (sum_and_difference(a, 1_024, 8_192).0, false),
    };
    let mut roots = [0; 10];
    let mut found = 0;
    let mut which = 0;
    let mut x_low = ROOT_GRID[0];
    let mut y_low = chebyshev(x_low, &polynomials[which], one);
    for &next in &ROOT_GRID[1..] {
        let (mut x_high, mut y_high) = (x_low, y_low);
        x_low = next;
        y_low = chebyshev(x_low, &polynomials[which], one);
        if l_mult(y_low, y_high) > 0 {
            continue;
        }
        for _ in 0..2 {
            let x_middle = add(shr(x_low, 1), shr(x_high, 1));
            let y_middle = chebyshev(x_middle, &polynomials[which], one);
            if l_mult(y_low, y_middle) <= 0 {
                (x_high, y_high) = (x_middle, y_middle);
            } else {
                (x_low, y_low) = (x_middle, y_middle);
            }
        }
        x_low = interpolate_root(x_low, y_low, x_high, y_high);
        roots[found] = x_low;
        found += 1;
        if found == 10 {
            return Some(roots);
        }
        which ^= 1;
        y_low = chebyshev(x_low, &polynomials[which], one);
    }
    None
}

/// F1 and F2 from A, in Q11 or Q10 as `first` says, and whether anything saturated.
fn sum_and_difference(a: &Lpc, first: i16, factor: i16) -> ([[i16; 6]; 2], bool) {
    let mut f = [[first, 0, 0, 0, 0, 0]; 2];
    let mut saturated = false;
    for i in 0..5 {
        let (one, two) = (l_mult(a[i + 1], factor), l_mult(a[10 - i], factor));
        saturated |= one.checked_add(two).is_none() || one.checked_sub(two).is_none();
        let (sum, difference) = (extract_h(l_add(one, two)), extract_h(l_sub(one, two)));
        saturated |= sum.checked_sub(f[0][i]).is_none() || difference.checked_add(f[1][i]).is_none();
        f[0][i + 1] = sub(sum, f[0][i]);
        f[1][i + 1] = add(difference, f[1][i]);
    }
    (f, saturated)
}

/// A Chebyshev series at x (Q15); `q11` tells the series' format.
fn chebyshev(x: i16, f: &[i16; 6], q11: bool) -> i16 {
    let (start, double, shift) = if q11 { (256, 512, 6) } else { (128, 256, 7) };
    let mut b2 = Split::new(start, 0);
    let mut b1 = Split::of(l_mac(l_mult(x, double), f[1], 4_096));
    for &f in &f[2..5] {
        let mut t = l_shl(b1.times_16(x), 1);
        t = l_mac(t, b2.high, -32_768);
        t = l_msu(t, b2.low, 1);
        t = l_mac(t, f, 4_096);
        b2 = b1;
        b1 = Split::of(t);
    }
    let mut t = b1.times_16(x);
    t = l_mac(t, b2.high, -32_768);
    t = l_msu(t, b2.low, 1);
    t = l_mac(t, f[5], 2_048);
    extract_h(l_shl(t, shift))
}

/// Where the line through both points crosses zero.
fn interpolate_root(x_low: i16, y_low: i16, x_high: i16, y_high: i16) -> i16 {
    let x = sub(x_high, x_low);
    let y = sub(y_high, y_low);
    if y == 0 {
        return x_low;
    }
    let size = abs_s(y);
    let exponent = norm_s(size);
    let quotient = div_s(16_383, shl(size, exponent));
    let mut slope = extract_l(l_shr(l_mult(x, quotient), 20 - exponent));
    if y < 0 {
        slope = negate(slope);
    }
    sub(x_low, extract_l(l_shr(l_mult(y_low, slope), 11)))
}

/// LSP → A.
pub(super) fn to_lpc(lsp: &Pairs) -> Lpc {
    let mut f1 = product(lsp, 0);
    let mut f2 = product(lsp, 1);
    for i in (1..6).rev() {
        f1[i] = l_add(f1[i], f1[i - 1]);
        f2[i] = l_sub(f2[i], f2[i - 1]);
    }
    let mut a = [4_096; 11];
    for i in 1..6 {
        a[i] = extract_l(l_shr_r(l_add(f1[i], f2[i]), 13));
        a[11 - i] = extract_l(l_shr_r(l_sub(f1[i], f2[i]), 13));
    }
    a
}

/// The polynomial whose roots are every second pair, from `first` on (Q24).
fn product(lsp: &Pairs, first: usize) -> [i32; 6] {
    let mut f = [0i32; 6];
    f[0] = 1 << 24;
    f[1] = l_msu(0, lsp[first], 512);
    for i in 2..6 {
        let pair = lsp[first + 2 * (i - 1)];
        f[i] = f[i - 2];
        for k in (2..=i).rev() {
            let t = l_shl(Split::of(f[k - 1]).times_16(pair), 1);
            f[k] = l_sub(l_add(f[k], f[k - 2]), t);
        }
        f[1] = l_msu(f[1], pair, 512);
    }
    f
}

/// The filters of both subframes: the first lies half way between the old pairs and the new.
pub(super) fn interpolate(old: &Pairs, new: &Pairs) -> [Lpc; 2] {
    let mut middle = [0; 10];
    for i in 0..10 {
        middle[i] = add(shr(new[i], 1), shr(old[i], 1));
    }
    [to_lpc(&middle), to_lpc(new)]
}

/// LSP (Q15) → LSF (Q13).
pub(super) fn to_frequencies(lsp: &Pairs) -> Pairs {
    let mut lsf = [0; 10];
    let mut index = 63;
    for i in (0..10).rev() {
        while index > 0 && COSINE[index] < lsp[i] {
            index -= 1;
        }
        let slope = l_mult(sub(lsp[i], COSINE[index]), ARC_COSINE_SLOPE[index]);
        let frequency = add((index as i16) << 9, extract_l(l_shr(slope, 12)));
        lsf[i] = mult(frequency, 25_736);
    }
    lsf
}

/// LSF (Q13) → LSP (Q15).
pub(super) fn from_frequencies(lsf: &Pairs) -> Pairs {
    lsf.map(|lsf| {
        let frequency = mult(lsf, 20_861);
        let index = (frequency >> 8).clamp(0, 63) as usize;
        let offset = frequency & 255;
        add(COSINE[index], extract_l(l_shr(l_mult(COSINE_SLOPE[index], offset), 13)))
    })
}

/// LSP (Q15) → normalised frequencies (Q15), as the voice detector reads them.
pub(super) fn to_normalised_frequencies(lsp: &Pairs) -> Pairs {
    let mut lsf = [0; 10];
    let mut index = 63;
    for i in (0..10).rev() {
        while index > 0 && COSINE_65[index] < lsp[i] {
            index -= 1;
        }
        let t = round(l_shl(l_mult(sub(lsp[i], COSINE_65[index]), ARC_COSINE_SLOPE_65[index]), 3));
        lsf[i] = add(t, (index as i16) << 8);
    }
    lsf
}
