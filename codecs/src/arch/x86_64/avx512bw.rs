//! 512 bits: AVX-512F and BW.

use core::arch::x86_64::{
    __m512i as Vector, _mm_loadu_si128, _mm512_add_epi32 as add_epi32, _mm512_adds_epi16 as adds_epi16,
    _mm512_and_si512 as and, _mm512_broadcast_i32x4, _mm512_castps_si512 as castps,
    _mm512_cvtepi32_ps as cvtepi32_ps, _mm512_loadu_si512 as loadu, _mm512_madd_epi16 as madd_epi16,
    _mm512_maddubs_epi16 as maddubs_epi16, _mm512_mask_storeu_epi8 as mask_storeu_epi8,
    _mm512_mask_storeu_epi16 as mask_storeu_epi16, _mm512_mask_sub_epi8,
    _mm512_maskz_loadu_epi8 as maskz_loadu_epi8, _mm512_maskz_loadu_epi16 as maskz_loadu_epi16,
    _mm512_max_epi16 as max_epi16, _mm512_min_epi16 as min_epi16, _mm512_movepi8_mask,
    _mm512_packs_epi16 as packs_epi16, _mm512_packs_epi32 as packs_epi32,
    _mm512_packus_epi16 as packus_epi16, _mm512_permutexvar_epi64, _mm512_set_epi64,
    _mm512_set1_epi8 as set1_epi8, _mm512_set1_epi16 as set1_epi16, _mm512_set1_epi32 as set1_epi32,
    _mm512_setzero_si512 as setzero, _mm512_shuffle_epi8 as shuffle_epi8, _mm512_slli_epi16 as slli_epi16,
    _mm512_srai_epi16 as srai_epi16, _mm512_srai_epi32 as srai_epi32, _mm512_srli_epi16 as srli_epi16,
    _mm512_srli_epi32 as srli_epi32, _mm512_storeu_si512 as storeu, _mm512_sub_epi16 as sub_epi16,
    _mm512_unpackhi_epi8 as unpackhi_epi8, _mm512_unpackhi_epi16 as unpackhi_epi16,
    _mm512_unpacklo_epi8 as unpacklo_epi8, _mm512_unpacklo_epi16 as unpacklo_epi16, _mm512_xor_si512 as xor,
};

use super::first_of_64;
use super::loops::LONG;
use super::{INVERSION, MADD, MU_LAW_BIAS, SINGLE_BIAS};
use crate::kernel::{Kernel, LawKernel, Sums};

const BLOCK: usize = 64;

/// The kernel, on a processor that has AVX-512F and BW.
pub(super) fn kernel() -> Option<Kernel> {
    let detected = std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512bw");
    detected.then_some(KERNEL)
}

g711_lanes!("avx512f,avx512bw");
g711_few_by_mask!("avx512f,avx512bw");
g711_pack_encode!("avx512f,avx512bw");
g711_single_precision_encode!("avx512f,avx512bw");
g711_madd_decode!("avx512f,avx512bw");
g711_transcode_in_registers!("avx512f,avx512bw");
g711_kernel!("avx512bw", "avx512f,avx512bw", const KERNEL);

/// Packing leaves eighths in the order 0, 4, 1, 5, 2, 6, 3, 7.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn gather(codes: Codes) -> Codes {
    _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), codes)
}

/// Unpacking will take them in that order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn spread(codes: Codes) -> Codes {
    _mm512_permutexvar_epi64(_mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0), codes)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn table(table: &[u8; 16]) -> Vector {
    // SAFETY: the array is as long as the quarter vector, and the load asks for no alignment.
    _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}

/// `values`, negated where the code's top bit is clear.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn with_sign_of(codes: Codes, values: Vector) -> Vector {
    _mm512_mask_sub_epi8(values, !_mm512_movepi8_mask(codes), setzero(), values)
}
