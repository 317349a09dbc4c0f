//! Sums of products at every offset, for the searches of G.729: the loop [`plain`], and on x86-64 the same with SSE2, which
//! every such processor has. Sums wrap; who asks has made sure that none does.
#![cfg_attr(target_arch = "x86_64", allow(unsafe_code))]

/// `out[i]` = Σ `taps[k] * x[i + k]`. What of `x` is beyond its end counts as 0.
pub(crate) fn convolve(x: &[i16], taps: &[i16], out: &mut [i32]) {
    #[cfg(target_arch = "x86_64")]
    if taps.len() <= MOST && out.len() <= MOST {
        // SAFETY: SSE2 is part of x86-64.
        return unsafe { sse2(x, taps, out) };
    }
    plain(x, taps, out);
}

/// One after the other: the truth.
fn plain(x: &[i16], taps: &[i16], out: &mut [i32]) {
    for (i, out) in out.iter_mut().enumerate() {
        let x = x.get(i..).unwrap_or_default();
        *out = x
            .iter()
            .zip(taps)
            .fold(0i32, |sum, (&x, &tap)| sum.wrapping_add(i32::from(x).wrapping_mul(i32::from(tap))));
    }
}

/// The most taps, and the most sums, that SSE2 is used for: a subframe.
#[cfg(target_arch = "x86_64")]
const MOST: usize = 40;

/// Eight sums at a time, two taps after the other two: `madd` is two products and their sum.
///
/// # Panics
/// With more than [`MOST`] taps or sums.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn sse2(x: &[i16], taps: &[i16], out: &mut [i32]) {
    use core::arch::x86_64::{
        _mm_add_epi32, _mm_loadu_si128, _mm_madd_epi16, _mm_set1_epi32, _mm_setzero_si128, _mm_storeu_si128,
        _mm_unpackhi_epi16, _mm_unpacklo_epi16,
    };

    // Room for the last eight sums' last taps and the sample after them, with zeros beyond the end.
    let mut room = [0i16; 2 * MOST + 8];
    let length = x.len().min(2 * MOST);
    room[..length].copy_from_slice(&x[..length]);
    let mut pairs = [_mm_setzero_si128(); MOST / 2];
    for (pair, taps) in pairs.iter_mut().zip(taps.chunks(2)) {
        let second = taps.get(1).copied().unwrap_or(0);
        *pair = _mm_set1_epi32(i32::from(second) << 16 | i32::from(taps[0]) & 0xffff);
    }
    assert!(taps.len() <= MOST && out.len() <= MOST, "a subframe at most");
    for (block, out) in out.chunks_mut(8).enumerate() {
        let (mut low, mut high) = (_mm_setzero_si128(), _mm_setzero_si128());
        // Beyond the end there are zeros, which add nothing.
        let count = taps.len().min(length.saturating_sub(8 * block)).div_ceil(2);
        let windows = room[8 * block..].as_ptr();
        for (pair, taps) in pairs[..count].iter().enumerate() {
            // SAFETY: the block begins at 32 at most, the pair is below 20: nine samples from 70 on, of 88. Loads need no
            // alignment.
            let (here, next) = unsafe {
                let window = windows.add(2 * pair);
                (_mm_loadu_si128(window.cast()), _mm_loadu_si128(window.add(1).cast()))
            };
            low = _mm_add_epi32(low, _mm_madd_epi16(_mm_unpacklo_epi16(here, next), *taps));
            high = _mm_add_epi32(high, _mm_madd_epi16(_mm_unpackhi_epi16(here, next), *taps));
        }
        let mut sums = [0i32; 8];
        // SAFETY: the sums are 32 bytes; stores need no alignment.
        unsafe {
            _mm_storeu_si128(sums.as_mut_ptr().cast(), low);
            _mm_storeu_si128(sums[4..].as_mut_ptr().cast(), high);
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    /// Every length and number of taps, with samples of every size; also those that wrap.
    #[test]
    fn sse2_is_the_plain_loop() {
        let mut state = 1u32;
        let mut sample = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match state >> 29 {
                0 => i16::MIN,
                1 => i16::MAX,
                _ => (state >> 13) as i16,
            }
        };
        for length in (0..90).step_by(3) {
            for count in 0..=42 {
                let x: Vec<i16> = (0..length).map(|_| sample()).collect();
                let taps: Vec<i16> = (0..count).map(|_| sample()).collect();
                for sums in [0, 1, 7, 8, 9, 40] {
                    let (mut ours, mut truth) = (vec![1; sums], vec![2; sums]);
                    super::convolve(&x, &taps, &mut ours);
                    super::plain(&x, &taps, &mut truth);
                    assert_eq!(ours, truth, "{length} samples, {count} taps");
                }
            }
        }
    }
}
