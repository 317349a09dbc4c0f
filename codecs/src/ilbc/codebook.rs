//! The codebook of what was decoded already (RFC 3951 §3.6, §4.3, §4.4): pieces of the past, some of them bent so as to
//! repeat, and the same once more through a filter. Three of them, each with a gain, make a block.

use super::bits::Shape;
use super::lpc::{Filter, ORDER};
use super::tables::{CODEBOOK_FILTER, GAINS_3_BITS, GAINS_4_BITS, GAINS_5_BITS};

/// Samples of a block.
pub(super) const BLOCK: usize = 40;
/// Samples of the past that whole blocks look back on.
const MEMORY: usize = 147;
/// Samples of the past that the start state's rest looks back on.
const SHORT_MEMORY: usize = 85;
/// Bent pieces: those that repeat after 20 to 39 samples.
const SHORTEST_PERIOD: usize = 20;
const LARGEST_GAIN: f32 = 1.3;
/// How many neighbours of the best piece are tried once more through the filter.
const NEIGHBOURS: usize = 34;
/// How many pieces each stage tries, for the start state's rest and then for each block.
const RANGES: [[usize; 3]; 5] = [[58; 3], [108, 44, 44], [108; 3], [108; 3], [108; 3]];

/// A target's place in the frame: its first sample and whether it runs on from there or back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// 0 is the start state's rest, 1 the first block coded, and so on.
    pub(super) number: usize,
    /// The first sample forwards, or one beyond it backwards.
    pub(super) at: usize,
    pub(super) forward: bool,
    pub(super) length: usize,
    /// Nothing on the far side of this has been decoded.
    pub(super) bound: usize,
}

impl Place {
    /// The index in the frame of the target's `n`th sample.
    pub(super) fn index(&self, n: usize) -> usize {
        if self.forward { self.at + n } else { self.at - 1 - n }
    }

    /// The past as seen from here, the most recent last, and how much of it counts.
    pub(super) fn memory(&self, decoded: &[f32]) -> Memory {
        let length = if self.length == BLOCK { MEMORY } else { SHORT_MEMORY };
        let mut plain = [0.0; MEMORY];
        for (n, sample) in plain[..length].iter_mut().rev().enumerate() {
            let index = if self.forward { self.at.checked_sub(n + 1) } else { Some(self.at + n) };
            let known =
                index.filter(|index| if self.forward { *index >= self.bound } else { *index < self.bound });
            *sample = known.and_then(|index| decoded.get(index)).copied().unwrap_or(0.0);
        }
        Memory::new(plain, length, self.length)
    }
}

/// The past, plain and filtered, cut into vectors of one length.
pub(super) struct Memory {
    plain: [f32; MEMORY],
    filtered: [f32; MEMORY],
    length: usize,
    target: usize,
}

impl Memory {
    fn new(plain: [f32; MEMORY], length: usize, target: usize) -> Self {
        let mut filtered = [0.0; MEMORY];
        for (n, out) in filtered[..length].iter_mut().enumerate() {
            // From three samples before to four after; the filter is written the other way round.
            for (tap, coefficient) in CODEBOOK_FILTER.iter().rev().enumerate() {
                if let Some(index) = (n + tap).checked_sub(3).filter(|index| *index < length) {
                    *out += plain[index] * coefficient;
                }
            }
        }
        Self { plain, filtered, length, target }
    }

    /// Pieces as they are.
    fn pieces(&self) -> usize {
        self.length - self.target + 1
    }

    /// All vectors of one section.
    fn section(&self) -> usize {
        self.pieces() + if self.target == BLOCK { SHORTEST_PERIOD } else { 0 }
    }

    /// Vector number `index`; numbers beyond the last are the last, which only a damaged payload asks for.
    fn vector(&self, index: usize) -> [f32; BLOCK] {
        let (samples, index) = if index < self.section() {
            (&self.plain, index)
        } else {
            (&self.filtered, (index - self.section()).min(self.section() - 1))
        };
        let samples = &samples[..self.length];
        let mut vector = [0.0; BLOCK];
        if index < self.pieces() {
            let from = self.length - self.target - index;
            vector[..self.target].copy_from_slice(&samples[from..from + self.target]);
        } else {
            bend(samples, SHORTEST_PERIOD + index - self.pieces(), &mut vector);
        }
        vector
    }
}

/// The last `period` samples, and over again; the seam is faded over five.
fn bend(samples: &[f32], period: usize, vector: &mut [f32; BLOCK]) {
    let end = samples.len();
    for (n, out) in vector.iter_mut().enumerate() {
        *out = if n < period {
            let again = (n + 5).saturating_sub(period) as f32 * 0.2;
            let sample = samples[end - period + n];
            if again > 0.0 { sample * (1.0 - again) + samples[end - 2 * period + n] * again } else { sample }
        } else {
            samples[end - 2 * period + n]
        };
    }
}

/// Puts a vector together.
pub(super) fn construct(memory: &Memory, shape: &Shape, number: usize) -> [f32; BLOCK] {
    let mut out = [0.0; BLOCK];
    let mut last_gain = 1.0f32;
    for stage in 0..3 {
        let gain = gain_of(stage, shape.gains[stage], last_gain);
        let vector = memory.vector(index_of(stage, shape.vectors[stage], number));
        for (out, sample) in out.iter_mut().zip(vector) {
            *out += gain * sample;
        }
        last_gain = gain;
    }
    out
}

fn gain_of(stage: usize, code: u8, last_gain: f32) -> f32 {
    let scale = if stage == 0 { 1.0 } else { last_gain.abs().max(0.1) };
    let table = gains(stage);
    scale * table[usize::from(code) % table.len()]
}

fn gains(stage: usize) -> &'static [f32] {
    [&GAINS_5_BITS[..], &GAINS_4_BITS, &GAINS_3_BITS][stage]
}

/// The first block's later stages use half the codebook, and say so in seven bits.
fn index_of(stage: usize, code: u8, number: usize) -> usize {
    let code = usize::from(code);
    match (number, stage, code) {
        (1, 1.., 44..108) => code + 64,
        (1, 1.., 108..) => code + 128,
        _ => code,
    }
}

fn code_of(stage: usize, index: usize, number: usize) -> u8 {
    match (number, stage, index) {
        (1, 1.., 108..172) => (index - 64) as u8,
        (1, 1.., 236..) => (index - 128) as u8,
        _ => index as u8,
    }
}

/// Finds the codes of a target.
pub(super) fn search(target: &[f32], memory: &Memory, weighting: &Filter, number: usize) -> Shape {
    let (weighted_memory, mut target) = weigh(target, memory, weighting);
    let wanted: f32 = target.iter().map(|s| s * s).sum();
    let mut shape = Shape::default();
    let mut coded = [0.0f32; BLOCK];
    let mut last_gain = 1.0f32;
    let mut first_gain = 0.0;
    for (stage, range) in RANGES[number].into_iter().enumerate() {
        let (index, gain) = best_vector(&target, &weighted_memory, stage, range);
        let gain = if stage == 0 { gain.clamp(0.0, LARGEST_GAIN) } else { gain };
        let gain_code = nearest_gain(stage, gain, last_gain);
        let gain = gain_of(stage, gain_code, last_gain);
        (shape.vectors[stage], shape.gains[stage]) = (code_of(stage, index, number), gain_code);
        let vector = weighted_memory.vector(index);
        for ((target, coded), sample) in target.iter_mut().zip(&mut coded).zip(vector) {
            *coded += gain * sample;
            *target -= gain * sample;
        }
        if stage == 0 {
            first_gain = gain;
        }
        last_gain = gain;
    }
    // Unvoiced blocks lose power: the first gain, on which the others depend, makes up for it (§3.7).
    let got: f32 = coded.iter().map(|s| s * s).sum();
    let mut code = shape.gains[0];
    for other in shape.gains[0]..32 {
        let gain = GAINS_5_BITS[usize::from(other)];
        if got * gain * gain < wanted * first_gain * first_gain
            && GAINS_5_BITS[usize::from(code)] < 2.0 * first_gain
        {
            code = other;
        }
    }
    shape.gains[0] = code;
    shape
}

/// The weighting filter goes over the past and the target in one run.
fn weigh(target: &[f32], memory: &Memory, weighting: &Filter) -> (Memory, [f32; BLOCK]) {
    let length = memory.length;
    let mut line = [0.0; ORDER + MEMORY + BLOCK];
    let end = ORDER + length + target.len();
    line[ORDER..ORDER + length].copy_from_slice(&memory.plain[..length]);
    line[ORDER + length..end].copy_from_slice(target);
    for n in ORDER..end {
        let past: f32 = (1..=ORDER).map(|k| weighting[k] * line[n - k]).sum();
        line[n] -= past;
    }
    let mut plain = [0.0; MEMORY];
    plain[..length].copy_from_slice(&line[ORDER..ORDER + length]);
    let mut weighted = [0.0; BLOCK];
    weighted[..target.len()].copy_from_slice(&line[ORDER + length..end]);
    (Memory::new(plain, length, memory.target), weighted)
}

/// The vector most like the target, and its gain: all of the plain section within the range, then the filtered ones
/// around the best.
fn best_vector(target: &[f32; BLOCK], memory: &Memory, stage: usize, range: usize) -> (usize, f32) {
    let mut best = Best { index: 0, gain: 0.0, measure: -10_000_000.0 };
    let (pieces, section) = (memory.pieces(), memory.section());
    for index in (0..range).chain(pieces..section) {
        best.try_vector(index, target, memory, stage);
    }
    let (around, bent) = neighbours(best.index, range, pieces, memory.target == BLOCK);
    for index in around.chain(bent.map(|period| pieces + period - SHORTEST_PERIOD)) {
        best.try_vector(section + index, target, memory, stage);
    }
    (best.index, best.gain)
}

/// Which pieces, and which periods of bent ones, are tried through the filter.
fn neighbours(
    best: usize,
    range: usize,
    pieces: usize,
    has_bent: bool,
) -> (core::ops::Range<usize>, core::ops::Range<usize>) {
    let half = NEIGHBOURS / 2;
    if has_bent && best < half {
        // The shortest pieces border on the longest periods.
        return (0..best + half, BLOCK + best - half..BLOCK);
    }
    if best < pieces || !has_bent {
        let first = best.saturating_sub(half).min(range.saturating_sub(NEIGHBOURS));
        return (first..first + NEIGHBOURS, 0..0);
    }
    let period = SHORTEST_PERIOD + best - pieces;
    let first = period.saturating_sub(half).max(SHORTEST_PERIOD);
    (0..(NEIGHBOURS + first).saturating_sub(BLOCK), first..BLOCK)
}

struct Best {
    index: usize,
    gain: f32,
    measure: f32,
}

impl Best {
    fn try_vector(&mut self, index: usize, target: &[f32; BLOCK], memory: &Memory, stage: usize) {
        let vector = memory.vector(index);
        let (mut product, mut energy) = (0.0f32, 0.0f32);
        for (target, sample) in target.iter().zip(&vector) {
            product += target * sample;
            energy += sample * sample;
        }
        let inverse = if energy > 0.0 { 1.0 / energy } else { 0.0 };
        let gain = product * inverse;
        // The first gain has no sign.
        let measure = if stage == 0 && product <= 0.0 { -10_000_000.0 } else { product * gain };
        if measure > self.measure && gain.abs() < LARGEST_GAIN {
            *self = Self { index, gain, measure };
        }
    }
}

fn nearest_gain(stage: usize, gain: f32, last_gain: f32) -> u8 {
    let scale = if stage == 0 { 1.0 } else { last_gain.abs().max(0.1) };
    let mut best = (0, f32::MAX);
    for (code, level) in gains(stage).iter().enumerate() {
        let distance = (gain - scale * level) * (gain - scale * level);
        if distance < best.1 {
            best = (code, distance);
        }
    }
    best.0 as u8
}
