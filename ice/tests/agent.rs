//! What two agents do beyond the cells of the NAT table: conflicts, restarts, consent, changing networks, TCP, names, limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::agents::*;
use common::*;
use denwa_ice::agent::{
    AgentConfig, AgentEvent, AgentLimit, AgentMisuse, Credentials, LocalAddress, PairFailure, PairState,
    Policy, Role, SendError, ServerFailure, StreamEnd, StreamState,
};
use denwa_ice::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport};
use denwa_ice::stun::attribute::{
    ErrorCodeAttribute, IceControlled, IceControlling, Priority, UseCandidate, Username, XorMappedAddress,
};
use denwa_ice::stun::{Class, ErrorCode, IntegrityKey, Message, Method, TransactionId, Writer};
use denwa_sim::laws::{Bounds, Subject};
use denwa_sim::{self as sim, Link, Loss, Record, Stimulus};
use std::net::SocketAddr;
use std::time::Duration;

fn homes(a: Access, b: Access) -> Plan {
    Plan::between(Home::behind(a, 1), Home::behind(b, 2))
}

#[test]
fn nat_role_conflicts_end_with_one_of_each() {
    for role in [Role::Controlling, Role::Controlled] {
        for (trickle, link) in [(true, Link::default()), (false, Link::default()), (true, Link::bad(0.3))] {
            for seed in 0..5 {
                let mut plan = homes(Access::PortRestricted, Access::Independent);
                (plan.configs[0].role, plan.configs[1].role) = (role, role);
                (plan.trickle, plan.link, plan.seed) = (trickle, link.clone(), seed);
                let mut session = plan.start();
                assert!(session.connect(secs(60)).is_some(), "{role:?} {seed}");
                let roles = [session.a, session.b].map(|node| session.node(node).agent.role());
                assert_ne!(roles[0], roles[1]);
                let changes =
                    |node| session.events(node, |it| matches!(it, AgentEvent::RoleChanged { .. })).len();
                assert_eq!(changes(session.a) + changes(session.b), 1);
                session.assert_media();
            }
        }
    }
}

#[test]
fn nat_simultaneous_restarts_keep_media_flowing_and_find_new_pairs() {
    for link in [Link::default(), Link::bad(0.3)] {
        let mut plan = homes(Access::PortRestricted, Access::PortRestricted);
        plan.link = link;
        let mut session = plan.start();
        session.connect(secs(60)).unwrap();
        let selections = |session: &Session, node| {
            session.events(node, |it| matches!(it, AgentEvent::PairSelected { .. })).len()
        };
        for round in 1..=3 {
            let (a, b) = (session.a, session.b);
            let before = [a, b].map(|node| session.node(node).agent.credentials().clone());
            // Both decide for themselves, at the same moment; the offerer controls.
            session.with(a, |it, now| it.agent.restart(Some(Role::Controlling), now));
            session.with(b, |it, now| it.agent.restart(Some(Role::Controlled), now));
            let after = [a, b].map(|node| session.node(node).agent.credentials().clone());
            assert!(before[0] != after[0] && before[1] != after[1]);
            session.assert_media();
            session.renegotiate();
            assert!(session.connect(secs(60)).is_some());
            session.assert_media();
            assert!(selections(&session, a) > round && selections(&session, b) > round);
        }
        let lost = |it: &AgentEvent| matches!(it, AgentEvent::ConsentLost { .. });
        assert!(session.events(session.a, lost).is_empty() && session.events(session.b, lost).is_empty());
    }
}

#[test]
fn consent_is_asked_for_every_five_seconds_and_ends_thirty_after_the_last_answer() {
    let mut session = homes(Access::Open, Access::Open).start();
    session.connect(secs(5)).unwrap();
    let start = session.network.elapsed();
    let before = session.network.trace().sent_by("a");
    session.run(secs(600));
    let sent = session.network.trace().sent_by("a") - before;
    // 120 questions of its own and as many answers.
    assert!((225..=255).contains(&sent), "{sent}");
    let b = session.hosts[1];
    session.network.set_connected(b, 0, false).unwrap();
    let cut = session.network.elapsed();
    session.run(secs(40));
    let a = session.a;
    let lost = session.events(a, |it| matches!(it, AgentEvent::ConsentLost { component: 1, .. }));
    assert_eq!(lost.len(), 1);
    let after = lost[0].0 - cut;
    assert!((secs(23)..=secs(30)).contains(&after), "{after:?} after {start:?}");
    assert_eq!(session.node(a).state(), StreamState::Disconnected);
    // Nothing is sent any more, neither media nor questions.
    let mut buffer = [0; 100];
    session.with(a, |it, _| {
        assert_eq!(it.agent.send(it.stream, 1, b"x", &mut buffer), Err(SendError::NoConsent))
    });
    let before = session.network.trace().sent_by("a");
    session.run(secs(60));
    assert_eq!(session.network.trace().sent_by("a"), before);
}

#[test]
fn nat_bindings_and_relays_stay_alive_for_an_hour_without_media() {
    for (access, turn) in [(Access::PortRestricted, false), (Access::Symmetric, true)] {
        let mut plan = homes(access, access);
        plan.turn = turn;
        let mut session = plan.start();
        session.connect(secs(60)).unwrap();
        session.run(secs(3600));
        assert_eq!(session.node(session.a).state(), StreamState::Completed);
        session.assert_media();
    }
}

#[test]
fn without_consent_indications_keep_the_pair_alive() {
    let mut plan = homes(Access::PortRestricted, Access::PortRestricted);
    plan.configs.iter_mut().for_each(|config| config.consent = false);
    let mut session = plan.start();
    session.connect(secs(60)).unwrap();
    let before = session.network.trace().sent_by("a");
    session.run(secs(3600));
    assert_eq!(session.network.trace().sent_by("a") - before, 240, "one each 15 s, and no answers");
    session.assert_media();
}

#[test]
fn the_network_changes_and_the_call_goes_on() {
    let mut plan = homes(Access::PortRestricted, Access::Open);
    plan.seed = 3;
    let mut session = plan.start();
    session.connect(secs(60)).unwrap();
    session.assert_media();
    // A telephone leaves the house: the wireless network goes, the mobile one comes.
    let (a, host) = (session.a, session.hosts[0]);
    let mobile = ip("203.0.113.200");
    let interface = session.network.attach(host, session.internet, &[mobile]).unwrap();
    let socket = SocketAddr::new(mobile, 45_000);
    session.network.bind(a, sim::Protocol::Udp, socket).unwrap();
    session.with(a, |it, now| {
        let local = LocalAddress { cost: 2, ..LocalAddress::udp(socket) };
        it.agent.add_local_address(it.stream, 1, local, now).unwrap();
    });
    // Still by the old way; the new candidate is trickled, checked, and works, but it is not chosen.
    session.run(secs(2));
    assert_eq!(interface, 1);
    session.network.set_connected(host, 0, false).unwrap();
    session.with(a, |it, now| it.agent.remove_local_address(at("10.1.0.11:40101"), now).unwrap());
    // What we send goes by the new address at once, before any signalling.
    let b = session.b;
    session.with(b, |it, _| it.media.clear());
    session.with(a, |it, _| assert!(it.send_media(1, b"\x80voice")));
    session.run(ms(100));
    assert_eq!(session.node(b).media, [(true, b"\x80voice".to_vec())]);
    session.with(a, |it, now| it.agent.restart(None, now));
    session.with(b, |it, now| it.agent.restart(None, now));
    session.renegotiate();
    assert!(session.connect(secs(10)).is_some());
    session.assert_media();
    let path = session.node(a).path().unwrap();
    assert_eq!(path.local.address, CandidateAddress::Ip(socket));
    let gone = |it: &AgentEvent| matches!(it, AgentEvent::StateChanged { state: StreamState::Failed, .. });
    assert!(session.events(a, gone).is_empty());
}

#[test]
fn all_addresses_gone_is_a_stream_without_a_path() {
    let mut session = homes(Access::Open, Access::Open).start();
    session.connect(secs(60)).unwrap();
    let a = session.a;
    session.with(a, |it, now| it.agent.remove_local_address(at("203.0.113.1:40101"), now).unwrap());
    session.run(secs(1));
    assert_eq!(session.node(a).state(), StreamState::Disconnected);
    let mut buffer = [0; 100];
    session
        .with(a, |it, _| assert_eq!(it.agent.send(it.stream, 1, b"x", &mut buffer), Err(SendError::NoPair)));
    session.with(a, |it, now| {
        let again = it.agent.remove_local_address(at("203.0.113.1:40101"), now);
        assert_eq!(again, Err(AgentMisuse::UnknownAddress));
    });
}

#[test]
fn checks_that_come_before_the_description_are_answered_and_remembered() {
    let mut session = homes(Access::Open, Access::Open).start();
    // The offer takes its time on the way back: A's answer-side peer checks long before A knows it.
    let (a, b) = (session.a, session.b);
    let of_a = session.node(a).agent.credentials().clone();
    let of_b = session.node(b).agent.credentials().clone();
    let candidates = gathered(session.node(a));
    session.with(b, |it, now| {
        it.agent.set_remote_credentials(it.stream, &of_a, false, now).unwrap();
        for candidate in candidates {
            it.agent.add_remote_candidate(it.stream, candidate, now).unwrap();
        }
    });
    session.network.run_for(secs(2));
    assert_eq!(session.node(b).state(), StreamState::Connected, "A has answered");
    assert_eq!(session.node(a).state(), StreamState::New);
    session.with(a, |it, now| it.agent.set_remote_credentials(it.stream, &of_b, false, now).unwrap());
    session.network.run_for(ms(400));
    assert_eq!(
        session.node(a).state(),
        StreamState::Completed,
        "without one candidate of B's having been told"
    );
    let path = session.node(a).path().unwrap();
    assert_eq!(path.remote.kind, CandidateKind::PeerReflexive);
}

#[test]
fn tcp_candidates_connect_where_udp_cannot() {
    for link in [Link::default(), Link::bad(0.1)] {
        let mut plan = homes(Access::NoUdp, Access::Open);
        (plan.tcp, plan.link) = (true, link);
        let mut session = plan.start();
        assert!(session.connect(secs(60)).is_some());
        session.assert_media();
        let path = session.node(session.a).path().unwrap();
        assert_eq!(path.local.transport, CandidateTransport::TcpActive);
        assert_eq!(path.remote.transport, CandidateTransport::TcpPassive);
        // The connection breaks: so does the pair.
        let b = session.hosts[1];
        session.network.set_connected(b, 0, false).unwrap();
        session.run(secs(120));
        assert_eq!(session.node(session.a).state(), StreamState::Disconnected);
    }
}

#[test]
fn tcp_is_not_preferred_where_udp_works() {
    let mut plan = homes(Access::PortRestricted, Access::Open);
    plan.tcp = true;
    let mut session = plan.start();
    session.connect(secs(60)).unwrap();
    assert_eq!(session.node(session.a).path().unwrap().local.transport, CandidateTransport::Udp);
}

#[test]
fn names_are_resolved_through_the_driver() {
    let mut session = homes(Access::Open, Access::Open).start();
    session.trickle = false;
    let (a, b) = (session.a, session.b);
    session.network.names().add("4d21.local", Record::A([203, 0, 113, 1].into()));
    let credentials = [a, b].map(|node| session.node(node).agent.credentials().clone());
    let hidden = gathered(session.node(a))[0].clone().under_name("4d21.local").to_string();
    assert!(hidden.contains(" 4d21.local 40101 typ host"));
    session.with(b, |it, now| {
        it.agent.set_remote_credentials(it.stream, &credentials[0], false, now).unwrap();
        it.agent.add_remote_candidate(it.stream, hidden.parse().unwrap(), now).unwrap();
    });
    session.network.run_for(ms(10));
    session
        .with(a, |it, now| it.agent.set_remote_credentials(it.stream, &credentials[1], false, now).unwrap());
    session.network.run_for(secs(2));
    assert_eq!(session.node(b).state(), StreamState::Completed);
}

#[test]
fn two_components_have_a_pair_each_and_a_bundled_stream_can_go() {
    let mut plan = homes(Access::PortRestricted, Access::PortRestricted);
    plan.components = 2;
    let mut session = plan.start();
    session.connect(secs(60)).unwrap();
    let (a, b) = (session.a, session.b);
    let selected: Vec<_> =
        session.node(a).report().into_iter().filter(|it| it.selected).map(|it| it.component).collect();
    assert_eq!(selected.iter().copied().min().zip(selected.iter().copied().max()), Some((1, 2)));
    session.with(a, |it, _| assert!(it.send_media(2, b"\x81rtcp")));
    session.run(secs(1));
    assert_eq!(session.node(b).media, [(true, b"\x81rtcp".to_vec())]);
    // A second stream, which turns out to be bundled with the first.
    session.with(a, |it, now| {
        let stream = it.agent.add_stream(1);
        it.agent.remove_stream(stream, now).unwrap();
        assert_eq!(it.agent.remove_stream(stream, now), Err(AgentMisuse::UnknownStream));
        assert_eq!(it.agent.all_addresses_added(stream, now), Err(AgentMisuse::UnknownStream));
    });
    let ended =
        session.events(a, |it| matches!(it, AgentEvent::StreamEnded { reason: StreamEnd::Removed, .. }));
    assert_eq!(ended.len(), 1);
    // The sockets of a removed stream are not the agent's any more.
    session.with(a, |it, now| it.agent.remove_stream(it.stream, now).unwrap());
    session.with(a, |it, now| {
        let mut datagram = *b"\x80voice";
        let action = it.agent.receive(&mut datagram, at("10.1.0.11:40101"), at("192.0.2.2:1"), now);
        assert_eq!(action, denwa_ice::agent::Action::Dropped("no such socket"));
    });
}

#[test]
fn relay_only_shows_no_address_and_sends_nothing_but_to_the_relay() {
    let mut plan = homes(Access::Open, Access::Open);
    plan.turn = true;
    plan.configs[0].policy = Policy::RelayOnly;
    let mut session = plan.start();
    session.connect(secs(60)).unwrap();
    session.assert_media();
    let shown: Vec<_> = gathered(session.node(session.a)).iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0].contains("typ relay raddr 0.0.0.0 rport 0") && !shown[0].contains("203.0.113.1"),
        "{shown:?}"
    );
    let trace = session.network.trace().to_string();
    let astray = trace.lines().filter(|line| {
        line.contains(" a ") && line.contains("sent") && !line.contains("-> 198.51.100.1:3478")
    });
    assert_eq!(astray.count(), 0);
    // Not even an answer to whoever guesses the address and knows the credentials.
    let of_a = session.node(session.a).agent.credentials().clone();
    let check = check(&of_a, "peer", 1, true, [9; 12]);
    let b = session.b;
    session.with(b, |it, _| {
        let guess = sim::Transmit::datagram(Some(at("203.0.113.2:40201")), at("203.0.113.1:40101"), check);
        it.outputs.push_back(sim::Output::Transmit(guess));
    });
    let before = session.network.trace().sent_by("a");
    session.network.run_for(ms(100));
    assert_eq!(session.network.trace().sent_by("a"), before);
}

#[test]
fn two_lite_ends_take_their_best_pair_without_a_check() {
    let mut plan = homes(Access::Open, Access::Open);
    plan.configs.iter_mut().for_each(|config| config.lite = true);
    plan.trickle = false;
    let mut session = plan.start();
    assert!(session.connect(secs(5)).is_some());
    assert_eq!(session.network.trace().sent_by("a"), 0);
    session.assert_media();
}

#[test]
fn a_wrong_password_never_connects_and_the_report_says_why() {
    let mut session = homes(Access::Open, Access::Open).start();
    let (a, b) = (session.a, session.b);
    let candidates = gathered(session.node(b));
    let fragment = session.node(b).agent.credentials().fragment.clone();
    session.with(a, |it, now| {
        let wrong = Credentials::new(&fragment, "0123456789012345678901");
        it.agent.set_remote_credentials(it.stream, &wrong, false, now).unwrap();
        for candidate in candidates {
            it.agent.add_remote_candidate(it.stream, candidate, now).unwrap();
        }
        it.agent.end_of_remote_candidates(it.stream, now).unwrap();
    });
    session.network.run_for(secs(39));
    assert_eq!(session.node(a).state(), StreamState::Checking);
    session.network.run_for(secs(2));
    assert_eq!(session.node(a).state(), StreamState::Failed);
    let report = &session.node(a).report()[0];
    // Whoever does not know the password cannot sign an answer that we would believe.
    assert_eq!((report.state, report.failure), (PairState::Failed, Some(PairFailure::NoAnswer)));
    assert_eq!((report.requests_sent, report.responses_received, report.requests_received), (15, 0, 0));
    let text = report.to_string();
    assert_eq!(
        text,
        "component 1: host 203.0.113.1:40101 to host 203.0.113.2:40201: no answer to 15 requests, and none from the peer"
    );
}

#[test]
fn the_report_tells_what_was_tried_and_why_it_failed() {
    let mut plan = homes(Access::Symmetric, Access::Symmetric);
    plan.turn = true;
    let mut session = plan.start();
    session.connect(secs(60)).unwrap();
    session.run(secs(60));
    let lines: Vec<_> = session.node(session.a).report().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines.iter().filter(|line| line.contains("works, in use, round trip")).count(),
        1,
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(
            |line| line.contains("host 10.2.0.12:40201") && line.contains("when another pair was chosen")
        ),
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(|line| line.ends_with("the TURN server does not relay to this peer")),
        "{lines:#?}"
    );
    let failed = session.events(session.a, |it| matches!(it, AgentEvent::ServerFailed { .. }));
    assert!(failed.is_empty());
}

#[test]
fn silent_and_refusing_servers_are_told() {
    let mut plan = homes(Access::Open, Access::Open);
    plan.turn = true;
    let mut session = plan.start();
    let a = session.a;
    let silent = at("198.51.100.77:3478");
    let host = session.hosts[0];
    let now = session.network.now();
    let mut config = AgentConfig { stun_servers: vec![silent], ..AgentConfig::default() };
    let server = denwa_ice::turn::client::ServerAddress::udp(at(STUN));
    config.turn_servers = vec![denwa_ice::turn::client::ClientConfig::new(server, "alice", "wrong")];
    let node = session.network.add_machine(host, AgentNode::new(config, 1, [5; 32], now)).unwrap();
    let socket = at("203.0.113.1:41000");
    session.network.bind(node, sim::Protocol::Udp, socket).unwrap();
    session.with(node, |it, now| {
        it.agent.add_local_address(it.stream, 1, LocalAddress::udp(socket), now).unwrap();
        it.agent.all_addresses_added(it.stream, now).unwrap();
    });
    session.network.run_for(secs(45));
    let failures: Vec<_> = (session.node(node).events.iter())
        .filter_map(|(_, event)| match event {
            AgentEvent::ServerFailed { server, reason, .. } => Some((*server, *reason)),
            _ => None,
        })
        .collect();
    let refused = denwa_ice::turn::client::EndReason::CredentialsRefused;
    assert_eq!(failures, [(at(STUN), ServerFailure::Turn(refused)), (silent, ServerFailure::NoAnswer)]);
    assert!(matches!(session.node(node).events.last(), Some((_, AgentEvent::GatheringFinished { .. }))));
    let _ = a;
}

#[test]
fn early_candidates_and_pairs_have_limits() {
    let mut session = homes(Access::Open, Access::Open).start();
    let a = session.a;
    session.with(a, |it, now| {
        let candidate = |port: u16| -> Candidate {
            format!("candidate:{port} 1 udp {port} 203.0.113.9 {port} typ host").parse().unwrap()
        };
        let mut outcomes = Vec::new();
        for port in 1..100 {
            outcomes.push(it.agent.add_remote_candidate(it.stream, candidate(port), now));
            outcomes.push(it.agent.add_remote_candidate(it.stream, candidate(1), now));
        }
        assert!(outcomes.iter().filter(|it| it.is_ok()).count() >= 64);
        assert!(outcomes.contains(&Err(AgentMisuse::LimitReached)));
        assert!(it.agent.holdings() <= 128);
    });
    // Whoever knows the password, and sends checks from everywhere.
    let of_a = session.node(a).agent.credentials().clone();
    session.with(a, |it, now| {
        for port in 1..2000_u16 {
            let mut id = [0; 12];
            id[..2].copy_from_slice(&port.to_be_bytes());
            let mut datagram = check(&of_a, "peer", 1, true, id);
            it.agent.receive(
                &mut datagram,
                at("203.0.113.1:40101"),
                SocketAddr::new(ip("203.0.113.77"), port),
                now,
            );
        }
        assert!(it.agent.holdings() <= 160, "{}", it.agent.holdings());
        let peer = Credentials::new("peer", "0123456789012345678901");
        it.agent.set_remote_credentials(it.stream, &peer, false, now).unwrap();
        for port in 1..2000_u16 {
            let mut id = [1; 12];
            id[..2].copy_from_slice(&port.to_be_bytes());
            let mut datagram = check(&of_a, "peer", 1, true, id);
            it.agent.receive(
                &mut datagram,
                at("203.0.113.1:40101"),
                SocketAddr::new(ip("203.0.113.77"), port),
                now,
            );
        }
        assert!(it.agent.holdings() <= 180, "{}", it.agent.holdings());
    });
    let limit =
        |it: &AgentEvent| matches!(it, AgentEvent::LimitReached { limit: AgentLimit::RemoteCandidates, .. });
    assert!(!session.events(a, limit).is_empty());
}

/// A check as a peer `fragment` would send it to the owner of these credentials.
fn check(to: &Credentials, fragment: &str, priority: u32, nominates: bool, id: [u8; 12]) -> Vec<u8> {
    let mut buffer = [0; 300];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, TransactionId(id));
    writer.put(&Username(&format!("{}:{fragment}", to.fragment)));
    writer.put(&Priority(priority));
    writer.put(&IceControlling(u64::MAX));
    if nominates {
        writer.put(&UseCandidate);
    }
    writer.integrity(&IntegrityKey::short_term(&to.password));
    writer.fingerprint();
    let length = writer.finish().unwrap();
    buffer[..length].to_vec()
}

#[test]
fn strangers_get_no_more_than_they_send_and_wrong_checks_what_the_rfc_says() {
    let mut session = homes(Access::Open, Access::Open).start();
    let (a, of_a) = (session.a, session.node(session.a).agent.credentials().clone());
    let (local, remote) = (at("203.0.113.1:40101"), at("203.0.113.77:9"));
    let mut ask = |mut datagram: Vec<u8>| {
        session.with(a, |it, now| {
            while it.agent.poll_output().is_some() {}
            let sent = datagram.len();
            it.agent.receive(&mut datagram, local, remote, now);
            std::iter::from_fn(|| it.agent.poll_output()).find_map(|output| match output {
                denwa_ice::Output::Transmit(transmit) if transmit.destination == remote => {
                    let message = Message::parse(&transmit.payload).unwrap();
                    let error = message.get::<ErrorCodeAttribute<'_>>().unwrap().map(|it| it.code);
                    Some((error, transmit.payload.len() <= sent, message.has_integrity()))
                }
                _ => None,
            })
        })
    };
    let good = check(&of_a, "peer", 1, false, [1; 12]);
    assert_eq!(ask(good.clone()), Some((None, true, true)));
    // Not signed, or signed with another key.
    let mut buffer = [0; 300];
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, TransactionId([1; 12]));
    writer.fingerprint();
    let length = writer.finish().unwrap();
    assert_eq!(ask(buffer[..length].to_vec()), None, "an answer would be longer than the request");
    let wrong = Credentials::new(&of_a.fragment, "0123456789012345678901");
    assert_eq!(
        ask(check(&wrong, "peer", 1, false, [1; 12])),
        Some((Some(ErrorCode::UNAUTHENTICATED), true, false))
    );
    let nobody = Credentials::new("nobody", "0123456789012345678901");
    assert_eq!(
        ask(check(&nobody, "peer", 1, false, [1; 12])),
        Some((Some(ErrorCode::UNAUTHENTICATED), true, false))
    );
    // An attribute that nobody knows.
    let mut writer = Writer::new(&mut buffer, Class::Request, Method::BINDING, TransactionId([1; 12]));
    writer.put(&Username(&format!("{}:peer", of_a.fragment)));
    writer.attribute(denwa_ice::stun::AttributeKind(0x7FFF), &[]);
    writer.integrity(&IntegrityKey::short_term(&of_a.password));
    let length = writer.finish().unwrap();
    assert!(matches!(ask(buffer[..length].to_vec()), Some((Some(ErrorCode::UNKNOWN_ATTRIBUTE), _, true))));
    // Every single bit of a good check that is flipped makes it no check.
    // (The fingerprint at its end is another's business: without it the signature still holds.)
    for bit in 0..(good.len() - 8) * 8 {
        let mut bent = good.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let answer = ask(bent);
        assert!(answer.is_none_or(|(error, ..)| error.is_some()), "bit {bit}: {answer:?}");
    }
}

#[test]
fn a_peer_that_nominates_everything_gets_the_best_of_it() {
    // RFC 5245's aggressive nomination, by hand: the peer sends USE-CANDIDATE on two pairs, the worse one first.
    let mut session = homes(Access::Open, Access::Open).start();
    let b = session.b;
    let of_b = session.node(b).agent.credentials().clone();
    let peer = Credentials::new("peer", "0123456789012345678901");
    let key = IntegrityKey::short_term(&peer.password);
    let local = at("203.0.113.2:40201");
    let (worse, better) = (at("203.0.113.50:1"), at("203.0.113.50:2"));
    session.with(b, |it, now| {
        while it.agent.poll_output().is_some() {}
        it.agent.set_remote_credentials(it.stream, &peer, false, now).unwrap();
        let mut selected = Vec::new();
        let mut now = now;
        for (remote, priority, number) in [(worse, 100, 1), (better, 200, 2), (worse, 100, 3)] {
            it.agent.receive(&mut check(&of_b, "peer", priority, true, [number; 12]), local, remote, now);
            for _ in 0..10 {
                now += ms(50);
                it.agent.handle_timeout(now);
                while let Some(output) = it.agent.poll_output() {
                    match output {
                        denwa_ice::Output::Transmit(transmit) => {
                            let request = Message::parse(&transmit.payload).unwrap();
                            if request.class() == Class::Request && transmit.destination == remote {
                                assert!(request.get::<IceControlled>().unwrap().is_some());
                                let mut buffer = [0; 200];
                                let mut writer =
                                    Writer::new(&mut buffer, Class::Success, Method::BINDING, request.id());
                                writer.put(&XorMappedAddress(local));
                                writer.integrity(&key);
                                let length = writer.finish().unwrap();
                                it.agent.receive(&mut buffer[..length].to_vec(), local, remote, now);
                            }
                        }
                        denwa_ice::Output::Event(AgentEvent::PairSelected { remote, .. }) => {
                            selected.push(remote.address.ip().unwrap());
                        }
                        _ => {}
                    }
                }
            }
        }
        assert_eq!(selected, [worse, better]);
    });
}

#[test]
fn loss_of_consent_and_a_restart_bring_the_call_back() {
    let mut session = homes(Access::PortRestricted, Access::PortRestricted).start();
    session.connect(secs(60)).unwrap();
    let internet = session.internet;
    session.network.set_link(internet, Link { loss: Loss::All, ..Link::default() }).unwrap();
    session.run(secs(60));
    assert_eq!(session.node(session.a).state(), StreamState::Disconnected);
    session.network.set_link(internet, Link::default()).unwrap();
    let (a, b) = (session.a, session.b);
    session.with(a, |it, now| it.agent.restart(None, now));
    session.with(b, |it, now| it.agent.restart(None, now));
    session.renegotiate();
    assert!(session.connect(secs(60)).is_some());
    session.assert_media();
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = || {
        let mut plan = homes(Access::Symmetric, Access::PortRestricted);
        (plan.turn, plan.link, plan.tcp) = (true, Link::bad(0.2), true);
        let mut session = plan.start();
        session.connect(secs(60));
        session.network.trace().to_string()
    };
    let first = run();
    assert_eq!(first, run());
    assert!(first.lines().count() > 200);
}

#[test]
fn the_agent_keeps_the_ten_laws() {
    let local = at("192.0.2.1:40000");
    let peer = Credentials::new("peer", "0123456789012345678901");
    let key = IntegrityKey::short_term(&peer.password);
    let answer = move |outputs: &[sim::Output]| -> Vec<Stimulus> {
        // Every check of the last second is answered.
        let requests = outputs.iter().rev().take(6).filter_map(|output| match output {
            sim::Output::Transmit(transmit) if transmit.destination.port() == 7000 => Some(transmit),
            _ => None,
        });
        requests
            .filter_map(|transmit| {
                let request = Message::parse(&transmit.payload).ok()?;
                let mut buffer = [0; 200];
                let mut writer = Writer::new(&mut buffer, Class::Success, Method::BINDING, request.id());
                writer.put(&XorMappedAddress(at("203.0.113.1:5")));
                writer.integrity(&key);
                let length = writer.finish().ok()?;
                let (remote, payload) = (transmit.destination, buffer[..length].to_vec());
                Some(Stimulus::Datagram { local, remote, payload })
            })
            .collect()
    };
    let config = || AgentConfig {
        stun_servers: vec![at(STUN)],
        turn_servers: vec![denwa_ice::turn::client::ClientConfig::new(
            denwa_ice::turn::client::ServerAddress::udp(at(STUN)),
            "alice",
            "secret",
        )],
        ..AgentConfig::default()
    };
    let own = denwa_ice::Agent::new(config(), denwa_ice::Seed([7; 32]), std::time::Instant::now());
    let of_own = own.credentials().clone();
    let credentials = peer.clone();
    Subject::new(move |seed, now| AgentNode::new(config(), 1, seed, now))
        .command(secs(0), move |it, now| {
            let _ = it.agent.add_local_address(it.stream, 1, LocalAddress::udp(local), now);
            let _ = it.agent.all_addresses_added(it.stream, now);
        })
        .command(ms(500), move |it, now| {
            let _ = it.agent.set_remote_credentials(it.stream, &credentials, false, now);
            for text in [
                "candidate:1 1 udp 2130706431 198.51.100.9 7000 typ host",
                "candidate:2 1 udp 1694498815 203.0.113.9 7000 typ srflx raddr 10.0.0.1 rport 7000",
                "candidate:3 1 udp 1694498815 peer.local 7000 typ host",
            ] {
                let _ = it.agent.add_remote_candidate(it.stream, text.parse().unwrap(), now);
            }
            let _ = it.agent.end_of_remote_candidates(it.stream, now);
        })
        .input(
            ms(700),
            Stimulus::Datagram {
                local,
                remote: at("203.0.113.9:7000"),
                payload: check(&of_own, "peer", 5, false, [4; 12]),
            },
        )
        .reply(ms(800), answer.clone())
        .reply(ms(1100), answer.clone())
        .reply(ms(1500), answer.clone())
        .reply(secs(8), answer.clone())
        .command(secs(20), |it, now| it.agent.restart(None, now))
        .command(secs(25), |it, now| {
            let _ = it.agent.remove_stream(it.stream, now);
        })
        .flood(1000, move |number| {
            let mut id = [0; 12];
            id[..8].copy_from_slice(&number.to_be_bytes());
            let payload = check(&of_own, "peer", 5, true, id);
            let remote = SocketAddr::new(ip("203.0.113.77"), number as u16 + 1);
            Stimulus::Datagram { local, remote, payload }
        })
        .bounds(Bounds { outputs_per_input: 16, holdings: 200 })
        .until(Duration::from_secs(60))
        .bent_runs(300)
        .check()
        .unwrap();
}
