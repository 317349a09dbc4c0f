//! Plays a trace through a buffer and looks at what comes out.

use std::time::{Duration, Instant};

use super::{
    trace::Trace,
    voice::{FRAME, Voice},
};

/// A jitter buffer with its play-out.
pub(crate) trait Player {
    fn arrive(&mut self, packet: &Packet, now: Instant);
    /// Fills 10 ms at 8 kHz; returns how many samples were concealed.
    fn pull(&mut self, out: &mut [i16; 80], now: Instant) -> usize;
    /// Whether the frame was given to the decoder.
    fn decoded(&self, frame: usize) -> bool;
    /// Samples cut out and repeated so far.
    fn scaled(&self) -> u64;
}

/// A packet of the voice.
pub(crate) struct Packet {
    /// Number of the frame in the voice; its timestamp follows from it.
    pub(crate) frame: usize,
    pub(crate) sequence: u16,
    /// The first of a talk-spurt.
    pub(crate) spurt: bool,
    /// The marker bit: the first of a talk-spurt under DTX.
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
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
    let sent = |frame: usize| !trace.dtx || voice.speaking[frame];
    let arrivals: Vec<_> = trace.arrivals.iter().filter(|arrival| sent(arrival.frame)).collect();
    let sequences: Vec<u16> = (0..trace.frames)
        .scan(0u16, |next, frame| {
            let this = *next;
            *next = next.wrapping_add(u16::from(sent(frame)));
            Some(this)
        })
        .collect();
    let mut queue = arrivals.iter().peekable();
    // After the last frame of a talk-spurt, what is invented is a pause.
    let mut in_pause = false;
    let (mut delays, mut concealed, mut played) = (Vec::new(), 0usize, 0usize);
    let mut out = [0; 80];
    let end = trace.frames as f64 * trace.frame_ms;
    // The play-out clock is not in step with the arrivals.
    let mut tick = 3.7;
    while tick < end {
        while let Some(arrival) = queue.next_if(|arrival| arrival.at <= tick) {
            set_clock(Duration::from_nanos((arrival.at * 1e6) as u64));
            let spurt = voice.spurt[arrival.frame];
            let packet = Packet {
                frame: arrival.frame,
                sequence: sequences[arrival.frame],
                spurt,
                marker: trace.dtx && spurt,
                payload: voice.payload(arrival.frame),
            };
            player.arrive(&packet, at(arrival.at));
        }
        set_clock(Duration::from_nanos((tick * 1e6) as u64));
        let invented = player.pull(&mut out, at(tick));
        // The first second is for filling and learning the voice.
        let counts = tick > 1000.0;
        let near = ((tick - 200.0).max(0.0) / trace.frame_ms) as usize;
        let mut in_speech = !in_pause;
        for (index, found) in voice.recognise(&out, near).into_iter().enumerate() {
            let Some((frame, offset)) = found else { continue };
            in_pause = trace.dtx && frame + 1 < trace.frames && !sent(frame + 1) && offset >= FRAME / 2;
            in_speech |= !in_pause;
            let captured = frame as f64 * trace.frame_ms + offset as f64 * trace.frame_ms / FRAME as f64;
            let sounds = tick + index as f64 / 8.0;
            if counts {
                delays.push(sounds - captured - trace.frame_ms - trace.fastest);
            }
        }
        if counts && in_speech {
            concealed += invented;
            played += out.len();
        }
        tick += 10.0;
    }
    let mean = delays.iter().sum::<f64>() / delays.len().max(1) as f64;
    delays.sort_by(f64::total_cmp);
    let late_from = (2000.0 / trace.frame_ms) as usize;
    // What arrives at the very end has no time to be played.
    let considered =
        arrivals.iter().filter(|arrival| arrival.frame >= late_from && arrival.at < end - 1000.0);
    let unheard = considered.filter(|arrival| !player.decoded(arrival.frame)).count();
    Score {
        delay: mean,
        delay_95: delays.get(delays.len() * 95 / 100).copied().unwrap_or(0.0),
        late: 100.0 * unheard as f64 / (0..trace.frames).filter(|frame| sent(*frame)).count() as f64,
        concealed: 100.0 * concealed as f64 / played.max(1) as f64,
        scaled: 100.0 * player.scaled() as f64 / played.max(1) as f64,
    }
}
