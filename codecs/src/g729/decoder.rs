//! The decoder (§4; Annex A with its postfilter, or the main body with its own), with Annex B's comfort noise.

use super::{
    basic_operators::*,
    bitstream::{Frame, Silence, Speech},
    comfort_noise::{self, Dequantised, Smoothed},
    filter::{HighPass, Lpc, SUBFRAME, memory_of, synthesis},
    fixed_codebook,
    gain::{Gains, Predictor},
    lsp::{self, Pairs},
    lsp_quantizer::Memory,
    pitch::{self, HISTORY, LONGEST, Lag},
    postfilter::Postfilter,
    postfilter_main::MainPostfilter,
    tables::*,
};

/// Which postfilter and which concealment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The main body of G.729: the full postfilter.
    Main,
    /// Annex A: the reduced one. The same bitstream.
    AnnexA,
}

// One lives in each decoder, beside a larger excitation: a box would only add an allocation.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
enum Ending {
    AnnexA(Postfilter),
    Main(MainPostfilter),
}

/// What the last frame was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Speech,
    Silence,
    Untransmitted,
}

/// The decoder's whole state.
#[derive(Debug, Clone)]
pub(super) struct State {
    excitation: [i16; HISTORY + 80],
    lsp: Pairs,
    lsp_memory: Memory,
    last_frequencies: Pairs,
    last_mode: usize,
    synthesis: [i16; 10],
    sharpening: i16,
    last_lag: i16,
    gains: Gains,
    predictor: Predictor,
    erasure_seed: i16,
    noise_seed: i16,
    last: Kind,
    /// Energy of the last good frame's excitation, for a lost first silence descriptor.
    saved_energy: (i16, i16),
    silence_lsp: Pairs,
    silence_gain: Smoothed,
    ending: Ending,
    /// Main body: the longest delay that its postfilter found in the last frame; 0 when it found none.
    voicing: i16,
    high_pass: HighPass,
}

impl State {
    pub(super) fn new(variant: Variant) -> Self {
        Self {
            excitation: [0; HISTORY + 80],
            lsp: LSP_RESET,
            lsp_memory: Memory::new(),
            last_frequencies: LSF_RESET,
            last_mode: 0,
            synthesis: [0; 10],
            sharpening: 3_277,
            last_lag: 60,
            gains: Gains::default(),
            predictor: Predictor::new(),
            erasure_seed: 21_845,
            noise_seed: comfort_noise::SEED,
            last: Kind::Speech,
            saved_energy: (0, 1),
            silence_lsp: SID_LSP_RESET,
            silence_gain: Smoothed::new(),
            ending: match variant {
                Variant::AnnexA => Ending::AnnexA(Postfilter::new()),
                Variant::Main => Ending::Main(MainPostfilter::new()),
            },
            voicing: 60,
            high_pass: HighPass::default(),
        }
    }

    pub(super) fn variant(&self) -> Variant {
        match self.ending {
            Ending::AnnexA(_) => Variant::AnnexA,
            Ending::Main(_) => Variant::Main,
        }
    }

    /// Decodes one frame.
    pub(super) fn frame(&mut self, frame: &Frame, out: &mut [i16; 80]) {
        let (kind, filters, lags) = match (frame, self.last) {
            (Frame::Speech(speech), _) => self.speech(Some(speech), out),
            (Frame::Erased, Kind::Speech) => self.speech(None, out),
            (Frame::Silence(silence), _) => self.silence(Some(silence), out),
            (Frame::Untransmitted | Frame::Erased, _) => self.silence(None, out),
        };
        if !matches!(frame, Frame::Erased) {
            let sum = energy_saturating(0, &self.excitation[HISTORY..]);
            let norm = norm_l(sum);
            self.saved_energy = (round(l_shl(sum, norm)), 16 - norm);
        }
        self.excitation.copy_within(80.., 0);
        self.last = kind;
        self.finish(&filters, lags, kind == Kind::Speech, out);
    }

    /// A speech frame, or one that takes the place of a lost speech frame.
    fn speech(&mut self, frame: Option<&Speech>, out: &mut [i16; 80]) -> (Kind, [Lpc; 2], [i16; 2]) {
        let frequencies = match frame {
            Some(frame) => {
                let frequencies = self.lsp_memory.decode(frame.lsp);
                self.last_frequencies = frequencies;
                self.last_mode = frame.lsp.mode;
                frequencies
            }
            None => {
                let mode = self.last_mode;
                let supplied = self.lsp_memory.target(
                    &self.last_frequencies,
                    &LSP_PREDICTOR[mode],
                    &LSP_PREDICTOR_REST_INVERSE[mode],
                );
                self.lsp_memory.push(supplied);
                self.last_frequencies
            }
        };
        self.noise_seed = comfort_noise::SEED;
        let new = lsp::from_frequencies(&frequencies);
        let filters = lsp::interpolate(&self.lsp, &new);
        self.lsp = new;
        let mut lags = [0; 2];
        for subframe in 0..2 {
            let lag = self.lag(frame, subframe, lags[0]);
            lags[subframe] = lag.whole;
            self.excite(frame, subframe, lag);
            self.synthesise(subframe, &filters[subframe], out);
        }
        (Kind::Speech, filters, lags)
    }

    fn lag(&mut self, frame: Option<&Speech>, subframe: usize, first: i16) -> Lag {
        let received = frame.and_then(|frame| {
            let index = frame.subframes[subframe].lag;
            match subframe {
                0 => (pitch::parity(index) == frame.parity).then(|| pitch::decode_first(index)),
                _ => Some(pitch::decode_second(index, first)),
            }
        });
        match received {
            Some(lag) => {
                self.last_lag = lag.whole;
                lag
            }
            None => {
                let lag = Lag { whole: self.last_lag, third: 0 };
                self.last_lag = (self.last_lag + 1).min(LONGEST);
                lag
            }
        }
    }

    fn excite(&mut self, frame: Option<&Speech>, subframe: usize, lag: Lag) {
        let at = HISTORY + subframe * SUBFRAME;
        pitch::predict(&mut self.excitation, at, lag);
        let (positions, signs) = match frame {
            Some(frame) => (frame.subframes[subframe].positions, frame.subframes[subframe].signs),
            None => {
                let positions = random(&mut self.erasure_seed) & 0x1fff;
                (positions, random(&mut self.erasure_seed) & 15)
            }
        };
        let mut code = fixed_codebook::decode(positions, signs);
        if lag.whole < SUBFRAME as i16 {
            fixed_codebook::sharpen(&mut code, lag.whole, shl(self.sharpening, 1));
        }
        self.gains = match frame {
            Some(frame) => self.predictor.decode(frame.subframes[subframe].gains, &code),
            None => self.predictor.conceal(self.gains),
        };
        self.sharpening = self.gains.adaptive.clamp(3_277, 13_017);
        let mut used = self.gains;
        if frame.is_none() && self.variant() == Variant::Main {
            // The main body conceals voiced frames without the fixed vector and others without the adaptive one.
            if self.voicing == 0 { used.adaptive = 0 } else { used.fixed = 0 }
        }
        for (sample, &code) in self.excitation[at..at + SUBFRAME].iter_mut().zip(&code) {
            *sample = round(l_shl(l_mac(l_mult(*sample, used.adaptive), code, used.fixed), 1));
        }
    }

    /// A frame of comfort noise: described, or continued.
    fn silence(&mut self, frame: Option<&Silence>, out: &mut [i16; 80]) -> (Kind, [Lpc; 2], [i16; 2]) {
        match frame {
            Some(frame) => {
                let Dequantised { lsp, gain } = comfort_noise::decode(&mut self.lsp_memory, frame);
                self.silence_lsp = lsp;
                self.silence_gain.described = gain;
            }
            // The first descriptor was lost: its gain is guessed from the last frame's excitation.
            None if self.last == Kind::Speech => {
                let (energy, shift) = self.saved_energy;
                let (index, _) = comfort_noise::quantise_gain(&[energy], &[shift], 0);
                self.silence_gain.described = SID_GAIN[index];
            }
            None => {}
        }
        let gain = self.silence_gain.next(self.last == Kind::Speech);
        comfort_noise::excite(&mut self.excitation, gain, &mut self.noise_seed, None);
        let filters = lsp::interpolate(&self.lsp, &self.silence_lsp);
        self.lsp = self.silence_lsp;
        for (subframe, a) in filters.iter().enumerate() {
            self.synthesise(subframe, a, out);
        }
        self.sharpening = 3_277;
        let kind = if frame.is_some() { Kind::Silence } else { Kind::Untransmitted };
        (kind, filters, [self.last_lag; 2])
    }

    /// Synthesises a subframe. An overflow means that the excitation, its past included, is scaled down and synthesised
    /// again (§4.4): what the next subframe predicts from is scaled down too.
    fn synthesise(&mut self, subframe: usize, a: &Lpc, out: &mut [i16; 80]) {
        let at = subframe * SUBFRAME;
        let signal = &mut out[at..at + SUBFRAME];
        let excitation = HISTORY + at..HISTORY + at + SUBFRAME;
        signal.copy_from_slice(&self.excitation[excitation.clone()]);
        if synthesis(a, signal, &self.synthesis) {
            self.excitation.iter_mut().for_each(|sample| *sample >>= 2);
            signal.copy_from_slice(&self.excitation[excitation]);
            synthesis(a, signal, &self.synthesis);
        }
        self.synthesis = memory_of(signal);
    }

    fn finish(&mut self, filters: &[Lpc; 2], lags: [i16; 2], speech: bool, out: &mut [i16; 80]) {
        let mut delay = 0;
        for (subframe, signal) in out.chunks_exact_mut(SUBFRAME).enumerate() {
            let mut block = [0; SUBFRAME];
            block.copy_from_slice(signal);
            match &mut self.ending {
                Ending::AnnexA(filter) => filter.run(&mut block, &filters[subframe], lags[subframe], speech),
                Ending::Main(filter) => {
                    let found = filter.run(&mut block, &filters[subframe], lags[0], speech);
                    if found != 0 {
                        delay = found;
                    }
                }
            }
            signal.copy_from_slice(&block);
        }
        self.voicing = delay;
        self.high_pass.run(out, &OUTPUT_HIGH_PASS_ZEROS, &OUTPUT_HIGH_PASS_POLES, 2);
    }
}
