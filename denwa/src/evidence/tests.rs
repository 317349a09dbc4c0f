use super::*;
use crate::address::{Because, Told};
use denwa_sip_core::Protocol;
use denwa_sip_core::io::StreamFailure;
use denwa_sip_core::transaction::{EndReason, StreamEnd};
use std::net::{IpAddr, SocketAddr};

/// A call told fact by fact, as a program would.
struct Story {
    evidence: Evidence,
    now: Instant,
}

const CALLEE: Option<Side> = Some(Side::SECOND);

impl Story {
    fn new() -> Self {
        let now = Instant::now();
        Self { evidence: Evidence::new("a call", Evidence::DEFAULT_LIMIT, now), now }
    }

    fn then(mut self, fact: Fact) -> Self {
        self.now += Duration::from_millis(20);
        self.evidence.add(CALLEE, fact, self.now);
        self
    }

    fn sent(self, method: &str, to: &str) -> Self {
        self.then(Fact::Sent(MessageHead {
            method: method.into(),
            remote: Some(socket(to)),
            protocol: "UDP".into(),
            ..MessageHead::default()
        }))
    }

    fn response(self, status: u16, from: &str) -> Self {
        self.then(Fact::Received(MessageHead {
            method: "INVITE".into(),
            status: Some(status),
            reason: "Reason".into(),
            remote: Some(socket(from)),
            protocol: "UDP".into(),
            ..MessageHead::default()
        }))
    }

    /// INVITE, 180, 200, and an agreement on PCMA with media at `media`.
    fn answered(self, signalling: &str, media: &str) -> Self {
        let description = Description {
            address: Some(socket(media)),
            codecs: vec!["PCMA/8000".into()],
            direction: MediaDirection::BOTH,
            ..Description::default()
        };
        self.sent("INVITE", signalling)
            .response(180, signalling)
            .response(200, signalling)
            .then(Fact::Described { by: Party::Peer, description })
            .agreed(MediaDirection::BOTH)
            .sent("ACK", signalling)
    }

    fn agreed(self, direction: MediaDirection) -> Self {
        self.then(Fact::Agreed(Agreement { codec: "PCMA/8000".into(), direction, ..Agreement::default() }))
    }

    fn told(self, peer: &str, route: &str, address: &str, because: Because) -> Self {
        let told = Told { address: ip(address), because };
        self.then(Fact::Told(AddressTold::new(ip(peer), ip(route), told)))
    }

    fn routed(self, route: RouteUse, destination: &str, local: &str, interface: &str) -> Self {
        self.then(Fact::Routed {
            route,
            destination: ip(destination),
            local: Some(ip(local)),
            interface: Some(interface.into()),
        })
    }

    fn counters(self, sent: u64, received: u64) -> Self {
        self.then(Fact::Counters(StreamCounters { sent, received, ..StreamCounters::default() }))
    }

    /// The one cause, with nothing of equal confidence beside it.
    fn means(self) -> (Cause, Confidence) {
        let found = self.evidence.findings();
        let first = found.first().unwrap_or_else(|| panic!("no finding: {:#?}", self.evidence));
        if let Some(second) = found.get(1) {
            assert!(second.confidence < first.confidence, "two at once: {found:#?}");
        }
        assert!(!first.shown_by.is_empty(), "shown by nothing: {first:?}");
        assert!(first.sentence.ends_with('.') && first.remedy.ends_with('.'), "{first}");
        (first.cause, first.confidence)
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const PHONE: &str = "192.168.1.20:5060";
const PHONE_MEDIA: &str = "192.168.1.20:4000";

#[test]
fn a_healthy_call_has_no_findings() {
    let story = Story::new()
        .answered(PHONE, PHONE_MEDIA)
        .told("192.168.1.20", "192.168.1.2", "192.168.1.2", Because::PeerIsLocal)
        .routed(RouteUse::Signalling, "192.168.1.20", "192.168.1.2", "eth0")
        .routed(RouteUse::Media, "192.168.1.20", "192.168.1.2", "eth0")
        .then(Fact::FirstPacket { from: socket(PHONE_MEDIA), expected: Some(socket(PHONE_MEDIA)) })
        .counters(3000, 3000)
        .then(Fact::Ended { by: Party::Peer, cause: EndCause::HungUp });
    assert_eq!(story.evidence.findings(), []);
}

#[test]
fn a_call_of_one_second_is_no_silence() {
    let story = Story::new()
        .answered(PHONE, PHONE_MEDIA)
        .counters(40, 0)
        .then(Fact::Ended { by: Party::Peer, cause: EndCause::HungUp });
    assert_eq!(story.evidence.findings(), []);
}

#[test]
fn a_codec_that_was_not_agreed_on_is_named_whether_or_not_another_was_heard_before() {
    let strange = || Fact::FormatNotAgreed { payload_type: 18 };
    let story = Story::new().answered(PHONE, PHONE_MEDIA).then(strange()).counters(3000, 0);
    let found = story.evidence.findings();
    assert_eq!(
        found[0].sentence,
        "The peer at 192.168.1.20:5060 sends payload type 18 (G729), but PCMA/8000 was agreed on: that is not heard."
    );
    assert_eq!(story.means(), (Cause::FormatNotAgreed, Confidence::Certain));
    let story = Story::new().answered(PHONE, PHONE_MEDIA).counters(3000, 1000).then(strange());
    assert_eq!(story.means(), (Cause::FormatNotAgreed, Confidence::Certain));
}

#[test]
fn a_media_server_apart_from_its_signalling_is_healthy_when_it_sends() {
    let story = Story::new()
        .answered("203.0.113.5:5060", "203.0.113.77:30000")
        .routed(RouteUse::Signalling, "203.0.113.5", "100.64.0.2", "tailscale0")
        .routed(RouteUse::Media, "203.0.113.77", "192.0.2.1", "eth0")
        .then(Fact::FirstPacket {
            from: socket("203.0.113.77:30000"),
            expected: Some(socket("203.0.113.77:30000")),
        })
        .counters(3000, 3000);
    assert_eq!(story.evidence.findings(), []);
}

#[test]
fn cause_1_a_vpn_that_renames_its_hosts() {
    let story = Story::new()
        .answered("100.110.206.106:5060", "100.70.198.29:4000")
        .routed(RouteUse::Signalling, "100.110.206.106", "100.110.20.5", "tailscale0")
        .routed(RouteUse::Media, "100.70.198.29", "192.168.11.2", "eth0")
        .counters(500, 0);
    assert_eq!(story.means(), (Cause::RenamingVpn, Confidence::Certain));
}

#[test]
fn cause_1_heard_but_deaf() {
    let story = Story::new()
        .answered("100.110.206.106:5060", "100.70.198.29:4000")
        .routed(RouteUse::Signalling, "100.110.206.106", "100.110.20.5", "tailscale0")
        .routed(RouteUse::Media, "100.70.198.29", "192.168.11.2", "eth0")
        .then(Fact::Counters(StreamCounters {
            sent: 500,
            received: 500,
            peer_lost: Some(1.0),
            ..Default::default()
        }));
    assert_eq!(story.means(), (Cause::RenamingVpn, Confidence::Certain));
}

#[test]
fn cause_2_a_phone_behind_a_router() {
    let story = Story::new()
        .answered("198.51.100.7:5060", "192.168.0.33:4000")
        .routed(RouteUse::Signalling, "198.51.100.7", "192.0.2.1", "eth0")
        .routed(RouteUse::Media, "192.168.0.33", "192.0.2.1", "eth0")
        .counters(500, 0);
    assert_eq!(story.means(), (Cause::PeerBehindNat, Confidence::Certain));
}

#[test]
fn cause_2_we_behind_a_router_and_nobody_said_so() {
    let story = Story::new()
        .answered("198.51.100.7:5060", "198.51.100.7:4000")
        .told("198.51.100.7", "192.168.1.2", "192.168.1.2", Because::NoExternal)
        .counters(500, 0);
    assert_eq!(story.means(), (Cause::ExternalAddressWrong, Confidence::Likely));
}

#[test]
fn cause_2_an_external_address_gone_stale() {
    let story = Story::new()
        .answered("198.51.100.7:5060", "198.51.100.7:4000")
        .told("198.51.100.7", "192.168.1.2", "203.0.113.9", Because::BeyondLocal)
        .then(Fact::SeenAs { address: socket("203.0.113.44:5060"), sent_from: socket("192.168.1.2:5060") })
        .counters(500, 0);
    assert_eq!(story.means(), (Cause::ExternalAddressWrong, Confidence::Certain));
}

#[test]
fn cause_3_the_local_network_was_forgotten() {
    let near = Story::new()
        .answered("192.168.5.20:5060", "192.168.5.20:4000")
        .told("192.168.5.20", "192.168.1.2", "203.0.113.9", Because::BeyondLocal)
        .counters(500, 0);
    assert_eq!(near.means(), (Cause::LocalNetworkForgotten, Confidence::Certain));
    let far = Story::new()
        .answered("198.51.100.7:5060", "198.51.100.7:4000")
        .told("198.51.100.7", "192.168.1.2", "192.168.1.2", Because::PeerIsLocal)
        .counters(500, 0);
    assert_eq!(far.means(), (Cause::LocalNetworkForgotten, Confidence::Certain));
}

#[test]
fn cause_4_a_firewall_both_ways_and_one_way() {
    let both = Story::new().answered(PHONE, PHONE_MEDIA).counters(500, 0);
    assert_eq!(both.means(), (Cause::MediaBlocked, Confidence::Likely));
    let inward = Story::new().answered(PHONE, PHONE_MEDIA).then(Fact::Counters(StreamCounters {
        sent: 500,
        peer_lost: Some(0.0),
        ..Default::default()
    }));
    assert_eq!(inward.means(), (Cause::MediaBlockedOneWay, Confidence::Likely));
    let outward = Story::new().answered(PHONE, PHONE_MEDIA).then(Fact::Counters(StreamCounters {
        sent: 500,
        received: 500,
        peer_lost: Some(1.0),
        ..Default::default()
    }));
    assert_eq!(outward.means(), (Cause::MediaBlockedOneWay, Confidence::Likely));
}

#[test]
fn cause_5_no_codec_in_common_names_both_lists() {
    let story = Story::new().sent("INVITE", PHONE).then(Fact::Mismatched {
        offered_by: Party::Here,
        offered: vec!["PCMU/8000".into()],
        supported: vec!["G729/8000".into(), "GSM/8000".into()],
        about: Disagreement::Codec,
        rule: "no codec is in both lists".into(),
    });
    let found = story.evidence.findings();
    assert!(
        found[0].sentence.contains("PCMU/8000") && found[0].sentence.contains("G729/8000, GSM/8000"),
        "{}",
        found[0]
    );
    assert_eq!(story.means(), (Cause::NoCommonCodec, Confidence::Certain));
    let silent = Story::new()
        .sent("INVITE", PHONE)
        .response(488, PHONE)
        .then(Fact::Ended { by: Party::Peer, cause: EndCause::Refused(488) });
    assert_eq!(silent.means(), (Cause::NoCommonCodec, Confidence::Likely));
    let missing = Story::new()
        .answered(PHONE, PHONE_MEDIA)
        .then(Fact::TranscoderMissing { from: "G729/8000".into(), to: "PCMA/8000".into() });
    assert_eq!(missing.means(), (Cause::TranscoderMissing, Confidence::Certain));
}

#[test]
fn cause_6_protection_on_one_side_and_other_keys() {
    for (failure, cause) in [
        (SecurityFailure::PlainWhereProtected, Cause::EncryptionOneSided),
        (SecurityFailure::WrongKeys, Cause::WrongKeys),
    ] {
        let story =
            Story::new().answered(PHONE, PHONE_MEDIA).then(Fact::SecurityFailed(failure)).counters(500, 0);
        assert_eq!(story.means(), (cause, Confidence::Certain));
    }
}

#[test]
fn cause_7_the_peer_fell_silent() {
    let story = Story::new()
        .answered(PHONE, PHONE_MEDIA)
        .then(Fact::FirstPacket { from: socket(PHONE_MEDIA), expected: None })
        .counters(3000, 1400)
        .then(Fact::Silent { lasted: Duration::from_secs(30) })
        .then(Fact::Ended { by: Party::Here, cause: EndCause::MediaStopped });
    let found = story.evidence.findings();
    assert!(found[0].sentence.contains("192.168.1.20:5060"), "which end fell silent: {}", found[0]);
    assert_eq!(story.means(), (Cause::PeerFellSilent, Confidence::Certain));
}

#[test]
fn cause_8_ports_outside_the_routers_set() {
    let story = Story::new()
        .answered("198.51.100.7:5060", "198.51.100.7:4000")
        .told("198.51.100.7", "192.168.1.2", "203.0.113.9", Because::BeyondLocal)
        .then(Fact::SeenAs { address: socket("203.0.113.9:7490"), sent_from: socket("192.168.1.2:5060") })
        .counters(500, 0);
    assert_eq!(story.means(), (Cause::PortsOutsideSet, Confidence::Likely));
}

#[test]
fn cause_9_a_request_without_any_reply() {
    let silent = Story::new().sent("INVITE", PHONE).then(Fact::Unanswered {
        method: "INVITE".into(),
        to: socket(PHONE),
        protocol: "UDP".into(),
        waited: Duration::from_secs(32),
    });
    assert_eq!(silent.means(), (Cause::NoReply, Confidence::Certain));
    let nobody = Story::new().sent("INVITE", PHONE).then(Fact::Unreached {
        to: socket(PHONE),
        protocol: "TCP".into(),
        why: Unreached::Refused,
    });
    assert_eq!(nobody.means(), (Cause::NobodyListens, Confidence::Certain));
}

#[test]
fn cause_10_hold_that_was_never_lifted() {
    let held = MediaDirection { sends: false, receives: true };
    let story = Story::new()
        .answered(PHONE, PHONE_MEDIA)
        .then(Fact::FirstPacket { from: socket(PHONE_MEDIA), expected: None })
        .counters(500, 500)
        .then(Fact::Hold { by: Party::Peer, state: HoldState::Held })
        .agreed(held);
    assert_eq!(story.means(), (Cause::HeldForever, Confidence::Certain));
    let lifted = Story::new()
        .answered(PHONE, PHONE_MEDIA)
        .then(Fact::Hold { by: Party::Peer, state: HoldState::Held })
        .agreed(held)
        .then(Fact::Hold { by: Party::Peer, state: HoldState::Lifted })
        .agreed(MediaDirection::BOTH)
        .then(Fact::FirstPacket { from: socket(PHONE_MEDIA), expected: None })
        .counters(900, 900);
    assert_eq!(lifted.evidence.findings(), []);
}

#[test]
fn cause_11_a_router_that_rewrites_sip() {
    let story = Story::new().sent("INVITE", PHONE).then(Fact::Altered {
        header: Header::Via,
        sent: "SIP/2.0/UDP 192.168.1.2:5060".into(),
        returned: "SIP/2.0/UDP 203.0.113.9:5060".into(),
    });
    assert_eq!(story.means(), (Cause::Alg, Confidence::Certain));
}

#[test]
fn refusals_have_their_names() {
    for (status, cause) in [
        (486, Cause::Busy),
        (603, Cause::Declined),
        (404, Cause::UnknownNumber),
        (480, Cause::NotRegistered),
        (500, Cause::RefusedByPeer),
    ] {
        let story = Story::new()
            .sent("INVITE", PHONE)
            .response(status, PHONE)
            .then(Fact::Ended { by: Party::Peer, cause: EndCause::Refused(status) });
        assert_eq!(story.means(), (cause, Confidence::Certain), "{status}");
    }
    let unanswered = Story::new()
        .sent("INVITE", PHONE)
        .response(180, PHONE)
        .then(Fact::Ended { by: Party::Here, cause: EndCause::NoAnswer });
    assert_eq!(unanswered.means().0, Cause::NotAnswered);
    let guessed = Story::new().then(Fact::CredentialsRefused {
        by: Party::Here,
        account: "1001".into(),
        account_known: Some(true),
    });
    assert_eq!(guessed.means().0, Cause::WrongPassword);
    let unconfirmed = Story::new().then(Fact::Ended { by: Party::Here, cause: EndCause::Unconfirmed });
    assert_eq!(unconfirmed.means().0, Cause::AckLost);
}

#[test]
fn a_refused_registration_is_called_one() {
    let refused = |status: u16| {
        let head = MessageHead {
            method: "REGISTER".into(),
            status: Some(status),
            reason: "No".into(),
            ..MessageHead::default()
        };
        let ended = Fact::Ended { by: Party::Peer, cause: EndCause::Refused(status) };
        Story::new().then(Fact::Received(head)).then(ended).evidence.findings()
    };
    let [unknown] = &refused(404)[..] else { panic!() };
    assert_eq!(unknown.cause, Cause::UnknownAccount);
    assert_eq!(unknown.sentence, "The peer refused the registration: 404 No.");
    assert_eq!(refused(403)[0].cause, Cause::RefusedByPeer);
}

#[test]
fn ice_that_finds_no_way_says_so() {
    let story = Story::new()
        .answered("192.0.2.1:5060", "192.0.2.1:4000")
        .then(Fact::NoPath { tried: "host to host: no answer".into() })
        .then(Fact::Counters(StreamCounters { sent: 500, ..StreamCounters::default() }));
    let [found] = &story.evidence.findings()[..] else { panic!() };
    assert_eq!((found.cause, found.confidence), (Cause::MediaBlocked, Confidence::Certain));
    assert!(found.sentence.contains("host to host: no answer") && found.remedy.contains("TURN"), "{found}");
}

#[test]
fn a_caller_who_gives_up_is_no_fault() {
    let story = Story::new()
        .sent("INVITE", PHONE)
        .response(180, PHONE)
        .then(Fact::Ended { by: Party::Here, cause: EndCause::Cancelled });
    assert_eq!(story.evidence.findings(), []);
}

#[test]
fn the_collection_keeps_its_beginning_and_its_end() {
    let now = Instant::now();
    let mut evidence = Evidence::new("a call", 10, now);
    for n in 0..100u64 {
        evidence.add(None, Fact::Unresolved { name: n.to_string() }, now + Duration::from_secs(n));
    }
    let kept: Vec<u64> = evidence.facts().map(|dated| dated.after.as_secs()).collect();
    assert_eq!(kept, [0, 1, 2, 3, 4, 95, 96, 97, 98, 99]);
    assert_eq!(evidence.omitted(), 90);
}

#[test]
fn of_a_streams_counters_only_the_last_are_kept() {
    let story = Story::new().counters(1, 1).counters(2, 2).counters(3, 3);
    assert_eq!(story.evidence.facts().count(), 1);
}

#[test]
fn every_rule_has_a_cause_and_a_remedy_of_its_own() {
    let mut remedies = Vec::new();
    for rule in Rule::ALL.iter().copied() {
        let story = Story::new()
            .then(Fact::Forbidden { rule, why: "numbers that begin with 0990 are barred".into() });
        let [found] = story.evidence.findings().try_into().unwrap();
        assert_eq!((found.cause, found.confidence), (rule.cause(), Confidence::Certain));
        assert_eq!(found.sentence, "Numbers that begin with 0990 are barred.");
        assert!(found.remedy.ends_with('.') && !remedies.contains(&found.remedy), "{}", found.remedy);
        remedies.push(found.remedy);
    }
}

#[test]
fn a_peer_that_wants_signatures_says_so_by_its_status() {
    for (status, cause) in [
        (428, Cause::CallerNotSigned),
        (436, Cause::SignatureWrong),
        (437, Cause::SignatureWrong),
        (438, Cause::SignatureWrong),
    ] {
        let story = Story::new()
            .sent("INVITE", PHONE)
            .response(status, PHONE)
            .then(Fact::Ended { by: Party::Peer, cause: EndCause::Refused(status) });
        let [found] = story.evidence.findings().try_into().unwrap();
        assert_eq!((found.cause, found.confidence), (cause, Confidence::Certain));
        assert!(found.sentence.contains(&status.to_string()) && found.remedy.contains("key"), "{found}");
    }
}

#[test]
fn a_peer_that_leaves_the_rules_is_named() {
    let what = "answered without a session description".to_owned();
    let story = Story::new()
        .sent("INVITE", PHONE)
        .response(200, PHONE)
        .then(Fact::RuleBroken { what })
        .then(Fact::Ended { by: Party::Here, cause: EndCause::Refused(488) });
    let [found] = &story.evidence.findings()[..] else { panic!() };
    assert_eq!((found.cause, found.confidence), (Cause::RuleBroken, Confidence::Certain));
    assert!(found.sentence.ends_with("answered without a session description."), "{found}");
}

#[test]
fn a_connection_that_was_not_made_is_told_with_its_reason() {
    let finding = |end| {
        let to = PHONE.parse().unwrap();
        let waited = Duration::from_secs(1);
        let fact = Fact::of_end(EndReason::StreamFailed(end), "INVITE", to, Protocol::Tls, waited);
        Story::new().then(fact).evidence.findings()[0].to_string()
    };
    let failed = |why| finding(StreamEnd::Failed(why));
    for (why, words) in [
        (StreamFailure::Refused, "Nobody listens"),
        (StreamFailure::TimedOut, "was not answered"),
        (StreamFailure::Unreachable, "no route"),
        (StreamFailure::TlsHandshake, "TLS was not agreed on"),
        (StreamFailure::UntrustedCertificate, "is not trusted"),
        (StreamFailure::WrongIdentity, "for another name"),
        (StreamFailure::WebSocketHandshake, "no WebSocket for SIP"),
    ] {
        assert!(failed(why).contains(words), "{}", failed(why));
    }
    assert!(finding(StreamEnd::NotOpened).contains("was not answered"));
    assert!(finding(StreamEnd::ClosedByPeer).contains("closed the TLS connection"));
}

#[test]
fn all_causes_are_listed_once_and_in_order() {
    let places: Vec<usize> = Cause::ALL.iter().map(|cause| *cause as usize).collect();
    assert_eq!(places, (0..Cause::ALL.len()).collect::<Vec<_>>());
    assert_eq!(Cause::ALL.last(), Some(&Cause::RuleBroken), "a new cause belongs into the list too");
}
