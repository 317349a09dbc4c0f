//! No allocation per packet: after a warm-up, not one in hundreds of packets, on any path that media takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use denwa_rtp::{
    Session,
    jitter::{
        Config as JitterConfig, Incoming, JitterBuffer,
        playout::{Decoder, Playout},
    },
    packet::Header,
    relay::PayloadMap,
    session::{Action, Config, Content, ControlMode, Format, Frame, Path, Seed},
    srtp::{Inbound, Keying, MasterKey, Outbound, Suite},
    telephone_event,
};

const PTIME: Duration = Duration::from_millis(20);
const PACKETS: u32 = 500;

/// Counts allocations of `work` over many packets; the first of them may allocate what they keep.
fn allocations(mut work: impl FnMut(u32)) -> u64 {
    (0..600).for_each(&mut work);
    allocation_counter::measure(|| (600..600 + PACKETS).for_each(&mut work)).count_total
}

fn keying(suite: Suite) -> Keying {
    let material: Vec<u8> = (0..(suite.key_length() + suite.salt_length()) as u8).collect();
    Keying::new(MasterKey::new(suite, &material).unwrap())
}

fn session(peer: SocketAddr, suite: Option<Suite>, now: Instant) -> Session {
    let format = |payload_type, content| Format { payload_type, clock_rate_hz: 8000, content };
    let formats = vec![format(0, Content::Media), format(101, Content::TelephoneEvent)];
    // Reports are control: they may allocate.
    let config = Config { remote: Some(peer), control: ControlMode::Off, ..Config::new("x", formats, now) };
    let mut session = Session::new(config, Seed([peer.port() as u8; 32]), now);
    let keying = suite.map(keying);
    session.set_keys(keying.as_ref(), keying.as_ref()).unwrap();
    session
}

#[test]
fn sending_receiving_and_relaying_allocate_nothing() {
    let start = Instant::now();
    let (a, b) = ("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:4000".parse().unwrap());
    for suite in [None, Some(Suite::Aes128CmHmacSha1Tag80), Some(Suite::AeadAes256Gcm)] {
        let mut phone = session(b, suite, start);
        let (mut near, mut far) = (session(a, suite, start), session(b, suite, start));
        let map = PayloadMap::everything();
        let mut buffer = [0; 400];
        let count = allocations(|step| {
            let now = start + PTIME * step;
            let frame =
                Frame { feed: 0, timestamp: step * 160, payload_type: 0, marker: false, payload: &[7; 160] };
            let sent = phone.send(frame, &mut buffer, now).unwrap();
            let Action::Media(media) = near.receive(&mut buffer[..sent.length], Path::from(a), now) else {
                panic!("{step} under {suite:?}")
            };
            let length = media.length;
            far.forward(&mut buffer, length, &map, now).unwrap();
            while near.poll_output().is_some() || far.poll_output().is_some() {}
        });
        assert_eq!(count, 0, "{suite:?}");
    }
}

#[test]
fn what_is_refused_allocates_nothing() {
    let start = Instant::now();
    let peer = "10.0.0.1:4000".parse().unwrap();
    let mut session = session(peer, Some(Suite::Aes128CmHmacSha1Tag80), start);
    let mut rubbish = [0x80; 300];
    let count = allocations(|step| {
        rubbish[1] = step as u8;
        rubbish[2] = (step >> 3) as u8;
        let from: SocketAddr = ([198, 51, 100, step as u8], 999).into();
        session.receive(&mut rubbish, Path::from(from), start + PTIME * step);
        while session.poll_output().is_some() {}
    });
    assert_eq!(count, 0);
}

#[test]
fn srtp_allocates_nothing_under_any_suite() {
    for &suite in Suite::ALL {
        let keying = keying(suite);
        let (mut out, mut inbound) = (Outbound::new(&keying).unwrap(), Inbound::new(&keying));
        let mut buffer = [0; 400];
        let count = allocations(|step| {
            let header = Header { ssrc: 7, sequence: step as u16, ..Header::default() };
            let length = header.write(&[1; 160], &mut buffer).unwrap();
            let protected = out.protect(&mut buffer, length).unwrap();
            assert_eq!(inbound.unprotect(&mut buffer[..protected]), Ok(length));
        });
        assert_eq!(count, 0, "{suite:?}");
    }
}

struct Fading;

impl Decoder for Fading {
    fn decode(&mut self, _: u8, payload: &[u8], out: &mut Vec<i16>) {
        out.extend(payload.iter().enumerate().map(|(at, octet)| i16::from(*octet) * 40 * (at % 2) as i16));
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        out.resize(out.len() + samples, 0);
    }
}

#[test]
fn the_jitter_buffer_and_its_play_out_allocate_nothing() {
    let start = Instant::now();
    for config in [JitterConfig::voice(8000), JitterConfig::fixed(8000, Duration::from_millis(60))] {
        let mut buffer = JitterBuffer::new(config, start);
        let mut playout = Playout::new(config, 8000, start);
        let mut samples = [0; 160];
        let count = allocations(|step| {
            // Now and then one is lost, and the delay moves to and fro so that time is scaled.
            let now = start + PTIME * step + Duration::from_millis(u64::from(step % 50));
            let timestamp = step * 160;
            let payload = [step as u8; 160];
            let packet = Incoming {
                ssrc: 1,
                sequence: step as u16,
                timestamp,
                payload_type: 0,
                marker: false,
                payload: &payload,
            };
            if step % 40 != 3 {
                buffer.put(packet, now);
                playout.put(packet, now);
            }
            buffer.get(now);
            playout.pull(&mut Fading, &mut samples, now);
        });
        assert_eq!(count, 0, "{:?}", config.mode);
        let statistics = playout.statistics(start + PTIME * 1100);
        assert!(statistics.played > Duration::from_secs(18), "{statistics:?}");
    }
}

#[test]
fn keys_that_are_heard_allocate_nothing() {
    let start = Instant::now();
    let mut receiver = telephone_event::Receiver::new(telephone_event::ReceiverConfig::new(8000));
    let event = telephone_event::Event::of_key('5').unwrap();
    let count = allocations(|step| {
        let press = step / 10;
        let payload = telephone_event::Payload {
            event,
            end: step % 10 >= 7,
            volume: 10,
            duration: (step % 10 + 1) as u16 * 160,
        };
        let heard = telephone_event::Heard {
            sequence: step as u16,
            timestamp: press * 8000,
            marker: step % 10 == 0,
            payload: &payload.octets(),
        };
        receiver.receive(heard, start + PTIME * step);
        while receiver.poll().is_some() {}
    });
    assert_eq!(count, 0);
}
