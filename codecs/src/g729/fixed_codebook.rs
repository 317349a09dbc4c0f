//! The fixed codebook: four pulses on five tracks, searched depth first (Annex A, §A.3.8), and its decoder.

use super::{basic_operators::*, filter::SUBFRAME};

/// A pulse's height in the code vector, Q13.
const UP: i16 = 8_191;
const DOWN: i16 = -8_192;

/// What the search found.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// Positions, 13 bits.
    pub(super) positions: i16,
    /// Signs, 4 bits.
    pub(super) signs: i16,
    /// The code vector with the pitch sharpening, Q13.
    pub(super) code: [i16; SUBFRAME],
    /// The code filtered through the impulse response, Q12.
    pub(super) filtered: [i16; SUBFRAME],
}

/// Adds `gain` (Q15) times what lay `lag` samples before: pitch sharpening, for lags shorter than the subframe.
pub(super) fn sharpen(vector: &mut [i16; SUBFRAME], lag: i16, gain: i16) {
    for i in lag as usize..SUBFRAME {
        vector[i] = add(vector[i], mult(vector[i - lag as usize], gain));
    }
}

/// The code vector of received positions and signs, without sharpening.
pub(super) fn decode(positions: i16, signs: i16) -> [i16; SUBFRAME] {
    let places = [
        (positions & 7) * 5,
        (positions >> 3 & 7) * 5 + 1,
        (positions >> 6 & 7) * 5 + 2,
        (positions >> 10 & 7) * 5 + 3 + (positions >> 9 & 1),
    ];
    let mut code = [0; SUBFRAME];
    for (bit, place) in places.into_iter().enumerate() {
        code[place as usize] = if signs >> bit & 1 == 1 { UP } else { DOWN };
    }
    code
}

/// Finds the code for `target`. `sharpening` is the last adaptive gain (Q14).
pub(super) fn search(target: &[i16; SUBFRAME], h: &[i16; SUBFRAME], lag: i16, sharpening: i16) -> Choice {
    let sharpening = shl(sharpening, 1);
    let mut h = *h;
    if lag < SUBFRAME as i16 {
        sharpen(&mut h, lag, sharpening);
    }
    let correlations = correlations(&h);
    let mut d = super::pitch::backward_filtered(target, &h);
    let positive = d.map(|d| d >= 0);
    d = d.map(abs_s);
    let search =
        Search { d: &d, positive: &positive, rr: &correlations, best: Best::none(), places: [0, 1, 2, 3] };
    let places = search.run();
    let mut choice = build(places, &positive, &h);
    if lag < SUBFRAME as i16 {
        sharpen(&mut choice.code, lag, sharpening);
    }
    choice
}

/// rr(i, j): the correlations of the impulse response with itself, scaled to keep 16 bits.
fn correlations(h: &[i16; SUBFRAME]) -> [[i16; SUBFRAME]; SUBFRAME] {
    let sum = energy_saturating(0, h);
    let scaled = if extract_h(sum) > 32_000 {
        h.map(|h| h >> 1)
    } else {
        let shift = norm_l(sum) >> 1;
        h.map(|h| shl(h, shift))
    };
    let mut rr = [[0; SUBFRAME]; SUBFRAME];
    let energy = exact_energy(&scaled);
    if sums_fit(energy, energy) {
        // rr(i, j) is rr(i + 1, j + 1) and one product more: a row at a time, from the last.
        let mut reversed = scaled;
        reversed.reverse();
        let mut sums = [0i32; SUBFRAME + 1];
        for (row, &own) in rr.iter_mut().zip(&reversed).rev() {
            for j in 0..SUBFRAME {
                sums[j] = sums[j + 1] + i32::from(own) * i32::from(reversed[j]);
            }
            for (value, &sum) in row.iter_mut().zip(&sums) {
                *value = (sum >> 15) as i16;
            }
        }
        return rr;
    }
    for distance in 0..SUBFRAME {
        let mut sum = 0i32;
        for k in 0..SUBFRAME - distance {
            sum = l_mac(sum, scaled[k], scaled[k + distance]);
            let j = SUBFRAME - 1 - k;
            let value = extract_h(sum);
            rr[j - distance][j] = value;
            rr[j][j - distance] = value;
        }
    }
    rr
}

/// The search's best so far: the square of the correlation and the energy, compared by cross-multiplication.
#[derive(Clone, Copy)]
struct Best {
    square: i16,
    energy: i16,
}

impl Best {
    const fn none() -> Self {
        Self { square: -1, energy: 1 }
    }

    /// Whether `square / energy` is greater; then it is the best.
    fn accept(&mut self, square: i16, energy: i16) -> bool {
        // Squares are -1 at least, so that nothing here saturates.
        let better = i32::from(self.energy) * i32::from(square) > i32::from(self.square) * i32::from(energy);
        if better {
            *self = Self { square, energy };
        }
        better
    }

    /// Looks at eight in turn and tells which ones were the best so far.
    #[inline(always)]
    fn accept_all(&mut self, squares: &[i16; 8], energies: &[i16; 8], mut accepted: impl FnMut(usize)) {
        // Seldom is any: that is soon found out.
        let (own_energy, own_square) = (i32::from(self.energy), i32::from(self.square));
        let mut any = false;
        for k in 0..8 {
            any |= own_energy * i32::from(squares[k]) > own_square * i32::from(energies[k]);
        }
        if !any {
            return;
        }
        for k in 0..8 {
            if self.accept(squares[k], energies[k]) {
                accepted(k);
            }
        }
    }
}

/// The eight values on a track.
#[inline(always)]
fn on_track<T: Copy>(values: &[T; SUBFRAME], track: usize) -> [T; 8] {
    core::array::from_fn(|k| values[track + 5 * k])
}

struct Search<'a> {
    d: &'a [i16; SUBFRAME],
    positive: &'a [bool; SUBFRAME],
    rr: &'a [[i16; SUBFRAME]; SUBFRAME],
    best: Best,
    /// Positions on tracks 0, 1, 2 and on the fourth (3 or 4).
    places: [usize; 4],
}

impl Search<'_> {
    fn run(mut self) -> [usize; 4] {
        for fourth in [3, 4] {
            // Pulses are placed two by two: first where the target is largest on one track, with all of another.
            self.two_by_two([2, fourth, 0, 1], [2, 3, 0, 1]);
            self.two_by_two([fourth, 0, 1, 2], [3, 0, 1, 2]);
        }
        self.places
    }

    /// rr of the pulse at `i` with those of a track it is not on, with the signs that the pulses will have.
    #[inline(always)]
    fn row(&self, i: usize, track: usize) -> [i16; 8] {
        let (values, ups) = (on_track(&self.rr[i], track), on_track(self.positive, track));
        let mut row = [0; 8];
        for k in 0..8 {
            let value = values[k];
            // 32767 is a little less than 1, and the reference uses it.
            let same = value - i16::from(value > 0) + i16::from(value == i16::MIN);
            row[k] = if ups[k] == self.positive[i] { same } else { value.saturating_neg() };
        }
        row
    }

    /// rr of each pulse of a track with itself.
    #[inline(always)]
    fn own(&self, track: usize) -> [i16; 8] {
        core::array::from_fn(|k| self.rr[track + 5 * k][track + 5 * k])
    }

    /// One search over four tracks; `slots` says where in `places` each track's pulse belongs.
    fn two_by_two(&mut self, tracks: [usize; 4], slots: [usize; 4]) {
        let first = self.largest(tracks[0], None);
        let second = self.largest(tracks[0], Some(first));
        let mut best = Best::none();
        let (mut i0, mut i1) = (self.places[slots[0]], self.places[slots[1]]);
        let mut sum = add(self.d[i0], self.d[i1]);
        let (d, own) = (on_track(self.d, tracks[1]), self.own(tracks[1]));
        for candidate in [first, second] {
            let row = self.row(candidate, tracks[1]);
            let start = i32::from(self.rr[candidate][candidate]) * 16_384;
            let (mut squares, mut energies, mut sums) = ([0; 8], [0; 8], [0; 8]);
            for k in 0..8 {
                sums[k] = self.d[candidate].saturating_add(d[k]);
                squares[k] = ((i32::from(sums[k]) * i32::from(sums[k])) >> 15) as i16;
                // Only the last of these sums can leave 32 bits.
                let energy = (start + i32::from(row[k]) * 32_768).saturating_add(i32::from(own[k]) * 16_384);
                energies[k] = round(energy);
            }
            best.accept_all(&squares, &energies, |k| {
                (i0, i1, sum) = (candidate, tracks[1] + 5 * k, sums[k]);
            });
        }
        let start = i32::from(best.energy) * 16_384;
        let (row0, row1) = (self.row(i0, tracks[3]), self.row(i1, tracks[3]));
        let (d, own) = (on_track(self.d, tracks[3]), self.own(tracks[3]));
        let mut fixed = [0; 8];
        for k in 0..8 {
            let t = (i32::from(row0[k]) + i32::from(row1[k])) * 16_384 + i32::from(own[k]) * 8_192;
            fixed[k] = i32::from(round(t)) * 32_768;
        }
        let (rows, owns) = ([self.row(i0, tracks[2]), self.row(i1, tracks[2])], self.own(tracks[2]));
        let mut best = Best::none();
        let (mut i2, mut i3) = (self.places[slots[2]], self.places[slots[3]]);
        for c in 0..8 {
            let candidate = tracks[2] + 5 * c;
            let three = add(sum, self.d[candidate]);
            let pair = i32::from(rows[0][c]) + i32::from(rows[1][c]);
            let partial = start + pair * 8_192 + i32::from(owns[c]) * 4_096;
            let row = self.row(candidate, tracks[3]);
            let (mut squares, mut energies) = ([0; 8], [0; 8]);
            for k in 0..8 {
                let four = three.saturating_add(d[k]);
                squares[k] = ((i32::from(four) * i32::from(four)) >> 15) as i16;
                energies[k] = round((partial + i32::from(row[k]) * 8_192).saturating_add(fixed[k]));
            }
            best.accept_all(&squares, &energies, |k| (i2, i3) = (candidate, tracks[3] + 5 * k));
        }
        if self.best.accept(best.square, best.energy) {
            for (slot, place) in slots.into_iter().zip([i0, i1, i2, i3]) {
                self.places[slot] = place;
            }
        }
    }

    /// The first of the largest values on a track, leaving out `but`.
    fn largest(&self, track: usize, but: Option<usize>) -> usize {
        let (mut most, mut at) = (-1, track);
        for i in (track..SUBFRAME).step_by(5).filter(|&i| Some(i) != but) {
            if self.d[i] > most {
                (most, at) = (self.d[i], i);
            }
        }
        at
    }
}

fn build(places: [usize; 4], positive: &[bool; SUBFRAME], h: &[i16; SUBFRAME]) -> Choice {
    let mut choice = Choice { positions: 0, signs: 0, code: [0; SUBFRAME], filtered: [0; SUBFRAME] };
    for (bit, place) in places.into_iter().enumerate() {
        let up = positive[place];
        choice.code[place] = if up { UP } else { DOWN };
        choice.signs |= i16::from(up) << bit;
        for n in place..SUBFRAME {
            let y = choice.filtered[n];
            choice.filtered[n] = if up { add(y, h[n - place]) } else { sub(y, h[n - place]) };
        }
    }
    let [p0, p1, p2, p3] = places.map(|place| place as i16);
    choice.positions = p0 / 5 + 8 * (p1 / 5) + 64 * (p2 / 5) + 512 * (2 * (p3 / 5) + (p3 % 5 - 3));
    choice
}
