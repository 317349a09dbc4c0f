//! 128 bits with byte shuffles: SSSE3.

use core::arch::x86_64::{
    __m128i as Vector, _mm_add_epi32 as add_epi32, _mm_adds_epi16 as adds_epi16, _mm_and_si128 as and,
    _mm_castps_si128 as castps, _mm_cvtepi32_ps as cvtepi32_ps, _mm_loadu_si128 as loadu,
    _mm_madd_epi16 as madd_epi16, _mm_maddubs_epi16 as maddubs_epi16, _mm_max_epi16 as max_epi16,
    _mm_min_epi16 as min_epi16, _mm_or_si128 as or, _mm_packs_epi16 as packs_epi16,
    _mm_packs_epi32 as packs_epi32, _mm_packus_epi16 as packus_epi16, _mm_set1_epi8 as set1_epi8,
    _mm_set1_epi16 as set1_epi16, _mm_set1_epi32 as set1_epi32, _mm_setzero_si128 as setzero,
    _mm_shuffle_epi8 as shuffle_epi8, _mm_sign_epi8 as sign_epi8, _mm_slli_epi16 as slli_epi16,
    _mm_srai_epi16 as srai_epi16, _mm_srai_epi32 as srai_epi32, _mm_srli_epi16 as srli_epi16,
    _mm_srli_epi32 as srli_epi32, _mm_storeu_si128 as storeu, _mm_sub_epi16 as sub_epi16,
    _mm_unpackhi_epi8 as unpackhi_epi8, _mm_unpackhi_epi16 as unpackhi_epi16,
    _mm_unpacklo_epi8 as unpacklo_epi8, _mm_unpacklo_epi16 as unpacklo_epi16, _mm_xor_si128 as xor,
};

use super::loops::LONG;
use super::{INVERSION, MADD, MU_LAW_BIAS, SINGLE_BIAS};
use crate::kernel::{Kernel, LawKernel, Sums};

const BLOCK: usize = 16;

/// The kernel, on a processor that has SSSE3.
pub(super) fn kernel() -> Option<Kernel> {
    std::is_x86_feature_detected!("ssse3").then_some(KERNEL)
}

g711_lanes!("ssse3");
g711_few_by_copy!("ssse3");
g711_pack_encode!("ssse3");
g711_single_precision_encode!("ssse3");
g711_madd_decode!("ssse3");
g711_transcode_in_registers!("ssse3");
g711_kernel!("ssse3", "ssse3", const KERNEL);

/// One vector has one lane: all is in order.
#[inline]
#[target_feature(enable = "ssse3")]
fn gather(codes: Codes) -> Codes {
    codes
}

#[inline]
#[target_feature(enable = "ssse3")]
fn spread(codes: Codes) -> Codes {
    codes
}

#[inline]
#[target_feature(enable = "ssse3")]
fn table(table: &[u8; 16]) -> Vector {
    load_codes(table)
}

/// `values`, negated where the code's top bit is clear.
#[inline]
#[target_feature(enable = "ssse3")]
fn with_sign_of(codes: Codes, values: Vector) -> Vector {
    sign_epi8(values, or(xor(codes, set1_epi8(i8::MIN)), set1_epi8(1)))
}
