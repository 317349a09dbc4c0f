//! Registrations and calls that are refused, dropped, or never come about, staged in the virtual network and named by the
//! evidence alone; and facts about strangers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod registrar;
mod switchboard;
mod telephones;
mod virtual_host;

use denwa::driver::Machine;
use denwa::evidence::{Cause, Confidence, Fact, MessageHead, Party};
use denwa::media::{IceConfig, Identity};
use denwa::ua::{Account, AccountId, Callers, UserAgentConfig};
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability, Ice};
use denwa_sim::Link;
use denwa_sim::firewall::{Action, Firewall, Rule};
use denwa_sip_core::{Protocol, StatusCode};
use registrar::Says;
use std::time::Duration;
use telephones::{Manner, Tamper, Telephone, World, assert_cause, assert_healthy, call, ip};

const OFFICE: &str = "192.0.2.10";

/// Registers at the office; what its evidence says is the matter, surest first.
fn register(world: &mut World, phone: &Telephone, account: Account) -> (AccountId, Vec<Cause>) {
    let account = world.act(phone, |agent, now| {
        let account = agent.add_account(account);
        agent.register(account, now).unwrap();
        account
    });
    world.pass(40);
    (account, causes(world, phone, account))
}

fn causes(world: &mut World, phone: &Telephone, account: AccountId) -> Vec<Cause> {
    world.act(phone, |agent, _| {
        let found = agent.registration_evidence(account).expect("it has tried").findings();
        assert!(found.iter().all(|finding| !finding.shown_by.is_empty()));
        assert!(found.get(1).is_none_or(|second| second.confidence < found[0].confidence), "{found:#?}");
        found.iter().map(|finding| finding.cause).collect()
    })
}

fn account(user: &str) -> Account {
    Account::new(user, "office")
        .with_server(Protocol::Udp, format!("{OFFICE}:5060").parse().unwrap())
        .with_password("guessed")
}

#[test]
fn registrations_that_fail() {
    for (says, cause) in [
        (Says::Challenge, Cause::WrongPassword),
        (Says::Status(StatusCode::NOT_FOUND), Cause::UnknownAccount),
        (Says::Status(StatusCode::FORBIDDEN), Cause::RefusedByPeer),
        (Says::Nothing, Cause::NoReply),
    ] {
        let mut world = World::new(60);
        registrar::start(&mut world, OFFICE, says);
        let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
        assert_eq!(register(&mut world, &alice, account("alice")).1, [cause], "{says:?}");
    }
    let mut world = World::new(61);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    world.network.add_host("office", world.internet, &[ip(OFFICE)]).unwrap();
    assert_eq!(register(&mut world, &alice, account("alice")).1, [Cause::NobodyListens]);
    let mut account = Account::new("alice", "nowhere.example");
    account.password = Some("secret".to_owned());
    assert_eq!(register(&mut world, &alice, account).1, [Cause::NameUnknown]);
}

#[test]
fn a_registration_that_recovers_has_no_findings_any_more() {
    let mut world = World::new(62);
    let office = registrar::start(&mut world, OFFICE, Says::Status(StatusCode::SERVICE_UNAVAILABLE));
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let (account, found) = register(&mut world, &alice, account("alice"));
    assert_eq!(found, [Cause::RefusedByPeer]);
    world.network.with(office, |host, now| host.act(now, |office, _| office.says = Says::Welcome)).unwrap();
    world.pass(600);
    assert!(world.act(&alice, |agent, _| agent.is_registered(account)));
    assert_eq!(causes(&mut world, &alice, account), []);
    // Its messages are there, in order and with their times.
    world.act(&alice, |agent, _| {
        let facts: Vec<String> = agent
            .registration_evidence(account)
            .unwrap()
            .facts()
            .map(|dated| dated.fact.to_string())
            .collect();
        assert!(facts.iter().any(|fact| fact.contains("REGISTER")), "{facts:?}");
    });
}

#[test]
fn calls_that_a_server_refuses() {
    for (says, cause, confidence) in [
        (Says::Challenge, Cause::WrongPassword, Confidence::Likely),
        (Says::Status(StatusCode::NOT_FOUND), Cause::UnknownNumber, Confidence::Certain),
        (Says::Status(StatusCode::TEMPORARILY_UNAVAILABLE), Cause::NotRegistered, Confidence::Certain),
        (Says::Status(StatusCode::BUSY_HERE), Cause::Busy, Confidence::Certain),
        (Says::Status(StatusCode::DECLINE), Cause::Declined, Confidence::Certain),
        (Says::Status(StatusCode::FORBIDDEN), Cause::RefusedByPeer, Confidence::Likely),
        (Says::Nothing, Cause::NoReply, Confidence::Certain),
    ] {
        let mut world = World::new(63);
        registrar::start(&mut world, OFFICE, says);
        let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
        let talk = world.act(&alice, |agent, now| {
            let account = agent.add_account(account("alice"));
            agent.call(account, "200", now).unwrap()
        });
        world.pass(40);
        assert!(world.act(&alice, |agent, _| !agent.is_up(talk)));
        assert_cause(&alice, cause, confidence);
    }
}

#[test]
fn no_port_is_left() {
    let mut world = World::new(64);
    let narrow = |config: &mut UserAgentConfig| config.media_ports = "30000-30001".parse().ok();
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, narrow);
    let _bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(2);
    assert_cause(&alice, Cause::PortsExhausted, Confidence::Certain);
}

#[test]
fn a_session_that_is_not_refreshed() {
    let mut world = World::new(65);
    let timed = |config: &mut UserAgentConfig| config.session_interval = Some(Duration::from_secs(90));
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, timed);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    let talk = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(3);
    assert!(world.act(&alice, |agent, _| agent.is_up(talk)));
    // Voice goes on; what would refresh the session does not arrive.
    let without_refreshes =
        |text: &str| (!text.starts_with("UPDATE ") && !text.starts_with("INVITE ")).then(|| text.to_owned());
    for phone in [&alice, &bob] {
        let host = world.network.host_of(phone.node).unwrap();
        world.network.add_middlebox(host, Tamper(without_refreshes)).unwrap();
    }
    world.pass(120);
    let ended = [&alice, &bob].map(|phone| phone.room.lock().unwrap().evidence.is_some());
    assert_eq!(ended, [true, true], "{:?} {:?}", world.told(&alice), world.told(&bob));
    // One was to refresh and got no reply; the other waited for it in vain.
    let expired = [&alice, &bob].into_iter().find(|phone| {
        let room = phone.room.lock().unwrap();
        room.evidence.as_ref().unwrap().findings()[0].cause == Cause::SessionExpired
    });
    assert_cause(expired.expect("one of them waited"), Cause::SessionExpired, Confidence::Certain);
}

#[test]
fn a_peer_that_forgot_the_call() {
    let mut world = World::new(66);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    let talk = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(3);
    // Bob's answers to anything in the call say that he knows nothing of it: he was restarted.
    let amnesia = |text: &str| {
        let in_call = text.starts_with("SIP/2.0 2") && text.contains("INVITE\r\n");
        Some(if in_call { forgotten(text) } else { text.to_owned() })
    };
    let host = world.network.host_of(bob.node).unwrap();
    world.network.add_middlebox(host, Tamper(amnesia)).unwrap();
    world.act(&alice, |agent, now| agent.hold(talk, now).unwrap());
    world.pass(40);
    assert_cause(&alice, Cause::CallLost, Confidence::Likely);
}

/// A 200 made a 481 without a body.
fn forgotten(text: &str) -> String {
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with("Content-") && !line.starts_with("Contact"))
        .fold(String::new(), |lines, line| lines + line + "\r\n");
    format!("SIP/2.0 481 Call/Transaction Does Not Exist\r\n{lines}Content-Length: 0\r\n\r\n")
}

#[test]
fn a_line_that_loses_packets() {
    let mut world = World::new(67);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let _bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    let lossy = Link::default().lossy(0.15);
    world.network.set_link(world.internet, lossy).unwrap();
    call(&mut world, &alice, "sip:bob@192.0.2.2", 20);
    assert_cause(&alice, Cause::PacketLoss, Confidence::Likely);
}

#[test]
fn ice_that_finds_no_way() {
    let mut world = World::new(68);
    let with_ice = |config: &mut UserAgentConfig| {
        config.capability = Capability::telephone([Codec::pcma()]).with_ice(Ice::Full);
        config.ice = Some(IceConfig::default());
    };
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, with_ice);
    let host = world.network.add_host("bob", world.internet, &[ip("192.0.2.2")]).unwrap();
    let rule = Rule::new(Action::Drop).from_ports(30_000..=40_000);
    world.network.add_middlebox(host, Firewall::new().rule(rule)).unwrap();
    let _bob = world.phone_on(host, "bob", ip("192.0.2.2"), 600.0, Manner::Answers, with_ice);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 60);
    assert_cause(&alice, Cause::MediaBlocked, Confidence::Certain);
}

#[test]
fn a_certificate_that_is_not_the_named_one() {
    let mut world = World::new(69);
    let with_dtls = |config: &mut UserAgentConfig| {
        let identity = Identity::generate().unwrap();
        let dtls = EncryptionCapability::dtls(Encryption::Required, identity.fingerprint());
        config.capability = Capability::telephone([Codec::pcma()]).with_encryption(dtls);
        config.identity = Some(identity);
    };
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, with_dtls);
    let host = world.network.add_host("bob", world.internet, &[ip("192.0.2.2")]).unwrap();
    let other_print = |text: &str| {
        let Some(start) = text.find("a=fingerprint:sha-256 ") else { return Some(text.to_owned()) };
        let (before, after) = text.split_at(start + 22);
        let first = if after.starts_with("00") { "11" } else { "00" };
        Some(format!("{before}{first}{}", &after[2..]))
    };
    world.network.add_middlebox(host, Tamper(other_print)).unwrap();
    let _bob = world.phone_on(host, "bob", ip("192.0.2.2"), 600.0, Manner::Answers, with_dtls);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 15);
    assert_cause(&alice, Cause::WrongKeys, Confidence::Certain);
}

/// RFC 2543 had no `sendonly`: who holds says that he receives at 0.0.0.0.
#[test]
fn a_hold_of_the_older_kind_that_is_never_lifted() {
    let mut world = World::new(70);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let host = world.network.add_host("bob", world.internet, &[ip("192.0.2.2")]).unwrap();
    let older = |text: &str| {
        let Some((head, body)) = text.split_once("\r\n\r\n").filter(|(_, body)| body.contains("a=sendonly"))
        else {
            return Some(text.to_owned());
        };
        let body = body.replace("a=sendonly\r\n", "").replace("c=IN IP4 192.0.2.2", "c=IN IP4 0.0.0.0");
        let lines: Vec<String> = head
            .lines()
            .map(|line| match line.strip_prefix("Content-Length:") {
                Some(_) => format!("Content-Length: {}", body.len()),
                None => line.to_owned(),
            })
            .collect();
        Some(format!("{}\r\n\r\n{body}", lines.join("\r\n")))
    };
    world.network.add_middlebox(host, Tamper(older)).unwrap();
    let bob = world.phone_on(host, "bob", ip("192.0.2.2"), 600.0, Manner::Answers, |_| {});
    let talk = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(3);
    world.act(&bob, |agent, now| {
        let call = agent.calls().next().unwrap();
        agent.hold(call, now).unwrap();
    });
    world.pass(10);
    world.act(&alice, |agent, now| agent.hang_up(talk, now).unwrap());
    world.pass(2);
    assert_cause(&alice, Cause::HeldForever, Confidence::Certain);
}

/// The exchange between them could convert their codecs, but has no converter.
#[test]
fn a_converter_that_is_not_there() {
    let mut world = World::new(73);
    let found = switchboard::join(&mut world, "192.0.2.20", ["AMR", "PCMA"]);
    assert_eq!(found, [(Cause::TranscoderMissing, Confidence::Certain)]);
    let mut world = World::new(74);
    assert_eq!(switchboard::join(&mut world, "192.0.2.20", ["PCMU", "PCMA"]), []);
}

#[test]
fn strangers_are_remembered_with_what_they_did() {
    let mut world = World::new(71);
    let private = |config: &mut UserAgentConfig| {
        config.callers = Callers::Servers;
        config.refused_sources_limit = 2;
    };
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, private);
    for (name, address) in [("mallory", "192.0.2.66"), ("trudy", "192.0.2.67"), ("eve", "192.0.2.68")] {
        let stranger = world.phone(name, address, 600.0, Manner::Answers);
        call(&mut world, &stranger, "sip:alice@192.0.2.1", 3);
    }
    let refused: Vec<_> = world.act(&alice, |agent, _| {
        agent
            .refused_sources()
            .map(|(source, evidence)| (source, evidence.findings()[0].cause, evidence.facts().count()))
            .collect()
    });
    // OPTIONS and INVITE of the last two; the first is forgotten for want of room.
    assert_eq!(refused, [(ip("192.0.2.67"), Cause::TurnedAway, 2), (ip("192.0.2.68"), Cause::TurnedAway, 2)]);
}

/// Each message of a call is in its evidence, with each description; what is sent again is counted.
#[test]
fn evidence_has_every_message_of_the_call() {
    let mut world = World::new(72);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    let talk = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(3);
    world.act(&alice, |agent, now| agent.hold(talk, now).unwrap());
    world.pass(1);
    world.act(&alice, |agent, now| agent.resume(talk, now).unwrap());
    world.pass(1);
    world.act(&alice, |agent, now| agent.hang_up(talk, now).unwrap());
    world.pass(40);
    let said = |phone: &Telephone, by: Party| {
        let room = phone.room.lock().unwrap();
        let evidence = room.evidence.as_ref().unwrap();
        let word = |head: &MessageHead| match head.status {
            Some(status) => format!("{status}"),
            None => head.method.clone(),
        };
        evidence
            .facts()
            .filter_map(|dated| match (&dated.fact, by) {
                (Fact::Sent(head), Party::Here) | (Fact::Received(head), Party::Peer) => Some(word(head)),
                (Fact::Described { by: whose, .. }, _) if *whose == by => Some("description".to_owned()),
                _ => None,
            })
            .collect::<Vec<String>>()
            .join(" ")
    };
    let described = "INVITE description ACK INVITE description ACK INVITE description ACK BYE";
    let answers = "180 200 description 200 description 200 description";
    assert_eq!(said(&alice, Party::Here), described);
    // To who hangs up the call is over with that.
    assert_eq!(said(&alice, Party::Peer), answers);
    assert_eq!(said(&bob, Party::Peer), described);
    assert_eq!(said(&bob, Party::Here), format!("{answers} 200"));
    assert_healthy(&alice);
    assert_healthy(&bob);
    let host = world.network.machine(alice.node).unwrap();
    assert_eq!(Machine::poll_timeout(&host.machine), None);
}
