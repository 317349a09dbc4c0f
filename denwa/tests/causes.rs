//! Every cause of a silent, refused or lost call, staged in the virtual network, and named by the evidence alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod telephones;
mod virtual_host;

use denwa::address::Network as Subnet;
use denwa::evidence::{Cause, Confidence};
use denwa::ua::UserAgentConfig;
use denwa_rtp::latch::Policy;
use denwa_sdp::{Capability, Codec, Encryption, EncryptionCapability};
use denwa_sim::firewall::{Action, Firewall, Rule};
use denwa_sim::host::Prefix;
use denwa_sim::nat::NatConfig;
use denwa_sim::sip_alg::{SipAlg, Skill};
use denwa_sim::vpn::{self, Member, View};
use denwa_sim::{HostId, Link, SegmentId};
use telephones::{Manner, Tamper, Telephone, World, assert_cause, assert_healthy, call, ip, loudness};

fn subnet(text: &str, length: u8) -> Prefix {
    Prefix::new(ip(text), length)
}

fn as_usual(_: &mut UserAgentConfig) {}

/// A telephone that believes what it is told: it asks nobody how it is seen, and sends where descriptions say.
fn plain(config: &mut UserAgentConfig) {
    config.asks_how_seen = false;
    config.redirects_media = false;
    config.latch.policy = Policy::Signalled;
}

fn assert_hears(phone: &Telephone, pitch: f64, wanted: bool) {
    let heard = phone.room.lock().unwrap().heard.clone();
    let loud = heard.len() > 24_000 && loudness(&heard[8000..24_000], pitch) > -13.0;
    assert_eq!(loud, wanted, "{pitch} in {} samples", heard.len());
}

/// A home behind a router, whose telephones have addresses in 192.168.1.0/24.
fn home(world: &mut World, router: &str, config: NatConfig) -> (SegmentId, HostId) {
    let inside = world.network.add_segment("home", &[subnet("192.168.1.0", 24)], Link::default());
    let outside = world.internet;
    let gateway = ip("192.168.1.1");
    let nat =
        world.network.add_nat("router", (outside, &[ip(router)]), (inside, &[gateway]), config).unwrap();
    (inside, nat)
}

#[test]
fn a_healthy_call_has_no_findings() {
    let mut world = World::new(30);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 20);
    assert_healthy(&alice);
    assert_healthy(&bob);
}

/// Two hosts on the Internet and in a VPN, which shows one or both of them under another address to the other.
struct Vpn {
    world: World,
    alice: Telephone,
    bob: Telephone,
    /// How each knows the other.
    alice_for_bob: &'static str,
    bob_for_alice: &'static str,
}

fn vpn(seed: u64, both: bool, of_alice: fn(&mut UserAgentConfig), of_bob: fn(&mut UserAgentConfig)) -> Vpn {
    let mut world = World::new(seed);
    let internet = world.internet;
    let (a, b) = (ip("100.64.0.1"), ip("100.70.198.29"));
    let alices = world.network.add_host("alice", internet, &[ip("192.0.2.1")]).unwrap();
    let bobs = world.network.add_host("bob", internet, &[ip("192.0.2.2")]).unwrap();
    let mut views = vec![View { viewer: a, real: b, alias: ip("100.110.206.106") }];
    if both {
        views.push(View { viewer: b, real: a, alias: ip("100.99.1.1") });
    }
    let members = [Member { host: alices, address: a }, Member { host: bobs, address: b }];
    vpn::join(&mut world.network, "vpn0", &members, &views).unwrap();
    let alice = world.phone_on(alices, "alice", a, 440.0, Manner::Answers, of_alice);
    let bob = world.phone_on(bobs, "bob", b, 600.0, Manner::Answers, of_bob);
    let alice_for_bob = if both { "sip:alice@100.99.1.1" } else { "sip:alice@100.64.0.1" };
    Vpn { world, alice, bob, alice_for_bob, bob_for_alice: "sip:bob@100.110.206.106" }
}

#[test]
fn a_vpn_that_renames_hosts() {
    let Vpn { mut world, alice, bob, bob_for_alice, .. } = vpn(31, true, plain, plain);
    call(&mut world, &alice, bob_for_alice, 12);
    assert_cause(&alice, Cause::RenamingVpn, Confidence::Certain);
    assert_cause(&bob, Cause::RenamingVpn, Confidence::Certain);
    assert_hears(&alice, 600.0, false);
    assert_hears(&bob, 440.0, false);
}

#[test]
fn a_renaming_vpn_is_cured_by_one_end_alone_calling_and_called() {
    for both in [false, true] {
        for (of_alice, of_bob) in [
            (as_usual as fn(&mut UserAgentConfig), plain as fn(&mut UserAgentConfig)),
            (plain, as_usual),
            (as_usual, as_usual),
        ] {
            for bob_calls in [false, true] {
                let Vpn { mut world, alice, bob, alice_for_bob, bob_for_alice } =
                    vpn(32, both, of_alice, of_bob);
                if bob_calls {
                    call(&mut world, &bob, alice_for_bob, 12);
                } else {
                    call(&mut world, &alice, bob_for_alice, 12);
                }
                assert_hears(&alice, 600.0, true);
                assert_hears(&bob, 440.0, true);
                // ACK and BYE arrive: both know that the call is over, and how.
                let told = [world.told(&alice), world.told(&bob)];
                let ends = |told: &[String], how: &str| told.iter().any(|line| line.starts_with(how));
                assert!(told.iter().any(|told| ends(told, "ended: hung up here")), "{told:?}");
                assert!(told.iter().any(|told| ends(told, "ended: the other side hung up")), "{told:?}");
            }
        }
    }
}

#[test]
fn a_media_server_apart_from_its_signalling_is_left_in_peace() {
    // The telephone on another host of the same network than the server that speaks for it: the description names the one,
    // the signalling comes from the other, and both lie behind the same interface.
    let mut world = World::new(33);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let servers = world.network.add_host("proxy", world.internet, &[ip("192.0.2.50")]).unwrap();
    world.network.add_address(servers, 0, ip("192.0.2.51")).unwrap();
    let apart = |config: &mut UserAgentConfig| {
        plain(config);
        config.addresses.external_v4 = Some("192.0.2.51".parse().unwrap());
    };
    let bob = world.phone_on(servers, "bob", ip("192.0.2.50"), 600.0, Manner::Silent, apart);
    call(&mut world, &alice, "sip:bob@192.0.2.50", 10);
    let entries: Vec<String> =
        world.network.trace().entries().iter().map(|entry| format!("{entry:?}")).collect();
    let from_alice = |to: &str| {
        let (from, to) = ("source: 192.0.2.1:30001", format!("destination: {to}"));
        entries.iter().filter(|line| line.contains(from) && line.contains(&to)).count()
    };
    assert!(from_alice("192.0.2.51:30001") > 400, "media go where the description says");
    assert_eq!(from_alice("192.0.2.50"), 0, "and not one packet to the signalling's address");
    drop(bob);
}

#[test]
fn a_peer_behind_an_address_translator() {
    let mut world = World::new(34);
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, plain);
    let (inside, _) = home(&mut world, "203.0.113.5", NatConfig::port_restricted());
    let host = world.network.add_host("bob", inside, &[ip("192.168.1.20")]).unwrap();
    let bob = world.phone_on(host, "bob", ip("192.168.1.20"), 600.0, Manner::Silent, plain);
    call(&mut world, &bob, "sip:alice@192.0.2.1", 10);
    assert_cause(&alice, Cause::PeerBehindNat, Confidence::Certain);
}

#[test]
fn an_external_address_gone_stale() {
    let mut world = World::new(35);
    let (inside, _) = home(&mut world, "203.0.113.5", NatConfig::port_restricted());
    let host = world.network.add_host("alice", inside, &[ip("192.168.1.20")]).unwrap();
    let stale = |config: &mut UserAgentConfig| {
        plain(config);
        config.addresses.local = Subnet::PRIVATE.to_vec();
        config.addresses.external_v4 = Some("203.0.113.99".parse().unwrap());
    };
    let alice = world.phone_on(host, "alice", ip("192.168.1.20"), 440.0, Manner::Answers, stale);
    let _bob = world.phone_with("bob", "192.0.2.2", 600.0, Manner::Answers, plain);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 10);
    assert_cause(&alice, Cause::ExternalAddressWrong, Confidence::Certain);
}

#[test]
fn the_local_network_was_forgotten() {
    let mut world = World::new(36);
    let (inside, _) = home(&mut world, "203.0.113.5", NatConfig::port_restricted());
    let host = world.network.add_host("alice", inside, &[ip("192.168.1.2")]).unwrap();
    let forgetful = |config: &mut UserAgentConfig| {
        plain(config);
        config.addresses.external_v4 = Some("203.0.113.5".parse().unwrap());
    };
    let alice = world.phone_on(host, "alice", ip("192.168.1.2"), 440.0, Manner::Answers, forgetful);
    let host = world.network.add_host("bob", inside, &[ip("192.168.1.3")]).unwrap();
    let _bob = world.phone_on(host, "bob", ip("192.168.1.3"), 600.0, Manner::Answers, plain);
    call(&mut world, &alice, "sip:bob@192.168.1.3", 10);
    assert_cause(&alice, Cause::LocalNetworkForgotten, Confidence::Certain);
}

/// Alice, and Bob behind a firewall of his own.
fn firewalled(seed: u64, rule: Rule) -> (World, Telephone, Telephone) {
    let mut world = World::new(seed);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let host = world.network.add_host("bob", world.internet, &[ip("192.0.2.2")]).unwrap();
    world.network.add_middlebox(host, Firewall::new().rule(rule)).unwrap();
    let bob = world.phone_on(host, "bob", ip("192.0.2.2"), 600.0, Manner::Answers, as_usual);
    (world, alice, bob)
}

#[test]
fn a_firewall_that_drops_the_media_ports() {
    let rule = Rule::new(Action::Drop).from_ports(30_000..=40_000);
    let (mut world, alice, bob) = firewalled(37, rule);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 15);
    assert_cause(&alice, Cause::MediaBlocked, Confidence::Likely);
    assert_cause(&bob, Cause::MediaBlocked, Confidence::Likely);
}

#[test]
fn a_firewall_that_drops_one_way_only() {
    // Bob's RTP does not leave; his RTCP does.
    let (mut world, alice, bob) =
        firewalled(38, Rule::new(Action::Drop).from_ports(30_001..=30_001).leaving(0));
    call(&mut world, &alice, "sip:bob@192.0.2.2", 20);
    assert_hears(&bob, 440.0, true);
    assert_hears(&alice, 600.0, false);
    assert_cause(&alice, Cause::MediaBlockedOneWay, Confidence::Likely);
}

#[test]
fn no_codec_in_common() {
    let mut world = World::new(39);
    let only =
        |codec: Codec| move |config: &mut UserAgentConfig| config.capability = Capability::telephone([codec]);
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, only(Codec::pcma()));
    let bob = world.phone_with("bob", "192.0.2.2", 600.0, Manner::Answers, only(Codec::pcmu()));
    call(&mut world, &alice, "sip:bob@192.0.2.2", 3);
    assert_cause(&alice, Cause::NoCommonCodec, Confidence::Certain);
    assert_cause(&bob, Cause::NoCommonCodec, Confidence::Certain);
}

fn protected(policy: Encryption) -> impl Fn(&mut UserAgentConfig) {
    move |config| {
        config.capability =
            Capability::telephone([Codec::pcma()]).with_encryption(EncryptionCapability::sdes(policy));
    }
}

#[test]
fn protection_on_one_side_only() {
    let mut world = World::new(40);
    let alice =
        world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, protected(Encryption::Required));
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 3);
    assert_cause(&alice, Cause::EncryptionOneSided, Confidence::Certain);
    assert_cause(&bob, Cause::EncryptionOneSided, Confidence::Certain);
}

#[test]
fn keys_that_are_not_those_agreed_on() {
    let mut world = World::new(41);
    let alice =
        world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, protected(Encryption::Required));
    let host = world.network.add_host("bob", world.internet, &[ip("192.0.2.2")]).unwrap();
    // Bob's key arrives as another.
    let other_key = |text: &str| {
        let Some(start) = text.find("inline:") else { return Some(text.to_owned()) };
        let (before, after) = text.split_at(start + 7);
        let first = if after.starts_with('A') { 'B' } else { 'A' };
        Some(format!("{before}{first}{}", &after[1..]))
    };
    world.network.add_middlebox(host, Tamper(other_key)).unwrap();
    let _bob =
        world.phone_on(host, "bob", ip("192.0.2.2"), 600.0, Manner::Answers, protected(Encryption::Required));
    call(&mut world, &alice, "sip:bob@192.0.2.2", 10);
    assert_hears(&alice, 600.0, false);
    assert_cause(&alice, Cause::WrongKeys, Confidence::Certain);
}

#[test]
fn a_peer_that_falls_silent() {
    let mut world = World::new(42);
    let impatient = |config: &mut UserAgentConfig| config.silence_after = std::time::Duration::from_secs(5);
    let alice = world.phone_with("alice", "192.0.2.1", 440.0, Manner::Answers, impatient);
    let host = world.network.add_host("bob", world.internet, &[ip("192.0.2.2")]).unwrap();
    let _bob = world.phone_on(host, "bob", ip("192.0.2.2"), 600.0, Manner::Answers, as_usual);
    let talk = world.call(&alice, "sip:bob@192.0.2.2");
    world.pass(5);
    world.network.set_connected(host, 0, false).unwrap();
    world.pass(10);
    world.act(&alice, |agent, now| agent.hang_up(talk, now).unwrap());
    world.pass(40);
    assert_cause(&alice, Cause::PeerFellSilent, Confidence::Certain);
}

#[test]
fn ports_outside_the_set_that_the_router_owns() {
    let mut world = World::new(43);
    let set = (0..15).map(|block| 4096 * (block + 1) + 832..=4096 * (block + 1) + 847).collect();
    let (inside, _) = home(&mut world, "203.0.113.5", NatConfig::map_e(set));
    let host = world.network.add_host("alice", inside, &[ip("192.168.1.20")]).unwrap();
    let alice = world.phone_on(host, "alice", ip("192.168.1.20"), 440.0, Manner::Answers, as_usual);
    let _bob = world.phone_with("bob", "192.0.2.2", 600.0, Manner::Answers, plain);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 10);
    assert_cause(&alice, Cause::PortsOutsideSet, Confidence::Likely);
}

#[test]
fn requests_that_get_no_answer() {
    let mut world = World::new(44);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let silent = world.network.add_host("bob", world.internet, &[ip("192.0.2.2")]).unwrap();
    world.network.set_silent(silent, true).unwrap();
    call(&mut world, &alice, "sip:bob@192.0.2.2", 60);
    assert_cause(&alice, Cause::NoReply, Confidence::Certain);
}

#[test]
fn a_wrong_port_or_transport() {
    let mut world = World::new(45);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let _bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    call(&mut world, &alice, "sip:bob@192.0.2.2:5999", 60);
    assert_cause(&alice, Cause::NobodyListens, Confidence::Certain);
    call(&mut world, &alice, "sip:bob@192.0.2.2:5999;transport=tcp", 60);
    let room = alice.room.lock().unwrap();
    let cause = room.evidence.as_ref().unwrap().findings()[0].cause;
    assert!(matches!(cause, Cause::NobodyListens | Cause::NoReply), "{cause:?}");
}

#[test]
fn a_name_that_nobody_knows() {
    let mut world = World::new(46);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    call(&mut world, &alice, "sip:bob@nowhere.example", 10);
    assert_cause(&alice, Cause::NameUnknown, Confidence::Certain);
}

#[test]
fn a_hold_that_is_never_lifted() {
    let mut world = World::new(47);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
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
    assert_cause(&bob, Cause::HeldForever, Confidence::Certain);
}

#[test]
fn a_router_that_rewrites_signalling_badly() {
    let mut world = World::new(48);
    let (inside, router) = home(&mut world, "203.0.113.5", NatConfig::port_restricted());
    world.network.add_middlebox(router, SipAlg::new(Skill::ForgetsPorts, 5060)).unwrap();
    let host = world.network.add_host("alice", inside, &[ip("192.168.1.20")]).unwrap();
    let alice = world.phone_on(host, "alice", ip("192.168.1.20"), 440.0, Manner::Answers, plain);
    let _bob = world.phone_with("bob", "192.0.2.2", 600.0, Manner::Answers, plain);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 10);
    assert_cause(&alice, Cause::Alg, Confidence::Certain);
}

#[test]
fn an_answer_that_is_never_confirmed() {
    let mut world = World::new(49);
    let host = world.network.add_host("alice", world.internet, &[ip("192.0.2.1")]).unwrap();
    let without_ack = |text: &str| (!text.starts_with("ACK ")).then(|| text.to_owned());
    world.network.add_middlebox(host, Tamper(without_ack)).unwrap();
    let alice = world.phone_on(host, "alice", ip("192.0.2.1"), 440.0, Manner::Answers, as_usual);
    let bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Answers);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 50);
    assert_cause(&bob, Cause::AckLost, Confidence::Certain);
}

#[test]
fn busy_declined_unanswered() {
    let mut world = World::new(50);
    let alice = world.phone("alice", "192.0.2.1", 440.0, Manner::Answers);
    let _bob = world.phone("bob", "192.0.2.2", 600.0, Manner::Refuses);
    call(&mut world, &alice, "sip:bob@192.0.2.2", 3);
    assert_cause(&alice, Cause::Busy, Confidence::Certain);
    let carol = world.phone("carol", "192.0.2.3", 850.0, Manner::LetsRing);
    let asked = world.call(&alice, "sip:carol@192.0.2.3");
    world.pass(2);
    world.act(&carol, |agent, now| {
        let call = agent.calls().next().unwrap();
        agent.refuse(call, denwa_sip_core::StatusCode::DECLINE, now).unwrap();
    });
    world.pass(2);
    assert!(world.act(&alice, |agent, _| !agent.is_up(asked)));
    assert_cause(&alice, Cause::Declined, Confidence::Certain);
    call(&mut world, &alice, "sip:carol@192.0.2.3", 200);
    assert_cause(&alice, Cause::NotAnswered, Confidence::Certain);
}
