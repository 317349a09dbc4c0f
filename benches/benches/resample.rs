//! Conversion of the sample rate in blocks of 20 ms: how late, how fast, how clean; with `--features peers` beside rubato, by
//! FFT and by sincs of 64 taps.
//!
//! How clean is what is left of a sine of 1 kHz when the best sine of 1 kHz is taken away. Ours goes from 16-bit samples to 16-bit
//! samples, which alone leaves 98 dB; rubato's floats are made of samples before the clock runs.
#![allow(clippy::unwrap_used)]

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::Instant;

use denwa_codecs::resample::Resampler;

fn main() {
    println!("{:<18} {:<14} {:>8} {:>14} {:>9}", "", "", "ms late", "x real time", "dB clean");
    for (from, to) in
        [(8_000, 16_000), (16_000, 8_000), (8_000, 48_000), (48_000, 8_000), (8_000, 44_100), (44_100, 8_000)]
    {
        let mut resampler = Resampler::new(from, to).unwrap();
        let late = resampler.delay_seconds() * 1000.0;
        let block = from as usize / 50;
        let mut out = vec![0; resampler.max_output(block)];
        let sound: Vec<i16> = sine(from).map(|sample| (sample * 32_768.0).round() as i16).collect();
        measure(from, to, "ours", late, |heard| {
            for block in sound.chunks(block) {
                let count = resampler.convert(black_box(block), &mut out);
                heard.extend(out[..count].iter().map(|sample| f64::from(*sample)));
            }
        });
        #[cfg(feature = "peers")]
        rubato::measure(from, to);
    }
}

/// Two seconds of 1 kHz at half scale.
fn sine(rate: u32) -> impl Iterator<Item = f64> {
    (0..rate * 2).map(move |n| 0.5 * (TAU * 1_000.0 * f64::from(n) / f64::from(rate)).sin())
}

fn measure(from: u32, to: u32, who: &str, late_ms: f64, mut convert: impl FnMut(&mut Vec<f64>)) {
    let mut heard = Vec::with_capacity(to as usize * 3);
    convert(&mut heard);
    let clean = clean_db(&heard[heard.len() / 4..heard.len() * 3 / 4], to);
    let mut best = f64::MAX;
    for _ in 0..if denwa_benches::is_measured() { 15 } else { 1 } {
        heard.clear();
        let start = Instant::now();
        convert(&mut heard);
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{:<18} {who:<14} {late_ms:>8.1} {:>14.0} {clean:>9.0}", format!("{from} to {to}"), 2.0 / best);
}

/// The best sine of 1 kHz against what it leaves.
fn clean_db(heard: &[f64], rate: u32) -> f64 {
    let angle = |n: usize| TAU * 1_000.0 * n as f64 / f64::from(rate);
    let whole = heard.len() / (rate as usize / 10) * (rate as usize / 10);
    let heard = &heard[..whole];
    let part = |wave: fn(f64) -> f64| -> f64 {
        2.0 / whole as f64 * heard.iter().enumerate().map(|(n, sample)| sample * wave(angle(n))).sum::<f64>()
    };
    let (sine, cosine) = (part(f64::sin), part(f64::cos));
    let rest: f64 = heard
        .iter()
        .enumerate()
        .map(|(n, sample)| (sample - sine * angle(n).sin() - cosine * angle(n).cos()).powi(2))
        .sum();
    let signal = whole as f64 * (sine * sine + cosine * cosine) / 2.0;
    10.0 * (signal / rest.max(1e-30)).log10()
}

#[cfg(feature = "peers")]
mod rubato {
    use super::{black_box, sine};
    use rubato::audioadapter_buffers::direct::InterleavedSlice;
    use rubato::{Async, Fft, FixedAsync, FixedSync, Resampler, SincInterpolationParameters, WindowFunction};

    pub(super) fn measure(from: u32, to: u32) {
        let block = from as usize / 50;
        let fft = Fft::<f32>::new(from as usize, to as usize, block, 1, FixedSync::Input).unwrap();
        one(from, to, "rubato, FFT", fft);
        let parameters = SincInterpolationParameters::new(64, WindowFunction::BlackmanHarris2);
        let ratio = f64::from(to) / f64::from(from);
        let sinc = Async::<f32>::new_sinc(ratio, 1.0, &parameters, block, 1, FixedAsync::Input).unwrap();
        one(from, to, "rubato, sinc", sinc);
    }

    fn one(from: u32, to: u32, who: &str, mut resampler: impl Resampler<f32>) {
        let sound: Vec<f32> = sine(from).map(|sample| sample as f32).collect();
        let mut out = vec![0.0f32; resampler.output_frames_max()];
        let late = resampler.output_delay() as f64 / f64::from(to) * 1000.0;
        super::measure(from, to, who, late, |heard| {
            let mut rest = &sound[..];
            loop {
                // Its blocks may be shorter or longer than asked for.
                let Some((block, after)) = rest.split_at_checked(resampler.input_frames_next()) else {
                    break;
                };
                let input = InterleavedSlice::new(black_box(block), 1, block.len()).unwrap();
                let frames = out.len();
                let mut output = InterleavedSlice::new_mut(&mut out, 1, frames).unwrap();
                let (_, count) = resampler.process_into_buffer(&input, &mut output, None).unwrap();
                heard.extend(out[..count].iter().map(|sample| f64::from(*sample)));
                rest = after;
            }
        });
    }
}
