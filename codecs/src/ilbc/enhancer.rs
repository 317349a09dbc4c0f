//! The enhancer (RFC 3951 §4.6): every block of 80 residual samples is drawn towards the pitch cycles around it, as far
//! as that changes no more than a twentieth of its energy. It looks 40 (20 ms frames) or 80 samples ahead.

use super::bits::Mode;
use super::tables::{HALF_BAND, POLYPHASE};

const BLOCK: usize = 80;
const BLOCKS: usize = 8;
const BUFFER: usize = BLOCKS * BLOCK;
/// Cycles on either side.
const REACH: usize = 3;
/// How far the true cycle may be from where it is expected.
const SLOP: usize = 2;
/// Taps of the delay filters on either side.
const HALF_TAPS: usize = 3;
const FINENESS: usize = 4;
const LARGEST_CHANGE: f32 = 0.05;

/// The residual of the last 80 ms and its periods.
#[derive(Debug, Clone)]
pub(super) struct Enhancer {
    buffer: [f32; BUFFER],
    periods: [f32; BLOCKS],
    /// The frame before was made up.
    after_loss: bool,
}

impl Enhancer {
    pub(super) fn new() -> Self {
        Self { buffer: [0.0; BUFFER], periods: [40.0; BLOCKS], after_loss: false }
    }

    /// Takes a frame's residual, `lost` if it was made up, and gives the enhanced one, delayed; and twice the last lag.
    pub(super) fn enhance(&mut self, mode: Mode, residual: &[f32], lost: bool, out: &mut [f32]) -> usize {
        let size = mode.frame_samples();
        let fresh = BUFFER - size;
        self.buffer.copy_within(size.., 0);
        self.buffer[fresh..].copy_from_slice(&residual[..size]);
        let fresh_blocks = if mode == Mode::Ms20 { 2 } else { 3 };
        self.periods.copy_within(fresh_blocks.., 0);

        let mut lag = self.find_periods(fresh_blocks);
        if self.after_loss {
            lag = self.mend_lookahead(mode, residual, fresh_blocks);
        }
        self.after_loss = lost;

        let first = if mode == Mode::Ms20 { 5 * BLOCK + 40 } else { 4 * BLOCK };
        for (block, out) in out[..size].chunks_mut(BLOCK).enumerate() {
            self.enhance_block(first + block * BLOCK, out);
        }
        2 * lag
    }

    /// Periods of the new blocks, at half the rate; gives the last of them in samples of that rate.
    fn find_periods(&mut self, fresh_blocks: usize) -> usize {
        let begin = BUFFER - fresh_blocks * BLOCK - 120;
        let count = BUFFER - begin;
        let mut halved = [0.0; 180];
        for (n, out) in halved[..count / 2 - 1].iter_mut().enumerate() {
            let at = begin + 3 + 2 * n;
            *out = HALF_BAND
                .iter()
                .enumerate()
                .map(|(tap, coefficient)| coefficient * self.buffer[at - tap])
                .sum();
        }
        // The last one sees the end of the buffer only.
        halved[count / 2 - 1] = HALF_BAND[2..]
            .iter()
            .enumerate()
            .map(|(tap, coefficient)| coefficient * self.buffer[BUFFER - 1 - tap])
            .sum();
        let mut lag = 10;
        for block in 0..fresh_blocks {
            let at = 60 + block * BLOCK / 2;
            let target = &halved[at..at + BLOCK / 2];
            lag = 10;
            let mut best = likeness(target, &halved[at - lag..]);
            for other in 11..60 {
                let like = likeness(target, &halved[at - other..]);
                if like > best {
                    (lag, best) = (other, like);
                }
            }
            self.periods[BLOCKS - fresh_blocks + block] = (2 * lag) as f32;
        }
        lag
    }

    /// After a loss: what was made up beyond the last frame's end is mixed with the new frame run backwards.
    fn mend_lookahead(&mut self, mode: Mode, residual: &[f32], fresh_blocks: usize) -> usize {
        let count = if mode == Mode::Ms20 { 40 } else { BLOCK };
        let first_fresh = BLOCKS - fresh_blocks;
        let estimate = self.periods[first_fresh] as usize;
        let mut lag = estimate - 1;
        let mut best = likeness(&residual[..count], &residual[lag..]);
        for other in estimate..=estimate + 1 {
            let like = likeness(&residual[..count], &residual[other..]);
            if like > best {
                (lag, best) = (other, like);
            }
        }
        self.periods[first_fresh - 1] = lag as f32;

        let end = BUFFER - mode.frame_samples();
        let mut backward = [0.0; BLOCK];
        for (n, sample) in backward[..count].iter_mut().rev().enumerate() {
            *sample = if n < lag { residual[lag - 1 - n] } else { self.buffer[end - 1 - (n - lag)] };
        }
        let rms = |samples: &[f32]| (samples.iter().map(|s| s * s).sum::<f32>() / count as f32).sqrt();
        let (new, old) = (rms(&backward[..count]), rms(&self.buffer[end - count..end]));
        if new > 2.0 * old && new > 0.0 {
            let factor = 2.0 * old / new;
            for (n, sample) in backward[..count].iter_mut().enumerate() {
                let towards_one = (n + 10).saturating_sub(count) as f32 / 10.0;
                *sample *= factor + towards_one * (1.0 - factor);
            }
        }
        for n in 0..count {
            let share = (n + 1) as f32 / (count + 1) as f32;
            let sample = &mut self.buffer[end - 1 - n];
            *sample = *sample * share + backward[count - 1 - n] * (1.0 - share);
        }
        lag
    }

    fn enhance_block(&self, at: usize, out: &mut [f32]) {
        let cycles = self.cycles(at);
        let current = &self.buffer[at..at + BLOCK];
        // The six others, weighted by a raised cosine.
        let mut others = [0.0f32; BLOCK];
        for (number, cycle) in cycles.iter().enumerate() {
            let turn = (number + 1) as f32 / (2 * REACH + 2) as f32;
            let weight = 0.5 * (1.0 - (core::f32::consts::TAU * turn).cos());
            for (sum, sample) in others.iter_mut().zip(cycle) {
                *sum += if number == REACH { 0.0 } else { sample * weight };
            }
        }
        let dot = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
        let energy = dot(current, current);
        let cross = dot(&others, current);
        let other_energy = dot(&others, &others);
        let other_energy = if other_energy < 1.0 { 1.0 } else { other_energy };
        let level = (energy / other_energy).sqrt();
        let mut change = 0.0;
        for ((out, other), sample) in out.iter_mut().zip(&others).zip(current) {
            *out = level * other;
            change += (sample - *out) * (sample - *out);
        }
        if change > LARGEST_CHANGE * energy {
            let energy = energy.max(1.0);
            let unlike = (other_energy * energy - cross * cross) / (energy * energy);
            let (a, b) = if unlike > 0.0001 {
                let a = ((LARGEST_CHANGE - LARGEST_CHANGE * LARGEST_CHANGE / 4.0) / unlike).sqrt();
                (a, 1.0 - LARGEST_CHANGE / 2.0 - a * cross / energy)
            } else {
                (0.0, 1.0)
            };
            for ((out, other), sample) in out.iter_mut().zip(&others).zip(current) {
                *out = a * other + b * sample;
            }
        }
    }

    /// Seven cycles, the current block in the middle; silence where the buffer does not reach.
    fn cycles(&self, at: usize) -> [[f32; BLOCK]; 2 * REACH + 1] {
        let mut cycles = [[0.0; BLOCK]; 2 * REACH + 1];
        cycles[REACH].copy_from_slice(&self.buffer[at..at + BLOCK]);
        // Where each period was measured: the middle of its block.
        let nearest = |position: f32, shifted: bool| {
            let mut best = (0, f32::MAX);
            for (block, period) in self.periods.iter().enumerate() {
                let middle = 40.0 + 80.0 * block as f32 - if shifted { *period } else { 0.0 };
                let distance = (middle - position) * (middle - position);
                if distance < best.1 {
                    best = (block, distance);
                }
            }
            best.0
        };
        let center = at as f32;
        let mut position = center;
        let mut period = self.periods[nearest(center + 0.5 * (BLOCK - 1) as f32, false)];
        for cycle in (0..REACH).rev() {
            position -= period;
            let next = nearest(position + 40.0 - period, false);
            if position >= 2.0 {
                position = self.refine(at, position, &mut cycles[cycle]);
            }
            period = self.periods[next];
        }
        position = center;
        for cycle in &mut cycles[REACH + 1..] {
            let period = self.periods[nearest(position + 40.0, true)];
            position += period;
            if position + ((BLOCK + 2) as f32) < BUFFER as f32 {
                position = self.refine(at, position, cycle);
            }
        }
        cycles
    }

    /// The piece near `expected` most like the block at `at`, to a quarter of a sample; gives where it begins.
    fn refine(&self, at: usize, expected: f32, out: &mut [f32; BLOCK]) -> f32 {
        let rounded = (expected - 0.5).max(0.0) as usize;
        let first = rounded.saturating_sub(SLOP);
        let last = (rounded + SLOP).min(BUFFER - BLOCK - 1);
        let count = (last + 1).saturating_sub(first).clamp(1, 2 * SLOP + 1);
        let mut likeness = [0.0f32; 2 * SLOP + 1];
        for (offset, like) in likeness[..count].iter_mut().enumerate() {
            let piece = &self.buffer[first + offset..first + offset + BLOCK];
            *like = piece.iter().zip(&self.buffer[at..at + BLOCK]).map(|(a, b)| a * b).sum();
        }
        // Between whole samples the likeness is interpolated with the five middle taps.
        let mut best = (0, f32::MIN);
        for step in 0..FINENESS * count {
            let (whole, fraction) = (step / FINENESS, step % FINENESS);
            let mut like = 0.0;
            for tap in 0..5 {
                if let Some(index) = (whole + 2).checked_sub(tap).filter(|index| *index < count) {
                    like += likeness[index] * POLYPHASE[fraction][tap + 1];
                }
            }
            if like > best.1 {
                best = (step, like);
            }
        }
        let whole = best.0.div_ceil(FINENESS);
        let fraction = whole * FINENESS - best.0;
        for (n, out) in out.iter_mut().enumerate() {
            *out = 0.0;
            for (tap, coefficient) in POLYPHASE[fraction].iter().enumerate() {
                if let Some(index) =
                    (first + whole + n + tap).checked_sub(HALF_TAPS).filter(|index| *index < BUFFER)
                {
                    *out += self.buffer[index] * coefficient;
                }
            }
        }
        first as f32 + best.0 as f32 / FINENESS as f32 + 1.0
    }
}

/// Squared correlation over energy; nothing if it is negative.
fn likeness(target: &[f32], other: &[f32]) -> f32 {
    let (mut product, mut energy) = (0.0f32, 0.0f32);
    for (target, other) in target.iter().zip(other) {
        product += target * other;
        energy += other * other;
    }
    if product > 0.0 { product * product / energy } else { 0.0 }
}
