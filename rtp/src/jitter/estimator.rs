//! How long packets must wait: transit times relative to the fastest, and the delay that few exceed.
#![allow(clippy::arithmetic_side_effects)] // signal processing

use super::{Config, Mode};
use crate::{sequence::timestamp_distance, time};

/// Transit times of this many packets are remembered for the base line.
const WINDOW: usize = 64;

#[derive(Debug)]
pub(super) struct Estimator {
    config: Config,
    /// Arrival less timestamp of the fastest packet lately.
    base: u32,
    recent: [u32; WINDOW],
    filled: usize,
    at: usize,
    /// Mean deviation from the base line, and a peak that decays, in clock units.
    jitter: f32,
    peak: f32,
    target: u32,
}

impl Estimator {
    pub(super) fn new(config: Config) -> Self {
        let target = match config.mode {
            Mode::Adaptive { minimum, maximum } => {
                minimum.max(std::time::Duration::from_millis(40)).min(maximum)
            }
            Mode::Fixed { delay } => delay,
        };
        Self {
            base: 0,
            recent: [0; WINDOW],
            filled: 0,
            at: 0,
            jitter: 0.0,
            peak: 0.0,
            target: time::units(target, config.clock_rate_hz) as u32,
            config,
        }
    }

    pub(super) fn begin(&mut self, arrival: u64, timestamp: u32) {
        let transit = (arrival as u32).wrapping_sub(timestamp);
        self.recent = [transit; WINDOW];
        self.filled = 1;
        self.at = 1;
        self.base = transit;
    }

    #[inline]
    pub(super) fn arrived(&mut self, arrival: u64, timestamp: u32, _ahead: i64) {
        let transit = (arrival as u32).wrapping_sub(timestamp);
        if let Some(slot) = self.recent.get_mut(self.at) {
            *slot = transit;
        }
        self.at = (self.at + 1) % WINDOW;
        self.filled = (self.filled + 1).min(WINDOW);
        if timestamp_distance(self.base, transit) < 0 {
            self.base = transit;
        } else if self.at == 0 {
            let newest = transit;
            self.base = self.recent.iter().fold(newest, |least, &transit| {
                if timestamp_distance(least, transit) < 0 { transit } else { least }
            });
        }
        let late = timestamp_distance(self.base, transit).max(0) as f32;
        self.jitter += (late - self.jitter) / 32.0;
        self.peak = (self.peak * 0.998).max(late);
        if let Mode::Adaptive { minimum, maximum } = self.config.mode {
            let rate = self.config.clock_rate_hz;
            let wanted = (self.jitter * 3.0).max(self.peak * 0.9) as u32 + rate / 200;
            self.target = wanted.clamp(time::units(minimum, rate) as u32, time::units(maximum, rate) as u32);
        }
    }

    pub(super) const fn target(&self) -> u32 {
        self.target
    }

    /// How long after the fastest packet would have come a frame is played.
    pub(super) fn delay(&self, now: u64, timestamp: u32) -> u32 {
        timestamp_distance(self.base, (now as u32).wrapping_sub(timestamp)).max(0) as u32
    }

    pub(super) fn excess(&self, now: u64, timestamp: u32) -> i32 {
        timestamp_distance(self.base, (now as u32).wrapping_sub(timestamp)).saturating_sub(self.target as i32)
    }

    pub(super) const fn drift_ppm(&self) -> Option<f64> {
        None
    }
}
