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
    srtp::{Inbound, Keying, MasterKey, Outbound, Suite},
};

const PTIME: Duration = Duration::from_millis(20);

/// Calls a round.
const CALLS: u32 = 20_000;

/// The best of many rounds, in ns a call: the machine is shared.
fn best(mut work: impl FnMut()) -> f64 {
    let rounds = if denwa_benches::is_measured() { 40 } else { 1 };
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
    assert!(
        receiving.counters().media > u64::from(CALLS) / 2,
        "only a new source's first packets are held back"
    );
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

/// The best of many batches, in ns a packet: `work` gets packets that `prepare` has made.
fn best_of_batches(mut prepare: impl FnMut() -> Vec<Vec<u8>>, mut work: impl FnMut(&mut [u8])) -> f64 {
    let batches = if denwa_benches::is_measured() { 400 } else { 1 };
    let mut fastest = f64::INFINITY;
    for _ in 0..batches {
        let mut packets = prepare();
        let start = Instant::now();
        for packet in &mut packets {
            work(black_box(packet));
        }
        fastest = fastest.min(start.elapsed().as_nanos() as f64 / packets.len() as f64);
    }
    fastest
}

/// So many packets that they stay in the cache.
const BATCH: usize = 64;

fn key_material(suite: Suite) -> Vec<u8> {
    (0..(suite.key_length() + suite.salt_length()) as u8).collect()
}

/// What AES in counter mode and HMAC-SHA1 cost by themselves, keys expanded beforehand, on a packet that was numbered just
/// before as those of the suites are.
fn counter_primitives(check: bool) -> f64 {
    use cipher::{InnerIvInit, KeyInit, StreamCipherCore};
    use hmac::Mac;
    let aes = aes::Aes128Enc::new(&[1; 16].into());
    let mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(&[2; 20]).unwrap();
    let mut stream = Stream::new();
    let mut number = 0u64;
    best(|| {
        stream.advance();
        let buffer = &mut stream.buffer;
        number += 1;
        let mut iv = [7; 16];
        iv[8..].copy_from_slice(&number.to_be_bytes());
        let data = &mut black_box(&mut *buffer)[..176];
        let encrypt = |data: &mut [u8]| {
            ctr::CtrCore::<&_, ctr::flavors::Ctr128BE>::inner_iv_init(&aes, &iv.into())
                .try_apply_keystream_partial((&mut data[12..172]).into())
                .unwrap();
        };
        if !check {
            encrypt(data);
        }
        let mut mac = mac.clone();
        mac.update(data);
        let tag = mac.finalize().into_bytes();
        if check {
            black_box(bool::from(subtle::ConstantTimeEq::ct_eq(&tag[..10], &[0; 10][..])));
            encrypt(data);
        } else {
            buffer[172..182].copy_from_slice(&tag[..10]);
        }
    })
}

fn galois_primitive() -> (f64, f64) {
    use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[1; 16]).unwrap());
    let nonce = |number: u64| {
        let mut nonce = [7; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    };
    let (header, mut number) = ([0x80u8; 12], 0);
    let mut stream = Stream::new();
    let seal = best(|| {
        stream.advance();
        number += 1;
        let (head, data) = black_box(&mut stream.buffer).split_at_mut(12);
        let (data, room) = data.split_at_mut(160);
        let tag = key.seal_in_place_separate_tag(nonce(number), Aad::from(&*head), data).unwrap();
        room[..16].copy_from_slice(tag.as_ref());
    });
    let number = std::cell::Cell::new(0);
    let prepare = || {
        let sealed = |number| {
            let mut packet = vec![0; 160];
            key.seal_in_place_append_tag(nonce(number), Aad::from(&header), &mut packet).unwrap();
            packet
        };
        number.set(0);
        (1..=BATCH as u64).map(sealed).collect()
    };
    let open = best_of_batches(prepare, |packet| {
        number.set(number.get() + 1);
        black_box(key.open_in_place(nonce(number.get()), Aad::from(&header), packet).unwrap().len());
    });
    (seal, open)
}

fn srtp_suite(suite: Suite) -> (f64, f64) {
    let keying = Keying::new(MasterKey::new(suite, &key_material(suite)).unwrap());
    let mut stream = Stream::new();
    let mut out = Outbound::new(&keying).unwrap();
    let protect = best(|| {
        stream.advance();
        black_box(out.protect(&mut stream.buffer, 172).unwrap());
    });
    let mut stream = Stream::new();
    let mut out = Outbound::new(&keying).unwrap();
    let mut inbound = Inbound::new(&keying);
    let prepare = || {
        let protected = |_| {
            stream.advance();
            let mut packet = stream.buffer.clone();
            let length = out.protect(&mut packet, 172).unwrap();
            packet.truncate(length);
            packet
        };
        (0..BATCH).map(protected).collect()
    };
    let unprotect = best_of_batches(prepare, |packet| {
        black_box(inbound.unprotect(packet).unwrap());
    });
    (protect, unprotect)
}

fn report_pair(name: &str, (protect, unprotect): (f64, f64), alone: Option<(f64, f64)>) {
    let ratio = alone.map_or(String::new(), |alone| {
        format!("   {:.2} / {:.2} of the primitives alone", protect / alone.0, unprotect / alone.1)
    });
    println!("{name:<58} {protect:>7.0} / {unprotect:<7.0} ns{ratio}");
}

fn srtp() {
    println!("\nSRTP, protect / unprotect, 160 octets of payload");
    let counter = (counter_primitives(false), counter_primitives(true));
    report_pair("AES-CTR and HMAC-SHA1 alone (RustCrypto)", counter, None);
    let galois = galois_primitive();
    report_pair("AES-128-GCM alone (ring)", galois, None);
    for &suite in Suite::ALL {
        let alone = match suite {
            Suite::Aes128CmHmacSha1Tag80 | Suite::Aes128CmHmacSha1Tag32 => Some(counter),
            Suite::AeadAes128Gcm => Some(galois),
            _ => None,
        };
        report_pair(suite.sdes_name(), srtp_suite(suite), alone);
    }
    peers::measure();
}

#[path = "rtp/peers.rs"]
mod peers;

fn main() {
    receive();
    jitter();
    srtp();
}
