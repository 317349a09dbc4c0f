//! What is written reads back the same, and headers that lie are refused.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
use super::{
    description::item_type,
    extended::{Block, DelaySince, StatisticsSummary, VoipMetrics, Writer, delays},
    receiver_report::ReportBlock,
    sender_report::SenderInfo,
    *,
};
use crate::wallclock::NtpTime;
use proptest::prelude::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn one(out: &[u8]) -> ControlPacket<'_> {
    let compound = Compound::parse(out).unwrap();
    assert_eq!(compound.packets().count(), 1);
    compound.packets().next().unwrap().read().unwrap()
}

#[test]
fn rfc3550_sender_report_and_description() {
    let wire = bytes(
        "81c8000c12345678b44db7052000000000027100000003e8000271000badcafe40fffffe0001ffff0000007bb7052000\
         0005400081ca000612345678010f616c696365403139322e302e322e31000000",
    );
    let compound = Compound::parse(&wire).unwrap();
    assert!(!compound.is_reduced_size());
    assert_eq!(compound.sender_ssrc(), Some(0x1234_5678));
    let packets: Vec<_> = compound.packets().map(|raw| raw.read().unwrap()).collect();
    let [ControlPacket::SenderReport(report), ControlPacket::Description(description)] = packets[..] else {
        panic!("{packets:?}")
    };
    let block = ReportBlock {
        ssrc: 0x0bad_cafe,
        fraction_lost: 64,
        lost: -2,
        highest: 0x0001_ffff,
        jitter: 123,
        last_report: 0xb705_2000,
        delay: 0x0005_4000,
    };
    assert_eq!(report.blocks().collect::<Vec<_>>(), [block]);
    let chunk = description.chunks().next().unwrap();
    assert_eq!(chunk.cname(), Some(&b"alice@192.0.2.1"[..]));
    let mut out = Vec::new();
    sender_report::write(&mut out, report.ssrc, &report.info, &[block]);
    description::write(&mut out, 0x1234_5678, &[(item_type::CNAME, b"alice@192.0.2.1")]);
    assert_eq!(out, wire);
}

#[test]
fn rfc3550_goodbye_with_reason() {
    let wire = bytes("80c900011234567881ca000312345678010375406800000081cb00021234567803627965");
    let last = Compound::parse(&wire).unwrap().packets().last().unwrap().read().unwrap();
    let ControlPacket::Goodbye(goodbye) = last else { panic!("{last:?}") };
    assert_eq!(goodbye.sources().collect::<Vec<_>>(), [0x1234_5678]);
    assert_eq!(goodbye.reason, Some(&b"bye"[..]));
}

#[test]
fn rfc4585_feedback() {
    let wire = bytes("80c900010000000181cd0003000000010000000200640005");
    let last = Compound::parse(&wire).unwrap().packets().last().unwrap().read().unwrap();
    let ControlPacket::TransportFeedback(nack) = last else { panic!("{last:?}") };
    assert_eq!(nack.missing().collect::<Vec<_>>(), [100, 101, 103]);
    assert_eq!(feedback::nack_information(&[100, 101, 103]), nack.information);
    let wire = bytes("80c900010000000181ce00020000000100000002");
    let last = Compound::parse(&wire).unwrap().packets().last().unwrap().read().unwrap();
    let ControlPacket::PayloadFeedback(pli) = last else { panic!("{last:?}") };
    assert_eq!((pli.format, pli.sender, pli.media), (feedback::payload_format::PLI, 1, 2));
    let mut out = Vec::new();
    pli.write_payload(&mut out).unwrap();
    assert!(Compound::parse(&out).unwrap().is_reduced_size());
    assert_eq!(out, wire[8..]);
}

#[test]
fn rfc5104_full_intra_request_passes_through() {
    let information = [0, 0, 0, 9, 7, 0, 0, 0];
    let request =
        Feedback { format: feedback::payload_format::FIR, sender: 1, media: 0, information: &information };
    let mut out = Vec::new();
    request.write_payload(&mut out).unwrap();
    let ControlPacket::PayloadFeedback(read) = one(&out) else { panic!() };
    assert_eq!(read, request);
    assert_eq!(read.intra_requests().collect::<Vec<_>>(), [(9, 7)]);
}

#[test]
fn rfc3611_blocks_read_back() {
    let metrics =
        VoipMetrics { ssrc: 7, loss_rate: 3, r_factor: 93, mos_listening: 44, ..VoipMetrics::default() };
    let delay = DelaySince { ssrc: 1, last_report: 2, delay: 3 };
    let summary = StatisticsSummary {
        ssrc: 7,
        begin: 1,
        end: 9,
        lost: Some(2),
        duplicates: None,
        jitter: Some([1, 2, 3, 4]),
    };
    let mut out = Vec::new();
    let mut writer = Writer::begin(&mut out, 5);
    writer.reference_time(NtpTime(0x0102_0304_0506_0708));
    writer.delays(&[delay]);
    writer.statistics(&summary);
    writer.voip_metrics(&metrics);
    writer.finish();
    let ControlPacket::Extended(extended) = one(&out) else { panic!() };
    assert_eq!(extended.ssrc, 5);
    let blocks: Vec<_> = extended.blocks().collect();
    let [
        Block::ReferenceTime(time),
        Block::DelaySince(contents),
        Block::Statistics(read),
        Block::VoipMetrics(voip),
    ] = blocks[..]
    else {
        panic!("{blocks:?}")
    };
    assert_eq!(time, NtpTime(0x0102_0304_0506_0708));
    assert_eq!(delays(contents).collect::<Vec<_>>(), [delay]);
    assert_eq!(read, summary);
    assert_eq!(voip, metrics);
}

#[test]
fn chains_that_do_not_add_up() {
    for (hex, offset) in [
        ("", 0),
        ("80c9", 0),
        ("80c90002 00000001", 0),
        ("40c90001 00000001", 0),
        ("80c90001 00000001 80", 8),
        ("8001000100000001", 1),
        ("a0c90001 00000001 80c90001 00000001", 0),
        ("a0c90002 00000001 00000004 80c90001 00000001", 0),
        ("a0c90001 00000005", 0),
    ] {
        let wire = bytes(&hex.replace(' ', ""));
        assert_eq!(Compound::parse(&wire).unwrap_err().offset, offset, "{hex}");
    }
    let padded = bytes("a0c900020000000100000004");
    assert_eq!(Compound::parse(&padded).unwrap().packets().next().unwrap().body, [0, 0, 0, 1]);
}

#[test]
fn bodies_that_lie() {
    for hex in [
        "81c9000100000001",
        "81c8000100000001",
        "81cb0000",
        "81cb00020000000105616263",
        "80cd000100000001",
        "81ca000200000001010361",
        "80cf00020000000107000009",
    ] {
        let mut wire = bytes(hex);
        wire.resize(wire.len().next_multiple_of(4), b'x');
        let raw = Compound::parse(&wire).unwrap().packets().next().unwrap();
        assert!(raw.read().is_err(), "{hex}");
    }
}

proptest! {
    #[test]
    fn reports_read_back(
        ssrc: u32, ntp: u64, timestamp: u32, packets: u32, octets: u32,
        blocks in prop::collection::vec((any::<[u32; 5]>(), any::<u8>(), -0x80_0000i32..0x80_0000), 0..31),
    ) {
        let blocks: Vec<_> = blocks.into_iter().map(|([ssrc, highest, jitter, last_report, delay], fraction_lost, lost)| {
            ReportBlock { ssrc, fraction_lost, lost, highest, jitter, last_report, delay }
        }).collect();
        let info = SenderInfo { ntp: NtpTime(ntp), timestamp, packets, octets };
        let mut out = Vec::new();
        sender_report::write(&mut out, ssrc, &info, &blocks);
        let ControlPacket::SenderReport(report) = one(&out) else { panic!() };
        prop_assert_eq!((report.ssrc, report.info), (ssrc, info));
        prop_assert_eq!(report.blocks().collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn descriptions_read_back(items in prop::collection::vec((1u8..=8, prop::collection::vec(any::<u8>(), 0..=255)), 0..8)) {
        let borrowed: Vec<_> = items.iter().map(|(kind, text)| (*kind, &text[..])).collect();
        let mut out = Vec::new();
        description::write(&mut out, 77, &borrowed);
        let ControlPacket::Description(description) = one(&out) else { panic!() };
        let chunk = description.chunks().next().unwrap();
        prop_assert_eq!(chunk.ssrc, 77);
        prop_assert_eq!(chunk.items().collect::<Vec<_>>(), borrowed);
    }

    #[test]
    fn missing_numbers_read_back(start: u16, gaps in prop::collection::vec(1u16..40, 1..50)) {
        let mut at = start;
        let missing: Vec<_> = gaps.iter().map(|gap| { at = at.wrapping_add(*gap); at }).collect();
        let information = feedback::nack_information(&missing);
        let nack = Feedback { format: 1, sender: 1, media: 2, information: &information };
        prop_assert_eq!(nack.missing().collect::<Vec<_>>(), missing);
    }
}
