//! RTP: what a packet costs. 20 ms of G.711 each. `--features peers` adds webrtc-srtp; libsrtp2 is measured by a small C
//! program when the headers of Debian's libsrtp2-dev are there (ns a packet, printed beside the groups).
//! Targets: parse and session update 10 ns, jitter put and get 30 ns, relay 25 ns, SRTP within 1.1 (counter mode) and
//! 1.15 (GCM) of the primitives alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    hint::black_box,
    net::SocketAddr,
    time::{Duration, Instant},
};

use denwa_rtp::{
    Packet, Session,
    jitter::{Config as JitterConfig, Incoming, JitterBuffer},
    packet::{Header, HeaderMut},
    relay::PayloadMap,
    session::{Config, Content, Format, Path, Seed},
    source::{Arrival, Source},
};

const PTIME: Duration = Duration::from_millis(20);

/// The best of many rounds, in ns a call: the machine is shared.
fn best(mut work: impl FnMut()) -> f64 {
    const CALLS: u32 = 20_000;
    let rounds = if std::env::args().any(|argument| argument == "--test") { 1 } else { 40 };
    let round = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..CALLS {
            work();
        }
        start.elapsed().as_nanos() as f64 / f64::from(CALLS)
    };
    (0..rounds).map(|_| round(&mut work)).fold(f64::INFINITY, f64::min)
}

fn report(name: &str, nanos: f64, target: &str) {
    println!("{name:<58} {nanos:>9.1} ns   {target}");
}

/// A stream of packets, 20 ms apart, numbered in place.
struct Stream {
    buffer: Vec<u8>,
    sequence: u16,
    timestamp: u32,
    now: Instant,
}

impl Stream {
    fn new() -> Self {
        let mut buffer = vec![0; 256];
        Header { ssrc: 0x1234_5678, ..Header::default() }.write(&[0xd5; 160], &mut buffer).unwrap();
        Self { buffer, sequence: 0, timestamp: 0, now: Instant::now() }
    }

    #[inline]
    fn advance(&mut self) -> &mut [u8] {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        self.now += PTIME;
        let mut header = HeaderMut::of(&mut self.buffer).unwrap();
        header.set_marker_and_payload_type(false, 0);
        header.set_sequence(self.sequence);
        header.set_timestamp(self.timestamp);
        header.set_ssrc(0x1234_5678);
        black_box(&mut self.buffer[..172])
    }
}

fn session(now: Instant, peer: SocketAddr, seed: u8) -> Session {
    let pcmu = Format { payload_type: 0, clock_rate_hz: 8000, content: Content::Media };
    let config = Config { remote: Some(peer), ..Config::new("bench", vec![pcmu], now) };
    Session::new(config, Seed([seed; 32]), now)
}

fn receive() {
    let peer: SocketAddr = "10.0.0.2:5000".parse().unwrap();
    let mut stream = Stream::new();
    let numbering = best(|| {
        stream.advance();
    });
    report("numbering the packet (taken off what follows)", numbering, "");

    let mut stream = Stream::new();
    let nanos = best(|| {
        black_box(Packet::parse(stream.advance()).unwrap().payload().len());
    });
    report("parse", nanos - numbering, "");

    let mut stream = Stream::new();
    let mut source = Source::new(1, 1, 8000, stream.now);
    let nanos = best(|| {
        let packet = Packet::parse(stream.advance()).unwrap();
        let arrival = Arrival {
            sequence: packet.sequence(),
            timestamp: packet.timestamp(),
            marker: packet.marker(),
            payload_octets: packet.payload().len() as u16,
        };
        black_box(source.update(arrival, 8000, stream.now));
    });
    report("parse, and the session's statistics of the source", nanos - numbering, "target 10 (pjmedia 11)");

    let mut stream = Stream::new();
    let mut receiving = session(stream.now, peer, 1);
    let nanos = best(|| {
        stream.advance();
        black_box(receiving.receive(&mut stream.buffer[..172], Path::from(peer), stream.now));
    });
    assert!(receiving.counters().media > 20_000);
    report("session receive: classify, parse, latch, statistics", nanos - numbering, "");

    let mut stream = Stream::new();
    let other: SocketAddr = "10.0.0.3:6000".parse().unwrap();
    let (mut left, mut right) = (session(stream.now, peer, 1), session(stream.now, other, 2));
    let map = PayloadMap::everything();
    let nanos = best(|| {
        stream.advance();
        black_box(left.receive(&mut stream.buffer[..172], Path::from(peer), stream.now));
        black_box(right.forward(&mut stream.buffer, 172, &map, stream.now).unwrap());
    });
    report("relay: the above, and rewritten for the other leg", nanos - numbering, "target 25");
}

fn jitter() {
    let modes = [
        ("adaptive", JitterConfig::voice(8000)),
        ("fixed", JitterConfig::fixed(8000, Duration::from_millis(60))),
    ];
    for (name, config) in modes {
        let mut now = Instant::now();
        let mut buffer = JitterBuffer::new(config, now);
        let (mut sequence, mut timestamp) = (0u16, 0u32);
        let payload = [0xd5; 160];
        let nanos = best(|| {
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(160);
            now += PTIME;
            let incoming =
                Incoming { ssrc: 1, sequence, timestamp, payload_type: 0, marker: false, payload: &payload };
            buffer.put(black_box(incoming), now);
            black_box(buffer.get(now));
        });
        report(&format!("jitter buffer, {name}: put and get"), nanos, "target 30 (pjmedia 31)");
    }
}

fn main() {
    receive();
    jitter();
}
