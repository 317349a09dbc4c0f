//! What stands in for a frame that did not come (RFC 3951 §4.5): the last residual's periods, mixed with its samples in
//! disorder, the more of these the less periodic it was, through the last filter.

use super::bits::Mode;
use super::lpc::{FLAT, Filter};

/// What has to be known of the frames before.
#[derive(Debug, Clone)]
pub(super) struct Concealment {
    lag: usize,
    lost: usize,
    periodicity: f32,
    filter: Filter,
    residual: [f32; 240],
    seed: u32,
}

impl Concealment {
    pub(super) fn new() -> Self {
        Self { lag: 120, lost: 0, periodicity: 0.0, filter: FLAT, residual: [0.0; 240], seed: 777 }
    }

    /// A frame came.
    pub(super) fn received(&mut self, residual: &[f32], filter: &Filter) {
        self.residual[..residual.len()].copy_from_slice(residual);
        self.filter = *filter;
        self.lost = 0;
    }

    /// A frame did not: its residual goes to `out`, its filter is given. `lag` is the last one estimated.
    pub(super) fn lost(&mut self, mode: Mode, lag: usize, out: &mut [f32]) -> Filter {
        let size = mode.frame_samples();
        self.lost += 1;
        if self.lost == 1 {
            (self.lag, self.periodicity) = self.find_lag(lag, size);
        }
        // Quieter after 40 ms, and silent in the end.
        let gain = match self.lost * size {
            ..=320 => 1.0,
            321..=640 => 0.9,
            641..=960 => 0.7,
            961..=1_280 => 0.5,
            _ => 0.0,
        };
        let periodic = ((self.periodicity.sqrt() - 0.4) / 0.3).clamp(0.0, 1.0);
        // The same cycle over and over would buzz.
        let lag = if self.lag < 80 { 2 * self.lag } else { self.lag }.min(size);
        let mut noise = [0.0; 240];
        let mut energy = 0.0;
        for n in 0..size {
            self.seed = self.seed.wrapping_mul(69_069).wrapping_add(1) & 0x7fff_ffff;
            let back = 50 + (self.seed % 70) as usize;
            noise[n] = if n < back { self.residual[size + n - back] } else { noise[n - back] };
            let cycle = if n < lag { self.residual[size + n - lag] } else { out[n - lag] };
            let fade = [1.0, 0.95, 0.9][n / 80];
            out[n] = fade * gain * (periodic * cycle + (1.0 - periodic) * noise[n]);
            energy += out[n] * out[n];
        }
        if (energy / size as f32).sqrt() < 30.0 {
            out[..size].copy_from_slice(&noise[..size]);
            if gain == 0.0 {
                out[..size].fill(0.0);
            }
        }
        self.residual[..size].copy_from_slice(&out[..size]);
        self.filter
    }

    /// The lag around the estimate at which the last 60 samples are most like those before, and how much.
    fn find_lag(&self, estimate: usize, size: usize) -> (usize, f32) {
        let mut best = (estimate.saturating_sub(3).max(1), -1.0, 0.0);
        for lag in estimate.saturating_sub(3).max(1)..=estimate + 3 {
            let range = 60.min(size.saturating_sub(lag));
            let (mut product, mut past_energy, mut energy) = (0.0f32, 0.0f32, 0.0f32);
            for n in size - range..size {
                let (sample, past) = (self.residual[n], self.residual[n - lag]);
                product += sample * past;
                past_energy += past * past;
                energy += sample * sample;
            }
            let (likeness, periodicity) = if past_energy > 0.0 {
                (
                    product * product / past_energy,
                    product.abs() / (past_energy.sqrt() * energy.sqrt()).max(1e-9),
                )
            } else {
                (0.0, 0.0)
            };
            if likeness > best.1 {
                best = (lag, likeness, periodicity);
            }
        }
        (best.0, best.2)
    }
}
