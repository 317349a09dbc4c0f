//! 128 bits, nothing but SSE2: what every x86-64 has, and so the kernel of builds without `std`.

use core::arch::x86_64::{
    __m128i as Vector, _mm_add_epi16 as add_epi16, _mm_add_epi32 as add_epi32, _mm_adds_epi16 as adds_epi16,
    _mm_and_si128 as and, _mm_castps_si128 as castps, _mm_castsi128_ps as castsi,
    _mm_cmplt_epi16 as cmplt_epi16, _mm_cvtepi32_ps as cvtepi32_ps, _mm_cvttps_epi32 as cvttps_epi32,
    _mm_loadu_si128 as loadu, _mm_madd_epi16 as madd_epi16, _mm_max_epi16 as max_epi16,
    _mm_min_epi16 as min_epi16, _mm_packs_epi16 as packs_epi16, _mm_packs_epi32 as packs_epi32,
    _mm_packus_epi16 as packus_epi16, _mm_set1_epi8 as set1_epi8, _mm_set1_epi16 as set1_epi16,
    _mm_set1_epi32 as set1_epi32, _mm_setzero_si128 as setzero, _mm_slli_epi16 as slli_epi16,
    _mm_slli_epi32 as slli_epi32, _mm_srai_epi16 as srai_epi16, _mm_srai_epi32 as srai_epi32,
    _mm_srli_epi16 as srli_epi16, _mm_srli_epi32 as srli_epi32, _mm_storeu_si128 as storeu,
    _mm_sub_epi16 as sub_epi16, _mm_unpackhi_epi8 as unpackhi_epi8, _mm_unpackhi_epi16 as unpackhi_epi16,
    _mm_unpacklo_epi8 as unpacklo_epi8, _mm_unpacklo_epi16 as unpacklo_epi16, _mm_xor_si128 as xor,
};

use super::loops::LONG;
use super::{INVERSION, MU_LAW_BIAS, SINGLE_BIAS};
use crate::kernel::{Kernel, LawKernel, Sums};

const BLOCK: usize = 16;

g711_lanes!("sse2");
g711_few_by_copy!("sse2");
g711_pack_encode!("sse2");
g711_single_precision_encode!("sse2");
g711_transcode_in_registers!("sse2");
g711_kernel!("sse2", "sse2", pub(super) const KERNEL);

/// One vector has one lane: all is in order.
#[inline]
#[target_feature(enable = "sse2")]
fn gather(codes: Codes) -> Codes {
    codes
}

#[inline]
#[target_feature(enable = "sse2")]
fn decode<const A_LAW: bool>(codes: Codes) -> Samples {
    let codes = xor(codes, set1_epi8(INVERSION[A_LAW as usize].cast_signed()));
    // In the upper byte, so that the sign is the word's.
    let low = unpacklo_epi8(setzero(), codes);
    let high = unpackhi_epi8(setzero(), codes);
    (decode_words::<A_LAW>(low), decode_words::<A_LAW>(high))
}

/// The encoder backwards: a code with another half step, as a float's exponent and mantissa, is a magnitude.
#[inline]
#[target_feature(enable = "sse2")]
fn decode_words<const A_LAW: bool>(words: Vector) -> Vector {
    let signs = srai_epi16::<15>(words);
    let codes = srli_epi16::<8>(and(words, set1_epi16(0x7fff)));
    // A-law's lowest segment is the next one less 32 half steps.
    let (codes, offset) = if A_LAW {
        let lowest = cmplt_epi16(codes, set1_epi16(16));
        (add_epi16(codes, and(lowest, set1_epi16(16))), and(lowest, set1_epi16(32)))
    } else {
        (codes, set1_epi16(33))
    };
    let half_step = set1_epi32(1 << 18);
    let exponent = set1_epi32(if A_LAW { 131 << 23 } else { 132 << 23 });
    let low = add_epi32(add_epi32(slli_epi32::<19>(unpacklo_epi16(codes, setzero())), half_step), exponent);
    let high = add_epi32(add_epi32(slli_epi32::<19>(unpackhi_epi16(codes, setzero())), half_step), exponent);
    let magnitudes = packs_epi32(cvttps_epi32(castsi(low)), cvttps_epi32(castsi(high)));
    let magnitudes = sub_epi16(magnitudes, offset);
    let magnitudes = if A_LAW { slli_epi16::<3>(magnitudes) } else { slli_epi16::<2>(magnitudes) };
    sub_epi16(xor(magnitudes, signs), signs)
}
