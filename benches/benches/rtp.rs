//! RTP: what a packet costs. 20 ms of G.711 each. `--features peers` adds webrtc-srtp; libsrtp2 is measured by a small C
//! program when the headers of Debian's libsrtp2-dev are there (ns a packet, printed beside the groups).
//! Targets: parse and session update 10 ns, jitter put and get 30 ns, relay 25 ns, SRTP within 1.1 (counter mode) and
//! 1.15 (GCM) of the primitives alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    hint::black_box,
    net::SocketAddr,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use denwa_rtp::{
    Packet, Session,
    jitter::{Config as JitterConfig, Incoming, JitterBuffer},
    packet::{Header, HeaderMut},
    relay::PayloadMap,
    session::{Config, Content, Format, Path, Seed},
    source::{Arrival, Source},
};

const PTIME: Duration = Duration::from_millis(20);

fn packet() -> Vec<u8> {
    let mut buffer = vec![0; 172];
    Header { ssrc: 0x1234_5678, ..Header::default() }.write(&[0xd5; 160], &mut buffer).unwrap();
    buffer
}

fn session(now: Instant, peer: SocketAddr, seed: u8) -> Session {
    let pcmu = Format { payload_type: 0, clock_rate_hz: 8000, content: Content::Media };
    let config = Config { remote: Some(peer), ..Config::new("bench", vec![pcmu], now) };
    Session::new(config, Seed([seed; 32]), now)
}

/// Numbers the next packet.
fn advance(buffer: &mut [u8], sequence: &mut u16, timestamp: &mut u32) {
    *sequence = sequence.wrapping_add(1);
    *timestamp = timestamp.wrapping_add(160);
    let mut header = HeaderMut::of(buffer).unwrap();
    header.set_sequence(*sequence);
    header.set_timestamp(*timestamp);
}

fn receive(c: &mut Criterion) {
    let peer: SocketAddr = "10.0.0.2:5000".parse().unwrap();
    let mut group = c.benchmark_group("rtp");
    group.throughput(Throughput::Elements(1));

    group.bench_function("parse", |b| {
        let buffer = packet();
        b.iter(|| Packet::parse(black_box(&buffer)).unwrap().payload().len());
    });

    group.bench_function("parse and source update", |b| {
        let (mut buffer, mut sequence, mut timestamp, mut now) = (packet(), 0, 0, Instant::now());
        let mut source = Source::new(1, 1, 8000, now);
        b.iter(|| {
            advance(&mut buffer, &mut sequence, &mut timestamp);
            now += PTIME;
            let packet = Packet::parse(black_box(&buffer)).unwrap();
            let arrival = Arrival {
                sequence: packet.sequence(),
                timestamp: packet.timestamp(),
                marker: packet.marker(),
                payload_octets: packet.payload().len() as u16,
            };
            source.update(arrival, 8000, now)
        });
    });

    group.bench_function("session receive (parse, latch, source)", |b| {
        let (mut buffer, mut sequence, mut timestamp, mut now) = (packet(), 0, 0, Instant::now());
        let mut session = session(now, peer, 1);
        b.iter(|| {
            advance(&mut buffer, &mut sequence, &mut timestamp);
            now += PTIME;
            black_box(session.receive(black_box(&mut buffer), Path::from(peer), now));
        });
        assert!(session.counters().media > 0);
    });

    group.bench_function("relay (receive on one leg, rewrite for the other)", |b| {
        let (mut buffer, mut sequence, mut timestamp, mut now) = (packet(), 0, 0, Instant::now());
        let other: SocketAddr = "10.0.0.3:6000".parse().unwrap();
        let (mut left, mut right) = (session(now, peer, 1), session(now, other, 2));
        let map = PayloadMap::everything();
        b.iter(|| {
            advance(&mut buffer, &mut sequence, &mut timestamp);
            HeaderMut::of(&mut buffer).unwrap().set_ssrc(0x1234_5678);
            HeaderMut::of(&mut buffer).unwrap().set_marker_and_payload_type(false, 0);
            now += PTIME;
            black_box(left.receive(black_box(&mut buffer), Path::from(peer), now));
            right.forward(black_box(&mut buffer), 172, &map, now).unwrap()
        });
    });

    group.bench_function("numbering the packet (to be taken off the above)", |b| {
        let (mut buffer, mut sequence, mut timestamp, mut now) = (packet(), 0, 0, Instant::now());
        b.iter(|| {
            advance(black_box(&mut buffer), &mut sequence, &mut timestamp);
            now += PTIME;
            now
        });
    });
    group.finish();
}

fn jitter(c: &mut Criterion) {
    let mut group = c.benchmark_group("jitter");
    for (name, config) in [
        ("adaptive", JitterConfig::voice(8000)),
        ("fixed", JitterConfig::fixed(8000, Duration::from_millis(60))),
    ] {
        group.bench_function(format!("put and get, {name}"), |b| {
            let mut now = Instant::now();
            let mut buffer = JitterBuffer::new(config, now);
            let (mut sequence, mut timestamp) = (0u16, 0u32);
            let payload = [0xd5; 160];
            b.iter(|| {
                sequence = sequence.wrapping_add(1);
                timestamp = timestamp.wrapping_add(160);
                now += PTIME;
                let incoming = Incoming {
                    ssrc: 1,
                    sequence,
                    timestamp,
                    payload_type: 0,
                    marker: false,
                    payload: &payload,
                };
                buffer.put(black_box(incoming), now);
                black_box(buffer.get(now));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, receive, jitter);
criterion_main!(benches);
