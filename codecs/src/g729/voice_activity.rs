//! Annex B's voice activity detector (§B.3).

use super::{basic_operators::*, lpc::Autocorrelation, lsp::Pairs, tables::*};

/// The detector's memory: running means of the background, minimum tracking, counters.
#[derive(Debug, Clone)]
pub(super) struct VoiceActivity {
    frame: i16,
    mean_energy: i16,
    mean_noise_energy: i16,
    mean_noise_low: i16,
    mean_crossings: i16,
    mean_lsf: Pairs,
    minimum: i16,
    minima: [i16; 16],
    previous_minimum: i16,
    next_minimum: i16,
    previous_energy: i16,
    silent: i16,
    updates: i16,
    extensions: i16,
    extending: bool,
    quiet_start: i16,
}

/// What is measured of a frame.
struct Features {
    energy: i16,
    low_energy: i16,
    distortion: i16,
    crossings: i16,
}

/// How far the background lies from the frame.
struct Differences {
    energy: i16,
    low_energy: i16,
    crossings: i16,
    distortion: i16,
}

impl VoiceActivity {
    pub(super) fn new() -> Self {
        Self {
            frame: 0,
            mean_energy: 0,
            mean_noise_energy: 0,
            mean_noise_low: 0,
            mean_crossings: 0,
            mean_lsf: [0; 10],
            minimum: 32_767,
            minima: [0; 16],
            previous_minimum: 0,
            next_minimum: 0,
            previous_energy: 0,
            silent: 0,
            updates: 0,
            extensions: 0,
            extending: true,
            quiet_start: 0,
        }
    }

    /// Whether the frame is speech. `reflection` is the second coefficient, `past` the last two decisions.
    pub(super) fn decide(
        &mut self,
        reflection: i16,
        lsf: &Pairs,
        r: &Autocorrelation,
        speech: &[i16; 240],
        past: [bool; 2],
    ) -> bool {
        self.frame = if self.frame == 32_767 { 256 } else { self.frame + 1 };
        let f = self.measure(lsf, r, speech);
        self.track_minimum(f.energy);
        let mut voice = false;
        if self.frame <= 32 {
            voice = self.learn(&f, lsf);
        }
        if self.frame >= 32 {
            if self.frame == 32 {
                self.finish_learning();
            }
            voice = self.compare(&f, lsf, reflection, past);
        }
        self.previous_energy = f.energy;
        voice
    }

    fn measure(&self, lsf: &Pairs, r: &Autocorrelation, speech: &[i16; 240]) -> Features {
        let level = |energy: i32| {
            let (exponent, fraction) = log2(energy);
            let mut t = Split::new(exponent, fraction).times_16(9_864);
            t = l_mac(t, 9_864, sub(r.exponent, 2));
            sub(extract_h(l_shl(t, 11)), 4_875)
        };
        let mut low = 0;
        for (r, &c) in r.r[1..].iter().zip(&LOW_BAND[1..]) {
            low = l_mac(low, r.high, c);
        }
        low = l_mac(l_shl(low, 1), r.r[0].high, LOW_BAND[0]);
        let mut distortion = 0;
        for (&own, &mean) in lsf.iter().zip(&self.mean_lsf) {
            let d = sub(own, mean);
            distortion = l_mac(distortion, d, d);
        }
        let mut crossings = 0;
        for n in 121..=200 {
            if mult(speech[n - 1], speech[n]) < 0 {
                crossings = add(crossings, 410);
            }
        }
        Features {
            energy: level(r.r[0].join()),
            low_energy: level(low),
            distortion: extract_h(distortion),
            crossings,
        }
    }

    fn track_minimum(&mut self, energy: i16) {
        let least = |minima: &[i16; 16]| minima.iter().copied().fold(i16::MAX, i16::min);
        if self.frame < 129 {
            if energy < self.minimum {
                self.minimum = energy;
                self.previous_minimum = energy;
            }
            if self.frame % 8 == 0 {
                self.minima[(self.frame / 8 - 1) as usize] = self.minimum;
                self.minimum = 32_767;
            }
        }
        if self.frame % 8 == 0 && self.frame < 129 {
            self.previous_minimum = least(&self.minima);
        }
        if self.frame >= 129 {
            if self.frame % 8 == 1 {
                self.minimum = self.previous_minimum;
                self.next_minimum = 32_767;
            }
            self.minimum = self.minimum.min(energy);
            self.next_minimum = self.next_minimum.min(energy);
            if self.frame % 8 == 0 {
                self.minima.rotate_left(1);
                self.minima[15] = self.next_minimum;
                self.previous_minimum = least(&self.minima);
            }
        }
    }

    /// The first 32 frames: the background is what is not loud.
    fn learn(&mut self, f: &Features, lsf: &Pairs) -> bool {
        if f.energy < 3_072 {
            self.quiet_start += 1;
            return false;
        }
        let towards = |mean: i16, value: i16| extract_h(l_mac(deposit_h(mean), value, 1_024));
        self.mean_energy = towards(self.mean_energy, f.energy);
        self.mean_crossings = towards(self.mean_crossings, f.crossings);
        for (mean, &value) in self.mean_lsf.iter_mut().zip(lsf) {
            *mean = towards(*mean, value);
        }
        true
    }

    fn finish_learning(&mut self) {
        let quiet = self.quiet_start as usize;
        let corrected = |mean: i16| extract_h(l_shl(l_mult(mean, MEAN_FACTOR[quiet]), MEAN_SHIFT[quiet]));
        self.mean_energy = corrected(self.mean_energy);
        self.mean_crossings = corrected(self.mean_crossings);
        self.mean_lsf = self.mean_lsf.map(corrected);
        self.mean_noise_energy = sub(self.mean_energy, 2_048);
        self.mean_noise_low = sub(self.mean_energy, 2_458);
    }

    fn compare(&mut self, f: &Features, lsf: &Pairs, reflection: i16, [last, before]: [bool; 2]) -> bool {
        let d = Differences {
            energy: sub(self.mean_noise_energy, f.energy),
            low_energy: sub(self.mean_noise_low, f.low_energy),
            crossings: sub(self.mean_crossings, f.crossings),
            distortion: f.distortion,
        };
        let mut voice = f.energy >= 3_072 && d.is_speech();
        let mut held = false;
        if last && !voice && add(d.energy, 410) < 0 && f.energy > 3_072 {
            voice = true;
            held = true;
        }
        if self.extending {
            if before && last && !voice && abs_s(sub(self.previous_energy, f.energy)) <= 614 {
                self.extensions += 1;
                voice = true;
                held = true;
                if self.extensions <= 4 {
                    self.extending = true;
                } else {
                    self.extensions = 0;
                    self.extending = false;
                }
            }
        } else {
            self.extending = true;
        }
        if !voice {
            self.silent = add(self.silent, 1);
        }
        if voice && self.silent > 10 && sub(f.energy, self.previous_energy) <= 614 {
            voice = false;
            self.silent = 0;
        }
        if voice {
            self.silent = 0;
        }
        let quiet = sub(sub(f.energy, 614), self.mean_noise_energy) < 0;
        if quiet && self.frame > 128 && !held && reflection < 19_661 {
            voice = false;
        }
        if quiet && reflection < 24_576 && f.distortion < 83 {
            self.update_background(f, lsf);
        }
        let stray = self.mean_noise_energy < self.minimum && f.distortion < 83;
        if self.frame > 128 && (stray || sub(self.mean_noise_energy, self.minimum) > 2_048) {
            self.mean_noise_energy = self.minimum;
            self.updates = 0;
        }
        voice
    }

    fn update_background(&mut self, f: &Features, lsf: &Pairs) {
        self.updates = add(self.updates, 1);
        // (keep, take) for the energies, the crossings and the spectrum.
        let (energies, crossings, spectrum) = match self.updates {
            ..20 => ((24_576, 8_192), (26_214, 6_554), (19_661, 13_017)),
            20..30 => ((31_130, 1_638), (30_147, 2_621), (21_299, 11_469)),
            30..40 => ((31_785, 983), (30_802, 1_966), (22_938, 9_830)),
            40..50 => ((32_440, 328), (31_457, 1_311), (24_576, 8_192)),
            50..60 => ((32_604, 164), (32_440, 328), (24_576, 8_192)),
            _ => ((32_604, 164), (32_702, 66), (24_576, 8_192)),
        };
        let mix = |mean: &mut i16, value: i16, (keep, take): (i16, i16)| {
            *mean = extract_h(l_mac(l_mult(keep, *mean), take, value));
        };
        mix(&mut self.mean_noise_energy, f.energy, energies);
        mix(&mut self.mean_noise_low, f.low_energy, energies);
        mix(&mut self.mean_crossings, f.crossings, crossings);
        for (mean, &value) in self.mean_lsf.iter_mut().zip(lsf) {
            mix(mean, value, spectrum);
        }
    }
}

impl Differences {
    /// The fourteen regions of Annex B's decision.
    fn is_speech(&self) -> bool {
        let (z, s, l, sd) = (self.crossings, self.energy, self.low_energy, self.distortion);
        let line = |a: i16, x: i16, b: i16, c: i16, shift: i16| l_shr(l_mac(l_mult(a, x), b, c), shift);
        let plane = |a: i16, x: i16, b: i16, c: i16, d: i16, y: i16| l_mac(l_mac(l_mult(a, x), b, c), d, y);
        l_add(line(z, -14_680, 8_192, -28_521, 8), deposit_h(sd)) > 0
            || l_add(line(z, 19_065, 8_192, -19_446, 7), deposit_h(sd)) > 0
            || l_add(line(z, 20_480, 8_192, 16_384, 2), deposit_h(s)) < 0
            || l_add(line(z, -16_384, 8_192, 19_660, 2), deposit_h(s)) < 0
            || line(s, 32_767, 1_024, 30_802, 0) < 0
            || plane(sd, -28_160, 64, 19_988, s, 512) < 0
            || line(sd, 32_767, 32, -30_199, 0) > 0
            || l_add(line(z, -20_480, 8_192, 22_938, 2), deposit_h(s)) < 0
            || l_add(line(z, 23_831, 4_096, 31_576, 2), deposit_h(s)) < 0
            || line(s, 32_767, 2_048, 17_367, 0) < 0
            || plane(sd, -22_400, 32, 25_395, l, 256) < 0
            || l_add(line(s, -30_427, 256, -29_959, 0), deposit_h(l)) > 0
            || l_add(line(s, -23_406, 512, 28_087, 0), deposit_h(l)) < 0
            || plane(s, 24_576, 1_024, 29_491, l, 16_384) < 0
    }
}
