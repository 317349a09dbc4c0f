//! The laws let a good machine pass, and find each fault in the machines that break them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_sim::laws::{Bounds, Subject};
use denwa_sim::{Input, Life, Machine, Output, Stimulus, Transmit};
use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Which law a machine breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sin {
    None,
    PollAsksAgain,
    ClockGoesBack,
    DeadlineStays,
    LateBurst,
    SpuriousCounts,
    OwnRandomness,
    LosesUndrained,
    NeverForgets,
    TooManyOutputs,
    DrainsBelowLazily,
    EndsTwice,
    Panics,
}

/// Sends a request and repeats it every second, five times, until it is answered; answers what it is asked.
struct Requester {
    sin: Sin,
    outputs: VecDeque<Output>,
    latest: Instant,
    resend_at: Option<Instant>,
    tries: u32,
    peers: Vec<SocketAddr>,
    polls: Cell<u32>,
    lazy: Option<Output>,
}

const LOCAL: &str = "192.0.2.1:1";
const REMOTE: &str = "192.0.2.2:1";

impl Requester {
    fn new(sin: Sin, now: Instant) -> Self {
        Self {
            sin,
            outputs: VecDeque::new(),
            latest: now,
            resend_at: None,
            tries: 0,
            peers: Vec::new(),
            polls: Cell::new(0),
            lazy: None,
        }
    }

    fn push(&mut self, output: Output) {
        if self.sin == Sin::LosesUndrained && self.outputs.len() > 1 {
            return;
        }
        self.outputs.push_back(output);
    }

    fn send(&mut self, payload: &str) {
        let payload = payload.to_owned();
        self.push(Output::Transmit(Transmit::datagram(None, REMOTE.parse().unwrap(), payload)));
    }

    fn see(&mut self, now: Instant) -> Instant {
        if self.sin == Sin::ClockGoesBack {
            self.latest = now;
        }
        self.latest = self.latest.max(now);
        self.latest
    }

    fn start(&mut self, now: Instant) {
        let now = self.see(now);
        if self.tries == 0 {
            self.push(Output::Event { text: "begun".into(), life: Life::Begun(1) });
            self.tries = 1;
            self.resend_at = Some(now + Duration::from_secs(1));
            self.send("request 1");
        }
    }

    fn end(&mut self, reason: &str) {
        self.resend_at = None;
        for _ in 0..if self.sin == Sin::EndsTwice { 2 } else { 1 } {
            self.push(Output::Event { text: reason.into(), life: Life::Ended(1) });
        }
    }
}

impl Machine for Requester {
    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.see(now);
        let Input::Datagram { remote, payload, .. } = input else { return };
        match self.sin {
            Sin::Panics if payload.len() > 6 => panic!("seven bytes"),
            Sin::OwnRandomness => self.send(&format!("{:p}", Box::new(1))),
            Sin::TooManyOutputs => (0..200).for_each(|_| self.push(Output::event("again"))),
            _ => {}
        }
        if self.sin == Sin::NeverForgets || self.peers.len() < 10 {
            self.peers.push(remote);
        }
        if self.sin == Sin::DrainsBelowLazily {
            self.resend_at = Some(self.latest + Duration::from_secs(9));
            self.lazy = Some(Output::event("lazy"));
        }
        if payload.starts_with(b"answer") && self.resend_at.is_some() {
            self.end("answered");
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.see(now);
        if self.sin == Sin::SpuriousCounts {
            self.tries += 1;
        }
        let Some(due) = self.resend_at.filter(|due| *due <= now) else { return };
        self.tries += 1;
        if self.tries > 5 {
            return self.end("given up");
        }
        let from = match self.sin {
            Sin::LateBurst => due,
            _ => now,
        };
        let pause = Duration::from_secs(if self.sin == Sin::DeadlineStays { 0 } else { 1 });
        self.resend_at = Some(from + pause);
        self.send(&format!("request {}", self.tries));
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(lazy) = self.lazy.take() {
            self.resend_at = None;
            return Some(lazy);
        }
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.polls.set(self.polls.get() + 1);
        let moved =
            Duration::from_millis(if self.sin == Sin::PollAsksAgain { self.polls.get().into() } else { 0 });
        self.resend_at.map(|at| at + moved)
    }

    fn holdings(&self) -> Option<usize> {
        Some(self.peers.len())
    }

    fn refuses(&mut self, _handle: u64, _now: Instant) -> Option<bool> {
        Some(self.resend_at.is_none())
    }
}

fn datagram(text: &str) -> Stimulus {
    Stimulus::Datagram {
        local: LOCAL.parse().unwrap(),
        remote: REMOTE.parse().unwrap(),
        payload: text.as_bytes().to_vec(),
    }
}

fn check(sin: Sin, answered: bool) -> Result<(), denwa_sim::laws::Broken> {
    let second = Duration::from_secs(1);
    let mut subject = Subject::new(move |_, now| Requester::new(sin, now))
        .input(second / 4, datagram("hello"))
        .command(second / 2, Requester::start)
        .input(second * 3 / 2, datagram("there"))
        .command(second * 2, Requester::start)
        .input(second * 5 / 2, datagram("again"));
    if answered {
        subject = subject.reply(second * 7 / 2, |outputs| {
            assert!(outputs.len() >= 4);
            vec![datagram("answer")]
        });
    }
    subject.flood(100, |_| datagram("flood")).bounds(Bounds { outputs_per_input: 20, holdings: 10 }).check()
}

#[test]
fn a_good_machine_passes() {
    check(Sin::None, true).unwrap();
    check(Sin::None, false).unwrap();
}

#[test]
fn each_sin_is_found_by_its_law() {
    for (sin, law) in [
        (Sin::PollAsksAgain, 1),
        (Sin::ClockGoesBack, 2),
        (Sin::DeadlineStays, 3),
        (Sin::LateBurst, 3),
        (Sin::SpuriousCounts, 4),
        (Sin::OwnRandomness, 5),
        (Sin::LosesUndrained, 6),
        (Sin::NeverForgets, 7),
        (Sin::TooManyOutputs, 7),
        (Sin::DrainsBelowLazily, 8),
        (Sin::EndsTwice, 9),
        (Sin::Panics, 10),
    ] {
        let broken = check(sin, matches!(sin, Sin::EndsTwice)).expect_err(&format!("{sin:?} passed"));
        assert_eq!(broken.law, law, "{sin:?}: {broken}");
    }
}
