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
    let mut correlations = correlations(&h);
    let mut d = super::pitch::backward_filtered(target, &h);
    let positive = d.map(|d| d >= 0);
    d = d.map(abs_s);
    apply_signs(&mut correlations, &positive);
    let places = Search { d: &d, rr: &correlations, best: Best::none(), places: [0, 1, 2, 3] }.run();
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
    let plain = sums_fit(energy, energy);
    for distance in 0..SUBFRAME {
        let mut sum = 0i32;
        for k in 0..SUBFRAME - distance {
            let product = i32::from(scaled[k]) * i32::from(scaled[k + distance]);
            sum = if plain { sum + 2 * product } else { l_mac(sum, scaled[k], scaled[k + distance]) };
            let j = SUBFRAME - 1 - k;
            let value = extract_h(sum);
            rr[j - distance][j] = value;
            rr[j][j - distance] = value;
        }
    }
    rr
}

/// Gives each correlation of two pulses the sign that their signs make.
fn apply_signs(rr: &mut [[i16; SUBFRAME]; SUBFRAME], positive: &[bool; SUBFRAME]) {
    for (i, row) in rr.iter_mut().enumerate() {
        let own = row[i];
        for (value, &up) in row.iter_mut().zip(positive) {
            // 32767 is a little less than 1, and the reference uses it.
            *value = mult(*value, if up == positive[i] { 32_767 } else { -32_768 });
        }
        row[i] = own;
    }
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
        let better = l_msu(l_mult(self.energy, square), self.square, energy) > 0;
        if better {
            *self = Self { square, energy };
        }
        better
    }
}

struct Search<'a> {
    d: &'a [i16; SUBFRAME],
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

    /// rr with the signs that the pulses will have.
    #[inline(always)]
    fn rr(&self, i: usize, j: usize) -> i16 {
        self.rr[i][j]
    }

    /// One search over four tracks; `slots` says where in `places` each track's pulse belongs.
    fn two_by_two(&mut self, tracks: [usize; 4], slots: [usize; 4]) {
        let track = |start: usize| (start..SUBFRAME).step_by(5);
        let first = self.largest(tracks[0], None);
        let second = self.largest(tracks[0], Some(first));
        let mut best = Best::none();
        let (mut i0, mut i1) = (self.places[slots[0]], self.places[slots[1]]);
        let mut sum = add(self.d[i0], self.d[i1]);
        for candidate in [first, second] {
            for other in track(tracks[1]) {
                let both = add(self.d[candidate], self.d[other]);
                let mut energy = l_mult(self.rr(candidate, candidate), 8_192);
                energy = l_mac(energy, self.rr(candidate, other), 16_384);
                energy = l_mac(energy, self.rr(other, other), 8_192);
                if best.accept(mult(both, both), round(energy)) {
                    (i0, i1, sum) = (candidate, other, both);
                }
            }
        }
        let start = l_mult(best.energy, 8_192);
        let mut fixed = [0; SUBFRAME];
        for i3 in track(tracks[3]) {
            let mut t = l_mult(self.rr(i0, i3), 8_192);
            t = l_mac(t, self.rr(i1, i3), 8_192);
            fixed[i3] = round(l_mac(t, self.rr(i3, i3), 4_096));
        }
        let mut best = Best::none();
        let (mut i2, mut i3) = (self.places[slots[2]], self.places[slots[3]]);
        for candidate in track(tracks[2]) {
            let three = add(sum, self.d[candidate]);
            let mut partial = l_mac(start, self.rr(i0, candidate), 4_096);
            partial = l_mac(partial, self.rr(i1, candidate), 4_096);
            partial = l_mac(partial, self.rr(candidate, candidate), 2_048);
            for other in track(tracks[3]) {
                let four = add(three, self.d[other]);
                let mut energy = l_mac(partial, self.rr(candidate, other), 4_096);
                energy = l_mac(energy, fixed[other], 16_384);
                if best.accept(mult(four, four), round(energy)) {
                    (i2, i3) = (candidate, other);
                }
            }
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
