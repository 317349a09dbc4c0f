//! Sessions with keys: what passes, what is kept over re-INVITE, hold and transfer, and what a bridge does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use denwa_rtp::{
    relay::PayloadMap,
    session::{
        Action, Config, Content, DropReason, Event, Format, Frame, NotSent, Output, Path, Seed, Session,
        Transmit,
    },
    srtp::{Keying, MasterKey, Policy, Suite},
};

const PTIME: Duration = Duration::from_millis(20);
const PCMU: Format = Format { payload_type: 0, clock_rate_hz: 8000, content: Content::Media };

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn keying(suite: Suite, fill: u8) -> Keying {
    Keying::new(MasterKey::new(suite, &vec![fill; suite.key_length() + suite.salt_length()]).unwrap())
}

struct End {
    session: Session,
    address: SocketAddr,
    timestamp: u32,
    transmits: Vec<Transmit>,
    events: Vec<Event>,
}

impl End {
    fn new(here: &str, there: &str, seed: u8, now: Instant) -> Self {
        let config = Config {
            remote: Some(address(there)),
            require_protection: true,
            ..Config::new("x", vec![PCMU], now)
        };
        let session = Session::new(config, Seed([seed; 32]), now);
        Self { session, address: address(here), timestamp: 0, transmits: Vec::new(), events: Vec::new() }
    }

    fn speak(&mut self, now: Instant) -> Vec<u8> {
        let mut buffer = [0; 256];
        let frame = Frame {
            feed: 0,
            timestamp: self.timestamp,
            payload_type: 0,
            marker: false,
            payload: &[0xd5; 160],
        };
        self.timestamp += 160;
        let out = self.session.send(frame, &mut buffer, now).unwrap();
        buffer[..out.length].to_vec()
    }

    fn hear(&mut self, from: SocketAddr, mut bytes: Vec<u8>, now: Instant) -> Result<(), DropReason> {
        let result = match self.session.receive(&mut bytes, Path::from(from), now) {
            Action::Media(media) => {
                assert_eq!(media.packet.payload(), [0xd5; 160]);
                assert!(media.authenticated);
                Ok(())
            }
            Action::Control => Ok(()),
            Action::Dropped(reason) => Err(reason),
            Action::NotMine(kind) => panic!("{kind:?}"),
        };
        self.drain();
        result
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(transmit) => self.transmits.push(transmit),
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

fn pair(now: Instant, suite: Suite) -> (End, End) {
    let mut a = End::new("10.0.0.1:1", "10.0.0.2:2", 1, now);
    let mut b = End::new("10.0.0.2:2", "10.0.0.1:1", 2, now);
    a.session.set_keys(Some(&keying(suite, 1)), Some(&keying(suite, 2))).unwrap();
    b.session.set_keys(Some(&keying(suite, 2)), Some(&keying(suite, 1))).unwrap();
    (a, b)
}

#[test]
fn nothing_passes_before_there_are_keys() {
    let now = Instant::now();
    let mut a = End::new("10.0.0.1:1", "10.0.0.2:2", 1, now);
    let mut buffer = [0; 256];
    let frame = Frame { feed: 0, timestamp: 0, payload_type: 0, marker: false, payload: &[0xd5; 160] };
    assert_eq!(a.session.send(frame, &mut buffer, now), Err(NotSent::NoKeys));
    let mut plain = vec![0x80; 172];
    plain[1] = 0;
    assert_eq!(a.hear(address("10.0.0.2:2"), plain, now), Err(DropReason::NoKeys));
    for second in 0..20 {
        a.session.handle_timeout(now + Duration::from_secs(second));
    }
    a.drain();
    assert_eq!(a.transmits, [], "no report in the clear");
    assert_eq!(a.session.sources().count(), 0);
}

#[test]
fn voice_and_reports_pass_under_every_suite() {
    for &suite in Suite::ALL {
        let start = Instant::now();
        let (mut a, mut b) = pair(start, suite);
        for step in 0..1000u32 {
            let now = start + PTIME * step;
            let packet = a.speak(now);
            b.hear(a.address, packet, now).unwrap();
            let packet = b.speak(now);
            a.hear(b.address, packet, now).unwrap();
            for end in [&mut a, &mut b] {
                end.session.handle_timeout(now);
                end.drain();
            }
            for transmit in std::mem::take(&mut a.transmits) {
                b.hear(a.address, transmit.payload.to_vec(), now).unwrap();
            }
            for transmit in std::mem::take(&mut b.transmits) {
                a.hear(b.address, transmit.payload.to_vec(), now).unwrap();
            }
        }
        assert!(a.session.remote_report().is_some() && b.session.remote_report().is_some(), "{suite:?}");
        assert_eq!(a.session.counters().not_authentic, 0);
    }
}

#[test]
fn plain_and_forged_packets_change_nothing() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start, Suite::Aes128CmHmacSha1Tag80);
    let thief = address("198.51.100.66:6666");
    for step in 0..100u32 {
        let now = start + PTIME * step;
        let mut forged = vec![0x80, 0];
        forged.extend_from_slice(&[step as u8; 180]);
        assert_eq!(b.hear(thief, forged, now), Err(DropReason::NotAuthentic));
        let packet = a.speak(now);
        b.hear(a.address, packet.clone(), now).unwrap();
        assert_eq!(b.hear(thief, packet, now), Err(DropReason::NotAuthentic), "a replay from elsewhere");
    }
    assert_eq!(b.session.destination(), Some(a.address));
    assert_eq!(b.session.sources().count(), 1);
    assert_eq!(b.session.counters().not_authentic, 200);
}

#[test]
fn an_authentic_packet_moves_the_latch_at_once() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start, Suite::AeadAes128Gcm);
    let nat = address("203.0.113.7:31000");
    let packet = a.speak(start + Duration::from_secs(600));
    b.hear(nat, packet, start + Duration::from_secs(600)).unwrap();
    assert_eq!(b.session.destination(), Some(nat));
}

#[test]
fn rollover_survives_re_invite_hold_and_transfer() {
    let start = Instant::now();
    let suite = Suite::Aes128CmHmacSha1Tag80;
    let (mut a, mut b) = pair(start, suite);
    for step in 0..70_000u32 {
        let now = start + PTIME * step;
        let packet = a.speak(now);
        b.hear(a.address, packet, now).unwrap();
        if step % 10_000 == 9_999 {
            // A re-INVITE with the same keys, both ways.
            a.session.set_keys(Some(&keying(suite, 1)), Some(&keying(suite, 2))).unwrap();
            b.session.set_keys(Some(&keying(suite, 2)), Some(&keying(suite, 1))).unwrap();
            b.session.set_remote(Some(a.address), None, now);
        }
    }
    let now = start + PTIME * 90_000;
    let packet = a.speak(now);
    b.hear(a.address, packet, now).unwrap();
    assert_eq!(b.session.counters().not_authentic, 0);
    // A transfer: new keys by a new offer; the counter begins anew on both sides.
    a.session.set_keys(Some(&keying(suite, 3)), Some(&keying(suite, 2))).unwrap();
    let before = a.speak(now);
    assert_eq!(b.hear(a.address, before, now), Err(DropReason::NotAuthentic), "b has not heard of it yet");
    b.session.set_keys(Some(&keying(suite, 2)), Some(&keying(suite, 3))).unwrap();
    let packet = a.speak(now);
    b.hear(a.address, packet, now).unwrap();
}

#[test]
fn a_bridge_decrypts_and_encrypts_only_where_the_legs_differ() {
    let start = Instant::now();
    let (mut caller, mut left) = pair(start, Suite::Aes128CmHmacSha1Tag80);
    let (mut right, mut callee) = pair(start, Suite::AeadAes256Gcm);
    let map = PayloadMap::everything();
    for step in 0..100u32 {
        let now = start + PTIME * step;
        let packet = caller.speak(now);
        let mut buffer = [0; 1500];
        buffer[..packet.len()].copy_from_slice(&packet);
        let action = left.session.receive(&mut buffer[..packet.len()], Path::from(caller.address), now);
        let Action::Media(media) = action else { panic!("{action:?}") };
        let length = media.length;
        let out = right.session.forward(&mut buffer, length, &map, now).unwrap();
        callee.hear(right.address, buffer[..out.length].to_vec(), now).unwrap();
    }
    assert_eq!(callee.session.active_source().unwrap().lost(), 0);
}

#[test]
fn worn_out_keys_are_told_before_they_stop() {
    let now = Instant::now();
    let suite = Suite::AeadAes128Gcm;
    let (mut a, _) = pair(now, suite);
    let key = MasterKey::new(suite, &[7; 28]).unwrap().with_lifetime((1 << 16) + 1).unwrap();
    let worn = Keying::with_policy(vec![key], Policy::default()).unwrap();
    a.session.set_keys(Some(&worn), None).unwrap();
    a.speak(now);
    a.drain();
    assert_eq!(a.events, []);
    a.speak(now);
    a.drain();
    assert_eq!(a.events, [Event::KeysWearOut { outbound: true }]);
}
