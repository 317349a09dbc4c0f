//! A session and its peer, on virtual time: what is told, what is sent, and when.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use denwa_rtp::{
    packet::{Header, Packet},
    relay::PayloadMap,
    rtcp::{Compound, ControlPacket},
    session::{
        Action, Config, Content, DropReason, Event, Format, Frame, Output, Path, Seed, Session, Transmit,
    },
    wallclock::WallClock,
};

const PTIME: Duration = Duration::from_millis(20);
const PCMU: Format = Format { payload_type: 0, clock_rate_hz: 8000, content: Content::Media };
const EVENTS: Format = Format { payload_type: 101, clock_rate_hz: 8000, content: Content::TelephoneEvent };

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config(now: Instant, remote: &str) -> Config {
    Config {
        remote: Some(address(remote)),
        wall_clock: WallClock { at: now, since_1970: Duration::from_secs(1_800_000_000) },
        ..Config::new("x@example", vec![PCMU, EVENTS], now)
    }
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
        Self {
            session: Session::new(config(now, there), Seed([seed; 32]), now),
            address: address(here),
            timestamp: 0,
            transmits: Vec::new(),
            events: Vec::new(),
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit(transmit) => self.transmits.push(transmit),
                Output::Event(event) => self.events.push(event),
            }
        }
    }

    fn speak(&mut self, now: Instant) -> Vec<u8> {
        let mut buffer = [0; 256];
        let frame = Frame {
            feed: 0,
            timestamp: self.timestamp,
            payload_type: 0,
            marker: false,
            payload: &[0xff; 160],
        };
        self.timestamp += 160;
        let out = self.session.send(frame, &mut buffer, now).unwrap();
        buffer[..out.length].to_vec()
    }

    fn hear(&mut self, from: SocketAddr, mut bytes: Vec<u8>, now: Instant) -> Result<(), DropReason> {
        let result = match self.session.receive(&mut bytes, Path::from(from), now) {
            Action::Media(_) | Action::Control => Ok(()),
            Action::Dropped(reason) => Err(reason),
            Action::NotMine(kind) => panic!("{kind:?}"),
        };
        self.drain();
        result
    }

    fn wake(&mut self, now: Instant) {
        if self.session.poll_timeout().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
            self.drain();
            assert!(self.session.poll_timeout().is_none_or(|at| at > now), "law 3");
        }
    }
}

/// Two ends that speak for `frames` frames, `delay` apart (less than a frame).
fn converse(a: &mut End, b: &mut End, start: Instant, frames: u32, delay: Duration) -> Instant {
    let mut on_the_way: Vec<(bool, Vec<u8>)> = Vec::new();
    for step in 0..frames {
        let now = start + PTIME * step;
        on_the_way.push((true, a.speak(now)));
        on_the_way.push((false, b.speak(now)));
        a.wake(now);
        b.wake(now);
        on_the_way.extend(a.transmits.drain(..).map(|transmit| (true, transmit.payload.to_vec())));
        on_the_way.extend(b.transmits.drain(..).map(|transmit| (false, transmit.payload.to_vec())));
        for (from_a, bytes) in on_the_way.drain(..) {
            let (to, from) = if from_a { (&mut *b, a.address) } else { (&mut *a, b.address) };
            to.hear(from, bytes, now + delay).unwrap();
        }
    }
    start + PTIME * frames
}

fn pair(now: Instant) -> (End, End) {
    (End::new("10.0.0.1:4000", "10.0.0.2:5000", 1, now), End::new("10.0.0.2:5000", "10.0.0.1:4000", 2, now))
}

#[test]
fn two_ends_report_to_each_other() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start);
    converse(&mut a, &mut b, start, 1500, Duration::from_millis(15));
    for (end, other) in [(&a, &b), (&b, &a)] {
        let report = end.session.remote_report().expect("a report came");
        assert_eq!(report.from, other.session.ssrc());
        assert_eq!(report.block.ssrc, end.session.ssrc());
        assert_eq!(report.block.lost, 0);
        let round_trip = report.round_trip.expect("measured");
        assert!((29..=31).contains(&round_trip.as_millis()), "{round_trip:?}");
        assert_eq!(end.session.cname(other.session.ssrc()), Some(&b"x@example"[..]));
        assert_eq!(end.events[0], Event::Followed(end.session.latch_evidence().learned[0]));
        assert_eq!(end.events[1], Event::SourceJoined { ssrc: other.session.ssrc(), instead_of: None });
        assert!(end.events[2..].iter().all(|event| matches!(event, Event::ReportReceived { .. })));
        let quality = end.session.quality(None, start + PTIME * 1500);
        assert!(quality.received.mos.unwrap() > 4.3, "{quality:?}");
        assert_eq!(quality.received.packets, 1499, "the first one was probation");
        assert_eq!(quality.flow, denwa_rtp::quality::Flow::Both);
    }
}

#[test]
fn rfc3550_reports_come_every_few_seconds() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start);
    let mut times = Vec::new();
    let mut now = start;
    for step in 0..15_000 {
        now = start + PTIME * step;
        let (from_a, from_b) = (a.speak(now), b.speak(now));
        b.hear(a.address, from_a, now).unwrap();
        a.hear(b.address, from_b, now).unwrap();
        a.wake(now);
        if !a.transmits.is_empty() {
            assert_eq!(a.transmits.len(), 1);
            times.push(now);
            a.transmits.clear();
        }
    }
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        gaps.iter().all(|gap| (Duration::from_secs(2)..Duration::from_secs(8)).contains(gap)),
        "{gaps:?}"
    );
    let mean = gaps.iter().sum::<Duration>() / gaps.len() as u32;
    assert!(
        (4.5..5.5).contains(&mean.as_secs_f64()),
        "mean of {mean:?} over {}",
        now.duration_since(start).as_secs()
    );
}

#[test]
fn a_report_says_what_was_lost() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start);
    for step in 0..400u32 {
        let now = start + PTIME * step;
        let packet = a.speak(now);
        if step % 10 != 5 {
            b.hear(a.address, packet, now).unwrap();
        }
        b.wake(now);
    }
    let payload = b.transmits.last().unwrap().payload.clone();
    let first = Compound::parse(&payload).unwrap().packets().next().unwrap().read().unwrap();
    let ControlPacket::ReceiverReport(report) = first else {
        panic!("b is silent, so it sends RR: {first:?}")
    };
    let block = report.blocks().next().unwrap();
    assert_eq!(block.ssrc, a.session.ssrc());
    assert!((20..30).contains(&block.fraction_lost), "about a tenth of 256: {}", block.fraction_lost);
}

#[test]
fn leaving_says_goodbye_once() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start);
    let now = converse(&mut a, &mut b, start, 400, Duration::ZERO);
    let ssrc = a.session.ssrc();
    a.session.leave(Some("hung up\u{7}"), now);
    a.drain();
    let transmit = a.transmits.pop().unwrap();
    assert!(a.transmits.is_empty());
    assert_eq!(a.events.last(), Some(&Event::Ended));
    assert_eq!(a.session.poll_timeout(), None);
    b.hear(a.address, transmit.payload.to_vec(), now).unwrap();
    assert_eq!(b.events.last(), Some(&Event::SourceLeft { ssrc, reason: Some("hung up\u{fffd}".into()) }));
    a.session.leave(None, now);
    a.drain();
    assert!(a.transmits.is_empty());
    assert_eq!(a.hear(b.address, vec![0x80; 172], now), Err(DropReason::Ended));
}

#[test]
fn who_never_spoke_leaves_without_a_word() {
    let now = Instant::now();
    let mut end = End::new("10.0.0.1:1", "10.0.0.2:2", 1, now);
    end.session.leave(None, now);
    end.drain();
    assert!(end.transmits.is_empty());
    assert_eq!(end.events, [Event::Ended]);
}

#[test]
fn media_that_stops_is_noticed() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start);
    let now = converse(&mut a, &mut b, start, 100, Duration::ZERO);
    let last = now - PTIME;
    a.events.clear();
    let mut at = now;
    let stopped = Event::MediaStopped { last_at: Some(last) };
    while !a.events.contains(&stopped) {
        at = a.session.poll_timeout().unwrap().max(at);
        a.wake(at);
    }
    let ssrc = b.session.ssrc();
    assert_eq!(a.events, [Event::SourceTimedOut { ssrc }, stopped]);
    assert_eq!(at - last, Duration::from_secs(30));
    let packet = b.speak(at);
    a.hear(b.address, packet, at + PTIME).unwrap();
    assert_eq!(a.events[2..], [Event::MediaResumed { after: Duration::from_secs(30) + PTIME }]);
}

#[test]
fn who_may_be_silent_for_ever_is_never_missed() {
    let start = Instant::now();
    let config = Config { media_timeout: Some(Duration::MAX), ..config(start, "10.0.0.2:2") };
    let mut session = Session::new(config, Seed([1; 32]), start);
    for day in 1..1000 {
        session.handle_timeout(start + Duration::from_secs(day * 86_400));
        while let Some(output) = session.poll_output() {
            assert!(!matches!(output, Output::Event(Event::MediaStopped { .. })), "on day {day}");
        }
    }
}

#[test]
fn on_hold_nobody_misses_media() {
    let start = Instant::now();
    let mut a = End::new("10.0.0.1:1", "10.0.0.2:2", 1, start);
    a.session.expect_media(false, start);
    for second in 0..600 {
        a.wake(start + Duration::from_secs(second));
    }
    assert_eq!(a.events, []);
    a.session.expect_media(true, start + Duration::from_secs(600));
    for second in 600..700 {
        a.wake(start + Duration::from_secs(second));
    }
    assert_eq!(a.events, [Event::MediaStopped { last_at: None }]);
}

#[test]
fn a_silent_member_times_out() {
    let start = Instant::now();
    let (mut a, mut b) = pair(start);
    let now = converse(&mut a, &mut b, start, 500, Duration::ZERO);
    let ssrc = b.session.ssrc();
    for second in 0..60 {
        a.wake(now + Duration::from_secs(second));
    }
    assert!(a.events.contains(&Event::SourceTimedOut { ssrc }), "{:?}", a.events);
    let kept = a.session.active_source().expect("the figures of whom we listen to are kept");
    assert_eq!(kept.received(), 499);
}

#[test]
fn a_new_source_takes_over_when_it_is_valid() {
    let start = Instant::now();
    let mut a = End::new("10.0.0.1:1", "10.0.0.2:2", 1, start);
    let from = address("10.0.0.2:2");
    let packet = |ssrc, sequence: u16| {
        let mut buffer = vec![0; 172];
        let header = Header { ssrc, sequence, timestamp: u32::from(sequence) * 160, ..Header::default() };
        header.write(&[0; 160], &mut buffer).unwrap();
        buffer
    };
    for sequence in 0..10 {
        a.hear(from, packet(1, sequence), start + PTIME * u32::from(sequence)).unwrap();
    }
    assert_eq!(a.hear(from, packet(2, 700), start + PTIME * 10), Err(DropReason::Unproven));
    a.hear(from, packet(2, 701), start + PTIME * 11).unwrap();
    assert_eq!(a.events.last(), Some(&Event::SourceJoined { ssrc: 2, instead_of: Some(1) }));
    // The old one sends on: it is received, but does not come back while the new one lives.
    for step in 12..20u16 {
        a.hear(from, packet(1, step - 2), start + PTIME * u32::from(step)).unwrap();
        a.hear(from, packet(2, 690 + step), start + PTIME * u32::from(step)).unwrap();
    }
    assert_eq!(a.session.active_source().unwrap().ssrc(), 2);
    for step in 60..64u16 {
        a.hear(from, packet(1, step - 2), start + PTIME * u32::from(step)).unwrap();
    }
    assert_eq!(a.events.last(), Some(&Event::SourceJoined { ssrc: 1, instead_of: Some(2) }));
    assert_eq!(a.session.sources().count(), 2);
}

#[test]
fn an_echo_service_returns_our_packets_and_is_heard() {
    let start = Instant::now();
    let mut a = End::new("10.0.0.1:1", "10.0.0.2:2", 1, start);
    let ssrc = a.session.ssrc();
    for step in 0..50 {
        let now = start + PTIME * step;
        let packet = a.speak(now);
        a.hear(address("10.0.0.2:2"), packet, now + PTIME).unwrap();
    }
    assert_eq!(a.session.ssrc(), ssrc);
    assert!(a.events.contains(&Event::Reflected { ssrc }));
    assert_eq!(a.session.counters().media, 50);
}

#[test]
fn rfc3550_a_collision_makes_us_change() {
    let start = Instant::now();
    let mut a = End::new("10.0.0.1:1", "10.0.0.2:2", 1, start);
    let ssrc = a.session.ssrc();
    let sent = a.speak(start);
    let ours = Packet::parse(&sent).unwrap();
    let mut buffer = vec![0; 172];
    let sequence = ours.sequence().wrapping_add(30_000);
    Header { ssrc, sequence, ..Header::default() }.write(&[0; 160], &mut buffer).unwrap();
    // A stranger cannot make us change.
    assert!(matches!(a.hear(address("10.0.0.9:2"), buffer.clone(), start), Err(DropReason::Refused(_))));
    assert_eq!(a.session.ssrc(), ssrc);
    a.hear(address("10.0.0.2:2"), buffer, start).unwrap();
    assert_ne!(a.session.ssrc(), ssrc);
    assert!(a.events.contains(&Event::SsrcChanged { old: ssrc, new: a.session.ssrc() }));
    let goodbye = Compound::parse(&a.transmits[0].payload).unwrap().packets().last().unwrap().read().unwrap();
    let ControlPacket::Goodbye(goodbye) = goodbye else { panic!("{goodbye:?}") };
    assert_eq!(goodbye.sources().collect::<Vec<_>>(), [ssrc]);
}

#[test]
fn a_bridge_makes_one_legs_packets_the_others() {
    let start = Instant::now();
    let map = PayloadMap::everything();
    let mut left = End::new("10.0.0.1:1", "10.0.0.2:2", 1, start);
    let mut right = End::new("10.0.0.1:3", "10.0.0.4:4", 2, start);
    let mut caller = End::new("10.0.0.2:2", "10.0.0.1:1", 3, start);
    let mut callee = End::new("10.0.0.4:4", "10.0.0.1:3", 4, start);
    for step in 0..100 {
        let now = start + PTIME * step;
        let mut buffer = [0; 1500];
        let packet = caller.speak(now);
        buffer[..packet.len()].copy_from_slice(&packet);
        let path = Path::from(caller.address);
        let Action::Media(media) = left.session.receive(&mut buffer[..packet.len()], path, now) else {
            panic!()
        };
        assert!(media.active);
        let length = media.length;
        let out = right.session.forward(&mut buffer, length, &map, now).unwrap();
        assert_eq!(out.destination, callee.address);
        callee.hear(right.address, buffer[..out.length].to_vec(), now).unwrap();
    }
    let heard = callee.session.active_source().unwrap();
    assert_eq!(heard.ssrc(), right.session.ssrc());
    assert_eq!(heard.lost(), 0);
    assert_eq!(heard.talk_spurts(), 0, "the marker came with the first packet, in probation");
    assert_eq!(right.session.sender().packets(), 100);
}

#[test]
fn every_kind_of_rubbish_is_counted_and_changes_nothing() {
    let start = Instant::now();
    let mut a = End::new("10.0.0.1:1", "10.0.0.2:2", 1, start);
    let peer = address("10.0.0.2:2");
    let before = a.session.destination();
    assert!(matches!(a.hear(peer, vec![0x80, 0], start), Err(DropReason::Malformed(_))));
    assert!(matches!(a.hear(peer, vec![0x80, 99, 0, 0], start), Err(DropReason::UnknownPayloadType(99))));
    assert!(matches!(a.hear(peer, vec![0x80, 200, 0, 9], start), Err(DropReason::MalformedControl(_))));
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9].to_vec();
    assert_eq!(a.hear(address("10.9.9.9:2"), report, start), Err(DropReason::StrangeControl));
    let goodbye = [0x80, 201, 0, 1, 0, 0, 0, 9, 0x81, 203, 0, 1, 0, 0, 0, 1].to_vec();
    assert_eq!(a.hear(address("10.9.9.9:2"), goodbye, start), Err(DropReason::StrangeControl));
    let counters = *a.session.counters();
    assert_eq!(
        (
            counters.malformed,
            counters.unknown_payload_type,
            counters.malformed_control,
            counters.strange_control
        ),
        (1, 1, 1, 2)
    );
    assert_eq!(a.session.destination(), before);
    assert_eq!(a.session.sources().count(), 0);
    assert_eq!(a.events, []);
}

#[test]
fn the_same_seed_sends_the_same_bytes() {
    let run = || {
        let start = Instant::now();
        let (mut a, mut b) = pair(start);
        let mut trace = Vec::new();
        for step in 0..1000 {
            let now = start + PTIME * step;
            let packet = a.speak(now);
            trace.push(packet.clone());
            b.hear(a.address, packet, now).unwrap();
            a.wake(now);
            b.wake(now);
            trace.extend(
                a.transmits.drain(..).chain(b.transmits.drain(..)).map(|transmit| transmit.payload.to_vec()),
            );
        }
        trace
    };
    assert_eq!(run(), run());
}

#[test]
fn outputs_are_limited() {
    let start = Instant::now();
    let config = Config { maximum_outputs: 4, ..config(start, "10.0.0.2:2") };
    let mut session = Session::new(config, Seed([1; 32]), start);
    let mut application = [0x80, 201, 0, 1, 0, 0, 0, 9, 0x80, 204, 0, 2, 0, 0, 0, 9, b'a', b'b', b'c', b'd'];
    for _ in 0..1000 {
        session.receive(&mut application, Path::from(address("10.0.0.2:2")), start);
    }
    let mut count = 0;
    while session.poll_output().is_some() {
        count += 1;
    }
    assert_eq!(count, 5, "four and the one that says so");
}

/// RFC 3611 §4.7: what XR tells is what happened, play-out and bursts included, and the peer hears of it.
#[test]
fn rfc3611_voip_metrics_tell_of_loss_bursts_and_play_out() {
    let start = Instant::now();
    let (a_at, b_at) = ("10.0.0.1:4000", "10.0.0.2:4000");
    let with_extended = |remote| Config { extended_reports: true, ..config(start, remote) };
    let (mut a, mut b) = (End::new(a_at, b_at, 1, start), End::new(b_at, a_at, 2, start));
    a.session = Session::new(with_extended(b_at), Seed([1; 32]), start);
    b.session = Session::new(with_extended(a_at), Seed([2; 32]), start);
    let jitter = denwa_rtp::jitter::Config::voice(8000);
    let mut playout = denwa_rtp::jitter::JitterBuffer::new(jitter, start);
    let mut now = start;
    for step in 0..2000u32 {
        now = start + PTIME * step;
        let (from_a, from_b) = (a.speak(now), b.speak(now));
        // In each 200 packets one is lost alone, and a burst of four within seven.
        let lost = matches!(step % 200, 50 | 120 | 122 | 124 | 126);
        if !lost {
            b.hear(a.address, from_a, now).unwrap();
        }
        // One that comes but too late is lost to who listens.
        if step % 200 == 160 {
            let source = b.session.active_source().unwrap();
            let (ssrc, sequence) = (source.ssrc(), source.extended() as u16);
            b.session.note_discarded(ssrc, sequence);
        }
        a.hear(b.address, from_b, now).unwrap();
        playout.get(now);
        b.session.note_playout(playout.statistics(now));
        a.wake(now);
        b.wake(now);
        for transmit in std::mem::take(&mut b.transmits) {
            a.hear(b.address, transmit.payload.to_vec(), now).unwrap();
        }
        for transmit in std::mem::take(&mut a.transmits) {
            b.hear(a.address, transmit.payload.to_vec(), now).unwrap();
        }
    }
    let quality = b.session.quality(None, now);
    let bursts = quality.received.bursts;
    assert_eq!(bursts.bursts, 10);
    assert_eq!(bursts.burst_duration, PTIME * 7);
    assert!((bursts.burst_density - 4.0 / 7.0).abs() < 1e-9, "{bursts:?}");
    assert!((bursts.gap_density - 20.0 / 1929.0).abs() < 1e-3, "{bursts:?}");
    let metrics = quality.voip_metrics().unwrap();
    assert_eq!((metrics.minimum_gap, metrics.burst_duration), (16, 140));
    assert_eq!(metrics.burst_density, (4 * 256 / 7) as u8);
    assert!((6..=7).contains(&metrics.loss_rate), "{metrics:?}");
    assert_eq!(metrics.jitter_buffer_maximum, 500);
    assert_eq!(metrics.receiver_configuration, 0b1111_1111, "concealed, adaptive, slow");
    assert!(metrics.mos_listening >= metrics.mos_conversational);
    // A learns how it sounds at B.
    let told = a.session.remote_report().unwrap().metrics.expect("XR came");
    assert_eq!((told.ssrc, told.burst_duration), (a.session.ssrc(), 140));
    let sent = a.session.quality(None, now).sent;
    assert_eq!(sent.bursts.burst_duration, Duration::from_millis(140));
    let mouth_to_ear = sent.mouth_to_ear.unwrap();
    assert!(mouth_to_ear >= Duration::from_millis(u64::from(told.end_system_delay)), "{mouth_to_ear:?}");
    assert!(a.events.iter().any(|event| matches!(event, Event::VoipMetricsReceived { .. })));
}
