//! Targets of `sdp`.

use denwa_sdp::{
    Attribute, Capability, Codec, Description, Direction, Editor, Encryption, EncryptionCapability,
    FaxCapability, HoldStyle, Ice, Kind, LocalFingerprint, LocalIce, MediaCapability, Negotiator,
    ParseOptions, RemoteDescription, RtcpMux, Seed, State, Transport,
};

use crate::Target;

/// Name and body of each.
pub const TARGETS: &[Target] = &[("sdp_parse", parse), ("sdp_answer", answer)];

/// What is read is written back byte for byte, whatever reader it is; typed attributes survive their own text.
fn parse(bytes: &[u8]) {
    let strict = ParseOptions { strict: true, ..ParseOptions::default() };
    let fragment = ParseOptions { fragment: true, ..ParseOptions::default() };
    let _ = Description::parse_with(bytes, &fragment);
    let accepted_strictly = Description::parse_with(bytes, &strict).is_ok();
    let Ok(description) = Description::parse(bytes) else {
        assert!(!accepted_strictly, "a strict reader takes what a forgiving one refuses");
        return;
    };
    let written = description.to_bytes();
    assert_eq!(&*written, bytes);
    assert_eq!(Description::parse(&written).as_ref(), Ok(&description));
    assert_eq!(Editor::new(&description).into_bytes(), bytes);
    let media: Vec<_> = description.media().collect();
    let all = description.attributes().chain(media.iter().flat_map(|medium| medium.attributes()));
    for line in all {
        if let Ok(attribute) = line.typed() {
            let text = attribute.to_string();
            assert_eq!(Attribute::parse(&text), Ok(attribute), "{text}");
            if let Attribute::Crypto(crypto) = attribute {
                let _ = crypto.keys().count() + crypto.parameters().count();
            }
        }
    }
    let _ = RemoteDescription::read(&description);
}

/// The first byte chooses what this side can do; the rest are offers and answers with NULs between. Every answer is
/// strict, keeps the media of its offer, and leaves the machine ready for the next.
fn answer(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let mut side = side(*how);
    for (number, body) in rest.split(|byte| *byte == 0).take(4).enumerate() {
        if number > 0 && how & 0x80 != 0 {
            // Our turn: whatever comes back, is an answer.
            if number == 2 {
                side.hold(HoldStyle::ZeroAddress, Direction::SendOnly);
            }
            if let Ok(offer) = side.offer() {
                assert!(read_strictly(&offer).is_some());
                let _ = side.accept_answer(body).map(|agreed| agreed.active().count());
                side.rollback();
            }
            continue;
        }
        match side.answer(body) {
            Ok(answer) => check(body, &answer),
            Err(error) => assert!(!error.to_string().is_empty() && error.status() >= 400),
        }
        assert_eq!(side.state(), State::Stable);
    }
}

fn check(offer: &[u8], answer: &[u8]) {
    let offer = Description::parse(offer).map(|offer| RemoteDescription::read(&offer));
    let (Ok(offer), Some(answer)) = (offer, read_strictly(answer)) else {
        panic!("an answer that is not strict, or to an offer that cannot be read")
    };
    assert_eq!(offer.media.len(), answer.media.len());
    for (offered, answered) in offer.media.iter().zip(&answer.media) {
        assert_eq!((&offered.kind, &offered.profile), (&answered.kind, &answered.profile));
        assert!(offered.is_live() || !answered.is_live());
        if answered.is_live() {
            // "08" is 8.
            let is = |ours: &str, theirs: &str| ours == theirs.trim_start_matches('0') || ours == theirs;
            let known = |ours: &String| offered.format_names.iter().any(|theirs| is(ours, theirs));
            assert!(answered.format_names.iter().all(|format| format == "0" || known(format)));
        }
    }
}

fn read_strictly(body: &[u8]) -> Option<RemoteDescription> {
    let strict = ParseOptions { strict: true, ..ParseOptions::default() };
    Description::parse_with(body, &strict).ok().map(|read| RemoteDescription::read(&read))
}

fn side(how: u8) -> Negotiator {
    let names: &[&str] =
        if how & 1 == 0 { &["PCMA", "PCMU"] } else { &["opus", "G729", "iLBC", "AMR", "PCMU"] };
    let codecs = names.iter().filter_map(|name| Codec::by_name(name));
    let mut capability = Capability::new([
        MediaCapability::audio(codecs),
        MediaCapability::rtp(Kind::Video, Codec::by_name("VP8")),
        MediaCapability::fax(FaxCapability::default()),
    ]);
    let fingerprint = LocalFingerprint::sha256([7; 32]);
    let policy = if how & 8 == 0 { Encryption::Offered } else { Encryption::Required };
    capability.encryption = match how >> 1 & 3 {
        0 => EncryptionCapability::none(),
        1 => EncryptionCapability::sdes(policy),
        2 => EncryptionCapability::dtls(policy, fingerprint),
        _ => EncryptionCapability {
            sdes: EncryptionCapability::sdes(policy).sdes,
            ..EncryptionCapability::dtls(policy, fingerprint)
        },
    };
    capability.bundle = how & 0x10 != 0;
    capability.rtcp_mux = if how & 0x20 != 0 { RtcpMux::Offered } else { RtcpMux::Off };
    capability.ice = if how & 0x40 != 0 { Ice::Full } else { Ice::Off };
    let transports = [(Kind::Audio, 4000), (Kind::Video, 4002), (Kind::Image, 4004)].map(|(kind, port)| {
        Transport::new(kind, ([192, 0, 2, 1], port).into()).with_ice(LocalIce {
            ufrag: "denwa".into(),
            password: "denwadenwadenwadenwa1234".into(),
            candidates: vec![format!("1 1 UDP 1 192.0.2.1 {port} typ host")],
            complete: how & 0x80 == 0,
        })
    });
    Negotiator::new(capability, transports.to_vec(), Seed([how; 32]))
}
