//! 512 bits with byte tables of 128 entries: AVX-512 BW and VBMI.
//!
//! The upper byte of a biased magnitude (0..=127) says how far to shift; all else follows from that.

use core::arch::x86_64::{
    __m512i as Vector, _mm512_add_epi16 as add_epi16, _mm512_add_epi32 as add_epi32,
    _mm512_adds_epi16 as adds_epi16, _mm512_and_si512 as and, _mm512_loadu_si512 as loadu,
    _mm512_madd_epi16 as madd_epi16, _mm512_mask_blend_epi8 as mask_blend_epi8,
    _mm512_mask_storeu_epi8 as mask_storeu_epi8, _mm512_mask_storeu_epi16 as mask_storeu_epi16,
    _mm512_mask_sub_epi16 as mask_sub_epi16, _mm512_maskz_loadu_epi8 as maskz_loadu_epi8,
    _mm512_maskz_loadu_epi16 as maskz_loadu_epi16, _mm512_maskz_permutex2var_epi8,
    _mm512_max_epi16 as max_epi16, _mm512_movepi8_mask as movepi8_mask,
    _mm512_movepi16_mask as movepi16_mask, _mm512_packs_epi32 as packs_epi32,
    _mm512_permutex2var_epi8 as permutex2var_epi8, _mm512_permutexvar_epi64 as permutexvar_epi64,
    _mm512_set_epi64 as set_epi64, _mm512_set1_epi8 as set1_epi8, _mm512_set1_epi16 as set1_epi16,
    _mm512_set1_epi32 as set1_epi32, _mm512_setzero_si512 as setzero, _mm512_slli_epi16 as slli_epi16,
    _mm512_srai_epi16 as srai_epi16, _mm512_srai_epi32 as srai_epi32, _mm512_srli_epi16 as srli_epi16,
    _mm512_srlv_epi16 as srlv_epi16, _mm512_storeu_si512 as storeu, _mm512_sub_epi16 as sub_epi16,
    _mm512_unpackhi_epi8 as unpackhi_epi8, _mm512_unpackhi_epi16 as unpackhi_epi16,
    _mm512_unpacklo_epi8 as unpacklo_epi8, _mm512_unpacklo_epi16 as unpacklo_epi16, _mm512_xor_si512 as xor,
};

use super::first_of_64;
use super::loops::LONG;
use super::vbmi_tables::{DECODE, LOWER_BYTES, SHIFT, TRANSCODE, UPPER_BYTES};
use super::{INVERSION, MU_LAW_BIAS};
use crate::kernel::{Kernel, LawKernel, Sums};

const BLOCK: usize = 64;

/// The kernel, on a processor that has AVX-512F, BW and VBMI.
pub(super) fn kernel() -> Option<Kernel> {
    let detected = std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512vbmi");
    detected.then_some(KERNEL)
}

g711_lanes!("avx512f,avx512bw,avx512vbmi");
g711_few_by_mask!("avx512f,avx512bw,avx512vbmi");
g711_vbmi!("avx512f,avx512bw,avx512vbmi");
g711_kernel!("avx512vbmi", "avx512f,avx512bw,avx512vbmi", const KERNEL);

/// Shifted so far that five bits are left, the upper of which counts as one segment more.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn encode_magnitudes<const A_LAW: bool>(magnitudes: Vector) -> Vector {
    let shifts = &SHIFT[A_LAW as usize];
    let biased = if A_LAW { magnitudes } else { adds_epi16(magnitudes, set1_epi16(MU_LAW_BIAS)) };
    let upper = srli_epi16::<8>(biased);
    let lower_bytes_only = 0x5555_5555_5555_5555;
    let shift = _mm512_maskz_permutex2var_epi8(
        lower_bytes_only,
        load_codes(&shifts[0]),
        upper,
        load_codes(&shifts[1]),
    );
    let steps = srlv_epi16(biased, shift);
    sub_epi16(add_epi16(steps, slli_epi16::<4>(shift)), set1_epi16(64))
}
