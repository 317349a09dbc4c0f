//! The media bridge by itself, without sockets: what a packet that passes costs beside the system's part of it, with few calls
//! and with many. `cargo bench -p denwa-benches --bench bridge`.
//!
//! Each leg hears 50 packets of G.711 a second by the virtual clock, the legs in an order that has no two neighbours in memory one
//! after the other. What is due besides (RTCP) is done when it is due, and is part of the figure. The best of several rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use denwa::{
    Seed,
    bridge::{Action, BridgeConfig, Command, Connection, Input, LegId, LegSpec, MediaBridge, Output, Path},
    media::{PayloadFormat, StreamParameters},
};
use denwa_rtp::packet::{Header, HeaderMut};
use rustix::time::{ClockId, clock_gettime};

/// 20 ms of PCMU.
const VOICE: [u8; 160] = [0xd5; 160];
const PACKET_TIME: Duration = Duration::from_millis(20);

fn main() {
    let measured = denwa_benches::is_measured();
    println!("{:<40} {:>6} {:>10} {:>12}", "", "calls", "ns/packet", "of 10 calls");
    for (name, theirs) in [
        ("PCMU to PCMU", PayloadFormat::pcmu()),
        ("PCMU to PCMA", PayloadFormat::pcma()),
        ("PCMU to G.729", PayloadFormat::new(18, "G729", 8000)),
    ] {
        let mut few = None;
        for calls in [10, 200, 2000].into_iter().take(if measured { 3 } else { 1 }) {
            let nanos = Calls::new(calls, &theirs).measure(if measured { 200_000 } else { 100 });
            let few = *few.get_or_insert(nanos);
            println!("{name:<40} {calls:>6} {nanos:>10.1} {:>12.2}", nanos / few);
        }
    }
}

struct Calls {
    bridge: MediaBridge,
    now: Instant,
    legs: Vec<Leg>,
    formats: [PayloadFormat; 2],
    voices: [Vec<u8>; 2],
    next: usize,
    stride: usize,
    buffer: Vec<u8>,
}

struct Leg {
    phone: SocketAddr,
    sequence: u16,
    timestamp: u32,
}

impl Calls {
    fn new(calls: usize, theirs: &PayloadFormat) -> Self {
        let now = Instant::now();
        let bridge = MediaBridge::new(BridgeConfig::new(Duration::from_secs(1), now), Seed([7; 32]), now);
        let formats = [PayloadFormat::pcmu(), theirs.clone()];
        // Ten octets of G.729 a frame, two frames a packet.
        let callee = if theirs.payload_type == 18 { vec![0x5a; 20] } else { VOICE.to_vec() };
        let stride = if calls.is_multiple_of(7) { 11 } else { 7 };
        let voices = [VOICE.to_vec(), callee];
        let mut calls = Self {
            bridge,
            now,
            legs: (0..calls * 2).map(Leg::new).collect(),
            formats,
            voices,
            next: 0,
            stride,
            buffer: vec![0; 4096],
        };
        calls.set_up();
        calls
    }

    fn set_up(&mut self) {
        for (number, leg) in self.legs.iter().enumerate() {
            let id = LegId(number as u64);
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let spec = LegSpec {
                group: id.0 / 2,
                rtp: any,
                rtcp: any,
                silence_after: Duration::from_secs(30),
                cname: "bench".into(),
            };
            self.bridge.command(Command::Open { leg: id, spec }, self.now).unwrap();
            let here = |above| SocketAddr::from((Ipv4Addr::LOCALHOST, 10_000 + number as u16 * 2 + above));
            self.bridge.handle_input(Input::Bound { leg: id, rtp: here(0), rtcp: here(1) }, self.now);
            let stream = StreamParameters::plain(leg.phone, &[self.formats[number % 2].clone()]);
            self.bridge.command(Command::Configure { leg: id, stream: Box::new(stream) }, self.now).unwrap();
        }
        for number in (0..self.legs.len() as u64).step_by(2) {
            let connect = Command::Connect { leg: LegId(number), to: Connection::Leg(LegId(number + 1)) };
            self.bridge.command(connect, self.now).unwrap();
        }
        self.pass_time();
    }

    /// Nanoseconds of processor time a packet that passed.
    fn measure(&mut self, packets: usize) -> f64 {
        self.talk(packets);
        let rounds = (0..5).map(|_| {
            let before = thread_time();
            let passed = self.talk(packets);
            (thread_time() - before).as_nanos() as f64 / passed.max(1) as f64
        });
        rounds.fold(f64::INFINITY, f64::min)
    }

    /// Says so many packets, and tells how many went on.
    fn talk(&mut self, packets: usize) -> usize {
        let step = PACKET_TIME / self.legs.len() as u32;
        (0..packets)
            .filter(|_| {
                self.now += step;
                if self.bridge.poll_timeout().is_some_and(|due| due <= self.now) {
                    self.pass_time();
                }
                self.say()
            })
            .count()
    }

    fn say(&mut self) -> bool {
        let number = self.next;
        self.next = (self.next + self.stride) % self.legs.len();
        let leg = &mut self.legs[number];
        let side = number % 2;
        leg.sequence = leg.sequence.wrapping_add(1);
        leg.timestamp = leg.timestamp.wrapping_add(160);
        let header = Header { ssrc: number as u32, ..Header::default() };
        let length = header.write(&self.voices[side], &mut self.buffer).unwrap();
        let mut header = HeaderMut::of(&mut self.buffer).unwrap();
        header.set_marker_and_payload_type(false, self.formats[side].payload_type);
        header.set_sequence(leg.sequence);
        header.set_timestamp(leg.timestamp);
        let (id, path) = (LegId(number as u64), Path::from(leg.phone));
        let passed =
            matches!(self.bridge.receive(id, path, &mut self.buffer, length, self.now), Action::Forward(_));
        while self.bridge.poll_output().is_some() {}
        passed
    }

    fn pass_time(&mut self) {
        self.bridge.handle_timeout(self.now);
        while self.bridge.next_frame(&mut self.buffer, self.now).is_some() {}
        while let Some(output) = self.bridge.poll_output() {
            // Reports and events go nowhere here.
            drop::<Output>(output);
        }
    }
}

impl Leg {
    fn new(number: usize) -> Self {
        let phone = SocketAddr::from(([192, 0, 2, 1], 10_000 + number as u16));
        Self { phone, sequence: number as u16, timestamp: number as u32 * 1000 }
    }
}

/// Processor time of this thread: what others do on the machine in the meantime does not count.
fn thread_time() -> Duration {
    let at = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(at.tv_sec.try_into().unwrap_or(0), at.tv_nsec.try_into().unwrap_or(0))
}
