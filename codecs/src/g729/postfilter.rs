//! The postfilter of Annex A (§A.4.2): long-term, short-term with tilt compensation, gain control.

use super::{
    basic_operators::*,
    filter::{Lpc, SUBFRAME, expand, memory_of, residual, synthesis},
    pitch::LONGEST,
};

const PAST: usize = LONGEST as usize;

/// The filter's memories.
#[derive(Debug, Clone)]
pub(super) struct Postfilter {
    /// The last ten samples of the synthesis.
    speech: [i16; 10],
    /// The residual of the past and of this subframe, and a quarter of it.
    residual: [i16; PAST + SUBFRAME],
    scaled: [i16; PAST + SUBFRAME],
    synthesis: [i16; 10],
    tilt: i16,
    gain: i16,
}

impl Postfilter {
    pub(super) fn new() -> Self {
        Self {
            speech: [0; 10],
            residual: [0; PAST + SUBFRAME],
            scaled: [0; PAST + SUBFRAME],
            synthesis: [0; 10],
            tilt: 0,
            gain: 4_096,
        }
    }

    /// Filters a subframe in place. `voiced` is whether the frame was speech: otherwise the long-term part rests.
    pub(super) fn run(&mut self, speech: &mut [i16; SUBFRAME], a: &Lpc, lag: i16, voiced: bool) {
        let numerator = expand(a, 18_022);
        let denominator = expand(a, 22_938);
        let mut window = [0; 10 + SUBFRAME];
        window[..10].copy_from_slice(&self.speech);
        window[10..].copy_from_slice(speech);
        self.speech = memory_of(&window);
        residual(&numerator, &window, &mut self.residual[PAST..]);
        for n in PAST..PAST + SUBFRAME {
            self.scaled[n] = self.residual[n] >> 2;
        }
        let mut out = [0; SUBFRAME];
        if voiced {
            self.long_term(lag, &mut out);
        } else {
            out.copy_from_slice(&self.residual[PAST..]);
        }
        self.compensate_tilt(&numerator, &denominator, &mut out);
        synthesis(&denominator, &mut out, &self.synthesis);
        self.synthesis = memory_of(&out);
        self.control_gain(speech, &mut out);
        self.residual.copy_within(SUBFRAME.., 0);
        self.scaled.copy_within(SUBFRAME.., 0);
        *speech = out;
    }

    fn long_term(&self, lag: i16, out: &mut [i16; SUBFRAME]) {
        let (low, high) = if lag + 3 > LONGEST { (LONGEST - 6, LONGEST) } else { (lag - 3, lag + 3) };
        let now = &self.scaled[PAST..];
        let past = |lag: i16| {
            let from = PAST - lag as usize;
            &self.scaled[from..from + SUBFRAME]
        };
        let (mut most, mut best) = (i32::MIN, low);
        for lag in low..=high {
            let value = dot(0, now, past(lag));
            if value > most {
                (most, best) = (value, lag);
            }
        }
        let delayed_energy = energy_saturating(1, past(best));
        let own_energy = energy_saturating(1, now);
        let most = most.max(0);
        let shift = norm_l(most.max(delayed_energy).max(own_energy));
        let correlation = round(l_shl(most, shift));
        let delayed_energy = round(l_shl(delayed_energy, shift));
        let own_energy = round(l_shl(own_energy, shift));
        let gain_over = l_sub(l_mult(correlation, correlation), l_shr(l_mult(delayed_energy, own_energy), 1));
        if gain_over < 0 {
            out.copy_from_slice(&self.residual[PAST..]);
            return;
        }
        let (own, delayed) = if correlation > delayed_energy {
            (21_845, 10_923)
        } else {
            let c = shr(mult(correlation, 16_384), 1);
            let total = add(c, shr(delayed_energy, 1));
            if total > 0 {
                let delayed = div_s(c, total);
                (sub(32_767, delayed), delayed)
            } else {
                (32_767, 0)
            }
        };
        for (n, out) in out.iter_mut().enumerate() {
            let past = self.residual[PAST + n - best as usize];
            *out = add(mult(own, self.residual[PAST + n]), mult(delayed, past));
        }
    }

    fn compensate_tilt(&mut self, numerator: &Lpc, denominator: &Lpc, signal: &mut [i16; SUBFRAME]) {
        let mut h = [0; 22];
        h[..11].copy_from_slice(numerator);
        synthesis(denominator, &mut h, &[0; 10]);
        let r0 = extract_h(dot(0, &h, &h));
        let r1 = extract_h(dot(0, &h[..21], &h[1..]));
        let factor = if r1 <= 0 { 0 } else { div_s(mult(r1, 26_214), r0) };
        let mut last = self.tilt;
        for sample in signal {
            let own = *sample;
            *sample = sub(own, mult(factor, last));
            last = own;
        }
        self.tilt = last;
    }

    fn control_gain(&mut self, input: &[i16; SUBFRAME], output: &mut [i16; SUBFRAME]) {
        let power = |signal: &[i16; SUBFRAME]| energy_saturating(0, &signal.map(|x| x >> 2));
        let out = power(output);
        if out == 0 {
            self.gain = 0;
            return;
        }
        let mut exponent = norm_l(out) - 1;
        let out = round(l_shl(out, exponent));
        let wanted = power(input);
        let target = if wanted == 0 {
            0
        } else {
            let norm = norm_l(wanted);
            let wanted = round(l_shl(wanted, norm));
            exponent -= norm;
            let ratio = l_shr(l_shl(i32::from(div_s(out, wanted)), 7), exponent);
            mult(round(l_shl(inverse_sqrt(ratio), 9)), 3_276)
        };
        let mut gain = self.gain;
        for sample in output {
            gain = add(mult(gain, 29_491), target);
            *sample = extract_h(l_shl(l_mult(*sample, gain), 3));
        }
        self.gain = gain;
    }
}
