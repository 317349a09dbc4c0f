//! The loops around a kernel's primitives, as a macro: whole blocks straight from and to memory, the rest by way of
//! a block on the stack, so that nothing beyond a slice is touched.
//!
//! A module that uses it has `BLOCK` (codes at once), `type Codes`, `type Samples` and the functions `load_codes`,
//! `store_codes`, `load_samples`, `store_samples`, `encode`, `decode`, `add`, `amplify`, `Meter`.

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
        fn encode_all<const A_LAW: bool>(samples: &[i16], codes: &mut [u8]) {
            let (sample_blocks, sample_rest) = samples.as_chunks::<BLOCK>();
            let (code_blocks, code_rest) = codes.as_chunks_mut::<BLOCK>();
            for (samples, codes) in sample_blocks.iter().zip(code_blocks) {
                store_codes(codes, encode::<A_LAW>(load_samples(samples)));
            }
            if !sample_rest.is_empty() {
                let (mut samples, mut codes) = ([0i16; BLOCK], [0u8; BLOCK]);
                samples[..sample_rest.len()].copy_from_slice(sample_rest);
                store_codes(&mut codes, encode::<A_LAW>(load_samples(&samples)));
                code_rest.copy_from_slice(&codes[..code_rest.len()]);
            }
        }

        #[target_feature(enable = $features)]
        fn decode_all<const A_LAW: bool>(codes: &[u8], samples: &mut [i16]) {
            let (code_blocks, code_rest) = codes.as_chunks::<BLOCK>();
            let (sample_blocks, sample_rest) = samples.as_chunks_mut::<BLOCK>();
            for (codes, samples) in code_blocks.iter().zip(sample_blocks) {
                store_samples(samples, decode::<A_LAW>(load_codes(codes)));
            }
            if !code_rest.is_empty() {
                let (mut codes, mut samples) = ([0u8; BLOCK], [0i16; BLOCK]);
                codes[..code_rest.len()].copy_from_slice(code_rest);
                store_samples(&mut samples, decode::<A_LAW>(load_codes(&codes)));
                sample_rest.copy_from_slice(&samples[..sample_rest.len()]);
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
                let mut codes = [0u8; BLOCK];
                codes[..rest.len()].copy_from_slice(rest);
                let other = transcode::<A_LAW>(load_codes(&codes));
                store_codes(&mut codes, other);
                rest.copy_from_slice(&codes[..rest.len()]);
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
                let (mut sum, mut codes) = ([0u8; BLOCK], [0u8; BLOCK]);
                sum[..sum_rest.len()].copy_from_slice(sum_rest);
                codes[..code_rest.len()].copy_from_slice(code_rest);
                let both = add(decode::<A_LAW>(load_codes(&sum)), decode::<A_LAW>(load_codes(&codes)));
                store_codes(&mut sum, encode::<A_LAW>(both));
                sum_rest.copy_from_slice(&sum[..sum_rest.len()]);
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
                let mut codes = [0u8; BLOCK];
                codes[..rest.len()].copy_from_slice(rest);
                let louder = amplify(decode::<A_LAW>(load_codes(&codes)), gain);
                store_codes(&mut codes, encode::<A_LAW>(louder));
                rest.copy_from_slice(&codes[..rest.len()]);
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
