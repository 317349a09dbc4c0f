//! How long packets must wait: transit times relative to the fastest of late, and the delay that few exceed.
//!
//! What counts is the slowest packet of each fifth of a second: of the last ten seconds' slowest, four in fifty
//! may be later than the target. So a lone spike does not raise the delay, and two in a row do. The base line is the fastest
//! packet of the last ten seconds, and its course over minutes is the drift of the clocks.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)] // signal processing: every index is bounded here

use super::{Config, Mode};
use crate::{sequence::timestamp_distance, time};

/// Slowest packets remembered, one for each window.
const WINDOWS: usize = 50;
/// Windows a second.
const WINDOWS_A_SECOND: u32 = 5;
/// So many of them may be later than the target…
const MAY_EXCEED: u32 = 4;
/// …which is so many steps above the others' slowest.
const MARGIN: u32 = 2;
/// Delays are counted in steps of 2 ms, up to 1 s.
const STEPS_A_SECOND: u32 = 500;
const STEPS: usize = 500;
/// Base lines remembered, one for each two seconds.
const BASE_LINES: usize = 5;
/// Base lines of four seconds remembered for the drift.
const COURSE: usize = 64;
/// The drift is told after so many of them: half a minute.
const COURSE_NEEDED: usize = 8;

#[derive(Debug)]
pub(super) struct Estimator {
    config: Config,
    /// Transit time (arrival less timestamp) of the fastest packet lately.
    base: u32,
    /// The base line that the windows are counted from.
    windows_base: u32,
    base_lines: [u32; BASE_LINES],
    base_line_ends: u64,
    /// Transit times of the present window's slowest and fastest packet, relative to the base line, and its end.
    slowest: i32,
    fastest: i32,
    window_ends: u64,
    /// The ring of the last windows' slowest, in steps, and how often each step is in it.
    windows: [u16; WINDOWS],
    filled: usize,
    at: usize,
    counts: Box<[u8; STEPS]>,
    target: u32,
    least: u32,
    most: u32,
    /// Units of the clock to a step.
    step: u32,
    course: Course,
}

impl Estimator {
    pub(super) fn new(config: Config) -> Self {
        let rate = config.clock_rate_hz;
        let units = |duration| u32::try_from(time::units(duration, rate)).unwrap_or(u32::MAX);
        let (least, most) = match config.mode {
            Mode::Adaptive { minimum, maximum } => (units(minimum), units(maximum.max(minimum))),
            Mode::Fixed { delay } => (units(delay), units(delay)),
        };
        Self {
            base: 0,
            windows_base: 0,
            base_lines: [0; BASE_LINES],
            base_line_ends: 0,
            slowest: 0,
            fastest: i32::MAX,
            window_ends: 0,
            windows: [0; WINDOWS],
            filled: 0,
            at: 0,
            counts: Box::new([0; STEPS]),
            // Two frames of most codecs: what a first packet's companions usually need.
            target: (rate / 25).clamp(least, most),
            least,
            most,
            step: (rate / STEPS_A_SECOND).max(1),
            course: Course::default(),
            config,
        }
    }

    /// A stream begins: what was learned of jitter is kept, the base line is new.
    pub(super) fn begin(&mut self, arrival: u64, timestamp: u32) {
        let transit = (arrival as u32).wrapping_sub(timestamp);
        self.base = transit;
        self.windows_base = transit;
        self.base_lines = [transit; BASE_LINES];
        self.base_line_ends = arrival + u64::from(self.config.clock_rate_hz) * 2;
        (self.slowest, self.fastest) = (0, i32::MAX);
        self.window_ends = arrival + u64::from(self.config.clock_rate_hz / WINDOWS_A_SECOND);
        self.course.begin(arrival, transit, self.config.clock_rate_hz);
    }

    #[inline]
    pub(super) fn arrived(&mut self, arrival: u64, timestamp: u32) {
        let transit = (arrival as u32).wrapping_sub(timestamp);
        let late = timestamp_distance(self.base, transit);
        self.slowest = self.slowest.max(late);
        self.fastest = self.fastest.min(late);
        if arrival >= self.window_ends || late < 0 {
            self.end_window(arrival, transit);
        }
    }

    /// A fifth of a second is over, or a packet was faster than the base line, which must be known at once.
    #[cold]
    fn end_window(&mut self, arrival: u64, transit: u32) {
        let rate = self.config.clock_rate_hz;
        let fastest = self.base.wrapping_add(self.fastest as u32);
        self.course.arrived(arrival, fastest);
        let (slowest, over) = (self.slowest.max(0) as u32, arrival >= self.window_ends);
        (self.slowest, self.fastest) = (0, i32::MAX);
        if let Mode::Fixed { .. } = self.config.mode {
            // Fixed is fixed: only the course is watched.
            self.window_ends = arrival + u64::from(rate / WINDOWS_A_SECOND);
            return;
        }
        self.base_lines[0] = earlier(self.base_lines[0], fastest);
        if arrival >= self.base_line_ends {
            self.base_line_ends = arrival + u64::from(rate) * 2;
            self.base_lines.rotate_right(1);
            self.base_lines[0] = transit;
        }
        let before = self.base;
        self.base = self.base_lines.iter().copied().reduce(earlier).unwrap_or(self.base);
        if !over {
            // The window goes on, counted from the new base line.
            self.slowest = slowest as i32 + timestamp_distance(self.base, before);
            return;
        }
        self.move_windows();
        let slowest = (slowest as i32 + timestamp_distance(self.base, before)).max(0) as u32;
        let step = (slowest.div_ceil(self.step) as usize).min(STEPS - 1) as u16;
        self.remember(step);
        self.window_ends = arrival + u64::from(rate / WINDOWS_A_SECOND);
        self.target = ((self.quantile() + MARGIN) * self.step).clamp(self.least, self.most);
    }

    /// The base line has moved: what the windows hold is counted from the new one.
    fn move_windows(&mut self) {
        let moved = timestamp_distance(self.windows_base, self.base) / self.step as i32;
        if moved == 0 {
            return;
        }
        self.windows_base = self.windows_base.wrapping_add((moved * self.step as i32) as u32);
        self.counts.fill(0);
        for window in self.windows.iter_mut().take(self.filled) {
            *window = (i32::from(*window) - moved).clamp(0, STEPS as i32 - 1) as u16;
            self.counts[usize::from(*window)] += 1;
        }
    }

    fn remember(&mut self, step: u16) {
        if self.filled == WINDOWS {
            let oldest = self.windows[self.at];
            self.counts[usize::from(oldest)] -= 1;
        } else {
            self.filled += 1;
        }
        self.windows[self.at] = step;
        self.counts[usize::from(step)] += 1;
        self.at = (self.at + 1) % WINDOWS;
    }

    /// The step that so few windows exceed; before there are many windows, fewer may.
    fn quantile(&self) -> u32 {
        let may_exceed = (MAY_EXCEED * self.filled as u32 / WINDOWS as u32) as usize;
        let slowest = self.windows.iter().take(self.filled).copied().max().unwrap_or(0);
        let mut exceeding = 0;
        for step in (0..=usize::from(slowest)).rev() {
            exceeding += usize::from(self.counts[step]);
            if exceeding > may_exceed {
                return step as u32;
            }
        }
        0
    }

    pub(super) const fn most(&self) -> u32 {
        self.most
    }

    pub(super) const fn target(&self) -> u32 {
        self.target
    }

    /// How long after the fastest packet would have come a frame is played.
    pub(super) fn delay(&self, now: u64, timestamp: u32) -> i32 {
        timestamp_distance(self.base, (now as u32).wrapping_sub(timestamp))
    }

    /// By how much a frame that is played now is later than it should be.
    #[inline]
    pub(super) fn excess(&self, now: u64, timestamp: u32) -> i32 {
        self.delay(now, timestamp).saturating_sub(self.target as i32)
    }

    pub(super) fn drift_ppm(&self) -> Option<f64> {
        self.course.drift_ppm()
    }
}

/// The smaller of two transit times.
fn earlier(a: u32, b: u32) -> u32 {
    if timestamp_distance(a, b) < 0 { b } else { a }
}

/// The fastest transit of every four seconds, for minutes.
#[derive(Debug)]
struct Course {
    points: Vec<(u64, i64)>,
    /// Transit is counted from the first packet's, without wrapping.
    last: u32,
    unwrapped: i64,
    fastest: i64,
    fastest_at: u64,
    ends: u64,
    length: u64,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            points: Vec::with_capacity(COURSE),
            last: 0,
            unwrapped: 0,
            fastest: i64::MAX,
            fastest_at: 0,
            ends: 0,
            length: u64::MAX,
        }
    }
}

impl Course {
    fn begin(&mut self, arrival: u64, transit: u32, rate: u32) {
        self.points.clear();
        (self.unwrapped, self.fastest, self.fastest_at) = (0, i64::MAX, 0);
        self.last = transit;
        self.length = u64::from(rate) * 4;
        self.ends = arrival + self.length;
    }

    fn arrived(&mut self, arrival: u64, transit: u32) {
        self.unwrapped += i64::from(timestamp_distance(self.last, transit));
        self.last = transit;
        if self.unwrapped < self.fastest {
            self.fastest = self.unwrapped;
            self.fastest_at = arrival;
        }
        if arrival >= self.ends {
            self.end_point(arrival);
        }
    }

    #[cold]
    fn end_point(&mut self, arrival: u64) {
        if self.points.len() >= COURSE {
            self.points.remove(0);
        }
        self.points.push((self.fastest_at, self.fastest));
        self.fastest = i64::MAX;
        self.ends = arrival + self.length;
    }

    /// The median of the slopes between all pairs (Theil and Sen): a step of the path moves it little. A sender whose
    /// clock is fast stamps more units than pass here, so that transit times shrink.
    fn drift_ppm(&self) -> Option<f64> {
        if self.points.len() < COURSE_NEEDED {
            return None;
        }
        let mut slopes: Vec<f64> = Vec::with_capacity(self.points.len() * self.points.len() / 2);
        for (index, (early_at, early)) in self.points.iter().enumerate() {
            for (late_at, late) in &self.points[index + 1..] {
                let passed = late_at.saturating_sub(*early_at);
                // Pairs too near tell more of jitter than of drift.
                if passed >= self.length * 4 {
                    slopes.push((late - early) as f64 / passed as f64);
                }
            }
        }
        slopes.sort_by(f64::total_cmp);
        let median = *slopes.get(slopes.len() / 2)?;
        Some(-median / (1.0 + median) * 1e6)
    }
}
