//! The encoder of Annex A (§A.3), with Annex B's discontinuous transmission where it is asked for.

use super::{
    basic_operators::*,
    bitstream::{Frame, Silence, Speech, Subframe},
    comfort_noise,
    discontinuous::Discontinuous,
    filter::{HighPass, Lpc, SUBFRAME, expand, impulse_response, memory_of, residual, synthesis},
    fixed_codebook, gain,
    lpc::{Autocorrelation, Levinson},
    lsp::{self, Pairs},
    lsp_quantizer::{self, Memory},
    pitch::{self, HISTORY, LONGEST, Taming},
    tables::{INPUT_HIGH_PASS_POLES, INPUT_HIGH_PASS_ZEROS, LSP_RESET},
    voice_activity::VoiceActivity,
};

/// γ of the perceptual weighting, Q15.
const GAMMA: i16 = 24_576;
/// 0.7 in Q15: the tilt of the weighting.
const TILT: i16 = 22_938;
/// Where the frame being encoded begins in the window of 240: 120 past samples, 80 present, 40 to come.
const PRESENT: usize = 120;

/// The encoder's whole state.
#[derive(Debug, Clone)]
pub(super) struct State {
    high_pass: HighPass,
    speech: [i16; 240],
    weighted: [i16; LONGEST as usize + 80],
    excitation: [i16; HISTORY + 80],
    levinson: Levinson,
    lsp: Pairs,
    lsp_quantised: Pairs,
    lsp_memory: Memory,
    predictor: gain::Predictor,
    taming: Taming,
    sharpening: i16,
    weighted_memory: [i16; 10],
    error_memory: [i16; 10],
    silence: Option<Silencing>,
}

#[derive(Debug, Clone)]
struct Silencing {
    detector: VoiceActivity,
    transmission: Discontinuous,
    /// The last two decisions.
    past: [bool; 2],
}

impl State {
    pub(super) fn new(discontinuous: bool) -> Self {
        Self {
            high_pass: HighPass::default(),
            speech: [0; 240],
            weighted: [0; LONGEST as usize + 80],
            excitation: [0; HISTORY + 80],
            levinson: Levinson::new(),
            lsp: LSP_RESET,
            lsp_quantised: LSP_RESET,
            lsp_memory: Memory::new(),
            predictor: gain::Predictor::new(),
            taming: Taming::new(),
            sharpening: 3_277,
            weighted_memory: [0; 10],
            error_memory: [0; 10],
            silence: discontinuous.then(|| Silencing {
                detector: VoiceActivity::new(),
                transmission: Discontinuous::new(),
                past: [true; 2],
            }),
        }
    }

    pub(super) fn is_discontinuous(&self) -> bool {
        self.silence.is_some()
    }

    /// Encodes 80 samples. What comes out describes the 80 samples that began 40 samples (5 ms) before them.
    pub(super) fn frame(&mut self, samples: &[i16; 80]) -> Frame {
        self.speech.copy_within(80.., 0);
        self.speech[160..].copy_from_slice(samples);
        self.high_pass.run(&mut self.speech[160..], &INPUT_HIGH_PASS_ZEROS, &INPUT_HIGH_PASS_POLES, 3);

        let r = Autocorrelation::of(&self.speech);
        let prediction = self.levinson.run(&r.r[..11]);
        let pairs = lsp::from_lpc(&prediction.a).unwrap_or(self.lsp);
        let mut voice = true;
        if let Some(silence) = &mut self.silence {
            let lsf = lsp::to_normalised_frequencies(&pairs);
            voice = silence.detector.decide(prediction.reflection[1], &lsf, &r, &self.speech, silence.past);
            silence.transmission.observe(&r, voice);
        }
        let frame = if voice {
            if let Some(silence) = &mut self.silence {
                silence.transmission.seed = comfort_noise::SEED;
            }
            Frame::Speech(self.active(pairs))
        } else {
            self.inactive().map_or(Frame::Untransmitted, Frame::Silence)
        };
        if let Some(silence) = &mut self.silence {
            silence.past = [voice, silence.past[0]];
        }
        self.weighted.copy_within(80.., 0);
        self.excitation.copy_within(80.., 0);
        frame
    }

    fn active(&mut self, pairs: Pairs) -> Speech {
        let (indices, quantised) = lsp_quantizer::quantise(&mut self.lsp_memory, &pairs);
        let filters = lsp::interpolate(&self.lsp_quantised, &quantised);
        self.lsp = pairs;
        self.lsp_quantised = quantised;
        let weighting = filters.map(|a| expand(&a, GAMMA));
        for subframe in 0..2 {
            let at = subframe * SUBFRAME;
            let from = PRESENT + at;
            residual(
                &filters[subframe],
                &self.speech[from - 10..from + SUBFRAME],
                &mut self.excitation[HISTORY + at..HISTORY + at + SUBFRAME],
            );
            let mut block = [0; SUBFRAME];
            block.copy_from_slice(&self.excitation[HISTORY + at..HISTORY + at + SUBFRAME]);
            self.weigh(&weighting[subframe], at, block);
        }
        let open_loop = pitch::open_loop(&self.weighted);
        let mut out = [Subframe::default(); 2];
        let mut range = pitch::first_range(open_loop);
        let mut parity = 0;
        for subframe in 0..2 {
            let (parameters, lag) = self.subframe(subframe, &weighting[subframe], range);
            if subframe == 0 {
                range = pitch::second_range(lag);
                parity = pitch::parity(parameters.lag);
            }
            out[subframe] = parameters;
        }
        Speech { lsp: indices, parity, subframes: out }
    }

    /// Weighted speech of a subframe from its residual.
    fn weigh(&mut self, weighting: &Lpc, at: usize, mut block: [i16; SUBFRAME]) {
        let mut tilted = [4_096; 11];
        for i in 1..11 {
            tilted[i] = sub(weighting[i], mult(weighting[i - 1], TILT));
        }
        synthesis(&tilted, &mut block, &self.weighted_memory);
        self.weighted_memory = memory_of(&block);
        let from = LONGEST as usize + at;
        self.weighted[from..from + SUBFRAME].copy_from_slice(&block);
    }

    fn subframe(&mut self, subframe: usize, weighting: &Lpc, range: (i16, i16)) -> (Subframe, i16) {
        let at = HISTORY + subframe * SUBFRAME;
        let h = impulse_response(weighting);
        let mut target = [0; SUBFRAME];
        target.copy_from_slice(&self.excitation[at..at + SUBFRAME]);
        synthesis(weighting, &mut target, &self.error_memory);

        let lag = pitch::closed_loop(&mut self.excitation, at, &target, &h, range, subframe == 0);
        let lag_index =
            if subframe == 0 { pitch::encode_first(lag) } else { pitch::encode_second(lag, range.0) };
        let mut adaptive = [0; SUBFRAME];
        adaptive.copy_from_slice(&self.excitation[at..at + SUBFRAME]);
        synthesis(weighting, &mut adaptive, &[0; 10]);
        let mut fit = pitch::gain(&target, &adaptive);
        let tame = self.taming.needed(lag);
        if tame {
            fit.gain = fit.gain.min(15_564);
        }
        let mut rest = target;
        for (x, &y) in rest.iter_mut().zip(&adaptive) {
            *x = sub(*x, extract_h(l_shl(l_mult(y, fit.gain), 1)));
        }
        let choice = fixed_codebook::search(&rest, &h, lag.whole, self.sharpening);
        let correlations = gain::Correlations::new(&fit, &target, &adaptive, &choice.filtered);
        let (gains, gain_index) = self.predictor.quantise(&correlations, &choice.code, tame);

        self.sharpening = gains.adaptive.clamp(3_277, 13_017);
        for (sample, &code) in self.excitation[at..at + SUBFRAME].iter_mut().zip(&choice.code) {
            *sample = round(l_shl(l_mac(l_mult(*sample, gains.adaptive), code, gains.fixed), 1));
        }
        self.taming.update(gains.adaptive, lag.whole);
        for j in 0..10 {
            let n = 30 + j;
            let made = add(
                extract_h(l_shl(l_mult(adaptive[n], gains.adaptive), 1)),
                extract_h(l_shl(l_mult(choice.filtered[n], gains.fixed), 2)),
            );
            self.error_memory[j] = sub(target[n], made);
        }
        let parameters =
            Subframe { lag: lag_index, positions: choice.positions, signs: choice.signs, gains: gain_index };
        (parameters, lag.whole)
    }

    fn inactive(&mut self) -> Option<Silence> {
        let silence = self.silence.as_mut()?;
        let outcome = silence.transmission.inactive(
            silence.past[0],
            &mut self.levinson,
            &mut self.lsp_memory,
            &self.lsp_quantised,
        );
        comfort_noise::excite(
            &mut self.excitation,
            outcome.gain,
            &mut silence.transmission.seed,
            Some(&mut self.taming),
        );
        let described = silence.transmission.silence_lsp;
        silence.transmission.finish_inactive();
        let filters = lsp::interpolate(&self.lsp_quantised, &described);
        self.lsp_quantised = described;
        for (subframe, a) in filters.iter().enumerate() {
            let at = subframe * SUBFRAME;
            let from = PRESENT + at;
            let mut error = [0; SUBFRAME];
            residual(a, &self.speech[from - 10..from + SUBFRAME], &mut error);
            let weighting = expand(a, GAMMA);
            self.weigh(&weighting, at, error);
            for (error, &made) in error.iter_mut().zip(&self.excitation[HISTORY + at..]) {
                *error = sub(*error, made);
            }
            synthesis(&weighting, &mut error, &self.error_memory);
            self.error_memory = memory_of(&error);
        }
        self.sharpening = 3_277;
        outcome.descriptor
    }
}
