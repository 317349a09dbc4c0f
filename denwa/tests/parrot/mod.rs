//! A signalling driver with a machine that does what a line of text tells it, echoes what comes, and tells what it hears.
#![allow(dead_code)]

use bytes::Bytes;
use denwa::bridge::Event as MediaEvent;
use denwa::driver::{Answer, Machine, Output};
use denwa::tokio::{DriverConfig, Listening, SignallingDriver, StreamLimits};
use denwa_sip_core::io::{Input, Protocol};
use denwa_sip_core::{StreamId, Transmit};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// On this stream nothing is echoed: two parrots would never end.
pub(crate) const QUIET: StreamId = StreamId::accepted(2000);

/// Echoes datagrams and stream data, tells everything it hears, and does as it is told.
#[derive(Default)]
pub(crate) struct Parrot {
    outputs: VecDeque<Output<String>>,
    deadline: Option<Instant>,
}

pub(crate) enum Order {
    Do(Box<Output<String>>),
    WakeMeIn(Duration),
}

impl Parrot {
    fn tell(&mut self, text: String) {
        self.outputs.push_back(Output::Event(text));
    }
}

impl Machine for Parrot {
    type Command = Order;
    type Event = String;

    fn handle_input(&mut self, input: Input<'_>, _: Instant) {
        match input {
            Input::Datagram { local, remote, payload } => {
                self.tell(format!("datagram of {} at {local}", payload.len()));
                self.outputs.push_back(Output::Transmit(Transmit {
                    source: Some(local),
                    destination: remote,
                    protocol: Protocol::Udp,
                    stream: None,
                    payload: Bytes::copy_from_slice(payload),
                }));
            }
            Input::StreamData { stream, payload } => {
                self.tell(format!("data of {}", payload.len()));
                if stream == QUIET {
                    return;
                }
                self.outputs.push_back(Output::Transmit(Transmit {
                    source: None,
                    destination: SocketAddr::from(([127, 0, 0, 1], 1)),
                    protocol: Protocol::Tcp,
                    stream: Some(stream),
                    payload: Bytes::copy_from_slice(payload),
                }));
                if payload.ends_with(b"quit") {
                    self.outputs.push_back(Output::CloseStream { stream });
                }
            }
            Input::Unreachable { destination, .. } => self.tell(format!("unreachable {destination}")),
            Input::StreamOpened { remote, peer_identity, .. } => {
                let by = peer_identity.map_or_else(String::new, |by| format!(" by {}", by.names.join(", ")));
                self.tell(format!("opened {remote}{by}"));
            }
            Input::StreamFailed { reason, .. } => self.tell(format!("failed {reason:?}")),
            Input::StreamClosed { .. } => self.tell("closed".to_owned()),
            Input::Resolved { answer, .. } => self.tell(format!("resolved {answer:?}")),
            Input::Routed { route, .. } => self.tell(format!("routed {:?}", route.map(|route| route.local))),
            Input::Provided { .. } => {}
            Input::TurnedAway { remote, limit } => {
                self.tell(format!("turned away {} {limit:?}", remote.ip()))
            }
        }
    }

    fn handle_media(&mut self, event: MediaEvent, _: Instant) {
        self.tell(format!("media {event:?}"));
    }

    fn handle_answer(&mut self, question: u64, answer: Answer, _: Instant) {
        self.tell(format!("answer {question} {answer:?}"));
    }

    fn handle_command(&mut self, order: Order, now: Instant) {
        match order {
            Order::Do(output) => self.outputs.push_back(*output),
            Order::WakeMeIn(delay) => self.deadline = Some(now + delay),
        }
    }

    fn handle_timeout(&mut self, _: Instant) {
        self.deadline = None;
        self.tell("woken".to_owned());
    }

    fn poll_output(&mut self) -> Option<Output<String>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}

pub(crate) struct Running {
    pub(crate) driver: SignallingDriver<Order>,
    pub(crate) told: mpsc::Receiver<String>,
}

impl Running {
    pub(crate) fn start(limits: StreamLimits) -> Self {
        let mut config = config(&["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]);
        config.limits = limits;
        Self::with(config)
    }

    pub(crate) fn with(config: DriverConfig) -> Self {
        let (tell, told) = mpsc::channel();
        let make = |_: &[Listening], _| Parrot::default();
        let driver = SignallingDriver::start(config, make, move |event| drop(tell.send(event))).unwrap();
        Self { driver, told }
    }

    pub(crate) fn address(&self, protocol: Protocol) -> SocketAddr {
        self.driver.listening().iter().find(|listening| listening.protocol == protocol).unwrap().address
    }

    pub(crate) fn order(&self, output: Output<String>) {
        self.driver.handle().command(Order::Do(Box::new(output))).unwrap();
    }

    /// Waits for something told that begins so.
    pub(crate) fn expect(&self, beginning: &str) -> String {
        loop {
            let told =
                self.told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never told `{beginning}`"));
            if told.starts_with(beginning) {
                return told;
            }
        }
    }

    pub(crate) fn stop(self) {
        self.order(Output::Stop);
        self.driver.join().unwrap();
    }
}

/// Listens on these, without media.
pub(crate) fn config(listen: &[&str]) -> DriverConfig {
    DriverConfig::new(listen.iter().map(|text| text.parse().unwrap()).collect())
}
