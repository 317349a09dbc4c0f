//! What is packed unpacks to the same; with one packet in two lost nothing is lost.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
use super::*;
use crate::{
    shared::{json, number, octets},
    telephone_event::{Change, Event, Heard, Payload, Receiver, ReceiverConfig, Sender, SenderConfig},
};
use proptest::prelude::*;
use std::time::{Duration, Instant};

#[test]
fn rfc2198_7_example_header() {
    let Some(vectors) = json("vectors/rtp/rfc2198.json") else { return };
    let (redundant, primary) = (&vectors["redundant"], &vectors["primary"]);
    let first = vec![1; number(redundant, "octets") as usize];
    let second = vec![2; number(primary, "octets") as usize];
    let blocks = [
        Block {
            payload_type: number(redundant, "pt") as u8,
            offset: number(redundant, "offset") as u16,
            payload: &first,
        },
        Block { payload_type: number(primary, "pt") as u8, offset: 0, payload: &second },
    ];
    let mut buffer = [0; 200];
    let length = write(&blocks, &mut buffer).unwrap();
    let header = octets(&vectors, "header");
    assert_eq!(buffer[..header.len()], header);
    assert_eq!(Blocks::parse(&buffer[..length]).unwrap().collect::<Vec<_>>(), blocks);
}

#[test]
fn rfc4733_figure_5_event_behind_a_tone() {
    let Some(vectors) = json("vectors/rtp/rfc4733.json") else { return };
    let wire = octets(&vectors["figure5"], "hex");
    let payload = crate::Packet::parse(&wire).unwrap().payload();
    let blocks: Vec<_> = Blocks::parse(payload).unwrap().collect();
    assert_eq!((blocks[0].payload_type, blocks[0].offset, blocks[0].payload.len()), (100, 1600, 4));
    assert_eq!((blocks[1].payload_type, blocks[1].payload.len()), (101, 8));
    let event = Payload::parse(blocks[0].payload).unwrap();
    assert_eq!((event.event, event.end, event.duration), (Event(1), true, 1760));
}

#[test]
fn headers_that_lie() {
    for payload in
        [&[][..], &[0x80], &[0x80, 0, 0], &[0x80, 0, 0, 1, 5], &[0x80, 0, 0, 0], &[0x80, 0, 0, 3, 5, 1, 2]]
    {
        assert!(Blocks::parse(payload).is_err(), "{payload:?}");
    }
    assert_eq!(Blocks::parse(&[5]).unwrap().count(), 1, "an empty primary block");
    let far = Block { payload_type: 0, offset: 16384, payload: &[] };
    let near = Block { offset: 0, ..far };
    assert!(write(&[far, near], &mut [0; 50]).is_err());
    assert!(write(&[], &mut [0; 50]).is_err());
    assert!(write(&[near], &mut []).is_err());
}

#[test]
fn redundancy_that_does_not_fit_is_left_out_oldest_first() {
    let mut packer = Packer::new(3);
    let mut buffer = [0; 40]; // room for two
    for step in 0..3u32 {
        packer.pack(step * 160, 96, &[step as u8; 10], &mut buffer).unwrap();
    }
    let length = packer.pack(480, 96, &[3; 10], &mut buffer).unwrap();
    let blocks: Vec<_> = Blocks::parse(&buffer[..length]).unwrap().collect();
    assert_eq!(blocks.iter().map(|block| block.payload[0]).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(packer.pack(1 << 20, 96, &[4; 10], &mut buffer), Ok(11), "all the past is too far away");
}

#[test]
fn digits_survive_the_loss_of_every_other_packet_and_of_a_whole_digit() {
    let mut sender = Sender::new(SenderConfig::new(8000));
    for key in "1234567890".chars() {
        sender.press(Event::of_key(key).unwrap(), Duration::from_millis(40)).unwrap();
    }
    let mut packer = Packer::new(5);
    let mut receiver = Receiver::new(ReceiverConfig::new(8000));
    let start = Instant::now();
    let (mut sequence, mut now, mut digits) = (0u16, 0u32, String::new());
    while !sender.is_idle() {
        now += 160;
        let Some(packet) = sender.poll(now) else { continue };
        sequence += 1;
        let mut buffer = [0; 100];
        let length = packer.pack(packet.timestamp, 101, &packet.payload.octets(), &mut buffer).unwrap();
        let whole_digit = (12..18).contains(&sequence);
        if sequence % 2 == 0 || whole_digit {
            continue;
        }
        for block in Blocks::parse(&buffer[..length]).unwrap() {
            let timestamp = packet.timestamp.wrapping_sub(u32::from(block.offset));
            let heard = Heard { sequence, timestamp, marker: packet.marker, payload: block.payload };
            receiver.receive(heard, start + Duration::from_micros(u64::from(now) * 125));
        }
        while let Some(change) = receiver.poll() {
            if let Change::Started { event, .. } = change {
                digits.extend(event.key());
            }
        }
    }
    assert_eq!(digits, "1234567890");
}

proptest! {
    #[test]
    fn blocks_read_back(
        redundant in prop::collection::vec((0u8..128, 0u16..0x4000, prop::collection::vec(any::<u8>(), 0..300)), 0..5),
        primary in (0u8..128, prop::collection::vec(any::<u8>(), 0..300)),
    ) {
        let blocks: Vec<_> = redundant.iter().map(|(payload_type, offset, payload)| Block {
            payload_type: *payload_type, offset: *offset, payload
        }).chain([Block { payload_type: primary.0, offset: 0, payload: &primary.1 }]).collect();
        let mut buffer = [0; 2000];
        let length = write(&blocks, &mut buffer).unwrap();
        prop_assert_eq!(Blocks::parse(&buffer[..length]).unwrap().collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(blocks) = Blocks::parse(&bytes) {
            let total: usize = blocks.clone().map(|block| block.payload.len()).sum();
            let headers = (blocks.count() - 1) * 4 + 1;
            prop_assert_eq!(total + headers, bytes.len());
        }
    }
}
