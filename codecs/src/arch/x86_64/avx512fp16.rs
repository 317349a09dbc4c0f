//! 512 bits with half precision: AVX-512 BW, VBMI and FP16.
//!
//! A half has ten bits of mantissa: truncated by six it is a code, less a bias. For A-law the magnitude is scaled so
//! that the linear segment falls among the denormals. This kernel was written on a machine without the instructions:
//! before it is first offered it is run over all 65,536 samples and offered only if it equals the scalar truth.

use core::arch::x86_64::{
    __m512i as Vector, _MM_FROUND_NO_EXC, _MM_FROUND_TO_ZERO, _mm512_add_epi32 as add_epi32,
    _mm512_adds_epi16 as adds_epi16, _mm512_and_si512 as and, _mm512_castph_si512, _mm512_castsi512_ph,
    _mm512_cvt_roundepu16_ph, _mm512_loadu_si512 as loadu, _mm512_madd_epi16 as madd_epi16,
    _mm512_mask_blend_epi8 as mask_blend_epi8, _mm512_mask_storeu_epi8 as mask_storeu_epi8,
    _mm512_mask_storeu_epi16 as mask_storeu_epi16, _mm512_mask_sub_epi16 as mask_sub_epi16,
    _mm512_maskz_loadu_epi8 as maskz_loadu_epi8, _mm512_maskz_loadu_epi16 as maskz_loadu_epi16,
    _mm512_max_epi16 as max_epi16, _mm512_movepi8_mask as movepi8_mask,
    _mm512_movepi16_mask as movepi16_mask, _mm512_mul_round_ph, _mm512_packs_epi32 as packs_epi32,
    _mm512_permutex2var_epi8 as permutex2var_epi8, _mm512_permutexvar_epi64 as permutexvar_epi64,
    _mm512_set_epi64 as set_epi64, _mm512_set1_epi8 as set1_epi8, _mm512_set1_epi16 as set1_epi16,
    _mm512_set1_epi32 as set1_epi32, _mm512_setzero_si512 as setzero, _mm512_srai_epi16 as srai_epi16,
    _mm512_srai_epi32 as srai_epi32, _mm512_srli_epi16 as srli_epi16, _mm512_storeu_si512 as storeu,
    _mm512_sub_epi16 as sub_epi16, _mm512_unpackhi_epi8 as unpackhi_epi8,
    _mm512_unpackhi_epi16 as unpackhi_epi16, _mm512_unpacklo_epi8 as unpacklo_epi8,
    _mm512_unpacklo_epi16 as unpacklo_epi16, _mm512_xor_si512 as xor,
};
use std::sync::OnceLock;

use super::first_of_64;
use super::loops::LONG;
use super::vbmi_tables::{DECODE, LOWER_BYTES, TRANSCODE, UPPER_BYTES};
use super::{INVERSION, MU_LAW_BIAS};
use crate::arch::scalar;
use crate::kernel::{Kernel, LawKernel, Sums};

const BLOCK: usize = 64;
const TRUNCATE: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
/// The exponent of mu-law's lowest segment in half precision, above four bits of mantissa.
const HALF_BIAS: i16 = 22 << 4;
/// 2^-22 in half precision: 256, where A-law's second segment begins, becomes the smallest normal number.
const TO_DENORMALS: i16 = 0x0004;

/// The kernel, on a processor that has AVX-512F, BW, VBMI and FP16, and on which it is exact.
pub(super) fn kernel() -> Option<Kernel> {
    static EXACT: OnceLock<bool> = OnceLock::new();
    let detected = std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("avx512vbmi")
        && std::is_x86_feature_detected!("avx512fp16");
    (detected && *EXACT.get_or_init(|| is_exact(&KERNEL))).then_some(KERNEL)
}

/// Whether both encoders equal the scalar ones over every sample.
fn is_exact(kernel: &Kernel) -> bool {
    let equal = |encode: fn(&[i16], &mut [u8]), truth: fn(i16) -> u8| {
        (i16::MIN..=i16::MAX).step_by(BLOCK).all(|first| {
            let mut samples = [first; BLOCK];
            samples.iter_mut().zip(0..).for_each(|(sample, offset)| *sample += offset);
            let mut codes = [0; BLOCK];
            encode(&samples, &mut codes);
            codes.iter().zip(samples).all(|(code, sample)| *code == truth(sample))
        })
    };
    equal(kernel.mu.encode, scalar::mu_law_encode) && equal(kernel.a.encode, scalar::a_law_encode)
}

g711_lanes!("avx512f,avx512bw,avx512vbmi,avx512fp16");
g711_few_by_mask!("avx512f,avx512bw,avx512vbmi,avx512fp16");
g711_vbmi!("avx512f,avx512bw,avx512vbmi,avx512fp16");
g711_kernel!("avx512fp16", "avx512f,avx512bw,avx512vbmi,avx512fp16", const KERNEL);

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512fp16")]
fn encode_magnitudes<const A_LAW: bool>(magnitudes: Vector) -> Vector {
    if A_LAW {
        let scale = _mm512_castsi512_ph(set1_epi16(TO_DENORMALS));
        let half = _mm512_mul_round_ph::<TRUNCATE>(_mm512_cvt_roundepu16_ph::<TRUNCATE>(magnitudes), scale);
        srli_epi16::<6>(_mm512_castph_si512(half))
    } else {
        let biased = adds_epi16(magnitudes, set1_epi16(MU_LAW_BIAS));
        let half = _mm512_cvt_roundepu16_ph::<TRUNCATE>(biased);
        sub_epi16(srli_epi16::<6>(_mm512_castph_si512(half)), set1_epi16(HALF_BIAS))
    }
}

#[cfg(test)]
mod tests {
    use super::{HALF_BIAS, MU_LAW_BIAS, scalar};

    /// What the conversion instruction does when told to truncate, for whole numbers below 2^16 times 2^`scale`.
    fn truncated_to_half(number: u16, scale: i32) -> u16 {
        if number == 0 {
            return 0;
        }
        let exponent = number.ilog2() as i32 + scale + 15;
        if exponent <= 0 {
            // A denormal: units of 2^-24.
            return number << (scale + 24);
        }
        let mantissa = (u32::from(number) << 10 >> number.ilog2()) as u16 & 0x3ff;
        ((exponent as u16) << 10) | mantissa
    }

    #[test]
    fn halves_are_codes() {
        for magnitude in 0..=i16::MAX {
            let biased = magnitude.saturating_add(MU_LAW_BIAS).cast_unsigned();
            let code = (truncated_to_half(biased, 0) >> 6) - HALF_BIAS.cast_unsigned();
            assert_eq!(code, u16::from(!scalar::mu_law_encode(magnitude)), "mu-law {magnitude}");
            let code = truncated_to_half(magnitude.cast_unsigned(), -22) >> 6;
            assert_eq!(code, u16::from(scalar::a_law_encode(magnitude) ^ 0xd5), "A-law {magnitude}");
        }
    }
}
