//! The loops around a kernel's primitives, as a macro: whole blocks straight from and to memory, the rest by way of
//! partial loads and stores, so that nothing beyond a slice is touched.
//!
//! A module that uses it has `BLOCK` (codes at once), `type Codes`, `type Samples` and the functions `load_codes`,
//! `store_codes`, `load_samples`, `store_samples`, `load_few_codes`, `store_few_codes`, `load_few_samples`,
//! `store_few_samples`, `encode`, `decode`, `transcode`, `add`, `amplify`, and a `Meter`.

/// From this many samples on it pays to begin with a partial block that makes the rest aligned.
pub(super) const LONG: usize = 4_096;

macro_rules! g711_kernel {
    ($name:literal, $features:literal, $visibility:vis const $kernel:ident) => {
        $visibility const $kernel: Kernel = Kernel { name: $name, mu: law_kernel::<false>(), a: law_kernel::<true>() };

        const fn law_kernel<const A_LAW: bool>() -> LawKernel {
            // The table is handed out only after the processor was seen to have the features.
            LawKernel {
                encode: |samples, codes| {
                    // SAFETY: as said above, the processor has the features.
                    unsafe { encode_all::<A_LAW>(samples, codes) }
                },
                decode: |codes, samples| {
                    // SAFETY: as said above, the processor has the features.
                    unsafe { decode_all::<A_LAW>(codes, samples) }
                },
                decode_level: |codes, samples| {
                    // SAFETY: as said above, the processor has the features.
                    unsafe { decode_level_all::<A_LAW>(codes, samples) }
                },
                transcode: |codes| {
                    // SAFETY: as said above, the processor has the features.
                    unsafe { transcode_all::<A_LAW>(codes) }
                },
                mix: |sum, codes| {
                    // SAFETY: as said above, the processor has the features.
                    unsafe { mix_all::<A_LAW>(sum, codes) }
                },
                gain: |codes, gain| {
                    // SAFETY: as said above, the processor has the features.
                    unsafe { gain_all::<A_LAW>(codes, gain) }
                },
            }
        }

        #[target_feature(enable = $features)]
        fn encode_all<const A_LAW: bool>(mut samples: &[i16], mut codes: &mut [u8]) {
            if samples.len() >= LONG {
                let head = samples.as_ptr().align_offset(BLOCK).min(BLOCK - 1);
                let (few_samples, few_codes);
                (few_samples, samples) = samples.split_at(head);
                (few_codes, codes) = codes.split_at_mut(head);
                store_few_codes(few_codes, encode::<A_LAW>(load_few_samples(few_samples)));
            }
            let (sample_blocks, sample_rest) = samples.as_chunks::<BLOCK>();
            let (code_blocks, code_rest) = codes.as_chunks_mut::<BLOCK>();
            for (samples, codes) in sample_blocks.iter().zip(code_blocks) {
                store_codes(codes, encode::<A_LAW>(load_samples(samples)));
            }
            if !sample_rest.is_empty() {
                store_few_codes(code_rest, encode::<A_LAW>(load_few_samples(sample_rest)));
            }
        }

        #[target_feature(enable = $features)]
        fn decode_all<const A_LAW: bool>(mut codes: &[u8], mut samples: &mut [i16]) {
            if samples.len() >= LONG {
                let head = samples.as_ptr().align_offset(BLOCK).min(BLOCK - 1);
                let (few_samples, few_codes);
                (few_samples, samples) = samples.split_at_mut(head);
                (few_codes, codes) = codes.split_at(head);
                store_few_samples(few_samples, decode::<A_LAW>(load_few_codes(few_codes)));
            }
            let (code_blocks, code_rest) = codes.as_chunks::<BLOCK>();
            let (sample_blocks, sample_rest) = samples.as_chunks_mut::<BLOCK>();
            for (codes, samples) in code_blocks.iter().zip(sample_blocks) {
                store_samples(samples, decode::<A_LAW>(load_codes(codes)));
            }
            if !code_rest.is_empty() {
                store_few_samples(sample_rest, decode::<A_LAW>(load_few_codes(code_rest)));
            }
        }

        #[target_feature(enable = $features)]
        fn decode_level_all<const A_LAW: bool>(codes: &[u8], samples: &mut [i16]) -> Sums {
            // The lanes of a meter hold the squares of 16 blocks and no more.
            const SPAN: usize = 16 * BLOCK;
            let mut sums = Sums::default();
            for (codes, samples) in codes.chunks(SPAN).zip(samples.chunks_mut(SPAN)) {
                let (code_blocks, code_rest) = codes.as_chunks::<BLOCK>();
                let (sample_blocks, sample_rest) = samples.as_chunks_mut::<BLOCK>();
                let mut meter = Meter::new();
                for (codes, samples) in code_blocks.iter().zip(sample_blocks) {
                    let decoded = decode::<A_LAW>(load_codes(codes));
                    meter.add(decoded);
                    store_samples(samples, decoded);
                }
                let (squares, peak) = meter.finish();
                // The meter works on quarters: decoded samples are multiples of four.
                sums.squares += squares * 16;
                sums.peak = sums.peak.max(peak);
                if !code_rest.is_empty() {
                    decode_all::<A_LAW>(code_rest, sample_rest);
                    for sample in sample_rest {
                        let magnitude = sample.unsigned_abs();
                        sums.squares += u64::from(magnitude) * u64::from(magnitude);
                        sums.peak = sums.peak.max(magnitude);
                    }
                }
            }
            sums
        }

        #[target_feature(enable = $features)]
        fn transcode_all<const A_LAW: bool>(codes: &mut [u8]) {
            let (blocks, rest) = codes.as_chunks_mut::<BLOCK>();
            for codes in blocks {
                let other = transcode::<A_LAW>(load_codes(codes));
                store_codes(codes, other);
            }
            if !rest.is_empty() {
                let other = transcode::<A_LAW>(load_few_codes(rest));
                store_few_codes(rest, other);
            }
        }

        #[target_feature(enable = $features)]
        fn mix_all<const A_LAW: bool>(sum: &mut [u8], codes: &[u8]) {
            let (sum_blocks, sum_rest) = sum.as_chunks_mut::<BLOCK>();
            let (code_blocks, code_rest) = codes.as_chunks::<BLOCK>();
            for (sum, codes) in sum_blocks.iter_mut().zip(code_blocks) {
                let both = add(decode::<A_LAW>(load_codes(sum)), decode::<A_LAW>(load_codes(codes)));
                store_codes(sum, encode::<A_LAW>(both));
            }
            if !sum_rest.is_empty() {
                let one = decode::<A_LAW>(load_few_codes(sum_rest));
                let both = add(one, decode::<A_LAW>(load_few_codes(code_rest)));
                store_few_codes(sum_rest, encode::<A_LAW>(both));
            }
        }

        #[target_feature(enable = $features)]
        fn gain_all<const A_LAW: bool>(codes: &mut [u8], gain: i16) {
            let (blocks, rest) = codes.as_chunks_mut::<BLOCK>();
            for codes in blocks {
                let louder = amplify(decode::<A_LAW>(load_codes(codes)), gain);
                store_codes(codes, encode::<A_LAW>(louder));
            }
            if !rest.is_empty() {
                let louder = amplify(decode::<A_LAW>(load_few_codes(rest)), gain);
                store_few_codes(rest, encode::<A_LAW>(louder));
            }
        }
    };
}

/// Fewer than a block by way of a block on the stack.
macro_rules! g711_few_by_copy {
    ($features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn load_few_codes(few: &[u8]) -> Codes {
            let mut block = [0; BLOCK];
            block[..few.len()].copy_from_slice(few);
            load_codes(&block)
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store_few_codes(few: &mut [u8], codes: Codes) {
            let mut block = [0; BLOCK];
            store_codes(&mut block, codes);
            few.copy_from_slice(&block[..few.len()]);
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn load_few_samples(few: &[i16]) -> Samples {
            let mut block = [0; BLOCK];
            block[..few.len()].copy_from_slice(few);
            load_samples(&block)
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store_few_samples(few: &mut [i16], samples: Samples) {
            let mut block = [0; BLOCK];
            store_samples(&mut block, samples);
            few.copy_from_slice(&block[..few.len()]);
        }
    };
}

/// Fewer than a block by AVX-512's masks: what a mask leaves out is not touched.
#[cfg(feature = "std")]
macro_rules! g711_few_by_mask {
    ($features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn load_few_codes(few: &[u8]) -> Codes {
            // SAFETY: the mask lets through `few.len()` bytes and no more.
            unsafe { maskz_loadu_epi8(first_of_64(few.len()), few.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store_few_codes(few: &mut [u8], codes: Codes) {
            // SAFETY: the mask lets through `few.len()` bytes and no more.
            unsafe { mask_storeu_epi8(few.as_mut_ptr().cast(), first_of_64(few.len()), codes) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn load_few_samples(few: &[i16]) -> Samples {
            let mask = first_of_64(few.len());
            // SAFETY: the masks together let through `few.len()` words and no more.
            unsafe {
                (
                    maskz_loadu_epi16(mask as u32, few.as_ptr()),
                    maskz_loadu_epi16((mask >> 32) as u32, few.as_ptr().wrapping_add(32)),
                )
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store_few_samples(few: &mut [i16], samples: Samples) {
            let mask = first_of_64(few.len());
            let at = few.as_mut_ptr();
            // SAFETY: the masks together let through `few.len()` words and no more.
            unsafe {
                mask_storeu_epi16(at, mask as u32, samples.0);
                mask_storeu_epi16(at.wrapping_add(32), (mask >> 32) as u32, samples.1);
            }
        }
    };
}

/// Direct conversion between the laws as decoding and encoding without leaving the registers.
macro_rules! g711_transcode_in_registers {
    ($features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn transcode<const A_LAW: bool>(codes: Codes) -> Codes {
            let samples = decode::<A_LAW>(codes);
            if A_LAW { encode::<false>(samples) } else { encode::<true>(samples) }
        }
    };
}
