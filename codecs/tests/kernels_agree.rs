//! Every kernel this processor can run equals the scalar truth: every sample, every code, every length from 0 to
//! 1,000, every alignment of source and destination within a vector, and not a byte beyond what it was given.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(all(feature = "g711", feature = "std"))]

use denwa_codecs::g711::{self, Companded, Gain, Law};
use denwa_codecs::kernel::{self, Kernel};
use denwa_codecs::level::Level;
use denwa_codecs::{Decoder, Encoder};

const LAWS: [Law; 2] = [Law::Mu, Law::A];

/// Runs `check` with the kernel called `name`, or says that this processor has no such thing.
fn with(name: &str, check: impl Fn(Kernel)) {
    match kernel::available().into_iter().find(|kernel| kernel.name() == name) {
        Some(kernel) => check(kernel),
        None => println!("not compared: this processor cannot run {name}"),
    }
}

/// A generator good enough to fill buffers (xorshift).
fn noise(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn every_sample_and_code(kernel: Kernel) {
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let codes: Vec<u8> = (0..=255).cycle().take(1_024).collect();
    for law in LAWS {
        let mut payload = vec![0; samples.len()];
        g711::Encoder::with_kernel(law, kernel).encode(&samples, &mut payload).unwrap();
        for (sample, code) in samples.iter().zip(&payload) {
            assert_eq!(*code, law.encode(*sample), "{law:?} {sample}");
        }
        let mut decoded = vec![0; codes.len()];
        g711::Decoder::with_kernel(law, kernel).decode(&codes, &mut decoded).unwrap();
        for (code, sample) in codes.iter().zip(&decoded) {
            assert_eq!(*sample, law.decode(*code), "{law:?} {code:#04x}");
        }
        let mut converted = codes.clone();
        Companded::with_kernel(law, kernel).convert(&mut converted);
        for (code, other) in codes.iter().zip(&converted) {
            assert_eq!(*other, law.other().encode(law.decode(*code)), "{law:?} {code:#04x}");
        }
    }
}

fn every_pair_and_gain(kernel: Kernel) {
    let codes: Vec<u8> = (0..=255).collect();
    for law in LAWS {
        let companded = Companded::with_kernel(law, kernel);
        for one in 0..=255 {
            let mut sum = vec![one; 256];
            companded.mix(&mut sum, &codes);
            for (other, sum) in codes.iter().zip(&sum) {
                let expected = law.encode(law.decode(one).saturating_add(law.decode(*other)));
                assert_eq!(*sum, expected, "{law:?} {one:#04x} + {other:#04x}");
            }
        }
        for step in -512..512i16 {
            let gain = Gain::from_factor(f32::from(step) / 31.0);
            let mut louder = codes.clone();
            companded.amplify(&mut louder, gain);
            for (code, louder) in codes.iter().zip(&louder) {
                assert_eq!(
                    *louder,
                    law.encode(gain.apply(law.decode(*code))),
                    "{law:?} {code:#04x} x {gain:?}"
                );
            }
        }
    }
}

fn every_length(kernel: Kernel) {
    let mut next = noise(7);
    let samples: Vec<i16> = (0..1_001).map(|_| next() as i16).collect();
    let codes: Vec<u8> = (0..1_001).map(|_| next() as u8).collect();
    for law in LAWS {
        let (mut encoder, mut decoder) =
            (g711::Encoder::with_kernel(law, kernel), g711::Decoder::with_kernel(law, kernel));
        for length in 0..=1_000 {
            let mut payload = [0xa5; 1_001];
            assert_eq!(encoder.encode(&samples[..length], &mut payload), Ok(length));
            assert!(
                payload[..length].iter().zip(&samples).all(|(code, sample)| *code == law.encode(*sample))
            );
            assert!(payload[length..].iter().all(|code| *code == 0xa5), "{law:?} wrote beyond {length}");

            let mut decoded = [0x5a5a; 1_001];
            let level = decoder.decode_with_level(&codes[..length], &mut decoded).unwrap();
            assert!(decoded[..length].iter().zip(&codes).all(|(sample, code)| *sample == law.decode(*code)));
            assert!(
                decoded[length..].iter().all(|sample| *sample == 0x5a5a),
                "{law:?} wrote beyond {length}"
            );
            assert_eq!(level, Level::of(&decoded[..length]), "{law:?} {length}");

            let mut again = [0x5a5a; 1_001];
            assert_eq!(decoder.decode(&codes[..length], &mut again), Ok(length));
            assert_eq!(again, decoded);

            let companded = Companded::with_kernel(law, kernel);
            let mut sum = codes.clone();
            companded.mix(&mut sum[..length], &payload[..length]);
            companded.convert(&mut sum[..length]);
            companded.amplify(&mut sum[..length], Gain::from_factor(-0.7));
            let other = law.other();
            for index in 0..1_001 {
                let expected = if index < length {
                    let both = law.decode(codes[index]).saturating_add(law.decode(payload[index]));
                    let converted = other.encode(law.decode(law.encode(both)));
                    law.encode(Gain::from_factor(-0.7).apply(law.decode(converted)))
                } else {
                    codes[index]
                };
                assert_eq!(sum[index], expected, "{law:?} {length} {index}");
            }
        }
    }
}

fn every_alignment(kernel: Kernel) {
    let mut next = noise(8);
    let samples: Vec<i16> = (0..512).map(|_| next() as i16).collect();
    let codes: Vec<u8> = (0..512).map(|_| next() as u8).collect();
    for law in LAWS {
        let (mut encoder, mut decoder) =
            (g711::Encoder::with_kernel(law, kernel), g711::Decoder::with_kernel(law, kernel));
        for from in 0..64 {
            for to in 0..64 {
                let mut payload = vec![0; 512];
                encoder.encode(&samples[from..from + 200], &mut payload[to..]).unwrap();
                let expected = samples[from..from + 200].iter().map(|sample| law.encode(*sample));
                assert!(payload[to..to + 200].iter().copied().eq(expected), "{law:?} {from} {to}");
                let mut decoded = vec![0; 512];
                decoder.decode(&codes[from..from + 200], &mut decoded[to..]).unwrap();
                let expected = codes[from..from + 200].iter().map(|code| law.decode(*code));
                assert!(decoded[to..to + 200].iter().copied().eq(expected), "{law:?} {from} {to}");
            }
        }
    }
}

/// A megabyte at full scale: the meter's lanes do not overflow.
fn the_loudest(kernel: Kernel) {
    for law in LAWS {
        let codes = vec![if law == Law::Mu { 0x00 } else { 0x2a }; 1 << 20];
        let mut samples = vec![0; codes.len()];
        let level = g711::Decoder::with_kernel(law, kernel).decode_with_level(&codes, &mut samples).unwrap();
        assert_eq!(level, Level::of(&samples));
        assert_eq!(level.peak(), if law == Law::Mu { 32_124 } else { 32_256 });
    }
}

macro_rules! kernels {
    ($($name:ident)*) => { $(mod $name {
        #[test]
        fn every_sample_and_code() { super::with(stringify!($name), super::every_sample_and_code) }
        #[test]
        fn every_pair_and_gain() { super::with(stringify!($name), super::every_pair_and_gain) }
        #[test]
        fn every_length() { super::with(stringify!($name), super::every_length) }
        #[test]
        fn every_alignment() { super::with(stringify!($name), super::every_alignment) }
        #[test]
        fn the_loudest() { super::with(stringify!($name), super::the_loudest) }
    })* };
}

kernels! { scalar sse2 ssse3 avx2 avx512bw avx512vbmi avx512fp16 }

#[test]
fn what_this_processor_can_run() {
    let names: Vec<_> = kernel::available().iter().map(Kernel::name).collect();
    println!("kernels: {names:?}");
    assert_eq!(names.last(), Some(&"scalar"));
    assert_eq!(Kernel::best().name(), names[0]);
}
