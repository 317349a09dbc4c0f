//! The signalling driver over loopback: OPTIONS answered statelessly, beside a bare echo of the same bytes with
//! `recvmmsg` and `sendmmsg` (`peers/echo.c`, built on the spot) on the same core.
//!
//! What is compared is the processor time that the answering thread needs for a datagram when it has always something to
//! do: that does not depend on who else is busy on this machine. The load comes from a process on another core.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use denwa::bridge;
use denwa::driver::{Answer, FromEndpoint, Machine, Output};
use denwa::tokio::{DriverConfig, Listening, SignallingDriver};
use denwa_sip_core::config::{Listener, TransactionConfig};
use denwa_sip_core::io::Input;
use denwa_sip_core::transaction::{TransactionEvent, Transactions};
use denwa_sip_core::{Method, Protocol, Seed, StatusCode};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const OPTIONS: &str = "OPTIONS sip:100@192.0.2.2 SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-524287-1---a0b1c2d3e4f5a6b7;rport\r\n\
Max-Forwards: 70\r\nContact: <sip:ping@192.0.2.1:5060>\r\nTo: <sip:100@192.0.2.2>\r\nFrom: <sip:ping@192.0.2.1>;tag=b5f6c04a\r\n\
Call-ID: 8a5b1c0d9e7f6a3b@192.0.2.1\r\nCSeq: 1 OPTIONS\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n";

/// Answers OPTIONS and keeps nothing.
struct Answerer {
    layer: Transactions,
    outputs: VecDeque<Output<(Duration, u64)>>,
    answered: u64,
    began: Option<Duration>,
}

/// Tell how much processor time it took, and for how many; or stop.
enum Order {
    Tell,
    Stop,
}

fn thread_time() -> Duration {
    let at = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(at.tv_sec.try_into().unwrap(), at.tv_nsec.try_into().unwrap())
}

impl Machine for Answerer {
    type Command = Order;
    type Event = (Duration, u64);

    fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.began.get_or_insert_with(thread_time);
        self.layer.handle_input(input, now);
        while let Some(output) = self.layer.poll_output() {
            match FromEndpoint::from(output) {
                FromEndpoint::Event(TransactionEvent::StatelessRequest { request, path, .. }) => {
                    let response = request.response(StatusCode::OK).to_tag("always").finish().unwrap();
                    self.layer.respond_stateless(path, &response, now);
                    self.answered += 1;
                }
                FromEndpoint::Driver(output) => self.outputs.push_back(output.widen()),
                _ => {}
            }
        }
    }

    fn handle_media(&mut self, _: bridge::Event, _: Instant) {}

    fn handle_answer(&mut self, _: u64, _: Answer, _: Instant) {}

    fn handle_command(&mut self, order: Order, _: Instant) {
        self.outputs.push_back(match order {
            Order::Tell => {
                let spent = thread_time().saturating_sub(self.began.take().unwrap_or_default());
                Output::Event((spent, std::mem::take(&mut self.answered)))
            }
            Order::Stop => Output::Stop,
        });
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.layer.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<Output<(Duration, u64)>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.layer.poll_timeout()
    }
}

/// Datagrams received and sent a call to the system: one each, either in batches, both.
const WAYS: [(usize, usize); 4] = [(1, 1), (16, 1), (1, 32), WHOLE];
const WHOLE: (usize, usize) = (16, 32);

/// The first processor answers, the last one asks.
const ANSWERING: usize = 0;

struct Tools {
    program: PathBuf,
    payload: PathBuf,
    milliseconds: String,
    asking: String,
}

impl Tools {
    fn load(&self, port: u16) -> u64 {
        let output = Command::new(&self.program)
            .args(["load", &port.to_string(), &self.milliseconds])
            .arg(&self.payload)
            .arg(&self.asking)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    /// Nanoseconds a datagram of the bare echo, and how many came back.
    fn echo(&self) -> (f64, u64) {
        let mut child = Command::new(&self.program)
            .args(["echo", &ANSWERING.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap();
        let back = self.load(port);
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"stop", ("127.0.0.1", port)).unwrap();
        line.clear();
        told.read_to_string(&mut line).unwrap();
        child.wait().unwrap();
        let (nanoseconds, answered) = line.trim().split_once(' ').unwrap();
        (nanoseconds.parse::<f64>().unwrap() / answered.parse::<f64>().unwrap().max(1.0), back)
    }

    /// The same of the driver, which takes and gives so many datagrams a call to the system at most.
    fn driver(&self, (receive, send): (usize, usize)) -> (f64, u64) {
        let mut config = DriverConfig::new(vec!["udp:127.0.0.1:0".parse().unwrap()]);
        config.media = None;
        (config.batching.receive, config.batching.send) = (receive, send);
        let (tell, told) = mpsc::channel();
        let make = |listening: &[Listening], now| {
            let mut set = CpuSet::new();
            set.set(ANSWERING);
            sched_setaffinity(None, &set).unwrap();
            let listeners = listening.iter().map(|place| Listener::new(place.protocol, place.address));
            let config = TransactionConfig::new(listeners.collect());
            let mut layer = Transactions::new(config, Seed([7; 32]), now);
            layer.serve_statelessly(&[Method::Options]);
            Answerer { layer, outputs: VecDeque::new(), answered: 0, began: None }
        };
        let driver = SignallingDriver::start(config, make, move |figures| {
            let _ = tell.send(figures);
        })
        .unwrap();
        assert_eq!(driver.listening()[0].protocol, Protocol::Udp);
        let back = self.load(driver.listening()[0].address.port());
        driver.handle().command(Order::Tell).unwrap();
        let (spent, answered) = told.recv().unwrap();
        driver.handle().command(Order::Stop).unwrap();
        driver.join().unwrap();
        (spent.as_nanos() as f64 / (answered as f64).max(1.0), back)
    }
}

fn main() {
    let is_test = !denwa_benches::is_measured();
    let folder = std::env::temp_dir().join(format!("denwa-driver-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let tools = Tools {
        program: folder.join("echo"),
        payload: folder.join("options"),
        milliseconds: if is_test { "50" } else { "1500" }.to_owned(),
        asking: std::thread::available_parallelism().map_or(0, |count| count.get() - 1).to_string(),
    };
    std::fs::write(&tools.payload, OPTIONS).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/echo.c");
    let built = Command::new("cc").args(["-O2", "-o"]).arg(&tools.program).arg(source).status();
    if !built.is_ok_and(|status| status.success()) {
        println!("no C compiler: nothing to compare with");
        return;
    }
    println!(
        "OPTIONS of {} bytes over loopback; nanoseconds of processor time a datagram, datagrams answered",
        OPTIONS.len()
    );
    let mut ratios = Vec::new();
    for _ in 0..if is_test { 1 } else { 5 } {
        let (echo, driver) = (tools.echo(), tools.driver(WHOLE));
        println!(
            "bare echo {:7.0} ns {:8}   driver {:7.0} ns {:8}   ratio {:.2}",
            echo.0,
            echo.1,
            driver.0,
            driver.1,
            driver.0 / echo.0
        );
        assert!(echo.1 > 0 && driver.1 > 0, "nothing was answered");
        ratios.push(driver.0 / echo.0);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median: the driver answers {:.2} of what the bare echo does", 1.0 / ratios[ratios.len() / 2]);
    println!(
        "batches: nanoseconds of processor time a datagram, the least of the rounds, with so many a call received / sent"
    );
    let mut least = [f64::INFINITY; WAYS.len()];
    for _ in 0..if is_test { 1 } else { 5 } {
        for (way, least) in WAYS.iter().zip(&mut least) {
            *least = least.min(tools.driver(*way).0);
        }
    }
    let least_of_one = least[0];
    for ((receive, send), least) in WAYS.iter().zip(&least) {
        println!("{receive:2} / {send:2} {least:7.0} ns   {:.2} of one a call", least / least_of_one);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
