//! Tones: the milliwatt above all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(all(feature = "std", feature = "g711"))]

use denwa_codecs::g711::Law;
use denwa_codecs::level::Level;
use denwa_codecs::tone::{Generator, Sine, Step, Tone};

#[test]
fn milliwatt_is_the_sequence_of_g711_tables_5_and_6() {
    let mut samples = [0; 8_000];
    let mut generator = Generator::new(&Tone::milliwatt(), 8_000);
    // In pieces of unlike length: the phase carries over.
    for piece in samples.chunks_mut(37) {
        assert_eq!(generator.generate(piece), piece.len());
    }
    let mu_law = [0x9e, 0x8b, 0x8b, 0x9e, 0x1e, 0x0b, 0x0b, 0x1e];
    let a_law = [0xb4, 0xa1, 0xa1, 0xb4, 0x34, 0x21, 0x21, 0x34];
    for (index, sample) in samples.iter().enumerate() {
        assert_eq!(Law::Mu.encode(*sample), mu_law[index % 8], "sample {index}");
        assert_eq!(Law::A.encode(*sample), a_law[index % 8], "sample {index}");
    }
}

#[test]
fn milliwatt_measures_0_dbm0_at_every_rate() {
    for rate in [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000] {
        let mut samples = vec![0; rate as usize];
        assert_eq!(Generator::new(&Tone::milliwatt(), rate).generate(&mut samples), rate as usize);
        let level = Level::of(&samples).dbm0();
        assert!(level.abs() < 0.000_5, "{level} dBm0 at {rate} Hz");
    }
}

#[test]
fn a_cadence_is_exact_to_the_sample_and_ends() {
    let on = Step { sines: vec![Sine::new(400.0, -10.0)], duration_ms: Some(500) };
    let off = Step { sines: vec![], duration_ms: Some(250) };
    let tone = Tone { steps: vec![on, off], rounds: Some(2), repeated_from: 0 };
    let mut generator = Generator::new(&tone, 8_000);
    let mut samples = vec![1; 13_000];
    assert_eq!(generator.generate(&mut samples), 12_000);
    assert!(generator.is_finished());
    assert!(samples[4_000..6_000].iter().all(|s| *s == 0));
    assert!((Level::of(&samples[..4_000]).dbm0() + 10.0).abs() < 0.001);
    assert_eq!(samples[12_000..], [1; 1_000]);
}
