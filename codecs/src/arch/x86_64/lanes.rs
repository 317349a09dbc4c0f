//! Primitives that read the same in every width: each module names its width's instructions, these macros use the
//! names. Vectors of 256 and 512 bits work in lanes of 128, so unpacking and packing in pairs keeps the order of samples;
//! `gather` and `spread` put whole blocks right.

macro_rules! g711_lanes {
    ($features:literal) => {
        /// As many codes as one vector holds.
        type Codes = Vector;
        /// As many samples, in two vectors.
        type Samples = (Vector, Vector);

        #[inline]
        #[target_feature(enable = $features)]
        fn load_codes(block: &[u8; BLOCK]) -> Codes {
            // SAFETY: the array is as long as the vector, and the load asks for no alignment.
            unsafe { loadu(block.as_ptr().cast()) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store_codes(block: &mut [u8; BLOCK], codes: Codes) {
            // SAFETY: the array is as long as the vector, and the store asks for no alignment.
            unsafe { storeu(block.as_mut_ptr().cast(), codes) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn load_samples(block: &[i16; BLOCK]) -> Samples {
            let at = block.as_ptr();
            // SAFETY: the array is as long as two vectors, and the loads ask for no alignment.
            unsafe { (loadu(at.cast()), loadu(at.add(BLOCK / 2).cast())) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store_samples(block: &mut [i16; BLOCK], samples: Samples) {
            let at = block.as_mut_ptr();
            // SAFETY: the array is as long as two vectors, and the stores ask for no alignment.
            unsafe {
                storeu(at.cast(), samples.0);
                storeu(at.add(BLOCK / 2).cast(), samples.1);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn add(one: Samples, other: Samples) -> Samples {
            (adds_epi16(one.0, other.0), adds_epi16(one.1, other.1))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn amplify(samples: Samples, gain: i16) -> Samples {
            (amplify_half(samples.0, gain), amplify_half(samples.1, gain))
        }

        /// (sample, 1) times (gain, half a unit) is the rounded product in 32 bits; packing saturates.
        #[inline]
        #[target_feature(enable = $features)]
        fn amplify_half(samples: Vector, gain: i16) -> Vector {
            let factors = set1_epi32(i32::from(gain.cast_unsigned()) | (1_024 << 16));
            let ones = set1_epi16(1);
            let low = madd_epi16(unpacklo_epi16(samples, ones), factors);
            let high = madd_epi16(unpackhi_epi16(samples, ones), factors);
            packs_epi32(srai_epi32::<11>(low), srai_epi32::<11>(high))
        }

        /// Squares of quarter samples, and the largest magnitude, lane by lane.
        struct Meter {
            squares: Vector,
            peaks: Vector,
        }

        impl Meter {
            #[inline]
            #[target_feature(enable = $features)]
            fn new() -> Self {
                Self { squares: setzero(), peaks: setzero() }
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn add(&mut self, samples: Samples) {
                for half in [samples.0, samples.1] {
                    let quarters = srai_epi16::<2>(half);
                    self.squares = add_epi32(self.squares, madd_epi16(quarters, quarters));
                    self.peaks = max_epi16(self.peaks, max_epi16(half, sub_epi16(setzero(), half)));
                }
            }

            /// The sum of the squares of quarters, and the peak in full.
            #[inline]
            #[target_feature(enable = $features)]
            fn finish(self) -> (u64, u16) {
                let (mut squares, mut peaks) = ([0; BLOCK], [0; BLOCK]);
                store_codes(&mut squares, self.squares);
                store_codes(&mut peaks, self.peaks);
                let sum =
                    squares.as_chunks::<4>().0.iter().map(|lane| u64::from(u32::from_le_bytes(*lane))).sum();
                let peak = peaks.as_chunks::<2>().0.iter().map(|lane| u16::from_le_bytes(*lane)).max();
                (sum, peak.unwrap_or(0))
            }
        }
    };
}

/// Samples to codes, narrowed by packing.
macro_rules! g711_pack_encode {
    ($features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn encode<const A_LAW: bool>(samples: Samples) -> Codes {
            let signs = (srai_epi16::<15>(samples.0), srai_epi16::<15>(samples.1));
            let codes = packus_epi16(
                encode_magnitudes::<A_LAW>(xor(samples.0, signs.0)),
                encode_magnitudes::<A_LAW>(xor(samples.1, signs.1)),
            );
            let sign_bits = and(packs_epi16(signs.0, signs.1), set1_epi8(i8::MIN));
            let inversion = set1_epi8(INVERSION[A_LAW as usize].cast_signed());
            gather(xor(codes, xor(sign_bits, inversion)))
        }
    };
}

/// Magnitudes to codes (without sign and inversion) by way of single precision.
macro_rules! g711_single_precision_encode {
    ($features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn encode_magnitudes<const A_LAW: bool>(magnitudes: Vector) -> Vector {
            let biased = if A_LAW { magnitudes } else { adds_epi16(magnitudes, set1_epi16(MU_LAW_BIAS)) };
            let low = cvtepi32_ps(unpacklo_epi16(biased, setzero()));
            let high = cvtepi32_ps(unpackhi_epi16(biased, setzero()));
            let bits = packs_epi32(srli_epi32::<19>(castps(low)), srli_epi32::<19>(castps(high)));
            let codes = sub_epi16(bits, set1_epi16(SINGLE_BIAS));
            if A_LAW {
                // The lowest segment is linear, and above the logarithm there; the others begin at 16.
                max_epi16(codes, min_epi16(srli_epi16::<4>(magnitudes), set1_epi16(15)))
            } else {
                codes
            }
        }
    };
}

/// Codes to samples by one `maddubs`.
#[cfg(feature = "std")]
macro_rules! g711_madd_decode {
    ($features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn decode<const A_LAW: bool>(codes: Codes) -> Samples {
            let tables = &MADD[A_LAW as usize];
            let codes = spread(codes);
            let half = set1_epi8(15);
            let (high, low) = (and(srli_epi16::<4>(codes), half), and(codes, half));
            let scale = shuffle_epi8(table(&tables.scale), high);
            let offset = shuffle_epi8(table(&tables.offset), high);
            let step = with_sign_of(codes, shuffle_epi8(table(&tables.step), low));
            let factor = with_sign_of(codes, set1_epi8(tables.factor));
            let low = maddubs_epi16(unpacklo_epi8(scale, offset), unpacklo_epi8(step, factor));
            let high = maddubs_epi16(unpackhi_epi8(scale, offset), unpackhi_epi8(step, factor));
            if A_LAW {
                (slli_epi16::<3>(low), slli_epi16::<3>(high))
            } else {
                (slli_epi16::<2>(low), slli_epi16::<2>(high))
            }
        }
    };
}

/// What VBMI's tables of 128 bytes do: narrow without losing the order, decode and convert by looking up.
#[cfg(feature = "std")]
macro_rules! g711_vbmi {
    ($features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn encode<const A_LAW: bool>(samples: Samples) -> Codes {
            let signs = (srai_epi16::<15>(samples.0), srai_epi16::<15>(samples.1));
            let codes = (
                encode_magnitudes::<A_LAW>(xor(samples.0, signs.0)),
                encode_magnitudes::<A_LAW>(xor(samples.1, signs.1)),
            );
            let codes = permutex2var_epi8(codes.0, load_codes(&LOWER_BYTES), codes.1);
            let upper = permutex2var_epi8(samples.0, load_codes(&UPPER_BYTES), samples.1);
            let sign_bits = and(upper, set1_epi8(i8::MIN));
            let inversion = set1_epi8(INVERSION[A_LAW as usize].cast_signed());
            xor(codes, xor(sign_bits, inversion))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn decode<const A_LAW: bool>(codes: Codes) -> Samples {
            let tables = &DECODE[A_LAW as usize];
            let codes = permutexvar_epi64(set_epi64(7, 3, 6, 2, 5, 1, 4, 0), codes);
            // The index's top bit, the sign, is not looked at.
            let low = permutex2var_epi8(load_codes(&tables.low[0]), codes, load_codes(&tables.low[1]));
            let high = permutex2var_epi8(load_codes(&tables.high[0]), codes, load_codes(&tables.high[1]));
            let words = (unpacklo_epi8(low, high), unpackhi_epi8(low, high));
            let positive =
                (movepi16_mask(unpacklo_epi8(codes, codes)), movepi16_mask(unpackhi_epi8(codes, codes)));
            (
                mask_sub_epi16(words.0, !positive.0, setzero(), words.0),
                mask_sub_epi16(words.1, !positive.1, setzero(), words.1),
            )
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn transcode<const A_LAW: bool>(codes: Codes) -> Codes {
            let table = &TRANSCODE[A_LAW as usize];
            let lower = permutex2var_epi8(load_codes(&table[0]), codes, load_codes(&table[1]));
            let upper = permutex2var_epi8(load_codes(&table[2]), codes, load_codes(&table[3]));
            mask_blend_epi8(movepi8_mask(codes), lower, upper)
        }
    };
}
