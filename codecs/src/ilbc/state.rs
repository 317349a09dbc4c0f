//! The start state (RFC 3951 §3.5, §4.2): the 57 or 58 loudest samples of a frame, spread by an all-pass filter so that
//! none sticks out, and coded one by one with three bits.

use super::lpc::{Filter, ORDER};
use super::tables::{STATE_LEVELS, STATE_SCALES};

const LONGEST: usize = 58;

/// The block (from 1) with which the two loudest neighbours begin.
pub(super) fn find_start(residual: &[f32]) -> u8 {
    let blocks = residual.len() / 40;
    // The middle of the frame is favoured, and the outer five samples of each pair count less.
    let favour: &[f32] = if blocks == 4 { &[0.9, 1.0, 0.9] } else { &[0.8, 0.9, 1.0, 0.9, 0.8] };
    let mut best = (1, f32::MIN);
    for (pair, favour) in favour.iter().enumerate() {
        let samples = &residual[pair * 40..pair * 40 + 80];
        let power: f32 = samples
            .iter()
            .enumerate()
            .map(|(n, sample)| sample * sample * ((n.min(79 - n) + 1) as f32 / 6.0).min(1.0))
            .sum();
        if power * favour > best.1 {
            best = (pair + 1, power * favour);
        }
    }
    best.0 as u8
}

/// Circular convolution with the all-pass filter made of a predictor.
fn disperse(samples: &[f32], filter: &Filter) -> [f32; LONGEST] {
    let count = samples.len();
    let mut input = [0.0; ORDER + 2 * LONGEST];
    input[ORDER..ORDER + count].copy_from_slice(samples);
    let mut output = [0.0; ORDER + 2 * LONGEST];
    for n in ORDER..ORDER + 2 * count {
        let zeros: f32 = (0..=ORDER).map(|k| filter[ORDER - k] * input[n - k]).sum();
        let poles: f32 = (1..=ORDER).map(|k| filter[k] * output[n - k]).sum();
        output[n] = zeros - poles;
    }
    let mut folded = [0.0; LONGEST];
    for (n, sample) in folded.iter_mut().take(count).enumerate() {
        *sample = output[ORDER + n] + output[ORDER + n + count];
    }
    folded
}

/// The scale's code and the samples'. `filters` and `weighting` are those of the blocks the samples are in, and
/// `in_first` of the samples are in the first.
pub(super) fn encode(
    samples: &[f32],
    in_first: usize,
    filter: &Filter,
    weighting: [&Filter; 2],
    codes: &mut [u8; LONGEST],
) -> u8 {
    let count = samples.len();
    let mut dispersed = disperse(samples, filter);
    let largest = dispersed[..count].iter().fold(0.0f32, |largest, sample| largest.max(sample.abs()));
    let scale = nearest(&STATE_SCALES, largest.max(10.0).log10());
    let factor = 4.5 / 10f32.powf(STATE_SCALES[usize::from(scale)]);

    // Both the target and its prediction go through the weighting filter, which changes with the block.
    let mut target = [0.0; ORDER + LONGEST];
    let mut coded = [0.0; ORDER + LONGEST];
    for n in 0..count {
        let weighting = weighting[usize::from(n >= in_first)];
        let predict = |line: &[f32; ORDER + LONGEST]| -> f32 {
            (1..=ORDER).map(|k| weighting[k] * line[ORDER + n - k]).sum()
        };
        dispersed[n] *= factor;
        target[ORDER + n] = dispersed[n] - predict(&target);
        let predicted = -predict(&coded);
        codes[n] = nearest(&STATE_LEVELS, target[ORDER + n] - predicted);
        coded[ORDER + n] = STATE_LEVELS[usize::from(codes[n])] + predicted;
    }
    scale
}

/// The samples that codes stand for.
pub(super) fn decode(scale: u8, codes: &[u8], filter: &Filter, out: &mut [f32]) {
    let factor = 10f32.powf(STATE_SCALES[usize::from(scale) & 63]) / 4.5;
    let mut reversed = [0.0; LONGEST];
    for (sample, code) in reversed.iter_mut().zip(codes.iter().rev()) {
        *sample = factor * STATE_LEVELS[usize::from(*code) & 7];
    }
    let dispersed = disperse(&reversed[..codes.len()], filter);
    for (out, sample) in out.iter_mut().zip(dispersed[..codes.len()].iter().rev()) {
        *out = *sample;
    }
}

/// The code of the level nearest to `value`; of two as near, the lower.
fn nearest(levels: &[f32], value: f32) -> u8 {
    let above = levels.partition_point(|level| *level < value).min(levels.len() - 1);
    if above > 0 && value <= (levels[above] + levels[above - 1]) / 2.0 {
        (above - 1) as u8
    } else {
        above as u8
    }
}
