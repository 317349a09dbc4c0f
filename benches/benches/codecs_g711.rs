//! G.711 beside a memcpy that moves the same bytes, on 160-sample frames and on a megabyte.
//!
//! Prints Msample/s and the ratio to memcpy for each kernel of this processor; the best of several rounds, since
//! the machine is shared.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use denwa_codecs::g711::{self, Law};
use denwa_codecs::{Decoder, Encoder, kernel};

fn best(mut work: impl FnMut(), samples: usize) -> f64 {
    // As `cargo test` runs it, without `--bench`, once is enough.
    let measured = denwa_benches::is_measured();
    let rounds = if measured { (4 << 20) / samples + 1 } else { 1 };
    let mut best = f64::INFINITY;
    for _ in 0..if measured { 15 } else { 1 } {
        let start = Instant::now();
        for _ in 0..rounds {
            work();
        }
        best = best.min(start.elapsed().as_secs_f64() / rounds as f64);
    }
    samples as f64 / best / 1e6
}

fn main() {
    for samples in [160, 1 << 20] {
        let linear: Vec<i16> = (0..samples).map(|n| (n as i16).wrapping_mul(7_919)).collect();
        let codes: Vec<u8> = (0..samples).map(|n| (n as u8).wrapping_mul(151)).collect();
        let (mut payload, mut decoded) = (vec![0u8; samples], vec![0i16; samples]);
        // Three bytes move for each sample: two one way, one the other.
        let (source, mut target) = (vec![1u8; samples * 3 / 2], vec![0u8; samples * 3 / 2]);
        let memcpy = best(|| black_box(&mut target).copy_from_slice(black_box(&source)), samples);
        println!("{samples:>8} samples  memcpy            {memcpy:>9.0} Msample/s");
        for kernel in kernel::available() {
            for law in [Law::Mu, Law::A] {
                let mut encoder = g711::Encoder::with_kernel(law, kernel);
                let mut decoder = g711::Decoder::with_kernel(law, kernel);
                let encode = best(
                    || {
                        encoder.encode(black_box(&linear), black_box(&mut payload)).unwrap();
                    },
                    samples,
                );
                let decode = best(
                    || {
                        decoder.decode(black_box(&codes), black_box(&mut decoded)).unwrap();
                    },
                    samples,
                );
                println!(
                    "{samples:>8} samples  {:<10} {law:?}  encode {encode:>9.0} ({:.2})  decode {decode:>9.0} ({:.2})",
                    kernel.name(),
                    encode / memcpy,
                    decode / memcpy
                );
            }
        }
    }
}
