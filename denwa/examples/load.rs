//! A load generator: so many calls a second for so long, each held for a while; then what became of them.
//!
//! `cargo run --release -p denwa --example load -- sip:echo@127.0.0.1:5060 20 10 2` places 20 calls a second for 10 s and
//! hangs each up after 2 s.

use denwa::tokio::Telephone;
use denwa::ua::{Account, CallId, Event};
use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, rate, seconds, held, ..] = arguments.as_slice() else {
        return Err("load ADDRESS CALLS_PER_SECOND SECONDS HELD_SECONDS [LISTEN]".into());
    };
    let (rate, seconds) = (rate.parse::<u32>()?.max(1), seconds.parse::<u32>()?);
    let held = Duration::from_secs_f64(held.parse()?);
    let listen = arguments.get(4).map_or("udp:127.0.0.1:0", String::as_str).parse()?;
    let (telephone, events) = Telephone::start(&[listen], |config| config.calls_limit = 100_000)?;
    let account = telephone.with(|agent, _| agent.add_account(Account::new("load", "localhost")))?;

    let (began, total) = (Instant::now(), rate * seconds);
    let mut placed = 0;
    let mut running: HashMap<CallId, (Instant, Option<Instant>)> = HashMap::new();
    let mut set_up = Vec::new();
    let mut endings: BTreeMap<String, u32> = BTreeMap::new();
    while placed < total || !running.is_empty() {
        let due = began + Duration::from_secs(1) * placed / rate;
        if placed < total && due <= Instant::now() {
            let address = address.clone();
            let call = telephone.with(move |agent, now| agent.call(account, &address, now))??;
            running.insert(call, (Instant::now(), None));
            placed += 1;
            continue;
        }
        let over: Vec<CallId> = running
            .iter()
            .filter(|(_, (_, up))| up.is_some_and(|up| up.elapsed() >= held))
            .map(|(call, _)| *call)
            .collect();
        for call in over {
            telephone.with(move |agent, now| drop(agent.hang_up(call, now)))?;
            running.insert(call, (Instant::now(), None));
        }
        let patience = if placed < total { due.saturating_duration_since(Instant::now()) } else { held };
        match events.recv_timeout(patience.min(Duration::from_millis(20))) {
            Ok(Event::Answered { call }) => {
                if let Some((placed_at, up)) = running.get_mut(&call) {
                    set_up.push(placed_at.elapsed());
                    *up = Some(Instant::now());
                }
            }
            Ok(Event::Sound { call, samples }) => {
                telephone.with(move |agent, _| drop(agent.say(call, &samples)))?;
            }
            Ok(Event::Ended { call, reason, .. }) => {
                running.remove(&call);
                *endings.entry(reason.to_string()).or_default() += 1;
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    set_up.sort_unstable();
    println!("{placed} calls in {:.1} s", began.elapsed().as_secs_f64());
    if let (Some(median), Some(worst)) = (set_up.get(set_up.len() / 2), set_up.last()) {
        println!("answered {}: after {median:?} half of them, after {worst:?} all", set_up.len());
    }
    for (ending, count) in endings {
        println!("{count:6}  {ending}");
    }
    telephone.shut_down()?;
    Ok(())
}
