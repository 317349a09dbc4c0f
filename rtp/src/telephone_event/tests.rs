//! Events on the wire and back, over a network that loses, repeats and reorders.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const PTIME: u32 = 160;

/// Everything the sender says for its queue, one packet each 20 ms.
fn spell(sender: &mut Sender) -> Vec<(u32, EventPacket)> {
    let mut out = Vec::new();
    let mut now = 8000u32;
    while !sender.is_idle() {
        if let Some(packet) = sender.poll(now) {
            out.push((now, packet));
        }
        now += PTIME;
        assert!(out.len() < 10_000, "it never ends");
    }
    out
}

fn hear(receiver: &mut Receiver, packets: &[(u16, u32, EventPacket)]) -> Vec<Change> {
    let start = Instant::now();
    let mut changes = Vec::new();
    for (sequence, at, packet) in packets {
        let now = start + Duration::from_micros(u64::from(*at) * 125);
        receiver.handle_timeout(now);
        let payload = packet.payload.octets();
        let heard = Heard {
            sequence: *sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: &payload,
        };
        receiver.receive(heard, now);
    }
    if let Some(at) = receiver.poll_timeout() {
        receiver.handle_timeout(at);
    }
    while let Some(change) = receiver.poll() {
        changes.push(change);
    }
    changes
}

fn numbered(packets: Vec<(u32, EventPacket)>) -> Vec<(u16, u32, EventPacket)> {
    packets.into_iter().enumerate().map(|(index, (at, packet))| (index as u16, at, packet)).collect()
}

fn started(changes: &[Change]) -> String {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Started { event, .. } => event.key(),
            Change::Ended { .. } => None,
        })
        .collect()
}

fn dial(digits: &str) -> Vec<(u16, u32, EventPacket)> {
    let mut sender = Sender::new(SenderConfig::new(8000));
    for key in digits.chars() {
        sender.press(Event::of_key(key).unwrap(), Duration::from_millis(100)).unwrap();
    }
    numbered(spell(&mut sender))
}

#[test]
fn a_digit_has_updates_and_three_end_packets() {
    let packets = dial("5");
    let view: Vec<_> =
        packets.iter().map(|(_, _, p)| (p.marker, p.payload.duration, p.payload.end)).collect();
    assert_eq!(
        view,
        [
            (true, 0, false),
            (false, 160, false),
            (false, 320, false),
            (false, 480, false),
            (false, 640, false),
            (false, 800, true),
            (false, 800, true),
            (false, 800, true),
        ]
    );
    assert!(packets.iter().all(|(_, _, p)| p.timestamp == 8000 && p.payload.volume == 10));
}

#[test]
fn every_digit_is_heard_once() {
    let packets = dial("0123456789*#ABCD");
    let changes = hear(&mut Receiver::new(ReceiverConfig::new(8000)), &packets);
    assert_eq!(started(&changes), "0123456789*#ABCD");
    assert_eq!(changes.len(), 32);
    assert!(changes.iter().all(|change| match change {
        Change::Ended { duration, cause, .. } =>
            *duration == Duration::from_millis(100) && *cause == EndCause::Told,
        Change::Started { .. } => true,
    }));
}

#[test]
fn the_same_digit_twice_is_two_digits() {
    assert_eq!(started(&hear(&mut Receiver::new(ReceiverConfig::new(8000)), &dial("55"))), "55");
}

#[test]
fn an_event_whose_end_is_lost_ends_by_silence() {
    let mut packets = dial("7");
    packets.retain(|(_, _, packet)| !packet.payload.end);
    let changes = hear(&mut Receiver::new(ReceiverConfig::new(8000)), &packets);
    let ended =
        Change::Ended { event: Event(7), duration: Duration::from_millis(80), cause: EndCause::Silence };
    assert_eq!(changes, [Change::Started { event: Event(7), volume: 10 }, ended]);
}

#[test]
fn a_lone_end_packet_is_an_event() {
    let packets = dial("7");
    let changes = hear(&mut Receiver::new(ReceiverConfig::new(8000)), &packets[7..]);
    assert_eq!(started(&changes), "7");
    assert_eq!(changes.len(), 2);
}

#[test]
fn rfc4733_long_events_go_in_segments() {
    let mut sender = Sender::new(SenderConfig::new(8000));
    sender.press(Event(1), Duration::from_secs(20)).unwrap();
    let packets = numbered(spell(&mut sender));
    let mut starts: Vec<_> = packets.iter().map(|(_, _, packet)| packet.timestamp).collect();
    starts.dedup();
    assert_eq!(starts, [8000, 8000 + 65535, 8000 + 2 * 65535]);
    assert_eq!(packets.iter().filter(|(_, _, packet)| packet.marker).count(), 1);
    assert_eq!(packets.iter().filter(|(_, _, packet)| packet.payload.end).count(), 3);
    let full = packets.iter().filter(|(_, _, packet)| packet.payload.duration == 0xffff);
    assert!(full.clone().all(|(_, _, packet)| !packet.payload.end));
    assert_eq!(full.count(), 6, "the last packet of a segment is sent three times");
    let changes = hear(&mut Receiver::new(ReceiverConfig::new(8000)), &packets);
    assert_eq!(changes.len(), 2);
    assert_eq!(
        changes[1],
        Change::Ended { event: Event(1), duration: Duration::from_secs(20), cause: EndCause::Told }
    );
}

#[test]
fn a_key_held_down_lasts_until_released() {
    let mut sender = Sender::new(SenderConfig::new(8000));
    sender.hold_down(Event(3)).unwrap();
    assert_eq!(sender.poll(0).unwrap().payload.duration, 0);
    assert_eq!(sender.poll(400).unwrap().payload.duration, 400);
    sender.release();
    let last = sender.poll(560).unwrap().payload;
    assert_eq!((last.duration, last.end), (560, true));
    assert!(sender.poll(720).is_some());
    assert!(sender.poll(880).is_some());
    assert!(sender.poll(1040).is_none());
    assert!(sender.poll(1200).is_none());
    assert!(sender.is_idle());
}

#[test]
fn senders_whose_timestamps_move_are_understood() {
    let packets: Vec<_> = (0..8u16)
        .map(|step| {
            let end = step >= 5;
            let duration = 160 * (step.min(5) + 1);
            let payload = Payload { event: Event(9), end, volume: 10, duration };
            (
                step,
                u32::from(step) * 160,
                EventPacket { timestamp: u32::from(step) * 160, marker: step == 0, payload },
            )
        })
        .collect();
    let changes = hear(&mut Receiver::new(ReceiverConfig::new(8000)), &packets);
    assert_eq!(started(&changes), "9");
}

#[test]
fn rfc4733_payload_bits() {
    let payload = Payload { event: Event(1), end: true, volume: 20, duration: 1760 };
    assert_eq!(payload.octets(), [0x01, 0x94, 0x06, 0xe0]);
    assert_eq!(Payload::parse(&[0x01, 0x94, 0x06, 0xe0]), Ok(payload));
    assert!(Payload::parse(&[1, 2, 3]).is_err());
    assert_eq!(Event::of_key('d'), Some(Event(15)));
    assert_eq!(Event::of_key('x'), None);
}

#[test]
fn the_queue_is_limited() {
    let mut sender = Sender::new(SenderConfig { maximum_queue: 2, ..SenderConfig::new(8000) });
    assert!(sender.press(Event(1), Duration::from_millis(50)).is_ok());
    assert!(sender.press(Event(2), Duration::from_millis(50)).is_ok());
    assert!(sender.press(Event(3), Duration::from_millis(50)).is_err());
}

proptest! {
    /// As long as one packet of each event arrives, and none is later than its successor's first, all are told once.
    #[test]
    fn loss_repetition_and_reordering_change_no_digit(
        digits in "[0-9*#A-D]{1,12}",
        fates in prop::collection::vec(0u8..10, 200),
    ) {
        let packets = dial(&digits);
        let mut arrived = Vec::new();
        let mut heard_of = std::collections::BTreeSet::new();
        for (index, packet) in packets.iter().enumerate() {
            let fate = fates[index % fates.len()];
            let last_chance = packets.get(index + 1).is_none_or(|next| next.2.timestamp != packet.2.timestamp);
            let needed = last_chance && !heard_of.contains(&packet.2.timestamp);
            if fate < 4 && !needed { continue }
            heard_of.insert(packet.2.timestamp);
            arrived.push(*packet);
            if fate == 9 { arrived.push(*packet) }
            // Reordered within the event.
            let n = arrived.len();
            if fate == 8 && n >= 2 && arrived[n - 2].2.timestamp == packet.2.timestamp { arrived.swap(n - 2, n - 1) }
        }
        let changes = hear(&mut Receiver::new(ReceiverConfig::new(8000)), &arrived);
        prop_assert_eq!(started(&changes), digits.to_uppercase());
        prop_assert_eq!(changes.len(), digits.len() * 2);
    }
}
