//! The arithmetic of GSM 06.10 §5.1: 16-bit fractions, saturating, products rounded or truncated.

/// `mult_r`.
#[inline]
pub(super) fn product_rounded(one: i16, other: i16) -> i16 {
    let product = (i32::from(one) * i32::from(other) + 16_384) >> 15;
    product.min(i32::from(i16::MAX)) as i16
}

/// `mult`.
#[inline]
pub(super) fn product(one: i16, other: i16) -> i16 {
    let product = (i32::from(one) * i32::from(other)) >> 15;
    product.min(i32::from(i16::MAX)) as i16
}

/// `div`: the fraction of two numbers of which the first is not larger.
pub(super) fn quotient(numerator: i16, denominator: i16) -> i16 {
    let (mut rest, mut quotient) = (i32::from(numerator), 0);
    for _ in 0..15 {
        rest <<= 1;
        quotient <<= 1;
        if rest >= i32::from(denominator) && rest != 0 {
            rest -= i32::from(denominator);
            quotient |= 1;
        }
    }
    quotient
}

/// `norm`: by how many bits a number can be shifted left before its sign changes.
#[inline]
pub(super) fn headroom(value: i32) -> u32 {
    let magnitude = if value < 0 { !value } else { value };
    magnitude.leading_zeros().saturating_sub(1)
}

/// `abs`, saturating.
#[inline]
pub(super) fn magnitude(value: i16) -> i16 {
    value.saturating_abs()
}
