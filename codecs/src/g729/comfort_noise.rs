//! Annex B's comfort noise: silence descriptors and the excitation made from them (§B.4.2.2, §B.4.4).

use super::{
    basic_operators::*,
    bitstream::Silence,
    filter::SUBFRAME,
    lsp::{self, Pairs},
    lsp_quantizer::{Memory, spread, stabilise},
    pitch::{self, HISTORY, Lag, Taming},
    tables::*,
};

/// Where the noise generator starts, and starts again with each frame of speech.
pub(super) const SEED: i16 = 11_111;

/// A descriptor's meaning.
pub(super) struct Dequantised {
    pub(super) lsp: Pairs,
    pub(super) gain: i16,
}

/// Reads a descriptor; the LSF predictor's memory moves on.
pub(super) fn decode(memory: &mut Memory, frame: &Silence) -> Dequantised {
    let mut supplied = [0; 10];
    for j in 0..10 {
        let row = SID_CODEBOOK_2[usize::from(j >= 5)][frame.second & 15];
        supplied[j] = add(LSP_CODEBOOK_1[SID_CODEBOOK_1[frame.first & 31]][j], LSP_CODEBOOK_2[row][j]);
    }
    spread(&mut supplied, 1..10, 10);
    let mode = frame.mode & 1;
    let mut lsf = memory.compose(&supplied, &NOISE_PREDICTOR[mode], &NOISE_PREDICTOR_REST[mode]);
    stabilise(&mut lsf);
    Dequantised { lsp: lsp::from_frequencies(&lsf), gain: SID_GAIN[frame.gain & 31] }
}

/// The gain of the noise: what was described, approached step by step.
#[derive(Debug, Clone)]
pub(super) struct Smoothed {
    pub(super) described: i16,
    current: i16,
}

impl Smoothed {
    pub(super) fn new() -> Self {
        Self { described: SID_GAIN[0], current: 0 }
    }

    /// The gain of the next frame; at once the described one after speech.
    pub(super) fn next(&mut self, after_speech: bool) -> i16 {
        self.current = if after_speech {
            self.described
        } else {
            add(mult_r(self.current, 28_672), mult_r(self.described, 4_096))
        };
        self.current
    }
}

/// The index of the gain for the energies of `frames` past frames (0: one energy guessed by a decoder), and its level in dB.
pub(super) fn quantise_gain(energies: &[i16], shifts: &[i16], frames: usize) -> (usize, i16) {
    let (sum, shift) = if frames == 0 {
        (l_shl(i32::from(energies[0]), shifts[0]), 0)
    } else {
        let least = shifts[..frames].iter().copied().fold(i16::MAX, i16::min);
        let shift = least + 16 - SID_ENERGY_MARGIN[frames];
        let sum = energies[..frames]
            .iter()
            .zip(&shifts[..frames])
            .fold(0, |sum, (&energy, &own)| l_add(sum, l_shl(i32::from(energy), shift - own)));
        (sum, shift)
    };
    let mean = Split::of(sum).times_16(SID_ENERGY_FACTOR[frames]);
    let (exponent, fraction) = log2(mean);
    let level = add(shl(sub(exponent, shift), 10), mult_r(fraction, 1_024));
    if level <= -2_721 {
        (0, -12)
    } else if level > 22_111 {
        (31, 66)
    } else if level <= 4_762 {
        let index = mult(add(level, 3_401), 24).max(1);
        (index as usize, 4 * index - 8)
    } else {
        let index = (shr(mult(add(level, -340), 193), 2) - 1).max(6);
        (index as usize, 2 * index + 4)
    }
}

/// Four pulses drawn at random: place, and whether it points up.
type Pulses = [(usize, bool); 4];

/// Makes a frame of excitation at `gain`. The encoder's taming follows where it is given.
pub(super) fn excite(
    excitation: &mut [i16; HISTORY + 80],
    gain: i16,
    seed: &mut i16,
    mut taming: Option<&mut Taming>,
) {
    if gain == 0 {
        excitation[HISTORY..].fill(0);
        if let Some(taming) = taming {
            taming.update(0, 41);
            taming.update(0, 41);
        }
        return;
    }
    for at in [HISTORY, HISTORY + SUBFRAME] {
        let (lag, pulses) = draw_lag_and_pulses(seed);
        let adaptive = random(seed) & 0x1fff;
        let noise = gaussian(gain, seed);
        let adaptive = subframe(excitation, at, gain, lag, pulses, adaptive, &noise);
        if let Some(taming) = taming.as_deref_mut() {
            taming.update(adaptive, lag.whole);
        }
    }
}

fn draw_lag_and_pulses(seed: &mut i16) -> (Lag, Pulses) {
    let r = random(seed);
    let third = match (r & 3) - 1 {
        2 => 0,
        third => third,
    };
    let lag = Lag { whole: (r >> 2 & 63) + 40, third };
    let one = ((5 * (r >> 8 & 7)) as usize, r >> 11 & 1 == 1);
    let two = ((5 * (r >> 12 & 7) + 1) as usize, r >> 15 & 1 == 1);
    let r = random(seed);
    let three = ((5 * (r & 7) + 2) as usize, r >> 3 & 1 == 1);
    let q = r >> 4 & 15;
    let four = ((3 + (q & 1) + 5 * (q >> 1)) as usize, r >> 8 & 1 == 1);
    (lag, [one, two, three, four])
}

/// Forty Gaussian samples at the level of `gain`.
fn gaussian(gain: i16, seed: &mut i16) -> [i16; SUBFRAME] {
    let mut noise = [0; SUBFRAME];
    for sample in &mut noise {
        let sum = (0..12).fold(0i32, |sum, _| sum + i32::from(random(seed)));
        *sample = extract_l(l_shr(sum, 7));
    }
    let energy = energy_saturating(0, &noise);
    let inverse = inverse_sqrt(l_shr(energy, 1));
    let level = add(gain, mult_r(gain, 19_043));
    let factor = Split::of(inverse).times_16(level);
    let norm = norm_l(factor);
    let mantissa = extract_h(l_shl(factor, norm));
    noise.map(|sample| shr_r(mult_r(sample, mantissa), norm - 14))
}

/// One subframe: adaptive vector, noise, and pulses whose height brings the energy to the gain. Returns the adaptive gain used.
fn subframe(
    excitation: &mut [i16; HISTORY + 80],
    at: usize,
    gain: i16,
    lag: Lag,
    pulses: Pulses,
    adaptive: i16,
    noise: &[i16; SUBFRAME],
) -> i16 {
    pitch::predict(excitation, at, lag);
    let block = &mut excitation[at..at + SUBFRAME];
    let mut largest = 0;
    for (sample, &noise) in block.iter_mut().zip(noise) {
        *sample = add(mult_r(*sample, shl(adaptive, 1)), noise);
        largest = largest.max(abs_s(*sample));
    }
    let mut shift = if largest == 0 { 0 } else { (3 - norm_s(largest)).max(0) };
    let mut used = adaptive;
    let at_pulses = |block: &[i16], shift: i16| {
        pulses.iter().fold(0, |sum, &(place, up)| {
            let value = shr(block[place], shift);
            if up { add(sum, value) } else { sub(sum, value) }
        })
    };
    let energy = block.iter().fold(0, |sum, &sample| l_mac(sum, shr(sample, shift), shr(sample, shift)));
    let wanted = l_mult(gain, extract_l(l_shr(l_mult(gain, 40), 6)));
    let mut half = shr(at_pulses(block, shift), 1);
    let mut rest = l_sub(l_shr(wanted, 1 + 2 * shift), energy);
    rest = l_mac(rest, half, half);
    shift += 1;
    if rest < 0 {
        // The adaptive vector alone is too loud: noise and pulses only.
        block.copy_from_slice(noise);
        let bits = pulses.iter().fold(0, |bits, &(place, _)| bits | abs_s(noise[place]));
        shift = if bits & 0x4000 != 0 { 2 } else { 1 };
        half = at_pulses(noise, shift);
        rest = l_shr(Split::of(wanted).times_16(24_576), 2 * shift - 1);
        rest = l_mac(rest, half, half);
        used = 0;
    }
    let root = root(rest);
    let (one, two) = (sub(root, half), negate(add(half, root)));
    let height = if abs_s(two) < abs_s(one) { two } else { one };
    let height = shr_r(height, 2 - shift).clamp(-5_000, 5_000);
    for (place, up) in pulses {
        block[place] = if up { add(block[place], height) } else { sub(block[place], height) };
    }
    used
}

/// The square root, bit by bit, fourteen bits.
fn root(x: i32) -> i16 {
    (1..15).rev().fold(0, |root, bit| {
        let candidate = root | 1 << bit;
        if l_sub(x, l_mult(candidate, candidate)) >= 0 { candidate } else { root }
    })
}
