//! How loud a signal is: power and peak, against full scale (dBov, RFC 6464) and against 0 dBm0 (G.711, G.100.1).
//!
//! A sine that just reaches 16-bit full scale is +3.14 dBm0, the A-law overload point (G.711 Table 1); mu-law's is
//! +3.17 dBm0 at a peak of 32,636 of the same scale.

/// The level of a full-scale 16-bit sine, in dBm0.
#[allow(clippy::approx_constant)] // 3.14 dB is no approximation of pi
pub const FULL_SCALE_SINE_DBM0: f64 = 3.14;

/// The peak amplitude of a sine of 0 dBm0 in 16-bit samples: 22,827.2.
#[must_use]
pub fn sine_amplitude(level_dbm0: f64) -> f64 {
    32_768.0 * 10f64.powf((level_dbm0 - FULL_SCALE_SINE_DBM0) / 20.0)
}

/// Power and peak of a stretch of signal. Stretches add up with [`Level::merge`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    sum_of_squares: u64,
    samples: u64,
    peak: u16,
}

impl Level {
    /// The level of `samples`.
    #[must_use]
    pub fn of(samples: &[i16]) -> Self {
        // The sum of squares has room for 2^34 samples.
        let mut level = Self { samples: samples.len() as u64, ..Self::default() };
        for sample in samples {
            let magnitude = sample.unsigned_abs();
            level.peak = level.peak.max(magnitude);
            level.sum_of_squares += u64::from(u32::from(magnitude) * u32::from(magnitude));
        }
        level
    }

    /// From sums made elsewhere, by a kernel that decodes and measures at once.
    #[must_use]
    pub fn from_sums(sum_of_squares: u64, samples: u64, peak: u16) -> Self {
        Self { sum_of_squares, samples, peak }
    }

    /// The level of both stretches together.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            sum_of_squares: self.sum_of_squares.saturating_add(other.sum_of_squares),
            samples: self.samples.saturating_add(other.samples),
            peak: self.peak.max(other.peak),
        }
    }

    /// Samples measured.
    #[must_use]
    pub fn samples(self) -> u64 {
        self.samples
    }

    /// The largest magnitude, 0..=32,768.
    #[must_use]
    pub fn peak(self) -> u16 {
        self.peak
    }

    /// Root of the mean square, 0..=32,768.
    #[must_use]
    pub fn rms(self) -> f64 {
        if self.samples == 0 { 0.0 } else { (self.sum_of_squares as f64 / self.samples as f64).sqrt() }
    }

    /// RMS against the RMS of a full-scale square wave, in dB: at most 0, minus infinity for digital silence.
    #[must_use]
    pub fn dbov(self) -> f64 {
        20.0 * (self.rms() / 32_768.0).log10()
    }

    /// RMS against a sine of one milliwatt at the zero transmission level point, in dB.
    #[must_use]
    pub fn dbm0(self) -> f64 {
        20.0 * (self.rms() * core::f64::consts::SQRT_2 / 32_768.0).log10() + FULL_SCALE_SINE_DBM0
    }

    /// The audio level of RFC 6464: -dBov rounded, 0 (loudest) ..= 127 (silence).
    #[must_use]
    pub fn rfc6464(self) -> u8 {
        let below = -self.dbov();
        if below >= 127.0 { 127 } else { below.max(0.0).round() as u8 }
    }
}
