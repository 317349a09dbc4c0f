//! Conversion between sample rates, streaming: 8, 12, 16, 24, 32, 44.1 and 48 kHz, and any others with a small ratio.
//!
//! A polyphase filter of 48 taps a phase at the lower of the two rates (Kaiser window, 70 dB): flat to 0.425 of the
//! lower rate (3.4 kHz at 8 kHz), and late by 24 of its samples, 3 ms at 8 kHz. Blocks may have any length; over a
//! stream the ratio is exact.
//!
//! Why not a crate: `rubato` 5.0.1 beside it, over blocks of 20 ms on one core of a busy EPYC (how late, multiples of real
//! time, and what a sine of 1 kHz is above what is no such sine; 16-bit samples leave 98 dB). `cargo bench -p denwa-benches --bench
//! resample --features peers` measures it anew.
//!
//! | | ours | rubato, FFT | rubato, sinc of 64 taps |
//! |---|---|---|---|
//! | 8 to 16 kHz | 3 ms late, 10,100 x, 98 dB | 10 ms, 25,200 x, 142 dB | 4 ms, 2,200 x, 139 dB |
//! | 16 to 8 kHz | 3 ms, 11,500 x, 100 dB | 10 ms, 25,600 x, 142 dB | 2 ms, 4,900 x, 150 dB |
//! | 8 to 48 kHz | 3 ms, 3,100 x, 90 dB | 10 ms, 10,100 x, 142 dB | 4 ms, 630 x, 140 dB |
//! | 48 to 8 kHz | 3 ms, 5,400 x, 100 dB | 3.4 ms, 11,100 x, 140 dB | 0.6 ms, 4,800 x, 158 dB |
//! | 8 to 44.1 kHz | 3 ms, 3,000 x, 90 dB | 10 ms, 7,700 x, 140 dB | 4 ms, 690 x, 141 dB |
//! | 44.1 to 8 kHz | 3.1 ms, 5,400 x, 93 dB | 5 ms, 9,400 x, 143 dB | 0.6 ms, 3,800 x, 146 dB |
//!
//! What is better than 90 dB no telephone hears; 7 ms less in each direction it does, and blocks of rubato's have a length
//! that is agreed on beforehand, where packets change theirs during a call.

use alloc::{vec, vec::Vec};
use core::f64::consts::PI;

/// Taps of a phase at the lower rate.
const TAPS: usize = 48;
/// Middle of the slope, as a share of the lower rate.
const CUTOFF: f64 = 0.47;
/// Kaiser's beta for 70 dB.
const BETA: f64 = 6.76;

/// Rates that cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{from_hz} to {to_hz} Hz: rates must be 1,000 to 192,000 Hz with a ratio of whole numbers up to 1,000"
)]
pub struct RateError {
    /// In Hz.
    pub from_hz: u32,
    /// In Hz.
    pub to_hz: u32,
}

/// One channel from one rate to another.
#[derive(Debug, Clone)]
pub struct Resampler {
    /// The ratio in its lowest terms: `up` samples out for `down` in.
    up: usize,
    down: usize,
    /// One filter a phase, its last tap first.
    filters: Vec<f32>,
    taps: usize,
    /// The last `taps - 1` samples, then the block's.
    line: Vec<f32>,
    /// Where the next output is, in 1/`up` of an input sample, after the line's first window.
    position: usize,
    delay_seconds: f64,
}

impl Resampler {
    /// A converter whose past is silence.
    ///
    /// # Errors
    /// [`RateError`].
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, RateError> {
        let error = RateError { from_hz, to_hz };
        let range = 1_000..=192_000;
        if !range.contains(&from_hz) || !range.contains(&to_hz) {
            return Err(error);
        }
        let divisor = greatest_common_divisor(from_hz, to_hz);
        let (up, down) = ((to_hz / divisor) as usize, (from_hz / divisor) as usize);
        if up > 1_000 || down > 1_000 {
            return Err(error);
        }
        // Going down, the filter is as long in the lower rate's samples, so longer in the higher one's.
        let stretch = (f64::from(from_hz) / f64::from(to_hz)).max(1.0);
        let taps = if up == down { 1 } else { ((TAPS as f64 * stretch).ceil() as usize).next_multiple_of(8) };
        Ok(Self {
            up,
            down,
            filters: if taps == 1 { vec![1.0] } else { design(up, taps, CUTOFF / stretch) },
            taps,
            line: vec![0.0; taps - 1],
            position: 0,
            delay_seconds: if taps == 1 { 0.0 } else { taps as f64 / 2.0 / f64::from(from_hz) },
        })
    }

    /// By how much the output is late, in seconds.
    #[must_use]
    pub fn delay_seconds(&self) -> f64 {
        self.delay_seconds
    }

    /// The most samples that `input` samples can become.
    #[must_use]
    pub fn max_output(&self, input: usize) -> usize {
        (input * self.up).div_ceil(self.down)
    }

    /// Converts `input` into the beginning of `output` and says how many samples were written.
    ///
    /// All of `input` is taken. What does not fit in `output` is lost; [`Resampler::max_output`] always does.
    pub fn convert(&mut self, input: &[i16], output: &mut [i16]) -> usize {
        let past = self.taps - 1;
        let mut written = 0;
        // In pieces, so that the line stays small whatever comes.
        for piece in input.chunks(960) {
            self.line.truncate(past);
            self.line.extend(piece.iter().map(|sample| f32::from(*sample)));
            while self.position < piece.len() * self.up {
                let (at, phase) = (self.position / self.up, self.position % self.up);
                let window = &self.line[at..at + self.taps];
                let filter = &self.filters[phase * self.taps..(phase + 1) * self.taps];
                if let Some(out) = output.get_mut(written) {
                    *out = dot(window, filter).round_ties_even() as i16; // saturates
                    written += 1;
                }
                self.position += self.down;
            }
            self.position -= piece.len() * self.up;
            self.line.copy_within(piece.len().., 0);
            self.line.truncate(past);
        }
        written
    }
}

/// In eight sums, which is what vectors want.
#[inline]
fn dot(window: &[f32], filter: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    let (windows, rest) = window.as_chunks::<8>();
    let (filters, rest_filter) = filter.as_chunks::<8>();
    for (window, filter) in windows.iter().zip(filters) {
        for lane in 0..8 {
            sums[lane] += window[lane] * filter[lane];
        }
    }
    let rest: f32 = rest.iter().zip(rest_filter).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Windowed sines, one a phase, each with unity gain.
fn design(up: usize, taps: usize, cutoff: f64) -> Vec<f32> {
    let mut filters = vec![0f32; up * taps];
    let half = taps as f64 / 2.0;
    for phase in 0..up {
        let filter = &mut filters[phase * taps..(phase + 1) * taps];
        let values: Vec<f64> = (0..taps)
            .map(|tap| {
                let time = tap as f64 - (half - 1.0) - phase as f64 / up as f64;
                let sine = if time.abs() < 1e-9 {
                    2.0 * cutoff
                } else {
                    (2.0 * PI * cutoff * time).sin() / (PI * time)
                };
                sine * kaiser(time / half)
            })
            .collect();
        let sum: f64 = values.iter().sum();
        for (to, value) in filter.iter_mut().zip(values) {
            *to = (value / sum) as f32;
        }
    }
    filters
}

/// Kaiser's window at -1 ..= 1.
fn kaiser(at: f64) -> f64 {
    let inside = 1.0 - at * at;
    if inside <= 0.0 { 0.0 } else { bessel(BETA * inside.sqrt()) / bessel(BETA) }
}

/// The modified Bessel function of the first kind, order 0.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)) * (x / 2.0 / f64::from(k));
        sum += term;
    }
    sum
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
