//! The numbers that the RFCs print, and runs of the code in RFC 3550's Appendix A. (SRTP's are in `src/srtp/tests.rs`.)
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod shared;

use std::time::{Duration, Instant};

use denwa_rtp::{
    extension::Elements,
    interval::Conditions,
    packet::{Header, Packet},
    quality::emodel::{Codec, Parameters, mos, r_factor},
    rtcp::{Compound, ControlPacket},
    sequence,
    source::{Arrival, Order, Source},
    telephone_event::{Change, Event, Heard, Payload, Receiver, ReceiverConfig},
    wallclock::{NtpTime, from_short, round_trip},
};
use serde_json::Value;
use shared::{hex, json, list, number, octets};

fn arrival(sequence: u16, timestamp: u32) -> Arrival {
    Arrival { sequence, timestamp, marker: false, payload_octets: 160 }
}

#[test]
fn rfc3550_a1_and_a3_sequence_and_loss() {
    let Some(vectors) = json("vectors/rtp/rfc3550.json") else { return };
    for run in list(&vectors["appendix_a"], "sequence") {
        let name = run["name"].as_str().unwrap();
        let steps = list(run, "steps");
        let now = Instant::now();
        let first = number(&steps[0], "seq") as u16;
        let mut source = Source::new(1, first, 8000, now);
        let mut jumped = false;
        for step in steps {
            let update = source.update(arrival(number(step, "seq") as u16, 0), 8000, now);
            jumped |= update.order == Order::Jump;
            let valid = !matches!(update.order, Order::Probation | Order::Jump);
            assert_eq!(i64::from(valid), number(step, "valid"), "{name} {step}");
            if source.is_valid() {
                assert_eq!(source.received() as i64, number(step, "received"), "{name} {step}");
                assert_eq!(source.extended() as i64, number(step, "extended_max"), "{name} {step}");
                assert_eq!(source.expected() as i64, number(step, "expected"), "{name} {step}");
                assert_eq!(source.lost(), number(step, "lost"), "{name} {step}");
                let fraction = source.clone().take_fraction_lost();
                assert_eq!(i64::from(fraction), number(step, "fraction_since_start"), "{name} {step}");
            }
        }
        assert_eq!(
            jumped,
            steps.windows(2).any(|pair| {
                let step = number(&pair[1], "seq") - number(&pair[0], "seq");
                step.unsigned_abs() > 3000 && step.unsigned_abs() < 60_000 && number(&pair[0], "valid") == 1
            }),
            "{name}"
        );
    }
}

#[test]
fn rfc3550_a7_interval() {
    let Some(vectors) = json("vectors/rtp/rfc3550.json") else { return };
    for case in list(&vectors["appendix_a"], "rtcp_interval") {
        let conditions = Conditions {
            members: number(case, "members") as usize,
            senders: number(case, "senders") as usize,
            bandwidth_octets_per_second: case["rtcp_bw_octets_per_s"].as_f64().unwrap(),
            we_sent: number(case, "we_sent") == 1,
            average_size: case["avg_rtcp_size"].as_f64().unwrap(),
            initial: number(case, "initial") == 1,
            minimum: Duration::from_secs(5),
        };
        for (random, field) in [(0.0, "t_min_random0"), (0.5, "t_random_half"), (1.0, "t_max_random1")] {
            let seconds = conditions.randomised(random).as_secs_f64();
            let wanted = case[field].as_f64().unwrap();
            assert!((seconds - wanted).abs() < 1e-6, "{case} {field}: {seconds}");
        }
    }
}

#[test]
fn rfc3550_a8_jitter() {
    let Some(vectors) = json("vectors/rtp/rfc3550.json") else { return };
    let start = Instant::now();
    let steps = list(&vectors["appendix_a"], "jitter");
    let mut source = Source::new(1, 0, 8000, start);
    for (sequence, step) in steps.iter().enumerate() {
        let at = start + Duration::from_micros(number(step, "arrival") as u64 * 125);
        source.update(arrival(sequence as u16, number(step, "rtp_ts") as u32), 8000, at);
        assert_eq!(i64::from(source.jitter_units()), number(step, "reported_int"), "{step}");
    }
}

#[test]
fn rfc3550_6_4_1_round_trip_and_ntp() {
    let Some(vectors) = json("vectors/rtp/rfc3550.json") else { return };
    let figure = &vectors["round_trip"];
    let word = |field: &str| u32::from_str_radix(figure[field].as_str().unwrap(), 16).unwrap();
    let arrival = NtpTime(u64::from(word("arrival_A")) << 16);
    let measured = round_trip(arrival, word("lsr"), word("dlsr")).unwrap();
    assert_eq!(measured, from_short(word("round_trip")));
    assert!((measured.as_secs_f64() - figure["round_trip_seconds"].as_f64().unwrap()).abs() < 1e-9);
    let sent = NtpTime(u64::from(word("sr_ntp_sec")) << 32 | u64::from(word("sr_ntp_frac")));
    assert_eq!(sent.middle(), word("lsr"));
}

#[test]
fn rfc3550_5_1_and_8285_packets_good_and_bad() {
    let Some(vectors) = json("vectors/rtp/derived-packets.json") else { return };
    for case in list(&vectors, "rtp") {
        let bytes = octets(case, "hex");
        let parsed = Packet::parse(&bytes);
        assert_eq!(parsed.is_ok(), case["valid"].as_bool().unwrap(), "{case}");
        let Ok(packet) = parsed else { continue };
        assert_eq!(packet.payload(), octets(case, "payload"), "{case}");
        if case["seq"].is_number() {
            assert_eq!(i64::from(packet.sequence()), number(case, "seq"));
            assert_eq!(i64::from(packet.timestamp()), number(case, "timestamp"));
            assert_eq!(i64::from(packet.payload_type()), number(case, "pt"));
            assert_eq!(format!("{:08x}", packet.ssrc()), case["ssrc"]);
            assert_eq!(packet.marker(), case["marker"].as_bool().unwrap());
        }
        if let Some(csrc) = case["csrc"].as_array() {
            let read: Vec<_> = packet.csrc().map(|csrc| Value::from(format!("{csrc:08x}"))).collect();
            assert_eq!(&read, csrc);
        }
        if let Some(elements) = case["elements"].as_array() {
            let read: Vec<_> = Elements::of(packet.extension().unwrap()).collect();
            assert_eq!(read.len(), elements.len());
            for (read, wanted) in read.iter().zip(elements) {
                assert_eq!(i64::from(read.id), number(wanted, "id"));
                assert_eq!(read.data, octets(wanted, "data"));
            }
        }
        if case["pad_octets"].is_number() {
            assert_eq!(i64::from(packet.padding()), number(case, "pad_octets"));
        }
    }
    for case in list(&vectors, "rtcp") {
        let bytes = octets(case, "hex");
        let compound = Compound::parse(&bytes).unwrap_or_else(|error| panic!("{case}: {error}"));
        for raw in compound.packets() {
            let read = raw.read().unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(!matches!(read, ControlPacket::Unknown(_)), "{case}");
        }
    }
}

#[test]
fn rfc4733_table_5_is_heard_as_911() {
    let Some(vectors) = json("vectors/rtp/rfc4733.json") else { return };
    let start = Instant::now();
    let mut receiver = Receiver::new(ReceiverConfig::new(8000));
    let mut heard = Vec::new();
    for row in list(&vectors["table5"], "packets") {
        let wire = octets(row, "packet");
        let packet = Packet::parse(&wire).unwrap();
        let now = start + Duration::from_millis(number(row, "time_ms") as u64);
        receiver.handle_timeout(now);
        receiver.receive(
            Heard {
                sequence: packet.sequence(),
                timestamp: packet.timestamp(),
                marker: packet.marker(),
                payload: packet.payload(),
            },
            now,
        );
        // And written again it is the same packet.
        let payload = Payload {
            event: Event(number(row, "event") as u8),
            end: number(row, "end") == 1,
            volume: 20,
            duration: number(row, "duration") as u16,
        };
        let header = Header {
            marker: number(row, "marker") == 1,
            payload_type: 100,
            sequence: number(row, "seq") as u16,
            timestamp: number(row, "timestamp") as u32,
            ssrc: 0x005_234a8,
            ..Header::default()
        };
        let mut buffer = [0; 16];
        assert_eq!(header.write(&payload.octets(), &mut buffer), Ok(16));
        assert_eq!(buffer[..], wire);
        while let Some(change) = receiver.poll() {
            heard.push(change);
        }
    }
    let digits: String = heard
        .iter()
        .filter_map(|change| match change {
            Change::Started { event, volume: 20 } => event.key(),
            _ => None,
        })
        .collect();
    assert_eq!(digits, "911");
    let durations: Vec<_> = heard
        .iter()
        .filter_map(|change| match change {
            Change::Ended { duration, .. } => Some(duration.as_millis()),
            Change::Started { .. } => None,
        })
        .collect();
    assert_eq!(durations, [200, 250, 220]);
}

#[test]
fn rfc4733_3_2_keys_have_these_codes() {
    let Some(vectors) = json("vectors/rtp/rfc4733.json") else { return };
    for (key, code) in vectors["dtmf_events"].as_object().unwrap() {
        let event = Event::of_key(key.chars().next().unwrap()).unwrap();
        assert_eq!(Value::from(event.0), *code);
        assert_eq!(event.key().unwrap().to_string(), *key);
    }
}

#[test]
fn rfc4733_figure_3_event_packet() {
    let Some(vectors) = json("vectors/rtp/rfc4733.json") else { return };
    let wire = octets(&vectors["figure3"], "hex");
    let payload = Payload::parse(Packet::parse(&wire).unwrap().payload()).unwrap();
    assert_eq!(payload, Payload { event: Event(1), end: true, volume: 20, duration: 1760 });
}

#[test]
fn g107_r_factor_and_mos() {
    let Some(vectors) = json("vectors/misc/g107-emodel.json") else { return };
    for case in list(&vectors, "cases") {
        let mut p = Parameters::default();
        for (name, value) in case["changed"].as_object().unwrap() {
            let value = value.as_f64().unwrap();
            match name.as_str() {
                "Ta" => p.absolute_delay = value,
                "T" => p.echo_path_delay = value,
                "Tr" => p.loop_delay = value,
                "Ppl" => p.packet_loss_percent = value,
                "Bpl" => p.codec = Codec { robustness: value, ..p.codec },
                "Ie" => p.codec = Codec { impairment: value, ..p.codec },
                "BurstR" => p.burst_ratio = value,
                "TELR" => p.talker_echo_loudness = value,
                other => panic!("{other}"),
            }
        }
        let r = r_factor(&p);
        assert!((r - case["R"].as_f64().unwrap()).abs() < 1e-3, "{case}: R is {r}");
        assert!((mos(r) - case["MOS"].as_f64().unwrap()).abs() < 1e-3, "{case}: MOS is {}", mos(r));
    }
    for pair in list(&vectors, "mos_table") {
        let (r, wanted) = (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap());
        assert!((mos(r) - wanted).abs() < 1e-3, "{r}: {}", mos(r));
    }
}

#[test]
fn sequence_numbers_extend_as_in_rfc3711_3_3_1() {
    assert_eq!(sequence::extend(0x1_fff0, 0x0005), 0x2_0005);
    assert_eq!(sequence::extend(0x2_0005, 0xfff0), 0x1_fff0);
    assert_eq!(hex("00ff"), [0, 255]);
}
