//! The tones of fax machines and modems: CNG, 1100 Hz (T.30 §4.1), and the answer tone, 2100 Hz, which turns its phase
//! around every 450 ms when it asks echo cancellers to keep out (G.168, V.8, V.25).

use super::analysis::{Probe, Window, power_dbm0};
use super::{Sine, Step, Tone};
use alloc::vec::Vec;

/// Which tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// CNG: a fax machine is calling.
    FaxCalling,
    /// CED or ANS: a fax machine or modem has answered.
    Answer,
}

impl Signal {
    /// In Hz.
    #[must_use]
    pub const fn frequency_hz(self) -> f64 {
        match self {
            Self::FaxCalling => 1_100.0,
            Self::Answer => 2_100.0,
        }
    }

    /// The tone as T.30 has it: CNG 0.5 s on and 3 s off, the answer once for 3.3 s.
    #[must_use]
    pub fn tone(self, level_dbm0: f64) -> Tone {
        let sines = [Sine::new(self.frequency_hz(), level_dbm0)];
        match self {
            Self::FaxCalling => Tone::interrupted(&sines, 500, 3_000),
            Self::Answer => {
                let step = Step { sines: sines.into(), duration_ms: Some(3_300) };
                Tone { steps: Vec::from([step]), rounds: Some(1), repeated_from: 0 }
            }
        }
    }
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum SignalEvent {
    /// It has sounded for 300 ms.
    Begun {
        /// Which.
        signal: Signal,
        /// In dBm0.
        level_dbm0: f64,
    },
    /// The answer tone turned its phase around: no echo canceller should work on this call.
    PhaseReversed,
    /// It is over.
    Ended {
        /// Which.
        signal: Signal,
        /// In ms, to within twenty.
        duration_ms: u32,
        /// How often its phase turned around.
        reversals: u32,
    },
}

const HOP_MS: u32 = 5;
const WINDOWS_TO_BEGIN: u32 = 60;
/// A reversal spoils four windows.
const WINDOWS_TO_END: u32 = 8;
const WEAKEST_DBM0: f64 = -43.0;
const LEAST_PURITY: f64 = 0.75;

/// Detector of both tones for one direction of one call.
#[derive(Debug, Clone)]
pub struct Detector {
    window: Window,
    followers: [Follower; 2],
}

#[derive(Debug, Clone)]
struct Follower {
    signal: Signal,
    tolerance_hz: f64,
    probe: Probe,
    seen: u32,
    missing: u32,
    begun: bool,
    reversals: u32,
    /// The tone's frequency and phase, followed through the windows.
    frequency_hz: f64,
    phase: f64,
    turned: u32,
}

impl Detector {
    /// A detector at `sample_rate_hz`.
    #[must_use]
    pub fn new(sample_rate_hz: u32) -> Self {
        let window = Window::new(sample_rate_hz, 16, HOP_MS);
        let follower = |signal: Signal, tolerance_hz| Follower {
            signal,
            tolerance_hz,
            probe: Probe::new(signal.frequency_hz(), &window, sample_rate_hz),
            seen: 0,
            missing: 0,
            begun: false,
            reversals: 0,
            frequency_hz: signal.frequency_hz(),
            phase: 0.0,
            turned: 0,
        };
        // T.30 allows 38 Hz for the one, V.25 15 Hz for the other.
        let followers = [follower(Signal::FaxCalling, 42.0), follower(Signal::Answer, 22.0)];
        Self { followers, window }
    }

    /// Listens to `samples` and tells `event` what was heard in them.
    pub fn listen(&mut self, mut samples: &[i16], mut event: impl FnMut(SignalEvent)) {
        while !samples.is_empty() {
            let complete;
            (samples, complete) = self.window.take(samples);
            if complete {
                let total = self.window.power();
                for follower in &mut self.followers {
                    follower.look(&self.window, total, &mut event);
                }
            }
        }
    }
}

impl Follower {
    fn look(&mut self, window: &Window, total: f64, event: &mut impl FnMut(SignalEvent)) {
        let reading = self.probe.read(window);
        let present = (reading.frequency_hz - self.signal.frequency_hz()).abs() <= self.tolerance_hz
            && power_dbm0(reading.power) >= WEAKEST_DBM0
            && reading.power >= total * LEAST_PURITY;
        self.phase += self.frequency_hz * f64::from(HOP_MS) / 1_000.0;
        if present {
            let error = reading.phase - self.phase;
            let error = error - error.round();
            if self.seen == 0 {
                (self.phase, self.frequency_hz) = (reading.phase, reading.frequency_hz);
            } else if error.abs() < 0.25 {
                self.phase += error / 4.0;
                self.frequency_hz += (reading.frequency_hz - self.frequency_hz) / 16.0;
                self.turned = 0;
            } else {
                self.turned += 1;
                if self.turned == 4 {
                    self.phase = reading.phase;
                    self.turned = 0;
                    if self.begun && error.abs() > 0.35 && self.signal == Signal::Answer {
                        self.reversals += 1;
                        event(SignalEvent::PhaseReversed);
                    }
                }
            }
            self.seen = self.seen.saturating_add(1 + self.missing);
            self.missing = 0;
            if self.seen >= WINDOWS_TO_BEGIN && !self.begun {
                self.begun = true;
                event(SignalEvent::Begun { signal: self.signal, level_dbm0: power_dbm0(reading.power) });
            }
        } else if self.seen > 0 {
            self.missing += 1;
            if self.missing >= WINDOWS_TO_END {
                if self.begun {
                    let duration_ms = (self.seen + 2) * HOP_MS;
                    event(SignalEvent::Ended { signal: self.signal, duration_ms, reversals: self.reversals });
                }
                (self.seen, self.missing, self.begun, self.reversals, self.turned) = (0, 0, false, 0, 0);
            }
        }
    }
}
