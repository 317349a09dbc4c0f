//! Targets of `rtp`: packets, header extensions, RTCP, redundancy and events read and written again; SRTP unprotected from
//! anything; sessions, jitter buffers and event receivers under arbitrary packets at arbitrary times.

use std::time::{Duration, Instant};

use crate::Target;
use denwa_rtp::{
    extension::{Elements, Writer},
    jitter::{
        Config as JitterConfig, Incoming, JitterBuffer, Next,
        playout::{Decoder, Playout},
    },
    latch,
    packet::{Extension, Header, Packet},
    redundancy::{Blocks, write as write_redundancy},
    relay::PayloadMap,
    rtcp::{Compound, ControlPacket, extended},
    session::{Action, Config, Content, Event, Format, Frame, Input, Output, Path, Seed, Session},
    srtp::{Inbound, Keying, MasterKey, Outbound, Policy, Suite},
    telephone_event::{Change, Heard, Receiver, ReceiverConfig},
};

/// Name and body of each.
pub const TARGETS: &[Target] = &[
    ("rtp_packet", packet),
    ("rtp_extension", extension),
    ("rtcp", rtcp),
    ("rtp_redundancy", redundancy),
    ("rtp_telephone_event", telephone_event),
    ("srtp_unprotect", srtp_unprotect),
    ("rtp_session", session),
    ("rtp_jitter", jitter),
];

/// A packet that parses is written to the same octets.
fn packet(data: &[u8]) {
    let Ok(packet) = Packet::parse(data) else { return };
    let csrc: Vec<u32> = packet.csrc().collect();
    let header = Header {
        marker: packet.marker(),
        payload_type: packet.payload_type(),
        sequence: packet.sequence(),
        timestamp: packet.timestamp(),
        ssrc: packet.ssrc(),
        csrc: &csrc,
        extension: packet.extension(),
        padding: packet.padding(),
    };
    let mut buffer = vec![0; data.len()];
    let length = header.write(packet.payload(), &mut buffer).expect("what was parsed fits");
    assert_eq!(length, data.len());
    let again = Packet::parse(&buffer).expect("what was written parses");
    assert_eq!(again.payload(), packet.payload());
    assert_eq!(again.extension(), packet.extension());
    // Padding may hold anything; everything before it is the same.
    let kept = data.len() - usize::from(packet.padding());
    assert_eq!(buffer[..kept], data[..kept]);
}

/// Elements that are read are written and read again.
fn extension(data: &[u8]) {
    let Some(([two_byte], rest)) = data.split_first_chunk::<1>() else { return };
    let profile = if two_byte % 2 == 0 { 0xbede } else { 0x1000 | u16::from(two_byte >> 4) };
    let read: Vec<_> = Elements::of(Extension { profile, data: rest }).collect();
    let mut buffer = vec![0; rest.len() + 4];
    let mut writer =
        if two_byte % 2 == 0 { Writer::one_byte(&mut buffer) } else { Writer::two_byte(&mut buffer) };
    for element in &read {
        writer.push(element.id, element.data).expect("what was read can be written, and is no longer");
    }
    let again: Vec<_> =
        Elements::of(writer.finish().expect("there is room")).map(|e| (e.id, e.data.to_vec())).collect();
    assert_eq!(again, read.iter().map(|e| (e.id, e.data.to_vec())).collect::<Vec<_>>());
}

/// Every packet of a compound is read to its last item.
fn rtcp(data: &[u8]) {
    let Ok(compound) = Compound::parse(data) else { return };
    let _ = (compound.is_reduced_size(), compound.sender_ssrc());
    for raw in compound.packets() {
        let Ok(packet) = raw.read() else { continue };
        match packet {
            ControlPacket::SenderReport(report) => {
                assert_eq!(report.blocks().count(), usize::from(raw.count))
            }
            ControlPacket::ReceiverReport(report) => {
                assert_eq!(report.blocks().count(), usize::from(raw.count))
            }
            ControlPacket::Description(description) => {
                assert_eq!(description.chunks().count(), usize::from(raw.count));
                for chunk in description.chunks() {
                    assert!(chunk.items().count() <= data.len());
                }
            }
            ControlPacket::Goodbye(goodbye) => assert_eq!(goodbye.sources().count(), usize::from(raw.count)),
            ControlPacket::Application(application) => {
                let mut out = Vec::new();
                if application.write(&mut out).is_ok() {
                    assert_eq!(out[4..], raw.body[..out.len() - 4]);
                }
            }
            ControlPacket::TransportFeedback(feedback) => {
                let mut out = Vec::new();
                if feedback.write_transport(&mut out).is_ok() {
                    assert_eq!(out[4..], *raw.body);
                }
                assert!(feedback.missing().count() <= data.len() * 5);
            }
            ControlPacket::PayloadFeedback(feedback) => {
                assert!(feedback.intra_requests().count() <= data.len());
            }
            ControlPacket::Extended(extended) => {
                for block in extended.blocks() {
                    if let extended::Block::DelaySince(contents) = block {
                        assert_eq!(extended::delays(contents).count() * 12, contents.len());
                    }
                }
            }
            _ => {}
        }
    }
}

/// Blocks that are read are written to the same octets.
fn redundancy(data: &[u8]) {
    let Ok(blocks) = Blocks::parse(data) else { return };
    let blocks: Vec<_> = blocks.collect();
    let mut buffer = vec![0; data.len()];
    assert_eq!(write_redundancy(&blocks, &mut buffer), Ok(data.len()));
    assert_eq!(buffer, data);
}

/// Each `Started` has its `Ended`, and they do not overlap. Operations: sequence step, timestamp, marker, gap, payload.
fn telephone_event(data: &[u8]) {
    let start = Instant::now();
    let mut receiver = Receiver::new(ReceiverConfig::new(8000));
    let (mut now, mut sequence, mut timestamp, mut sounding) = (start, 0u16, 0u32, None);
    for operation in data.chunks(8) {
        let &[step, stamp, flags, gap, ref payload @ ..] = operation else { return };
        sequence = sequence.wrapping_add(u16::from(step % 4));
        timestamp = timestamp.wrapping_add(u32::from(stamp) * 40);
        now += Duration::from_millis(u64::from(gap));
        receiver.handle_timeout(now);
        receiver.receive(Heard { sequence, timestamp, marker: flags % 2 == 1, payload }, now);
        assert!(receiver.poll_timeout().is_none_or(|at| at > now));
        while let Some(change) = receiver.poll() {
            match change {
                Change::Started { event, .. } => assert_eq!(sounding.replace(event), None),
                Change::Ended { event, .. } => assert_eq!(sounding.take(), Some(event)),
            }
        }
    }
}

fn keying(suite: Suite, policy: Policy) -> Keying {
    let material = vec![0x5a; suite.key_length() + suite.salt_length()];
    let key = MasterKey::new(suite, &material).expect("as long as the suite says");
    Keying::with_policy(vec![key], policy).expect("a good policy")
}

/// Nobody without the key gets anything through, and it changes nothing: what the key's owner sends passes all the same.
fn srtp_unprotect(data: &[u8]) {
    let Some(([choice, control], forged)) = data.split_first_chunk::<2>() else { return };
    let suite = Suite::ALL[usize::from(*choice) % Suite::ALL.len()];
    let policy = Policy { derivation_rate: if choice & 0x80 != 0 { 16 } else { 0 }, ..Policy::default() };
    let keying = keying(suite, policy);
    let (mut out, mut inbound) = (Outbound::new(&keying).expect("keys"), Inbound::new(&keying));
    let mut good = [0; 128];
    let length =
        Header { ssrc: 7, sequence: 9, ..Header::default() }.write(&[1; 40], &mut good).expect("room");
    let length = out.protect(&mut good, length).expect("room");
    let mut copy = forged.to_vec();
    if control % 2 == 0 {
        assert!(inbound.unprotect(&mut copy).is_err() || suite.tag_length() < 10, "forged");
    } else {
        assert!(inbound.unprotect_control(&mut copy).is_err(), "forged");
    }
    assert!(inbound.unprotect(&mut good[..length]).is_ok());
    let mut copy = forged.to_vec();
    let length = copy.len();
    copy.resize(length + 64, 0);
    let _ = out.protect(&mut copy, length);
    let _ = out.protect_control(&mut copy, length);
}

/// Operations on a session: a length, a kind, and as many bytes. Whatever comes, the laws hold and the limits too.
fn session(data: &[u8]) {
    const MEMBERS: usize = 4;
    let Some(([setup], mut rest)) = data.split_first_chunk::<1>() else { return };
    let mut now = Instant::now();
    let peers = ["10.0.0.2:2000", "10.0.0.2:2001", "192.0.2.9:9", "[2001:db8::1]:4"]
        .map(|text| text.parse().expect("an address"));
    let formats = vec![
        Format { payload_type: 0, clock_rate_hz: 8000, content: Content::Media },
        Format { payload_type: 96, clock_rate_hz: 48_000, content: Content::Media },
        Format { payload_type: 101, clock_rate_hz: 8000, content: Content::TelephoneEvent },
    ];
    let config = Config {
        remote: (setup & 1 != 0).then(|| peers[0]),
        remote_control: (setup & 2 != 0).then(|| peers[1]),
        extended_reports: setup & 4 != 0,
        latch: latch::Config { maximum_candidates: 3, ..latch::Config::default() },
        maximum_members: MEMBERS,
        maximum_outputs: 32,
        ..Config::new("fuzz", formats, now)
    };
    let mut session = Session::new(config, Seed([9; 32]), now);
    if setup & 8 != 0 {
        let keying = keying(Suite::NullHmacSha1Tag32, Policy::default());
        session.set_keys(Some(&keying), Some(&keying)).expect("keys");
    }
    let map = PayloadMap::everything();
    while let Some(([operation, length, gap], after)) = rest.split_first_chunk::<3>() {
        let (bytes, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        now += Duration::from_millis(u64::from(*gap) * u64::from(*gap));
        let from = peers[usize::from(operation >> 6)];
        let destination = session.destination();
        match operation % 8 {
            0..=2 => {
                let mut datagram = bytes.to_vec();
                match session.receive(&mut datagram, Path::from(from), now) {
                    Action::Dropped(_) | Action::NotMine(_) | Action::Control => {
                        assert_eq!(session.destination(), destination, "only media moves where we send");
                    }
                    Action::Media(media) => {
                        let length = media.length;
                        datagram.resize(length + 200, 0);
                        let _ = session.forward(&mut datagram, length, &map, now);
                    }
                }
            }
            3 => {
                session.handle_input(Input::Datagram { source: from, destination: None, payload: bytes }, now)
            }
            4 => {
                let mut buffer = [0; 512];
                let feed = u32::from(*gap % 3);
                let timestamp = u32::from(*length) * 160;
                let frame =
                    Frame { feed, timestamp, payload_type: operation & 0x7f, marker: false, payload: bytes };
                let _ = session.send(frame, &mut buffer, now);
            }
            5 => session.set_remote(Some(from), None, now),
            6 => {
                session.handle_timeout(now);
                assert!(session.poll_timeout().is_none_or(|at| at > now), "law 3");
            }
            _ => match gap % 4 {
                0 => session.expect_media(*length % 2 == 0, now),
                1 => session.leave(Some("enough"), now),
                2 => session.restart_feed(),
                _ => {
                    let _ = session.quality(None, now);
                }
            },
        }
        assert!(session.sources().count() <= MEMBERS);
        if gap % 2 == 0 {
            drain(&mut session);
        }
    }
    drain(&mut session);
}

fn drain(session: &mut Session) {
    let mut outputs = 0;
    while let Some(output) = session.poll_output() {
        outputs += 1;
        if let Output::Event(Event::SourceLeft { reason: Some(reason), .. }) = output {
            assert!(!reason.chars().any(char::is_control));
        }
    }
    assert!(outputs <= 33);
}

/// Decodes any payload to a frame of its length; conceals with a constant.
struct Plain;

impl Decoder for Plain {
    fn decode(&mut self, _: u8, payload: &[u8], out: &mut Vec<i16>) {
        out.extend(payload.iter().map(|octet| i16::from(*octet) << 7));
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) {
        out.resize(out.len() + samples, -1);
    }
}

/// Arbitrary packets at arbitrary times: order is kept, limits hold, and what is asked for is given. Operations of eight
/// octets: SSRC, sequence step, timestamp, gap, payload length, samples to pull.
fn jitter(data: &[u8]) {
    let Some(([setup], rest)) = data.split_first_chunk::<1>() else { return };
    let start = Instant::now();
    let mode = if setup & 1 == 0 {
        JitterConfig::voice(8000)
    } else {
        JitterConfig::fixed(8000, Duration::from_millis(60))
    };
    let config = JitterConfig { maximum_packets: 16, maximum_payload: 100, comfort_noise: Some(13), ..mode };
    let (mut buffer, mut playout) = (JitterBuffer::new(config, start), Playout::new(config, 8000, start));
    let (mut now, mut sequence, mut timestamp) = (start, 65_500u16, u32::MAX - 1000);
    let (mut last, mut starts) = (None, 0);
    for operation in rest.chunks(8) {
        let &[ssrc, step, jump, stamp, gap, length, samples, kind] = operation else { return };
        sequence = sequence
            .wrapping_add_signed(i16::from(step as i8) / 16)
            .wrapping_add(u16::from(jump == 255) * 9999);
        timestamp = timestamp.wrapping_add_signed(i32::from(stamp as i8) * 10);
        now += Duration::from_micros(u64::from(gap) * u64::from(gap) * 10);
        let payload = vec![length; usize::from(length % 120)];
        let incoming = Incoming {
            ssrc: u32::from(ssrc / 200),
            sequence,
            timestamp,
            payload_type: kind % 16,
            marker: kind & 0x80 != 0,
            payload: &payload,
        };
        buffer.put(incoming, now);
        playout.put(incoming, now);
        assert!(buffer.waiting() <= 16);
        if let Next::Frame(frame) = buffer.get(now) {
            assert!(frame.payload.len() <= 100);
            let sequence = frame.sequence;
            let begun = buffer.statistics(now).starts;
            if let Some(last) = last.replace(sequence)
                && begun == starts
            {
                assert!((sequence.wrapping_sub(last) as i16) > 0, "{sequence} after {last}");
            }
            starts = begun;
        }
        let mut out = vec![0; usize::from(samples) * 2];
        playout.pull(&mut Plain, &mut out, now);
        let _ = playout.statistics(now);
    }
}
