//! Packets that are written parse to the same; packets that lie are refused with the place.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
use super::*;
use proptest::prelude::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn lengths_that_lie() {
    for (hex, offset) in [
        ("80000001000000000000", 10),
        ("4000000100000000000000010000", 0),
        ("8f000001000000000000000100000002", 12),
        ("900000010000000000000001bede0002aaaaaaaa", 16),
        ("900000010000000000000001bede", 12),
        ("a0000004000000000000000100", 12),
        ("a0000004000000000000000105", 12),
        ("a00000040000000000000001", 12),
    ] {
        assert_eq!(Packet::parse(&bytes(hex)).unwrap_err().offset, offset, "{hex}");
    }
}

#[test]
fn misuse_is_refused() {
    let mut buffer = [0; 64];
    let header = Header { payload_type: 128, ..Header::default() };
    assert_eq!(header.write(&[], &mut buffer), Err(Misuse::NotAPayloadType(128)));
    let csrc = [0; 16];
    assert!(Header { csrc: &csrc, ..Header::default() }.write(&[], &mut [0; 128]).is_err());
    let extension = Some(Extension { profile: 1, data: &[0; 3] });
    assert!(Header { extension, ..Header::default() }.write(&[], &mut buffer).is_err());
    assert_eq!(
        Header::default().write(&[0; 100], &mut buffer),
        Err(Misuse::BufferTooSmall { needed: 112, available: 64 })
    );
}

proptest! {
    #[test]
    fn what_the_builder_writes_parses_to_the_same(
        marker: bool, payload_type in 0u8..128, sequence: u16, timestamp: u32, ssrc: u32, padding: u8,
        csrc in prop::collection::vec(any::<u32>(), 0..=15),
        words in prop::option::of((any::<u16>(), prop::collection::vec(any::<[u8; 4]>(), 0..20))),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let data = words.as_ref().map(|(profile, words)| (*profile, words.concat()));
        let extension = data.as_ref().map(|(profile, data)| Extension { profile: *profile, data });
        let header = Header { marker, payload_type, sequence, timestamp, ssrc, csrc: &csrc, extension, padding };
        let mut buffer = [0xa5; 1000];
        let length = header.write(&payload, &mut buffer).unwrap();
        let packet = Packet::parse(&buffer[..length]).unwrap();
        prop_assert_eq!(packet.marker(), marker);
        prop_assert_eq!(packet.payload_type(), payload_type);
        prop_assert_eq!(packet.sequence(), sequence);
        prop_assert_eq!(packet.timestamp(), timestamp);
        prop_assert_eq!(packet.ssrc(), ssrc);
        prop_assert_eq!(packet.csrc().collect::<Vec<_>>(), &csrc[..]);
        prop_assert_eq!(packet.extension(), extension);
        prop_assert_eq!(packet.payload(), &payload[..]);
        prop_assert_eq!(packet.padding(), padding);
        prop_assert_eq!(clear_length(&buffer[..length]).unwrap(), header.length());
    }

    #[test]
    fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(packet) = Packet::parse(&bytes) {
            let clear = clear_length(&bytes).unwrap();
            prop_assert_eq!(clear + packet.payload().len() + usize::from(packet.padding()), bytes.len());
        }
    }
}
