//! What holds for every message: what is written is read again, what is read is written the same, nothing panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_ice::Candidate;
use denwa_ice::candidate::{CandidateAddress, CandidateKind, CandidateTransport};
use denwa_ice::stun::attribute::*;
use denwa_ice::stun::framing::{Framer, Framing};
use denwa_ice::stun::{
    AttributeKind, Class, ErrorCode, IntegrityKey, Message, Method, TransactionId, Writer, is_stun,
};
use denwa_ice::turn::ChannelData;
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Request), Just(Class::Indication), Just(Class::Success), Just(Class::Error)]
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

/// Kinds that are not treated in a way of their own.
fn plain_kind() -> impl Strategy<Value = u16> {
    any::<u16>().prop_filter("not one that protects", |kind| !matches!(kind, 0x0008 | 0x001C | 0x8028))
}

fn written(method: u16, class: Class, id: [u8; 12], attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut buffer = vec![0; 60_000];
    let mut writer = Writer::new(&mut buffer, class, Method::from_code(method), TransactionId(id));
    for (kind, value) in attributes {
        writer.attribute(AttributeKind(*kind), value);
    }
    let length = writer.finish().unwrap();
    buffer.truncate(length);
    buffer
}

proptest! {
    #[test]
    fn messages_are_read_as_they_were_written(
        method in any::<u16>(),
        class in class(),
        id in any::<[u8; 12]>(),
        attributes in prop::collection::vec((plain_kind(), prop::collection::vec(any::<u8>(), 0..100)), 0..12),
    ) {
        let bytes = written(method, class, id, &attributes);
        // Beyond the 256th method a first byte would be another protocol's (RFC 7983).
        prop_assert_eq!(is_stun(&bytes), method & 0xFFF < 0x100);
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!((message.class(), message.method()), (class, Method::from_code(method)));
        prop_assert_eq!(message.id(), TransactionId(id));
        let read: Vec<_> = message.attributes().map(|(kind, value)| (kind.0, value.to_vec())).collect();
        prop_assert_eq!(&read, &attributes);
        prop_assert_eq!(written(method, class, id, &read), bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..300), fix in any::<bool>()) {
        let mut bytes = bytes;
        if fix && bytes.len() >= 20 {
            // Past the first checks.
            let length = (bytes.len() - 20) & !3;
            bytes.truncate(length + 20);
            bytes[0] &= 0x3F;
            bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        }
        if let Ok(message) = Message::parse(&bytes) {
            let _ = message.get::<XorMappedAddress>();
            let _ = message.get::<ErrorCodeAttribute<'_>>();
            let _ = message.verify(&IntegrityKey::short_term("x"));
            let _ = format!("{message:?}");
        }
    }

    #[test]
    fn signed_messages_are_believed_and_changed_ones_are_not(
        id in any::<[u8; 12]>(),
        software in "[a-z]{0,40}",
        password in "[a-zA-Z0-9+/]{1,64}",
        sha256 in any::<bool>(),
        place in any::<prop::sample::Index>(),
        bit in 0_u32..8,
    ) {
        let key = IntegrityKey::short_term(&password);
        let mut buffer = [0; 300];
        let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, TransactionId(id));
        writer.put(&Software(&software));
        if sha256 { writer.integrity_sha256(&key) } else { writer.integrity(&key) }
        let protected = writer.written();
        writer.fingerprint();
        let length = writer.finish().unwrap();
        let message = Message::parse(&buffer[..length]).unwrap();
        prop_assert_eq!(message.verify(&key), Ok(()));
        prop_assert_eq!(message.fingerprint(), Some(true));
        prop_assert!(message.verify(&IntegrityKey::short_term("wrong")).is_err());
        let mut bent = buffer[..length].to_vec();
        bent[place.index(protected)] ^= 1 << bit;
        prop_assert!(Message::parse(&bent).is_err_and(|_| true) || Message::parse(&bent).unwrap().verify(&key).is_err());
    }

    #[test]
    fn every_attribute_is_read_as_it_was_written(id in any::<[u8; 12]>(), one in address(), two in address(), number in any::<u32>(), large in any::<u64>(), text in "\\PC{0,60}", code in 300_u16..700, bytes in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut buffer = [0; 2000];
        let mut writer = Writer::new(&mut buffer, Class::Success, Method::ALLOCATE, TransactionId(id));
        let code = ErrorCode::new(code).unwrap();
        writer.put(&XorMappedAddress(one));
        writer.put(&MappedAddress(two));
        writer.put(&Priority(number));
        writer.put(&IceControlling(large));
        writer.put(&Realm(&text));
        writer.put(&ErrorCodeAttribute { code, phrase: &text });
        writer.put(&AddressErrorCode { family: Family::V6, code, phrase: "" });
        writer.put(&Data(&bytes));
        writer.put(&Lifetime(Duration::from_secs(u64::from(number))));
        writer.put(&EvenPort { reserve_next: number % 2 == 0 });
        writer.put(&ChannelNumber(number as u16));
        writer.put(&Icmp { kind: 3, code: 4, data: number });
        writer.put(&UseCandidate);
        let length = writer.finish().unwrap();
        let message = Message::parse(&buffer[..length]).unwrap();
        prop_assert_eq!(message.get(), Ok(Some(XorMappedAddress(one))));
        prop_assert_eq!(message.get(), Ok(Some(MappedAddress(two))));
        prop_assert_eq!(message.get(), Ok(Some(Priority(number))));
        prop_assert_eq!(message.get(), Ok(Some(IceControlling(large))));
        prop_assert_eq!(message.get(), Ok(Some(Realm(&text))));
        prop_assert_eq!(message.get(), Ok(Some(ErrorCodeAttribute { code, phrase: &text })));
        prop_assert_eq!(message.get(), Ok(Some(AddressErrorCode { family: Family::V6, code, phrase: "" })));
        prop_assert_eq!(message.get(), Ok(Some(Data(&bytes))));
        prop_assert_eq!(message.get(), Ok(Some(Lifetime(Duration::from_secs(u64::from(number))))));
        prop_assert_eq!(message.get(), Ok(Some(EvenPort { reserve_next: number % 2 == 0 })));
        prop_assert_eq!(message.get(), Ok(Some(ChannelNumber(number as u16))));
        prop_assert_eq!(message.get(), Ok(Some(Icmp { kind: 3, code: 4, data: number })));
        prop_assert_eq!(message.get(), Ok(Some(UseCandidate)));
    }

    #[test]
    fn a_buffer_that_is_too_small_is_told_and_nothing_is_written_beyond_it(room in 0_usize..120) {
        let mut buffer = [0xEE; 120];
        let mut writer = Writer::new(&mut buffer[..room], Class::Request, Method::BINDING, TransactionId([0; 12]));
        writer.put(&Software("some program"));
        writer.integrity(&IntegrityKey::short_term("x"));
        writer.fingerprint();
        let needed = 20 + 16 + 24 + 8;
        prop_assert_eq!(writer.finish().is_ok(), room >= needed);
        prop_assert!(buffer[room..].iter().all(|byte| *byte == 0xEE));
    }

    #[test]
    fn streams_give_the_same_messages_however_they_are_cut(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 1..8),
        cuts in prop::collection::vec(1_usize..40, 1..60),
        native in any::<bool>(),
    ) {
        let (framing, stream, expected) = if native {
            let wrapped: Vec<_> = messages.iter().map(|data| {
                let mut message = ChannelData::header(0x4001, data.len()).unwrap().to_vec();
                message.extend(data);
                message
            }).collect();
            let stream: Vec<u8> = wrapped.iter().flat_map(|message| {
                let mut padded = message.clone();
                padded.resize(message.len().next_multiple_of(4), 0);
                padded
            }).collect();
            (Framing::Native, stream, wrapped)
        } else {
            let stream = messages.iter().flat_map(|data| [&(data.len() as u16).to_be_bytes(), data.as_slice()].concat()).collect();
            (Framing::LengthPrefixed, stream, messages.clone())
        };
        let mut framer = Framer::new(framing, 100);
        let (mut got, mut rest) = (Vec::new(), stream.as_slice());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            framer.receive(piece, |message| got.push(message.to_vec())).unwrap();
            rest = after;
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn candidates_are_read_as_they_were_written(
        foundation in "[a-zA-Z0-9+/]{1,32}",
        component in 1_u16..=256,
        priority in any::<u32>(),
        address in address(),
        related in prop::option::of(address()),
        kind in prop_oneof![Just(CandidateKind::Host), Just(CandidateKind::ServerReflexive), Just(CandidateKind::PeerReflexive), Just(CandidateKind::Relayed)],
        transport in prop_oneof![Just(CandidateTransport::Udp), Just(CandidateTransport::TcpActive), Just(CandidateTransport::TcpPassive), Just(CandidateTransport::TcpSimultaneous)],
        extensions in prop::collection::vec(("[a-z]{1,8}", "[a-z0-9]{1,8}"), 0..3),
    ) {
        let address = CandidateAddress::Ip(address);
        prop_assume!(extensions.iter().all(|(name, _)| !["raddr", "rport", "tcptype"].contains(&name.as_str())));
        let candidate = Candidate { foundation, component, transport, priority, address, kind, related, extensions };
        prop_assert_eq!(candidate.to_string().parse::<Candidate>(), Ok(candidate));
    }

    #[test]
    fn any_text_is_a_candidate_or_refused(text in "\\PC{0,120}", head in any::<bool>()) {
        let text = if head { format!("candidate:1 1 udp 1 192.0.2.1 5 typ host {text}") } else { text };
        if let Err(error) = text.parse::<Candidate>() {
            prop_assert!(error.offset <= text.len());
        }
    }
}
