//! The predictive two-stage quantiser of the line spectral frequencies (§3.2.4), and its decoder.

use super::{
    basic_operators::*,
    lsp::{self, Pairs},
    tables::*,
};

/// Distances that neighbours must keep, Q13.
const GAP_1: i16 = 10;
const GAP_2: i16 = 5;
const GAP_3: i16 = 321;
const LOWEST: i16 = 40;
const HIGHEST: i16 = 25_681;

/// Four moving-average predictors' coefficients, or the memory they act on.
pub(super) type Rows = [Pairs; 4];

/// What is transmitted: the predictor's mode and three codebook rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Indices {
    pub(super) mode: usize,
    pub(super) first: usize,
    pub(super) second_low: usize,
    pub(super) second_high: usize,
}

/// The quantiser's memory: what the predictor acts on. Encoder and decoder keep the same.
#[derive(Debug, Clone)]
pub(super) struct Memory(pub(super) Rows);

impl Memory {
    pub(super) fn new() -> Self {
        Self([LSF_RESET; 4])
    }

    pub(super) fn push(&mut self, row: Pairs) {
        self.0.rotate_right(1);
        self.0[0] = row;
    }

    /// What the codebooks must supply for the predictor to give `lsf`.
    pub(super) fn target(&self, lsf: &Pairs, predictor: &Rows, rest_inverse: &Pairs) -> Pairs {
        let mut out = [0; 10];
        for j in 0..10 {
            let mut t = deposit_h(lsf[j]);
            for k in 0..4 {
                t = l_msu(t, self.0[k][j], predictor[k][j]);
            }
            out[j] = extract_h(l_shl(l_mult(extract_h(t), rest_inverse[j]), 3));
        }
        out
    }

    /// The frequencies that `supplied` means, before stability is looked at; and remembers it.
    pub(super) fn compose(&mut self, supplied: &Pairs, predictor: &Rows, rest: &Pairs) -> Pairs {
        let mut lsf = [0; 10];
        for j in 0..10 {
            let mut t = l_mult(supplied[j], rest[j]);
            for k in 0..4 {
                t = l_mac(t, self.0[k][j], predictor[k][j]);
            }
            lsf[j] = extract_h(t);
        }
        self.push(*supplied);
        lsf
    }

    /// Frequencies (Q13) of received indices.
    pub(super) fn decode(&mut self, indices: Indices) -> Pairs {
        let mut supplied = [0; 10];
        for j in 0..10 {
            let row = if j < 5 { indices.second_low } else { indices.second_high };
            supplied[j] = add(LSP_CODEBOOK_1[indices.first][j], LSP_CODEBOOK_2[row][j]);
        }
        spread(&mut supplied, 1..10, GAP_1);
        spread(&mut supplied, 1..10, GAP_2);
        let mut lsf =
            self.compose(&supplied, &LSP_PREDICTOR[indices.mode], &LSP_PREDICTOR_REST[indices.mode]);
        stabilise(&mut lsf);
        lsf
    }
}

/// Quantises pairs: the indices and the quantised pairs.
pub(super) fn quantise(memory: &mut Memory, pairs: &Pairs) -> (Indices, Pairs) {
    let lsf = lsp::to_frequencies(pairs);
    let weights = weights(&lsf);
    let mut best: Option<(i32, Indices)> = None;
    for mode in 0..2 {
        let target = memory.target(&lsf, &LSP_PREDICTOR[mode], &LSP_PREDICTOR_REST_INVERSE[mode]);
        let (distance, indices) = search(&target, &weights, mode);
        if best.is_none_or(|(least, _)| l_sub(distance, least) < 0) {
            best = Some((distance, indices));
        }
    }
    let indices =
        best.map_or(Indices { mode: 0, first: 0, second_low: 0, second_high: 0 }, |(_, indices)| indices);
    (indices, lsp::from_frequencies(&memory.decode(indices)))
}

/// How much each frequency matters, normalised.
pub(super) fn weights(lsf: &Pairs) -> Pairs {
    let mut w = [0; 10];
    for j in 0..10 {
        let d = match j {
            0 => sub(lsf[1], 1_029 + 8_192),
            9 => sub(23_677 - 8_192, lsf[8]),
            j => sub(sub(lsf[j + 1], lsf[j - 1]), 8_192),
        };
        w[j] = if d > 0 {
            2_048
        } else {
            let t = extract_h(l_shl(l_mult(d, d), 2));
            add(extract_h(l_shl(l_mult(t, 20_480), 2)), 2_048)
        };
    }
    for j in [4, 5] {
        w[j] = extract_h(l_shl(l_mult(w[j], 19_661), 1));
    }
    let largest = w.iter().copied().fold(0, i16::max);
    let shift = norm_s(largest);
    w.map(|w| shl(w, shift))
}

fn search(target: &Pairs, weights: &Pairs, mode: usize) -> (i32, Indices) {
    let first = nearest_first(target);
    let row = &LSP_CODEBOOK_1[first];
    let mut wanted = [0; 10];
    for j in 0..10 {
        wanted[j] = sub(target[j], row[j]);
    }
    let (second_low, second_high) = nearest_second(&wanted, weights);
    let mut supplied = [0; 10];
    for j in 0..5 {
        supplied[j] = add(row[j], LSP_CODEBOOK_2[second_low][j]);
    }
    spread(&mut supplied, 1..5, GAP_1);
    for j in 5..10 {
        supplied[j] = add(row[j], LSP_CODEBOOK_2[second_high][j]);
    }
    spread(&mut supplied, 5..10, GAP_1);
    spread(&mut supplied, 1..10, GAP_2);
    let distance = (0..10).fold(0, |sum, j| {
        let e = mult(sub(supplied[j], target[j]), LSP_PREDICTOR_REST[mode][j]);
        l_mac(sum, extract_h(l_shl(l_mult(weights[j], e), 4)), e)
    });
    (distance, Indices { mode, first, second_low, second_high })
}

/// The codebooks by columns, so that many rows are measured at a time.
static COLUMNS_1: [[i16; 128]; 10] = columns(&LSP_CODEBOOK_1);
static COLUMNS_2: [[i16; 32]; 10] = columns(&LSP_CODEBOOK_2);

const fn columns<const ROWS: usize>(rows: &[Pairs; ROWS]) -> [[i16; ROWS]; 10] {
    let mut columns = [[0; ROWS]; 10];
    let mut j = 0;
    while j < 10 {
        let mut row = 0;
        while row < ROWS {
            columns[j][row] = rows[row][j];
            row += 1;
        }
        j += 1;
    }
    columns
}

/// Half a distance from here on is as good as none: the reference's sums have saturated.
const FARTHEST: u32 = 1 << 30;
/// Wanted values and codebook values up to this keep five or ten squares of their differences within 32 bits.
const NEAR_ENOUGH: i32 = 1 << 14;

/// The row of the first codebook that is nearest to `target`.
fn nearest_first(target: &Pairs) -> usize {
    // The most that a column can be away from the target, squared and added up.
    let reach: u64 = (0..10)
        .map(|j| {
            let (lowest, highest) = FIRST_RANGE[j];
            let far = (i32::from(target[j]) - lowest).abs().max((i32::from(target[j]) - highest).abs());
            u64::from(far.unsigned_abs()).pow(2)
        })
        .sum();
    if reach > u64::from(u32::MAX) {
        return nearest(LSP_CODEBOOK_1.iter(), |row, least| {
            distance(
                least,
                (0..10).map(|j| {
                    let e = sub(target[j], row[j]);
                    (e, e)
                }),
            )
        });
    }
    let mut sums = [0u32; 128];
    for (sums, block) in sums.chunks_exact_mut(16).zip(0..) {
        let mut sum = [0u32; 16];
        for (column, &target) in COLUMNS_1.iter().zip(target) {
            let column = &column[block * 16..block * 16 + 16];
            for (sum, &value) in sum.iter_mut().zip(column) {
                let e = i32::from(target.saturating_sub(value));
                *sum = sum.wrapping_add((e * e) as u32);
            }
        }
        sums.copy_from_slice(&sum);
    }
    least(&sums)
}

/// Lowest and highest value of each column of the first codebook.
static FIRST_RANGE: [(i32, i32); 10] = {
    let mut ranges = [(i32::MAX, i32::MIN); 10];
    let mut j = 0;
    while j < 10 {
        let mut row = 0;
        while row < 128 {
            let value = LSP_CODEBOOK_1[row][j] as i32;
            if value < ranges[j].0 {
                ranges[j].0 = value;
            }
            if value > ranges[j].1 {
                ranges[j].1 = value;
            }
            row += 1;
        }
        j += 1;
    }
    ranges
};

/// The rows of the second codebook whose lower and upper halves are nearest to `wanted`.
fn nearest_second(wanted: &Pairs, weights: &Pairs) -> (usize, usize) {
    if wanted.iter().any(|&wanted| i32::from(wanted).abs() > NEAR_ENOUGH) {
        let half = |places: core::ops::Range<usize>| {
            nearest(LSP_CODEBOOK_2.iter(), |row, least| {
                distance(
                    least,
                    places.clone().map(|j| {
                        let e = sub(wanted[j], row[j]);
                        (mult(weights[j], e), e)
                    }),
                )
            })
        };
        return (half(0..5), half(5..10));
    }
    let half = |first: usize| {
        let mut sums = [0u32; 32];
        for (block, sums) in sums.chunks_exact_mut(16).enumerate() {
            let mut sum = [0u32; 16];
            for j in first..first + 5 {
                let column = &COLUMNS_2[j][block * 16..block * 16 + 16];
                let (wanted, weight) = (wanted[j], i32::from(weights[j]));
                for (sum, &value) in sum.iter_mut().zip(column) {
                    let e = wanted.saturating_sub(value);
                    // Weights are never negative, so this cannot saturate.
                    let weighted = ((weight * i32::from(e)) >> 15) as i16;
                    *sum = sum.wrapping_add((i32::from(weighted) * i32::from(e)) as u32);
                }
            }
            sums.copy_from_slice(&sum);
        }
        least(&sums)
    };
    (half(0), half(5))
}

/// The second codebook leaves its differences within what [`NEAR_ENOUGH`] promises.
const _: () = {
    let mut row = 0;
    while row < 32 {
        let mut j = 0;
        while j < 10 {
            assert!((LSP_CODEBOOK_2[row][j] as i32).abs() <= 1 << 13);
            j += 1;
        }
        row += 1;
    }
};

/// The first of the least.
fn least(sums: &[u32]) -> usize {
    let (mut least, mut at) = (FARTHEST, 0);
    for (index, &sum) in sums.iter().enumerate() {
        if sum < least {
            (least, at) = (sum, index);
        }
    }
    at
}

/// The first row of the least distance; `measure` may stop where it has reached the least so far.
fn nearest<'a>(rows: impl Iterator<Item = &'a Pairs>, measure: impl Fn(&'a Pairs, i32) -> i32) -> usize {
    let (mut least, mut at) = (i32::MAX, 0);
    for (index, row) in rows.enumerate() {
        let distance = measure(row, least);
        if distance < least {
            (least, at) = (distance, index);
        }
    }
    at
}

/// Σ 2ab of products that are never negative: saturation can only happen at the end, and the sum only grow.
#[inline(always)]
fn distance(least: i32, mut terms: impl Iterator<Item = (i16, i16)>) -> i32 {
    let least = i64::from(least);
    let sum = terms.try_fold(0i64, |sum, (a, b)| {
        let sum = sum + 2 * i64::from(i32::from(a) * i32::from(b));
        if sum < least { Ok(sum) } else { Err(least) }
    });
    sum.unwrap_or_else(|least| least) as i32
}

/// Pushes neighbours apart that are closer than `gap`.
pub(super) fn spread(lsf: &mut Pairs, places: core::ops::Range<usize>, gap: i16) {
    for j in places {
        let t = shr(add(sub(lsf[j - 1], lsf[j]), gap), 1);
        if t > 0 {
            lsf[j - 1] = sub(lsf[j - 1], t);
            lsf[j] = add(lsf[j], t);
        }
    }
}

/// Puts frequencies in order, and apart by what a stable filter needs.
pub(super) fn stabilise(lsf: &mut Pairs) {
    for j in 0..9 {
        if lsf[j + 1] < lsf[j] {
            lsf.swap(j, j + 1);
        }
    }
    lsf[0] = lsf[0].max(LOWEST);
    for j in 0..9 {
        if i32::from(lsf[j + 1]) - i32::from(lsf[j]) < i32::from(GAP_3) {
            lsf[j + 1] = add(lsf[j], GAP_3);
        }
    }
    lsf[9] = lsf[9].min(HIGHEST);
}
