//! Voice activity and silence, from levels alone: what stands out of the background for long enough is activity.
//!
//! Good for muting, recording until silence, active speakers and discontinuous transmission of codecs without their
//! own detector. It does not tell music from speech.

use crate::level::Level;

/// What the detector goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// What is quieter is never activity, in dBov.
    pub quietest_dbov: f64,
    /// How far activity stands out of the background, in dB.
    pub margin_db: f64,
    /// Activity lasts for so long after its last frame, in ms.
    pub hangover_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { quietest_dbov: -60.0, margin_db: 9.0, hangover_ms: 200 }
    }
}

/// Voice activity detector for one direction of one call.
#[derive(Debug, Clone)]
pub struct Detector {
    limits: Limits,
    sample_rate_hz: u32,
    background_dbov: f64,
    /// Samples until activity is over.
    hangover: u64,
    /// Samples since activity was over.
    silence: u64,
}

impl Detector {
    /// A detector at `sample_rate_hz`.
    #[must_use]
    pub fn new(sample_rate_hz: u32, limits: Limits) -> Self {
        Self {
            limits,
            sample_rate_hz: sample_rate_hz.max(1),
            background_dbov: -50.0,
            hangover: 0,
            silence: 0,
        }
    }

    /// Listens to a frame of 5 to 60 ms and says whether there is activity in it or shortly before.
    pub fn listen(&mut self, samples: &[i16]) -> bool {
        self.listen_to_level(Level::of(samples))
    }

    /// The same for a frame whose level is known already.
    pub fn listen_to_level(&mut self, level: Level) -> bool {
        let count = level.samples();
        if count == 0 {
            return self.hangover > 0;
        }
        let dbov = level.dbov().max(-100.0);
        let seconds = count as f64 / f64::from(self.sample_rate_hz);
        // The background follows down at once and up by 6 dB a second.
        self.background_dbov = if dbov < self.background_dbov {
            dbov
        } else {
            self.background_dbov + (6.0 * seconds).min(dbov - self.background_dbov)
        };
        let active = dbov > self.limits.quietest_dbov && dbov > self.background_dbov + self.limits.margin_db;
        if active {
            self.hangover = u64::from(self.limits.hangover_ms) * u64::from(self.sample_rate_hz) / 1_000;
            self.silence = 0;
            return true;
        }
        let still = self.hangover > 0;
        self.hangover = self.hangover.saturating_sub(count);
        if self.hangover == 0 {
            self.silence = self.silence.saturating_add(count);
        }
        still
    }

    /// For how long there has been no activity, in ms.
    #[must_use]
    pub fn silence_ms(&self) -> u64 {
        self.silence.saturating_mul(1_000) / u64::from(self.sample_rate_hz)
    }

    /// The background's level, in dBov.
    #[must_use]
    pub fn background_dbov(&self) -> f64 {
        self.background_dbov
    }
}
