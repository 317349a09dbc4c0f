//! Plays a trace through a buffer and looks at what comes out.

use std::time::{Duration, Instant};

use super::{
    trace::Trace,
    voice::{FRAME, Voice},
};

/// A jitter buffer with its play-out.
pub(crate) trait Player {
    fn arrive(&mut self, frame: usize, payload: &[u8], spurt: bool, now: Instant);
    /// Fills 10 ms at 8 kHz; returns how many samples were concealed.
    fn pull(&mut self, out: &mut [i16; 80], now: Instant) -> usize;
    /// Whether the frame was given to the decoder.
    fn decoded(&self, frame: usize) -> bool;
    /// Samples cut out and repeated so far.
    fn scaled(&self) -> u64;
}

/// How it did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Score {
    /// Mean time from the arrival of the fastest packets to play-out, in ms: what buffering adds.
    pub(crate) delay: f64,
    /// 95 % of the samples were played within this, in ms.
    pub(crate) delay_95: f64,
    /// Frames that arrived and were never decoded, of all that were sent, in per cent.
    pub(crate) late: f64,
    /// Concealed, of all that was played, in per cent.
    pub(crate) concealed: f64,
    /// Cut out or repeated to move the delay, in per cent of what was played.
    pub(crate) scaled: f64,
}

impl Score {
    /// Audible damage: what was invented, and what arrived and was not heard. Per cent.
    pub(crate) fn loss(&self) -> f64 {
        self.late + self.concealed
    }
}

/// Adjusts a clock that a player reads by itself.
pub(crate) type SetClock<'a> = &'a dyn Fn(Duration);

pub(crate) fn play(trace: &Trace, voice: &Voice, player: &mut dyn Player, set_clock: SetClock<'_>) -> Score {
    let start = Instant::now();
    let at = |ms: f64| start + Duration::from_nanos((ms * 1e6) as u64);
    let mut arrivals = trace.arrivals.iter().peekable();
    let (mut delays, mut concealed, mut played) = (Vec::new(), 0usize, 0usize);
    let mut out = [0; 80];
    let end = trace.frames as f64 * trace.frame_ms;
    // The play-out clock is not in step with the arrivals.
    let mut tick = 3.7;
    while tick < end {
        while let Some(arrival) = arrivals.next_if(|arrival| arrival.at <= tick) {
            set_clock(Duration::from_nanos((arrival.at * 1e6) as u64));
            player.arrive(
                arrival.frame,
                &voice.payload(arrival.frame),
                voice.spurt[arrival.frame],
                at(arrival.at),
            );
        }
        set_clock(Duration::from_nanos((tick * 1e6) as u64));
        let invented = player.pull(&mut out, at(tick));
        // The first second is for filling and learning the voice.
        let counts = tick > 1000.0;
        if counts {
            concealed += invented;
            played += out.len();
        }
        let near = ((tick - 200.0).max(0.0) / trace.frame_ms) as usize;
        for (index, found) in voice.recognise(&out, near).into_iter().enumerate() {
            let Some((frame, offset)) = found else { continue };
            let captured = frame as f64 * trace.frame_ms + offset as f64 * trace.frame_ms / FRAME as f64;
            let sounds = tick + index as f64 / 8.0;
            if counts {
                delays.push(sounds - captured - trace.frame_ms - trace.fastest);
            }
        }
        tick += 10.0;
    }
    let mean = delays.iter().sum::<f64>() / delays.len().max(1) as f64;
    delays.sort_by(f64::total_cmp);
    let late_from = (2000.0 / trace.frame_ms) as usize;
    // What arrives at the very end has no time to be played.
    let considered =
        trace.arrivals.iter().filter(|arrival| arrival.frame >= late_from && arrival.at < end - 1000.0);
    let unheard = considered.filter(|arrival| !player.decoded(arrival.frame)).count();
    Score {
        delay: mean,
        delay_95: delays.get(delays.len() * 95 / 100).copied().unwrap_or(0.0),
        late: 100.0 * unheard as f64 / trace.frames as f64,
        concealed: 100.0 * concealed as f64 / played.max(1) as f64,
        scaled: 100.0 * player.scaled() as f64 / played.max(1) as f64,
    }
}
