//! Offer and answer between two sides, step by step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::time::Duration;

use denwa_sdp::*;

fn alice(codecs: impl IntoIterator<Item = Codec>) -> Negotiator {
    side(codecs, "192.0.2.1:4000", 1)
}

fn bob(codecs: impl IntoIterator<Item = Codec>) -> Negotiator {
    side(codecs, "192.0.2.2:5000", 2)
}

fn side(codecs: impl IntoIterator<Item = Codec>, address: &str, seed: u8) -> Negotiator {
    Negotiator::new(Capability::telephone(codecs), vec![transport(address)], Seed([seed; 32]))
}

fn transport(address: &str) -> Transport {
    Transport::audio(address.parse().unwrap())
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

/// One exchange; both sides' audio.
fn exchange(offerer: &mut Negotiator, answerer: &mut Negotiator) -> (ActiveMedium, ActiveMedium) {
    let offer = offerer.offer().unwrap();
    let answer = answerer.answer(&offer).unwrap();
    let theirs = answerer.agreed().unwrap().audio().unwrap().clone();
    (offerer.accept_answer(&answer).unwrap().audio().unwrap().clone(), theirs)
}

fn version(body: &[u8]) -> u64 {
    Description::parse(body).unwrap().origin().unwrap().version().unwrap()
}

#[test]
fn a_first_offer_is_strict_and_complete() {
    let mut alice = alice([Codec::pcma(), Codec::pcmu()]);
    let offer = alice.offer().unwrap();
    let strict = ParseOptions { strict: true, ..ParseOptions::default() };
    let description = Description::parse_with(&offer, &strict).unwrap();
    let rest: Vec<&str> = description.lines().skip(2).map(|line| line.as_str()).collect();
    assert_eq!(
        rest,
        [
            "s=-",
            "c=IN IP4 192.0.2.1",
            "t=0 0",
            "m=audio 4000 RTP/AVP 8 0 101",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-16",
            "a=sendrecv",
        ]
    );
    assert_eq!(alice.state(), State::HaveLocalOffer);
    assert_eq!(alice.offer(), Err(Misuse::LocalOfferPending));
}

#[test]
fn both_sides_know_where_and_how_to_send() {
    let (mut alice, mut bob) = (alice([Codec::pcma(), Codec::pcmu()]), bob([Codec::pcmu(), Codec::pcma()]));
    let (a, b) = exchange(&mut alice, &mut bob);
    assert_eq!(a.remote_rtp, Some(RemoteAddress::Ip("192.0.2.2:5000".parse().unwrap())));
    assert_eq!(a.remote_rtcp, Some(RemoteAddress::Ip("192.0.2.2:5001".parse().unwrap())));
    assert_eq!(b.remote_rtp, Some(RemoteAddress::Ip("192.0.2.1:4000".parse().unwrap())));
    assert_eq!(a.local, "192.0.2.1:4000".parse::<SocketAddr>().unwrap());
    assert_eq!((a.direction, b.direction), (Direction::SendRecv, Direction::SendRecv));
    // The offerer's order holds.
    assert!(a.codec().unwrap().is("PCMA") && b.codec().unwrap().is("PCMA"));
    assert_eq!(a.send.iter().map(|codec| codec.payload_type).collect::<Vec<_>>(), [8, 0]);
    assert_eq!(a.send_events[0].payload_type, 101);
    assert_eq!(a.send_packet_time, Duration::from_millis(20));
    assert_eq!((alice.state(), bob.state()), (State::Stable, State::Stable));
}

#[test]
fn the_answerer_may_prefer_its_own_order_or_one_codec() {
    let mut capability = Capability::telephone([Codec::pcmu(), Codec::pcma()]);
    capability.preference = Preference::Local;
    capability.answer_codecs = AnswerCodecs::One;
    let mut bob = Negotiator::new(capability, vec![transport("192.0.2.2:5000")], Seed([2; 32]));
    let offer = alice([Codec::pcma(), Codec::pcmu()]).offer().unwrap();
    let answer = text(&bob.answer(&offer).unwrap());
    assert!(answer.contains("m=audio 5000 RTP/AVP 0 101\r\n"), "{answer}");
}

#[test]
fn payload_types_may_differ_each_way() {
    let mut alice = alice([Codec::ilbc(30).at(97)]);
    alice.offer().unwrap();
    // RFC 4317 §2.3: the answer has a number of its own.
    let answer = b"v=0\r\no=bob 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
        m=audio 49172 RTP/AVP 99 100\r\na=rtpmap:99 iLBC/8000\r\na=rtpmap:100 telephone-event/8000\r\n";
    let audio = alice.accept_answer(answer).unwrap().audio().unwrap().clone();
    assert_eq!((audio.send[0].payload_type, audio.receive[0].payload_type), (99, 97));
    assert_eq!((audio.send_events[0].payload_type, audio.receive_events[0].payload_type), (100, 101));
    assert_eq!(audio.send_packet_time, Duration::from_millis(30), "iLBC has frames of 30 ms");
}

#[test]
fn versions_grow_only_when_something_changed() {
    let (mut alice, mut bob) = (alice([Codec::pcma()]), bob([Codec::pcma()]));
    exchange(&mut alice, &mut bob);
    let (first_a, first_b) = (alice.local().unwrap().clone(), bob.local().unwrap().clone());
    exchange(&mut alice, &mut bob);
    assert_eq!((alice.local(), bob.local()), (Some(&first_a), Some(&first_b)), "a refresh changes no byte");
    alice.hold(HoldStyle::Direction, Direction::SendOnly);
    exchange(&mut alice, &mut bob);
    assert_eq!(version(alice.local().unwrap()), version(&first_a) + 1);
    assert_eq!(version(bob.local().unwrap()), version(&first_b) + 1);
}

#[test]
fn hold_and_resume_by_direction() {
    let (mut alice, mut bob) = (alice([Codec::pcma()]), bob([Codec::pcma()]));
    exchange(&mut alice, &mut bob);
    alice.hold(HoldStyle::Direction, Direction::SendOnly);
    let (a, b) = exchange(&mut alice, &mut bob);
    assert_eq!((a.direction, a.hold), (Direction::SendOnly, Hold::Local));
    assert_eq!((b.direction, b.hold), (Direction::RecvOnly, Hold::Remote));
    // Bob holds as well; Alice, on hold, answers what she is willing to do.
    bob.hold(HoldStyle::Direction, Direction::SendOnly);
    let (b, a) = exchange(&mut bob, &mut alice);
    assert_eq!((a.direction, a.hold), (Direction::Inactive, Hold::Both));
    assert_eq!((b.direction, b.hold), (Direction::Inactive, Hold::Both));
    alice.resume();
    let (a, b) = exchange(&mut alice, &mut bob);
    assert_eq!((a.direction, a.hold), (Direction::RecvOnly, Hold::Remote));
    assert_eq!((b.direction, b.hold), (Direction::SendOnly, Hold::Local));
    bob.resume();
    let (b, a) = exchange(&mut bob, &mut alice);
    assert_eq!((a.direction, b.direction), (Direction::SendRecv, Direction::SendRecv));
    assert_eq!((a.hold, b.hold), (Hold::None, Hold::None));
}

#[test]
fn hold_and_resume_by_address() {
    let (mut alice, mut bob) = (alice([Codec::pcma()]), bob([Codec::pcma()]));
    exchange(&mut alice, &mut bob);
    alice.hold(HoldStyle::ZeroAddress, Direction::Inactive);
    let (_, b) = exchange(&mut alice, &mut bob);
    assert!(text(alice.local().unwrap()).contains("c=IN IP4 0.0.0.0\r\n"));
    assert_eq!((b.direction, b.hold, b.remote_rtp), (Direction::Inactive, Hold::Remote, None));
    alice.resume();
    let (a, b) = exchange(&mut alice, &mut bob);
    assert_eq!((a.hold, b.hold, b.direction), (Hold::None, Hold::None, Direction::SendRecv));
}

#[test]
fn an_old_phone_holds_without_a_direction() {
    let mut bob = bob([Codec::pcmu()]);
    let offer =
        b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let answer = bob.answer(offer).unwrap();
    assert!(text(&answer).contains("a=sendrecv\r\n"), "RFC 6337 §5.4: the direction follows the attribute");
    let audio = bob.agreed().unwrap().audio().unwrap();
    assert_eq!((audio.direction, audio.hold), (Direction::RecvOnly, Hold::Remote));
}

#[test]
fn a_refusal_names_both_lists() {
    let (mut alice, mut bob) =
        (alice([Codec::g729(true), Codec::gsm()]), bob([Codec::pcma(), Codec::pcmu()]));
    let offer = alice.offer().unwrap();
    let error = bob.answer(&offer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no common audio codec: the other side offers G729 and GSM, this side has PCMA and PCMU"
    );
    assert_eq!(error.status(), 488);
    assert_eq!(
        error.warning("pbx.example").unwrap(),
        "305 pbx.example \"no common audio codec: the other side offers G729 and GSM, this side has PCMA and PCMU\""
    );
    assert_eq!(bob.state(), State::Stable);
    let mismatch = alice.refused(Some(&bob.capabilities()), None).unwrap();
    assert_eq!(
        mismatch.to_string(),
        "no common audio codec: this side offers G729 and GSM, the other side has PCMA and PCMU"
    );
    assert_eq!(alice.state(), State::Stable);
}

#[test]
fn what_is_not_supported_gets_port_0() {
    let mut bob = bob([Codec::pcmu()]);
    let offer = b"v=0\r\no=alice 2890844526 2890844526 IN IP4 host.anywhere.com\r\ns=\r\n\
        c=IN IP4 host.anywhere.com\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n\
        m=video 51372 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\nm=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\n";
    let answer = text(&bob.answer(offer).unwrap());
    assert!(answer.contains("m=audio 5000 RTP/AVP 0\r\n"), "{answer}");
    assert!(answer.contains("m=video 0 RTP/AVP 31\r\nm=video 0 RTP/AVP 32\r\n"), "{answer}");
    let rejected: Vec<_> = bob.agreed().unwrap().rejected().map(|medium| medium.rule.clone()).collect();
    assert_eq!(rejected, [Rule::KindUnsupported, Rule::KindUnsupported]);
    let audio = bob.agreed().unwrap().audio().unwrap();
    assert_eq!(audio.remote_rtp, Some(RemoteAddress::Host("host.anywhere.com".into(), 49_170)));
}

#[test]
fn a_rollback_restores_what_was_agreed() {
    let (mut alice, mut bob) = (alice([Codec::pcma()]), bob([Codec::pcma()]));
    exchange(&mut alice, &mut bob);
    let agreed = alice.agreed().cloned();
    alice.hold(HoldStyle::Direction, Direction::Inactive);
    let crossed = alice.offer().unwrap();
    alice.rollback();
    assert_eq!((alice.state(), alice.agreed()), (State::Stable, agreed.as_ref()));
    alice.resume();
    let next = alice.offer().unwrap();
    assert_eq!(version(&next), version(&crossed) + 1, "the version that was sent stays used");
}

#[test]
fn an_exchange_between_two_phones_can_be_looked_into() {
    // What a back-to-back user agent does: look at the offer, decide, then answer.
    let mut leg = bob([Codec::pcma()]);
    let offer = alice([Codec::pcmu(), Codec::g722()]).offer().unwrap();
    let seen = leg.receive_offer(&offer).unwrap();
    assert_eq!(
        seen.media[0].formats.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
        ["PCMU", "G722", "telephone-event"]
    );
    assert!(leg.make_answer().is_err());
    leg.set_capability(Capability::telephone([Codec::g722()]));
    let answer = text(&leg.make_answer().unwrap());
    assert!(answer.contains("m=audio 5000 RTP/AVP 9 101\r\n"), "{answer}");
}

#[test]
fn a_late_offer_is_an_offer() {
    // INVITE without a body, the offer in the 200, the answer in the ACK.
    let (mut caller, mut callee) = (alice([Codec::pcmu()]), bob([Codec::pcmu(), Codec::pcma()]));
    let (b, a) = exchange(&mut callee, &mut caller);
    assert!(a.codec().unwrap().is("PCMU") && b.codec().unwrap().is("PCMU"));
}

#[test]
fn forks_make_keys_of_their_own() {
    let capability = Capability::telephone([Codec::pcmu()])
        .with_encryption(EncryptionCapability::sdes(Encryption::Required));
    let mut alice = Negotiator::new(capability, vec![transport("192.0.2.1:4000")], Seed([1; 32]));
    alice.offer().unwrap();
    let mut other = alice.fork();
    assert_eq!(other.state(), State::HaveLocalOffer);
    alice.rollback();
    other.rollback();
    alice.change_keys();
    other.change_keys();
    let (first, second) = (alice.offer().unwrap(), other.offer().unwrap());
    assert_ne!(first, second);
}
