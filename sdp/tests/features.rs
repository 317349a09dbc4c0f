//! Encryption, ICE, bundling, fax, telephone events, packet times: each agreed on between two sides of this engine, or
//! with what the field sends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use denwa_sdp::attribute::parameters::EventSet;
use denwa_sdp::attribute::security::{Setup, SrtpSuite};
use denwa_sdp::*;

fn transport(kind: Kind, address: &str) -> Transport {
    Transport::new(kind, address.parse().unwrap())
}

fn side(capability: Capability, number: u8) -> Negotiator {
    let audio = transport(Kind::Audio, &format!("192.0.2.{number}:4000"));
    Negotiator::new(capability, vec![audio], Seed([number; 32]))
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

fn offer(media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{media}")
}

fn exchange(offerer: &mut Negotiator, answerer: &mut Negotiator) -> (ActiveMedium, ActiveMedium) {
    let offer = offerer.offer().unwrap();
    let answer = answerer.answer(&offer).unwrap_or_else(|error| panic!("{error}\n{}", text(&offer)));
    let theirs = answerer.agreed().unwrap().active().next().unwrap().clone();
    let ours = offerer.accept_answer(&answer).unwrap_or_else(|error| panic!("{error}\n{}", text(&answer)));
    (ours.active().next().unwrap().clone(), theirs)
}

fn phone(encryption: EncryptionCapability) -> Capability {
    Capability::telephone([Codec::pcma(), Codec::pcmu()]).with_encryption(encryption)
}

fn sdes(policy: Encryption) -> EncryptionCapability {
    EncryptionCapability::sdes(policy)
}

fn dtls(policy: Encryption, byte: u8) -> EncryptionCapability {
    EncryptionCapability::dtls(policy, LocalFingerprint::sha256([byte; 32]))
}

fn keys(medium: &ActiveMedium) -> &AgreedSdes {
    match &medium.encryption {
        AgreedEncryption::Sdes(sdes) => sdes,
        other => panic!("{other:?}"),
    }
}

fn handshake(medium: &ActiveMedium) -> &AgreedDtls {
    match &medium.encryption {
        AgreedEncryption::Dtls(dtls) => dtls,
        other => panic!("{other:?}"),
    }
}

// ---- encryption

#[test]
fn best_effort_is_offered_and_taken_in_one_medium() {
    let (mut a, mut b) =
        (side(phone(sdes(Encryption::Offered)), 1), side(phone(sdes(Encryption::Offered)), 2));
    let (ours, theirs) = exchange(&mut a, &mut b);
    assert_eq!(ours.profile, Profile::Avp, "RFC 8643: the plain profile, with keys");
    assert_eq!(keys(&ours).send, keys(&theirs).receive);
    assert_eq!(keys(&theirs).send, keys(&ours).receive);
    // A phone that knows nothing of it answers plainly, and that is fine.
    let mut plain = side(phone(EncryptionCapability::none()), 3);
    let mut a = side(phone(sdes(Encryption::Offered)), 1);
    let (ours, theirs) = exchange(&mut a, &mut plain);
    assert_eq!((&ours.encryption, &theirs.encryption), (&AgreedEncryption::None, &AgreedEncryption::None));
}

#[test]
fn best_effort_is_offered_and_taken_in_two_media() {
    let two = || {
        let mut all = sdes(Encryption::Offered);
        all.best_effort = BestEffort::TwoMedia;
        phone(all)
    };
    let mut a = side(two(), 1);
    let offer = text(&a.offer().unwrap());
    assert!(
        offer.contains("m=audio 4000 RTP/SAVP 8 0 101\r\n")
            && offer.contains("m=audio 4000 RTP/AVP 8 0 101\r\n")
    );
    a.rollback();
    // Who can encrypt takes the first, who cannot takes the second; the other one is no fault.
    for (policy, secure) in
        [(Encryption::Offered, true), (Encryption::Required, true), (Encryption::None, false)]
    {
        let (mut a, mut b) = (side(two(), 1), side(phone(sdes(policy)), 2));
        let offer = a.offer().unwrap();
        let answer = b.answer(&offer).unwrap();
        let agreed = a.accept_answer(&answer).unwrap();
        assert_eq!(agreed.active().count(), 1);
        let audio = agreed.audio().unwrap();
        assert_eq!(audio.profile.is_secure(), secure);
        assert_eq!(matches!(audio.encryption, AgreedEncryption::Sdes(_)), secure);
        let rules: Vec<_> = agreed.rejected().map(|medium| &medium.rule).collect();
        assert_eq!(rules, [&Rule::AlternativeTaken]);
    }
    // The plain one before the encrypted one, as some write it: the encrypted one is taken all the same.
    let mut b = side(phone(sdes(Encryption::Offered)), 2);
    let key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let media = format!(
        "m=audio 1 RTP/AVP 0\r\nm=audio 1 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"
    );
    b.answer(offer_text(&media).as_bytes()).unwrap();
    assert_eq!(b.agreed().unwrap().audio().unwrap().slot, 1);
}

fn offer_text(media: &str) -> String {
    offer(media)
}

#[test]
fn keys_stay_over_a_re_invite_until_they_are_changed() {
    let (mut a, mut b) =
        (side(phone(sdes(Encryption::Required)), 1), side(phone(sdes(Encryption::Required)), 2));
    let (first, _) = exchange(&mut a, &mut b);
    a.hold(HoldStyle::Direction, Direction::SendOnly);
    let (held, _) = exchange(&mut a, &mut b);
    assert_eq!(keys(&first), keys(&held));
    // The other side offers: the same keys again.
    let (theirs, ours) = exchange(&mut b, &mut a);
    assert_eq!(keys(&ours), keys(&first));
    assert_eq!(keys(&theirs).send, keys(&first).receive);
    a.change_keys();
    let (changed, _) = exchange(&mut a, &mut b);
    assert_ne!(keys(&changed).send.key, keys(&first).send.key);
    assert_eq!(keys(&changed).receive, keys(&first).receive);
}

#[test]
fn every_part_of_a_key_is_handed_on() {
    let mut b = side(phone(sdes(Encryption::Offered)), 2);
    let media = "m=audio 1 RTP/SAVP 0\r\n\
        a=crypto:3 AES_CM_128_HMAC_SHA1_80 \
        inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4;inline:PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR|2^20|2:4 \
        KDR=10 WSH=128 -MINE\r\n";
    let answer = text(&b.answer(offer(media).as_bytes()).unwrap());
    assert!(answer.contains("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:"), "{answer}");
    let agreed = keys(b.agreed().unwrap().audio().unwrap());
    let receive = &agreed.receive;
    assert_eq!(
        (receive.suite, receive.lifetime, receive.mki),
        (SrtpSuite::AesCm128HmacSha1_80, Some(1 << 20), Some((1, 4)))
    );
    assert_eq!(receive.key_derivation_rate, Some(10));
    assert_eq!((receive.key.len(), receive.salt.len()), (16, 14));
    assert_eq!(agreed.receive_others.len(), 1);
    assert_eq!(agreed.receive_others[0].mki, Some((2, 4)));
    assert!(!format!("{agreed:?}").contains("key: "), "keys stay out of logs");
}

#[test]
fn a_suite_is_chosen_that_both_know() {
    let with = |suites: &[SrtpSuite]| {
        let mut all = sdes(Encryption::Required);
        all.sdes.as_mut().unwrap().suites = suites.to_vec();
        phone(all)
    };
    let (one, two, three) =
        (SrtpSuite::AeadAes256Gcm, SrtpSuite::AesCm256HmacSha1_80, SrtpSuite::AesCm128HmacSha1_80);
    let (mut a, mut b) = (side(with(&[one, two, three]), 1), side(with(&[three, two]), 2));
    let (ours, theirs) = exchange(&mut a, &mut b);
    assert_eq!((keys(&ours).send.suite, keys(&theirs).send.suite), (two, two), "the offerer's order");
    assert_eq!(keys(&ours).send.key.len(), 32);
}

#[test]
fn dtls_roles_are_settled_and_kept() {
    let (mut a, mut b) =
        (side(phone(dtls(Encryption::Required, 1)), 1), side(phone(dtls(Encryption::Required, 2)), 2));
    let (ours, theirs) = exchange(&mut a, &mut b);
    assert_eq!((handshake(&ours).role, handshake(&theirs).role), (DtlsRole::Server, DtlsRole::Client));
    assert_eq!(handshake(&ours).fingerprints[0].bytes, [2; 32]);
    assert!(handshake(&ours).new_association);
    // The other side offers now: who was the client stays it, and nothing is made anew.
    let (theirs, ours) = exchange(&mut b, &mut a);
    assert_eq!((handshake(&ours).role, handshake(&theirs).role), (DtlsRole::Server, DtlsRole::Client));
    assert!(!handshake(&ours).new_association && !handshake(&theirs).new_association);
    // Who would rather wait, waits.
    let mut waits = phone(dtls(Encryption::Required, 3));
    waits.encryption.dtls.as_mut().unwrap().setup = Setup::Passive;
    let (ours, theirs) = exchange(&mut side(phone(dtls(Encryption::Required, 1)), 1), &mut side(waits, 2));
    assert_eq!((handshake(&ours).role, handshake(&theirs).role), (DtlsRole::Client, DtlsRole::Server));
}

/// WebRTC is told who sends (RFC 8829 §5.2.1); a telephone is spared it.
#[test]
fn the_source_is_told_where_keys_come_by_dtls() {
    let source = LocalSource { ssrc: 7, cname: "x".into() };
    let transport = Transport::audio("192.0.2.1:4000".parse().unwrap()).with_source(source);
    for (capability, told) in
        [(phone(dtls(Encryption::Required, 1)), 1), (phone(EncryptionCapability::none()), 0)]
    {
        let new = |seed| Negotiator::new(capability.clone(), vec![transport.clone()], Seed([seed; 32]));
        let offer = new(1).offer().unwrap();
        let answer = new(2).answer(&offer).unwrap();
        for text in [offer, answer] {
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!(text.matches("a=ssrc:7 cname:x\r\n").count(), told, "{text}");
        }
    }
}

#[test]
fn several_fingerprints_are_kept() {
    let mut b = side(phone(dtls(Encryption::Offered, 1)), 2);
    let (short, long) = (vec!["aa"; 20].join(":"), vec!["CC"; 32].join(":"));
    let media = format!(
        "m=audio 1 UDP/TLS/RTP/SAVP 0\r\na=setup:active\r\na=fingerprint:SHA-1 {short}\r\na=fingerprint:sha-256 {long}\r\n"
    );
    b.answer(offer(&media).as_bytes()).unwrap();
    let agreed = handshake(b.agreed().unwrap().audio().unwrap()).clone();
    let prints: Vec<_> =
        agreed.fingerprints.iter().map(|print| (print.hash.as_str(), print.bytes.clone())).collect();
    assert_eq!(prints, [("sha-1", vec![0xaa; 20]), ("sha-256", vec![0xcc; 32])]);
    assert_eq!(agreed.role, DtlsRole::Server);
    // Before the media, for all of them.
    let session =
        offer(&format!("a=setup:actpass\r\na=fingerprint:sha-1 {short}\r\nm=audio 1 RTP/SAVPF 0\r\n"));
    let mut b = side(phone(dtls(Encryption::Offered, 1)), 2);
    b.answer(session.as_bytes()).unwrap();
    assert_eq!(handshake(b.agreed().unwrap().audio().unwrap()).fingerprints[0].bytes, [0xaa; 20]);
}

#[test]
fn fingerprints_that_prove_nothing_are_none() {
    // MD5 must not be used (RFC 8122 §5), and a hash that is too short is of no certificate.
    let (md5, sha1) = (vec!["00"; 16].join(":"), vec!["00"; 20].join(":"));
    for print in
        [format!("md5 {md5}"), "sha-256 AA:BB".into(), format!("sha-256 {sha1}"), format!("x {sha1}")]
    {
        let lines = format!("a=setup:actpass\r\na=fingerprint:{print}\r\n");
        let mut b = side(phone(dtls(Encryption::Offered, 1)), 2);
        let error =
            b.answer(offer(&format!("m=audio 1 UDP/TLS/RTP/SAVP 0\r\n{lines}")).as_bytes()).unwrap_err();
        assert_eq!(error.mismatch().unwrap().main().unwrap().rule, Rule::FingerprintMissing, "{print}");
        // Where it was only offered, the call goes on in the clear.
        let mut b = side(phone(dtls(Encryption::Offered, 1)), 2);
        let answer = text(&b.answer(offer(&format!("m=audio 1 RTP/AVP 0\r\n{lines}")).as_bytes()).unwrap());
        assert!(!answer.contains("fingerprint"), "{print}: {answer}");
    }
}

#[test]
fn an_answer_has_the_times_of_the_offer() {
    // RFC 3264 §6, and for whatever comes later in the session.
    let times = "t=3034423619 3042462419\r\nt=3134423619 0\r\n";
    let offered = offer("m=audio 1 RTP/AVP 0\r\n").replace("t=0 0\r\n", times);
    let mut b = side(phone(EncryptionCapability::none()), 2);
    let answer = text(&b.answer(offered.as_bytes()).unwrap());
    assert!(answer.contains(&format!("\r\n{times}m=audio")), "{answer}");
    b.hold(HoldStyle::Direction, Direction::SendOnly);
    assert!(text(&b.offer().unwrap()).contains(times));
    let mut b = side(phone(EncryptionCapability::none()), 2);
    b.receive_offer(offered.as_bytes()).unwrap();
    assert!(text(&b.decline().unwrap()).contains(times));
}

#[test]
fn an_answer_asks_for_no_longer_packets_than_the_offerer_takes() {
    for (lines, asked) in [
        ("a=ptime:40\r\na=maxptime:20\r\n", "a=ptime:20\r\n"),
        ("a=ptime:20\r\na=maxptime:40\r\n", "a=ptime:20\r\n"),
    ] {
        let mut b = side(phone(EncryptionCapability::none()), 2);
        let answer = text(&b.answer(offer(&format!("m=audio 1 RTP/AVP 0\r\n{lines}")).as_bytes()).unwrap());
        assert!(answer.contains(asked), "{answer}");
    }
}

#[test]
fn held_by_the_ipv6_address_that_is_none_is_answered_over_ipv6() {
    let both = || {
        let mut audio = transport(Kind::Audio, "192.0.2.2:4000");
        audio.addresses.push("[2001:db8::2]:4000".parse().unwrap());
        Negotiator::new(phone(EncryptionCapability::none()), vec![audio], Seed([2; 32]))
    };
    let held = |address: &str| offer("m=audio 1 RTP/AVP 0\r\n").replace("c=IN IP4 192.0.2.9", address);
    assert!(text(&both().answer(held("c=IN IP6 ::").as_bytes()).unwrap()).contains("c=IN IP6 2001:db8::2"));
    // But a call that is there stays where it is, whatever the zeros look like.
    let mut b = both();
    b.answer(held("c=IN IP6 2001:db8::9").as_bytes()).unwrap();
    let again = held("c=IN IP4 0.0.0.0").replace("o=- 1 1 ", "o=- 1 2 ");
    assert!(text(&b.answer(again.as_bytes()).unwrap()).contains("c=IN IP6 2001:db8::2"));
}

#[test]
fn both_ways_of_agreeing_on_keys_may_be_there() {
    let both = |preferred| {
        let mut all = dtls(Encryption::Required, 1);
        all.sdes = Some(SdesCapability::default());
        all.preferred = preferred;
        phone(all)
    };
    for (preferred, other, expected) in [
        (KeyExchange::Dtls, dtls(Encryption::Required, 2), Profile::DtlsSavp),
        (KeyExchange::Sdes, sdes(Encryption::Required), Profile::Savp),
    ] {
        let (ours, _) = exchange(&mut side(both(preferred), 1), &mut side(phone(other.clone()), 2));
        assert_eq!(ours.profile, expected);
        // And as the answerer it takes whatever comes.
        let (_, theirs) = exchange(&mut side(phone(other), 1), &mut side(both(preferred), 2));
        assert_eq!(theirs.profile, expected);
    }
}

// ---- ICE

fn ice(letter: char, address: &str) -> LocalIce {
    LocalIce {
        ufrag: letter.to_string().repeat(4),
        password: letter.to_string().repeat(24),
        candidates: vec![format!("1 1 UDP 2130706431 {address} 4000 typ host")],
        complete: true,
    }
}

fn ice_side(mode: Ice, number: u8) -> Negotiator {
    let address = format!("192.0.2.{number}");
    let transport = transport(Kind::Audio, &format!("{address}:4000")).with_ice(ice('a', &address));
    Negotiator::new(phone(EncryptionCapability::none()).with_ice(mode), vec![transport], Seed([number; 32]))
}

#[test]
fn ice_is_agreed_on_with_roles() {
    for (a, b, controls) in [
        (Ice::Full, Ice::Full, (true, false)),
        (Ice::Lite, Ice::Full, (false, true)),
        (Ice::Full, Ice::Lite, (true, false)),
        (Ice::Lite, Ice::Lite, (true, false)),
        (Ice::Required, Ice::Required, (true, false)),
    ] {
        let (ours, theirs) = exchange(&mut ice_side(a, 1), &mut ice_side(b, 2));
        let (ours, theirs) = (ours.ice.unwrap(), theirs.ice.unwrap());
        assert_eq!((ours.controlling, theirs.controlling), controls, "{a:?} {b:?}");
        assert_eq!((ours.lite, theirs.lite), (b == Ice::Lite, a == Ice::Lite));
        assert_eq!(ours.candidates, ["1 1 UDP 2130706431 192.0.2.2 4000 typ host"]);
        assert!(ours.end_of_candidates && !ours.restarted);
    }
    let (ours, theirs) = exchange(&mut ice_side(Ice::Full, 1), &mut ice_side(Ice::Off, 2));
    assert_eq!((ours.ice, theirs.ice), (None, None), "one end without it: none");
}

#[test]
fn an_ice_restart_is_seen() {
    let (mut a, mut b) = (ice_side(Ice::Full, 1), ice_side(Ice::Full, 2));
    exchange(&mut a, &mut b);
    let (_, theirs) = exchange(&mut a, &mut b);
    assert!(!theirs.ice.unwrap().restarted, "a refresh is none");
    a.set_transport(0, transport(Kind::Audio, "192.0.2.1:4000").with_ice(ice('b', "192.0.2.1"))).unwrap();
    let (_, theirs) = exchange(&mut a, &mut b);
    let theirs = theirs.ice.unwrap();
    assert!(theirs.restarted && theirs.ufrag == "bbbb");
}

#[test]
fn trickled_candidates_are_announced() {
    let mut a = Negotiator::new(
        phone(EncryptionCapability::none()).with_ice(Ice::Full),
        vec![transport(Kind::Audio, "192.0.2.1:4000").with_ice(LocalIce {
            candidates: Vec::new(),
            complete: false,
            ..ice('a', "192.0.2.1")
        })],
        Seed([1; 32]),
    );
    let offer = text(&a.offer().unwrap());
    assert!(
        offer.contains("a=ice-options:ice2 trickle\r\n") && !offer.contains("end-of-candidates"),
        "{offer}"
    );
}

#[test]
fn with_ice_the_family_of_the_default_address_does_not_matter() {
    let mut b = ice_side(Ice::Full, 2);
    let media =
        "m=audio 9 RTP/AVP 0\r\nc=IN IP6 ::\r\na=ice-ufrag:cccc\r\na=ice-pwd:cccccccccccccccccccccccc\r\n";
    b.answer(offer(media).as_bytes()).unwrap();
    let audio = b.agreed().unwrap().audio().unwrap();
    assert_eq!((audio.direction, audio.hold, &audio.remote_rtp), (Direction::SendRecv, Hold::None, &None));
    assert!(audio.ice.is_some());
}

// ---- families and addresses

#[test]
fn the_family_of_the_offer_is_answered_and_kept() {
    let dual = |number: u8| {
        let mut both = transport(Kind::Audio, &format!("192.0.2.{number}:4000"));
        both.addresses.push(format!("[2001:db8::{number}]:4000").parse().unwrap());
        Negotiator::new(phone(EncryptionCapability::none()), vec![both], Seed([number; 32]))
    };
    let mut b = dual(2);
    let answer =
        text(&b.answer(offer("m=audio 1 RTP/AVP 0\r\nc=IN IP6 2001:db8::9\r\n").as_bytes()).unwrap());
    assert!(answer.contains("c=IN IP6 2001:db8::2\r\n"), "{answer}");
    let again = text(&b.offer().unwrap());
    assert!(again.contains("c=IN IP6 2001:db8::2\r\n"), "{again}");
}

#[test]
fn rtcp_goes_where_it_is_told() {
    let mut b = side(phone(EncryptionCapability::none()), 2);
    for (lines, expected) in [
        ("", "192.0.2.9:50001"),
        ("a=rtcp:6000\r\n", "192.0.2.9:6000"),
        ("a=rtcp:6000 IN IP4 192.0.2.8\r\n", "192.0.2.8:6000"),
    ] {
        b.answer(offer(&format!("m=audio 50000 RTP/AVP 0\r\n{lines}")).as_bytes()).unwrap();
        let rtcp = b.agreed().unwrap().audio().unwrap().remote_rtcp.clone();
        assert_eq!(rtcp.unwrap().socket(), Some(expected.parse().unwrap()));
    }
    // Our own odd port is told, and a shared one is shared by both only.
    let mut transport = transport(Kind::Audio, "192.0.2.1:4000");
    transport.rtcp_port = Some(4007);
    let mut capability = phone(EncryptionCapability::none());
    capability.rtcp_mux = RtcpMux::Offered;
    let mut a = Negotiator::new(capability.clone(), vec![transport], Seed([1; 32]));
    let offer = text(&a.offer().unwrap());
    assert!(offer.contains("a=rtcp:4007\r\n") && offer.contains("a=rtcp-mux\r\n"), "{offer}");
    a.rollback();
    let (ours, theirs) = exchange(&mut a, &mut side(phone(EncryptionCapability::none()), 2));
    assert!(!ours.rtcp_mux && !theirs.rtcp_mux);
    assert_eq!(theirs.remote_rtcp.unwrap().port(), 4007);
    let (ours, theirs) = exchange(&mut a, &mut side(capability, 2));
    assert!(ours.rtcp_mux && theirs.rtcp_mux);
    assert_eq!(theirs.remote_rtcp, theirs.remote_rtp);
}

// ---- bundling

fn pair(bundle: bool, number: u8) -> Negotiator {
    let mut capability = Capability::new([
        MediaCapability::audio([Codec::pcma()]),
        MediaCapability::rtp(Kind::Video, Codec::by_name("VP8")),
    ]);
    capability.bundle = bundle;
    let transports = [(Kind::Audio, 4000), (Kind::Video, 4002)];
    let transports = transports.map(|(kind, port)| transport(kind, &format!("192.0.2.{number}:{port}")));
    Negotiator::new(capability, transports.to_vec(), Seed([number; 32]))
}

#[test]
fn bundled_media_share_a_transport() {
    let (mut a, mut b) = (pair(true, 1), pair(true, 2));
    let offer = a.offer().unwrap();
    assert!(text(&offer).contains("a=group:BUNDLE 0 1\r\n"));
    let answer = b.answer(&offer).unwrap();
    assert!(text(&answer).contains("m=video 4000 "), "{}", text(&answer));
    let ours = a.accept_answer(&answer).unwrap();
    for agreed in [ours, b.agreed().unwrap()] {
        let media: Vec<_> = agreed.active().collect();
        assert_eq!((media[0].bundled_on, media[1].bundled_on), (0, 0));
        assert_eq!((media[0].local, &media[0].remote_rtp), (media[1].local, &media[1].remote_rtp));
        assert!(media[1].rtcp_mux);
        let numbers: Vec<u8> =
            agreed.active().flat_map(|medium| medium.receive.iter()).map(|c| c.payload_type).collect();
        assert_eq!(numbers, [8, 96], "no number has two meanings on one transport");
    }
    // One that does not bundle keeps them apart.
    let (mut a, mut b) = (pair(true, 1), pair(false, 2));
    let offer = a.offer().unwrap();
    let answer = b.answer(&offer).unwrap();
    let agreed = a.accept_answer(&answer).unwrap();
    let ports: Vec<_> = agreed.active().map(|medium| medium.remote_rtp.clone().unwrap().port()).collect();
    assert_eq!(ports, [4000, 4002]);
}

#[test]
fn a_refused_member_leaves_the_bundle() {
    let mut b = side(phone(EncryptionCapability::none()), 2);
    let mut capability = b.capability().clone();
    capability.bundle = true;
    b.set_capability(capability);
    let session = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\na=group:BUNDLE v a\r\n\
        m=audio 5000 RTP/AVP 0\r\na=mid:a\r\na=rtcp-mux\r\nm=video 5000 RTP/AVP 31\r\na=mid:v\r\na=rtcp-mux\r\n";
    let answer = text(&b.answer(session.as_bytes()).unwrap());
    assert!(answer.contains("a=group:BUNDLE a\r\n"), "{answer}");
    assert!(answer.contains("m=audio 4000 ") && answer.contains("m=video 0 "), "{answer}");
    // What can only live in a bundle dies without one.
    let mut b = side(phone(EncryptionCapability::none()), 2);
    let only = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\na=group:BUNDLE x a\r\n\
        m=text 5000 RTP/AVP 98\r\na=mid:x\r\nm=audio 0 RTP/AVP 0\r\na=mid:a\r\na=bundle-only\r\n";
    let error = b.answer(only.as_bytes()).unwrap_err();
    assert!(
        error.mismatch().unwrap().media.iter().any(|medium| medium.rule == Rule::BundleRejected),
        "{error}"
    );
}

// ---- fax

fn gateway_capability() -> Capability {
    let mut capability = phone(EncryptionCapability::none());
    capability.media.push(MediaCapability::fax(FaxCapability {
        version: 3,
        max_bit_rate: 33_600,
        ..FaxCapability::default()
    }));
    capability
}

fn gateway(number: u8) -> Negotiator {
    let transports = [(Kind::Audio, 4000), (Kind::Image, 4002)];
    let transports = transports.map(|(kind, port)| transport(kind, &format!("192.0.2.{number}:{port}")));
    Negotiator::new(gateway_capability(), transports.to_vec(), Seed([number; 32]))
}

#[test]
fn a_call_turns_from_speech_to_fax_and_back() {
    let (mut a, mut b) = (side(gateway_capability(), 1), gateway(2));
    exchange(&mut a, &mut b);
    a.change_medium(0, Kind::Image).unwrap();
    let (ours, theirs) = exchange(&mut a, &mut b);
    assert_eq!((&ours.kind, &ours.profile), (&Kind::Image, &Profile::Udptl));
    let fax = ours.fax.unwrap();
    assert_eq!((fax.version, fax.max_bit_rate), (3, 33_600));
    assert_eq!(fax.error_correction, FaxErrorCorrection::Redundancy);
    assert_eq!(Some(fax), theirs.fax);
    assert_eq!((ours.local.port(), theirs.local.port()), (4000, 4002), "a port kept, and one of its own");
    a.change_medium(0, Kind::Audio).unwrap();
    let (ours, theirs) = exchange(&mut a, &mut b);
    assert!(ours.codec().unwrap().is("PCMA"));
    assert_eq!((ours.local.port(), theirs.local.port()), (4000, 4000));
    // The same asked for by the side that has a port for each.
    for (kind, port) in [(Kind::Image, 4002), (Kind::Audio, 4000), (Kind::Image, 4002)] {
        b.change_medium(0, kind.clone()).unwrap();
        let (theirs, ours) = exchange(&mut b, &mut a);
        assert_eq!((&theirs.kind, theirs.local.port(), ours.local.port()), (&kind, port, 4000));
    }
}

#[test]
fn fax_parameters_are_the_lesser_of_both() {
    let mut b = gateway(2);
    let media = "m=image 5000 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
        a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:2000\r\na=T38FaxMaxDatagram:512\r\n\
        a=T38FaxFillBitRemoval\r\na=T38FaxUdpEC:t38UDPFEC\r\n";
    let answer = text(&b.answer(offer(media).as_bytes()).unwrap());
    assert!(answer.contains("a=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n"), "{answer}");
    assert!(answer.contains("a=T38FaxUdpEC:t38UDPNoEC\r\n") && !answer.contains("FillBit"), "{answer}");
    let fax = b.agreed().unwrap().active().next().unwrap().fax.unwrap();
    assert_eq!((fax.max_datagram, fax.error_correction), (Some(512), FaxErrorCorrection::None));
    let error =
        gateway(2).answer(offer(&media.replace("transferredTCF", "localTCF")).as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "fax parameters that do not fit: rate management localTCF is offered, and transferredTCF is supported"
    );
    // A telephone that knows no fax says so, and the call stays speech.
    let (mut a, mut phone) = (gateway(1), side(phone(EncryptionCapability::none()), 2));
    exchange(&mut a, &mut phone);
    let before = a.agreed().cloned();
    a.change_medium(0, Kind::Image).unwrap();
    let error = phone.answer(&a.offer().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "this side does not take image");
    a.refused(None, None).unwrap();
    assert_eq!(a.agreed(), before.as_ref());
}

// ---- telephone events, packet times, codecs

#[test]
fn events_are_offered_at_every_clock_rate() {
    let capability = Capability::telephone([Codec::opus(), Codec::pcma(), Codec::new("speex", 16_000)]);
    let (mut a, mut b) = (side(capability.clone(), 1), side(capability, 2));
    let offer = text(&a.offer().unwrap());
    for rate in [48_000, 8_000, 16_000] {
        assert!(offer.contains(&format!(" telephone-event/{rate}\r\n")), "{offer}");
    }
    a.rollback();
    let (ours, theirs) = exchange(&mut a, &mut b);
    assert_eq!(ours.send_events, theirs.receive_events);
    assert_eq!(ours.events_for(48_000).unwrap().clock_rate, 48_000);
    // One codec: its own events only.
    let mut one = Capability::telephone([Codec::opus(), Codec::pcma()]);
    one.answer_codecs = AnswerCodecs::One;
    let (ours, _) = exchange(&mut a, &mut side(one, 2));
    assert_eq!(ours.send.len(), 1);
    assert_eq!(ours.send_events.iter().map(|events| events.clock_rate).collect::<Vec<_>>(), [48_000]);
}

#[test]
fn events_are_those_both_know() {
    let mut b = side(phone(EncryptionCapability::none()), 2);
    let media = "m=audio 1 RTP/AVP 0 97\r\na=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-11,66\r\n";
    let answer = text(&b.answer(offer(media).as_bytes()).unwrap());
    assert!(answer.contains("a=fmtp:97 0-11\r\n"), "{answer}");
    let audio = b.agreed().unwrap().audio().unwrap();
    assert_eq!(audio.send_events[0].events, EventSet::parse("0-11").unwrap());
    // At another rate than the codec's, where there is no other.
    let media = "m=audio 1 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/8000\r\n";
    let mut b = side(Capability::telephone([Codec::opus()]), 2);
    b.answer(offer(media).as_bytes()).unwrap();
    let audio = b.agreed().unwrap().audio().unwrap();
    assert_eq!(audio.events_for(48_000).unwrap().clock_rate, 8_000);
    assert_eq!(audio.send_events[0].events, EventSet::DTMF);
}

#[test]
fn packets_are_as_long_as_the_receiver_asks() {
    let time = |lines: &str, codecs: &[Codec]| {
        let mut b = side(Capability::telephone(codecs.iter().cloned()), 2);
        let media = format!("m=audio 1 RTP/AVP 0 18 4 96\r\na=rtpmap:96 iLBC/8000\r\n{lines}");
        b.answer(offer(&media).as_bytes()).unwrap();
        b.agreed().unwrap().audio().unwrap().send_packet_time.as_millis()
    };
    let (pcmu, g729) = ([Codec::pcmu()], [Codec::g729(true)]);
    assert_eq!(time("", &pcmu), 20);
    assert_eq!(time("a=ptime:30\r\n", &pcmu), 30);
    assert_eq!(time("a=ptime:60\r\na=maxptime:40\r\n", &pcmu), 40);
    assert_eq!(time("a=ptime:25\r\n", &g729), 20, "whole frames of 10 ms");
    assert_eq!(time("a=ptime:5\r\n", &g729), 10, "at least one frame");
    assert_eq!(time("", &[Codec::ilbc(30)]), 30);
    assert_eq!(time("", &[Codec::by_name("G723").unwrap()]), 30);
    // What is asked for is given back where there is no wish of our own.
    let mut b = side(phone(EncryptionCapability::none()), 2);
    let answer = text(&b.answer(offer("m=audio 1 RTP/AVP 0\r\na=ptime:30\r\n").as_bytes()).unwrap());
    assert!(answer.contains("a=ptime:30\r\n"), "{answer}");
    let mut capability = phone(EncryptionCapability::none());
    capability.media[0].packet_time = Some(Duration::from_millis(10));
    let mut b = side(capability, 2);
    let answer = text(&b.answer(offer("m=audio 1 RTP/AVP 0\r\na=ptime:30\r\n").as_bytes()).unwrap());
    assert!(answer.contains("a=ptime:10\r\n"), "{answer}");
}

#[test]
fn the_codec_in_use_stays_first() {
    let mut capability = Capability::telephone([Codec::pcmu(), Codec::pcma(), Codec::g722()]);
    capability.preference = Preference::Local;
    let mut b = side(capability, 2);
    b.answer(offer("m=audio 1 RTP/AVP 9 8\r\n").as_bytes()).unwrap();
    assert!(b.agreed().unwrap().audio().unwrap().codec().unwrap().is("PCMA"));
    // A re-INVITE that brings a better liked one does not change it; one that takes it away does.
    b.answer(offer("m=audio 1 RTP/AVP 0 9 8\r\n").as_bytes()).unwrap();
    assert!(b.agreed().unwrap().audio().unwrap().codec().unwrap().is("PCMA"));
    assert!(text(&b.offer().unwrap()).contains("m=audio 4000 RTP/AVP 8 0 9 101\r\n"));
    b.rollback();
    b.answer(offer("m=audio 1 RTP/AVP 0 9\r\n").as_bytes()).unwrap();
    assert!(b.agreed().unwrap().audio().unwrap().codec().unwrap().is("PCMU"));
}

#[test]
fn numbers_keep_their_meaning_over_a_session() {
    let mut capability = Capability::telephone([Codec::ilbc(30), Codec::opus()]);
    let mut a = side(capability.clone(), 1);
    a.offer().unwrap();
    let answer = "m=audio 1 RTP/AVP 96 101\r\na=rtpmap:96 iLBC/8000\r\na=rtpmap:101 telephone-event/8000\r\n";
    a.accept_answer(offer(answer).as_bytes()).unwrap();
    // Another order, and another codec: 96 stays iLBC, 97 stays Opus, and what is new gets what is free.
    capability.media[0].codecs = vec![Codec::new("speex", 8_000), Codec::opus(), Codec::ilbc(30)];
    capability.keep_codec = false;
    a.set_capability(capability);
    let offer = text(&a.offer().unwrap());
    for line in ["a=rtpmap:96 iLBC/8000", "a=rtpmap:97 opus/48000/2", "a=rtpmap:101 telephone-event/8000"] {
        assert!(offer.contains(line), "{line} in {offer}");
    }
    assert!(!offer.contains("a=rtpmap:96 speex") && !offer.contains("a=rtpmap:97 speex"), "{offer}");
}

#[test]
fn static_numbers_need_no_map_and_g722_has_two_clocks() {
    let mut b = side(Capability::telephone([Codec::g722(), Codec::g729(true)]), 2);
    b.answer(offer("m=audio 1 RTP/AVP 18 9\r\na=rtpmap:9 G722/16000\r\n").as_bytes()).unwrap();
    let audio = b.agreed().unwrap().audio().unwrap().clone();
    assert_eq!(
        audio.send.iter().map(|codec| (codec.name.as_str(), codec.clock_rate)).collect::<Vec<_>>(),
        [("G729", 8_000), ("G722", 8_000)]
    );
    assert_eq!(audio.send[0].parameters, "annexb=yes");
}

#[test]
fn media_come_and_go() {
    let (mut a, mut b) = (pair(false, 1), pair(false, 2));
    let offer = a.offer().unwrap();
    let answer = b.answer(&offer).unwrap();
    a.accept_answer(&answer).unwrap();
    a.remove_medium(1).unwrap();
    let offer = a.offer().unwrap();
    assert!(text(&offer).contains("m=video 0 RTP/AVP 96\r\n"), "{}", text(&offer));
    let answer = b.answer(&offer).unwrap();
    assert!(text(&answer).contains("m=video 0 "));
    let agreed = a.accept_answer(&answer).unwrap();
    assert_eq!(agreed.media[1], AgreedMedium::Removed);
    // The place is used again, and the other side has its port back for it.
    assert_eq!(a.add_medium(transport(Kind::Video, "192.0.2.1:4010")), Ok(1));
    let offer = a.offer().unwrap();
    let answer = b.answer(&offer).unwrap();
    assert!(text(&answer).contains("m=video 4002 "), "{}", text(&answer));
    assert_eq!(a.accept_answer(&answer).unwrap().active().count(), 2);
}

#[test]
fn facts_about_a_medium_are_handed_on() {
    let mut b = side(phone(EncryptionCapability::none()), 2);
    let media = "m=audio 1 RTP/AVP 0\r\nb=AS:80\r\nb=TIAS:64000\r\na=label:1\r\na=content:speaker\r\n\
        a=silenceSupp:off - - - -\r\na=ssrc:7 cname:x\r\na=ssrc:8 msid:y\r\na=rtpmap:bad\r\n";
    b.answer(offer(media).as_bytes()).unwrap();
    let audio = b.agreed().unwrap().audio().unwrap().clone();
    assert_eq!((audio.bandwidth, audio.no_silence_suppression), (Some(64_000), true));
    assert_eq!((audio.label.as_deref(), audio.content.as_deref()), (Some("1"), Some("speaker")));
    assert_eq!(audio.sources, [(7, Some("x".to_owned())), (8, None)]);
    assert_eq!(b.remote().unwrap().ignored.len(), 1);
    assert_eq!(b.remote().unwrap().origin.as_ref().unwrap().session_version, "1");
}

#[test]
fn feedback_and_extensions_are_those_both_know() {
    let with = |kinds: &[&str], extensions: &[&str]| {
        let mut capability = Capability::telephone([Codec::opus()]);
        let audio = &mut capability.media[0];
        audio.feedback = true;
        audio.feedback_kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        audio.extensions = extensions.iter().map(|uri| (*uri).to_owned()).collect();
        capability
    };
    let (mut a, mut b) =
        (side(with(&["nack", "transport-cc"], &["urn:a", "urn:b"]), 1), side(with(&["nack"], &["urn:b"]), 2));
    let (ours, theirs) = exchange(&mut a, &mut b);
    assert_eq!(ours.profile, Profile::Avpf);
    assert_eq!((ours.feedback, theirs.feedback), (vec![(None, "nack".into())], vec![(None, "nack".into())]));
    assert_eq!(
        (&ours.extensions, &theirs.extensions),
        (&vec![(2, "urn:b".into())], &vec![(2, "urn:b".into())])
    );
}
