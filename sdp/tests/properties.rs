//! What holds for every document, every offer, and every two sides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;

use denwa_sdp::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

/// As many cases as the environment says, else a number that takes a second or two.
fn config(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// ---- documents

/// A captured description with a few bytes changed, cut, or doubled.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files: Vec<Vec<u8>> = common::files(&folder, "sdp").into_iter().map(|(_, bytes)| bytes).collect();
    (select(files), vec((any::<Index>(), any::<u8>(), 0..4_u8), 0..6)).prop_map(|(mut bytes, changes)| {
        for (at, byte, how) in changes {
            let at = at.index(bytes.len().max(1));
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => {
                    bytes.remove(at);
                }
                2 => bytes.insert(at, byte),
                _ => {
                    let end = (at + usize::from(byte)).min(bytes.len());
                    let piece = bytes[at.min(end)..end].to_vec();
                    bytes.splice(at.min(end)..at.min(end), piece);
                }
            }
        }
        bytes
    })
}

/// Lines that are like those of a description.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let value = "[ -~]{0,40}|[0-9 /]{1,12}|IN IP[46] [0-9a-f.:/]{1,20}|audio [0-9]{1,5} RTP/AVP [0-9 ]{1,8}";
    let line = (select(b"vosiuepcbtrzkam".to_vec()), value, select(vec!["\r\n", "\n"]));
    vec(line, 0..12).prop_map(|lines| {
        let mut bytes = b"v=0\r\n".to_vec();
        for (letter, value, end) in lines {
            bytes.extend([letter, b'=']);
            bytes.extend(value.bytes());
            bytes.extend(end.bytes());
        }
        bytes
    })
}

fn check_document(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(description) = Description::parse(bytes) else { return Ok(()) };
    let written = description.to_bytes();
    prop_assert_eq!(&*written, bytes);
    prop_assert_eq!(&Description::parse(&written).unwrap(), &description);
    prop_assert_eq!(Editor::new(&description).into_bytes(), bytes);
    prop_assert_eq!(&description.clone().into_owned(), &description);
    let media: Vec<_> = description.media().collect();
    let all = description.attributes().chain(media.iter().flat_map(|medium| medium.attributes()));
    for line in all {
        if let Ok(attribute) = line.typed() {
            let text = attribute.to_string();
            prop_assert_eq!(Attribute::parse(&text), Ok(attribute), "{}", text);
        }
    }
    // Whatever a strict reader takes, a forgiving one takes without a word.
    let strict = ParseOptions { strict: true, ..ParseOptions::default() };
    if Description::parse_with(bytes, &strict).is_ok() {
        prop_assert_eq!(description.leniencies(), &[]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn what_is_read_is_written_back(bytes in mutated()) {
        check_document(&bytes)?;
    }

    #[test]
    fn made_up_lines_are_written_back(bytes in lines()) {
        check_document(&bytes)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        check_document(&bytes)?;
    }
}

// ---- offers and sides

const CODECS: [&str; 10] = ["PCMU", "PCMA", "G722", "G729", "GSM", "iLBC", "opus", "speex", "G723", "AMR"];

fn codecs() -> impl Strategy<Value = Vec<Codec>> {
    subsequence(CODECS.to_vec(), 1..=CODECS.len())
        .prop_shuffle()
        .prop_map(|names| names.into_iter().map(|name| Codec::by_name(name).unwrap()).collect())
}

fn encryption() -> impl Strategy<Value = EncryptionCapability> {
    let policy = select(vec![Encryption::None, Encryption::Offered, Encryption::Required]);
    (policy, 1..4_u8, any::<bool>(), any::<bool>(), any::<u8>()).prop_map(|(policy, how, sdes, two, byte)| {
        let mut all = EncryptionCapability::none();
        all.policy = policy;
        all.sdes = (how & 1 != 0).then(SdesCapability::default);
        all.dtls = (how & 2 != 0).then(|| DtlsCapability {
            fingerprints: vec![LocalFingerprint::sha256([byte; 32])],
            setup: attribute::security::Setup::ActPass,
        });
        all.preferred = if sdes { KeyExchange::Sdes } else { KeyExchange::Dtls };
        all.best_effort = if two { BestEffort::TwoMedia } else { BestEffort::PlainProfile };
        all
    })
}

fn capability() -> impl Strategy<Value = Capability> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (codecs(), encryption(), flags, proptest::option::of(1..4_u64)).prop_map(
        |(codecs, encryption, flags, time)| {
            let (video, bundle, mux, one, local) = flags;
            let mut capability = Capability::telephone(codecs).with_encryption(encryption);
            capability.media[0].packet_time = time.map(|time| std::time::Duration::from_millis(time * 10));
            if video {
                let vp8 = Codec::by_name("VP8").unwrap();
                capability.media.push(MediaCapability::rtp(Kind::Video, [vp8]));
            }
            // Two alternatives and bundling in one offer are more than any peer takes.
            capability.bundle = bundle && capability.encryption.best_effort != BestEffort::TwoMedia;
            capability.rtcp_mux = if mux { RtcpMux::Offered } else { RtcpMux::Off };
            capability.answer_codecs = if one { AnswerCodecs::One } else { AnswerCodecs::All };
            capability.preference = if local { Preference::Local } else { Preference::Offerer };
            capability
        },
    )
}

fn side(capability: Capability, number: u8) -> Negotiator {
    let transports = [(Kind::Audio, 4000), (Kind::Video, 4002)]
        .map(|(kind, port)| Transport::new(kind, ([192, 0, 2, number], port).into()));
    Negotiator::new(capability, transports.to_vec(), Seed([number; 32]))
}

/// An offer of anybody: media of any kind and profile, with formats that may or may not mean something.
fn offer() -> impl Strategy<Value = Vec<u8>> {
    let profiles =
        vec!["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "UDP/TLS/RTP/SAVPF", "udptl", "TCP/MSRP", "RTP/XYZ"];
    let extra = select(vec![
        "a=sendonly",
        "a=inactive",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-mux-only",
        "a=bundle-only",
        "a=setup:actpass",
        "a=setup:holdconn",
        "a=fingerprint:sha-256 AA:BB",
        "a=fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "a=crypto:2 F8_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
        "a=crypto:x",
        "a=ptime:30",
        "a=maxptime:10",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdabcdabcdabcdabcdabcd",
        "a=candidate:1 1 UDP 1 192.0.2.9 1 typ host",
        "c=IN IP6 2001:db8::1",
        "c=IN IP4 0.0.0.0",
        "c=IN IP4 233.252.0.1/127",
        "a=rtpmap:96 iLBC/8000",
        "a=fmtp:96 mode=20",
        "a=rtpmap:97 opus/48000/2",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=rtpmap:0 G729/8000",
        "a=extmap:1 urn:x",
        "a=T38FaxVersion:0",
    ]);
    let formats = vec(0..128_u8, 1..8).prop_map(|formats| {
        let formats: Vec<String> = formats.iter().map(u8::to_string).collect();
        formats.join(" ")
    });
    let kind = select(vec!["audio", "audio", "audio", "video", "image", "application", "text"]);
    let port = prop_oneof![Just(0_u16), 1..=65_535_u16];
    let medium = (kind, port, select(profiles), formats, vec(extra, 0..10));
    (vec(medium, 0..5), any::<bool>()).prop_map(|(media, grouped)| {
        let mut text = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n".to_owned();
        if grouped {
            let mids: Vec<String> = (0..media.len()).map(|mid| mid.to_string()).collect();
            text.push_str(&format!("a=group:BUNDLE {}\r\n", mids.join(" ")));
        }
        for (mid, (kind, port, profile, formats, extras)) in media.into_iter().enumerate() {
            text.push_str(&format!("m={kind} {port} {profile} {formats}\r\n"));
            if grouped {
                text.push_str(&format!("a=mid:{mid}\r\n"));
            }
            for line in extras {
                text.push_str(&format!("{line}\r\n"));
            }
        }
        text.into_bytes()
    })
}

/// An answer keeps the media of its offer, and says nothing that was not offered.
fn check_answer(offer: &[u8], answer: &[u8]) -> Result<(), TestCaseError> {
    let strict = ParseOptions { strict: true, ..ParseOptions::default() };
    let answer = Description::parse_with(answer, &strict).unwrap();
    let (offer, answer) =
        (RemoteDescription::read(&Description::parse(offer).unwrap()), RemoteDescription::read(&answer));
    prop_assert_eq!(offer.media.len(), answer.media.len());
    for (offered, answered) in offer.media.iter().zip(&answer.media) {
        prop_assert_eq!(&offered.kind, &answered.kind);
        prop_assert_eq!(&offered.profile, &answered.profile);
        prop_assert!(offered.is_live() || !answered.is_live());
        for format in &answered.format_names {
            prop_assert!(
                offered.format_names.contains(format),
                "{} is not among {:?}",
                format,
                offered.format_names
            );
        }
        if answered.is_live() {
            let allowed = offered.direction.reversed();
            prop_assert_eq!(answered.direction.and(allowed), answered.direction);
            prop_assert!(!answered.rtcp_mux || offered.rtcp_mux);
            prop_assert!(answered.ice.is_none() || offered.ice.is_some());
        }
    }
    for group in &answer.bundles {
        for mid in group {
            let medium = answer.media.iter().find(|medium| medium.mid.as_ref() == Some(mid)).unwrap();
            prop_assert!(medium.is_live());
        }
    }
    Ok(())
}

/// What one side sends, the other expects, with the same numbers, keys and events.
fn check_pair(a: &ActiveMedium, b: &ActiveMedium) -> Result<(), TestCaseError> {
    // Who is held by an address knows none to send to, and the other does not expect it.
    prop_assert_eq!(a.direction, b.direction.reversed());
    prop_assert_eq!(&a.profile, &b.profile);
    match &a.remote_rtp {
        Some(remote) => prop_assert_eq!(remote.socket(), Some(b.local)),
        None => prop_assert!(a.hold.is_remote() && !b.direction.receives()),
    }
    prop_assert_eq!(a.rtcp_mux, b.rtcp_mux);
    let list = |codecs: &[AgreedCodec]| {
        codecs.iter().map(|codec| (codec.name.to_lowercase(), codec.payload_type)).collect::<Vec<_>>()
    };
    prop_assert_eq!(list(&a.send), list(&b.receive));
    prop_assert_eq!(&a.send_events, &b.receive_events);
    prop_assert!(!a.send.is_empty());
    for (ours, theirs) in a.send.iter().zip(&b.receive) {
        if ["G729", "iLBC", "AMR"].contains(&ours.name.as_str()) {
            prop_assert_eq!(&ours.parameters, &theirs.parameters, "{}", ours.name);
        }
    }
    match (&a.encryption, &b.encryption) {
        (AgreedEncryption::None, AgreedEncryption::None) => {}
        (AgreedEncryption::Sdes(a), AgreedEncryption::Sdes(b)) => {
            prop_assert_eq!((&a.send.suite, &a.send.key), (&b.receive.suite, &b.receive.key));
            prop_assert_ne!(&a.send.key, &a.receive.key);
        }
        (AgreedEncryption::Dtls(a), AgreedEncryption::Dtls(b)) => prop_assert_ne!(a.role, b.role),
        other => return Err(TestCaseError::fail(format!("{other:?}"))),
    }
    Ok(())
}

/// Whether two encryption capabilities can meet at all.
fn encryption_meets(offerer: &EncryptionCapability, answerer: &EncryptionCapability) -> bool {
    use Encryption::{None, Offered, Required};
    // An offer has one way to agree on keys; which, is the offerer's preference.
    let offered = match (&offerer.sdes, &offerer.dtls) {
        (Some(_), Some(_)) => offerer.preferred,
        (Some(_), _) => KeyExchange::Sdes,
        _ => KeyExchange::Dtls,
    };
    let common = match offered {
        KeyExchange::Sdes => answerer.sdes.is_some(),
        KeyExchange::Dtls => answerer.dtls.is_some(),
    };
    match (offerer.policy, answerer.policy) {
        (None, None | Offered) | (Offered, None | Offered) => true,
        (None, Required) | (Required, None) => false,
        _ => common,
    }
}

/// What may happen between two exchanges.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Refresh,
    Hold(HoldStyle),
    Resume,
    Rollback,
}

fn operations() -> impl Strategy<Value = Vec<(bool, Operation)>> {
    let operation = select(vec![
        Operation::Refresh,
        Operation::Hold(HoldStyle::Direction),
        Operation::Hold(HoldStyle::ZeroAddress),
        Operation::Resume,
        Operation::Rollback,
    ]);
    vec((any::<bool>(), operation), 0..6)
}

proptest! {
    #![proptest_config(config(1_500))]

    #[test]
    fn an_answer_keeps_to_its_offer(capability in capability(), offers in vec(offer(), 1..4)) {
        let mut side = side(capability, 1);
        for offer in offers {
            match side.answer(&offer) {
                Ok(answer) => check_answer(&offer, &answer)?,
                Err(error) => {
                    let mismatch = error.mismatch();
                    prop_assert!(mismatch.is_some(), "{}", error);
                    prop_assert!(!error.to_string().is_empty());
                    prop_assert!(matches!(error.status(), 488 | 500));
                }
            }
            prop_assert_eq!(side.state(), State::Stable);
        }
    }

    #[test]
    fn two_sides_that_have_something_in_common_agree(
        a in capability(),
        b in capability(),
        operations in operations(),
    ) {
        let (a, mut b) = (a, b);
        let first = a.media[0].codecs[0].clone();
        if !b.media[0].codecs.iter().any(|codec| codec.name == first.name) {
            b.media[0].codecs.push(first);
        }
        let meets = encryption_meets(&a.encryption, &b.encryption);
        let both_ways = meets && encryption_meets(&b.encryption, &a.encryption);
        let mut sides = [side(a, 1), side(b, 2)];
        let mut first = true;
        for (by_b, operation) in std::iter::once((false, Operation::Refresh)).chain(operations) {
            let [a, b] = &mut sides;
            let (offerer, answerer) = if by_b { (b, a) } else { (a, b) };
            match operation {
                Operation::Refresh => {}
                Operation::Hold(style) => offerer.hold(style, Direction::SendOnly),
                Operation::Resume => offerer.resume(),
                Operation::Rollback => {
                    let before = offerer.agreed().cloned();
                    offerer.offer().unwrap();
                    offerer.rollback();
                    prop_assert_eq!(offerer.agreed(), before.as_ref());
                    continue;
                }
            }
            let offer = offerer.offer().unwrap();
            let answer = match answerer.answer(&offer) {
                Ok(answer) => answer,
                Err(error) => {
                    // Who could not meet at first does not; a change of who offers may turn up a demand.
                    prop_assert!(if first { !meets } else { !both_ways }, "{}", error);
                    offerer.refused(Some(&answerer.capabilities()), None).unwrap();
                    return Ok(());
                }
            };
            check_answer(&offer, &answer)?;
            prop_assert!(!first || meets);
            first = false;
            let accepted = offerer.accept_answer(&answer);
            prop_assert!(accepted.is_ok(), "{}\n{}", accepted.unwrap_err(), String::from_utf8_lossy(&answer));
            let (ours, theirs) = (offerer.agreed().unwrap(), answerer.agreed().unwrap());
            prop_assert_eq!(ours.media.len(), theirs.media.len());
            for (ours, theirs) in ours.media.iter().zip(&theirs.media) {
                prop_assert_eq!(ours.active().is_some(), theirs.active().is_some());
                let (Some(ours), Some(theirs)) = (ours.active(), theirs.active()) else { continue };
                check_pair(ours, theirs)?;
                check_pair(theirs, ours)?;
            }
            let answered = answerer.local().unwrap().clone();
            // A refresh of the same changes nothing on either side.
            let again = offerer.offer().unwrap();
            prop_assert_eq!(answerer.answer(&again).unwrap(), answered);
            offerer.accept_answer(&answer).unwrap();
        }
    }

    #[test]
    fn sides_with_nothing_in_common_both_say_so(
        names in Just(CODECS.to_vec()).prop_shuffle(),
        split in 1..CODECS.len(),
    ) {
        let of = |names: &[&str]| names.iter().map(|name| Codec::by_name(name).unwrap()).collect::<Vec<_>>();
        let (ours, theirs) = names.split_at(split);
        let mut a = side(Capability::telephone(of(ours)), 1);
        let mut b = side(Capability::telephone(of(theirs)), 2);
        let error = b.answer(&a.offer().unwrap()).unwrap_err();
        let refused = error.mismatch().unwrap().clone();
        let told = a.refused(Some(&b.capabilities()), None).unwrap();
        for mismatch in [&refused, &told] {
            let main = mismatch.main().unwrap();
            prop_assert_eq!(&main.rule, &Rule::NoCommonCodec);
            prop_assert_eq!(&main.offered, &ours);
            prop_assert_eq!(&main.supported, &theirs);
            prop_assert_eq!((mismatch.status(), mismatch.warning_code()), (488, 305));
        }
        prop_assert_eq!((refused.by, told.by), (Refuser::Local, Refuser::Remote));
        for name in names {
            let named = error.to_string().contains(name) && told.to_string().contains(name);
            prop_assert!(named, "{} is not in {}", name, error);
        }
    }
}
