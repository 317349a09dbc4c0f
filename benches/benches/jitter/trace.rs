//! What a network does to a stream of packets: loss by Gilbert and Elliott, delays by gamma, spikes, Wi-Fi, LTE, drift.
//!
//! Everything follows from a seed. Times are in ms from the start of the first frame's capture.

/// Milliseconds of a frame.
pub(crate) const FRAME_MS: f64 = 20.0;

/// A packet that arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) frame: usize,
    pub(crate) at: f64,
}

/// One run of a network.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    pub(crate) name: &'static str,
    /// Frames that were sent.
    pub(crate) frames: usize,
    /// In order of arrival.
    pub(crate) arrivals: Vec<Arrival>,
    /// The least any packet needed from sending to arrival.
    pub(crate) fastest: f64,
    /// What the sender calls 20 ms, in ms of the receiver.
    pub(crate) frame_ms: f64,
    /// Nothing is sent in pauses of the voice (G.711 Appendix II), and talk-spurts begin with a marker.
    pub(crate) dtx: bool,
}

/// SplitMix64, and what can be made of it.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Marsaglia and Tsang; `shape` of at least 1.
    fn gamma(&mut self, shape: f64, scale: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * scale;
            }
        }
    }
}

/// A two-state channel: good and bad, each with its loss.
struct GilbertElliott {
    bad: bool,
    to_bad: f64,
    to_good: f64,
    loss_good: f64,
    loss_bad: f64,
}

impl GilbertElliott {
    fn loses(&mut self, random: &mut Random) -> bool {
        let turn = if self.bad { self.to_good } else { self.to_bad };
        if random.unit() < turn {
            self.bad = !self.bad;
        }
        random.unit() < if self.bad { self.loss_bad } else { self.loss_good }
    }
}

/// A delay for each frame, or its loss.
type Model<'a> = dyn FnMut(usize, f64, &mut Random) -> Option<f64> + 'a;

fn run(name: &'static str, seconds: f64, ppm: f64, seed: u64, model: &mut Model<'_>) -> Trace {
    let frame_ms = FRAME_MS / (1.0 + ppm * 1e-6);
    let frames = (seconds * 1000.0 / FRAME_MS) as usize;
    let mut random = Random::new(seed);
    let mut arrivals = Vec::new();
    let mut fastest = f64::INFINITY;
    for frame in 0..frames {
        // A frame is sent when its last sample has been captured.
        let sent = (frame + 1) as f64 * frame_ms;
        if let Some(delay) = model(frame, sent, &mut random) {
            fastest = fastest.min(delay);
            arrivals.push(Arrival { frame, at: sent + delay });
        }
    }
    arrivals.sort_by(|a, b| a.at.total_cmp(&b.at));
    Trace { name, frames, arrivals, fastest, frame_ms, dtx: false }
}

/// In a queue nobody overtakes: a packet arrives after the one before it.
fn in_order(
    mut model: impl FnMut(usize, f64, &mut Random) -> Option<f64>,
) -> impl FnMut(usize, f64, &mut Random) -> Option<f64> {
    let mut last = f64::NEG_INFINITY;
    move |frame, sent, random| {
        let delay = model(frame, sent, random)?;
        let arrival = (sent + delay).max(last + 0.2);
        last = arrival;
        Some(arrival - sent)
    }
}

/// Every trace, two minutes each.
pub(crate) fn all() -> Vec<Trace> {
    let seconds = 120.0;
    let mut traces = vec![
        run("clean", seconds, 0.0, 1, &mut |_, _, random| Some(20.0 + random.between(0.0, 1.0))),
        run(
            "gamma, mild (sd 6 ms)",
            seconds,
            0.0,
            2,
            &mut in_order(|_, _, r| Some(15.0 + r.gamma(4.0, 3.0))),
        ),
        run(
            "gamma, heavy (sd 28 ms)",
            seconds,
            0.0,
            3,
            &mut in_order(|_, _, r| Some(15.0 + r.gamma(2.0, 20.0))),
        ),
        run("gamma, reordering (sd 17 ms)", seconds, 0.0, 4, &mut |_, _, r| Some(15.0 + r.gamma(2.0, 12.0))),
    ];
    let mut channel =
        GilbertElliott { bad: false, to_bad: 0.01, to_good: 0.25, loss_good: 0.001, loss_bad: 0.5 };
    let mut lossy = |_: usize, _: f64, random: &mut Random| {
        let lost = channel.loses(random);
        let delay = 20.0 + random.gamma(2.0, 5.0);
        (!lost).then_some(delay)
    };
    traces.push(run("Gilbert-Elliott loss", seconds, 0.0, 5, &mut in_order(&mut lossy)));
    traces.push(spikes(seconds));
    traces.push(wifi(seconds));
    traces.push(lte(seconds));
    traces.push(steps(seconds));
    let drift = |random: &mut Random| Some(20.0 + random.gamma(2.0, 4.0));
    traces.push(run("drift +500 ppm", 4.0 * seconds, 500.0, 10, &mut in_order(|_, _, r| drift(r))));
    traces.push(run("drift -500 ppm", 4.0 * seconds, -500.0, 11, &mut in_order(|_, _, r| drift(r))));
    traces.push(outages(seconds));
    let mild = |random: &mut Random| Some(20.0 + random.gamma(2.0, 5.0));
    let quiet = run("DTX, gamma (sd 7 ms)", seconds, 0.0, 13, &mut in_order(|_, _, r| mild(r)));
    for trace in
        [quiet, Trace { name: "DTX, Wi-Fi", ..wifi(seconds) }, Trace { name: "DTX, LTE", ..lte(seconds) }]
    {
        traces.push(Trace { dtx: true, ..trace });
    }
    traces
}

/// Now and then the path stands still for 100 to 300 ms, and then everything comes at once.
fn spikes(seconds: f64) -> Trace {
    let (mut next, mut until) = (4000.0, 0.0);
    let mut model = |_: usize, sent: f64, random: &mut Random| {
        if sent > next {
            until = sent + random.between(100.0, 300.0);
            next = until + random.between(2000.0, 8000.0);
        }
        let held = (until - sent).max(0.0);
        Some(20.0 + held + random.gamma(2.0, 2.0))
    };
    run("spikes of 100-300 ms", seconds, 0.0, 6, &mut in_order(&mut model))
}

/// Contention, retries in steps, now and then a scan of other channels.
fn wifi(seconds: f64) -> Trace {
    let mut scan = (9000.0, 0.0);
    let mut model = |_: usize, sent: f64, random: &mut Random| {
        if sent > scan.0 {
            scan = (sent + random.between(15_000.0, 30_000.0), sent + random.between(60.0, 120.0));
        }
        let mut delay = 5.0 + random.exponential(3.0);
        let mut tries = 0;
        while tries < 7 && random.unit() < 0.18 {
            tries += 1;
            delay += random.between(2.0, 4.0) * f64::from(1 << tries.min(4));
        }
        delay += (scan.1 - sent).max(0.0);
        (tries < 7).then_some(delay)
    };
    run("Wi-Fi", seconds, 0.0, 7, &mut in_order(&mut model))
}

/// Grants in 10 ms steps, retransmissions of 8 ms, handovers of 150 to 400 ms.
fn lte(seconds: f64) -> Trace {
    let mut handover = (12_000.0, 0.0);
    let mut model = |_: usize, sent: f64, random: &mut Random| {
        if sent > handover.0 {
            handover = (sent + random.between(20_000.0, 40_000.0), sent + random.between(150.0, 400.0));
        }
        let grant = 10.0 - (sent + 3.0) % 10.0;
        let mut delay = 30.0 + grant + random.exponential(2.0);
        while random.unit() < 0.12 {
            delay += 8.0;
        }
        Some(delay + (handover.1 - sent).max(0.0))
    };
    run("LTE", seconds, 0.0, 8, &mut in_order(&mut model))
}

/// The path changes: 80 ms longer for half a minute, twice.
fn steps(seconds: f64) -> Trace {
    let mut model = |_: usize, sent: f64, random: &mut Random| {
        let longer = (sent / 1000.0) % 60.0 > 30.0;
        Some(20.0 + if longer { 80.0 } else { 0.0 } + random.gamma(2.0, 4.0))
    };
    run("steps of 80 ms", seconds, 0.0, 9, &mut in_order(&mut model))
}

/// Nothing for 3 s, twice, and small loss in between.
fn outages(seconds: f64) -> Trace {
    let mut model = |_: usize, sent: f64, random: &mut Random| {
        let out = (40_000.0..43_000.0).contains(&sent) || (80_000.0..83_000.0).contains(&sent);
        let delay = 20.0 + random.gamma(2.0, 5.0);
        (!out && random.unit() > 0.01).then_some(delay)
    };
    run("outages of 3 s, 1 % loss", seconds, 0.0, 12, &mut in_order(&mut model))
}
