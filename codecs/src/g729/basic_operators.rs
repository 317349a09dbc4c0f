//! The basic operators of ITU-T fixed-point codecs (G.191), as plain functions over `i16` and `i32`.
//!
//! Names follow the Recommendation in Rust's spelling: `l_` works on 32 bits. Everything saturates unless it says
//! otherwise. The reference's global overflow flag is not here: the few places that consult it
//! say so in their result ([`energy`]).

use super::tables::{INVERSE_ROOT, LOGARITHM, POWER_OF_TWO};

#[inline(always)]
pub(super) fn sat16(x: i32) -> i16 {
    x.clamp(-32_768, 32_767) as i16
}

#[inline(always)]
pub(super) fn add(a: i16, b: i16) -> i16 {
    a.saturating_add(b)
}

#[inline(always)]
pub(super) fn sub(a: i16, b: i16) -> i16 {
    a.saturating_sub(b)
}

#[inline(always)]
pub(super) fn negate(a: i16) -> i16 {
    a.saturating_neg()
}

#[inline(always)]
pub(super) fn abs_s(a: i16) -> i16 {
    a.saturating_abs()
}

#[inline(always)]
pub(super) fn mult(a: i16, b: i16) -> i16 {
    sat16((i32::from(a) * i32::from(b)) >> 15)
}

#[inline(always)]
pub(super) fn mult_r(a: i16, b: i16) -> i16 {
    sat16((i32::from(a) * i32::from(b) + 0x4000) >> 15)
}

#[inline(always)]
pub(super) fn l_mult(a: i16, b: i16) -> i32 {
    let product = i32::from(a) * i32::from(b);
    product.saturating_add(product)
}

#[inline(always)]
pub(super) fn l_mac(sum: i32, a: i16, b: i16) -> i32 {
    sum.saturating_add(l_mult(a, b))
}

#[inline(always)]
pub(super) fn l_msu(sum: i32, a: i16, b: i16) -> i32 {
    sum.saturating_sub(l_mult(a, b))
}

#[inline(always)]
pub(super) fn l_add(a: i32, b: i32) -> i32 {
    a.saturating_add(b)
}

#[inline(always)]
pub(super) fn l_sub(a: i32, b: i32) -> i32 {
    a.saturating_sub(b)
}

#[inline(always)]
pub(super) fn l_negate(a: i32) -> i32 {
    a.saturating_neg()
}

#[inline(always)]
pub(super) fn l_abs(a: i32) -> i32 {
    a.saturating_abs()
}

/// The upper half of `x`, rounded.
#[inline(always)]
pub(super) fn round(x: i32) -> i16 {
    (x.saturating_add(0x8000) >> 16) as i16
}

#[inline(always)]
pub(super) fn extract_h(x: i32) -> i16 {
    (x >> 16) as i16
}

/// The lower half of `x`, whatever it means.
#[inline(always)]
pub(super) fn extract_l(x: i32) -> i16 {
    x as i16
}

#[inline(always)]
pub(super) fn deposit_h(x: i16) -> i32 {
    i32::from(x) << 16
}

#[inline(always)]
pub(super) fn shl(a: i16, n: i16) -> i16 {
    if n < 0 { shr(a, n.saturating_neg()) } else { sat16(l_shl(i32::from(a), n.min(16))) }
}

#[inline(always)]
pub(super) fn shr(a: i16, n: i16) -> i16 {
    if n < 0 { shl(a, n.saturating_neg()) } else { a >> n.min(15) }
}

#[inline(always)]
pub(super) fn l_shl(x: i32, n: i16) -> i32 {
    if n <= 0 {
        return if n == 0 { x } else { l_shr(x, n.saturating_neg()) };
    }
    if n > 31 {
        return match x {
            0 => 0,
            x if x < 0 => i32::MIN,
            _ => i32::MAX,
        };
    }
    (i64::from(x) << n).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

#[inline(always)]
pub(super) fn l_shr(x: i32, n: i16) -> i32 {
    if n < 0 { l_shl(x, n.saturating_neg()) } else { x >> n.min(31) }
}

/// `shr` with the last bit shifted out rounding the result.
#[inline(always)]
pub(super) fn shr_r(a: i16, n: i16) -> i16 {
    if n > 15 {
        return 0;
    }
    let shifted = shr(a, n);
    if n > 0 && a & (1 << (n - 1)) != 0 { shifted + 1 } else { shifted }
}

/// `l_shr` with the last bit shifted out rounding the result.
#[inline(always)]
pub(super) fn l_shr_r(x: i32, n: i16) -> i32 {
    if n > 31 {
        return 0;
    }
    let shifted = l_shr(x, n);
    if n > 0 && x & (1 << (n - 1)) != 0 { shifted + 1 } else { shifted }
}

/// How far `a` can be shifted left without losing its sign; 0 for 0.
#[inline(always)]
pub(super) fn norm_s(a: i16) -> i16 {
    match a {
        0 => 0,
        a => (if a < 0 { !a } else { a }).leading_zeros() as i16 - 1,
    }
}

/// How far `x` can be shifted left without losing its sign; 0 for 0.
#[inline(always)]
pub(super) fn norm_l(x: i32) -> i16 {
    match x {
        0 => 0,
        x => (if x < 0 { !x } else { x }).leading_zeros() as i16 - 1,
    }
}

/// `numerator / denominator` in Q15, truncated, for 0 ≤ numerator ≤ denominator.
///
/// Beyond that the Recommendation leaves the result open; here it is the largest fraction.
pub(super) fn div_s(numerator: i16, denominator: i16) -> i16 {
    if numerator >= denominator || denominator <= 0 {
        return 32_767;
    }
    ((i32::from(numerator) << 15) / i32::from(denominator)) as i16
}

/// A 32-bit number as the reference keeps it for 16-bit multipliers: an upper half and 15 lower bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) high: i16,
    pub(super) low: i16,
}

impl Split {
    pub(super) const fn new(high: i16, low: i16) -> Self {
        Self { high, low }
    }

    #[inline(always)]
    pub(super) fn of(x: i32) -> Self {
        Self { high: (x >> 16) as i16, low: ((x >> 1) & 0x7fff) as i16 }
    }

    /// The number again, without its last bit.
    #[inline(always)]
    pub(super) fn join(self) -> i32 {
        l_mac(deposit_h(self.high), self.low, 1)
    }

    /// Product with another split number.
    #[inline(always)]
    pub(super) fn times(self, other: Self) -> i32 {
        let product = l_mult(self.high, other.high);
        let product = l_mac(product, mult(self.high, other.low), 1);
        l_mac(product, mult(self.low, other.high), 1)
    }

    /// Product with a 16-bit number.
    #[inline(always)]
    pub(super) fn times_16(self, other: i16) -> i32 {
        l_mac(l_mult(self.high, other), mult(self.low, other), 1)
    }

    /// `numerator / self`, for a normalised `self` greater than `numerator`.
    pub(super) fn divides(self, numerator: i32) -> i32 {
        let approximation = div_s(0x3fff, self.high);
        let correction = l_sub(i32::MAX, self.times_16(approximation));
        let inverse = Self::of(correction).times_16(approximation);
        l_shl(Self::of(numerator).times(Self::of(inverse)), 2)
    }
}

/// Logarithm to base 2: exponent and fraction (Q15).
pub(super) fn log2(x: i32) -> (i16, i16) {
    if x <= 0 {
        return (0, 0);
    }
    let n = norm_l(x);
    let x = x << n;
    let index = ((x >> 25) - 32) as usize;
    let step = ((x >> 10) & 0x7fff) as i16;
    let y = l_msu(deposit_h(LOGARITHM[index]), sub(LOGARITHM[index], LOGARITHM[index + 1]), step);
    (30 - n, extract_h(y))
}

/// 2 to the power of `exponent` and `fraction` (Q15).
pub(super) fn pow2(exponent: i16, fraction: i16) -> i32 {
    let x = i32::from(fraction) << 5;
    let index = ((x >> 15) & 31) as usize;
    let step = (x & 0x7fff) as i16;
    let y = l_msu(deposit_h(POWER_OF_TWO[index]), sub(POWER_OF_TWO[index], POWER_OF_TWO[index + 1]), step);
    l_shr_r(y, sub(30, exponent))
}

/// 1 / √x in Q30.
pub(super) fn inverse_sqrt(x: i32) -> i32 {
    if x <= 0 {
        return 0x3fff_ffff;
    }
    let n = norm_l(x);
    let mut x = x << n;
    let exponent = 30 - n;
    if exponent & 1 == 0 {
        x >>= 1;
    }
    let exponent = (exponent >> 1) + 1;
    let index = ((x >> 25) - 16) as usize;
    let step = ((x >> 10) & 0x7fff) as i16;
    let y = l_msu(deposit_h(INVERSE_ROOT[index]), sub(INVERSE_ROOT[index], INVERSE_ROOT[index + 1]), step);
    l_shr(y, exponent)
}

/// Σ a·b on top of `start`, saturating at every step in the order of the reference.
#[inline(always)]
pub(super) fn dot(start: i32, a: &[i16], b: &[i16]) -> i32 {
    // When no partial sum can leave 32 bits, the order does not matter and the sum is a plain one.
    let (mut total, mut reach) = (i64::from(start), i64::from(start).abs());
    for (&a, &b) in a.iter().zip(b) {
        let product = i64::from(i32::from(a) * i32::from(b)) * 2;
        total += product;
        reach += product.abs();
    }
    if reach <= i64::from(i32::MAX) { total as i32 } else { dot_in_order(start, a, b) }
}

/// The obvious form of [`dot`].
#[cold]
pub(super) fn dot_in_order(start: i32, a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).fold(start, |sum, (&a, &b)| l_mac(sum, a, b))
}

/// Σ 2a², exact: what bounds the sums that `a` takes part in.
#[inline(always)]
pub(super) fn exact_energy(a: &[i16]) -> u64 {
    a.chunks(2)
        .map(|pair| pair.iter().map(|&a| i32::from(a).unsigned_abs().pow(2)).sum::<u32>())
        .map(u64::from)
        .sum::<u64>()
        * 2
}

/// Whether sums of products of two vectors with these energies ([`exact_energy`]), and all their partial sums, stay within
/// 32 bits: by the inequality of Cauchy and Schwarz they are at most the root of the product.
#[inline(always)]
pub(super) fn sums_fit(one: u64, two: u64) -> bool {
    one.checked_mul(two).is_some_and(|product| product < 1 << 62)
}

/// [`dot`] from 0 for vectors of which [`sums_fit`] has said that order does not matter.
#[inline(always)]
pub(super) fn dot_plain(a: &[i16], b: &[i16]) -> i32 {
    let sum = a.iter().zip(b).fold(0i32, |sum, (&a, &b)| sum.wrapping_add(i32::from(a) * i32::from(b)));
    sum.wrapping_mul(2)
}

/// Σ a² on top of `start`; `None` when it saturates.
#[inline(always)]
pub(super) fn energy(start: i32, a: &[i16]) -> Option<i32> {
    let total = a.iter().fold(i64::from(start), |sum, &a| sum + 2 * i64::from(i32::from(a) * i32::from(a)));
    i32::try_from(total).ok()
}

/// Σ a² on top of `start`, saturating.
#[inline(always)]
pub(super) fn energy_saturating(start: i32, a: &[i16]) -> i32 {
    energy(start, a).unwrap_or(i32::MAX)
}

/// The next number of the reference's generator; `seed` becomes it.
#[inline(always)]
pub(super) fn random(seed: &mut i16) -> i16 {
    *seed = i32::from(*seed).wrapping_mul(31_821).wrapping_add(13_849) as i16;
    *seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturation_is_where_the_recommendation_says() {
        assert_eq!(mult(-32_768, -32_768), 32_767);
        assert_eq!(l_mult(-32_768, -32_768), i32::MAX);
        assert_eq!(negate(-32_768), 32_767);
        assert_eq!(shl(1, 15), 32_767);
        assert_eq!(shl(-1, 15), -32_768);
        assert_eq!(shr(-1, 20), -1);
        assert_eq!(l_shl(1, 31), i32::MAX);
        assert_eq!(round(i32::MAX), 32_767);
        assert_eq!((norm_s(-1), norm_l(-1), norm_s(0), norm_l(1)), (15, 31, 0, 30));
        assert_eq!((div_s(1, 2), div_s(5, 5)), (16_384, 32_767));
    }

    #[test]
    fn a_sum_that_would_leave_32_bits_on_its_way_keeps_the_reference_order() {
        let a = [32_767, 32_767, -32_768];
        let slow = a.iter().fold(0, |sum, &x| l_mac(sum, x, 32_767));
        assert_eq!(dot(0, &a, &[32_767; 3]), slow);
    }
}
