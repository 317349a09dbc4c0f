//! The adaptive play-out of Ramjee, Kurose, Towsley and Schulzrinne, "Adaptive playout mechanisms for packetized audio
//! applications in wide-area networks", INFOCOM 1994: algorithm 4, with its spike detection and the paper's constants.
//!
//! The delay changes at the start of a talk-spurt and stays within it; what comes later than its time is lost.

use std::{
    collections::{BTreeMap, HashSet},
    time::Instant,
};

use super::{
    score::{Packet, Player},
    voice::{FRAME, Voice},
};

const ALPHA: f64 = 0.998_002;
/// A spike begins with a change of delay above 2 v + this: 800 samples of 8 kHz in the paper, in ms.
const SPIKE_MS: f64 = 100.0;
/// A spike has ended when its slope has decayed to this: 63 samples in the paper, in ms.
const SLOPE_END_MS: f64 = 7.875;

pub(crate) struct Ramjee {
    start: Instant,
    /// Delay estimate and deviation, in ms.
    d: f64,
    v: f64,
    last: [f64; 2],
    impulse: bool,
    slope: f64,
    /// Frames that wait, by number.
    waiting: BTreeMap<usize, Vec<u8>>,
    spurts: BTreeMap<usize, f64>,
    /// Play-out delay of the present talk-spurt.
    delay: Option<f64>,
    newest_spurt: usize,
    decoded: HashSet<usize>,
}

impl Ramjee {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            d: 0.0,
            v: 0.0,
            last: [0.0; 2],
            impulse: false,
            slope: 0.0,
            waiting: BTreeMap::new(),
            spurts: BTreeMap::new(),
            delay: None,
            newest_spurt: 0,
            decoded: HashSet::new(),
        }
    }

    fn ms(&self, now: Instant) -> f64 {
        now.duration_since(self.start).as_secs_f64() * 1000.0
    }

    fn estimate(&mut self, n: f64) {
        if self.delay.is_none() && self.spurts.is_empty() {
            (self.d, self.last) = (n, [n, n]);
        }
        if !self.impulse {
            if (n - self.last[0]).abs() > 2.0 * self.v.abs() + SPIKE_MS {
                self.impulse = true;
                self.slope = 0.0;
            }
        } else {
            self.slope = self.slope / 2.0 + ((2.0 * n - self.last[0] - self.last[1]) / 8.0).abs();
            if self.slope <= SLOPE_END_MS {
                self.impulse = false;
            }
        }
        self.d = if self.impulse { self.d + n - self.last[0] } else { ALPHA * self.d + (1.0 - ALPHA) * n };
        self.v = ALPHA * self.v + (1.0 - ALPHA) * (self.d - n).abs();
        self.last = [n, self.last[0]];
    }
}

impl Player for Ramjee {
    fn arrive(&mut self, packet: &Packet, now: Instant) {
        let Packet { frame, spurt, payload, .. } = packet;
        let (frame, spurt) = (*frame, *spurt);
        let delay = self.ms(now) - frame as f64 * 20.0;
        self.estimate(delay);
        if self.spurts.is_empty() || (spurt && frame > self.newest_spurt) {
            self.spurts.insert(frame, self.d + 4.0 * self.v);
            self.newest_spurt = frame;
        }
        self.waiting.insert(frame, payload.clone());
    }

    fn pull(&mut self, out: &mut [i16; 80], now: Instant) -> usize {
        let ms = self.ms(now);
        let mut concealed = 0;
        for (index, sample) in out.iter_mut().enumerate() {
            let now = ms + index as f64 / 8.0;
            // A talk-spurt begins when its first frame's time has come.
            while let Some((&frame, &delay)) = self.spurts.first_key_value()
                && now >= frame as f64 * 20.0 + delay
            {
                self.delay = Some(delay);
                self.spurts.pop_first();
            }
            let Some(delay) = self.delay else {
                *sample = 0;
                continue;
            };
            let position = ((now - delay) * 8.0) as usize;
            let (frame, offset) = (position / FRAME, position % FRAME);
            match self.waiting.get(&frame) {
                Some(payload) => {
                    *sample = Voice::decode(payload).1.nth(offset).unwrap();
                    self.decoded.insert(frame);
                }
                None => {
                    *sample = 0;
                    concealed += 1;
                }
            }
            while self.waiting.first_key_value().is_some_and(|(first, _)| *first < frame) {
                self.waiting.pop_first();
            }
        }
        concealed
    }

    fn decoded(&self, frame: usize) -> bool {
        self.decoded.contains(&frame)
    }

    fn scaled(&self) -> u64 {
        0
    }
}
