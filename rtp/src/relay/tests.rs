//! Whoever feeds the stream, its listener sees one source whose numbers and timestamps go on.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
use super::*;
use crate::{
    packet::{Header, Packet},
    sender::Place,
};
use std::time::Duration;

const PTIME: Duration = Duration::from_millis(20);

fn packet(ssrc: u32, sequence: u16, timestamp: u32, payload_type: u8) -> Vec<u8> {
    let mut buffer = vec![0; 172];
    Header { ssrc, sequence, timestamp, payload_type, ..Header::default() }
        .write(&[7; 160], &mut buffer)
        .unwrap();
    buffer
}

struct Leg {
    sender: Sender,
    map: PayloadMap,
    start: Instant,
}

impl Leg {
    fn new() -> Self {
        let mut map = PayloadMap::everything();
        map.carry(96, 101).unwrap();
        Self { sender: Sender::new(0xaaaa, 1000, 50_000, 8000), map, start: Instant::now() }
    }

    /// What leaves: sequence, timestamp, marker.
    fn relay(&mut self, mut packet: Vec<u8>, at: Duration) -> Option<(u16, u32, bool)> {
        rewrite(&mut packet, &self.map, &mut self.sender, self.start + at).ok()?;
        let out = Packet::parse(&packet).unwrap();
        assert_eq!(out.ssrc(), 0xaaaa);
        assert_eq!(out.payload(), [7; 160]);
        Some((out.sequence(), out.timestamp(), out.marker()))
    }
}

#[test]
fn gaps_and_reordering_stay_visible() {
    let mut leg = Leg::new();
    assert_eq!(leg.relay(packet(1, 65534, 0, 0), Duration::ZERO), Some((1000, 50_000, true)));
    assert_eq!(leg.relay(packet(1, 65535, 160, 0), PTIME), Some((1001, 50_160, false)));
    assert_eq!(leg.relay(packet(1, 2, 640, 0), PTIME * 4), Some((1004, 50_640, false)), "two lost stay lost");
    assert_eq!(leg.relay(packet(1, 1, 480, 0), PTIME * 4), Some((1003, 50_480, false)), "late stays late");
}

#[test]
fn a_transfer_goes_on_where_the_old_source_stopped() {
    let mut leg = Leg::new();
    leg.relay(packet(1, 10, 0, 0), Duration::ZERO);
    leg.relay(packet(1, 11, 160, 0), PTIME);
    assert_eq!(leg.relay(packet(2, 40_000, 9_999_999, 0), PTIME * 11), Some((1002, 50_160 + 1600, true)));
    assert_eq!(leg.relay(packet(2, 40_001, 10_000_159, 0), PTIME * 12), Some((1003, 50_160 + 1760, false)));
    assert_eq!(
        leg.relay(packet(2, 39_999, 9_999_839, 0), PTIME * 12),
        None,
        "its number was the old source's"
    );
    assert_eq!(leg.sender.switches(), 2);
}

#[test]
fn numbers_turn_around_many_times() {
    let mut leg = Leg::new();
    for step in 0..200_000u32 {
        let out = leg.relay(packet(1, step as u16, step.wrapping_mul(160), 0), PTIME * step).unwrap();
        assert_eq!(out.0, 1000u16.wrapping_add(step as u16));
    }
    assert_eq!(leg.sender.switches(), 1);
}

#[test]
fn what_was_held_back_on_purpose_is_no_loss() {
    let mut leg = Leg::new();
    leg.relay(packet(1, 10, 0, 0), Duration::ZERO);
    leg.sender.restart_feed();
    assert_eq!(leg.relay(packet(1, 510, 80_000, 0), PTIME * 500), Some((1001, 130_000, true)));
    assert_eq!(leg.relay(packet(1, 511, 80_160, 0), PTIME * 501), Some((1002, 130_160, false)));
}

#[test]
fn the_same_source_may_begin_anew() {
    let mut leg = Leg::new();
    leg.relay(packet(1, 10, 0, 0), Duration::ZERO);
    assert_eq!(leg.relay(packet(1, 30_000, 77, 0), PTIME), Some((1001, 50_160, true)));
    assert_eq!(
        leg.relay(packet(1, 30_001, 77 + 160 * 100_000, 0), PTIME * 2),
        Some((1002, 50_320, true)),
        "a leap"
    );
}

#[test]
fn a_pause_keeps_its_length() {
    let mut leg = Leg::new();
    leg.relay(packet(1, 10, 0, 0), Duration::ZERO);
    assert_eq!(leg.relay(packet(1, 11, 80_000, 0), PTIME * 500), Some((1001, 130_000, false)));
}

#[test]
fn a_long_event_repeats_its_timestamp_and_the_voice_goes_on_after_it() {
    let mut leg = Leg::new();
    leg.relay(packet(1, 10, 0, 0), Duration::ZERO);
    for step in 1..=250u16 {
        let out = leg.relay(packet(1, 10 + step, 160, 96), PTIME * u32::from(step)).unwrap();
        assert_eq!(out, (1000 + step, 50_160, false));
    }
    assert_eq!(leg.relay(packet(1, 261, 160 * 251, 0), PTIME * 251), Some((1251, 50_000 + 160 * 251, false)));
}

#[test]
fn payload_types_are_mapped_or_refused() {
    let mut sender = Sender::new(5, 0, 0, 8000);
    let mut map = PayloadMap::nothing();
    map.carry(96, 101).unwrap();
    let now = Instant::now();
    let mut bytes = packet(1, 1, 1, 96);
    rewrite(&mut bytes, &map, &mut sender, now).unwrap();
    assert_eq!(Packet::parse(&bytes).unwrap().payload_type(), 101);
    let mut bytes = packet(1, 2, 1, 0);
    let before = bytes.clone();
    assert_eq!(rewrite(&mut bytes, &map, &mut sender, now), Err(NotRelayed::PayloadType(0)));
    assert_eq!(bytes, before);
    assert_eq!(rewrite(&mut [0; 11], &map, &mut sender, now), Err(NotRelayed::NotRtp));
    assert!(map.carry(128, 0).is_err());
    assert!(map.carry(0, 128).is_err());
}

#[test]
fn local_frames_and_relayed_packets_share_the_stream() {
    let mut leg = Leg::new();
    leg.relay(packet(1, 10, 0, 0), Duration::ZERO);
    let music = leg.sender.place_next(Feed::Local(1), 5, leg.start + PTIME * 50);
    assert_eq!(music, Place { sequence: 1001, timestamp: 58_000, switched: true });
    let music = leg.sender.place_next(Feed::Local(1), 165, leg.start + PTIME * 51);
    assert_eq!(music, Place { sequence: 1002, timestamp: 58_160, switched: false });
    assert_eq!(leg.relay(packet(1, 200, 0, 0), PTIME * 52), Some((1003, 58_320, true)));
}
