//! Comfort noise (RFC 3389, G.711 Appendix II): a silence descriptor says how loud and of what colour the background is,
//! and the listener's side makes noise like that, so that a pause does not sound like a dead line.
//!
//! The first octet is the level in -dBov; each following one a reflection coefficient of an all-pole model, in steps
//! of about 1/127. Descriptors with no coefficients are white noise.

use crate::level::Level;

/// The most coefficients that are sent or read.
pub const LARGEST_ORDER: usize = 12;
/// RFC 3389 §3.2.
const COEFFICIENT_STEP: f64 = 258.0 / 32_768.0;

/// Describes background noise.
#[derive(Debug, Clone)]
pub struct Describer {
    order: usize,
    /// Autocorrelation of the noise, smoothed over frames.
    correlation: [f64; LARGEST_ORDER + 1],
}

impl Describer {
    /// A describer that sends `order` coefficients, 0 ..= [`LARGEST_ORDER`].
    #[must_use]
    pub fn new(order: usize) -> Self {
        Self { order: order.min(LARGEST_ORDER), correlation: [0.0; LARGEST_ORDER + 1] }
    }

    /// Takes a frame that is background only into the description.
    pub fn learn(&mut self, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        let fresh = self.correlation[0] == 0.0;
        for lag in 0..=self.order {
            let later = samples.get(lag..).unwrap_or_default();
            let sum: f64 = later.iter().zip(samples).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let mean = sum / samples.len() as f64;
            let share = if fresh { 1.0 } else { 0.25 };
            self.correlation[lag] += (mean - self.correlation[lag]) * share;
        }
    }

    /// Writes the descriptor into `payload` and says how many bytes it has; 0 if it does not fit.
    pub fn describe(&self, payload: &mut [u8]) -> usize {
        let Some(payload) = payload.get_mut(..1 + self.order) else { return 0 };
        let rms = self.correlation[0].sqrt();
        let level = -20.0 * (rms / 32_768.0).max(1e-7).log10();
        let Some((first, coefficients)) = payload.split_first_mut() else { return 0 };
        *first = level.round().clamp(0.0, 127.0) as u8;
        for (octet, coefficient) in coefficients.iter_mut().zip(self.reflection()) {
            *octet = (127.0 + coefficient / COEFFICIENT_STEP).round().clamp(0.0, 254.0) as u8;
        }
        1 + self.order
    }

    /// Levinson's recursion, for its reflection coefficients.
    fn reflection(&self) -> [f64; LARGEST_ORDER] {
        let mut reflection = [0.0; LARGEST_ORDER];
        let mut filter = [0.0; LARGEST_ORDER + 1];
        // A little white noise keeps it stable.
        let mut error = self.correlation[0] * 1.000_1;
        if error <= 0.0 {
            return reflection;
        }
        for m in 0..self.order {
            let mut sum = self.correlation[m + 1];
            sum += filter.iter().zip(self.correlation[1..=m].iter().rev()).map(|(a, r)| a * r).sum::<f64>();
            let k = (-sum / error).clamp(-0.99, 0.99);
            reflection[m] = k;
            let before = filter;
            for i in 0..m {
                filter[i] = before[i] + k * before[m - 1 - i];
            }
            filter[m] = k;
            error *= 1.0 - k * k;
        }
        reflection
    }
}

/// Makes noise after a description.
#[derive(Debug, Clone)]
pub struct Generator {
    seed: u64,
    /// What is wanted, and what sounds now, on its way there.
    wanted_level: f64,
    level: f64,
    reflection: [f64; LARGEST_ORDER],
    order: usize,
    lattice: [f64; LARGEST_ORDER + 1],
}

impl Generator {
    /// Silence until the first description. `seed` makes the noise; streams with one seed are alike.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed: seed | 1,
            wanted_level: 0.0,
            level: 0.0,
            reflection: [0.0; LARGEST_ORDER],
            order: 0,
            lattice: [0.0; LARGEST_ORDER + 1],
        }
    }

    /// Takes a descriptor. An empty one changes nothing; coefficients beyond the twelfth are not looked at.
    pub fn update(&mut self, payload: &[u8]) {
        let Some((level, coefficients)) = payload.split_first() else { return };
        let first = self.wanted_level == 0.0;
        self.wanted_level = 32_768.0 * 10f64.powf(-f64::from(level & 0x7f) / 20.0);
        if first {
            self.level = self.wanted_level;
        }
        self.order = coefficients.len().min(LARGEST_ORDER);
        for (coefficient, octet) in self.reflection.iter_mut().zip(coefficients) {
            // 255 is not used (RFC 3389 §3.1).
            *coefficient = ((f64::from(*octet) - 127.0) * COEFFICIENT_STEP).clamp(-0.99, 0.99);
        }
    }

    /// Takes the colour and level of what was heard, for a sender that just stopped.
    pub fn update_from(&mut self, describer: &Describer) {
        let mut payload = [0; 1 + LARGEST_ORDER];
        let count = describer.describe(&mut payload);
        self.update(payload.get(..count).unwrap_or_default());
    }

    /// Fills `samples` with noise.
    pub fn generate(&mut self, samples: &mut [i16]) {
        // The all-pole filter adds power: 1 over the product of 1 - k squared.
        let used = self.reflection.get(..self.order).unwrap_or_default();
        let gain: f64 = used.iter().map(|k| 1.0 - k * k).product::<f64>().sqrt();
        for sample in samples {
            self.level += (self.wanted_level - self.level) * 0.002;
            let mut value = self.white() * self.level * gain;
            for i in (0..self.order).rev() {
                value -= self.reflection[i] * self.lattice[i];
                self.lattice[i + 1] = self.lattice[i] + self.reflection[i] * value;
            }
            self.lattice[0] = value;
            *sample = value as i16;
        }
    }

    /// Nearly Gaussian, of power 1: the sum of four uniform numbers.
    fn white(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let sum: i64 = (0..4).map(|part| i64::from((self.seed >> (16 * part)) as u16)).sum();
        (sum - 2 * 65_535) as f64 / 65_536.0 * 1.732_05
    }
}

/// The level of a descriptor, in dBov; `None` if it is empty.
#[must_use]
pub fn level_dbov(payload: &[u8]) -> Option<f64> {
    payload.first().map(|octet| -f64::from(octet & 0x7f))
}

/// Whether a frame is so quiet that it may be taken for background whatever else is known.
#[must_use]
pub fn is_faint(level: Level) -> bool {
    level.dbov() < -60.0
}
