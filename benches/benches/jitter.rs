//! The jitter buffer over bad networks, beside the neteq crate (with `--features peers`) and an algorithm from the
//! literature, each at its default settings, fed with the same traces in the same run.
//!
//! Where DTX sends nothing in pauses, what is invented after a talk-spurt's last frame and before the next is heard is no
//! loss. Delay is what buffering adds to the fastest packet's time. Loss is what was invented plus what arrived and was not
//! heard. `cargo bench -p denwa-benches --bench jitter [--features peers]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "peers")]
#[path = "jitter/neteq.rs"]
mod neteq;
#[path = "jitter/ours.rs"]
mod ours;
#[path = "jitter/ramjee.rs"]
mod ramjee;
#[path = "jitter/score.rs"]
mod score;
#[path = "jitter/trace.rs"]
mod trace;
#[path = "jitter/voice.rs"]
mod voice;

use std::time::{Duration, Instant};

use score::{Score, play};
use voice::Voice;

fn line(name: &str, score: &Score, verdict: &str) {
    println!(
        "  {name:<28} {:>8.1} {:>8.1} {:>8.2} {:>8.2} {:>8.2} {:>8.2}  {verdict}",
        score.delay,
        score.delay_95,
        score.late,
        score.concealed,
        score.loss(),
        score.scaled,
    );
}

fn main() {
    #[cfg(feature = "peers")]
    if neteq::runs_as_child() {
        return;
    }
    let quick = !denwa_benches::is_measured();
    let traces: Vec<_> = trace::all().into_iter().take(if quick { 2 } else { usize::MAX }).collect();
    let voice = Voice::new(traces.iter().map(|trace| trace.frames).max().unwrap());
    println!(
        "{:<30} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "", "delay", "95 %", "late", "conceal", "loss", "scaled"
    );
    println!("{:<30} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "ms", "ms", "%", "%", "%", "%");
    for (index, trace) in traces.iter().enumerate() {
        println!("{}", trace.name);
        let no_clock = |_: Duration| ();
        let now = Instant::now();
        let mut player = ours::Ours::new(now);
        let ours = play(trace, &voice, &mut player, &no_clock);
        let drift = player.drift_ppm(now + Duration::from_secs(3600));
        line("denwa", &ours, &drift.map_or(String::new(), |ppm| format!("drift {ppm:+.0} ppm")));
        let mut others = vec![(
            "Ramjee et al. 1994, alg. 4",
            play(trace, &voice, &mut ramjee::Ramjee::new(Instant::now()), &no_clock),
        )];
        #[cfg(feature = "peers")]
        others.extend(neteq::play(index).map(|score| ("neteq crate", score)));
        #[cfg(not(feature = "peers"))]
        let _ = index;
        for (name, other) in &mut others {
            let beaten = other.delay < ours.delay && other.loss() < ours.loss();
            let verdict = if beaten { "BETTER IN BOTH" } else { "" };
            line(name, other, verdict);
        }
    }
}
