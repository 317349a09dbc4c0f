//! A voice that can be recognised: harmonics in talk-spurts, with each frame's number in the low octet of its samples,
//! so that whatever a buffer plays can be traced to the sample it was.

use super::trace::Random;

/// Samples of a frame at 8 kHz.
pub(crate) const FRAME: usize = 160;
/// Frame numbers in the low octet repeat after this many.
const MARKS: usize = 251;

/// What was said.
pub(crate) struct Voice {
    frames: Vec<[i16; FRAME]>,
    /// The frame begins a talk-spurt.
    pub(crate) spurt: Vec<bool>,
    /// The frame is within a talk-spurt: under DTX others are not sent.
    pub(crate) speaking: Vec<bool>,
}

impl Voice {
    pub(crate) fn new(frames: usize) -> Self {
        let mut random = Random::new(42);
        let mut voice = Self {
            frames: Vec::with_capacity(frames),
            spurt: vec![false; frames],
            speaking: vec![false; frames],
        };
        let (mut phase, mut pitch, mut loudness) = (0.0f64, 140.0f64, 0.0f64);
        let (mut speaking, mut left) = (false, 0.0);
        for frame in 0..frames {
            if left <= 0.0 {
                speaking = !speaking;
                voice.spurt[frame] = speaking;
                left = random.exponential(if speaking { 60.0 } else { 35.0 }).max(5.0);
            }
            voice.speaking[frame] = speaking;
            left -= 1.0;
            let mut samples = [0; FRAME];
            for sample in &mut samples {
                pitch = (pitch + random.between(-0.08, 0.08)).clamp(95.0, 220.0);
                loudness += (if speaking { 1.0 } else { 0.01 } - loudness) / 400.0;
                phase += pitch / 8000.0;
                let harmonics: f64 = (1..=8)
                    .map(|n| (std::f64::consts::TAU * phase * f64::from(n)).sin() / f64::from(n))
                    .sum();
                let value = loudness * 7000.0 * harmonics + random.between(-1500.0, 1500.0);
                *sample = (value as i16) & !0xff | mark(frame) as i16;
            }
            voice.frames.push(samples);
        }
        voice
    }

    /// The frame as a payload: its number and its samples, big endian.
    pub(crate) fn payload(&self, frame: usize) -> Vec<u8> {
        let number = (frame as u32).to_be_bytes();
        number.into_iter().chain(self.frames[frame].iter().flat_map(|sample| sample.to_be_bytes())).collect()
    }

    /// Number and samples of a payload.
    pub(crate) fn decode(payload: &[u8]) -> (usize, impl Iterator<Item = i16>) {
        let (number, samples) = payload.split_first_chunk::<4>().unwrap();
        let samples = samples.as_chunks::<2>().0.iter().map(|pair| i16::from_be_bytes(*pair));
        (u32::from_be_bytes(*number) as usize, samples)
    }

    /// Which sample of which frame each sample of `played` is, where it is one: at least eight in a row must fit.
    /// `near` is a frame that may be due about now.
    pub(crate) fn recognise(&self, played: &[i16], near: usize) -> Vec<Option<(usize, usize)>> {
        const RUN: usize = 8;
        let mut found = vec![None; played.len()];
        let mut at = 0;
        while at + RUN <= played.len() {
            let Some((frame, offset)) = self.find(&played[at..at + RUN], near) else {
                at += 1;
                continue;
            };
            let mut length = 0;
            while at + length < played.len()
                && offset + length < FRAME
                && self.frames[frame][offset + length] == played[at + length]
            {
                found[at + length] = Some((frame, offset + length));
                length += 1;
            }
            at += length.max(1);
        }
        found
    }

    fn find(&self, run: &[i16], near: usize) -> Option<(usize, usize)> {
        let wanted = usize::from(run[0] as u8);
        if wanted == 0 || run.iter().any(|sample| usize::from(*sample as u8) != wanted) {
            return None;
        }
        // The frame with this mark that is nearest.
        let base = near / MARKS * MARKS + wanted - 1;
        let candidates = [base.wrapping_sub(MARKS), base, base + MARKS];
        let frame = candidates.into_iter().min_by_key(|frame| frame.abs_diff(near))?;
        let offset = self.frames.get(frame)?.windows(run.len()).position(|window| window == run)?;
        Some((frame, offset))
    }
}

/// What the low octet of a frame's samples holds; never 0, which silence has.
const fn mark(frame: usize) -> u8 {
    (frame % MARKS + 1) as u8
}
