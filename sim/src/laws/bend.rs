//! Law 10: no input and no misuse panics.
//!
//! Each run replays the script with its steps bent: bytes flipped, cut, doubled and made up, steps left out, repeated and moved,
//! deadlines at any moment, and facts from the network about streams and questions that never were.

use super::run::{Happened, Recording};
use super::{Broken, Subject};
use crate::machine::{CloseReason, Machine, Protocol, Stimulus, StreamFailure, UnreachableReason};
use crate::names::{RecordKind, ResolveFailure};
use crate::random::Random;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub(super) fn check<M: Machine>(subject: &Subject<M>, recording: &Recording<M>) -> Result<(), Broken> {
    let addresses = addresses(recording);
    for number in 0..subject.bent_runs {
        let mut random = Random::derive(number, u64::from(subject.seed[0]));
        let steps = bent(recording, &addresses, subject.until, &mut random);
        let mut run = subject.start();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut outputs = Vec::new();
            for (at, happened) in &steps {
                run.happen(*at, happened);
                if random.chance(0.7) {
                    outputs.clear();
                    run.drain(&mut outputs);
                }
                run.machine.poll_timeout();
            }
        }));
        if let Err(panic) = outcome {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
            return Err(Broken { law: 10, how: format!("bent run {number} panicked: {text}") });
        }
    }
    Ok(())
}

/// The addresses that the script speaks of, and some that it does not.
fn addresses<M>(recording: &Recording<M>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = vec![
        ([192, 0, 2, 77], 5060).into(),
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 1).into(),
        ([0; 4], 0).into(),
    ];
    for (_, happened) in &recording.steps {
        if let Happened::Input(
            Stimulus::Datagram { local, remote, .. }
            | Stimulus::StreamData { local, remote, .. }
            | Stimulus::StreamOpened { local, remote, .. },
        ) = happened
        {
            addresses.extend([*local, *remote]);
        }
    }
    addresses.truncate(64);
    addresses
}

fn bent<M>(
    recording: &Recording<M>,
    addresses: &[SocketAddr],
    until: Duration,
    random: &mut Random,
) -> Vec<(Duration, Happened<M>)> {
    let mut steps: Vec<(Duration, Happened<M>)> = Vec::new();
    for (at, happened) in &recording.steps {
        let mut at = *at;
        if random.chance(0.1) {
            at = until.mul_f64(random.unit());
        }
        if random.chance(0.1) {
            steps.push((at, Happened::Input(foreign(addresses, random))));
        }
        if random.chance(0.05) {
            steps.push((at, Happened::Deadline));
        }
        for _ in 0..[1, 1, 1, 1, 1, 1, 2, 0][random.below(8) as usize] {
            let mut happened = happened.clone();
            if let Happened::Input(stimulus) = &mut happened
                && let Some(payload) = stimulus.payload_mut()
            {
                bend(payload, random);
            }
            steps.push((at, happened));
        }
    }
    if steps.is_empty() {
        steps.push((Duration::ZERO, Happened::Input(foreign(addresses, random))));
    }
    steps
}

fn bend(payload: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        let place = random.below(payload.len() as u64 + 1) as usize;
        match random.below(6) {
            0 => payload.truncate(place),
            1 => payload.insert(place, random.next_u64() as u8),
            2 => payload.extend_from_within(..place.min(512)),
            3 => payload.drain(..place.min(16)).for_each(drop),
            _ => {
                if let Some(byte) = payload.get_mut(place) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
}

/// Something that does not belong to the script.
fn foreign(addresses: &[SocketAddr], random: &mut Random) -> Stimulus {
    let mut address = || addresses[random.below(addresses.len() as u64) as usize];
    let (local, remote) = (address(), address());
    let token = random.below(8);
    let streams = [Protocol::Tcp, Protocol::Tls, Protocol::WebSocket, Protocol::SecureWebSocket];
    let protocol = streams[random.below(4) as usize];
    let mut payload = vec![0; random.below(200) as usize];
    random.fill(&mut payload);
    match random.below(9) {
        0 | 1 => Stimulus::Datagram { local, remote, payload },
        2 => Stimulus::StreamData { protocol, local, remote, payload },
        3 => Stimulus::Unreachable { local, remote, reason: UnreachableReason::Port },
        4 => Stimulus::StreamOpened { token: Some(token), protocol, local, remote, peer_identity: None },
        5 => Stimulus::StreamFailed { token, protocol, remote, reason: StreamFailure::Refused },
        6 => Stimulus::StreamClosed { protocol, local, remote, reason: CloseReason::Reset },
        7 => Stimulus::Resolved {
            token,
            name: "nobody.example".to_owned(),
            kind: RecordKind::A,
            answer: Err(ResolveFailure::NoSuchName),
        },
        _ => Stimulus::Provided { token, question: String::new(), answer: None },
    }
}
