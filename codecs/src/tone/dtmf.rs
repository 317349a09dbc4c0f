//! DTMF (Q.23), generated and detected to the limits of Q.24.
//!
//! The detector looks at 16 ms every 5 ms: the strongest tone of each group must be there, within its frequency, not
//! too far apart in level, and together be nearly all that sounds. A digit is one such pair for 40 ms; a gap of up to
//! 10 ms does not end it.

use alloc::vec::Vec;

use super::analysis::{Probe, Reading, Window, power_dbm0};
use super::{Sine, Step, Tone};

/// The lower group, one frequency a row of the keypad, in Hz.
pub const ROWS_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
/// The higher group, one frequency a column, in Hz.
pub const COLUMNS_HZ: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// The frequencies of a digit: `0`-`9`, `*`, `#`, `A`-`D` in either case.
#[must_use]
pub fn frequencies_hz(digit: char) -> Option<(f64, f64)> {
    let digit = digit.to_ascii_uppercase();
    KEYS.iter().zip(ROWS_HZ).find_map(|(keys, row)| {
        keys.iter().zip(COLUMNS_HZ).find(|(key, _)| **key == digit).map(|(_, column)| (row, column))
    })
}

/// How digits are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sending {
    /// In ms.
    pub on_ms: u32,
    /// In ms.
    pub off_ms: u32,
    /// Of the lower tone, in dBm0.
    pub row_dbm0: f64,
    /// Of the higher tone, in dBm0.
    pub column_dbm0: f64,
}

impl Default for Sending {
    /// 100 ms on, 100 ms off, -8 and -6 dBm0: within every administration's limits (Q.24 Annex A).
    fn default() -> Self {
        Self { on_ms: 100, off_ms: 100, row_dbm0: -8.0, column_dbm0: -6.0 }
    }
}

/// A tone that dials `digits` once. What is no digit is a pause of one second.
#[must_use]
pub fn dial(digits: &str, sending: Sending) -> Tone {
    let mut steps = Vec::new();
    for digit in digits.chars() {
        if let Some((row, column)) = frequencies_hz(digit) {
            let sines = [Sine::new(row, sending.row_dbm0), Sine::new(column, sending.column_dbm0)];
            steps.push(Step { sines: sines.into(), duration_ms: Some(sending.on_ms) });
            steps.push(Step { sines: Vec::new(), duration_ms: Some(sending.off_ms) });
        } else {
            steps.push(Step { sines: Vec::new(), duration_ms: Some(1_000) });
        }
    }
    Tone { steps, rounds: Some(1), repeated_from: 0 }
}

/// What the detector insists on. The defaults satisfy every administration of Q.24's table A-1 but where they contradict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The weakest tone, in dBm0.
    pub weakest_dbm0: f64,
    /// How far a tone may be off its frequency, as a fraction: 1.8 % must be accepted, 3 % refused.
    pub frequency_tolerance: f64,
    /// How much stronger the higher tone may be, in dB.
    pub forward_twist_db: f64,
    /// How much stronger the lower tone may be, in dB.
    pub reverse_twist_db: f64,
    /// The least share of all power that is in the two tones.
    pub least_purity: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            weakest_dbm0: -29.0,
            frequency_tolerance: 0.025,
            forward_twist_db: 6.0,
            reverse_twist_db: 10.0,
            least_purity: 0.82,
        }
    }
}

/// A digit has begun or ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum DtmfEvent {
    /// It has sounded long enough to be one.
    Begun {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        digit: char,
        /// Level of both tones together, in dBm0.
        level_dbm0: f64,
    },
    /// It is over.
    Ended {
        /// The same digit.
        digit: char,
        /// How long it sounded, in ms, to within a few.
        duration_ms: u32,
    },
}

/// Between windows.
const HOP_MS: u32 = 5;
/// Windows in which a pair must be seen: 4, of which the outer ones may be half filled.
const WINDOWS_TO_BEGIN: u32 = 5;
/// Windows without it after which it is over: a gap of 10 ms spoils four.
const WINDOWS_TO_END: u32 = 5;

/// DTMF detector for one direction of one call.
///
/// ```
/// use denwa_codecs::tone::{Generator, dtmf::{Detector, DtmfEvent, Sending, dial}};
///
/// let mut sound = vec![0; 8_000]; // a second at 8 kHz
/// Generator::new(&dial("12#", Sending::default()), 8_000).generate(&mut sound);
///
/// let mut digits = String::new();
/// let mut detector = Detector::new(8_000);
/// for block in sound.chunks(160) {
///     detector.listen(block, |event| if let DtmfEvent::Begun { digit, .. } = event { digits.push(digit) });
/// }
/// assert_eq!(digits, "12#");
/// ```
#[derive(Debug, Clone)]
pub struct Detector {
    limits: Limits,
    window: Window,
    rows: Vec<Probe>,
    columns: Vec<Probe>,
    candidate: Option<char>,
    /// Windows in which the candidate was seen.
    seen: u32,
    current: Option<char>,
    missing: u32,
    windows: u32,
    /// Power of the candidate in its last window: a digit does not change its level by much.
    last_power: f64,
}

impl Detector {
    /// A detector at `sample_rate_hz` with the default limits.
    #[must_use]
    pub fn new(sample_rate_hz: u32) -> Self {
        Self::with_limits(sample_rate_hz, Limits::default())
    }

    /// A detector with limits of the caller's.
    #[must_use]
    pub fn with_limits(sample_rate_hz: u32, limits: Limits) -> Self {
        let window = Window::new(sample_rate_hz, 16, HOP_MS);
        let probes =
            |frequencies: [f64; 4]| frequencies.map(|f| Probe::new(f, &window, sample_rate_hz)).into();
        Self {
            limits,
            rows: probes(ROWS_HZ),
            columns: probes(COLUMNS_HZ),
            window,
            candidate: None,
            seen: 0,
            current: None,
            missing: 0,
            windows: 0,
            last_power: 0.0,
        }
    }

    /// Listens to `samples` and tells `event` what began and ended in them.
    pub fn listen(&mut self, mut samples: &[i16], mut event: impl FnMut(DtmfEvent)) {
        while !samples.is_empty() {
            let complete;
            (samples, complete) = self.window.take(samples);
            if complete {
                let pair = self.look();
                self.follow(pair, &mut event);
            }
        }
    }

    /// The digit of the current window and its power.
    fn look(&mut self) -> Option<(char, f64)> {
        let row = strongest(&mut self.rows, &self.window);
        let column = strongest(&mut self.columns, &self.window);
        let total = self.window.power();
        let (row_power, column_power) = (row.1.power, column.1.power);
        let limits = &self.limits;
        let close = |reading: Reading, nominal: f64| {
            (reading.frequency_hz - nominal).abs() <= nominal * limits.frequency_tolerance
        };
        let twist = power_dbm0(column_power) - power_dbm0(row_power);
        let good = power_dbm0(row_power.min(column_power)) >= limits.weakest_dbm0
            && close(row.1, ROWS_HZ[row.0])
            && close(column.1, COLUMNS_HZ[column.0])
            && twist <= limits.forward_twist_db
            && twist >= -limits.reverse_twist_db
            && row_power + column_power >= total * limits.least_purity;
        good.then(|| (KEYS[row.0][column.0], row_power + column_power))
    }

    fn follow(&mut self, pair: Option<(char, f64)>, event: &mut impl FnMut(DtmfEvent)) {
        self.windows = self.windows.saturating_add(1);
        let digit = pair.map(|(digit, _)| digit);
        if let Some(current) = self.current {
            if digit == Some(current) {
                self.missing = 0;
            } else {
                self.missing += 1;
                if self.missing >= WINDOWS_TO_END {
                    // The window is longer than a hop: a digit is seen for its length less a window and a bit.
                    let duration_ms = (self.windows - self.missing) * HOP_MS + 2 * HOP_MS;
                    event(DtmfEvent::Ended { digit: current, duration_ms });
                    self.current = None;
                    (self.candidate, self.seen) = (digit, u32::from(digit.is_some()));
                }
            }
            return;
        }
        let Some((digit, power)) = pair else {
            (self.candidate, self.seen) = (None, 0);
            return;
        };
        let steady = power <= self.last_power * 4.0 && power * 4.0 >= self.last_power;
        if self.candidate == Some(digit) && (steady || self.seen <= 1) {
            self.seen += 1;
        } else {
            (self.candidate, self.seen) = (Some(digit), 1);
        }
        self.last_power = power;
        if self.seen >= WINDOWS_TO_BEGIN {
            self.current = Some(digit);
            self.missing = 0;
            self.windows = self.seen;
            event(DtmfEvent::Begun { digit, level_dbm0: power_dbm0(power) });
        }
    }
}

fn strongest(probes: &mut [Probe], window: &Window) -> (usize, Reading) {
    let mut best = (0, Reading::default());
    for (index, probe) in probes.iter_mut().enumerate() {
        let reading = probe.read(window);
        if reading.uncorrected_power > best.1.uncorrected_power {
            best = (index, reading);
        }
    }
    best
}
