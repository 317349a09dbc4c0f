//! Every way to refuse: the rule, the sentence, the status and the warning code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use denwa_sdp::attribute::security::SrtpSuite;
use denwa_sdp::*;

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const PRINT: &str =
    "a=fingerprint:sha-1 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33\r\na=setup:actpass\r\n";
const ICE: &str = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdabcdabcdabcdabcdabcd\r\n";

fn offer(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{media}")
}

fn plain() -> Capability {
    Capability::telephone([Codec::pcma(), Codec::pcmu()])
}

fn sdes(policy: Encryption) -> Capability {
    plain().with_encryption(EncryptionCapability::sdes(policy))
}

fn dtls(policy: Encryption) -> Capability {
    plain().with_encryption(EncryptionCapability::dtls(policy, LocalFingerprint::sha256([1; 32])))
}

fn side(capability: Capability) -> Negotiator {
    Negotiator::new(capability, vec![Transport::audio(([192, 0, 2, 2], 5000).into())], Seed([0; 32]))
}

/// The one rule, the sentence and the warning code of a refused offer.
fn refused(capability: Capability, media: &str) -> (Rule, String, u16) {
    let error = side(capability).answer(offer(media).as_bytes()).expect_err(media);
    let mismatch = error.mismatch().unwrap_or_else(|| panic!("{error}"));
    let expected = if matches!(mismatch.main().unwrap().rule, Rule::NoTransport) { 500 } else { 488 };
    assert_eq!(error.status(), expected);
    let code = mismatch.warning_code();
    assert_eq!(error.warning("pbx").unwrap(), format!("{code} pbx \"{error}\""));
    (mismatch.main().unwrap().rule.clone(), error.to_string(), code)
}

fn check(capability: Capability, media: &str, rule: &Rule, sentence: &str, code: u16) {
    assert_eq!(refused(capability, media), (rule.clone(), sentence.to_owned(), code));
}

#[test]
fn codecs() {
    check(
        plain(),
        "m=audio 1 RTP/AVP 18 4 96\r\na=rtpmap:96 opus/48000/2\r\n",
        &Rule::NoCommonCodec,
        "no common audio codec: the other side offers G729, G723 and opus, this side has PCMA and PCMU",
        305,
    );
    // Events and comfort noise are no sound.
    check(
        Capability::telephone([Codec::pcma(), Codec::comfort_noise()]),
        "m=audio 1 RTP/AVP 0 13 101\r\na=rtpmap:101 telephone-event/8000\r\n",
        &Rule::NoCommonCodec,
        "no common audio codec: the other side offers PCMU and CN, this side has PCMA and CN",
        305,
    );
    // A dynamic number that means nothing is nothing.
    check(
        plain(),
        "m=audio 1 RTP/AVP 96\r\n",
        &Rule::NoCommonCodec,
        "no common audio codec: the other side offers nothing known, this side has PCMA and PCMU",
        305,
    );
    let rule = Rule::IncompatibleParameters {
        codec: "AMR".into(),
        offered: "octet-align=1".into(),
        supported: "octet-align=0".into(),
    };
    check(
        Capability::telephone([Codec::new("AMR", 8_000).with("octet-align=0")]),
        "m=audio 1 RTP/AVP 96\r\na=rtpmap:96 AMR/8000\r\na=fmtp:96 octet-align=1\r\n",
        &rule,
        "audio codec AMR with parameters that do not fit: the other side offers octet-align=1, this side has octet-align=0",
        305,
    );
    let mut exact = Codec::g729(false);
    exact.matching = ParameterRule::Equal;
    let (rule, sentence, _) = refused(Capability::telephone([exact]), "m=audio 1 RTP/AVP 18\r\n");
    assert!(matches!(rule, Rule::IncompatibleParameters { .. }));
    assert_eq!(
        sentence,
        "audio codec G729 with parameters that do not fit: the other side offers none, this side has annexb=no"
    );
}

#[test]
fn encryption() {
    let savp = format!("m=audio 1 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    let tls = format!("m=audio 1 UDP/TLS/RTP/SAVP 0\r\n{PRINT}");
    check(
        plain(),
        &savp,
        &Rule::EncryptionUnsupported,
        "the other side requires encrypted audio, and this side does not encrypt",
        302,
    );
    check(
        sdes(Encryption::Required),
        "m=audio 1 RTP/AVP 0\r\n",
        &Rule::EncryptionRequired,
        "this side requires encrypted audio, and the other side offers only unencrypted audio",
        302,
    );
    check(
        sdes(Encryption::Required),
        &tls,
        &Rule::KeyExchange { offered: "DTLS", supported: "SDES" },
        "the other side encrypts audio with keys by DTLS, this side with keys by SDES",
        302,
    );
    check(
        dtls(Encryption::Offered),
        &savp,
        &Rule::KeyExchange { offered: "SDES", supported: "DTLS" },
        "the other side encrypts audio with keys by SDES, this side with keys by DTLS",
        302,
    );
    let mut strong = sdes(Encryption::Required);
    strong.encryption.sdes.as_mut().unwrap().suites = vec![SrtpSuite::AeadAes256Gcm];
    let rule = Rule::NoCommonSuite {
        offered: vec!["AES_CM_128_HMAC_SHA1_80".into()],
        supported: vec!["AEAD_AES_256_GCM".into()],
    };
    check(
        strong,
        &savp,
        &rule,
        "no common encryption for audio: the other side offers AES_CM_128_HMAC_SHA1_80, this side has AEAD_AES_256_GCM",
        302,
    );
    let keyless = "the other side announces encrypted audio and gives no key that can be used";
    for lines in ["", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n"] {
        let media = format!("m=audio 1 RTP/SAVP 0\r\n{lines}");
        check(sdes(Encryption::Offered), &media, &Rule::KeyMissing, keyless, 307);
    }
    // Weaker than asked for is not taken unawares.
    let weak = format!(
        "m=audio 1 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY} UNENCRYPTED_SRTP\r\n"
    );
    check(sdes(Encryption::Offered), &weak, &Rule::KeyMissing, keyless, 307);
    check(
        dtls(Encryption::Offered),
        "m=audio 1 UDP/TLS/RTP/SAVP 0\r\na=setup:actpass\r\n",
        &Rule::FingerprintMissing,
        "the other side announces audio encrypted by DTLS and gives no usable certificate fingerprint",
        307,
    );
    check(
        dtls(Encryption::Required),
        &tls.replace("actpass", "holdconn"),
        &Rule::Setup { said: "holdconn" },
        "the DTLS role for audio cannot be settled: the other side says setup:holdconn",
        307,
    );
}

#[test]
fn transports() {
    check(
        plain(),
        "m=audio 1 TCP/RTP/AVP 0\r\n",
        &Rule::Profile { offered: Profile::Other("TCP/RTP/AVP".into()) },
        "this side does not know the transport TCP/RTP/AVP that the other side offers for audio",
        302,
    );
    check(
        plain(),
        "m=audio 1 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n",
        &Rule::Family { ipv6: true },
        "the other side offers audio over IPv6, and this side has no IPv6 address",
        301,
    );
    check(
        plain(),
        "m=audio 1 RTP/AVP 0\r\nc=IN IP4 233.252.0.1/127\r\n",
        &Rule::Multicast,
        "the other side offers audio by multicast, and this side has unicast only",
        330,
    );
    check(
        plain().with_ice(Ice::Required),
        "m=audio 1 RTP/AVP 0\r\n",
        &Rule::IceRequired,
        "this side requires ICE for audio, and the other side does not offer it",
        399,
    );
    let mut muxed = plain();
    muxed.rtcp_mux = RtcpMux::Required;
    check(
        muxed,
        "m=audio 1 RTP/AVP 0\r\n",
        &Rule::RtcpMux { offered: false },
        "this side insists on RTCP on the port of audio, and the other side does not offer it",
        302,
    );
    check(
        plain(),
        "m=audio 1 RTP/AVP 0\r\na=rtcp-mux-only\r\n",
        &Rule::RtcpMux { offered: true },
        "the other side insists on RTCP on the port of audio, and this side uses another port",
        302,
    );
    let mut full = Negotiator::new(plain(), Vec::new(), Seed([0; 32]));
    let error = full.answer(offer("m=audio 1 RTP/AVP 0\r\n").as_bytes()).unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (500, "this side has no port left for audio"));
    let nowhere = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 1 RTP/AVP 0\r\n";
    let error = side(plain()).answer(nowhere.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the other side gives no address for audio");
}

#[test]
fn ice_mismatch() {
    // Something rewrote `c=` and not the candidates.
    let media = format!("m=audio 1 RTP/AVP 0\r\n{ICE}a=candidate:1 1 UDP 1 10.0.0.1 1 typ host\r\n");
    let with_ice = |ice| {
        let transport = Transport::audio(([192, 0, 2, 2], 5000).into()).with_ice(LocalIce {
            ufrag: "abcd".into(),
            password: "abcdabcdabcdabcdabcdabcd".into(),
            candidates: vec!["1 1 UDP 1 192.0.2.2 5000 typ host".into()],
            complete: true,
        });
        Negotiator::new(plain().with_ice(ice), vec![transport], Seed([0; 32]))
    };
    let error = with_ice(Ice::Required).answer(offer(&media).as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the address for audio is not among the ICE candidates: something on the way rewrote it"
    );
    let mut lenient = with_ice(Ice::Full);
    let answer = lenient.answer(offer(&media).as_bytes()).unwrap();
    let answer = std::str::from_utf8(&answer).unwrap();
    assert!(answer.contains("a=ice-mismatch\r\n") && !answer.contains("a=candidate"), "{answer}");
    assert_eq!(lenient.agreed().unwrap().audio().unwrap().ice, None);
}

#[test]
fn kinds_and_counts() {
    let error = side(plain())
        .answer(offer("m=video 1 RTP/AVP 31\r\nm=text 2 RTP/AVP 98\r\n").as_bytes())
        .unwrap_err();
    assert_eq!(error.to_string(), "this side does not take video; this side does not take text");
    assert_eq!(error.mismatch().unwrap().warning_code(), 304);
    // What explains most comes first; a kind that is not there is the lesser reason.
    let error = side(plain())
        .answer(offer("m=video 1 RTP/AVP 31\r\nm=audio 2 RTP/AVP 18\r\n").as_bytes())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no common audio codec: the other side offers G729, this side has PCMA and PCMU; this side does not take video"
    );
    let mut one = side(plain());
    one.answer(offer("m=audio 1 RTP/AVP 0\r\nm=audio 2 RTP/AVP 0\r\n").as_bytes()).unwrap();
    let rules: Vec<_> =
        one.agreed().unwrap().rejected().map(|medium| (medium.slot, medium.rule.clone())).collect();
    assert_eq!(rules, [(1, Rule::TooMany)]);
    // Nothing was offered: nothing was refused.
    let mut none = side(plain());
    none.answer(offer("").as_bytes()).unwrap();
    none.answer(offer("m=audio 0 RTP/AVP 0\r\n").as_bytes()).unwrap();
    assert_eq!(none.agreed().unwrap().media, [AgreedMedium::Removed]);
}

#[test]
fn answers_are_refused_too() {
    let answered = |capability: Capability, media: &str| {
        let mut side = side(capability);
        side.offer().unwrap();
        let error = side.accept_answer(offer(media).as_bytes()).expect_err(media);
        assert_eq!(side.state(), State::Stable, "the offer is rolled back");
        error.to_string()
    };
    assert_eq!(
        answered(plain(), "m=audio 0 RTP/AVP 8\r\n"),
        "the other side refused audio without a reason: this side offered PCMA and PCMU"
    );
    assert_eq!(answered(plain(), ""), "the other side left audio out of its answer");
    assert_eq!(answered(plain(), "m=video 1 RTP/AVP 8\r\n"), "the other side answered audio with video");
    assert_eq!(
        answered(plain(), "m=audio 1 RTP/AVP 18\r\n"),
        "no common audio codec: this side offers PCMA and PCMU, the other side has G729"
    );
    assert_eq!(
        answered(sdes(Encryption::Required), "m=audio 1 RTP/AVP 8\r\n"),
        "this side requires encrypted audio, and the other side answers with only unencrypted audio"
    );
    assert_eq!(
        answered(dtls(Encryption::Required), "m=audio 1 UDP/TLS/RTP/SAVP 8\r\n"),
        "the other side announces audio encrypted by DTLS and gives no usable certificate fingerprint"
    );
    // An answer that cannot be read leaves the offer waiting: a retransmission may be whole.
    let mut side = side(plain());
    side.offer().unwrap();
    assert_eq!(side.accept_answer(b"v=0\r\nm=audio").unwrap_err().status(), 400);
    assert_eq!(side.state(), State::HaveLocalOffer);
}

#[test]
fn a_refusal_by_response_tells_what_is_known() {
    let refused = |body: Option<&[u8]>, warning: Option<&str>| {
        let mut side = side(plain());
        side.offer().unwrap();
        side.refused(body, warning).unwrap().to_string()
    };
    assert_eq!(
        refused(None, None),
        "the other side refused audio without a reason: this side offered PCMA and PCMU"
    );
    assert_eq!(
        refused(None, Some("Media type not available")),
        "the other side refused audio: Media type not available (this side offered PCMA and PCMU)"
    );
    let able = side(Capability::new([MediaCapability::fax(FaxCapability::default())])).capabilities();
    assert_eq!(refused(Some(&able), None), "the other side does not take audio");
    assert_eq!(side(plain()).refused(None, None), Err(Misuse::NoLocalOffer));
}

#[test]
fn a_warning_cannot_break_its_header() {
    let media = "m=audio 1 RTP/AVP 96\r\na=rtpmap:96 a\"b\\c\u{7f}/8000\r\n";
    let error = side(plain()).answer(offer(media).as_bytes()).unwrap_err();
    let warning = error.warning("a b\"c\r\n").unwrap();
    assert!(
        warning.starts_with("305 abc \"no common audio codec: the other side offers a\\\"b\\\\c "),
        "{warning}"
    );
    let many: String = (0..40).map(|number| format!("a=rtpmap:{number} C{number}/8000\r\n")).collect();
    let numbers: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let media = format!("m=audio 1 RTP/AVP {}\r\n{many}", numbers.join(" "));
    let error = side(plain()).answer(offer(&media).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("C11 and 28 more, this side has"), "{error}");
}

#[test]
fn misuse_is_told() {
    let mut side = side(plain());
    assert_eq!(side.make_answer().unwrap_err(), NegotiationError::Misuse(Misuse::NoRemoteOffer));
    assert_eq!(side.decline(), Err(Misuse::NoRemoteOffer));
    assert_eq!(side.accept_answer(b"v=0\r\n").unwrap_err(), NegotiationError::Misuse(Misuse::NoLocalOffer));
    assert_eq!(side.set_direction(0, Direction::Inactive), Err(Misuse::NoSuchMedium));
    assert_eq!(side.remove_medium(3), Err(Misuse::NoSuchMedium));
    assert_eq!(side.change_medium(0, Kind::Video), Err(Misuse::NoSuchKind));
    let video = Transport::new(Kind::Video, ([192, 0, 2, 2], 6000).into());
    assert_eq!(side.add_medium(video), Err(Misuse::NoSuchKind));
    let mut portless = Negotiator::new(plain(), Vec::new(), Seed([0; 32]));
    assert_eq!(portless.offer(), Err(Misuse::NoTransport));
    assert_eq!(portless.state(), State::Stable);
}
