//! 256 bits: AVX2.

use core::arch::x86_64::{
    __m256i as Vector, _mm_loadu_si128, _mm256_add_epi32 as add_epi32, _mm256_adds_epi16 as adds_epi16,
    _mm256_and_si256 as and, _mm256_broadcastsi128_si256, _mm256_castps_si256 as castps,
    _mm256_cvtepi32_ps as cvtepi32_ps, _mm256_loadu_si256 as loadu, _mm256_madd_epi16 as madd_epi16,
    _mm256_maddubs_epi16 as maddubs_epi16, _mm256_max_epi16 as max_epi16, _mm256_min_epi16 as min_epi16,
    _mm256_or_si256 as or, _mm256_packs_epi16 as packs_epi16, _mm256_packs_epi32 as packs_epi32,
    _mm256_packus_epi16 as packus_epi16, _mm256_permute4x64_epi64, _mm256_set1_epi8 as set1_epi8,
    _mm256_set1_epi16 as set1_epi16, _mm256_set1_epi32 as set1_epi32, _mm256_setzero_si256 as setzero,
    _mm256_shuffle_epi8 as shuffle_epi8, _mm256_sign_epi8 as sign_epi8, _mm256_slli_epi16 as slli_epi16,
    _mm256_srai_epi16 as srai_epi16, _mm256_srai_epi32 as srai_epi32, _mm256_srli_epi16 as srli_epi16,
    _mm256_srli_epi32 as srli_epi32, _mm256_storeu_si256 as storeu, _mm256_sub_epi16 as sub_epi16,
    _mm256_unpackhi_epi8 as unpackhi_epi8, _mm256_unpackhi_epi16 as unpackhi_epi16,
    _mm256_unpacklo_epi8 as unpacklo_epi8, _mm256_unpacklo_epi16 as unpacklo_epi16, _mm256_xor_si256 as xor,
};

use super::loops::LONG;
use super::{INVERSION, MADD, MU_LAW_BIAS, SINGLE_BIAS};
use crate::kernel::{Kernel, LawKernel, Sums};

const BLOCK: usize = 32;

/// The kernel, on a processor that has AVX2.
pub(super) fn kernel() -> Option<Kernel> {
    std::is_x86_feature_detected!("avx2").then_some(KERNEL)
}

g711_lanes!("avx2");
g711_few_by_copy!("avx2");
g711_pack_encode!("avx2");
g711_single_precision_encode!("avx2");
g711_madd_decode!("avx2");
g711_transcode_in_registers!("avx2");
g711_kernel!("avx2", "avx2", const KERNEL);

/// Packing leaves quarters in the order 0, 2, 1, 3.
#[inline]
#[target_feature(enable = "avx2")]
fn gather(codes: Codes) -> Codes {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(codes)
}

/// Unpacking will take them in that order.
#[inline]
#[target_feature(enable = "avx2")]
fn spread(codes: Codes) -> Codes {
    _mm256_permute4x64_epi64::<0b11_01_10_00>(codes)
}

#[inline]
#[target_feature(enable = "avx2")]
fn table(table: &[u8; 16]) -> Vector {
    // SAFETY: the array is as long as the half vector, and the load asks for no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}

/// `values`, negated where the code's top bit is clear.
#[inline]
#[target_feature(enable = "avx2")]
fn with_sign_of(codes: Codes, values: Vector) -> Vector {
    sign_epi8(values, or(xor(codes, set1_epi8(i8::MIN)), set1_epi8(1)))
}
