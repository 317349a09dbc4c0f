//! What a relayed packet costs: a bare receive-and-send loop over the same kind of sockets, the media driver, and rtpengine in
//! user space where it is installed; each under the same load in the same run. `cargo bench -p denwa-benches --bench relay`.
//!
//! 20 000 packets a second of 20 ms G.711 pass in all, whatever the number of calls, so that only the number of calls
//! differs. Counted is the processor time of the relaying threads, from the system's own books, over packets that came out
//! at the other side; delay is from just before the generator's send to just after the sink's receive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "relay/bare.rs"]
mod bare;
#[path = "relay/load.rs"]
mod load;
#[path = "relay/ours.rs"]
mod ours;
#[path = "relay/rtpengine.rs"]
mod rtpengine;

use std::time::Duration;

use load::{Cost, Phones};
use ours::Kind;

/// Packets a second in all.
const RATE: u32 = 20_000;

fn main() {
    let quick = !denwa_benches::is_measured();
    let (time, rate) =
        if quick { (Duration::from_millis(200), 1000) } else { (Duration::from_secs(3), RATE) };
    println!(
        "{:<52} {:>6} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "", "calls", "µs/packet", "of bare", "p50 µs", "p99 µs", "kB/call"
    );
    // `cargo bench --bench relay -- denwa 2000` leaves out what does not hold every word.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let counts: &[usize] = if quick { &[10] } else { &[10, 200, 2000] };
    for &calls in counts {
        let mut floor = None;
        for (name, few, relay) in KINDS {
            let wanted = words.iter().all(|word| format!("{name} {calls}").contains(word.as_str()));
            if !wanted || (few && calls != 200 && !quick) || (quick && name.starts_with("rtpengine")) {
                continue;
            }
            match relay(&Phones::new(calls, rate, time)) {
                Some(cost) => line(name, calls, &cost, floor.get_or_insert(cost).micros),
                None => println!("({name}: not installed)"),
            }
        }
    }
}

/// Name, whether it is measured with one number of calls only, and how.
type Measured = (&'static str, bool, fn(&Phones) -> Option<Cost>);

const KINDS: [Measured; 9] = [
    ("bare loop, a socket per leg", false, |phones| Some(bare::per_leg(phones))),
    ("bare loop, one socket for all", false, |phones| Some(bare::shared(phones))),
    ("bare loop, one socket, batched both ways", false, |phones| Some(bare::batched(phones))),
    ("denwa, PCMU to PCMU", false, |phones| Some(ours::relay(phones, Kind::Plain))),
    ("denwa, PCMU to PCMA", true, |phones| Some(ours::relay(phones, Kind::Converting))),
    ("denwa, SRTP (CM) to plain", true, |phones| Some(ours::relay(phones, Kind::Protected))),
    ("denwa, PCMU to G.729", true, |phones| Some(ours::relay(phones, Kind::ToG729))),
    ("denwa, PCMU to Opus", true, |phones| Some(ours::relay(&slower(phones), Kind::ToOpus))),
    ("rtpengine in user space", false, rtpengine::relay),
];

/// A tenth of the packets: 200 such calls are more than a processor carries.
fn slower(phones: &Phones) -> Phones {
    phones.at_rate(phones.rate / 10)
}

fn line(name: &str, calls: usize, cost: &Cost, floor: f64) {
    println!(
        "{name:<52} {calls:>6} {:>9.2} {:>9.2} {:>9.0} {:>9.0} {:>8}",
        cost.micros,
        cost.micros / floor,
        cost.delay_median.as_secs_f64() * 1e6,
        cost.delay_99.as_secs_f64() * 1e6,
        cost.kilobytes_per_call.map_or(String::new(), |kilobytes| format!("{kilobytes:.1}")),
    );
    if cost.lost > 0.001 {
        println!("  ({:.2} % were lost)", cost.lost * 100.0);
    }
}
