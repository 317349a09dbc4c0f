//! The instrument all detectors read: overlapping windows, and probes that say how much of a window is one sine, and
//! of which frequency.
//!
//! A probe's level comes from a Hann-weighted Fourier sum, its frequency from how far the phase moved since the last
//! window, which is some ten times finer than the window's own resolution.

use alloc::vec::Vec;
use core::f64::consts::{PI, TAU};

use crate::level::FULL_SCALE_SINE_DBM0;

/// The last milliseconds of a signal, a hop at a time.
#[derive(Debug, Clone)]
pub(super) struct Window {
    weights: Vec<f32>,
    samples: Vec<f32>,
    hop: usize,
    fresh: usize,
    /// Mean square of a full-scale sine under these weights.
    weight_energy: f64,
}

impl Window {
    pub(super) fn new(sample_rate_hz: u32, window_ms: u32, hop_ms: u32) -> Self {
        let hop = (sample_rate_hz * hop_ms / 1_000).max(1) as usize;
        let length = ((sample_rate_hz * window_ms / 1_000) as usize).max(hop);
        let weights: Vec<f32> = (0..length)
            .map(|n| (0.5 - 0.5 * (TAU * (n as f64 + 0.5) / length as f64).cos()) as f32)
            .collect();
        let weight_energy = weights.iter().map(|w| f64::from(*w) * f64::from(*w)).sum::<f64>();
        Self { samples: alloc::vec![0.0; length], weights, hop, fresh: 0, weight_energy }
    }

    /// Takes samples up to the end of the current hop. Gives what is left of them, and whether a window is complete.
    pub(super) fn take<'a>(&mut self, samples: &'a [i16]) -> (&'a [i16], bool) {
        let count = samples.len().min(self.hop - self.fresh);
        let (now, rest) = samples.split_at(count);
        self.samples.copy_within(count.., 0);
        let end = self.samples.len() - count;
        for (to, from) in self.samples[end..].iter_mut().zip(now) {
            *to = f32::from(*from);
        }
        self.fresh += count;
        let complete = self.fresh == self.hop;
        if complete {
            self.fresh = 0;
        }
        (rest, complete)
    }

    /// Mean square of the weighted window, in units of squared samples.
    pub(super) fn power(&self) -> f64 {
        let sum: f32 = self.samples.iter().zip(&self.weights).map(|(s, w)| (s * w) * (s * w)).sum();
        f64::from(sum) / self.weight_energy
    }
}

/// What a probe saw in one window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// Mean square of the sine, in units of squared samples, corrected for how far it is off the probe's frequency.
    pub(super) power: f64,
    /// The same without the correction: of several probes that see one sine, the nearest sees most.
    pub(super) uncorrected_power: f64,
    /// In Hz.
    pub(super) frequency_hz: f64,
    /// At the window's start, in turns.
    pub(super) phase: f64,
}

/// A Fourier sum at one frequency.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    frequency_hz: f64,
    table: Vec<(f32, f32)>,
    scale: f64,
    /// Turns of phase from window to window at the probe's own frequency.
    turns_a_hop: f64,
    hops_a_second: f64,
    window_seconds: f64,
    last_phase: f64,
}

impl Probe {
    pub(super) fn new(frequency_hz: f64, window: &Window, sample_rate_hz: u32) -> Self {
        let rate = f64::from(sample_rate_hz);
        let table = window
            .weights
            .iter()
            .enumerate()
            .map(|(n, weight)| {
                let (sin, cos) = (TAU * frequency_hz / rate * n as f64).sin_cos();
                ((cos * f64::from(*weight)) as f32, (sin * f64::from(*weight)) as f32)
            })
            .collect();
        let weight: f64 = window.weights.iter().map(|w| f64::from(*w)).sum();
        Self {
            frequency_hz,
            table,
            // A sine of amplitude a sums to a/2 times the weights, and its mean square is a*a/2.
            scale: 2.0 / (weight * weight),
            turns_a_hop: frequency_hz / rate * window.hop as f64,
            hops_a_second: rate / window.hop as f64,
            window_seconds: window.samples.len() as f64 / rate,
            last_phase: 0.0,
        }
    }

    pub(super) fn read(&mut self, window: &Window) -> Reading {
        let (mut real, mut imaginary) = (0f32, 0f32);
        for (sample, (cos, sin)) in window.samples.iter().zip(&self.table) {
            real += sample * cos;
            imaginary -= sample * sin;
        }
        let (real, imaginary) = (f64::from(real), f64::from(imaginary));
        let phase = imaginary.atan2(real) / TAU;
        let moved = phase - self.last_phase - self.turns_a_hop;
        let drift = moved - moved.round();
        self.last_phase = phase;
        let offset_hz = drift * self.hops_a_second;
        let response = hann_response(offset_hz * self.window_seconds);
        let uncorrected_power = (real * real + imaginary * imaginary) * self.scale;
        Reading {
            power: uncorrected_power / (response * response),
            uncorrected_power,
            frequency_hz: self.frequency_hz + offset_hz,
            phase,
        }
    }
}

/// What a Hann window leaves of a sine `bins` beside the probe; no less than half, further off nothing is corrected.
fn hann_response(bins: f64) -> f64 {
    if bins.abs() < 1e-6 {
        return 1.0;
    }
    let sinc = (PI * bins).sin() / (PI * bins);
    (sinc / (1.0 - bins * bins)).max(0.5)
}

/// The level of a sine of this mean square, in dBm0.
pub(super) fn power_dbm0(power: f64) -> f64 {
    10.0 * (power * 2.0 / (32_768.0 * 32_768.0)).max(1e-12).log10() + FULL_SCALE_SINE_DBM0
}
