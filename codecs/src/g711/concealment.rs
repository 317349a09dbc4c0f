//! G.711 Appendix I: packet loss concealment by repeating pitch periods.
//!
//! Exact to the ITU software tools (`tests/g711_concealment.rs`). Frames are 10 ms, and the output lags by 3.75 ms so
//! that the last samples before a loss can still be bent towards what replaces it. Where that delay is not wanted,
//! or frames are of another length, `conceal` does much the same without it; the decoder uses that one.

/// Samples of one frame, 10 ms.
pub const FRAME_SAMPLES: usize = 80;
/// Samples by which the output lags, 3.75 ms.
pub const DELAY_SAMPLES: usize = PITCH_MAX / 4;

/// 200 Hz.
const PITCH_MIN: usize = 40;
/// 66.7 Hz.
const PITCH_MAX: usize = 120;
const HISTORY: usize = 3 * PITCH_MAX + DELAY_SAMPLES;
/// The stretch that is correlated, 20 ms.
const CORRELATED: usize = 160;
/// The coarse search looks at every second sample and lag.
const DECIMATION: usize = 2;
/// Quieter than this, correlation means nothing.
const LEAST_ENERGY: f64 = 250.0;
/// What is lost of the level with each frame after the first.
const ATTENUATION: f64 = 0.2;
/// The return to real speech takes longer by 4 ms for each frame lost.
const LONGER_RETURN: usize = 32;

/// Appendix I, for one source.
#[derive(Debug, Clone)]
pub struct AppendixOne {
    /// What was heard last, and what will be within the delay.
    history: [i16; HISTORY],
    pitch_buffer: [f64; HISTORY],
    /// The last quarter period before the loss, as it was.
    last_quarter: [f64; DELAY_SAMPLES],
    lost_frames: usize,
    pitch: usize,
    /// One to three periods of `pitch_buffer`'s end are played in turn.
    played_length: usize,
    played_offset: usize,
}

impl Default for AppendixOne {
    fn default() -> Self {
        Self::new()
    }
}

impl AppendixOne {
    /// With silence as history.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            history: [0; HISTORY],
            pitch_buffer: [0.0; HISTORY],
            last_quarter: [0.0; DELAY_SAMPLES],
            lost_frames: 0,
            pitch: PITCH_MIN,
            played_length: PITCH_MIN,
            played_offset: 0,
        }
    }

    /// A frame arrived: it goes in, and what is to be heard comes out, [`DELAY_SAMPLES`] later.
    pub fn received(&mut self, frame: &mut [i16; FRAME_SAMPLES]) {
        if self.lost_frames > 0 {
            let overlap = (self.pitch / 4 + (self.lost_frames - 1) * LONGER_RETURN).min(FRAME_SAMPLES);
            let mut tail = [0; FRAME_SAMPLES];
            self.play(&mut tail[..overlap]);
            let gain = (1.0 - (self.lost_frames - 1) as f64 * ATTENUATION).max(0.0);
            fade(&tail[..overlap], &mut frame[..overlap], gain);
            self.lost_frames = 0;
        }
        self.remember(frame);
    }

    /// A frame was lost: what is to be heard comes out.
    pub fn lost(&mut self, frame: &mut [i16; FRAME_SAMPLES]) {
        match self.lost_frames {
            0 => {
                for (to, from) in self.pitch_buffer.iter_mut().zip(self.history) {
                    *to = f64::from(from);
                }
                self.pitch = self.find_pitch();
                let quarter = self.pitch / 4;
                self.last_quarter[..quarter].copy_from_slice(&self.pitch_buffer[HISTORY - quarter..]);
                self.played_offset = 0;
                self.lengthen(self.pitch);
                for (to, from) in
                    self.history[HISTORY - quarter..].iter_mut().zip(&self.pitch_buffer[HISTORY - quarter..])
                {
                    *to = *from as i16;
                }
                self.play(frame);
            }
            1 | 2 => {
                // The old periods run on into the new, longer stretch, to which the phase is carried over.
                let quarter = self.pitch / 4;
                let mut tail = [0; DELAY_SAMPLES];
                let offset = self.played_offset;
                self.play(&mut tail[..quarter]);
                self.played_offset = offset;
                while self.played_offset > self.pitch {
                    self.played_offset -= self.pitch;
                }
                self.lengthen(self.played_length + self.pitch);
                self.play(frame);
                fade(&tail[..quarter], &mut frame[..quarter], 1.0);
                // `fade` weighs its first argument down: the tail first, then the frame.
                self.attenuate(frame);
            }
            3..=5 => {
                self.play(frame);
                self.attenuate(frame);
            }
            _ => frame.fill(0),
        }
        self.lost_frames += 1;
        self.remember(frame);
    }

    /// Plays the last `length` samples before the loss from now on, their end bent to join their beginning.
    fn lengthen(&mut self, length: usize) {
        self.played_length = length;
        let quarter = self.pitch / 4;
        let step = 1.0 / quarter as f64;
        let (mut down, mut up) = (1.0 - step, step);
        for index in 0..quarter {
            let before = self.pitch_buffer[HISTORY - length - quarter + index];
            self.pitch_buffer[HISTORY - quarter + index] = down * self.last_quarter[index] + up * before;
            down -= step;
            up += step;
        }
    }

    fn play(&mut self, out: &mut [i16]) {
        let start = HISTORY - self.played_length;
        for sample in out {
            *sample = self.pitch_buffer[start + self.played_offset] as i16;
            self.played_offset += 1;
            if self.played_offset == self.played_length {
                self.played_offset = 0;
            }
        }
    }

    fn attenuate(&self, frame: &mut [i16; FRAME_SAMPLES]) {
        let mut gain = 1.0 - (self.lost_frames - 1) as f64 * ATTENUATION;
        for sample in frame {
            *sample = (f64::from(*sample) * gain) as i16;
            gain -= ATTENUATION / FRAME_SAMPLES as f64;
        }
    }

    /// Takes the frame into the history and gives the delayed one instead.
    fn remember(&mut self, frame: &mut [i16; FRAME_SAMPLES]) {
        self.history.copy_within(FRAME_SAMPLES.., 0);
        self.history[HISTORY - FRAME_SAMPLES..].copy_from_slice(frame);
        let delayed = HISTORY - FRAME_SAMPLES - DELAY_SAMPLES;
        frame.copy_from_slice(&self.history[delayed..delayed + FRAME_SAMPLES]);
    }

    /// The lag at which the past 20 ms are most like themselves: at every second sample first, then around the best.
    fn find_pitch(&self) -> usize {
        const LAGS: usize = PITCH_MAX - PITCH_MIN;
        let recent = &self.pitch_buffer[HISTORY - CORRELATED..];
        let past = &self.pitch_buffer[HISTORY - CORRELATED - PITCH_MAX..];
        let (coarse, _) = best_lag(recent, past, 0, LAGS, DECIMATION, |new, best| new >= best);
        let first = coarse.saturating_sub(DECIMATION - 1);
        let last = (coarse + DECIMATION - 1).min(LAGS);
        let (fine, _) = best_lag(recent, past, first, last, 1, |new, best| new > best);
        PITCH_MAX - fine
    }
}

/// The offset into `past`, from `first` to `last` in steps, whose normalised correlation with `recent` is best.
fn best_lag(
    recent: &[f64],
    past: &[f64],
    first: usize,
    last: usize,
    step: usize,
    better: impl Fn(f64, f64) -> bool,
) -> (usize, f64) {
    let mut energy: f64 = past[first..first + CORRELATED].iter().step_by(step).map(|s| s * s).sum();
    let mut best = (first, f64::NEG_INFINITY);
    let mut offset = first;
    loop {
        let pairs = past[offset..offset + CORRELATED].iter().zip(recent).step_by(step);
        let correlation: f64 = pairs.map(|(past, recent)| past * recent).sum();
        let normalised = correlation / energy.max(LEAST_ENERGY).sqrt();
        if offset == first || better(normalised, best.1) {
            best = (offset, normalised);
        }
        if offset + step > last {
            return best;
        }
        energy -= past[offset] * past[offset];
        energy += past[offset + CORRELATED] * past[offset + CORRELATED];
        offset += step;
    }
}

/// From `old`, at `gain`, to `new`, in place of `new`.
fn fade(old: &[i16], new: &mut [i16], gain: f64) {
    let step = 1.0 / old.len() as f64;
    let (mut down, mut up) = ((1.0 - step) * gain, step);
    for (old, new) in old.iter().zip(new) {
        *new = (down * f64::from(*old) + up * f64::from(*new)) as i16; // truncates and saturates
        down -= step * gain;
        up += step;
    }
}
