//! Linear prediction (RFC 3951 §3.2, §3.3, §4.1): analysis, line spectral frequencies and their quantisation, and the
//! filters made of them, one a block of 40 samples.

use super::bits::Mode;
use super::tables::{LAG_WINDOW, LSF_FIRST, LSF_LAST, LSF_MEAN, LSF_MIDDLE, WINDOW, WINDOW_ASYMMETRIC};
use core::f32::consts::TAU;

/// Order of the predictor.
pub(super) const ORDER: usize = 10;
/// Samples before the frame that the analysis sees.
const LOOKBACK: usize = 60;
const LONGEST: usize = 240;
const SYNTHESIS_CHIRP: f32 = 0.9025;
const WEIGHTING_CHIRP: f32 = 0.4222;

/// Coefficients of 1 + a1 z^-1 + ...
pub(super) type Filter = [f32; ORDER + 1];
/// Line spectral frequencies, in radians a sample.
pub(super) type Spectrum = [f32; ORDER];

/// The filter that changes nothing.
pub(super) const FLAT: Filter = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];

/// The filters of up to six blocks.
pub(super) type Filters = [Filter; 6];

/// Analysis of successive frames.
#[derive(Debug, Clone)]
pub(super) struct Analysis {
    buffer: [f32; LOOKBACK + LONGEST],
    last: Spectrum,
    last_quantised: Spectrum,
}

/// What the analysis of a frame gives.
pub(super) struct Analysed {
    pub(super) codes: [[u8; 3]; 2],
    pub(super) synthesis: Filters,
    pub(super) weighting: Filters,
}

impl Analysis {
    pub(super) fn new() -> Self {
        Self { buffer: [0.0; LOOKBACK + LONGEST], last: LSF_MEAN, last_quantised: LSF_MEAN }
    }

    pub(super) fn analyse(&mut self, mode: Mode, samples: &[f32]) -> Analysed {
        let size = samples.len();
        self.buffer.copy_within(size.., 0);
        let fresh = self.buffer.len() - size;
        self.buffer[fresh..].copy_from_slice(samples);

        let late = spectrum_of(&self.buffer[LOOKBACK..], &WINDOW_ASYMMETRIC);
        let spectra = match mode {
            Mode::Ms20 => [late, late],
            Mode::Ms30 => [spectrum_of(&self.buffer[..LONGEST], &WINDOW), late],
        };
        let mut codes = [[0; 3]; 2];
        let mut quantised = [[0.0; ORDER]; 2];
        for ((spectrum, codes), quantised) in spectra.iter().zip(&mut codes).zip(&mut quantised) {
            *codes = quantise(spectrum);
            *quantised = dequantise(*codes);
        }
        let synthesis = filters(mode, &self.last_quantised, &quantised);
        let weighting = filters(mode, &self.last, &spectra).map(|filter| widen(&filter, WEIGHTING_CHIRP));
        (self.last, self.last_quantised) = (spectra[1], quantised[1]);
        Analysed { codes, synthesis, weighting }
    }
}

/// The synthesis filters of a received frame; `last` is the spectrum of the frame before and becomes this one's.
pub(super) fn received(mode: Mode, codes: [[u8; 3]; 2], last: &mut Spectrum) -> Filters {
    let spectra = match mode {
        Mode::Ms20 => [dequantise(codes[0]); 2],
        Mode::Ms30 => codes.map(dequantise),
    };
    let filters = filters(mode, last, &spectra);
    *last = spectra[1];
    filters
}

/// A filter for each block, between the last spectrum and this frame's one or two.
fn filters(mode: Mode, last: &Spectrum, spectra: &[Spectrum; 2]) -> Filters {
    let between = |old: &Spectrum, new: &Spectrum, share: f32| {
        filter_of(&core::array::from_fn(|i| share * old[i] + (1.0 - share) * new[i]))
    };
    core::array::from_fn(|block| match (mode, block) {
        (Mode::Ms20, 0..4) => between(last, &spectra[0], [0.75, 0.5, 0.25, 0.0][block]),
        (Mode::Ms20, _) => FLAT,
        (Mode::Ms30, 0) => between(last, &spectra[0], 0.5),
        (Mode::Ms30, _) => {
            between(&spectra[0], &spectra[1], [0.0, 1.0, 2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0][block.min(5)])
        }
    })
}

fn spectrum_of(samples: &[f32], window: &[f32; LONGEST]) -> Spectrum {
    let mut windowed = [0.0; LONGEST];
    for ((to, sample), weight) in windowed.iter_mut().zip(samples).zip(window) {
        *to = sample * weight;
    }
    let correlation: Filter = core::array::from_fn(|lag| {
        windowed[lag..].iter().zip(&windowed).map(|(one, other)| one * other).sum::<f32>() * LAG_WINDOW[lag]
    });
    frequencies(&widen(&levinson(&correlation), SYNTHESIS_CHIRP))
}

fn levinson(correlation: &Filter) -> Filter {
    let mut filter = FLAT;
    if correlation[0] < f32::EPSILON {
        return filter;
    }
    let mut error = correlation[0];
    for m in 0..ORDER {
        let mut sum = correlation[m + 1];
        for i in 0..m {
            sum += filter[i + 1] * correlation[m - i];
        }
        let reflection = -sum / error;
        error += reflection * sum;
        let before = filter;
        for i in 0..m {
            filter[i + 1] = before[i + 1] + reflection * before[m - i];
        }
        filter[m + 1] = reflection;
    }
    filter
}

/// Bandwidth expansion: the roots move towards the middle.
fn widen(filter: &Filter, chirp: f32) -> Filter {
    let mut factor = 1.0;
    filter.map(|coefficient| {
        let widened = coefficient * factor;
        factor *= chirp;
        widened
    })
}

/// A sum of cosines of multiples of one angle, by Clenshaw's way: five terms, the first with factor one.
fn cosine_sum(coefficients: &[f32; 5], omega: f32) -> f32 {
    let cos = (omega * TAU).cos();
    let first = 2.0 * cos + coefficients[0];
    let second = 2.0 * cos * first - 1.0 + coefficients[1];
    let third = 2.0 * cos * second - first + coefficients[2];
    let fourth = 2.0 * cos * third - second + coefficients[3];
    cos * fourth - third + coefficients[4]
}

/// From a filter to its line spectral frequencies: roots of two polynomials in turn, on ever finer grids.
fn frequencies(filter: &Filter) -> Spectrum {
    const STEPS: [f32; 4] = [0.006_35, 0.003_175, 0.001_587_5, 0.000_793_75];
    let mut sums = [[0.0f32; 5]; 2];
    let (mut even, mut odd) = (-1.0, 1.0);
    for i in 0..5 {
        even = if i == 0 {
            -1.0 + filter[i + 1] + filter[ORDER - i]
        } else {
            -even + filter[i + 1] + filter[ORDER - i]
        };
        odd -= filter[ORDER - i] - filter[i + 1];
        let half = if i == 4 { 0.5 } else { 1.0 };
        sums[0][i] = even * half;
        sums[1][i] = odd * half;
    }
    let mut omega = 0.0;
    let mut before = [f32::MAX; 2];
    let mut first_hit = 0.0;
    core::array::from_fn(|index| {
        let sum = &sums[index % 2];
        let before = &mut before[index % 2];
        let mut level = 0;
        loop {
            let value = cosine_sum(sum, omega);
            let crossed = (value <= 0.0) != (*before <= 0.0) || value == 0.0 || *before == 0.0;
            if !crossed && omega < 0.5 {
                *before = value;
                omega += STEPS[level];
                continue;
            }
            if level == 0 {
                first_hit = omega;
            }
            if level == STEPS.len() - 1 {
                let root = if value.abs() >= before.abs() { omega - STEPS[level] } else { omega };
                *before = if *before >= 0.0 { f32::MIN } else { f32::MAX };
                omega = first_hit;
                return root * TAU;
            }
            level += 1;
            omega -= STEPS[level];
        }
    })
}

/// From line spectral frequencies to the filter.
fn filter_of(spectrum: &Spectrum) -> Filter {
    let mut turns = spectrum.map(|frequency| frequency / TAU);
    if turns[0] <= 0.0 || turns[ORDER - 1] >= 0.5 {
        // Out of order beyond repair: spread evenly.
        turns[0] = if turns[0] <= 0.0 { 0.022 } else { turns[0] };
        turns[ORDER - 1] = if turns[ORDER - 1] >= 0.5 { 0.499 } else { turns[ORDER - 1] };
        let step = (turns[ORDER - 1] - turns[0]) / (ORDER - 1) as f32;
        for i in 1..ORDER {
            turns[i] = turns[i - 1] + step;
        }
    }
    let even: [f32; 5] = core::array::from_fn(|i| (TAU * turns[2 * i]).cos());
    let odd: [f32; 5] = core::array::from_fn(|i| (TAU * turns[2 * i + 1]).cos());
    // Two chains of second-order sections, fed an impulse.
    let mut chains = [Chain::default(), Chain::default()];
    chains[0].step(0.25, &even);
    chains[1].step(0.25, &odd);
    let mut filter = FLAT;
    for (i, coefficient) in filter.iter_mut().skip(1).enumerate() {
        let (plus, minus) = if i == 0 { (0.25, -0.25) } else { (0.0, 0.0) };
        *coefficient = 2.0 * (chains[0].step(plus, &even) + chains[1].step(minus, &odd));
    }
    filter
}

#[derive(Default)]
struct Chain {
    past: [[f32; 2]; 5],
}

impl Chain {
    fn step(&mut self, input: f32, cosines: &[f32; 5]) -> f32 {
        let mut value = input;
        for (past, cosine) in self.past.iter_mut().zip(cosines) {
            let next = value - 2.0 * cosine * past[0] + past[1];
            *past = [value, past[0]];
            value = next;
        }
        value
    }
}

fn quantise(spectrum: &Spectrum) -> [u8; 3] {
    [
        nearest(&LSF_FIRST, &spectrum[..3]),
        nearest(&LSF_MIDDLE, &spectrum[3..6]),
        nearest(&LSF_LAST, &spectrum[6..]),
    ]
}

fn nearest<const N: usize>(codebook: &[[f32; N]], vector: &[f32]) -> u8 {
    let mut best = (0, f32::MAX);
    for (code, entry) in codebook.iter().enumerate() {
        let distance: f32 =
            entry.iter().zip(vector).map(|(entry, value)| (value - entry) * (value - entry)).sum();
        if distance < best.1 {
            best = (code, distance);
        }
    }
    best.0 as u8
}

fn dequantise(codes: [u8; 3]) -> Spectrum {
    let mut spectrum = [0.0; ORDER];
    spectrum[..3].copy_from_slice(&LSF_FIRST[usize::from(codes[0]) & 63]);
    spectrum[3..6].copy_from_slice(&LSF_MIDDLE[usize::from(codes[1]) & 127]);
    spectrum[6..].copy_from_slice(&LSF_LAST[usize::from(codes[2]) & 127]);
    keep_apart(&mut spectrum);
    spectrum
}

/// Neighbours closer than 50 Hz make a formant too narrow: they are moved apart (§3.2.5).
fn keep_apart(spectrum: &mut Spectrum) {
    const LEAST: f32 = 0.039;
    const HALF: f32 = 0.0195;
    #[allow(clippy::approx_constant)] // the RFC's number, not pi
    const HIGHEST: f32 = 3.14;
    for _ in 0..2 {
        for i in 0..ORDER - 1 {
            let (low, high) = (spectrum[i], spectrum[i + 1]);
            if high - low < LEAST {
                (spectrum[i], spectrum[i + 1]) =
                    if high < low { (low, low + HALF) } else { (low - HALF, high + HALF) };
            }
            spectrum[i] = spectrum[i].clamp(0.01, HIGHEST);
        }
    }
}

/// Takes the prediction out: the residual of one block, with the samples before it.
pub(super) fn residual(filter: &Filter, samples: &[f32], past: &mut [f32; ORDER], out: &mut [f32]) {
    let mut line = [0.0; ORDER + 40];
    line[..ORDER].copy_from_slice(past);
    let count = samples.len().min(40);
    line[ORDER..ORDER + count].copy_from_slice(&samples[..count]);
    for (n, out) in out.iter_mut().take(count).enumerate() {
        *out = filter.iter().enumerate().map(|(k, coefficient)| coefficient * line[ORDER + n - k]).sum();
    }
    past.copy_from_slice(&line[count..count + ORDER]);
}

/// Puts it back in, in place.
pub(super) fn synthesise(filter: &Filter, samples: &mut [f32], past: &mut [f32; ORDER]) {
    for sample in samples {
        for (coefficient, past) in filter[1..].iter().zip(past.iter().rev()) {
            *sample -= coefficient * past;
        }
        past.copy_within(1.., 0);
        past[ORDER - 1] = *sample;
    }
}
