//! Keys as tones in the sound, in place of what is said.

use super::Misuse;
use denwa_codecs::tone::Generator;
use denwa_codecs::tone::dtmf;
use std::collections::VecDeque;

/// Keys that may wait to be sent.
const LIMIT: usize = 64;

#[derive(Debug)]
pub(super) struct InBand {
    sample_rate_hz: u32,
    sounding: Option<Generator>,
    waiting: VecDeque<char>,
}

impl InBand {
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        Self { sample_rate_hz, sounding: None, waiting: VecDeque::new() }
    }

    pub(super) fn press(&mut self, digits: &str) -> Result<(), Misuse> {
        if let Some(other) = digits.chars().find(|digit| dtmf::frequencies_hz(*digit).is_none()) {
            return Err(Misuse::NotADigit(other));
        }
        if self.waiting.len().saturating_add(digits.len()) > LIMIT {
            return Err(Misuse::TooManyDigits);
        }
        self.waiting.extend(digits.chars());
        Ok(())
    }

    /// Whether keys are being sent.
    pub(super) fn is_sounding(&self) -> bool {
        self.sounding.is_some() || !self.waiting.is_empty()
    }

    /// The next stretch of the keys' sound.
    pub(super) fn sound(&mut self, samples: &mut [i16]) {
        let mut rest = samples;
        while !rest.is_empty() {
            let Some(generator) = &mut self.sounding else {
                let Some(digit) = self.waiting.pop_front() else { break };
                let tone = dtmf::dial(digit.encode_utf8(&mut [0; 4]), dtmf::Sending::default());
                self.sounding = Some(Generator::new(&tone, self.sample_rate_hz));
                continue;
            };
            let count = generator.generate(rest);
            if generator.is_finished() {
                self.sounding = None;
            }
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        rest.fill(0);
    }
}
