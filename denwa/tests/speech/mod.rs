//! Something like a voice, and how much one sound is like another.
#![allow(dead_code)]

use std::f64::consts::TAU;

/// A voice of 110 to 150 Hz with three formants that speaks four syllables a second, at about -16 dBov.
pub(crate) fn voice(sample_rate_hz: u32, seconds: f64) -> Vec<i16> {
    let rate = f64::from(sample_rate_hz);
    let count = (seconds * rate) as usize;
    let mut phase = 0.0;
    (0..count)
        .map(|index| {
            let time = index as f64 / rate;
            let pitch = 130.0 + 20.0 * (TAU * 0.7 * time).sin();
            phase += pitch / rate;
            let formants = [500.0 + 150.0 * (TAU * 1.3 * time).sin(), 1500.0, 2500.0];
            let mut sum = 0.0;
            for harmonic in 1..24 {
                let frequency = pitch * f64::from(harmonic);
                if frequency > 3300.0 {
                    break;
                }
                let gain: f64 = formants
                    .iter()
                    .zip([1.0, 0.4, 0.15])
                    .map(|(formant, share)| share / (1.0 + ((frequency - formant) / 120.0).powi(2)))
                    .sum();
                sum += gain * (TAU * phase * f64::from(harmonic) + f64::from(harmonic * harmonic)).sin();
            }
            let syllable = 0.55 - 0.45 * (TAU * 4.0 * time).cos();
            (sum * syllable * 7000.0) as i16
        })
        .collect()
}

/// The likeness (correlation, at most 1) of `heard` to `said` at the lag where it is greatest, and that lag in samples. The
/// first 200 ms are not looked at.
pub(crate) fn likeness(said: &[i16], heard: &[i16], sample_rate_hz: u32, longest_ms: usize) -> (f64, usize) {
    let per_ms = sample_rate_hz as usize / 1000;
    let (start, span) = (200 * per_ms, said.len().min(heard.len()));
    let mut best = (0.0, 0);
    // Coarsely first, then sample by sample.
    let correlate = |lag: usize, step: usize| {
        let (mut product, mut own, mut other) = (0.0, 1.0, 1.0);
        for index in (start..span.saturating_sub(lag)).step_by(step) {
            let (a, b) = (f64::from(said[index]), f64::from(heard[index + lag]));
            product += a * b;
            own += a * a;
            other += b * b;
        }
        product / f64::sqrt(own * other)
    };
    // Telephone sound is alike over 1/8000 s.
    let coarse = (sample_rate_hz as usize / 8000).max(1);
    for lag in (0..longest_ms * per_ms).step_by(coarse) {
        let value = correlate(lag, 11 * coarse);
        if value > best.0 {
            best = (value, lag);
        }
    }
    let near = best.1.saturating_sub(coarse)..=best.1 + coarse;
    let refined = near.map(|lag| (correlate(lag, 3), lag)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    (correlate(refined.1, 1), refined.1)
}

/// The root mean square.
pub(crate) fn loudness(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum();
    (sum / samples.len().max(1) as f64).sqrt()
}

/// How like itself a voice must be after a codec.
pub(crate) fn least_likeness(codec: &str) -> f64 {
    match codec {
        "PCMU" | "PCMA" | "L16" | "G722" | "G726-32" | "G726-40" | "AAL2-G726-32" | "AAL2-G726-40" => 0.98,
        "G726-24" | "AAL2-G726-24" => 0.95,
        "opus" => 0.93,
        _ => 0.8,
    }
}
