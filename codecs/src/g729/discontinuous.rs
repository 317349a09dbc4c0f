//! Annex B's discontinuous transmission: when a silence descriptor is due, and what it says (§B.4.1).

use super::{
    basic_operators::*,
    bitstream::Silence,
    comfort_noise::{self, Smoothed},
    filter::Lpc,
    lpc::{Autocorrelation, Levinson},
    lsp::{self, Pairs},
    lsp_quantizer::{Memory, weights},
    tables::*,
};

/// An autocorrelation (eleven lags) with its exponent.
#[derive(Debug, Clone, Copy)]
struct Scaled {
    r: [i16; 11],
    shift: i16,
}

const EMPTY: Scaled = Scaled { r: [0; 11], shift: 40 };

/// The filter that was last described, as its autocorrelation.
#[derive(Debug, Clone, Default)]
struct Reference {
    r: [i16; 11],
    shift: i16,
}

/// The state of discontinuous transmission.
#[derive(Debug, Clone)]
pub(super) struct Discontinuous {
    recent: [Scaled; 2],
    sums: [Scaled; 3],
    place: usize,
    energies: [i16; 2],
    shifts: [i16; 2],
    frames: usize,
    since: i16,
    changed: bool,
    last_level: i16,
    reference: Reference,
    pub(super) silence_lsp: Pairs,
    gain: Smoothed,
    pub(super) seed: i16,
}

/// What an inactive frame comes to.
pub(super) struct Inactive {
    pub(super) descriptor: Option<Silence>,
    /// The noise's gain.
    pub(super) gain: i16,
}

impl Discontinuous {
    pub(super) fn new() -> Self {
        Self {
            recent: [EMPTY; 2],
            sums: [EMPTY; 3],
            place: 0,
            energies: [0; 2],
            shifts: [40; 2],
            frames: 0,
            since: 0,
            changed: false,
            last_level: 0,
            reference: Reference::default(),
            silence_lsp: SID_LSP_RESET,
            gain: Smoothed::new(),
            seed: comfort_noise::SEED,
        }
    }

    /// Takes a frame's autocorrelation, speech or not.
    pub(super) fn observe(&mut self, r: &Autocorrelation, speech: bool) {
        let mut lags = [0; 11];
        lags.copy_from_slice(&r.plain[..11]);
        self.recent[1] = self.recent[0];
        self.recent[0] = Scaled { r: lags, shift: negate(16 + r.exponent) };
        self.place += 1;
        if self.place == 2 {
            self.place = 0;
            if speech {
                self.remember_sum();
            }
        }
    }

    fn remember_sum(&mut self) {
        let sum = sum(&self.recent);
        self.sums.rotate_right(1);
        self.sums[0] = sum;
    }

    /// Decides about an inactive frame.
    pub(super) fn inactive(
        &mut self,
        after_speech: bool,
        levinson: &mut Levinson,
        memory: &mut Memory,
        last_lsp: &Pairs,
    ) -> Inactive {
        let current = sum(&self.recent);
        self.energies[1] = self.energies[0];
        self.shifts[1] = self.shifts[0];
        self.shifts[0] = current.shift;
        let mut filter = stand_by();
        if current.r[0] == 0 {
            self.energies[0] = 0;
        } else {
            let prediction = levinson.run(&current.r.map(|r| Split::new(r, 0)));
            filter = prediction.a;
            if let Some(error) = prediction.error {
                self.energies[0] = error;
            }
        }
        let (index, level, due);
        if after_speech {
            self.since = 0;
            self.frames = 1;
            (index, level) = comfort_noise::quantise_gain(&self.energies, &self.shifts, 1);
            due = true;
        } else {
            self.frames = (self.frames + 1).min(2);
            (index, level) = comfort_noise::quantise_gain(&self.energies, &self.shifts, self.frames);
            if self.reference.differs(&current.r, self.energies[0], 4_855)
                || abs_s(sub(self.last_level, level)) > 2
            {
                self.changed = true;
            }
            self.since += 1;
            if self.since < 3 {
                due = false;
            } else {
                due = self.changed;
                self.since = 3;
            }
        }
        let descriptor = due.then(|| {
            self.since = 0;
            self.changed = false;
            self.describe(&current, &filter, levinson, memory, last_lsp, index, level)
        });
        let gain = self.gain.next(after_speech);
        Inactive { descriptor, gain }
    }

    /// After the noise was made: the sum of the last two frames joins the background.
    pub(super) fn finish_inactive(&mut self) {
        if self.place == 0 {
            self.remember_sum();
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn describe(
        &mut self,
        current: &Scaled,
        filter: &Lpc,
        levinson: &mut Levinson,
        memory: &mut Memory,
        last_lsp: &Pairs,
        index: usize,
        level: i16,
    ) -> Silence {
        let past = sum(&self.sums);
        let mut chosen = stand_by();
        if past.r[0] != 0 {
            chosen = levinson.run(&past.r.map(|r| Split::new(r, 0))).a;
        }
        self.reference = Reference::of(&chosen);
        if self.reference.differs(&current.r, self.energies[0], 3_161) {
            chosen = *filter;
            self.reference = Reference::of(&chosen);
        }
        let lsp = lsp::from_lpc(&chosen).unwrap_or(*last_lsp);
        let (mode, first, second) = quantise(memory, &lsp);
        let frame = Silence { mode, first, second, gain: index };
        let meaning = comfort_noise::decode(memory, &frame);
        self.silence_lsp = meaning.lsp;
        self.last_level = level;
        self.gain.described = meaning.gain;
        frame
    }
}

fn stand_by() -> Lpc {
    let mut a = [0; 11];
    a[0] = 4_096;
    a
}

/// The sum of autocorrelations, normalised.
fn sum(rows: &[Scaled]) -> Scaled {
    let base = rows.iter().map(|row| row.shift).fold(i16::MAX, i16::min) + 14;
    let mut long = [0; 11];
    for row in rows {
        for (long, &r) in long.iter_mut().zip(&row.r) {
            *long = l_add(*long, l_shl(i32::from(r), base - row.shift));
        }
    }
    let norm = norm_l(long[0]);
    Scaled { r: long.map(|x| extract_h(l_shl(x, norm))), shift: base + norm - 16 }
}

impl Reference {
    fn of(a: &Lpc) -> Self {
        let sum = energy_saturating(0, a);
        let norm = norm_l(sum);
        let mut r = [0; 11];
        r[0] = round(l_shl(sum, norm));
        for i in 1..11 {
            r[i] = round(l_shl(dot(0, &a[..11 - i], &a[i..]), norm));
        }
        Self { r, shift: norm }
    }

    /// Whether this filter leaves more of the signal than `threshold` allows (Itakura's distance).
    fn differs(&self, r: &[i16; 11], error: i16, threshold: i16) -> bool {
        let mut shifts = [0i16; 2];
        let mut which = 1;
        let sum = loop {
            let product = |i: usize| l_mult(shr(self.r[i], shifts[0]), shr(r[i], shifts[1]));
            let first = l_shr(product(0), 1);
            let exact = (1..11).try_fold(first, |sum, i| sum.checked_add(product(i)));
            if let Some(sum) = exact {
                break sum;
            }
            shifts[which] += 1;
            which = 1 - which;
        };
        let limit = add(mult_r(error, threshold), error);
        let limit = l_shl(i32::from(limit), self.shift + 9 - (shifts[0] + shifts[1]));
        l_sub(sum, limit) > 0
    }
}

/// Quantises the pairs of a silence descriptor: mode, first and second index.
fn quantise(memory: &Memory, pairs: &Pairs) -> (usize, usize, usize) {
    let mut lsf = lsp::to_frequencies(pairs);
    lsf[0] = lsf[0].max(40);
    for j in 0..9 {
        if sub(lsf[j + 1], lsf[j]) < 642 {
            lsf[j + 1] = add(lsf[j], 642);
        }
    }
    lsf[9] = lsf[9].min(25_681);
    if lsf[9] < lsf[8] {
        lsf[8] = sub(lsf[9], 321);
    }
    let weights = weights(&lsf);
    let targets =
        [0, 1].map(|mode| memory.target(&lsf, &NOISE_PREDICTOR[mode], &NOISE_PREDICTOR_REST_INVERSE[mode]));

    let mut sums = [[0i16; 32]; 2];
    for (mode, target) in targets.iter().enumerate() {
        for (sum, &row) in sums[mode].iter_mut().zip(&SID_CODEBOOK_1) {
            let distance = (0..10).fold(0, |sum, j| {
                let e = sub(target[j], LSP_CODEBOOK_1[row][j]);
                l_mac(sum, e, e)
            });
            *sum = mult(extract_h(distance), SID_MODE_WEIGHT[mode]);
        }
    }
    let mut kept = [(0, 0); 4];
    for slot in &mut kept {
        let mut least = 32_767;
        for mode in 0..2 {
            for row in 0..32 {
                if sub(sums[mode][row], least) < 0 {
                    least = sums[mode][row];
                    *slot = (mode, row);
                }
            }
        }
        sums[slot.0][slot.1] = 32_767;
    }

    let (mut least, mut choice) = (32_767i16, (0, 0));
    for (slot, &(mode, row)) in kept.iter().enumerate() {
        let mut wanted = [0; 10];
        for j in 0..10 {
            wanted[j] = sub(targets[mode][j], LSP_CODEBOOK_1[SID_CODEBOOK_1[row]][j]);
        }
        for second in 0..16 {
            let mut sum = 0;
            for j in 0..10 {
                let rest = NOISE_PREDICTOR_REST[mode][j];
                let a = mult(extract_h(l_shl(l_mult(rest, rest), 2)), weights[j]);
                let d = sub(wanted[j], LSP_CODEBOOK_2[SID_CODEBOOK_2[usize::from(j >= 5)][second]][j]);
                sum = l_mac(sum, extract_h(l_shl(l_mult(a, d), 3)), d);
            }
            if sub(extract_h(sum), least) < 0 {
                least = extract_h(sum);
                choice = (slot, second);
            }
        }
    }
    let (mode, row) = kept[choice.0];
    (mode, row, choice.1)
}
